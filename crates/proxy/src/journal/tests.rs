use std::sync::mpsc::{Sender, channel};

use agentnet_policy::Reason;
use agentnet_policy::event::{Moment, Protocol, Text, Version, Word};
use jiff::Timestamp;

use super::*;

fn event(host: &str) -> Event {
    Event {
        v: Version,
        time: Timestamp::UNIX_EPOCH,
        id: Text::new("1"),
        event: Moment::Decision,
        listener: Text::new("default"),
        client: Text::new("10.0.0.2:1"),
        protocol: Protocol::Http,
        method: Text::new("GET"),
        path: Some(Text::new("/a\r\nfake line\u{1b}[2J")),
        host: Text::new(host),
        port: 80,
        verdict: Word::Deny,
        reason: Reason::NotListed,
        rule: None,
        address: None,
        route: None,
        status: Some(403),
        up: 0,
        down: 0,
        ms: 0,
        sentence: Some(Text::new("it was refused")),
        quiet: false,
        transparent: false,
        agent: None,
    }
}

/// Passes lines on, one for each that is asked for.
struct Sink(Sender<String>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.0.send(text).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A stdout that nobody reads.
struct Stuck;

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        loop {
            std::thread::park();
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn writes_lines_for_people_without_control_characters() {
    let metrics = Metrics::new().unwrap();
    let (tell, told) = channel();
    let (journal, feed) = Journal::start(LogFormat::Text, Box::new(Sink(tell)), &metrics);
    journal.record(event("evil.example"));
    tokio::select! {
        () = feed => {}
        () = journal.flush() => {}
    }
    let line = told.recv().unwrap();
    let start = "1970-01-01T00:00:00Z DENY   not_listed    GET evil.example:80/a";
    assert!(line.starts_with(start), "{line}");
    assert!(
        line.ends_with(" from 10.0.0.2:1 at default: it was refused\n"),
        "{line}"
    );
    assert_eq!(line.matches(char::is_control).count(), 1, "{line:?}");
}

#[tokio::test]
async fn loses_and_counts_what_a_stuck_stdout_does_not_take_and_keeps_its_watchers() {
    let metrics = Metrics::new().unwrap();
    let (journal, feed) = Journal::start(LogFormat::Json, Box::new(Stuck), &metrics);
    let (_, mut watcher) = journal.watch(0);
    let record = async {
        // More than stands in the queue of lines and in one batch together.
        for hundred in 0..200 {
            for number in 0..100 {
                journal.record(event(&format!("n{}.example", hundred * 100 + number)));
            }
            for _ in 0..100 {
                watcher.recv().await.unwrap();
            }
        }
    };
    tokio::select! {
        () = feed => {}
        () = record => {}
    }
    assert!(metrics.events_dropped_log.get() > 0);
    let (recent, _) = journal.watch(usize::MAX);
    assert_eq!(recent.len(), RECENT);
    let last = String::from_utf8(recent.last().unwrap().to_vec()).unwrap();
    assert!(last.contains("n19999.example"), "{last}");
}
