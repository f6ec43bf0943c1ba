//! The packaged Tinyproxy and agentnet-proxy, given the same configuration, the same filter and the same requests.
//!
//! Everything that can be seen from outside is compared: the answer's status, words, fields and body, what reached the
//! origin or the parent, the log file, whether the program starts at all. What differs must be an entry in
//! [`differences`], each of which is a line of docs/tinyproxy.md; and an entry that no longer differs is an error too.
//! What was seen is written to `target/tmp/tinyproxy-seen.txt`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod access;
mod command_line;
mod comparison;
mod differences;
mod filter;
mod headers;
mod life;
mod observation;
mod pages;
mod play;
mod requests;
mod scenario;
mod start;
mod upstream;

use comparison::{Comparison, compared};

/// The sentences of one area, or why it could not be compared.
fn assert_documented(area: &str) {
    let Some(comparison) = compared() else {
        return;
    };
    let findings = comparison.undocumented(area);
    assert!(
        findings.is_empty(),
        "{} differences that docs/tinyproxy.md does not have:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn filters_decide_as_tinyproxy_decides() {
    assert_documented("filter");
}

#[test]
fn clients_ports_and_passwords_are_let_in_as_tinyproxy_lets_them_in() {
    assert_documented("access");
}

#[test]
fn requests_are_read_as_tinyproxy_reads_them() {
    assert_documented("requests");
}

#[test]
fn headers_are_changed_as_tinyproxy_changes_them() {
    assert_documented("headers");
}

#[test]
fn parents_are_chosen_and_spoken_to_as_tinyproxy_does() {
    assert_documented("upstream");
}

#[test]
fn pages_and_statistics_read_as_tinyproxys_do() {
    assert_documented("pages");
}

#[test]
fn limits_and_reloads_work_as_tinyproxys_do() {
    assert_documented("life");
}

#[test]
fn what_tinyproxy_refuses_to_start_with_is_refused() {
    assert_documented("start");
}

#[test]
fn the_command_line_is_tinyproxys() {
    assert_documented("command line");
}

#[test]
fn every_documented_difference_still_exists() {
    let stale = compared().map(Comparison::stale).unwrap_or_default();
    assert!(
        stale.is_empty(),
        "these no longer differ:\n{}",
        stale.join("\n")
    );
}

#[test]
fn the_list_of_differences_in_the_documentation_is_this_one() {
    let documented = differences::documented();
    let tested = differences::ids();
    assert_eq!(
        documented, tested,
        "left: docs/tinyproxy.md, right: tests/tests/tinyproxy/differences.rs"
    );
}
