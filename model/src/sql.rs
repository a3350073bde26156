//! Pieces of SQL.

use std::fmt::Write as _;

/// A name between quotes.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text between quotes.
pub fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A number; what is none is null.
pub fn number(value: f64) -> String {
    match value.is_finite() {
        true if value < 0.0 => format!("({value:?})"),
        true => format!("{value:?}"),
        false => "CAST(NULL AS DOUBLE)".to_owned(),
    }
}

/// Bytes.
pub fn bytes(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}

/// `CASE [of] WHEN ... THEN ... ELSE ... END`.
pub(crate) fn case(of: &str, branches: &[(String, String)], otherwise: Option<&str>) -> String {
    let mut sql = String::from("CASE");
    // Writing to a text cannot fail.
    if !of.is_empty() {
        let _ = write!(sql, " {of}");
    }
    for (condition, value) in branches {
        let _ = write!(sql, " WHEN {condition} THEN {value}");
    }
    if let Some(otherwise) = otherwise {
        let _ = write!(sql, " ELSE {otherwise}");
    }
    sql.push_str(" END");
    sql
}

/// Parts with an operator between them, in parentheses so that a parser goes no deeper than their logarithm. Parts that are
/// not atoms have parentheses of their own.
pub(crate) fn balanced(parts: &[String], operator: &str, nothing: &str) -> String {
    match parts.len() {
        0 => nothing.to_owned(),
        1..=4 => parts.join(operator),
        count => {
            let (left, right) = parts.split_at(count / 2);
            let half = |parts: &[String]| match parts {
                [one] => one.clone(),
                _ => format!("({})", balanced(parts, operator, nothing)),
            };
            format!("{}{operator}{}", half(left), half(right))
        }
    }
}

/// A condition that holds if one of these does; none of no conditions.
pub fn any(conditions: &[String]) -> Option<String> {
    (!conditions.is_empty()).then(|| balanced(conditions, " OR ", "false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_quote_early() {
        assert_eq!(ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(number(-0.1), "(-0.1)");
        assert_eq!(number(f64::NAN), "CAST(NULL AS DOUBLE)");
    }

    #[test]
    fn long_sums_are_not_deep() {
        let parts: Vec<String> = (0..9).map(|part| part.to_string()).collect();
        assert_eq!(
            balanced(&parts, " + ", "0.0"),
            "(0 + 1 + 2 + 3) + ((4 + 5) + (6 + 7 + 8))"
        );
    }
}
