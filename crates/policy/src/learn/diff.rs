//! The proposal beside the whitelist that is in use: what to add, what was never used.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use jiff::Timestamp;

use super::evidence::Evidence;
use super::proposal::{Asked, Line, Proposal};
use super::render::width;
use crate::event::Text;
use crate::policy::{Ask, Outcome, Policy, Request, Verdict};
use crate::rule::{Layer, Rule, RuleId};
use crate::whitelist::{LineKind, LoadOptions, Presets, Source, line_kind, load};

/// The most lines of a preset that are named as not used.
const MAX_NAMED: usize = 12;

/// The whitelist in use.
#[derive(Clone, Copy)]
pub struct Current<'a> {
    /// Its files, presets not among them.
    pub files: &'a [Source],
    /// Where their includes are looked up.
    pub presets: &'a dyn Presets,
    /// What they mean.
    pub policy: &'a Policy,
    /// When: a line that has ended allows nothing.
    pub now: Timestamp,
}

impl std::fmt::Debug for Current<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

/// What the events made of the rules of a policy.
struct Used(HashMap<RuleId, Evidence>);

impl Proposal {
    /// A unified diff of the files in use, with the evidence in front of it: a line to add where
    /// something was seen and no line allows it, a line to take out where it allowed nothing that
    /// was seen. Refusing lines stay. `patch` can apply it.
    pub fn diff(&self, current: Current<'_>) -> String {
        let used = Used::new(&self.asked, current.policy, current.now);
        let mut text = self.head();
        let add: Vec<&Line> = self
            .lines
            .iter()
            .filter(|line| !line.is_allowed_by(current.policy, current.now))
            .collect();
        let refused: Vec<&Line> = add
            .iter()
            .copied()
            .filter(|line| line.is_refused_by(current.policy, current.now))
            .collect();
        let add: Vec<&Line> = add
            .into_iter()
            .filter(|line| !refused.contains(line))
            .collect();
        text.push_str(
            "# Not used in this run is no proof: a rare job, another branch, next month's release.\n",
        );
        text.push_str(&self.tail(current.presets));
        if !refused.is_empty() {
            text.push_str(
                "\n# a `deny` line of the whitelist refuses it, and no line lifts that:\n",
            );
            for line in refused {
                writeln!(text, "#   {} ({})", line.words, line.evidence).ok();
            }
        }
        used.tell(current.policy, &mut text);
        // Additions go to the last file that a person keeps; a task's grants are not that.
        let into = current
            .files
            .iter()
            .rposition(|file| file.layer == Layer::Project)
            .or(current.files.len().checked_sub(1));
        for (at, file) in current.files.iter().enumerate() {
            let add: &[&Line] = if Some(at) == into { &add } else { &[] };
            text.push_str(&hunk(file, add, &used, current));
        }
        text
    }
}

/// The change of one file as one hunk of all its lines; nothing if it does not change.
fn hunk(file: &Source, add: &[&Line], used: &Used, current: Current<'_>) -> String {
    let ended = file.text.is_empty() || file.text.ends_with('\n');
    let mut body = String::new();
    let (mut kept, mut gone) = (0, 0);
    // `split` and not `lines`: a CR is part of the line that `patch` compares.
    let whole = file.text.strip_suffix('\n').unwrap_or(&file.text);
    let count = if file.text.is_empty() {
        0
    } else {
        whole.split('\n').count()
    };
    for (at, line) in whole.split('\n').take(count).enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let last = at + 1 == count;
        let unused = is_unused(file, number, line, used, current);
        if unused {
            gone += 1;
            writeln!(body, "-{line}").ok();
        } else if last && !ended && !add.is_empty() {
            // It gets the line end that it lacks.
            kept += 1;
            writeln!(body, "-{line}\n\\ No newline at end of file\n+{line}").ok();
            continue;
        } else {
            kept += 1;
            writeln!(body, " {line}").ok();
        }
        if last && !ended {
            body.push_str("\\ No newline at end of file\n");
        }
    }
    if gone == 0 && add.is_empty() {
        return String::new();
    }
    let width = width(add);
    for line in add {
        writeln!(body, "+{}", line.render(width)).ok();
    }
    let name = Text::new(&file.name);
    let after = kept + add.len();
    let from = usize::from(count > 0);
    let to = usize::from(after > 0);
    format!("\n--- {name}\n+++ {name}\n@@ -{from},{count} +{to},{after} @@\n{body}")
}

/// Whether a line allows something and nothing that was seen.
fn is_unused(file: &Source, number: u32, line: &str, used: &Used, current: Current<'_>) -> bool {
    let rules = || current.policy.rules().enumerate();
    let is_used = |at: usize| {
        let id = u32::try_from(at).map(RuleId);
        id.is_ok_and(|id| used.0.contains_key(&id))
    };
    match line_kind(line.strip_suffix('\r').unwrap_or(line)) {
        LineKind::Other => false,
        LineKind::Rule => {
            let mut own = rules().filter(|(_, rule)| {
                rule.layer() == file.layer && rule.file() == file.name && rule.line() == number
            });
            own.any(|(at, rule)| !rule.is_deny() && !is_used(at))
        }
        LineKind::Include => {
            let alone = Source {
                name: String::new(),
                layer: Layer::Project,
                text: line.to_owned(),
            };
            let Ok(loaded) = load(&[alone], current.presets, LoadOptions::default()) else {
                return false;
            };
            let places: BTreeSet<(&str, u32)> = loaded
                .policy
                .rules()
                .filter(|rule| !rule.is_deny())
                .map(|rule| (rule.file(), rule.line()))
                .collect();
            let mut of_it = rules().filter(|(_, rule)| {
                rule.layer() == Layer::Preset && places.contains(&(rule.file(), rule.line()))
            });
            // One that only refuses stays.
            !places.is_empty() && !of_it.any(|(at, _)| is_used(at))
        }
    }
}

impl Used {
    fn new(asked: &[Asked], policy: &Policy, now: Timestamp) -> Self {
        let mut used: HashMap<RuleId, Evidence> = HashMap::new();
        let mut told: BTreeSet<(RuleId, usize)> = BTreeSet::new();
        let mut previous: Option<&Asked> = None;
        let mut number = 0;
        for asked in asked {
            // Several requests to one target have its evidence in common: that of those that passed,
            // or that of those that reached nobody.
            let same =
                |before: &Asked| before.target == asked.target && before.evidence == asked.evidence;
            if !previous.is_some_and(same) {
                number += 1;
            }
            previous = Some(asked);
            for id in allowing(policy, asked, now) {
                if told.insert((id, number)) {
                    used.entry(id).or_default().add(&asked.evidence);
                }
            }
        }
        Self(used)
    }

    /// The evidence of each line in use, and the lines of presets that have none.
    fn tell(&self, policy: &Policy, text: &mut String) {
        let mut unused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut partly: BTreeSet<&str> = BTreeSet::new();
        let mut heading = "\n# used:\n";
        for (at, rule) in policy.rules().enumerate() {
            let evidence = u32::try_from(at)
                .ok()
                .and_then(|at| self.0.get(&RuleId(at)));
            match evidence {
                Some(evidence) => {
                    text.push_str(heading);
                    heading = "";
                    let place =
                        Text::new(&format!("{}:{}: {}", rule.file(), rule.line(), rule.text()));
                    writeln!(text, "#   {place} ({evidence})").ok();
                    partly.insert(rule.file());
                }
                None if rule.layer() == Layer::Preset && !rule.is_deny() => {
                    unused.entry(rule.file()).or_default().push(rule.text());
                }
                None => {}
            }
        }
        unused.retain(|file, _| partly.contains(file));
        if !unused.is_empty() {
            text.push_str("\n# lines of presets that were not used, beside others that were:\n");
        }
        for (file, lines) in unused {
            let named: Vec<&str> = lines.iter().take(MAX_NAMED).copied().collect();
            let more = match lines.len().checked_sub(MAX_NAMED) {
                None | Some(0) => String::new(),
                Some(more) => format!(" and {more} more"),
            };
            let place = Text::new(file);
            writeln!(text, "#   {place}: {}{more}", named.join(", ")).ok();
        }
    }
}

/// The lines that allow a request by themselves.
fn allowing(policy: &Policy, asked: &Asked, now: Timestamp) -> Vec<RuleId> {
    let ask = match &asked.http {
        None => Ask::Tunnel,
        Some((method, path)) => Ask::Http { method, path },
    };
    let request = Request {
        target: asked.target.clone(),
        ask,
    };
    let lines = policy.explain(request, now).lines.into_iter();
    lines
        .filter(|line| line.outcome == Outcome::Allows)
        .map(|line| line.rule)
        .collect()
}

impl Line {
    fn asks(&self) -> Vec<Asked> {
        use super::proposal::Wants;
        let asked = |http: Option<(String, String)>| Asked {
            target: self.target.clone(),
            http,
            evidence: self.evidence,
        };
        match &self.wants {
            Wants::Tunnel => vec![asked(None)],
            Wants::Http { methods, path } => methods
                .iter()
                .map(|method| asked(Some(((*method).to_owned(), path.to_string()))))
                .collect(),
        }
    }

    /// The lines of a policy that would allow something of what this one is for.
    pub(super) fn allowing(&self, policy: &Policy, now: Timestamp) -> Vec<RuleId> {
        let asks = self.asks();
        asks.iter()
            .flat_map(|asked| allowing(policy, asked, now))
            .collect()
    }

    /// Whether a refusing line stands against it.
    fn is_refused_by(&self, policy: &Policy, now: Timestamp) -> bool {
        self.asks().iter().any(|asked| {
            let ask = match &asked.http {
                None => Ask::Tunnel,
                Some((method, path)) => Ask::Http { method, path },
            };
            let request = Request {
                target: asked.target.clone(),
                ask,
            };
            match policy.judge(request, now) {
                Verdict::Allow(_) => false,
                Verdict::Deny(denial) | Verdict::Report(_, denial) => denial
                    .rule()
                    .and_then(|id| policy.rule(id))
                    .is_some_and(Rule::is_deny),
            }
        })
    }
}
