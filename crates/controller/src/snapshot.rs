//! Snapshots: a task's files, private git state, service volumes and what the agent changed in its container's
//! own layer, as archives in the state directory. No process, and none of the person's secrets.
//!
//! Nothing walks an agent's tree on the host: places are read and written by extractors, the container's layer by
//! the engine's archive API, and here they are bytes. A snapshot is made beside its place and gets its name in one
//! step. The engine keeps nothing of it, so that no `prune` of a person's can take it away.

mod create;
mod exclude;
mod keep;
mod layer;
mod manifest;
mod measure;
mod origin;
mod place;
mod restore;
mod secrets;
mod seed;
mod shelf;
mod which;

pub(crate) use create::release;
pub use create::{Wish, create};
pub use exclude::Excluded;
pub use manifest::{Manifest, Part, What};
pub use measure::{Estimate, estimate};
pub use origin::{Held, Origin};
pub(crate) use restore::other_image;
pub use restore::{RESTORING, restore, unfinished};
pub use seed::{Archive, Hands, Layer, LayerPart, Pour, Seed};
pub use shelf::{Shelf, Stored, sweep};
pub use which::Which;

use std::time::Duration;

/// How long one place may take to be read or written.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// What stays free on a disk.
pub(crate) const RESERVE: u64 = 256 << 20;
