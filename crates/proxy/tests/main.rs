//! The proxy in-process between a fake origin and a raw client, and the program as a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::let_underscore_must_use,
    unreachable_pub,
    missing_debug_implementations,
    reason = "tests are clients, and a failed expectation is their way to fail"
)]

mod harness;

mod admin;
mod budgets;
mod cli;
mod clients;
mod connect;
mod decisions;
mod dns;
mod documents;
mod forward;
mod greeting;
mod hostile;
mod learn;
mod limits;
mod manners;
mod metrics;
mod policy;
mod presets;
mod raw_doors;
mod relay;
mod reload;
mod shutdown;
mod tinyproxy;
mod transparent;
mod upstream;
