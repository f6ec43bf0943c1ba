//! What the operator should know, on stderr. Decisions are events and go to stdout (`journal`).
//!
//! A stderr that nobody reads blocks whoever writes to it, for ever. So that it cannot hold up a
//! reload or the end of the program, a thread of its own writes for programs that serve.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use agentnet_policy::tinyproxy::LogLevel;
use agentnet_policy::{Problem, Severity};

/// Lines waiting for stderr; what does not find room is lost.
const LINES: usize = 1024;

/// How long the end of the program waits for stderr.
const PATIENCE: Duration = Duration::from_millis(500);

static BEHIND: OnceLock<SyncSender<Message>> = OnceLock::new();

/// Where what is said goes instead of stderr.
type Elsewhere = Box<dyn Fn(LogLevel, String) + Send + Sync>;

static ELSEWHERE: OnceLock<Elsewhere> = OnceLock::new();

/// From now on what is said goes to `log` and not to stderr: a log in Tinyproxy's words has all.
pub fn divert(log: impl Fn(LogLevel, String) + Send + Sync + 'static) {
    // Only the program itself does this, once.
    ELSEWHERE.set(Box::new(log)).ok();
}

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

/// From now on nobody waits for stderr. [`flush`] before the end.
pub fn write_behind() {
    let (queue, lines) = sync_channel(LINES);
    let writer = std::thread::Builder::new().name("stderr".to_owned());
    if writer.spawn(move || write(&lines)).is_ok() {
        // The second call finds the first one's thread at work; its own ends.
        BEHIND.set(queue).ok();
    }
    std::panic::set_hook(Box::new(|panic| error(panic)));
}

fn write(lines: &Receiver<Message>) {
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => put(&line),
            // Whoever asked may have gone.
            Message::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Waits a moment for what was said to be written.
pub fn flush() {
    let Some(queue) = BEHIND.get() else { return };
    let (done, written) = sync_channel(1);
    if queue.try_send(Message::Flush(done)).is_ok() {
        written.recv_timeout(PATIENCE).ok();
    }
}

fn put(line: &str) {
    // A closed stderr is no reason to end a connection.
    std::io::stderr().lock().write_all(line.as_bytes()).ok();
}

/// Something is wrong and stays wrong until somebody acts.
pub fn error(text: impl fmt::Display) {
    say(LogLevel::Error, "error", &text);
}

/// Something is not as it should be; the proxy goes on.
pub fn warn(text: impl fmt::Display) {
    say(LogLevel::Warning, "warning", &text);
}

/// Something about a line of a file, as bad as it is.
pub fn problem(problem: &Problem) {
    match problem.severity {
        Severity::Error => error(problem.unmarked()),
        Severity::Warning => warn(problem.unmarked()),
    }
}

/// Something happened that an operator asked for.
pub fn note(text: impl fmt::Display) {
    say(LogLevel::Notice, "note", &text);
}

fn say(level: LogLevel, word: &str, text: &dyn fmt::Display) {
    if let Some(log) = ELSEWHERE.get() {
        return log(level, text.to_string());
    }
    let line = format!("agentnet-proxy: {word}: {}\n", Plain(text));
    match BEHIND.get() {
        Some(queue) => drop(queue.try_send(Message::Line(line))),
        None => put(&line),
    }
}

/// Displays with control characters as escapes: a terminal never sees one that came from outside.
#[derive(Debug)]
pub struct Plain<T>(pub T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Escape<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for character in text.chars() {
                    if character.is_control() {
                        write!(self.0, "{}", character.escape_default())?;
                    } else {
                        self.0.write_char(character)?;
                    }
                }
                Ok(())
            }
        }
        write!(Escape(f), "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_control_characters_as_escapes() {
        assert_eq!(
            Plain("a\u{1b}[31m\nb\r\u{9b}").to_string(),
            "a\\u{1b}[31m\\nb\\r\\u{9b}"
        );
    }
}
