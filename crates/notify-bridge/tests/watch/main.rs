//! The real binary on a state directory of its own: what an adversary may write into a spool, one test
//! for each row (W120 to W133), floods, and what a `kill -9` leaves.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's helpers fail the test"
)]

mod flood;
mod harness;
mod hostile;
mod names;
mod once;
mod races;
mod troubles;
