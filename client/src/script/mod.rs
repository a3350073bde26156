//! Text of several statements, as it stands in a file, behind `-c`, or in the shell.
//!
//! [`lexer`] walks over quotes and comments, [`split`] cuts the text into [`Item`]s: statements, which the server
//! understands, and commands of the shell such as `\dt`. Nothing here knows SQL beyond where a statement ends.

mod lexer;
mod split;

pub use split::{Item, Split, split};
