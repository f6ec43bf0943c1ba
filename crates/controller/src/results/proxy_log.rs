//! The proxy's log taken apart: its decisions, and what else it said.

use std::io::{BufRead, BufReader, Read, Write};

use agentnet_policy::event::Event;

use super::network::Tally;
use crate::decisions::LONGEST_LINE;
use crate::error::Result;

/// What was read.
#[derive(Debug, Default)]
pub struct ProxyLog {
    /// Added up.
    pub tally: Tally,
}

impl ProxyLog {
    /// Copies the lines of a log: decisions as they are to `events`, the rest to `words`.
    pub fn read(log: impl Read, mut events: impl Write, mut words: impl Write) -> Result<ProxyLog> {
        let mut taken = ProxyLog::default();
        let mut log = BufReader::new(log);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = log
                .by_ref()
                .take(LONGEST_LINE as u64)
                .read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            match serde_json::from_slice::<Event>(&line) {
                Ok(event) => {
                    taken.tally.add(&event);
                    events.write_all(&line)?;
                }
                Err(_) => words.write_all(&line)?,
            }
        }
        events.flush()?;
        words.flush()?;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"v":1,"time":"2026-11-20T22:00:00Z","id":"7","event":"decision","listener":"a","client":"","protocol":"connect","method":"CONNECT","host":"a.example","port":443,"verdict":"deny","reason":"not_listed","up":0,"down":0,"ms":1}"#;

    #[test]
    fn decisions_and_words_go_apart_and_a_line_without_end_is_no_memory() {
        let endless = "x".repeat(200_000);
        let log = format!("{EVENT}\nlistening on 1.2.3.4:8888\n{endless}\n{EVENT}\n{{\"v\":1}}\n");
        let (mut events, mut words) = (Vec::new(), Vec::new());
        let decisions = ProxyLog::read(log.as_bytes(), &mut events, &mut words).unwrap();
        assert_eq!(decisions.tally.refused(), 2);
        assert_eq!(
            String::from_utf8(events).unwrap(),
            format!("{EVENT}\n{EVENT}\n")
        );
        assert_eq!(words.len(), log.len() - 2 * (EVENT.len() + 1));
    }
}
