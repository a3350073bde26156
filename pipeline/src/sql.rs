//! Pieces of SQL.

use std::fmt::Write as _;

/// Digits of a hash that are compared with the share of rows.
const HASH_DIGITS: usize = 8;

/// A name between quotes.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a table, which may have the name of its schema in front.
pub fn table(name: &str) -> String {
    name.split('.').map(ident).collect::<Vec<_>>().join(".")
}

/// A text between quotes.
pub fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A text without the blanks at its ends: spaces, also those that keep words together, tabs and ends of lines.
pub fn trimmed(text_sql: &str) -> String {
    format!("trim_blanks({text_sql})")
}

/// 32 digits to the base of 16 that follow from a seed and some texts. These do not run into each other, and null is not
/// the same as nothing.
pub(crate) fn hash(seed: &str, texts: impl IntoIterator<Item = String>) -> String {
    let mut parts = vec![text(seed)];
    parts.extend(
        texts
            .into_iter()
            .map(|text| format!("chr(2), coalesce({text}, chr(1))")),
    );
    format!("md5(concat({}))", parts.join(", "))
}

/// A condition that holds for a share of all texts, chosen by their [`hash`].
pub fn is_in_share(share: f64, seed: &str, texts: impl IntoIterator<Item = String>) -> String {
    if share >= 1.0 {
        return "true".to_owned();
    }
    let digits = format!("left({}, {HASH_DIGITS})", hash(seed, texts));
    let limit = (share * 16f64.powi(HASH_DIGITS as i32)) as u64;
    format!("{digits} < {}", text(&format!("{limit:0HASH_DIGITS$x}")))
}

/// A number; what is none is null.
pub fn number(value: f64) -> String {
    match value.is_finite() {
        true if value < 0.0 => format!("({value:?})"),
        true => format!("{value:?}"),
        false => "CAST(NULL AS DOUBLE)".to_owned(),
    }
}

/// The sum of some values, in halves: a tree of it is not deep.
pub(crate) fn sum(values: &[String]) -> String {
    match values {
        [] => "0.0".to_owned(),
        [value] => value.clone(),
        several => {
            let (one, other) = several.split_at(several.len() / 2);
            format!("({} + {})", sum(one), sum(other))
        }
    }
}

/// `CASE WHEN ... THEN ... ELSE ... END` of pairs; no pairs: what else there is.
pub fn case(branches: &[(String, String)], otherwise: &str) -> String {
    if branches.is_empty() {
        return otherwise.to_owned();
    }
    let mut sql = String::from("CASE");
    for (condition, value) in branches {
        // Writing to a text cannot fail.
        let _ = write!(sql, " WHEN {condition} THEN {value}");
    }
    let _ = write!(sql, " ELSE {otherwise} END");
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_quote_early() {
        assert_eq!(ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(table("public.t"), r#""public"."t""#);
        assert_eq!(text("it's"), "'it''s'");
    }

    #[test]
    fn a_sum_is_in_halves() {
        let values = ["a", "b", "c", "d", "e"].map(str::to_owned);
        assert_eq!(sum(&values), "((a + b) + (c + (d + e)))");
        assert_eq!(sum(&values[..1]), "a");
    }

    #[test]
    fn numbers_keep_all_digits_and_are_never_whole() {
        assert_eq!(number(1.0), "1.0");
        assert_eq!(number(-0.1), "(-0.1)");
        assert_eq!(number(1e300), "1e300");
        assert_eq!(number(f64::NAN), "CAST(NULL AS DOUBLE)");
    }
}
