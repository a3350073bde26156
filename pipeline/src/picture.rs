//! What a run looks like: the columns before and after it, as a page with pictures.
//!
//! [`look`] asks for the numbers, [`draw`] makes SVG of them, [`page`] puts everything into one HTML file that needs no other.

mod draw;
mod look;
mod page;

pub use look::{ColumnLook, Correlations, Look, Shape, look};
pub use page::{Line, Run, page};
