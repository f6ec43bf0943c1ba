//! Keys, and what they ask for.

use crate::task::TaskId;

/// A key, whatever the terminal calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// Ten rows up.
    PageUp,
    /// Ten rows down.
    PageDown,
    /// The first row.
    Home,
    /// The last row.
    End,
    /// Nothing is selected any more.
    Escape,
    /// The next task.
    Tab,
    /// A letter.
    Char(char),
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Change a task's whitelist.
    Change(TaskId, Choice, String),
}

/// How to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// `agentnet allow`.
    Allow,
    /// `agentnet allow --for 10m`.
    Once,
    /// `agentnet allow --save`.
    Save,
    /// `agentnet deny`.
    Deny,
}

impl Choice {
    pub(super) fn of(key: char) -> Option<Choice> {
        match key {
            'a' => Some(Choice::Allow),
            'o' => Some(Choice::Once),
            's' => Some(Choice::Save),
            'd' => Some(Choice::Deny),
            _ => None,
        }
    }
}
