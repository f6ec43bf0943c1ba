//! Alerts of a task: what an agent may write into its spool directory, and how it reaches a person.
//!
//! Everything in a spool comes from the adversary's side. A file is read once, bounded, without
//! following anything ([`read`]), and becomes an [`Alert`] or a typed refusal; its text is cleaned
//! once ([`text`]) and becomes a [`notice::Notice`]. Nothing from it ever becomes an action, a hint,
//! an icon or a link. Alerts about blocked requests never pass through the spool: a forged one could
//! talk a person into a grant; they come in at [`incoming`].
//!
//! A notice goes to every [`outlet`] that wants it; a click comes back as an answer.

mod alert;
mod blocked;
mod bridge;
mod cli;
mod config;
mod desk;
mod hints;
mod inbox;
pub mod incoming;
mod install;
mod intake;
mod kind;
mod ledger;
mod limit;
mod lock;
mod manager;
mod metrics;
mod metrics_door;
mod name;
pub mod notice;
pub mod outlet;
mod own;
mod rule;
mod spool;
mod spool_file;
mod state_dir;
mod status;
pub mod text;

pub use alert::{Alert, AlertError, LONGEST, LONGEST_CHOICE, MOST_CHOICES, VERSION};
pub use cli::run;
pub use kind::{Kind, KindError};
pub use name::{AlertName, NameError};
pub use spool_file::{SpoolError, read, take};
