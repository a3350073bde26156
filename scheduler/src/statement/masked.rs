//! SQL texts as they may be shown: the values of options whose names say that they are secrets are left out, and passwords
//! in addresses.

use std::borrow::Cow;

use crate::catalog::ddl::carries_secret;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Replaces every quoted text that follows a quoted text with the name of a secret: `'token' 'abc'` and
/// `'token' = 'abc'`. Everything else stays as it is, statements that cannot be parsed included.
pub(super) fn masked(sql: &str) -> String {
    let mut shown = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut after_secret = false;
    while let Some(start) = rest.find('\'') {
        let (before, quoted) = rest.split_at(start);
        let between = before.trim_matches(|c: char| c.is_whitespace() || c == '=');
        let hide = after_secret && between.is_empty();
        shown.push_str(before);
        let end = quoted[1..].find('\'').map_or(quoted.len(), |end| end + 2);
        let (text, following) = quoted.split_at(end);
        if hide {
            shown.push('\'');
            shown.push_str(HIDDEN);
            shown.push('\'');
        } else {
            shown.push_str(&without_password(text));
        }
        after_secret = !hide && carries_secret(text);
        rest = following;
    }
    shown.push_str(rest);
    shown
}

/// An address without the password in it; other texts as they are.
pub(crate) fn without_password(text: &str) -> Cow<'_, str> {
    let found = text.find("://").and_then(|scheme| {
        let start = scheme + 3;
        let rest = &text[start..];
        let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
        let account = &authority[..authority.rfind('@')?];
        let user = account.find(':')?;
        Some((start + user + 1, start + account.len()))
    });
    match found {
        Some((from, to)) => Cow::Owned(format!("{}{HIDDEN}{}", &text[..from], &text[to..])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_options_are_hidden() {
        assert_eq!(
            masked(
                "COPY t TO 's3://b/x' OPTIONS ('aws.secret_access_key' 'hunter2', 'format.delimiter' ';')"
            ),
            "COPY t TO 's3://b/x' OPTIONS ('aws.secret_access_key' '***', 'format.delimiter' ';')"
        );
        assert_eq!(masked("SET 'password' = 'x"), "SET 'password' = '***'");
    }

    #[test]
    fn passwords_in_addresses_are_hidden() {
        for (sql, shown) in [
            (
                "LOCATION 'kafka://ann:s3@cret@h:1/t'",
                "LOCATION 'kafka://ann:***@h:1/t'",
            ),
            (
                "'format.registry' 'http://u:p@h'",
                "'format.registry' 'http://u:***@h'",
            ),
            ("LOCATION 'kafka://ann@h:1/t'", "LOCATION 'kafka://ann@h:1/t'"),
            ("LOCATION 's3://b/a:b@c'", "LOCATION 's3://b/a:b@c'"),
        ] {
            assert_eq!(masked(sql), shown);
        }
    }

    #[test]
    fn other_texts_stay() {
        for sql in [
            "SELECT 'it''s', 'token', x FROM t WHERE a = 'b'",
            "SELECT 'token', 'value'",
            "SELECT 'open",
            "",
            "SELECT 'ä' || 'ö'",
        ] {
            assert_eq!(masked(sql), sql);
        }
    }
}
