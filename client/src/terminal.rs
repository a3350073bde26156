//! What may be drawn on the terminal, and the lines for people that go to standard error.

use std::io::{self, IsTerminal, Write};

/// Whether standard error is looked at by a person.
pub fn stderr_is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether colours are welcome: on a terminal, and `NO_COLOR` is not set (<https://no-color.org>).
pub fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stdout().is_terminal()
}

/// Writes a line for people. A reader that went away changes nothing.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes what went wrong.
pub fn report(error: &crate::error::Error) {
    note(&format!("error: {error}"));
}
