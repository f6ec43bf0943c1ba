//! The table of decisions, `decisions.toml`: one row a case.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something else has failed"
)]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use agentnet_policy::{
    Ask, BuiltinPresets, Denial, Grant, Host, Layer, LoadOptions, Loaded, Mode, Policy, Problem,
    Reason, Request, RuleId, Source, Surroundings, Target, Verdict, load,
};
use jiff::Timestamp;
use serde::Deserialize;

/// The clock of all rows.
const NOW: &str = "2027-01-01T00:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    group: Vec<Group>,
    #[serde(default)]
    wrong: Vec<Wrong>,
    #[serde(default)]
    odd: Vec<Wrong>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    whitelist: String,
    #[serde(default)]
    mode: Mode,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    ask: String,
    is: String,
    line: Option<u32>,
    #[serde(default)]
    reported: bool,
    quiet: Option<bool>,
    #[serde(default)]
    with: Vec<String>,
    resolves: Option<Vec<IpAddr>>,
    #[serde(default)]
    own: Vec<IpAddr>,
    #[serde(default)]
    listening: Vec<SocketAddr>,
    #[serde(default)]
    machine: Vec<IpAddr>,
}

/// A whitelist whose last line is not accepted, or odd.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrong {
    line: String,
    says: String,
}

/// What became of a request.
#[derive(PartialEq, Debug)]
struct Answer {
    is: String,
    line: Option<u32>,
    reported: bool,
    quiet: bool,
    with: Vec<String>,
}

fn table() -> Table {
    toml::from_str(include_str!("decisions.toml")).unwrap()
}

fn load_text(text: &str, mode: Mode) -> Result<Loaded, Vec<Problem>> {
    let source = Source {
        name: "w".into(),
        layer: Layer::Project,
        text: text.into(),
    };
    load(
        &[source],
        &BuiltinPresets,
        LoadOptions {
            mode,
            ..LoadOptions::default()
        },
    )
    .map_err(|problems| problems.iter().cloned().collect())
}

/// The target and what is asked of it, read as the proxy does.
fn read(ask: &str) -> Option<(Target, Ask<'_>)> {
    let (method, rest) = ask.split_once(' ').unwrap();
    if method == "CONNECT" {
        return Some((Target::parse(rest, None).ok()?, Ask::Tunnel));
    }
    let rest = rest.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    Some((
        Target::parse(authority, NonZeroU16::new(80)).ok()?,
        Ask::Http { method, path },
    ))
}

fn answer(policy: &Policy, case: &Case) -> Answer {
    let Some((target, ask)) = read(&case.ask) else {
        let is = "refused".to_owned();
        return Answer {
            is,
            line: None,
            reported: false,
            quiet: false,
            with: Vec::new(),
        };
    };
    let now = NOW.parse().unwrap();
    let literal = match target.host() {
        Host::Ip(ip) => Some(vec![*ip]),
        Host::Name(_) => None,
    };
    let explained = policy.explain(
        Request {
            target: target.clone(),
            ask,
        },
        now,
    );
    let verdict = policy.judge(Request { target, ask }, now);
    assert_eq!(explained.verdict, verdict, "{}", case.ask);
    assert!(!explained.render(policy).is_empty());
    let admitted = |grant: &Grant| {
        let answers = case.resolves.clone().or(literal)?;
        let Case {
            own,
            listening,
            machine,
            ..
        } = case;
        let around = Surroundings {
            own: own.clone(),
            listening: listening.clone(),
            machine: machine.clone(),
        };
        let admitted = policy.admit(grant, &answers, &around);
        if let Ok(admitted) = &admitted {
            let addresses: Vec<IpAddr> = admitted.iter().map(|a| a.address().ip()).collect();
            assert_eq!(addresses, answers, "what was asked is what is dialled");
        }
        admitted.err()
    };
    match verdict {
        Verdict::Deny(denial) => denied(policy, &denial),
        Verdict::Allow(grant) => match admitted(&grant) {
            Some(denial) => denied(policy, &denial),
            None => granted(policy, &grant, "allowed", grant.rule(), false),
        },
        Verdict::Report(grant, denial) => match admitted(&grant) {
            Some(refused) => denied(policy, &refused),
            None => granted(
                policy,
                &grant,
                denial.reason().as_str(),
                denial.rule(),
                true,
            ),
        },
    }
}

fn denied(policy: &Policy, denial: &Denial) -> Answer {
    let sentence = denial.sentence(policy);
    assert!(
        sentence.contains(denial.reason().as_str()) && sentence.ends_with('.'),
        "{sentence}"
    );
    Answer {
        is: denial.reason().to_string(),
        line: line(policy, denial.rule()),
        reported: false,
        quiet: denial.quiet(),
        with: Vec::new(),
    }
}

fn granted(
    policy: &Policy,
    grant: &Grant,
    is: &str,
    rule: Option<RuleId>,
    reported: bool,
) -> Answer {
    let raw = grant.raw().then(|| "raw".to_owned());
    let up = grant.budget().map(|bytes| format!("up={bytes}"));
    let until = grant.expires().map(|time| format!("until={time}"));
    let with = [raw, up, until].into_iter().flatten().collect();
    Answer {
        is: is.into(),
        line: line(policy, rule),
        reported,
        quiet: false,
        with,
    }
}

fn line(policy: &Policy, rule: Option<RuleId>) -> Option<u32> {
    rule.and_then(|id| policy.rule(id))
        .map(agentnet_policy::Rule::line)
}

#[test]
fn every_row_of_the_table_is_decided_as_it_says() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for group in table().group {
        let policy = match load_text(&group.whitelist, group.mode) {
            Ok(loaded) => loaded.policy,
            Err(problems) => panic!("{}: {problems:#?}", group.name),
        };
        for case in &group.cases {
            rows += 1;
            let got = answer(&policy, case);
            let known = got.is == "refused" || got.is.parse::<Reason>().is_ok();
            let same = got.is == case.is
                && got.reported == case.reported
                && case.line.is_none_or(|line| got.line == Some(line))
                && case.quiet.is_none_or(|quiet| got.quiet == quiet)
                && (case.with.is_empty() || got.with == case.with);
            if !known || !same {
                wrong.push(format!(
                    "{} / {}: wants {}, got {got:?}",
                    group.name, case.ask, case.is
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_line_that_is_not_accepted_says_why_and_what_would_be_right() {
    let mut wrong = Vec::new();
    for row in table().wrong {
        let got = match load_text(&row.line, Mode::Enforce) {
            Ok(_) => "accepted".to_owned(),
            Err(problems) => problems.iter().map(|p| format!("{p}\n")).collect(),
        };
        let number = row.line.lines().count();
        let want = format!("w:{number}: {}\n", row.says);
        if got != want {
            wrong.push(format!("{:?}\n  wants {want}  got   {got}", row.line));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fix_is_a_line_that_loads() {
    for row in table().wrong {
        let Err(problems) = load_text(&row.line, Mode::Enforce) else {
            continue;
        };
        for fix in problems.iter().filter_map(|problem| problem.fix.as_deref()) {
            if let Err(problems) = load_text(fix, Mode::Enforce) {
                panic!(
                    "{:?} leads to {fix:?}, which leads to {problems:#?}",
                    row.line
                );
            }
        }
    }
}

#[test]
fn every_odd_line_is_accepted_with_a_warning() {
    for row in table().odd {
        let loaded = load_text(&row.line, Mode::Enforce).unwrap_or_else(|e| panic!("{e:#?}"));
        let got: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let number = row.line.lines().count();
        assert_eq!(
            got,
            [format!("w:{number}: warning: {}", row.says)],
            "{:?}",
            row.line
        );
    }
}

#[test]
fn the_clock_of_the_rows_is_what_the_rows_say() {
    assert!(include_str!("decisions.toml").contains(NOW));
    assert!(NOW.parse::<Timestamp>().is_ok());
}

#[test]
fn every_example_of_the_documentation_is_true() {
    let document = include_str!("../../../docs/policy.md");
    let (_, examples) = document.split_once("## Examples").unwrap();
    let rows = examples
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains(" | `"));
    let mut count = 0;
    for row in rows {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let spans = |column: &str| -> Vec<String> {
            column
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        let [whitelist, ask, is] = columns[..] else {
            panic!("{row}")
        };
        let policy = load_text(&spans(whitelist).join("\n"), Mode::Enforce)
            .unwrap_or_else(|e| panic!("{row}: {e:#?}"))
            .policy;
        let got = match read(&spans(ask).concat()) {
            None => Reason::BadRequest,
            Some((target, ask)) => policy
                .judge(Request { target, ask }, NOW.parse().unwrap())
                .reason(),
        };
        assert_eq!(got.as_str(), spans(is).concat(), "{row}");
        count += 1;
    }
    assert!(count > 30, "the table is read");
}
