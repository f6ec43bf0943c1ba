//! Reads decisions from where they are, for ever, and tells of those that matter.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use agentnet_policy::event::Event;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::memory::Memory;
use super::program::Controller;
use super::refusal::{LONGEST_LINE, Sighting, of_event, of_watch};
use super::stream::{Events, open};
use super::tracker::{Tracker, id};
use crate::desk::unix_now;
use crate::incoming::{Incoming, IncomingSender};
use crate::notice::TaskName;

/// Time until a source that ended is tried again, doubled each time.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest such time.
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// How often what is due without anything seen is looked for.
const TICK: Duration = Duration::from_secs(5);
/// Earlier decisions of each task that are asked for: what happened while nobody looked.
const HISTORY: &str = "500";
/// Seconds that such a decision may be old.
const STALE: u64 = 60 * 60;
/// How long a program may take to end that has closed its output.
const PARTING: Duration = Duration::from_secs(5);
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;
/// Sightings on their way.
const ROOM: usize = 256;

/// Where decisions come from.
#[derive(Debug)]
pub(super) enum Source {
    /// All tasks of the controller's.
    Controller(Controller),
    /// A proxy's admin listener.
    Events(Events),
}

/// Says of a source what a person should know; said twice, it is shown once.
pub(super) type Trouble<'a> = &'a (dyn Fn(&str) + Sync);

/// Takes all sources' decisions to whoever shows them, until nobody does. `noted`: where it is
/// written down how far we are.
pub(super) async fn run(
    sources: Vec<Source>,
    noted: PathBuf,
    sender: IncomingSender,
    trouble: Trouble<'_>,
) {
    let (seen, sightings) = mpsc::channel(ROOM);
    let follow = futures_util::future::join_all(
        sources
            .iter()
            .map(|source| follow(source, seen.clone(), trouble)),
    );
    tokio::select! {
        _ = follow => {}
        () = tell(sightings, noted, &sender) => {}
    }
}

/// Follows one source, and again when it ended.
async fn follow(source: &Source, seen: mpsc::Sender<Sighting>, trouble: Trouble<'_>) {
    let mut wait = AGAIN;
    loop {
        let begun = tokio::time::Instant::now();
        let why = match source {
            Source::Controller(controller) => watch(controller, &seen).await,
            Source::Events(events) => stream(events, &seen).await,
        };
        trouble(&why);
        if begun.elapsed() > AGAIN_AT_MOST {
            wait = AGAIN;
        }
        sleep(wait).await;
        wait = (wait * 2).min(AGAIN_AT_MOST);
    }
}

/// One run of `agentnet watch`; why it ended.
async fn watch(controller: &Controller, seen: &mpsc::Sender<Sighting>) -> String {
    let name = controller.name();
    let mut command = controller.command(&[
        "--quiet",
        "watch",
        "--json",
        "--with-parent",
        "--tail",
        HISTORY,
    ]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => {
            return format!(
                "{name} could not be run: {e}; blocked hosts are not told of (--agentnet names it)"
            );
        }
    };
    if let Some(mut out) = child.stdout.take() {
        let mut lines = Lines::default();
        let mut bytes = vec![0; PIECE];
        while let Ok(length @ 1..) = out.read(&mut bytes).await {
            for line in lines.feed(bytes.get(..length).unwrap_or_default()) {
                if let Some(sighting) = of_watch(&line) {
                    // Nobody takes it any more: then we are dropped as well.
                    seen.send(sighting).await.ok();
                }
            }
        }
    }
    // It says no more. One that lives on has no other chance.
    match timeout(PARTING, child.wait()).await {
        Ok(Ok(status)) => format!("{name} watch ended ({status}); it is started again"),
        Ok(Err(e)) => format!("{name} watch: {e}"),
        Err(_) => format!("{name} watch has nothing to say any more; it is started again"),
    }
}

/// One stream of a proxy's events; why it ended.
async fn stream(events: &Events, seen: &mpsc::Sender<Sighting>) -> String {
    let mut body = match open(events).await {
        Ok(body) => body,
        Err(why) => return format!("{events}: {why}; blocked hosts are not told of"),
    };
    let mut lines = Lines::default();
    while let Some(bytes) = body.next().await {
        for line in lines.feed(&bytes) {
            let Ok(event) = serde_json::from_slice::<Event>(&line) else {
                continue;
            };
            // Its listener is all that says whose it is.
            let task = TaskName::new("proxy", event.listener.as_str())
                .or_else(|| TaskName::new("proxy", "proxy"));
            if let Some(sighting) = task.and_then(|task| of_event(task, &event)) {
                seen.send(sighting).await.ok();
            }
        }
    }
    format!("{events} ended; it is opened again")
}

/// Makes notices of what was seen.
async fn tell(mut sightings: mpsc::Receiver<Sighting>, path: PathBuf, sender: &IncomingSender) {
    let now = unix_now();
    let mut tracker = Tracker::default();
    let mut memory = Memory::open(path, now);
    for (task, target, at) in memory.told() {
        tracker.remember(task, target, at, now);
    }
    // Without an earlier bridge, nothing before this moment.
    let since = memory
        .newest()
        .map_or(now, |at| at.max(now.saturating_sub(STALE)));
    let mut begin = Begin { since, before: now };
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due: Vec<Incoming> = tokio::select! {
            seen = sightings.recv() => {
                let Some(seen) = seen else { return };
                if begin.is_before(seen.at, unix_now()) {
                    continue;
                }
                memory.saw(seen.at);
                let (task, target) = (seen.task.clone(), seen.target.clone());
                let due = tracker.take(seen, unix_now());
                let alone = id(&task, &target.line());
                if matches!(&due, Some(Incoming::Show(notice)) if notice.id == alone) {
                    memory.told_of(task, &target, unix_now());
                }
                due.into_iter().collect()
            }
            _ = tick.tick() => tracker.tick(unix_now()),
            () = memory.due() => {
                memory.write(unix_now());
                continue;
            }
        };
        for incoming in due {
            if sender.send(incoming).await.is_err() {
                return;
            }
        }
    }
}

/// Up to when an earlier bridge has told of everything.
struct Begin {
    since: u64,
    /// The time when that was known.
    before: u64,
}

impl Begin {
    fn is_before(&mut self, at: u64, now: u64) -> bool {
        if now < self.before {
            // The clock was set back: what it said of earlier says nothing any more.
            *self = Self {
                since: self.since.min(now),
                before: now,
            };
        }
        at < self.since
    }
}

/// Takes bytes, gives whole lines. One that is too long is passed over.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    too_long: bool,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            self.too_long |= self.line.len() + piece.len() > LONGEST_LINE;
            if !self.too_long {
                self.line.extend_from_slice(piece);
            }
            if ends {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.too_long) {
                    whole.push(line);
                }
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests;
