//! The proxy under load for a while: changes of policy and of the process that nobody may notice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stderr,
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    unused_imports,
    reason = "tests are clients, a failed expectation is their way to fail, and not all of the harness is used here"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod load;
mod reloads;
mod restarts;
