//! What the commands that run nodes have in common: their configuration, the lines they announce themselves with, and
//! executors in processes of their own.

mod announce;
mod child;
mod config_args;
pub mod parent;
mod shares;
mod state_location;

pub use announce::announce;
pub use child::{Child, Launch};
pub use config_args::ConfigArgs;
pub(crate) use config_args::key_and_value;
pub use shares::share_of_machine;
pub use state_location::state_url;
