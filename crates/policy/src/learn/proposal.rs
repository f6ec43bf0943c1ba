//! The narrowest lines for what was seen, and what a person has to know beside them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::evidence::Evidence;
use super::fold::Folds;
use super::notes::{Heading, Notes};
use super::seen::{self, Seen};
use super::{MAX_BELOW, MAX_TARGETS, Tally};
use crate::address::{Opener, classify};
use crate::event::Text;
use crate::host::{Host, Name};
use crate::outlet::Outlet;
use crate::policy::{Ask, Policy, Request};
use crate::reason::Reason;
use crate::target::Target;
use crate::whitelist::{LineKind, line_kind};

/// A whitelist for a person to review. Everything in it is printable ASCII but the names of files.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub(super) lines: Vec<Line>,
    pub(super) notes: Notes,
    /// A sentence for each owner below whose name too many were asked for.
    pub(super) folded: Vec<String>,
    pub(super) listeners: BTreeSet<Text>,
    pub(super) tally: Tally,
    /// What a policy has to be asked for to find the lines that were used.
    pub(super) asked: Vec<Asked>,
}

/// One proposed line.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Line {
    pub(super) target: Target,
    /// The line without its comment.
    pub(super) words: String,
    pub(super) evidence: Evidence,
    pub(super) refused: u64,
    pub(super) outlet: Option<Outlet>,
    /// What was wrong with a tunnel's first bytes.
    pub(super) greeting: Option<Reason>,
    pub(super) wants: Wants,
}

/// Requests that a line is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wants {
    Tunnel,
    Http {
        methods: Vec<&'static str>,
        path: Box<str>,
    },
}

/// Requests that were seen to pass, and how often.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Asked {
    pub(super) target: Target,
    pub(super) http: seen::Ask,
    pub(super) evidence: Evidence,
}

impl Proposal {
    pub(super) fn new(
        targets: BTreeMap<Target, Seen>,
        below: &HashMap<String, usize>,
        listeners: BTreeSet<Text>,
        tally: Tally,
    ) -> Self {
        let mut proposal = Self {
            lines: Vec::new(),
            notes: Notes::default(),
            folded: Vec::new(),
            listeners,
            tally,
            asked: Vec::new(),
        };
        let folds = Folds::new(&targets, below);
        for (owner, fold) in &folds.0 {
            proposal.folded.push(fold.words(owner));
        }
        for (target, seen) in &targets {
            proposal.take(target, seen, &folds);
        }
        proposal
    }

    fn take(&mut self, target: &Target, seen: &Seen, folds: &Folds) {
        self.ask(target, seen);
        if seen.wanted.is_empty() {
            let folded = target
                .host()
                .name()
                .is_some_and(|name| folds.has(name, seen));
            if !folded {
                self.not_wanted(target, seen);
            }
            return;
        }
        let name = match target.host() {
            Host::Ip(ip) => {
                let write = match classify(*ip).opener() {
                    Opener::Name | Opener::Private => format!("write {target}"),
                    Opener::Host => format!("write {target} host"),
                    Opener::Nothing => "nothing opens it".to_owned(),
                };
                let what = format!("{target} ({}): {write}", seen.wanted);
                return self.notes.add(Heading::Address, what);
            }
            Host::Name(name) => name,
        };
        if let Some(ip) = seen.inside {
            let class = classify(ip);
            let write = match class.opener() {
                Opener::Nothing | Opener::Host => "no line with a name opens that".to_owned(),
                Opener::Name | Opener::Private => format!("write {target} private"),
            };
            let what = format!(
                "{target} led to {} ({}): {write}",
                class.words(),
                seen.wanted
            );
            return self.notes.add(Heading::Inside, what);
        }
        if folds.has(name, seen) {
            return;
        }
        self.lines(target, name, seen);
    }

    fn lines(&mut self, target: &Target, name: &Name, seen: &Seen) {
        let line = |words: String, wants: Wants| Line {
            target: target.clone(),
            words,
            evidence: seen.wanted,
            refused: seen.wanted_refused,
            outlet: name.outlet(),
            greeting: seen.greeting,
            wants,
        };
        let mut lines = Vec::new();
        if seen.tunnel {
            // Another name in TLS than the tunnel's is no protocol of its own: it stays refused.
            let raw = match seen.greeting {
                Some(Reason::NotTls | Reason::SniMissing) => " raw",
                Some(_) | None => "",
            };
            lines.push(line(format!("{target}{raw}"), Wants::Tunnel));
        } else {
            if seen.paths.odd() > 0 {
                let what = format!(
                    "{target}: {} request{} with a method or path that servers read differently, or that is too long",
                    seen.paths.odd(),
                    if seen.paths.odd() == 1 { "" } else { "s" },
                );
                self.notes.add(Heading::Unlisted, what);
            }
            for path in seen.paths.lines() {
                let mut words = format!("{target} {}", path.methods);
                if let Some(pattern) = &path.pattern {
                    words.push(' ');
                    words.push_str(pattern);
                }
                let wants = Wants::Http {
                    methods: path.methods.names().collect(),
                    path: path.sample,
                };
                lines.push(line(words, wants));
            }
        }
        for line in lines {
            // The loader has the last word: a name that nothing opens, a method on port 443.
            if line_kind(&line.words) == LineKind::Rule {
                self.lines.push(line);
            } else {
                let what = format!("{target}: the line would not load");
                self.notes.add(Heading::Unlisted, what);
            }
        }
    }

    fn not_wanted(&mut self, target: &Target, seen: &Seen) {
        let why = seen.why.map_or("", Reason::as_str);
        if !seen.refused.is_empty() {
            let what = format!("{target} ({why}; {})", seen.refused);
            self.notes.add(Heading::Refused, what);
        } else if !seen.failed.is_empty() {
            let what = format!("{target} ({why}; {})", seen.failed);
            self.notes.add(Heading::Failed, what);
        }
    }

    fn ask(&mut self, target: &Target, seen: &Seen) {
        if let Some(http) = &seen.failed_ask {
            self.asked.push(Asked {
                target: target.clone(),
                http: http.clone(),
                evidence: seen.failed,
            });
        }
        let mut ask = |http: Option<(&str, &str)>| {
            self.asked.push(Asked {
                target: target.clone(),
                http: http.map(|(method, path)| (method.to_owned(), path.to_owned())),
                evidence: seen.wanted,
            });
        };
        if seen.tunnel {
            ask(None);
        }
        ask_paths(seen, &mut ask);
    }

    /// What there is to say aloud, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for line in &self.lines {
            if let Some(outlet) = line.outlet {
                let host = line.target.host();
                warnings.push(format!("{host}: {outlet}"));
            }
        }
        warnings.dedup();
        warnings.extend(self.folded.iter().cloned());
        if self.tally.no_room > 0 {
            warnings.push(format!(
                "{} events were left out: at most {MAX_TARGETS} targets are remembered, and {MAX_BELOW} below one owner's name; learn from shorter logs, or ask who made so many",
                self.tally.no_room
            ));
        }
        if self.tally.no_target > 0 {
            warnings.push(format!(
                "{} requests named no canonical host and port and are not looked at",
                self.tally.no_target
            ));
        }
        if self.listeners.len() > 1 && self.tally.elsewhere == 0 {
            let names: Vec<&str> = self.listeners.iter().map(Text::as_str).collect();
            warnings.push(format!(
                "the events are of several listeners ({}), and one whitelist is proposed for all: give --listener NAME",
                names.join(", ")
            ));
        }
        warnings
    }

    /// Whether there is any line to propose.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

fn ask_paths(seen: &Seen, ask: &mut impl FnMut(Option<(&str, &str)>)) {
    for line in seen.paths.lines() {
        for method in line.methods.names() {
            ask(Some((method, &line.sample)));
        }
    }
    if let Some(odd) = seen.paths.odd_sample() {
        ask(Some(odd));
    }
}

impl Line {
    /// Whether a policy allows all that the line is for.
    pub(super) fn is_allowed_by(&self, policy: &Policy, now: Timestamp) -> bool {
        let allows = |ask: Ask<'_>| {
            let request = Request {
                target: self.target.clone(),
                ask,
            };
            matches!(policy.judge(request, now), crate::policy::Verdict::Allow(_))
        };
        match &self.wants {
            Wants::Tunnel => allows(Ask::Tunnel),
            Wants::Http { methods, path } => methods
                .iter()
                .all(|method| allows(Ask::Http { method, path })),
        }
    }
}
