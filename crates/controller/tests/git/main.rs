//! Tasks of a git repository, with real git on both sides and an engine that is not one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests; a skip says why"
)]

mod clones;
mod full_disk;
#[path = "../harness/mod.rs"]
mod harness;
mod submodules;
mod sync;
