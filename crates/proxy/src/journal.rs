//! Where events go: stdout, and whoever watches `/events`. Never at the cost of a request.
//!
//! A request hands its event to a bounded queue and goes on; a full queue loses the event and counts
//! it. One task turns events into lines; a thread of its own writes them, because a stdout that
//! nobody reads blocks for ever, and must not take the watchers with it. Both rest a moment after
//! they have worked, a longer one where much is going on: waking somebody costs more than an event, and so
//! happens once for many.

mod outlet;
mod text;
mod tinyproxy;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentnet_policy::Event;
use agentnet_policy::tinyproxy::LogLevel;
use bytes::Bytes;
use jiff::Timestamp;
use prometheus::IntCounter;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::sleep;

use self::outlet::Outlet;
use self::tinyproxy::Pen;
pub use self::tinyproxy::Style;
use crate::diagnostic;
use crate::metrics::Metrics;
use crate::settings::LogFormat;

/// Events waiting to become lines.
const QUEUE: usize = 4096;
/// Lines waiting for stdout.
const LINES: usize = 4096;
/// Lines a slow watcher may be behind.
const WATCHER_LAG: usize = 1024;
/// Lines that a new watcher can ask for.
const RECENT: usize = 256;
/// Bytes that most lines of JSON do not exceed.
const USUAL_LINE: usize = 512;
/// How long task and thread rest when they have nothing left to do. The queues hold what comes
/// meanwhile.
const REST: Duration = Duration::from_millis(1);
/// The same after a rest in which more than [`FEW`] came.
const LONG_REST: Duration = Duration::from_millis(10);
/// What one request and its end leave.
const FEW: usize = 2;
/// Bytes written at once.
const BATCH: usize = 64 * 1024;

enum Message {
    Event(Box<Event>),
    Said(Box<(Timestamp, LogLevel, String)>),
    Flush(oneshot::Sender<()>),
}

enum Line {
    Text(Bytes),
    Flush(oneshot::Sender<()>),
}

/// The last events, oldest first; they become lines when somebody asks for them.
type Recent = Arc<Mutex<VecDeque<Box<Event>>>>;

/// A handle to the journal; clones are the same journal.
#[derive(Clone)]
pub struct Journal {
    queue: mpsc::Sender<Message>,
    watchers: broadcast::Sender<Bytes>,
    recent: Recent,
    dropped: IntCounter,
    words: Option<Arc<AtomicU8>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Starts the writing thread and returns the journal with the task that feeds it.
    pub fn start(
        format: LogFormat,
        sink: Box<dyn Write + Send>,
        metrics: &Metrics,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, incoming) = mpsc::channel(QUEUE);
        let (watchers, _) = broadcast::channel(WATCHER_LAG);
        let (lines, outgoing) = sync_channel(LINES);
        // The thread ends when the feeding task is gone; nobody waits for it.
        let writer = std::thread::Builder::new().name("journal".to_owned());
        let lost = metrics.events_dropped_log.clone();
        if let Err(error) = writer.spawn(move || write(outgoing, sink, lost)) {
            diagnostic::error(format_args!("no thread for the event log: {error}"));
        }
        let recent = Arc::new(Mutex::new(VecDeque::new()));
        let dropped = metrics.events_dropped_log.clone();
        let words = match format {
            LogFormat::Tinyproxy { level, .. } => Some(Arc::new(AtomicU8::new(level as u8))),
            LogFormat::Json | LogFormat::Text => None,
        };
        let journal = Self {
            queue,
            watchers,
            recent,
            dropped,
            words,
        };
        let feed = feed(journal.clone_for_feed(), incoming, lines, format);
        (journal, feed)
    }

    fn clone_for_feed(&self) -> Feed {
        Feed {
            watchers: self.watchers.clone(),
            recent: Arc::clone(&self.recent),
            dropped: self.dropped.clone(),
        }
    }

    /// Takes an event, or counts it as lost. Never waits.
    pub fn record(&self, event: Event) {
        if self
            .queue
            .try_send(Message::Event(Box::new(event)))
            .is_err()
        {
            self.dropped.inc();
        }
    }

    /// Writes a line in Tinyproxy's words, if that is how the log is kept and the level is wanted;
    /// else `text` is never made. Never waits.
    pub fn say(&self, level: LogLevel, text: impl FnOnce() -> String) {
        let wanted = |least: &Arc<AtomicU8>| level as u8 <= least.load(Ordering::Relaxed);
        if !self.words.as_ref().is_some_and(wanted) {
            return;
        }
        let said = Box::new((Timestamp::now(), level, text()));
        if self.queue.try_send(Message::Said(said)).is_err() {
            self.dropped.inc();
        }
    }

    /// True if the log is kept in Tinyproxy's words.
    #[must_use]
    pub fn speaks_tinyproxy(&self) -> bool {
        self.words.is_some()
    }

    /// From now on lines of this level and above are written.
    pub fn set_level(&self, level: LogLevel) {
        if let Some(least) = &self.words {
            least.store(level as u8, Ordering::Relaxed);
        }
    }

    /// The last lines, at most `last` and never more than 256, and the stream from here on.
    #[must_use]
    pub fn watch(&self, last: usize) -> (Vec<Bytes>, broadcast::Receiver<Bytes>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock that the feed holds while it sends: no line is missed or seen twice.
        let stream = self.watchers.subscribe();
        let skip = recent.len().saturating_sub(last);
        let lines = recent
            .iter()
            .skip(skip)
            .filter_map(|event| json_line(event));
        (lines.collect(), stream)
    }

    /// Resolves when all that was recorded before has been written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            // An error means that the writer is gone: then nothing more will be written either.
            written.await.ok();
        }
    }
}

struct Feed {
    watchers: broadcast::Sender<Bytes>,
    recent: Recent,
    dropped: IntCounter,
}

impl Feed {
    /// Keeps the event for who comes, and gives its line to those who watch. `line` is that line, where
    /// there is one already.
    fn publish(&self, event: Box<Event>, line: Option<&Bytes>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if self.watchers.receiver_count() > 0 {
            let line = line.cloned().or_else(|| json_line(&event));
            // An error says that nobody watches any more.
            line.map(|line| self.watchers.send(line).ok());
        }
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(event);
    }
}

async fn feed(
    feed: Feed,
    mut incoming: mpsc::Receiver<Message>,
    lines: SyncSender<Line>,
    format: LogFormat,
) {
    let pen = match format {
        LogFormat::Tinyproxy { style, .. } => Some(Pen::new(style)),
        LogFormat::Json | LogFormat::Text => None,
    };
    let mut taken = 0;
    while let Some(message) = incoming.recv().await {
        taken += 1;
        let line = match message {
            Message::Event(event) => {
                let line = match format {
                    LogFormat::Json => json_line(&event).map(Line::Text),
                    LogFormat::Text => Some(Line::Text(text::line(&event).into())),
                    // Its record says it, in several lines.
                    LogFormat::Tinyproxy { .. } => None,
                };
                let json = match (format, &line) {
                    (LogFormat::Json, Some(Line::Text(json))) => Some(json),
                    _ => None,
                };
                feed.publish(event, json);
                line
            }
            Message::Said(said) => {
                let (time, level, text) = *said;
                let line = pen.as_ref().map(|pen| pen.line(time, level, &text));
                line.map(|line| Line::Text(line.into()))
            }
            Message::Flush(done) => Some(Line::Flush(done)),
        };
        match line.map(|line| lines.try_send(line)) {
            None | Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => feed.dropped.inc(),
        }
        if incoming.is_empty() {
            sleep(rest(taken)).await;
            taken = 0;
        }
    }
}

/// How long to rest after so many came at once.
fn rest(came: usize) -> Duration {
    if came > FEW { LONG_REST } else { REST }
}

fn json_line(event: &Event) -> Option<Bytes> {
    let mut line = Vec::with_capacity(USUAL_LINE);
    serde_json::to_writer(&mut line, event).ok()?;
    line.push(b'\n');
    Some(line.into())
}

fn write(lines: Receiver<Line>, sink: Box<dyn Write + Send>, dropped: IntCounter) {
    let mut outlet = Outlet::new(sink, dropped);
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut flushed = None;
        let mut taken = 0;
        while let Some(line) = next {
            taken += 1;
            match line {
                Line::Text(text) => batch.extend_from_slice(&text),
                Line::Flush(done) => flushed = Some(done),
            }
            next = if batch.len() < BATCH && flushed.is_none() {
                lines.try_recv().ok()
            } else {
                None
            };
        }
        outlet.put(&batch);
        batch.clear();
        if let Some(done) = flushed {
            // Whoever asked may have gone.
            done.send(()).ok();
        }
        std::thread::sleep(rest(taken));
    }
}

#[cfg(test)]
mod tests;
