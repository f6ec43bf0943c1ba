//! Plays everything with both programs, once, and holds what differed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use agentnet_e2e::{bed, peers};
use fs_err as fs;

use crate::differences::{self, Difference};
use crate::observation::Observation;
use crate::play::{Program, World, play};
use crate::scenario::{Scenario, Sights};
use crate::{access, command_line, filter, headers, life, pages, requests, start, upstream};

/// How many scenarios run at once: most of their time is waiting.
const THREADS: usize = 4;

/// One thing that the two programs did differently.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// `area/scenario/what was asked`.
    pub(crate) at: String,
    /// Which word of the observation.
    pub(crate) field: String,
    /// What each said; `None` where it said nothing of the kind.
    pub(crate) theirs: Option<String>,
    /// The same.
    pub(crate) ours: Option<String>,
}

/// All that differed.
#[derive(Debug)]
pub(crate) struct Comparison {
    findings: Vec<Finding>,
}

/// The comparison, made once for all tests; nothing where Tinyproxy cannot be had, and then the test says so.
pub(crate) fn compared() -> Option<&'static Comparison> {
    static COMPARISON: OnceLock<Result<Comparison, String>> = OnceLock::new();
    let comparison = COMPARISON.get_or_init(|| peers::peer("tinyproxy").map(|root| compare(&root)));
    match comparison {
        Ok(comparison) => Some(comparison),
        Err(reason) => {
            bed::skip(reason);
            None
        }
    }
}

impl Comparison {
    /// What no entry of [`differences`] covers.
    pub(crate) fn undocumented(&self, area: &str) -> Vec<String> {
        let inside = self
            .findings
            .iter()
            .filter(|finding| finding.at.split('/').next() == Some(area));
        inside
            .filter(|finding| !self.is_covered(finding))
            .map(Finding::to_string)
            .collect()
    }

    /// By an entry of its own, or by one for what it follows from: another status has another body and another log, and a
    /// program that does not start answers nothing.
    fn is_covered(&self, finding: &Finding) -> bool {
        let covered = |finding: &Finding| {
            differences::all()
                .iter()
                .any(|difference| difference.covers(finding))
        };
        let scenario = |finding: &Finding| {
            finding
                .at
                .splitn(3, '/')
                .take(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut causes = self.findings.iter().filter(|cause| {
            let follows = match cause.field.as_str() {
                "status" => cause.at == finding.at || finding.at.ends_with("/log"),
                "started" | "serves" => true,
                _ => false,
            };
            follows && scenario(cause) == scenario(finding)
        });
        covered(finding) || causes.any(covered)
    }

    /// Entries, or places of entries, that cover nothing.
    pub(crate) fn stale(&self) -> Vec<String> {
        let covers = |difference: &Difference, at: &str| {
            self.findings
                .iter()
                .any(|finding| difference.covers_at(at, finding))
        };
        let all = differences::all().iter();
        let places =
            all.flat_map(|difference| difference.at.iter().map(move |at| (difference, *at)));
        let stale = places.filter(|(difference, at)| !covers(difference, at));
        stale
            .map(|(difference, at)| format!("{} at {at} ({})", difference.id, difference.field))
            .collect()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |value: &Option<String>| {
            value
                .as_ref()
                .map_or("nothing".to_owned(), |value| format!("{value:?}"))
        };
        let (theirs, ours) = (said(&self.theirs), said(&self.ours));
        write!(
            f,
            "{}\n    {}\n      theirs {theirs}\n      ours   {ours}",
            self.at, self.field
        )
    }
}

fn compare(tinyproxy: &Path) -> Comparison {
    let areas: [(&str, Vec<Scenario>); 9] = [
        ("filter", filter::scenarios()),
        ("access", access::scenarios()),
        ("requests", requests::scenarios()),
        ("headers", headers::scenarios()),
        ("upstream", upstream::scenarios()),
        ("pages", pages::scenarios()),
        ("life", life::scenarios()),
        ("start", start::scenarios()),
        ("command line", command_line::scenarios()),
    ];
    let named = areas
        .into_iter()
        .flat_map(|(area, scenarios)| scenarios.into_iter().map(move |scenario| (area, scenario)));
    let queue: Mutex<VecDeque<_>> = Mutex::new(named.enumerate().collect());
    let next = || {
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    let mut played: Vec<(usize, String, Sights, Sights)> = thread::scope(|scope| {
        let worker = || {
            let world = World::new(tinyproxy);
            let mut played = Vec::new();
            while let Some((index, (area, scenario))) = next() {
                let [theirs, ours] = [Program::Theirs, Program::Ours]
                    .map(|program| play(&scenario, program, &world));
                played.push((index, format!("{area}/{}", scenario.name), theirs, ours));
            }
            played
        };
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    played.sort_by_key(|(index, ..)| *index);
    write_record(&played);
    let findings = played
        .iter()
        .flat_map(|(_, at, theirs, ours)| differing(at, theirs, ours))
        .collect();
    Comparison { findings }
}

/// Every word that is not the same.
fn differing(at: &str, theirs: &Sights, ours: &Sights) -> Vec<Finding> {
    let by_name = |sights: &Sights| -> BTreeMap<String, Observation> {
        let compared = sights.iter().filter(|(name, _)| !name.starts_with('#'));
        compared.cloned().collect()
    };
    let (theirs, ours) = (by_name(theirs), by_name(ours));
    let nothing = Observation::new();
    let mut findings = Vec::new();
    for name in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let (theirs, ours) = (
            theirs.get(name).unwrap_or(&nothing),
            ours.get(name).unwrap_or(&nothing),
        );
        for field in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            let (theirs, ours) = (theirs.get(field), ours.get(field));
            if theirs != ours {
                findings.push(Finding {
                    at: format!("{at}/{name}"),
                    field: field.clone(),
                    theirs: theirs.cloned(),
                    ours: ours.cloned(),
                });
            }
        }
    }
    findings
}

/// For people: everything that both did.
fn write_record(played: &[(usize, String, Sights, Sights)]) {
    let mut text = String::new();
    for (_, at, theirs, ours) in played {
        for (who, sights) in [("theirs", theirs), ("ours", ours)] {
            for (name, observation) in sights {
                writeln!(text, "{who} {at}/{name}").expect("a string");
                for (field, value) in observation {
                    writeln!(text, "    {field}: {value:?}").expect("a string");
                }
            }
        }
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(directory.join("tinyproxy-seen.txt"), text))
        .expect("a record");
}
