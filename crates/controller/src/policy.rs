//! The task's whitelist files as the controller sees them: validated with the code of the running
//! proxy before anything is written.

mod presets;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use agentnet_policy::{
    Ask, Host, Layer, LoadOptions, Loaded, Policy, Request, Source, Target, Verdict, load,
};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

pub use self::presets::PRESETS;
use crate::config;
use crate::error::{Error, Result};
use crate::paths::{TaskDir, read_bounded, write_atomically};

/// The project's layer in the policy directory.
pub const PROJECT: &str = "project.txt";
/// The task's layer in the policy directory.
pub const TASK: &str = "task.txt";

/// The largest whitelist in bytes; 100,000 rules are about 3 MiB.
const MAX_BYTES: u64 = 64 << 20;

/// Both layers, and what they can include beside the built-in presets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    /// The project's whitelist.
    pub project: String,
    /// What was granted and denied for the task alone.
    pub task: String,
    /// The project's own presets.
    pub presets: Vec<Source>,
}

impl Layers {
    /// A new task's: whitelist and presets from the user's checkout, and no grants. `presets` is the
    /// directory of presets below the checkout.
    pub fn for_project(checkout: Option<&Path>, presets: Option<&Path>) -> Result<Layers> {
        let project = match checkout.map(|root| read_whitelist(&root.join(config::WHITELIST))) {
            Some(text) => text.map_err(|e| Error::Config(e.to_string()))?,
            None => None,
        };
        let none = "# There is no .agentnet/whitelist.txt: nothing is allowed.\n";
        let presets = match (checkout, presets) {
            (Some(root), Some(directory)) => presets::read(&root.join(directory), directory)?,
            (_, None) | (None, _) => Vec::new(),
        };
        let layers = Layers {
            project: project.unwrap_or_else(|| none.to_owned()),
            task: "# Written by agentnet allow and agentnet deny.\n".to_owned(),
            presets,
        };
        layers.check()?;
        Ok(layers)
    }

    /// A running task's.
    pub fn read(dir: &TaskDir) -> Result<Layers> {
        let presets = dir.policy().join(PRESETS);
        let presets = match presets.try_exists()? {
            true => presets::read(&presets, Path::new(PRESETS))?,
            false => Vec::new(),
        };
        Ok(Layers {
            project: read_bounded(&dir.policy().join(PROJECT), MAX_BYTES)?,
            task: read_bounded(&dir.policy().join(TASK), MAX_BYTES)?,
            presets,
        })
    }

    /// The files in the policy directory, by their names there.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, String> {
        let presets = self.presets.iter().map(|preset| {
            let name = format!("{PRESETS}/{}", presets::file_of(preset));
            (name, preset.text.clone())
        });
        let layers = [(PROJECT, &self.project), (TASK, &self.task)];
        let layers = layers.map(|(name, text)| (name.to_owned(), text.clone()));
        presets.chain(layers).collect()
    }

    /// SHA-256 of names and texts, in hexadecimal: the same for the same policy.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, text) in self.files() {
            hash.update(format!("{name} {}\n", text.len()));
            hash.update(text);
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Loads both; the error has one line for each problem.
    pub fn load(&self) -> Result<Loaded> {
        let source = |name: &str, layer, text: &String| Source {
            name: name.to_owned(),
            layer,
            text: text.clone(),
        };
        let sources = [
            source(config::WHITELIST, Layer::Project, &self.project),
            source(TASK, Layer::Task, &self.task),
        ];
        load(
            &sources,
            &presets::named(&self.presets),
            LoadOptions::default(),
        )
        .map_err(|problems| Error::Whitelist(problems.to_string().trim_end().to_owned()))
    }

    /// Loads both and forgets the result.
    pub fn check(&self) -> Result<()> {
        self.load().map(drop)
    }

    /// Writes the task's layer in place, as one change.
    pub fn write_task(&self, dir: &TaskDir) -> Result<()> {
        write_atomically(&dir.policy().join(TASK), &self.task)
    }
}

/// The project's whitelist in a checkout; `None` when there is none.
pub fn read_whitelist(path: &Path) -> std::io::Result<Option<String>> {
    match read_bounded(path, MAX_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// A change to the task's layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Allow, perhaps only until then.
    Allow(Option<Timestamp>),
    /// Refuse.
    Deny,
}

/// What was typed for one target: a host, and after `allow` the words that open more of it.
///
/// # Errors
/// For everything else: a space would let a typing error bring options along.
pub fn check_typed(typed: &str, change: &Change) -> Result<()> {
    let mut words = typed.split(' ');
    let host = words.next().unwrap_or_default();
    if host.is_empty() || typed.contains(['#', '@', '\t', '\n']) {
        return Err(Error::Usage(format!("{typed:?} is not a host")));
    }
    let opens = |word: &str| matches!(word, "host" | "private" | "raw") && *change != Change::Deny;
    match words.find(|word| !opens(word)) {
        None => Ok(()),
        Some(_) if *change == Change::Deny => Err(Error::Usage(format!(
            "{typed:?} is more than a host; write: {host}"
        ))),
        Some(word) => Err(Error::Usage(format!(
            "{word:?} cannot stand behind {host}: host, private and raw can"
        ))),
    }
}

/// The address of the machine itself that is meant, where the word that opens it is not said: with
/// that word. `machine` has the machine's addresses as the task's proxy sees them.
#[must_use]
pub fn needs_host(typed: &str, machine: &[IpAddr]) -> Option<String> {
    let mut words = typed.split(' ');
    let word = words.next()?;
    let (host, port) = match Target::parse(word, None) {
        Ok(target) => (target.host().clone(), target.port().to_string()),
        Err(_) => (Host::parse(word).ok()?, "PORT".to_owned()),
    };
    let address = host.ip().filter(|address| machine.contains(address))?;
    let said = words.clone().any(|word| word == "host");
    let rest: String = words.map(|word| format!(" {word}")).collect();
    (!said).then(|| match address {
        IpAddr::V4(four) => format!("{four}:{port}{rest} host"),
        IpAddr::V6(six) => format!("[{six}]:{port}{rest} host"),
    })
}

/// A line for one target as the user typed it.
#[must_use]
pub fn line(target: &str, change: &Change) -> String {
    match change {
        Change::Allow(None) => target.to_owned(),
        Change::Allow(Some(until)) => format!("{target} until={until:.0}"),
        Change::Deny => format!("{target} deny"),
    }
}

/// The target that a line of ours is about: its first word.
fn target_of(line: &str) -> Option<&str> {
    line.split('#').next()?.split_whitespace().next()
}

/// The task's layer after a change. A task's own earlier word about the same target is replaced:
/// a deny would otherwise beat the allow that was just asked for.
#[must_use]
pub fn changed(task: &str, targets: &[String], change: &Change) -> String {
    let new: Vec<&str> = targets.iter().filter_map(|new| target_of(new)).collect();
    let stays = |line: &&str| target_of(line).is_none_or(|target| !new.contains(&target));
    let mut text: String = task
        .lines()
        .filter(stays)
        .map(|line| format!("{line}\n"))
        .collect();
    for target in targets {
        text.push_str(&line(target, change));
        text.push('\n');
    }
    text
}

/// `30m`, `2h`, `90s`, `1d`: how long a grant lasts.
pub fn parse_duration(text: &str) -> Result<SignedDuration> {
    let bad = || {
        Error::Usage(format!(
            "{text:?} is not a time span: write it as 30m, 2h or 1d"
        ))
    };
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(bad)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    let number: i64 = number.parse().map_err(|_| bad())?;
    match number.checked_mul(seconds) {
        Some(total @ 1..=31_536_000) => Ok(SignedDuration::from_secs(total)),
        _ => Err(Error::Usage(format!(
            "{text:?} is out of range: from 1s to 365d"
        ))),
    }
}

/// What the policy now says about a target, in a sentence. `None` for patterns: they are about many
/// names.
#[must_use]
pub fn effect(policy: &Policy, typed: &str) -> Option<(bool, String)> {
    let target = target_of(typed)?;
    let https = std::num::NonZeroU16::new(443);
    let target = match Target::parse(target, https) {
        Ok(target) => target,
        Err(_) => Target::new(Host::parse(target).ok()?, https?),
    };
    let request = Request {
        target: target.clone(),
        ask: Ask::Tunnel,
    };
    let verdict = policy.judge(request, Timestamp::now());
    let by = verdict
        .rule()
        .and_then(|id| policy.rule(id))
        .map(|rule| format!(" ({}:{})", rule.file(), rule.line()))
        .unwrap_or_default();
    Some(match verdict {
        Verdict::Allow(grant) => {
            let until = grant
                .expires()
                .map(|t| format!(" until {t:.0}"))
                .unwrap_or_default();
            (true, format!("{target} is allowed{until}{by}"))
        }
        Verdict::Report(..) => (true, format!("{target} is let through and reported{by}")),
        Verdict::Deny(denial) => (false, denial.sentence(policy)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_word_replaces_the_tasks_old_one_and_leaves_the_rest() {
        let task = "# head\na.example deny\nb.example\n";
        let text = changed(task, &["a.example".into()], &Change::Allow(None));
        assert_eq!(text, "# head\nb.example\na.example\n");
        let text = changed(&text, &["a.example".into()], &Change::Deny);
        assert_eq!(text, "# head\nb.example\na.example deny\n");
    }

    #[test]
    fn a_grant_for_a_while_names_its_end() {
        let until = "2026-11-20T22:00:00.5Z".parse().unwrap();
        let change = Change::Allow(Some(until));
        assert_eq!(
            line("a.example", &change),
            "a.example until=2026-11-20T22:00:00Z"
        );
    }

    #[test]
    fn a_host_may_stand_with_the_words_that_open_more_of_it() {
        let allow = Change::Allow(None);
        for good in ["a.example", "a.example:22 raw", "10.0.0.1:80 raw host"] {
            assert!(check_typed(good, &allow).is_ok(), "{good}");
        }
        let bad = [
            "", "a b", "a  raw", "a up=1GB", "a #x", "@python", "a\nb", " a",
        ];
        for bad in bad {
            assert!(check_typed(bad, &allow).is_err(), "{bad:?}");
        }
        let said = check_typed("a.example raw", &Change::Deny).unwrap_err();
        assert!(said.to_string().ends_with("write: a.example"), "{said}");
        let task = "10.0.0.1:80 host\n";
        let text = changed(task, &["10.0.0.1:80 raw host".into()], &allow);
        assert_eq!(text, "10.0.0.1:80 raw host\n");
    }

    #[test]
    fn the_machine_itself_is_opened_by_one_word() {
        let machine = ["172.17.0.1", "fd00::1"].map(|ip| ip.parse().unwrap());
        for (typed, line) in [
            ("172.17.0.1:80", "172.17.0.1:80 host"),
            ("172.17.0.1:22 raw", "172.17.0.1:22 raw host"),
            ("172.17.0.1", "172.17.0.1:PORT host"),
            ("[fd00::1]:80", "[fd00::1]:80 host"),
        ] {
            assert_eq!(needs_host(typed, &machine).as_deref(), Some(line));
        }
        for typed in [
            "172.17.0.1:80 host",
            "172.17.0.2:80",
            "a.example:80",
            "10.0.0.0/8",
        ] {
            assert_eq!(needs_host(typed, &machine), None, "{typed}");
        }
    }

    #[test]
    fn presets_of_the_checkout_go_with_the_task() {
        let checkout = tempfile::tempdir().unwrap();
        let presets = checkout.path().join(".agentnet/presets");
        fs_err::create_dir_all(&presets).unwrap();
        fs_err::write(presets.join("python.txt"), "pypi.corp.example\n").unwrap();
        fs_err::write(checkout.path().join(config::WHITELIST), "@python\n").unwrap();
        let below = Path::new(".agentnet/presets");
        let layers = Layers::for_project(Some(checkout.path()), Some(below)).unwrap();
        let rules = |layers: &Layers| {
            let loaded = layers.load().unwrap();
            let rules = loaded.policy.rules();
            let rules = rules.map(|rule| format!("{}: {}", rule.file(), rule.text()));
            rules.collect::<Vec<_>>()
        };
        let from = ".agentnet/presets/python.txt: pypi.corp.example";
        assert_eq!(rules(&layers), [from]);

        let state = tempfile::tempdir().unwrap();
        let state = crate::paths::StateDir::open(Some(state.path())).unwrap();
        let dir = state.task(&crate::task::TaskId {
            project: "shop".parse().unwrap(),
            task: "t".parse().unwrap(),
        });
        for (name, text) in layers.files() {
            let path = dir.policy().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let read = Layers::read(&dir).unwrap();
        assert_eq!(rules(&read), ["presets/python.txt: pypi.corp.example"]);
        let without = Layers::for_project(Some(checkout.path()), None).unwrap();
        assert!(rules(&without).len() > 1, "the built-in preset");
    }

    #[test]
    fn reads_time_spans_and_refuses_nonsense() {
        assert_eq!(parse_duration("30m").unwrap().as_secs(), 1800);
        assert_eq!(parse_duration("1d").unwrap().as_secs(), 86_400);
        for bad in ["", "m", "30", "-5m", "0s", "9999999d", "1w", "5ü"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }
}
