//! The kinds of alerts that an agent may raise: the sender's, which defines them.

pub use agentnet_gate::notify::{Kind, KindError};
