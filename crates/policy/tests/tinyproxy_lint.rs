//! `lint`: what is weak, with a name that proves it, and the whitelist that says what was meant.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets something else has failed"
)]

use agentnet_policy::tinyproxy::{Conf, Fault, Lint, Options, lint};
use agentnet_policy::{Ask, Layer, LoadOptions, Loaded, Reason, Request, Source, Target, load};
use jiff::Timestamp;
use proptest::prelude::*;

fn examine(conf: &str, filter: &str) -> Lint {
    let conf = format!("Port 1\nFilter \"f\"\n{conf}");
    let (conf, _) = Conf::parse("t.conf", &conf).unwrap();
    lint(&conf, Some(("f", filter))).unwrap()
}

fn loaded(whitelist: &str) -> Loaded {
    let sources = [Source {
        name: "w.txt".into(),
        layer: Layer::Project,
        text: whitelist.into(),
    }];
    load(&sources, &(), LoadOptions::default()).unwrap()
}

/// The lines of the whitelist that are no comments, without theirs.
fn lines(lint: &Lint) -> Vec<&str> {
    let text = lint.whitelist.lines();
    text.filter_map(|line| line.split('#').next().map(str::trim))
        .filter(|line| !line.is_empty())
        .collect()
}

const ALLOW: &str = "FilterDefaultDeny Yes\n";

/// A type, a pattern, the name it lets through (if it does) and the lines that it means.
const TABLE: &[(&str, &str, Option<&str>, &[&str])] = &[
    (
        "bre",
        "github.com",
        Some("github.com.evil.example"),
        &["**.github.com"],
    ),
    (
        "bre",
        "github\\.com",
        Some("github.com.evil.example"),
        &["**.github.com"],
    ),
    (
        "bre",
        "github\\.com$",
        Some("evil-github.com"),
        &["**.github.com"],
    ),
    (
        "bre",
        "^github.com",
        Some("github.com.evil.example"),
        &["github.com"],
    ),
    ("bre", "^github\\.com$", None, &["github.com"]),
    (
        "bre",
        "^api.github\\.com$",
        Some("api-github.com"),
        &["api.github.com"],
    ),
    (
        "bre",
        ".github\\.com$",
        Some("evil-github.com"),
        &["*.github.com"],
    ),
    ("bre", "\\.github\\.com$", None, &["*.github.com"]),
    ("bre", ".*\\.github\\.com$", None, &["*.github.com"]),
    (
        "bre",
        "\\(^\\|\\.\\)github\\.com$",
        None,
        &["**.github.com"],
    ),
    ("ere", "(^|\\.)github\\.com$", None, &["**.github.com"]),
    ("ere", "^(.*\\.)?github\\.com$", None, &["**.github.com"]),
    (
        "ere",
        "^(www\\.)?example\\.(com|org)$",
        None,
        &[
            "example.com",
            "example.org",
            "www.example.com",
            "www.example.org",
        ],
    ),
    (
        "ere",
        "^region[0-9]+\\.example\\.com$",
        None,
        &["region*.example.com"],
    ),
    ("bre", "google", Some("google.evil.example"), &[]),
    ("bre", "ads\\.", Some("ads.evil.example"), &[]),
    ("bre", ".*", Some("evil.example"), &[]),
    ("bre", "^.*\\.com$", Some("evil.com"), &[]),
    ("bre", "\\.co\\.uk$", Some("evil.co.uk"), &[]),
    ("fnmatch", "github.com", None, &["github.com"]),
    ("fnmatch", "*.github.com", None, &["*.github.com"]),
    (
        "fnmatch",
        "*github.com",
        Some("evil-github.com"),
        &["**.github.com"],
    ),
    ("fnmatch", "github.*", Some("github.evil.example"), &[]),
    ("fnmatch", "*github*", Some("github.evil.example"), &[]),
];

#[test]
fn a_pattern_that_lets_a_stranger_through_is_shown_with_the_name_and_what_was_meant() {
    for (kind, pattern, hostile, meant) in TABLE {
        let found = examine(&format!("{ALLOW}FilterType {kind}"), pattern);
        let name = found
            .findings
            .iter()
            .find_map(|finding| match &finding.fault {
                Fault::LetsThrough(name) => Some(name.as_str()),
                _ => None,
            });
        assert_eq!(name, *hostile, "{kind} {pattern}: {:?}", found.findings);
        let mut lines = lines(&found);
        lines.sort_unstable();
        assert_eq!(lines, *meant, "{kind} {pattern}");
    }
}

#[test]
fn the_finding_names_file_line_pattern_and_name() {
    let found = examine(ALLOW, "# ours\n^good\\.example$\ngithub.com\n");
    let text: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        ["f:3: github.com lets github.com.evil.example through"]
    );
    assert!(
        found
            .whitelist
            .contains("\n**.github.com # f:3: github.com, narrowed to what is evidently meant\n")
    );
    assert!(
        found
            .whitelist
            .contains("\ngood.example # f:2: ^good\\.example$\n"),
        "{}",
        found.whitelist
    );
}

#[test]
fn lines_that_can_never_match_are_told_with_the_reason() {
    for (conf, pattern, part) in [
        ("", "github\\.com/login", "slash"),
        ("", "https*://github", "slash"),
        ("", "github\\.com:443", "port"),
        ("FilterType fnmatch", "GitHub.com", "capital G"),
        ("FilterCaseSensitive Yes", "GitHub\\.com", "capital G"),
        ("", "git hub\\.com,x", ""),
        ("", "github\\.com,x", "','"),
        ("", "^(.*\\.)?gitlab\\.com$", "write FilterType ere"),
        ("", "*.github.com", "write FilterType fnmatch"),
        ("", "\\x", "means nothing"),
        ("", "^github\\.com\\.$", "in a dot"),
        ("FilterType ere", "a^b", "anchor"),
        (
            "FilterURLs On",
            "^https://github\\.com/",
            "of a CONNECT it sees host:port",
        ),
    ] {
        let found = examine(&format!("{ALLOW}{conf}"), pattern);
        let dead = found
            .findings
            .iter()
            .find_map(|finding| match &finding.fault {
                Fault::Dead(why) => Some(why.as_str()),
                _ => None,
            });
        assert_eq!(
            dead.is_some(),
            !part.is_empty(),
            "{pattern}: {:?}",
            found.findings
        );
        assert!(
            dead.unwrap_or_default().contains(part),
            "{pattern}: {dead:?}"
        );
        if dead.is_some() {
            assert_eq!(lines(&found), [""; 0], "a dead line means nothing");
        }
    }
    for alive in [
        "^192\\.0\\.2\\.1$",
        "^2001:db8::1$",
        "GitHub\\.com",
        "[/a]b",
        "a/*b",
    ] {
        let found = examine(ALLOW, alive);
        assert!(
            !found
                .findings
                .iter()
                .any(|f| matches!(f.fault, Fault::Dead(_))),
            "{alive}"
        );
    }
}

#[test]
fn lines_that_say_what_another_says_are_told_with_its_number() {
    let text = "github\\.com\napi\\.github\\.com\ngithub\\.com\nGITHUB\\.COM\n^other\\.example$\nother\\.example$\n";
    let found = examine(ALLOW, text);
    let faults: Vec<(u32, &Fault)> = found
        .findings
        .iter()
        .filter(|f| matches!(f.fault, Fault::Duplicate(_) | Fault::Covered(_)))
        .map(|f| (f.line, &f.fault))
        .collect();
    assert_eq!(
        faults,
        [
            (2, &Fault::Covered(1)),
            (3, &Fault::Duplicate(1)),
            (4, &Fault::Covered(1)),
            (5, &Fault::Covered(6)),
        ]
    );
    let apart = examine(ALLOW, "^a\\.example$\n^b\\.example$\n\\.a\\.example$\n");
    assert_eq!(apart.findings, []);
    let shell = examine(
        &format!("{ALLOW}FilterType fnmatch"),
        "*.a.example\nx.a.example\na.example\n",
    );
    let lines: Vec<u32> = shell.findings.iter().map(|f| f.line).collect();
    assert_eq!(lines, [2]);
}

#[test]
fn a_list_of_refused_hosts_is_told_that_the_rest_is_open() {
    let found = examine("", "ads\\.example\\.com\n");
    let text: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 1);
    assert!(text[0].starts_with("f: the patterns say what is refused, so everything else is open"));
    assert_eq!(lines(&found), ["**.ads.example.com deny"]);
    let (conf, _) = Conf::parse("t.conf", "Port 1").unwrap();
    let none = lint(&conf, None).unwrap();
    assert_eq!(
        none.findings[0].to_string(),
        "t.conf: there is no Filter, so everything is open"
    );
    assert_eq!(lines(&none), [""; 0]);
}

#[test]
fn urls_are_tried_as_urls() {
    let urls = format!("{ALLOW}FilterURLs On\n");
    let found = examine(&urls, "github\\.com\n");
    assert_eq!(
        found.findings[0].fault,
        Fault::LetsThrough("http://evil.example/?github.com".into())
    );
    assert_eq!(lines(&found), ["**.github.com"]);
    assert_eq!(
        lines(&examine(&urls, "^http://github\\.com/")),
        ["github.com"]
    );
    assert_eq!(examine(&urls, "^http://github\\.com/").findings, []);
    let tunnel = examine(&urls, "^github\\.com:443$");
    assert_eq!(
        (lines(&tunnel), tunnel.findings.len()),
        (vec!["github.com"], 0)
    );
    let https = examine(&urls, "https://github\\.com/\n");
    assert!(https.findings.iter().any(|f| f.fault == Fault::NeverHttps));
}

#[test]
fn the_ports_of_connect_stand_on_the_lines() {
    let with = |ports: &str| {
        let found = examine(&format!("{ALLOW}{ports}"), "^a\\.example\\.com$");
        lines(&found).join("")
    };
    assert_eq!(with(""), "a.example.com");
    assert_eq!(with("ConnectPort 443"), "a.example.com");
    assert_eq!(
        with("ConnectPort 443\nConnectPort 8443"),
        "a.example.com:80,443,8443"
    );
    assert_eq!(with("ConnectPort 0"), "a.example.com:80");
    assert_eq!(lines(&examine(ALLOW, "^192\\.0\\.2\\.1$")), ["192.0.2.1"]);
}

#[test]
fn a_filter_that_does_not_load_is_not_examined() {
    let (conf, _) = Conf::parse("t.conf", "Port 1\nFilter \"f\"").unwrap();
    assert!(lint(&conf, Some(("f", "\\(a\\)\\1"))).is_err());
}

/// Patterns as people write them, and worse.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        5 => "[a-z]{1,4}", 3 => Just("\\.".to_owned()), 2 => Just(".".to_owned()),
        1 => Just(".*".to_owned()), 1 => Just("[a-z]*".to_owned()), 1 => Just("com".to_owned()),
        1 => Just("\\.com".to_owned()), 1 => Just("\\(a\\|b\\)".to_owned()), 1 => Just("/".to_owned()),
    ];
    (
        any::<bool>(),
        prop::collection::vec(part, 1..7),
        any::<bool>(),
    )
        .prop_map(|(start, parts, end)| {
            let (start, end) = (if start { "^" } else { "" }, if end { "$" } else { "" });
            format!("{start}{}{end}", parts.concat())
        })
}

fn allows(loaded: &Loaded, host: &str) -> bool {
    let target = Target::parse(host, "443".parse().ok()).unwrap();
    let request = Request {
        target,
        ask: Ask::Tunnel,
    };
    loaded.policy.judge(request, Timestamp::UNIX_EPOCH).reason() == Reason::Allowed
}

proptest! {
    #[test]
    fn what_is_said_is_true(patterns in prop::collection::vec(pattern(), 1..6), hosts in prop::collection::vec("[a-c]{1,2}(\\.[a-c]{1,2}){0,2}\\.com", 8)) {
        let text = patterns.join("\n");
        let found = examine(ALLOW, &text);
        let (conf, _) = Conf::parse("t.conf", &format!("Port 1\nFilter \"f\"\n{ALLOW}")).unwrap();
        let filter = |text: &str| conf.policy(Some(("f", text)), Options::default()).unwrap();
        let whole = filter(&text);
        loaded(&found.whitelist);
        for finding in &found.findings {
            match &finding.fault {
                Fault::LetsThrough(name) => {
                    prop_assert!(allows(&whole, name) && allows(&filter(&finding.pattern), name));
                    let own = found.whitelist.lines().filter(|line| line.contains(&format!("# f:{}: ", finding.line)));
                    let own: String = own.map(|line| format!("{line}\n")).collect();
                    prop_assert!(!allows(&loaded(&own), name), "{}", finding);
                }
                Fault::Dead(_) => {
                    for host in &hosts {
                        prop_assert!(!allows(&filter(&finding.pattern), host), "{}", finding);
                    }
                }
                Fault::Duplicate(line) | Fault::Covered(line) => {
                    let other = &patterns[*line as usize - 1];
                    for host in &hosts {
                        prop_assert!(!allows(&filter(&finding.pattern), host) || allows(&filter(other), host), "{}", finding);
                    }
                }
                _ => {}
            }
        }
        // A line without the note says what its pattern says.
        for line in found.whitelist.lines().filter(|line| !line.starts_with('#') && !line.contains("narrowed")) {
            let number: usize = line.split("# f:").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
            for host in &hosts {
                prop_assert!(!allows(&loaded(line), host) || allows(&filter(&patterns[number - 1]), host), "{} {}", line, host);
            }
        }
    }

    #[test]
    fn whatever_loads_can_be_examined_and_the_whitelist_loads(text in "\\PC{0,60}|[\\[\\](){}*+?|^$\\\\a-c,0-9:=.!#\n -]{0,40}", kind in 0..3usize, more in 0..4usize) {
        let kind = ["bre", "ere", "fnmatch"][kind];
        let more = ["", ALLOW, "FilterURLs On\n", "FilterURLs On\nFilterDefaultDeny Yes\n"][more];
        let conf = format!("Port 1\nFilter \"f\"\nFilterType {kind}\n{more}");
        let (conf, _) = Conf::parse("t.conf", &conf).unwrap();
        if let Ok(found) = lint(&conf, Some(("f", &text))) {
            loaded(&found.whitelist);
        }
    }
}
