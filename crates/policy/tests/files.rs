//! Files as they come: any line ends, any size, several layers, presets that include presets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets something else has failed"
)]

use std::borrow::Cow;
use std::num::NonZeroU64;

use agentnet_policy::{
    Ask, Layer, LoadOptions, Loaded, Mode, Policy, Presets, Problems, Reason, Request, Rule,
    Severity, Source, Target, Verdict, load,
};
use jiff::Timestamp;

/// Presets of a test, by name and text.
struct Given(&'static [(&'static str, &'static str)]);

impl Presets for Given {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| Cow::Borrowed(*text))
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

const NONE: Given = Given(&[]);

fn file(name: &str, layer: Layer, text: impl Into<String>) -> Source {
    Source {
        name: name.into(),
        layer,
        text: text.into(),
    }
}

fn project(text: impl Into<String>) -> Vec<Source> {
    vec![file("project.txt", Layer::Project, text)]
}

fn load_with(sources: &[Source], presets: &Given) -> Result<Loaded, Problems> {
    load(sources, presets, LoadOptions::default())
}

fn policy(sources: &[Source], presets: &Given) -> Policy {
    load_with(sources, presets)
        .unwrap_or_else(|e| panic!("{e}"))
        .policy
}

fn reason(policy: &Policy, target: &str) -> Reason {
    let target = Target::parse(target, None).unwrap();
    policy
        .judge(
            Request {
                target,
                ask: Ask::Tunnel,
            },
            Timestamp::UNIX_EPOCH,
        )
        .reason()
}

fn messages(sources: &[Source], presets: &Given) -> Vec<String> {
    match load_with(sources, presets) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn no_source_at_all_allows_nothing() {
    let policy = policy(&[], &NONE);
    assert_eq!(policy.rules().len(), 0);
    assert_eq!(reason(&policy, "github.com:443"), Reason::NotListed);
}

#[test]
fn a_deny_of_any_layer_holds_in_all() {
    for deny in [Layer::Project, Layer::Task] {
        for allow in [Layer::Project, Layer::Task] {
            let sources = [
                file("a", allow, "gist.github.com"),
                file("d", deny, "gist.github.com deny"),
            ];
            assert_eq!(
                reason(&policy(&sources, &NONE), "gist.github.com:443"),
                Reason::RuleDenied
            );
        }
    }
    let presets = Given(&[("no", "gist.github.com deny")]);
    let sources = [
        file("a", Layer::Project, "@no"),
        file("b", Layer::Task, "gist.github.com"),
    ];
    assert_eq!(
        reason(&policy(&sources, &presets), "gist.github.com:443"),
        Reason::RuleDenied
    );
}

#[test]
fn a_task_cannot_take_a_line_out_of_what_the_project_includes() {
    let presets = Given(&[("no", "a.example.com deny\nb.example.com deny")]);
    let sources = [
        file("project", Layer::Project, "@no"),
        file(
            "task",
            Layer::Task,
            "@no except a.example.com\na.example.com",
        ),
    ];
    assert_eq!(
        reason(&policy(&sources, &presets), "a.example.com:443"),
        Reason::RuleDenied
    );
}

#[test]
fn layers_are_read_in_their_order_whatever_the_order_given() {
    let sources = [
        file("t", Layer::Task, "b.example.com"),
        file("p", Layer::Project, "a.example.com"),
    ];
    let loaded = policy(&sources, &NONE);
    let files: Vec<_> = loaded
        .rules()
        .map(|rule| (rule.file(), rule.layer(), rule.line()))
        .collect();
    assert_eq!(files, [("p", Layer::Project, 1), ("t", Layer::Task, 1)]);
}

#[test]
fn a_rule_knows_its_place_its_text_and_its_reason() {
    let text = "\u{FEFF}# header\r\n\r\n\t github.com:443   raw\t# why, with ü \r\n";
    let loaded = policy(&project(text), &NONE);
    let rule = loaded.rules().next().unwrap();
    assert_eq!(
        (rule.file(), rule.line(), rule.text(), rule.comment()),
        (
            "project.txt",
            3,
            "github.com:443   raw",
            Some("why, with ü")
        )
    );
}

#[test]
fn the_fingerprint_is_of_what_is_in_force_and_not_of_how_it_is_written() {
    let of = |text: &str| policy(&project(text), &NONE).fingerprint();
    assert_eq!(of("github.com # a\n"), of("# b\n\n  github.com"));
    assert_ne!(of("github.com"), of("github.com raw"));
    assert_ne!(of("a.example.com\nb.example.com"), of("a.example.com"));
    let observing = load(
        &project("github.com"),
        &NONE,
        LoadOptions {
            mode: Mode::Observe,
            ..LoadOptions::default()
        },
    )
    .unwrap();
    assert_ne!(of("github.com"), observing.policy.fingerprint());
}

#[test]
fn a_rule_number_of_another_policy_is_no_rule() {
    let long = policy(&project("a.example.com\nb.example.com"), &NONE);
    let target = Target::parse("b.example.com:443", None).unwrap();
    let verdict = long.judge(
        Request {
            target,
            ask: Ask::Tunnel,
        },
        Timestamp::UNIX_EPOCH,
    );
    let short = policy(&project("a.example.com"), &NONE);
    assert!(short.rule(verdict.rule().unwrap()).is_none());
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let sources = [
        file("p.txt", Layer::Project, "*\n\ngithub.com\nGitHub.com"),
        file("t.txt", Layer::Task, "1.2.3"),
    ];
    let got = messages(&sources, &NONE);
    let starts = ["p.txt:1: ", "p.txt:4: ", "t.txt:1: "];
    assert_eq!(got.len(), starts.len());
    assert!(
        got.iter()
            .zip(starts)
            .all(|(got, start)| got.starts_with(start)),
        "{got:#?}"
    );
}

#[test]
fn problems_are_bounded_and_warnings_never_hide_an_error() {
    let errors = load_with(&project("*\n".repeat(10_000)), &NONE).unwrap_err();
    assert_eq!(errors.iter().count(), 100);
    let text = format!("{}*\n", "*.amazonaws.com\n".repeat(10_000));
    let problems = load_with(&project(text), &NONE).unwrap_err();
    assert_eq!(
        problems
            .iter()
            .filter(|p| p.severity == Severity::Error)
            .count(),
        1
    );
    assert!(problems.iter().count() <= 200);
    let repeated = load_with(&project("a.example.com\n".repeat(10_000)), &NONE).unwrap();
    assert_eq!(repeated.warnings.len(), 100);
}

#[test]
fn a_line_of_a_megabyte_is_an_error_and_not_a_wait() {
    let got = messages(&project("a".repeat(1 << 20)), &NONE);
    assert_eq!(got, ["project.txt:1: the line is longer than 4096 bytes"]);
    let got = messages(
        &project(format!("github.com # {}", "a".repeat(1 << 20))),
        &NONE,
    );
    assert_eq!(got, ["project.txt:1: the line is longer than 4096 bytes"]);
}

#[test]
fn a_million_lines_of_comment_load_and_a_million_rules_do_not() {
    assert_eq!(
        policy(&project("# x\n".repeat(1_000_000)), &NONE)
            .rules()
            .len(),
        0
    );
    let got = messages(&project("a.example.com\n".repeat(1_000_000)), &NONE);
    assert_eq!(
        got,
        ["project.txt:250001: there are more than 250000 rules"]
    );
}

#[test]
fn presets_include_presets_but_not_themselves() {
    let presets = Given(&[
        ("outer", "@inner\nouter.example.com"),
        ("inner", "inner.example.com"),
        ("snake", "@tail"),
        ("tail", "@snake"),
    ]);
    let loaded = policy(&project("@outer"), &presets);
    assert_eq!(
        loaded.rules().map(Rule::file).collect::<Vec<_>>(),
        ["@inner", "@outer"]
    );
    let got = messages(&project("@snake"), &presets);
    assert_eq!(
        got,
        ["@tail:1: \"@snake\" includes itself, or is nested too deep"]
    );
}

#[test]
fn a_preset_included_twice_is_in_force_once_and_is_no_warning() {
    let presets = Given(&[("a", "x.example.com"), ("b", "@a\nx.example.com")]);
    let loaded = load_with(&project("@a\n@b\n@a"), &presets).unwrap();
    assert_eq!(loaded.policy.rules().len(), 2);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn an_error_in_a_preset_names_the_preset() {
    let presets = Given(&[("bad", "\n*.com")]);
    let got = messages(&project("@bad"), &presets);
    assert!(
        got.len() == 1 && got.iter().all(|message| message.starts_with("@bad:2: ")),
        "{got:?}"
    );
}

#[test]
fn a_line_that_a_task_says_too_is_no_warning_for_the_project() {
    let sources = [
        file("p", Layer::Project, "api.github.com"),
        file("t", Layer::Task, "**.github.com"),
    ];
    assert_eq!(messages(&sources, &NONE), [""; 0]);
    let sources = [
        file("p", Layer::Project, "**.github.com"),
        file("t", Layer::Task, "api.github.com"),
    ];
    let covered =
        "t:1: warning: \"api.github.com\" says nothing new: covered by p:1: **.github.com";
    assert_eq!(messages(&sources, &NONE), [covered]);
}

#[test]
fn two_sources_of_one_name_are_both_in_force() {
    for layer in [Layer::Preset, Layer::Project, Layer::Task] {
        let sources = [
            file("same", layer, "a.example.com"),
            file("same", layer, "b.example.com deny"),
        ];
        let loaded = policy(&sources, &NONE);
        assert_eq!(reason(&loaded, "a.example.com:443"), Reason::Allowed);
        assert_eq!(reason(&loaded, "b.example.com:443"), Reason::RuleDenied);
    }
}

fn advice(text: &str, presets: &Given) -> Vec<String> {
    let loaded = load_with(&project(text), presets).unwrap_or_else(|e| panic!("{e}"));
    loaded.advice().iter().map(ToString::to_string).collect()
}

#[test]
fn a_wildcard_whose_own_name_no_line_is_for_is_worth_a_word() {
    for (text, expected) in [
        (
            "*.example.com raw # why",
            "project.txt:1: warning: \"*.example.com\" is not for example.com itself, and no other line is; write: **.example.com raw",
        ),
        (
            "a.example.com\n*.example.co.uk:443",
            "project.txt:2: warning: \"*.example.co.uk\" is not for example.co.uk itself, and no other line is; write: **.example.co.uk:443",
        ),
    ] {
        assert_eq!(advice(text, &NONE), [expected], "{text}");
    }
    for text in [
        "**.example.com",
        "*.example.com\nexample.com",
        "example.com:8443\n*.example.com",
        "*.example.com\nexample.com deny",
        // The name above is not the registered one, so it may well serve nothing.
        "*.eu.example.com",
        "*.example.com deny",
        "x*.example.com",
        // Warned of already, for another reason.
        "*.githubusercontent.com",
        "@p",
    ] {
        let presets = Given(&[("p", "*.example.com:443")]);
        assert_eq!(advice(text, &presets), [""; 0], "{text}");
    }
}

#[test]
fn files_stand_in_the_place_of_presets_or_beside_them() {
    use agentnet_policy::{BuiltinPresets, PresetFiles};
    let given = |name: &str, text: &str| {
        (
            name.to_owned(),
            file(&format!("/p/{name}.txt"), Layer::Preset, text),
        )
    };
    let presets = PresetFiles::new([
        given("node", "mirror.example:443"),
        given("ours", "@node\n*"),
    ]);
    let names = presets.names();
    assert_eq!(names.len(), BuiltinPresets.names().len() + 1);
    assert!(names.is_sorted() && names.contains(&"ours"));
    let loaded = load(&project("@nodejs-dev"), &presets, LoadOptions::default()).unwrap();
    assert_eq!(
        reason(&loaded.policy, "mirror.example:443"),
        Reason::Allowed
    );
    assert_eq!(
        reason(&loaded.policy, "registry.npmjs.org:443"),
        Reason::NotListed
    );
    let files: Vec<&str> = loaded.policy.rules().map(Rule::file).collect();
    assert!(
        files.contains(&"@github") && files.contains(&"/p/node.txt"),
        "{files:?}"
    );
    let problems = load(&project("@ours"), &presets, LoadOptions::default()).unwrap_err();
    assert!(
        problems.to_string().starts_with("/p/ours.txt:2: "),
        "{problems}"
    );
    for (file, name) in [
        ("python.txt", Some("python")),
        ("my-own2.txt", Some("my-own2")),
        ("Python.txt", None),
        ("a b.txt", None),
        (".txt", None),
        ("python", None),
        ("python.txt~", None),
    ] {
        assert_eq!(PresetFiles::name_of(file), name, "{file}");
    }
}

#[test]
fn a_default_limits_the_allowing_lines_that_say_nothing() {
    let text = "a.example\nb.example up=9B\n**.b.example\nc.example deny\n";
    let options = LoadOptions {
        default_up: NonZeroU64::new(5),
        ..LoadOptions::default()
    };
    let loaded = load(&project(text), &NONE, options).unwrap();
    let limits: Vec<Option<u64>> = loaded.policy.rules().map(Rule::budget).collect();
    assert_eq!(limits, [Some(5), Some(9), Some(5), None]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let judge = |host: &str| {
        let target = Target::parse(&format!("{host}:443"), None).unwrap();
        let ask = Ask::Tunnel;
        let verdict = loaded
            .policy
            .judge(Request { target, ask }, Timestamp::UNIX_EPOCH);
        let Verdict::Allow(grant) = verdict else {
            panic!("{verdict:?}")
        };
        grant.budget()
    };
    // The largest `up=` of those that match, the default among them.
    assert_eq!(judge("b.example"), Some(9));
    assert_eq!(judge("a.b.example"), Some(5));
    let without = policy(&project(text), &NONE);
    assert!(
        without
            .rules()
            .any(|rule| rule.budget().is_none() && !rule.is_deny())
    );
}
