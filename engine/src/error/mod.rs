//! Errors as a user meets them: a stable code, what went wrong, and what to do next.
//!
//! Whatever fails on the way of a statement ends here. Code of ours raises an [`Error`] with a [`Code`]; it travels
//! through DataFusion and Arrow as an external error and is found again by [`find_in`]. An error that is not ours
//! is classified by [`Error::from_datafusion`], and one that comes back from an executor as text by
//! [`Error::from_text`]. [`CODES`] is the only list of codes; [`markdown`] makes `docs/errors.md` from it.
//!
//! ```text
//! executor: Error -> DataFusionError::External -> text of a failed task --+
//! scheduler: Error, DataFusionError (parse, plan, read) ------------------+-> Error -> user_text -> client
//! ```
//!
//! Texts are in lower case, without a stack, and no longer than a person reads.

mod classify;
mod code;
mod debug_text;
mod find;
mod from_text;
mod markdown;
mod pages;
mod position;
mod typed;
mod wording;

pub use code::{Class, Code, CodePage, Retry};
pub use find::find_in;
pub use markdown::markdown;
pub use pages::{CODES, page_of};
pub use position::Position;
pub use typed::Error;
