//! `agentnet watch`: what tasks do and want, as it happens.
//!
//! `source` follows tasks and sends [`Message`]s, `model` makes a picture of them and of keys, `screen`
//! draws it. Only `terminal` touches one. What comes from a task is bounded and safe to print before
//! it is a message.

pub mod key;
pub mod known;
pub mod model;
pub mod plain;
pub mod screen;
pub mod source;
pub mod terminal;

use agentnet_policy::event::Event;

use crate::record::Record;
use crate::stats::Stats;
use crate::task::TaskId;

/// Something happened.
#[derive(Debug)]
pub enum Message {
    /// The tasks that there are now, in order.
    Tasks(Vec<Record>),
    /// A decision of a task's proxy.
    Event(TaskId, Box<Event>),
    /// How a task is.
    Stats(TaskId, Box<Stats>),
    /// Its decisions come.
    Followed(TaskId),
    /// Its decisions do not come at the moment, because of this.
    Lost(TaskId, String),
}
