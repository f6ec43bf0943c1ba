//! What is on the screen, and what a key means. Pure: no clock, no terminal, no engine.

use std::collections::{HashMap, VecDeque};

use agentnet_policy::event::{Event, Text};
use agentnet_policy::{Host, Reason};
use jiff::Timestamp;

use super::Message;
use super::key::{Action, Choice, Key};
use crate::decisions::{Blocked, Blocks, is_blocked};
use crate::record::Record;
use crate::stats::Stats;
use crate::task::TaskId;

/// Decisions that are kept for the lower part.
const MOST_LINES: usize = 500;

/// The last thing that was said to the person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// In a sentence.
    pub text: String,
    /// It did not work.
    pub bad: bool,
}

/// A row of the blocked hosts: whose, and which. Rows move; what is selected stays selected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The task.
    pub task: TaskId,
    /// The host.
    pub host: Text,
    /// The port.
    pub port: u16,
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// What is known of it between commands.
    pub record: Record,
    /// How it is, as far as it was asked.
    pub stats: Option<Stats>,
    /// Why its decisions do not come.
    pub lost: Option<String>,
    blocks: Blocks,
}

/// A row.
#[derive(Debug)]
pub struct Row<'a> {
    /// Where it belongs.
    pub place: Place,
    /// What was refused.
    pub blocked: &'a Blocked,
    /// What was decided about it here, and nothing was refused since.
    pub settled: Option<&'a str>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Model {
    tasks: Vec<Task>,
    only: Option<TaskId>,
    selected: Option<Place>,
    settled: HashMap<Place, (String, Timestamp)>,
    feed: VecDeque<(TaskId, Box<Event>)>,
    /// What was said last.
    pub note: Note,
}

impl Model {
    /// Of all tasks, or of one.
    #[must_use]
    pub fn new(only: Option<TaskId>) -> Model {
        Model {
            only,
            ..Model::default()
        }
    }

    /// The tasks that are shown.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        let is_shown = |task: &&Task| self.shows(&task.record.task);
        self.tasks.iter().filter(is_shown)
    }

    /// The one task that is shown, if it is one.
    #[must_use]
    pub fn only(&self) -> Option<&TaskId> {
        self.only.as_ref()
    }

    /// A task's name; with its project's where there are several.
    #[must_use]
    pub fn name(&self, id: &TaskId) -> String {
        let mut projects = self.tasks.iter().map(|task| &task.record.task.project);
        match projects.all(|project| *project == id.project) {
            true => id.task.to_string(),
            false => format!("{}/{}", id.project, id.task),
        }
    }

    /// The record of a task.
    #[must_use]
    pub fn record(&self, id: &TaskId) -> Option<&Record> {
        let mut tasks = self.tasks.iter();
        tasks
            .find(|task| task.record.task == *id)
            .map(|task| &task.record)
    }

    fn shows(&self, id: &TaskId) -> bool {
        self.only.as_ref().is_none_or(|only| only == id)
    }

    /// The blocked hosts: the loud ones first, and of each kind the newest host first. A host that
    /// is refused again stays where it is.
    #[must_use]
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<_> = self
            .tasks()
            .flat_map(|task| task.blocks.hosts().iter().map(move |host| (task, host)))
            .map(|(task, blocked)| {
                let place = Place {
                    task: task.record.task.clone(),
                    host: blocked.host.clone(),
                    port: blocked.port,
                };
                let settled = self.settled.get(&place).map(|(text, _)| text.as_str());
                Row {
                    place,
                    blocked,
                    settled,
                }
            })
            .collect();
        rows.sort_by_key(|row| (row.blocked.quiet, std::cmp::Reverse(row.blocked.first)));
        rows
    }

    /// Refusals that are in no row.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.tasks().map(|task| task.blocks.other).sum()
    }

    /// The index of the selected row.
    #[must_use]
    pub fn selected(&self, rows: &[Row<'_>]) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        rows.iter().position(|row| row.place == *selected)
    }

    /// The last decisions, the newest last.
    pub fn feed(&self) -> impl DoubleEndedIterator<Item = (&TaskId, &Event)> {
        self.feed
            .iter()
            .filter(|(id, _)| self.shows(id))
            .map(|(id, event)| (id, &**event))
    }

    /// Takes what happened.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::Tasks(records) => self.take_tasks(records),
            Message::Event(id, event) => self.take_event(id, event),
            Message::Stats(id, stats) => {
                if let Some(task) = self.task(&id) {
                    task.stats = Some(*stats);
                }
            }
            Message::Followed(id) => {
                if let Some(task) = self.task(&id) {
                    task.lost = None;
                }
            }
            Message::Lost(id, why) => {
                if let Some(task) = self.task(&id) {
                    task.lost = Some(why);
                }
            }
        }
    }

    fn task(&mut self, id: &TaskId) -> Option<&mut Task> {
        let mut tasks = self.tasks.iter_mut();
        tasks.find(|task| task.record.task == *id)
    }

    fn take_tasks(&mut self, records: Vec<Record>) {
        let mut old = std::mem::take(&mut self.tasks);
        self.tasks = records
            .into_iter()
            .map(|record| {
                // Brought up anew under its name is another task.
                let at = old
                    .iter()
                    .position(|task| {
                        task.record.task == record.task && task.record.since == record.since
                    })
                    .map(|at| old.swap_remove(at));
                match at {
                    Some(task) => Task { record, ..task },
                    None => Task {
                        record,
                        stats: None,
                        lost: None,
                        blocks: Blocks::default(),
                    },
                }
            })
            .collect();
        let gone: Vec<_> = old.into_iter().map(|task| task.record.task).collect();
        self.settled.retain(|place, _| !gone.contains(&place.task));
        self.feed.retain(|(id, _)| !gone.contains(id));
        if self
            .selected
            .as_ref()
            .is_some_and(|place| gone.contains(&place.task))
        {
            self.selected = None;
        }
    }

    fn take_event(&mut self, id: TaskId, event: Box<Event>) {
        let Some(task) = self.task(&id) else {
            return;
        };
        task.blocks.add(&event);
        if is_blocked(&event) {
            let place = Place {
                task: id.clone(),
                host: event.host.clone(),
                port: event.port,
            };
            let before = self.settled.get(&place);
            if before.is_some_and(|(_, at)| *at < event.time) {
                self.settled.remove(&place);
            }
        }
        if self.feed.len() == MOST_LINES {
            self.feed.pop_front();
        }
        self.feed.push_back((id, event));
    }

    /// A change was made: the row says so until it is refused again.
    pub fn settle(&mut self, task: TaskId, target: &str, text: &str, now: Timestamp) {
        let rows = self.rows();
        let places: Vec<_> = rows
            .into_iter()
            .filter(|row| row.place.task == task)
            .filter(|row| changeable(row.blocked).as_deref() == Ok(target))
            .map(|row| row.place)
            .collect();
        for place in places {
            self.settled.insert(place, (text.to_owned(), now));
        }
    }

    /// What a key asks for; what it only changes here is done.
    pub fn press(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Char('q') => return Some(Action::Quit),
            Key::Up | Key::Char('k') => self.step(-1),
            Key::Down | Key::Char('j') => self.step(1),
            Key::PageUp => self.step(-10),
            Key::PageDown => self.step(10),
            Key::Home => self.step(isize::MIN),
            Key::End => self.step(isize::MAX),
            Key::Escape => {
                self.selected = None;
                self.note = Note::default();
            }
            Key::Tab | Key::Char('t') => self.next_task(),
            Key::Char(letter) => return self.choose(Choice::of(letter)?),
        }
        None
    }

    fn step(&mut self, by: isize) {
        let rows = self.rows();
        let Some(last) = rows.len().checked_sub(1) else {
            return;
        };
        let next = match self.selected(&rows) {
            Some(at) => at.saturating_add_signed(by).min(last),
            // The first step selects: no key does anything to a row that nobody chose.
            None if by > 0 && by != isize::MAX => 0,
            None if by == isize::MIN => 0,
            None => last,
        };
        let place = rows.into_iter().nth(next).map(|row| row.place);
        self.selected = place;
    }

    fn next_task(&mut self) {
        let ids: Vec<_> = self.tasks.iter().map(|t| t.record.task.clone()).collect();
        self.only = match &self.only {
            None => ids.first().cloned(),
            Some(only) => {
                let at = ids.iter().position(|id| id == only);
                at.and_then(|at| ids.get(at + 1)).cloned()
            }
        };
    }

    fn choose(&mut self, choice: Choice) -> Option<Action> {
        let rows = self.rows();
        let row = self.selected(&rows).and_then(|at| rows.into_iter().nth(at));
        let Some(row) = row else {
            self.note = Note {
                text: "choose a host with the arrows first".to_owned(),
                bad: true,
            };
            return None;
        };
        match changeable(row.blocked) {
            Ok(target) => {
                let task = row.place.task;
                self.note = Note {
                    text: format!("{}: {target} …", task.task),
                    bad: false,
                };
                Some(Action::Change(task, choice, target))
            }
            Err(why) => {
                self.note = Note {
                    text: why,
                    bad: true,
                };
                None
            }
        }
    }
}

/// What `agentnet allow` and `deny` would be given for this row; or why no key opens it.
fn changeable(blocked: &Blocked) -> Result<String, String> {
    let by_hand = |what: &str| {
        format!(
            "{}: {what}; that is for .agentnet/whitelist.txt, by hand",
            blocked.target()
        )
    };
    match blocked.reason {
        Reason::NotListed
        | Reason::RuleDenied
        | Reason::PortNotListed
        | Reason::MethodNotListed
        | Reason::PathNotListed => {}
        Reason::NotTls => return Err(by_hand("it needs the word raw")),
        Reason::PrivateAddress => return Err(by_hand("it needs the word private")),
        Reason::BudgetSpent => return Err(by_hand("its bytes are spent, it needs another up=")),
        Reason::ResolveFailed
        | Reason::ConnectFailed
        | Reason::UpstreamFailed
        | Reason::TimedOut => {
            return Err(format!("{}: it is permitted, and failed", blocked.target()));
        }
        Reason::Allowed
        | Reason::HostMismatch
        | Reason::UpgradeNotListed
        | Reason::ClientNotAllowed
        | Reason::Loop
        | Reason::SniMismatch
        | Reason::SniMissing
        | Reason::EchRefused
        | Reason::PolicyChanged
        | Reason::BadRequest
        | Reason::AuthRequired
        | Reason::TooManyConnections => {
            let why = blocked.reason.clause();
            return Err(format!("{}: {why}; no line changes that", blocked.target()));
        }
    }
    match Host::parse(blocked.host.as_str()) {
        Ok(Host::Name(name)) => Ok(match blocked.port {
            80 | 443 => name.as_str().to_owned(),
            port => format!("{}:{port}", name.as_str()),
        }),
        Ok(Host::Ip(_)) => Err(by_hand("an address is opened with its port and its words")),
        Err(_) => Err(format!("{}: no line can be for that", blocked.target())),
    }
}

#[cfg(test)]
mod tests;
