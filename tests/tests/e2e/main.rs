//! End to end, on real engines. One program, so that the engines are found and the images built once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod clients;
mod compose;
mod images;
