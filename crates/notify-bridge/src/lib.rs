//! Alerts of a task: what an agent may write into its spool directory, and how it is read.
//!
//! Everything here comes from the adversary's side. A file is read once, bounded, without following
//! anything ([`read`]), and becomes an [`Alert`] or a typed refusal; nothing from it ever
//! becomes an action, a hint, an icon or a link. Alerts about blocked requests never pass through
//! the spool: a forged one could talk a person into a grant.
//!
//! Watching the spool and showing desktop notifications is not part of this version.

mod alert;
mod cli;
mod kind;
mod name;
mod program;
mod spool_file;

pub use alert::{Alert, AlertError, LONGEST, VERSION};
pub use kind::{Kind, KindError};
pub use name::{AlertName, NameError};
pub use program::run;
pub use spool_file::{SpoolError, read};
