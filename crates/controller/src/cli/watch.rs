//! `agentnet watch`

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{
    Event as TerminalEvent, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep_until};

use super::Format;
use super::allow::apply;
use super::context::{Context, connect};
use crate::engine::bollard::BollardEngine;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::output::printable;
use crate::paths::StateDir;
use crate::policy::Change;
use crate::record::Record;
use crate::task::{Slug, TaskId};
use crate::terminal::is_interactive;
use crate::watch::key::{Action, Choice, Key};
use crate::watch::known::Known;
use crate::watch::model::{Model, Note};
use crate::watch::screen::{Look, draw};
use crate::watch::source::{Surroundings, run};
use crate::watch::terminal::Screen;
use crate::watch::{Message, plain};

/// Messages between the source and us.
const ON_THE_WAY: usize = 1_024;
/// Messages that are taken before the screen is drawn again.
const AT_ONCE: usize = 256;
/// Least time between two pictures.
const FRAME: Duration = Duration::from_millis(50);
/// How long `o` allows.
const A_WHILE: i64 = 10 * 60;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this task
    task: Option<Slug>,
    /// Lines instead of a screen; so it is without a terminal
    #[arg(long)]
    plain: bool,
    /// Earlier decisions of each task to begin with [default: 500, with lines 10]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=5000))]
    tail: Option<u32>,
    /// End with whoever started it, however that ends
    #[arg(long, hide = true)]
    with_parent: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

/// The tasks of this installation.
struct Here {
    state: StateDir,
    project: Option<Slug>,
    only: Option<TaskId>,
    known: Known,
}

impl Surroundings for Here {
    type Engine = BollardEngine;

    fn records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let ids = self.state.tasks()?;
        self.known.keep(&ids);
        for id in ids {
            let wanted = match (&self.only, &self.project) {
                (Some(only), _) => *only == id,
                (None, Some(project)) => *project == id.project,
                (None, None) => true,
            };
            // One that cannot be read is no reason not to see the others.
            if wanted {
                records.extend(self.known.read(&id, &self.state.task(&id)));
            }
        }
        Ok(records)
    }

    fn engine_of(&self, record: &Record) -> Result<BollardEngine> {
        connect(&record.engine, &self.state)
    }
}

pub(super) async fn watch(context: &Context, args: Args) -> Result<u8> {
    if args.with_parent {
        // A task that says nothing gives no line whose writing would fail.
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(std::io::Error::from)?;
    }
    let only = match &args.task {
        Some(task) => Some(context.find(task)?.0),
        None => None,
    };
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let lines = args.plain || context.output.json || !is_interactive() || dumb;
    let history = args.tail.unwrap_or(if lines { 10 } else { 500 });
    let here = Here {
        state: context.state.clone(),
        project: context.project.clone(),
        only: only.clone(),
        known: Known::default(),
    };
    let (sender, receiver) = channel(ON_THE_WAY);
    let source = run(
        Arc::new(here),
        history,
        !lines,
        context.tracker.clone(),
        sender,
    );
    context.tracker.spawn(source);
    if lines {
        print(context, receiver).await
    } else {
        Box::pin(show(context, only, receiver)).await
    }
}

/// A line a decision, until Ctrl-C.
async fn print(context: &Context, mut receiver: Receiver<Message>) -> Result<u8> {
    let cancel = context.interrupts()?;
    let mut said: Option<Vec<TaskId>> = None;
    loop {
        let message = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(Exit::Interrupted.code()),
            message = receiver.recv() => message,
        };
        match message {
            Some(Message::Event(id, event)) => {
                let line = match context.output.json {
                    true => plain::json(&id, &event),
                    false => plain::line(&id, &event),
                };
                if !context.output.line(&line)? {
                    return Ok(Exit::ReaderGone.code());
                }
            }
            Some(Message::Tasks(records)) => {
                let up: Vec<_> = records
                    .into_iter()
                    .filter(|record| record.phase.is_up())
                    .map(|record| record.task)
                    .collect();
                let first = said.is_none();
                let before = said.unwrap_or_default();
                for id in up.iter().filter(|id| !before.contains(id)) {
                    context.output.say(&format!("watching {id}"));
                }
                for id in before.iter().filter(|id| !up.contains(id)) {
                    context.output.say(&format!("{id} is down"));
                }
                if first && up.is_empty() {
                    context.output.say("no task is up yet");
                }
                said = Some(up);
            }
            Some(Message::Lost(id, why)) => context.output.step(&format!("{id}: {why}")),
            Some(Message::Stats(..) | Message::Followed(_)) => {}
            None => return Ok(Exit::Ok.code()),
        }
    }
}

/// The screen, until `q`, Ctrl-C or SIGTERM.
async fn show(
    context: &Context,
    only: Option<TaskId>,
    mut receiver: Receiver<Message>,
) -> Result<u8> {
    let cancel = context.interrupts()?;
    let mut model = Model::new(only);
    let mut screen = Screen::enter()?;
    let mut keys = EventStream::new();
    let mut changes = FuturesUnordered::new();
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let mut drawn = Instant::now();
    let mut picture = |model: &Model| -> Result<()> {
        let look = Look {
            color: context.output.color,
            now: Timestamp::now(),
            zone: zone.clone(),
        };
        screen.terminal.draw(|frame| draw(frame, model, &look))?;
        Ok(())
    };
    picture(&model)?;
    // Something is to be drawn by then: the clock, at the latest.
    let mut due = drawn + Duration::from_secs(1);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(Exit::Interrupted.code()),
            event = keys.next() => match event {
                Some(Ok(TerminalEvent::Key(event))) => match pressed(event, &mut model) {
                    Some(Action::Quit) => return Ok(Exit::Ok.code()),
                    Some(Action::Change(id, choice, target)) => {
                        let record = model.record(&id).cloned();
                        changes.push(change(context, id, record, choice, target));
                        due = Instant::now();
                    }
                    None => due = Instant::now(),
                },
                Some(Ok(_)) => due = Instant::now(),
                // The terminal is gone.
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(Exit::Ok.code()),
            },
            Some((id, target, outcome)) = changes.next(), if !changes.is_empty() => {
                settle(&mut model, id, &target, outcome);
                due = Instant::now();
            },
            () = sleep_until(due) => {
                picture(&model)?;
                drawn = Instant::now();
                due = drawn + Duration::from_secs(1);
            }
            message = receiver.recv() => {
                let Some(message) = message else {
                    return Ok(Exit::Ok.code());
                };
                model.take(message);
                for _ in 0..AT_ONCE {
                    match receiver.try_recv() {
                        Ok(message) => model.take(message),
                        Err(_) => break,
                    }
                }
                due = due.min(drawn + FRAME);
            }
        }
    }
}

/// What a key of the terminal's means.
fn pressed(event: KeyEvent, model: &mut Model) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let plain = !event
        .modifiers
        .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "keyboards have more keys than mean anything here"
    )]
    let key = match event.code {
        // In raw mode it is a key and no signal.
        KeyCode::Char('c') if event.modifiers == KeyModifiers::CONTROL => Key::Char('q'),
        KeyCode::Char(letter) if plain => Key::Char(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        _ => return None,
    };
    model.press(key)
}

/// What became of a change.
struct Settled {
    /// For the row.
    short: String,
    /// For the line below.
    sentence: String,
}

async fn change(
    context: &Context,
    id: TaskId,
    record: Option<Record>,
    choice: Choice,
    target: String,
) -> (TaskId, String, Result<Settled>) {
    let outcome = async {
        let record = record
            .filter(|record| record.phase.is_up())
            .ok_or_else(|| Error::Failed(format!("task {} is not up any more", id.task)))?;
        let change = match choice {
            Choice::Deny => Change::Deny,
            Choice::Allow | Choice::Save => Change::Allow(None),
            Choice::Once => {
                let until = Timestamp::now().as_second() + A_WHILE;
                let until = Timestamp::from_second(until);
                Change::Allow(Some(until.map_err(|e| Error::Usage(e.to_string()))?))
            }
        };
        let save = choice == Choice::Save;
        let hosts = [target.clone()];
        let changed = apply(context, &id, &record, &hosts, &change, save).await?;
        let also = match &changed.saved {
            Some(path) => format!(" and to {}", path.display()),
            None => String::new(),
        };
        let effect = changed.effects.first();
        let allowed = effect.and_then(|effect| effect.allowed);
        Ok(Settled {
            short: match (choice, allowed) {
                (_, Some(false)) => "refused now".to_owned(),
                (Choice::Once, _) => "allowed 10 min".to_owned(),
                (Choice::Allow | Choice::Save | Choice::Deny, _) => "allowed now".to_owned(),
            },
            sentence: format!(
                "wrote the line `{}` to the whitelist of task {}{also}: {}",
                changed.lines.join("`, `"),
                id.task,
                effect
                    .map(|effect| effect.sentence.as_str())
                    .unwrap_or_default()
            ),
        })
    }
    .await;
    (id, target, outcome)
}

fn settle(model: &mut Model, id: TaskId, target: &str, outcome: Result<Settled>) {
    model.note = match outcome {
        Ok(settled) => {
            model.settle(id, target, &settled.short, Timestamp::now());
            Note {
                text: settled.sentence,
                bad: false,
            }
        }
        Err(error) => Note {
            text: printable(&error.to_string()).replace('\n', " "),
            bad: true,
        },
    };
}
