//! One value as a person reads it, in a terminal that must not be steered by data.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

/// Adds a value to a text with control characters made visible, line ends excepted if `keep_lines`.
pub(super) fn push_visible(text: &mut String, value: &str, keep_lines: bool) {
    for character in value.chars() {
        match character {
            '\n' if keep_lines => text.push('\n'),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            other if other.is_control() => {
                let _ = write!(text, "\\u{{{:x}}}", u32::from(other));
            }
            other => text.push(other),
        }
    }
}

/// Columns of the terminal that a line takes.
pub(super) fn width(line: &str) -> usize {
    line.width()
}

/// Columns of the terminal that the widest line of a text takes.
pub(super) fn widest_line(text: &str) -> usize {
    text.split('\n').map(width).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(value: &str, keep_lines: bool) -> String {
        let mut text = String::new();
        push_visible(&mut text, value, keep_lines);
        text
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(visible("a\x1b[31m\tb\u{9b}", false), "a\\u{1b}[31m\\tb\\u{9b}");
        assert_eq!(visible("a\nb", false), "a\\nb");
        assert_eq!(visible("a\nb", true), "a\nb");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(width("日本"), 4);
        assert_eq!(widest_line("a\n日本\n"), 4);
    }
}
