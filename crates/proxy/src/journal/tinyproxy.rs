//! A line of the log as Tinyproxy writes it: fail2ban and people's scripts read these.
//!
//! The form is an interface and the same as that of 1.11: a level of nine columns, the local time
//! with milliseconds, the process.

use std::fmt::Write as _;

use agentnet_policy::tinyproxy::LogLevel;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::diagnostic::Plain;

/// The longest text of a line in bytes; the rest is cut. A URL can be as long as a request head.
const MAX_TEXT: usize = 2048;

/// `LOG_DAEMON` of syslog(3), already at its place (RFC 3164 §4.1.1).
const DAEMON: u8 = 3 << 3;

/// Where lines go decides how they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A file or a terminal.
    File,
    /// The socket of a syslog daemon: the priority, and the time without a fraction.
    Syslog,
}

/// Makes lines.
#[derive(Debug)]
pub(super) struct Pen {
    style: Style,
    zone: TimeZone,
    process: u32,
}

impl Pen {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            zone: TimeZone::system(),
            process: std::process::id(),
        }
    }

    /// One line with its end. Control characters become visible ones.
    pub(super) fn line(&self, time: Timestamp, level: LogLevel, text: &str) -> String {
        let time = time.to_zoned(self.zone.clone());
        let text = cut(text);
        let mut line = String::with_capacity(64 + text.len());
        let process = self.process;
        // Writing to a string does not fail.
        match self.style {
            Style::File => {
                let level = word(level);
                let time = time.strftime("%b %d %H:%M:%S%.3f");
                writeln!(line, "{level:<9} {time} [{process}]: {}", Plain(text)).ok();
            }
            Style::Syslog => {
                let priority = DAEMON | severity(level);
                let time = time.strftime("%b %e %H:%M:%S");
                writeln!(
                    line,
                    "<{priority}>{time} tinyproxy[{process}]: {}",
                    Plain(text)
                )
                .ok();
            }
        }
        line
    }
}

fn cut(text: &str) -> &str {
    let mut end = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The level as it stands in lines.
fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Critical => "CRITICAL",
        LogLevel::Error => "ERROR",
        LogLevel::Warning => "WARNING",
        LogLevel::Notice => "NOTICE",
        LogLevel::Connect => "CONNECT",
        LogLevel::Info => "INFO",
    }
}

/// The level in syslog's numbers, which have none for `Connect`.
fn severity(level: LogLevel) -> u8 {
    match level {
        LogLevel::Critical => 2,
        LogLevel::Error => 3,
        LogLevel::Warning => 4,
        LogLevel::Notice => 5,
        LogLevel::Connect | LogLevel::Info => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pen(style: Style) -> Pen {
        Pen {
            style,
            zone: TimeZone::UTC,
            process: 29995,
        }
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    /// Lines of the packaged Tinyproxy 1.11.1.
    #[test]
    fn writes_what_tinyproxy_writes() {
        let pen = pen(Style::File);
        let line = |level, text| pen.line(at("2026-11-21T03:19:06.075Z"), level, text);
        assert_eq!(
            line(LogLevel::Connect, "Connect (file descriptor 4): 127.0.0.1"),
            "CONNECT   Nov 21 03:19:06.075 [29995]: Connect (file descriptor 4): 127.0.0.1\n"
        );
        assert_eq!(
            line(LogLevel::Notice, "Initializing tinyproxy ..."),
            "NOTICE    Nov 21 03:19:06.075 [29995]: Initializing tinyproxy ...\n"
        );
        assert_eq!(
            line(LogLevel::Info, "Bound to 127.0.0.1"),
            "INFO      Nov 21 03:19:06.075 [29995]: Bound to 127.0.0.1\n"
        );
    }

    #[test]
    fn writes_what_a_syslog_daemon_reads() {
        let pen = pen(Style::Syslog);
        let early = at("2026-11-01T03:19:06.5Z");
        let line = |level| pen.line(early, level, "Shutting down.");
        let rest = "Nov  1 03:19:06 tinyproxy[29995]: Shutting down.\n";
        assert_eq!(line(LogLevel::Info), format!("<30>{rest}"));
        assert_eq!(line(LogLevel::Connect), format!("<30>{rest}"));
        assert_eq!(line(LogLevel::Notice), format!("<29>{rest}"));
        assert_eq!(line(LogLevel::Warning), format!("<28>{rest}"));
        assert_eq!(line(LogLevel::Error), format!("<27>{rest}"));
        assert_eq!(line(LogLevel::Critical), format!("<26>{rest}"));
    }

    #[test]
    fn a_text_from_outside_is_one_line_of_bounded_length() {
        let pen = pen(Style::File);
        let line = pen.line(
            at("2026-11-21T03:19:06Z"),
            LogLevel::Info,
            "a\nNOTICE\u{1b}[2J",
        );
        assert!(line.ends_with(": a\\nNOTICE\\u{1b}[2J\n"), "{line}");
        let long = pen.line(
            at("2026-11-21T03:19:06Z"),
            LogLevel::Info,
            &"ü".repeat(5000),
        );
        assert!(long.len() < 64 + MAX_TEXT, "{}", long.len());
    }
}
