//! The gate: a static program that is the entrypoint of every agent and service container.
//!
//! It proves the fence from inside, then becomes the real entrypoint; with `verify` it runs every
//! row and prints the table. The library half holds what the controller shares with the binary:
//! [`Expectation`] (what the container was promised, and the command line that says so) and
//! [`Report`] (what was found). `docs/verify.md` says what each row proves and what none can.
//!
//! How a run goes: `proof` takes one snapshot of the namespace over netlink, judges its `shape`,
//! looks at the process itself (`capabilities`, `confinement`, `outside`), then knocks on addresses
//! that must not answer (`reach`, `link`); the full table also tries datagrams (`straight`), names
//! (`names`) and the proxy (`behind`). Every judgement is a pure function of what was observed, so
//! the tables are tested without a network, and the observing in namespaces of the tests' own.
//!
//! `connect` has nothing to do with the proof: it is the way through the proxy for clients that know
//! only how to start a program, ssh above all. Nor has [`clients`], which finds the programs of a container
//! that do not know the proxy. [`notify`] is another program in the same file, `agentnet-notify`: it tells people what
//! the container's own programs want to say. `listening` is the health check of services whose images bring none, and `usage` tells
//! the controller what a container's cgroup knows.

mod answer;
mod attempt;
mod behind;
mod capabilities;
mod cli;
pub mod clients;
mod confinement;
mod connect;
mod conversation;
mod datagram;
mod dns;
mod expectation;
mod handover;
mod launch;
mod link;
mod listening;
mod names;
mod netlink;
pub mod notify;
mod outside;
mod patience;
mod program;
mod proof;
mod reach;
mod refusal;
pub mod report;
mod row_id;
mod shape;
mod snapshot;
mod straight;
mod table;
mod usage;
mod vsock;

pub use conversation::PROOF;
pub use expectation::{Expectation, ExpectationError, Fence, MOST_ADDRESSES};
pub use names::proof_asks_for;
pub use program::run;
pub use report::{Outcome, Report, ReportError, Row};
pub use row_id::RowId;
pub use usage::Usage;
