//! Hosts that a task wanted and may not have, from the proxy's own side, and the click that opens one.
//!
//! `source` reads decisions (`agentnet watch --json`, or a proxy's `/events`), `refusal` picks those
//! that a grant could help, `tracker` makes few notices of many of them, `grant` runs what the person
//! picked. Nothing of it passes through a directory that an agent can write (THREATS W128, W129).

mod arguments;
mod grant;
mod memory;
mod program;
mod refusal;
mod source;
mod stream;
mod tracker;

pub(crate) use arguments::Arguments;
