//! The bridge as a service of a session, and the outlet `desktop` against real notification daemons on a private session bus: the same for one that reads markup
//! and has buttons, one without markup, and one with neither.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bridge;
mod install;
mod outlet;
mod person;
mod restarts;
mod rude;
mod shown;
