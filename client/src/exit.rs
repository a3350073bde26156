//! What the process says to the shell that started it. Scripts rely on these numbers; they do not change.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Ok = 0,
    /// A statement, or the work of a node, failed.
    Failed = 1,
    /// The command line or a file of commands is wrong.
    Usage = 2,
    /// The cluster cannot be reached or does not let us in.
    Connect = 3,
    /// Somebody cancelled it.
    Cancelled = 4,
    /// It took longer than allowed.
    TimedOut = 5,
}

impl Exit {
    /// The number for the shell.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_scripts_know() {
        let all = [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::Connect,
            Exit::Cancelled,
            Exit::TimedOut,
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5]);
    }
}
