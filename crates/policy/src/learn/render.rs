//! The proposal as the text of a whitelist.

use std::fmt::Write;

use jiff::Timestamp;

use super::proposal::{Line, Proposal};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::rule::Layer;
use crate::whitelist::{LoadOptions, Presets, Source, load};

/// The most notes under one heading.
const MAX_NOTES: usize = 50;

impl Proposal {
    /// A whitelist that is ready to be reviewed and used: it loads by itself. `presets` are looked
    /// through for names of what was seen.
    pub fn whitelist(&self, presets: &dyn Presets) -> String {
        let mut text = self.head();
        text.push('\n');
        let lines: Vec<&Line> = self.lines.iter().collect();
        let width = width(&lines);
        for line in &lines {
            text.push_str(&line.render(width));
            text.push('\n');
        }
        if lines.is_empty() {
            text.push_str("# Nothing to propose.\n");
        }
        text.push_str(&self.tail(presets));
        text
    }

    /// What a reader has to know before the first line.
    pub(super) fn head(&self) -> String {
        let mut text = String::new();
        let counted = &self.tally.all;
        // Writing to a String does not fail.
        writeln!(text, "# Proposed by `agentnet-proxy learn`: {counted}.").ok();
        text.push_str(
            "# READ EACH LINE BEFORE YOU USE IT. The names were chosen by whoever made the requests: an agent that knows\n\
             # that it is being observed can ask for a name in order to find it here.\n",
        );
        for warning in self.warnings() {
            writeln!(text, "# WARNING: {warning}").ok();
        }
        text
    }

    /// What is not among the lines, and presets that would have much of it.
    pub(super) fn tail(&self, presets: &dyn Presets) -> String {
        let mut text = String::new();
        for (heading, notes) in self.notes.iter() {
            writeln!(text, "\n# {}:", heading.words()).ok();
            for note in notes.iter().take(MAX_NOTES) {
                writeln!(text, "#   {note}").ok();
            }
            if let Some(more) = notes.len().checked_sub(MAX_NOTES + 1) {
                writeln!(text, "#   and {} more", more + 1).ok();
            }
        }
        let hints = self.hints(presets);
        if !hints.is_empty() {
            text.push_str(
                "\n# presets that have much of this; naming one allows what was not seen, too:\n",
            );
            for hint in hints {
                writeln!(text, "#   {hint}").ok();
            }
        }
        text
    }

    /// Presets of which at least two lines and at least half were seen. Bundles are left out: what
    /// they include is named.
    fn hints(&self, presets: &dyn Presets) -> Vec<String> {
        let mut hints = Vec::new();
        for name in presets.names() {
            let Some(policy) = preset(name, presets) else {
                continue;
            };
            let own = policy.rules().all(|rule| {
                rule.file() == format!("@{name}") || presets.place(name) == Some(rule.file())
            });
            let mut used: Vec<usize> = Vec::new();
            for line in &self.lines {
                for id in line.allowing(&policy, Timestamp::MIN) {
                    if !used.contains(&id.index()) {
                        used.push(id.index());
                    }
                }
            }
            let all = policy.rules().len();
            if own && used.len() >= 2 && used.len() * 2 >= all {
                let unused: Vec<&str> = policy
                    .rules()
                    .enumerate()
                    .filter(|(at, _)| !used.contains(at))
                    .map(|(_, rule)| rule.text())
                    .take(8)
                    .collect();
                let rest = match unused.as_slice() {
                    [] => String::new(),
                    unused => format!("; not seen: {}", unused.join(", ")),
                };
                hints.push(format!("@{name}: {} of its {all} lines{rest}", used.len()));
            }
        }
        hints
    }
}

/// A preset by itself, if it loads.
fn preset(name: &str, presets: &dyn Presets) -> Option<Policy> {
    let include = Source {
        name: String::new(),
        layer: Layer::Project,
        text: format!("@{name}"),
    };
    let loaded = load(&[include], presets, LoadOptions::default()).ok()?;
    Some(loaded.policy)
}

/// The column of the comments: beside most lines, and not far out for a single long one.
pub(super) fn width(lines: &[&Line]) -> usize {
    let longest = lines.iter().map(|line| line.words.len()).max();
    longest.unwrap_or(0).min(48)
}

impl Line {
    pub(super) fn render(&self, width: usize) -> String {
        let mut text = format!("{:width$} # {}", self.words, self.evidence);
        if self.refused > 0 {
            write!(text, "; refused {} times", self.refused).ok();
        }
        match self.greeting {
            Some(Reason::NotTls) => text.push_str("; `raw` because it was not TLS"),
            Some(Reason::SniMissing) => {
                text.push_str("; `raw` because its TLS named no host");
            }
            Some(other) => {
                write!(text, "; WARNING: a tunnel of it will be closed ({other})").ok();
            }
            None => {}
        }
        if let Some(outlet) = self.outlet {
            write!(text, "; WARNING: {outlet}").ok();
        }
        text
    }
}
