//! How an attempt came out, in the words of `docs/clients.md`.

use agentnet_e2e::command::Outcome;

use super::rows::Client;

/// The client got what it asked for.
pub(super) const WORKS: &str = "works";
/// The client asked for an address, and there is none.
pub(super) const NO_NAME: &str = "no such name";

/// What a client that found no address says, each in its own words.
const NO_ADDRESS: [&str; 11] = [
    "Could not resolve",
    "failure resolving",
    "EAI_AGAIN",
    "Name or service not known",
    "No address associated with hostname",
    "Temporary failure in name resolution",
    "unable to resolve host",
    "ENOTFOUND",
    "no such host",
    "UnknownHostException",
    "UnresolvedAddressException",
];

/// The proxy's answer, in the words of clients that show its number alone. Never the number itself: it is in the
/// fractions of seconds, too.
const FORBIDDEN: [&str; 6] = [
    "returned error: 403",
    "response 403",
    "response (403)",
    "response: 403",
    "got: 403",
    "statusCode=403",
];

/// The same, of clients that keep the number back.
const TUNNEL: [&str; 2] = ["tunnel error: unsuccessful", "refused the tunnel"];

/// All that these ever say, whatever went wrong.
const NOTHING: [&str; 1] = ["fetch failed sending request"];

/// The cell. A hang or a failure without a reason is none.
pub(super) fn of(client: &Client, outcome: &Outcome) -> Option<&'static str> {
    // Some draw a frame and break the lines.
    let text = outcome.text().replace(|c: char| "│├╰─▶".contains(c), " ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if outcome.ok() {
        return text.contains(client.word).then_some(WORKS);
    }
    const TIMED_OUT: i32 = 124;
    match outcome.code() {
        Some(TIMED_OUT) => says(&["waiting for network"]).then_some("keeps trying, see the events"),
        None => None,
        Some(_) if says(&["not_listed"]) => Some("403 not_listed"),
        Some(_) if says(&FORBIDDEN) => Some("403"),
        Some(_) if says(&TUNNEL) => Some("tunnel refused"),
        Some(_) if says(&NO_ADDRESS) => Some(NO_NAME),
        Some(_) if says(&["Connection refused"]) => Some("connection refused"),
        Some(_) if says(&NOTHING) => Some("fails, see the events"),
        Some(_) => None,
    }
}
