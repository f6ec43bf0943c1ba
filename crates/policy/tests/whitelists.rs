//! Every preset loads, and every line of it does what it says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something else has failed"
)]

use std::collections::BTreeSet;

use agentnet_policy::{
    Ask, BuiltinPresets, Layer, LoadOptions, Loaded, Policy, Presets, Reason, Request, Rule,
    Source, Target, Verdict, load,
};
use jiff::Timestamp;

fn including(text: &str) -> Loaded {
    let source = Source {
        name: "project.txt".into(),
        layer: Layer::Project,
        text: text.to_owned(),
    };
    load(&[source], &BuiltinPresets, LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// A name that the line is for, and a port.
fn example(rule: &Rule) -> Target {
    let word = rule.text().split_whitespace().next().unwrap();
    let (host, ports) = word.split_once(':').unwrap_or((word, "443"));
    let port = ports.split(',').next().unwrap();
    let host = host
        .replacen("**.", "a.", 1)
        .replacen("*.", "a.b.", 1)
        .replace('*', "x");
    Target::parse(&format!("{host}:{port}"), None).unwrap()
}

fn judge(policy: &Policy, target: Target) -> Verdict {
    policy.judge(
        Request {
            target,
            ask: Ask::Tunnel,
        },
        Timestamp::UNIX_EPOCH,
    )
}

#[test]
fn every_preset_loads_without_a_warning_and_every_line_decides() {
    for name in BuiltinPresets.names() {
        let Loaded { policy, warnings } = including(&format!("@{name}"));
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        assert!(policy.rules().len() > 0, "{name} is empty");
        for rule in policy.rules() {
            let verdict = judge(&policy, example(rule));
            let line = verdict
                .rule()
                .and_then(|id| policy.rule(id))
                .map(Rule::text);
            match verdict {
                Verdict::Allow(_) => assert!(!rule.is_deny(), "{name}: {}", rule.text()),
                Verdict::Deny(denial) => {
                    assert!(rule.is_deny() && denial.quiet(), "{name}: {}", rule.text());
                    assert_eq!(denial.reason(), Reason::RuleDenied);
                }
                Verdict::Report(..) => panic!("{name}: {}", rule.text()),
            }
            assert!(line.is_some(), "{name}: {}", rule.text());
        }
    }
}

#[test]
fn every_line_has_its_reason_and_every_file_its_header() {
    for name in BuiltinPresets.names() {
        let text = BuiltinPresets.get(name).unwrap();
        assert!(
            text.starts_with(&format!("# @{name}: ")),
            "{name} has no header"
        );
        let loaded = including(&format!("@{name}"));
        for rule in loaded.policy.rules() {
            assert!(rule.comment().is_some(), "{name}: {}", rule.text());
            assert_eq!(rule.layer(), Layer::Preset);
        }
    }
}

#[test]
fn only_reports_are_refused_by_a_preset() {
    for name in BuiltinPresets.names() {
        let denies = including(&format!("@{name}"))
            .policy
            .rules()
            .any(Rule::is_deny);
        let refuses = name.ends_with("telemetry") || name == "claude";
        assert_eq!(denies, refuses, "{name}");
    }
}

#[test]
fn a_preset_opens_443_and_80_only_where_it_says_so() {
    for name in BuiltinPresets.names() {
        for rule in including(&format!("@{name}"))
            .policy
            .rules()
            .filter(|rule| !rule.is_deny())
        {
            let word = rule.text().split_whitespace().next().unwrap();
            let ports = word.split_once(':').map(|(_, ports)| ports);
            assert!(
                matches!(ports, Some("443" | "80" | "80,443")),
                "{name}: {}",
                rule.text()
            );
        }
    }
}

#[test]
fn the_directory_and_the_built_in_list_are_the_same() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../whitelist");
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()?
                .strip_suffix(".txt")
                .map(str::to_owned)
        })
        .collect();
    let names: Vec<&str> = BuiltinPresets.names();
    assert_eq!(files.iter().map(String::as_str).collect::<Vec<_>>(), names);
}

#[test]
fn all_presets_together_are_one_policy() {
    let all: String = BuiltinPresets
        .names()
        .iter()
        .map(|name| format!("@{name}\n"))
        .collect();
    let loaded = including(&all);
    let places: BTreeSet<_> = loaded
        .policy
        .rules()
        .map(|rule| (rule.file().to_owned(), rule.line()))
        .collect();
    assert_eq!(
        places.len(),
        loaded.policy.rules().len(),
        "a line is in force twice"
    );
}

#[test]
fn an_exception_leaves_one_line_out_and_no_other() {
    let with = including("@telemetry").policy;
    let without = including("@telemetry except sentry.io").policy;
    assert_eq!(without.rules().len() + 1, with.rules().len());
    let target = |text| Target::parse(text, None).unwrap();
    assert_eq!(
        judge(&with, target("sentry.io:443")).reason(),
        Reason::RuleDenied
    );
    assert_eq!(
        judge(&without, target("sentry.io:443")).reason(),
        Reason::NotListed
    );
    assert_eq!(
        judge(&without, target("statsig.com:443")).reason(),
        Reason::RuleDenied
    );
}

#[test]
fn an_exception_reaches_into_bundles_and_can_name_one() {
    let count = |text: &str| including(text).policy.rules().len();
    assert_eq!(count("@fullstack except pypi.org") + 1, count("@fullstack"));
    assert_eq!(
        count("@fullstack except pypi.org:443") + 1,
        count("@fullstack")
    );
    assert_eq!(
        count("@fullstack except @playwright"),
        count("@python-dev\n@node")
    );
}

#[test]
fn an_exception_of_one_include_does_not_reach_another() {
    let loaded = including("@telemetry except sentry.io\n@telemetry\n");
    assert_eq!(
        loaded.policy.rules().len(),
        including("@telemetry").policy.rules().len()
    );
}
