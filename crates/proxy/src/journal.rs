//! Where events go: stdout, and whoever watches `/events`. Never at the cost of a request.
//!
//! A request hands its event to a bounded queue and goes on; a full queue loses the event and counts
//! it. One task turns events into lines; a thread of its own writes them, because a stdout that
//! nobody reads blocks for ever, and must not take the watchers with it. Both rest a moment after
//! they have worked: waking somebody costs more than an event, and so happens once for many.

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
/// How long task and thread rest when they have nothing left to do. The queues hold what comes
/// meanwhile.
const REST: Duration = Duration::from_millis(1);
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

/// A handle to the journal; clones are the same journal.
#[derive(Clone)]
pub struct Journal {
    queue: mpsc::Sender<Message>,
    watchers: broadcast::Sender<Bytes>,
    recent: Arc<Mutex<VecDeque<Bytes>>>,
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
        (recent.iter().skip(skip).cloned().collect(), stream)
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
    recent: Arc<Mutex<VecDeque<Bytes>>>,
    dropped: IntCounter,
}

impl Feed {
    fn publish(&self, line: &Bytes) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(line.clone());
        // An error says that nobody watches.
        self.watchers.send(line.clone()).ok();
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
    while let Some(message) = incoming.recv().await {
        let line = match message {
            Message::Event(event) => {
                let Some(json) = json_line(&event) else {
                    continue;
                };
                feed.publish(&json);
                match format {
                    LogFormat::Json => Line::Text(json),
                    LogFormat::Text => Line::Text(text::line(&event).into()),
                    // Its record says it, in several lines.
                    LogFormat::Tinyproxy { .. } => continue,
                }
            }
            Message::Said(said) => {
                let (time, level, text) = *said;
                let Some(pen) = &pen else { continue };
                Line::Text(pen.line(time, level, &text).into())
            }
            Message::Flush(done) => Line::Flush(done),
        };
        match lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => feed.dropped.inc(),
        }
        if incoming.is_empty() {
            sleep(REST).await;
        }
    }
}

fn json_line(event: &Event) -> Option<Bytes> {
    let mut line = serde_json::to_vec(event).ok()?;
    line.push(b'\n');
    Some(line.into())
}

fn write(lines: Receiver<Line>, sink: Box<dyn Write + Send>, dropped: IntCounter) {
    let mut outlet = Outlet::new(sink, dropped);
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut flushed = None;
        while let Some(line) = next {
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
        std::thread::sleep(REST);
    }
}

#[cfg(test)]
mod tests;
