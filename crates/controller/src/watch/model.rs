//! What is on the screen, and what a key means. Pure: no clock, no terminal, no engine.

use std::collections::{HashMap, VecDeque};

use agentnet_policy::event::{Event, Text};
use agentnet_policy::{Host, Reason};
use jiff::Timestamp;

use super::Message;
use crate::decisions::{Blocked, Blocks, is_blocked};
use crate::record::Record;
use crate::stats::Stats;
use crate::task::TaskId;

/// Decisions that are kept for the lower part.
const MOST_LINES: usize = 500;

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
    fn of(key: char) -> Option<Choice> {
        match key {
            'a' => Some(Choice::Allow),
            'o' => Some(Choice::Once),
            's' => Some(Choice::Save),
            'd' => Some(Choice::Deny),
            _ => None,
        }
    }
}

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
mod tests {
    use super::*;
    use crate::decisions::made::{allowed, denied};
    use crate::record::made;

    fn id(task: &str) -> TaskId {
        TaskId {
            project: "shop".parse().unwrap(),
            task: task.parse().unwrap(),
        }
    }

    fn record(task: &str) -> Record {
        Record {
            task: id(task),
            ..made()
        }
    }

    fn model(events: &[(&str, Event)]) -> Model {
        let mut model = Model::new(None);
        model.take(Message::Tasks(vec![record("one"), record("two")]));
        for (task, event) in events {
            model.take(Message::Event(id(task), Box::new(event.clone())));
        }
        model
    }

    fn hosts(model: &Model) -> Vec<String> {
        model
            .rows()
            .iter()
            .map(|row| {
                format!(
                    "{} {} {}",
                    row.place.task.task, row.blocked.host, row.blocked.count
                )
            })
            .collect()
    }

    fn quiet(event: Event) -> Event {
        Event {
            quiet: true,
            ..event
        }
    }

    #[test]
    fn refusals_are_folded_by_task_and_host_with_the_newest_on_top_and_the_quiet_below() {
        let model = model(&[
            ("one", denied("a.example", 1)),
            ("one", allowed("fine.example", 2)),
            ("one", quiet(denied("t.example", 9))),
            ("two", denied("a.example", 3)),
            ("one", denied("b.example", 4)),
            ("one", denied("a.example", 8)),
        ]);
        assert_eq!(
            hosts(&model),
            [
                "one b.example 1",
                "two a.example 1",
                "one a.example 2",
                "one t.example 1"
            ]
        );
        assert_eq!(model.feed().count(), 6);
    }

    #[test]
    fn a_key_changes_nothing_until_a_row_was_chosen_and_then_that_row() {
        let mut model = model(&[("one", denied("a.example", 1))]);
        assert_eq!(model.press(Key::Char('a')), None);
        assert!(model.note.bad);
        model.press(Key::Down);
        // Another host comes above it, and is not the one that was chosen.
        model.take(Message::Event(
            id("two"),
            Box::new(denied("evil.example", 5)),
        ));
        for (key, choice) in [
            ('a', Choice::Allow),
            ('o', Choice::Once),
            ('s', Choice::Save),
            ('d', Choice::Deny),
        ] {
            let action = Action::Change(id("one"), choice, "a.example".to_owned());
            assert_eq!(model.press(Key::Char(key)), Some(action));
        }
        assert_eq!(model.press(Key::Char('x')), None);
        assert_eq!(model.press(Key::Char('q')), Some(Action::Quit));
    }

    #[test]
    fn arrows_stay_within_the_rows() {
        let mut model = model(&[
            ("one", denied("a.example", 1)),
            ("one", denied("b.example", 2)),
        ]);
        let mut at = |keys: &[Key]| {
            keys.iter().for_each(|key| {
                model.press(*key);
            });
            model.selected(&model.rows())
        };
        assert_eq!(at(&[Key::Down]), Some(0));
        assert_eq!(at(&[Key::Down, Key::Down, Key::PageDown]), Some(1));
        assert_eq!(at(&[Key::PageUp, Key::Up]), Some(0));
        assert_eq!(at(&[Key::End]), Some(1));
        assert_eq!(at(&[Key::Home]), Some(0));
        assert_eq!(at(&[Key::Escape]), None);
        assert_eq!(at(&[Key::Up]), Some(1));
        assert_eq!(Model::new(None).press(Key::Down), None);
    }

    #[test]
    fn only_what_a_line_can_open_is_opened_by_a_key() {
        let of = |event: Event| {
            let mut blocks = Blocks::default();
            blocks.add(&event);
            changeable(&blocks.hosts()[0])
        };
        assert_eq!(of(denied("a.example", 1)).unwrap(), "a.example");
        let other = Event {
            port: 8443,
            ..denied("a.example", 1)
        };
        assert_eq!(of(other).unwrap(), "a.example:8443");
        for host in ["10.0.0.1", "[::1]", "", "a b", "*", "x\u{fffd}"] {
            assert!(of(denied(host, 1)).is_err(), "{host:?}");
        }
        for reason in [
            Reason::NotTls,
            Reason::PrivateAddress,
            Reason::ResolveFailed,
            Reason::Loop,
        ] {
            let event = Event {
                reason,
                ..denied("a.example", 1)
            };
            assert!(of(event).is_err(), "{reason}");
        }
    }

    #[test]
    fn a_settled_row_says_so_until_it_is_refused_again() {
        let mut model = model(&[
            ("one", denied("a.example", 1)),
            ("two", denied("a.example", 1)),
        ]);
        let now = denied("", 5).time;
        model.settle(id("one"), "a.example", "allowed", now);
        let settled = |model: &Model| -> Vec<bool> {
            let rows = model.rows();
            let of = |task: &str| rows.iter().find(|row| row.place.task == id(task)).unwrap();
            vec![of("one").settled.is_some(), of("two").settled.is_some()]
        };
        assert_eq!(settled(&model), [true, false]);
        // One that was on its way.
        model.take(Message::Event(id("one"), Box::new(denied("a.example", 4))));
        assert_eq!(settled(&model), [true, false]);
        model.take(Message::Event(id("one"), Box::new(denied("a.example", 6))));
        assert_eq!(settled(&model), [false, false]);
    }

    #[test]
    fn tasks_come_and_go_and_one_that_is_brought_up_anew_begins_empty() {
        let mut model = model(&[
            ("one", denied("a.example", 1)),
            ("two", denied("b.example", 2)),
        ]);
        model.press(Key::Down);
        model.take(Message::Tasks(vec![record("one")]));
        assert_eq!(hosts(&model), ["one a.example 1"]);
        assert_eq!(model.selected(&model.rows()), None, "its row has gone");
        model.take(Message::Event(
            id("two"),
            Box::new(denied("late.example", 3)),
        ));
        assert_eq!(model.feed().count(), 1);
        let anew = Record {
            since: Timestamp::from_second(7).unwrap(),
            ..record("one")
        };
        model.take(Message::Tasks(vec![anew]));
        assert_eq!(hosts(&model), Vec::<String>::new());
    }

    #[test]
    fn one_task_can_be_looked_at_alone() {
        let mut model = model(&[
            ("one", denied("a.example", 1)),
            ("two", denied("b.example", 2)),
        ]);
        let mut shown = |key| {
            model.press(key);
            (
                model.tasks().count(),
                hosts(&model).len(),
                model.feed().count(),
            )
        };
        assert_eq!(shown(Key::Tab), (1, 1, 1));
        assert_eq!(shown(Key::Tab), (1, 1, 1));
        assert_eq!(shown(Key::Tab), (2, 2, 2));
    }

    #[test]
    fn decisions_without_end_are_kept_within_bounds() {
        let mut model = model(&[]);
        for number in 0..3_000 {
            let event = denied(&format!("{number}.example"), number);
            model.take(Message::Event(id("one"), Box::new(event)));
        }
        assert_eq!(model.feed().count(), MOST_LINES);
        assert_eq!(model.rows().len(), crate::decisions::MOST_HOSTS);
        assert_eq!(model.others(), 2_500);
    }
}
