//! Answers to an agent's questions: one file each in its task's `in/`, which the agent can only read.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use futures_util::future::BoxFuture;
use rustix::fs::{Mode, OFlags, openat2, renameat};
use serde::Serialize;

use crate::incoming::Answerer;
use crate::name::AlertName;
use crate::notice::Notice;
use crate::spool::{State, remove};
use crate::spool_file::BENEATH;

/// Answers a `clarification`.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: State,
}

/// `in/NAME.json`, of the same name as the question.
#[derive(Serialize)]
struct Answer<'a> {
    v: u8,
    /// Which of the choices, from 0.
    choice: usize,
    /// Its text, as the person saw it.
    text: &'a str,
}

impl Inbox {
    /// Writes below this state directory.
    pub(crate) fn new(state: State) -> Self {
        Self { state }
    }

    fn write(&self, notice: &Notice, choice: &str) -> io::Result<String> {
        let (at, label) = notice
            .choices
            .iter()
            .enumerate()
            .find(|(_, offered)| offered.key == choice)
            .map(|(at, offered)| (at, offered.label.as_str()))
            .ok_or_else(|| io::Error::other("it was not offered"))?;
        let stem = notice.about.as_deref().unwrap_or_default();
        let name = AlertName::parse(format!("{stem}.json").as_ref()).map_err(io::Error::other)?;
        let temporary = format!("{stem}.tmp");
        let directory = self.state.inbox(&notice.task)?;
        let answer = Answer {
            v: 1,
            choice: at,
            text: label,
        };
        let bytes = serde_json::to_vec(&answer).map_err(io::Error::from)?;
        remove(directory.as_fd(), temporary.as_str())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let fd = openat2(&directory, temporary.as_str(), flags, mode, BENEATH)?;
        let mut file = File::from(fd);
        // The agent's user reads it, whatever our umask is.
        rustix::fs::fchmod(&file, mode)?;
        file.write_all(&bytes)?;
        drop(file);
        renameat(&directory, temporary.as_str(), &directory, name.as_str())?;
        Ok(format!("answered: {label}"))
    }
}

impl Answerer for Inbox {
    fn answer<'a>(
        &'a self,
        notice: &'a Notice,
        choice: &'a str,
    ) -> BoxFuture<'a, Result<String, String>> {
        let done = self.write(notice, choice);
        Box::pin(async move { done.map_err(|e| format!("the answer could not be delivered: {e}")) })
    }
}
