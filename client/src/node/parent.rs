//! How a child process learns what its parent wants, without signals: through its standard input.
//!
//! The line `drain` asks it to end in good order. The end of the input without that line means that the parent is
//! gone, however it died, and that nobody waits for an orderly end.

use std::io::{self, BufRead};

use tokio::sync::oneshot;

/// What the parent said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// End in good order.
    Drain,
    /// The parent is gone.
    Gone,
}

/// The line that asks to drain.
pub(super) const DRAIN: &str = "drain";

/// Waits for word of the parent in a thread of its own.
pub fn listen() -> oneshot::Receiver<Message> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody may listen any more; then there is nobody to tell.
        let _ = sender.send(read(io::stdin().lock()));
    });
    receiver
}

fn read(input: impl BufRead) -> Message {
    let asked = input
        .lines()
        .map_while(Result::ok)
        .any(|line| line.trim() == DRAIN);
    if asked { Message::Drain } else { Message::Gone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_input_means_that_the_parent_is_gone() {
        assert_eq!(read("".as_bytes()), Message::Gone);
        assert_eq!(read("something\n".as_bytes()), Message::Gone);
        assert_eq!(read("drain\n".as_bytes()), Message::Drain);
    }
}
