//! What people and scripts see. Data goes to stdout, talk to stderr.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use agentnet_policy::event::is_visible;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::error::{Error, Result};

/// How much talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// Only errors.
    Quiet,
    /// What takes long, and what changed.
    Normal,
    /// Every step.
    Verbose,
}

/// Where output goes and how it looks.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How much talk.
    pub talk: Talk,
    /// Data as JSON.
    pub json: bool,
    /// Colours on stdout.
    pub color: bool,
}

impl Output {
    /// From flags and what stdout is. Colours never carry meaning.
    #[must_use]
    pub fn new(talk: Talk, json: bool) -> Output {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Output {
            talk,
            json,
            color: !plain && !json && std::io::stdout().is_terminal(),
        }
    }

    /// Writes data. A reader that went away is not an error.
    pub fn data(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes a line of data; false when nobody reads them any more.
    pub fn line(&self, text: &str) -> Result<bool> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(e.into()),
            Ok(()) => Ok(true),
        }
    }

    /// Writes one JSON document.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
        text.push('\n');
        self.data(&text)
    }

    /// Says something, unless quiet.
    pub fn say(&self, text: &str) {
        if self.talk != Talk::Quiet {
            tell(text);
        }
    }

    /// Says a detail, where every step is said.
    pub fn step(&self, text: &str) {
        if self.talk == Talk::Verbose {
            tell(text);
        }
    }

    /// Says something that must be heard.
    pub fn warn(&self, text: &str) {
        tell(&format!("warning: {text}"));
    }

    /// A word in a colour, where there are colours.
    #[must_use]
    pub fn paint(&self, color: Color, text: &str) -> String {
        if self.color {
            format!("\u{1b}[{}m{text}\u{1b}[0m", color as u8)
        } else {
            text.to_owned()
        }
    }
}

/// The few colours there are.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum Color {
    /// Bad.
    Red = 31,
    /// Good.
    Green = 32,
    /// Neither.
    Yellow = 33,
}

/// The one place that writes talk. What it is about may come from a container or an engine: a name
/// of a file, an error's words.
pub fn tell(text: &str) {
    let text = printable(text);
    let mut err = std::io::stderr().lock();
    // Nobody is there to hear that nobody is there.
    drop(writeln!(err, "{text}"));
}

/// An error as `main` prints it: the sentence, then what to do.
pub fn tell_error(error: &Error) {
    tell(&format!("error: {error}"));
    if let Some(hint) = error.hint() {
        tell(&format!("\nhint: {hint}"));
    }
}

/// A table whose columns are as wide as they need to be.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (cell, width) in cells.zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count()) + 2;
            out.push_str(cell);
            out.push_str(&" ".repeat(pad));
        }
        format!("{}\n", out.trim_end())
    };
    let mut out = line(&mut header.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// Text from a container made safe for a terminal: what controls it, reorders a line or is not seen
/// becomes visible.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !is_visible(c) && c != '\n' && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// What is going on, on stderr: one moving line on a terminal, plain lines with `-v`, else only
/// what takes long.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    talk: Talk,
    said: Mutex<Option<Instant>>,
}

impl Progress {
    /// For a command that takes a while.
    #[must_use]
    pub fn new(output: Output) -> Progress {
        let moving = output.talk == Talk::Normal && std::io::stderr().is_terminal();
        let bar = moving.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Progress {
            bar,
            talk: output.talk,
            said: Mutex::new(None),
        }
    }

    /// One that says nothing.
    #[must_use]
    pub fn silent() -> Progress {
        Progress {
            bar: None,
            talk: Talk::Quiet,
            said: Mutex::new(None),
        }
    }

    /// A quick step.
    pub fn step(&self, text: &str) {
        match (&self.bar, self.talk) {
            (Some(bar), _) => bar.set_message(text.to_owned()),
            (None, Talk::Verbose) => tell(text),
            (None, Talk::Quiet | Talk::Normal) => {}
        }
    }

    /// Something that takes long: said even where nothing moves.
    pub fn long(&self, text: &str) {
        match (&self.bar, self.talk) {
            (Some(bar), _) => {
                bar.println(text);
                bar.set_message(text.to_owned());
            }
            (None, Talk::Quiet) => {}
            (None, Talk::Verbose | Talk::Normal) => tell(text),
        }
    }

    /// A detail of something long: the latest on a terminal, now and then elsewhere.
    pub fn detail(&self, text: &str) {
        const EVERY: Duration = Duration::from_secs(5);
        let text = printable(text.trim_end());
        match (&self.bar, self.talk) {
            (Some(bar), _) => bar.set_message(text),
            (None, Talk::Verbose) => tell(&text),
            (None, Talk::Quiet) => {}
            (None, Talk::Normal) => {
                let Ok(mut said) = self.said.lock() else {
                    return;
                };
                if said.is_none_or(|at| at.elapsed() > EVERY) {
                    *said = Some(Instant::now());
                    tell(&text);
                }
            }
        }
    }

    /// The line goes away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".into(), "long cell".into(), "x".into()]];
        assert_eq!(
            table(&["ID", "WHAT", "N"], &rows),
            "ID  WHAT       N\na   long cell  x\n"
        );
    }

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\nc");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }
}
