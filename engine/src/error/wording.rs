//! Turns texts of libraries into the wording of ours: lower case, one thought per line, not too long.

use super::typed::Error;

/// Most characters of a primary line.
const MESSAGE_LENGTH: usize = 300;
/// Most characters of a detail.
const DETAIL_LENGTH: usize = 1500;
/// What DataFusion adds to an internal error; it sends people to the wrong place.
const NOT_OURS: [&str; 3] = [
    "\nThis issue was likely caused by a bug",
    "\n\nbacktrace: ",
    "This issue was likely caused by a bug",
];

/// Shortens, lowers the first letter and drops full stops of a primary line.
pub(super) fn primary(text: &str) -> String {
    let line = text.trim().trim_end_matches('.');
    cut(&lower_first(line), MESSAGE_LENGTH)
}

/// Splits a library's text into primary line, detail and hint.
///
/// The first line is the primary one, further lines the detail. `Did you mean 'x'?` becomes the hint.
pub(super) fn split(text: &str) -> (String, Option<String>, Option<String>) {
    let text = without_foreign_advice(text);
    let (text, hint) = take_suggestion(text);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let rest = rest.trim();
    let detail = (!rest.is_empty()).then(|| cut(&lower_first(rest), DETAIL_LENGTH));
    (primary(first), detail, hint)
}

/// Puts a library's text into an error.
pub(super) fn word(error: Error, text: &str) -> Error {
    let (message, detail, hint) = split(text);
    Error {
        message,
        detail: error.detail.clone().or(detail),
        hint: error.hint.clone().or(hint),
        ..error
    }
}

/// Cuts a text to a number of characters and shows that it was cut.
pub(super) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn without_foreign_advice(text: &str) -> &str {
    NOT_OURS.iter().fold(text, |text, advice| {
        text.split_once(advice).map_or(text, |(before, _)| before)
    })
}

fn take_suggestion(text: &str) -> (String, Option<String>) {
    const ASK: &str = "Did you mean ";
    let Some((before, rest)) = text.split_once(ASK) else {
        return (text.to_owned(), None);
    };
    let Some((suggested, after)) = rest.split_once('?') else {
        return (text.to_owned(), None);
    };
    let before = before.trim_end().trim_end_matches('.');
    (
        format!("{before}{after}"),
        Some(format!("did you mean {suggested}?")),
    )
}

/// Lowers the first letter unless the word is a name in capitals, such as `CSV` or `ORDER BY`.
fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => first
            .to_lowercase()
            .chain(std::iter::once(second))
            .chain(characters)
            .collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestion_becomes_the_hint_and_further_lines_the_detail() {
        assert_eq!(
            split("No field named foo. Did you mean 'bar'?\nValid fields are bar, baz."),
            (
                "no field named foo".to_owned(),
                Some("valid fields are bar, baz.".to_owned()),
                Some("did you mean 'bar'?".to_owned())
            )
        );
    }

    #[test]
    fn advice_to_report_bugs_elsewhere_is_dropped() {
        assert_eq!(
            split("Oops.\nThis issue was likely caused by a bug in DataFusion's code.").0,
            "oops"
        );
        assert_eq!(split("Oops\n\nbacktrace: 0: x").1, None);
    }

    #[test]
    fn names_in_capitals_stay() {
        assert_eq!(primary("CSV header is wrong."), "CSV header is wrong");
        assert_eq!(primary("Table x"), "table x");
        assert_eq!(primary(""), "");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö...");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
