//! Metrics, alert rules and dashboard against a real Prometheus: no container engine is needed, everything is on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

mod bench;
mod dashboard;
mod expressions;
mod http;
mod promtool;
mod scraped;
