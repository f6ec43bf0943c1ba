//! The events in a proxy's log: read as they come, a line at a time.

use std::collections::VecDeque;

use agentnet_policy::event::Event;
use tokio::io::{AsyncReadExt, duplex};

use crate::engine::{Engine, EngineResult, LogQuery, Streams};

/// The longest line that is looked at: an event is shorter.
pub const LONGEST_LINE: usize = 64 << 10;
/// Bytes on their way between the engine and us.
const PIPE: usize = 64 << 10;

/// Takes bytes, gives events. What is no event is passed over: the log is our proxy's, but an engine
/// may put words of its own there.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// The events that these bytes complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            if self.line.len() + piece.len() > LONGEST_LINE {
                self.too_long = true;
                self.line.clear();
            } else if !self.too_long {
                self.line.extend_from_slice(piece);
            }
            if ends {
                if !self.too_long {
                    events.extend(serde_json::from_slice::<Event>(&self.line).ok());
                }
                self.too_long = false;
                self.line.clear();
            }
        }
        events
    }
}

/// The last events of a proxy, at most `most`.
pub async fn recent<E: Engine>(engine: &E, proxy: &str, most: u32) -> EngineResult<Vec<Event>> {
    let query = LogQuery {
        follow: false,
        tail: Some(most),
    };
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let mut events = VecDeque::new();
    read(engine, proxy, query, |event| {
        if events.len() == limit {
            events.pop_front();
        }
        events.push_back(event);
        std::future::ready(())
    })
    .await?;
    Ok(events.into())
}

/// Gives the last `most` events of a proxy, and then each as it happens; until its log ends. Waits
/// for whoever takes them.
pub async fn follow<E: Engine, F: Future<Output = ()> + Send>(
    engine: &E,
    proxy: &str,
    most: u32,
    take: impl FnMut(Event) -> F + Send,
) -> EngineResult<()> {
    let query = LogQuery {
        follow: true,
        tail: Some(most),
    };
    read(engine, proxy, query, take).await
}

async fn read<E: Engine, F: Future<Output = ()>>(
    engine: &E,
    proxy: &str,
    query: LogQuery,
    mut take: impl FnMut(Event) -> F,
) -> EngineResult<()> {
    let (write, mut read) = duplex(PIPE);
    let streams = Streams {
        stdin: None,
        stdout: Box::new(write),
        stderr: Box::new(tokio::io::sink()),
        size: None,
    };
    let reading = async {
        let mut lines = Lines::default();
        let mut bytes = vec![0; 16 << 10];
        // The other end is dropped with the streams: then there is nothing more.
        while let Ok(count @ 1..) = read.read(&mut bytes).await {
            for event in lines.feed(bytes.get(..count).unwrap_or_default()) {
                take(event).await;
            }
        }
    };
    let (done, ()) = futures_util::join!(engine.logs(proxy, query, streams), reading);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::made::denied;

    fn line(host: &str) -> String {
        format!("{}\n", serde_json::to_string(&denied(host, 1)).unwrap())
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let text = format!(
            "{}not an event\n\n{}{{\"v\":2}}\n",
            line("a.example"),
            line("b.example")
        );
        let hosts = |events: Vec<Event>| -> Vec<_> {
            events
                .into_iter()
                .map(|event| event.host.to_string())
                .collect()
        };
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let (first, rest) = text.as_bytes().split_at(cut);
            let mut events = lines.feed(first);
            events.extend(lines.feed(rest));
            assert_eq!(hosts(events), ["a.example", "b.example"], "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_the_next_is_read() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert_eq!(lines.feed(&[b'x'; 4_096]), []);
            assert!(lines.line.len() <= LONGEST_LINE);
        }
        let text = format!("xx\n{}", line("a.example"));
        assert_eq!(lines.feed(text.as_bytes()).len(), 1);
    }
}
