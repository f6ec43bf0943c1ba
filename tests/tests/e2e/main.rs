//! End to end, on real engines. One program, so that the engines are found and the images built once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod canaries;
mod clients;
mod compose;
mod images;
mod lifecycle;
mod opened;
mod refusals;
mod tasks;
