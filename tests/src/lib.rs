//! End to end on real engines: what the tests stand on.
//!
//! A test names the engines it needs with [`on_engines!`]; [`bed`] finds them (the user's own, used as it is, or ours,
//! unpacked under `target/`) and builds the images there once. Everything a test makes is held by a guard that removes
//! it, on failure too, and carries a name that no other run has.
//!
//! [`peers`] has other people's programs, [`daemon`] starts one, [`desktop`] is a session with notifications, [`recorder`] and [`wire`] are the two ends around a proxy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a harness fails by panicking with what it saw"
)]

pub mod agentnet;
pub mod bed;
pub mod bridge;
pub mod canary;
pub mod clients;
pub mod command;
pub mod daemon;
pub mod databases;
pub mod desktop;
pub mod engine;
pub mod listing;
pub mod name;
pub mod origin;
pub mod peers;
pub mod probe;
pub mod pty;
pub mod recorder;
pub mod repository;
pub mod stack;
pub mod wait;
pub mod wire;
