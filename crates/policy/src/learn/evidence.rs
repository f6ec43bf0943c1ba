//! Why a line is proposed: how often, how much, when.

use std::fmt;

use jiff::{Timestamp, Unit};

use crate::event::{Event, Moment};

/// Sums of events.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Evidence {
    decisions: u64,
    ends: u64,
    up: u64,
    down: u64,
    times: Option<(Timestamp, Timestamp)>,
}

impl Evidence {
    pub(super) fn note(&mut self, event: &Event) {
        match event.event {
            Moment::Decision => self.decisions = self.decisions.saturating_add(1),
            Moment::Closed => {
                self.ends = self.ends.saturating_add(1);
                self.up = self.up.saturating_add(event.up);
                self.down = self.down.saturating_add(event.down);
            }
        }
        self.span(event.time, event.time);
    }

    fn span(&mut self, from: Timestamp, to: Timestamp) {
        let (first, last) = self.times.unwrap_or((from, to));
        self.times = Some((first.min(from), last.max(to)));
    }

    pub(super) fn add(&mut self, other: &Evidence) {
        self.decisions = self.decisions.saturating_add(other.decisions);
        self.ends = self.ends.saturating_add(other.ends);
        self.up = self.up.saturating_add(other.up);
        self.down = self.down.saturating_add(other.down);
        if let Some((first, last)) = other.times {
            self.span(first, last);
        }
    }

    /// A log may begin in the middle of a request: then it has the end and not the beginning.
    pub(super) fn requests(&self) -> u64 {
        self.decisions.max(self.ends)
    }

    pub(super) fn has_decisions(&self) -> bool {
        self.decisions > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests() == 0
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.requests();
        let s = if requests == 1 { "" } else { "s" };
        write!(f, "{requests} request{s}")?;
        // Bytes are told at the end, and what was refused has none.
        if self.ends > 0 {
            write!(f, ", {} up, {} down", Bytes(self.up), Bytes(self.down))?;
        }
        if let Some((first, last)) = self.times {
            let (first, last) = (Second(first).to_string(), Second(last).to_string());
            write!(f, ", {first}")?;
            if first != last {
                write!(f, " to {last}")?;
            }
        }
        Ok(())
    }
}

struct Second(Timestamp);

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only a time at the very end of what can be told cannot be rounded.
        self.0.round(Unit::Second).unwrap_or(self.0).fmt(f)
    }
}

/// In decimal units with at most one decimal.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        let mut rest = self.0;
        let mut tenths = 0;
        let mut name = "B";
        for unit in UNITS {
            (tenths, rest, name) = (rest % 1000 / 100, rest / 1000, unit);
            if rest < 1000 {
                break;
            }
        }
        write!(f, "{rest}.{tenths} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_250_000, "1.2 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
