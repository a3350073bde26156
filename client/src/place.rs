//! Where in a script a statement stands, for error messages.

use std::fmt;
use std::sync::Arc;

/// A line of a file of statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// File as the user named it.
    file: Arc<str>,
    /// Line, from 1, of the first word of the statement.
    line: usize,
}

impl Place {
    /// Names a line, from 1, of a file.
    pub fn new(file: impl Into<Arc<str>>, line: usize) -> Self {
        Self {
            file: file.into(),
            line,
        }
    }

    /// Turns `line N: ...` in the server's text, where N counts from the start of the statement, into lines of the
    /// file. The server draws a caret under the text; it moves along when the number gets longer.
    pub(crate) fn move_lines(&self, text: &str) -> String {
        let mut moved: Vec<String> = Vec::new();
        let mut caret_shift = 0;
        for line in text.split('\n') {
            if line.trim_start() == "^" {
                moved.push(format!("{:caret_shift$}{line}", ""));
                continue;
            }
            let (replaced, shift) = self.move_line(line);
            caret_shift = shift;
            moved.push(replaced);
        }
        moved.join("\n")
    }

    fn move_line(&self, line: &str) -> (String, usize) {
        let numbered = line.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
        match numbered.and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, number, rest))) {
            Some((within, number, rest)) if within > 0 => {
                let in_file = (self.line + within - 1).to_string();
                let shift = in_file.len().saturating_sub(number.len());
                (format!("line {in_file}: {rest}"), shift)
            }
            _ => (line.to_owned(), 0),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_server_become_lines_of_the_file_and_the_caret_follows() {
        let text = "no table [MP0002]\nline 2: from x\n             ^\nhint: look";
        let moved = Place::new("a.sql", 99).move_lines(text);
        assert_eq!(
            moved,
            "no table [MP0002]\nline 100: from x\n               ^\nhint: look"
        );
    }

    #[test]
    fn other_text_stays() {
        for text in ["", "line of text", "line x: y", "online 3: y", "line 0: y"] {
            assert_eq!(Place::new("a", 5).move_lines(text), text);
        }
    }
}
