//! agentnet's egress proxy: the only thing that answers in a task's network.
//!
//! A request's way through the modules: [`accept`] → [`clients`] (may it come in) →
//! [`connection`] (hyper, with limits, behind [`intake`], which checks every [`head`]) →
//! [`handler`] → [`request`] (strict canonical target) → [`manners`] (credentials) → the policy's
//! `judge` → [`reach`]:
//! [`resolve`] once, `admit` every answer, [`dial`] what was admitted, or a parent that is asked for it
//! ([`upstream`]) → [`connect`] and [`tunnel`],
//! or [`forward`]. A refusal is a [`record`], which tells the counters ([`metrics`]), the
//! [`journal`] and the client ([`refusal`]) the same word.
//!
//! Programs that know nothing of proxies ask the DNS, which is the [`answerer`], and come to the
//! `transparent` doors, or through a [`relay`] to those that names have for themselves ([`raw_doors`]).
//!
//! Two doors: names become addresses only in [`resolve`], sockets are opened only in [`dial`].
//!
//! Places that later work fills, so that it need not be looked for:
//!
//! | what | where |
//! |---|---|
//! | `tinyproxy.conf` | `settings/tinyproxy.rs`, beside the TOML file; a [`PolicySource`](settings::PolicySource) of its own |
//! | parents, clients, fields of a listener | [`conduct`] |

pub mod accept;
pub mod active;
pub mod admin;
pub mod answerer;
pub mod app;
pub mod bind;
pub mod body;
pub mod budget;
mod carry;
pub mod cli;
pub mod clients;
pub mod conduct;
pub mod connect;
pub mod connection;
pub mod daemon;
pub mod descriptors;
pub mod diagnostic;
pub mod dial;
pub mod endpoint;
pub mod environment;
pub mod exchange;
pub mod forward;
pub mod greeting;
pub mod handler;
pub mod head;
pub mod headers;
pub mod hello;
pub mod inherited;
pub mod intake;
pub mod journal;
pub mod listener;
pub mod live;
pub mod log_file;
pub mod manners;
pub mod metrics;
pub mod pid_file;
pub mod raw_doors;
pub mod reach;
pub mod record;
pub mod refusal;
pub mod relay;
pub mod reload;
pub mod request;
pub mod resolve;
pub mod settings;
pub mod standing;
pub mod statistics;
pub mod stream;
pub mod surroundings;
pub mod syslog;
pub mod tasks;
pub mod text_file;
mod transparent;
pub mod tunnel;
pub mod upstream;
pub mod words;
