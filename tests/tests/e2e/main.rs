//! End to end, on real engines. One program, so that the engines are found and the images built once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod agents;
mod budgets;
mod canaries;
mod clients;
mod compose;
mod credentials;
mod databases;
mod extractor;
mod git;
mod images;
mod inside;
mod lifecycle;
mod logins;
mod mapped;
mod matrix;
mod notifications;
mod observed;
mod opened;
mod planted;
mod podman;
mod refusals;
mod results;
mod secrets;
mod snapshots;
mod ssh_agent;
mod submodules;
mod tasks;
mod watched;
mod whole_loop;
