//! Filter files: which patterns they have, what those match, and what is decided.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that meets something else has failed"
)]

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use agentnet_policy::tinyproxy::{Conf, Options};
use agentnet_policy::{
    Ask, Loaded, Mode, Outcome, Policy, Problem, Reason, Request, Surroundings, Target, Verdict,
};
use jiff::Timestamp;
use proptest::prelude::*;

fn load(conf: &str, filter: &str, options: Options) -> Result<Loaded, Vec<String>> {
    let conf = format!("Port 1\nFilter \"f\"\n{conf}");
    let (conf, _) = Conf::parse("t.conf", &conf).unwrap();
    conf.policy(Some(("f", filter)), options)
        .map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

fn policy(conf: &str, filter: &str) -> Policy {
    load(conf, filter, Options::default()).unwrap().policy
}

fn judge(policy: &Policy, url: &str) -> Verdict {
    policy.judge(request(url), Timestamp::UNIX_EPOCH)
}

fn request(url: &str) -> Request<'_> {
    let (target, ask) = match url.strip_prefix("http://") {
        None => (url, Ask::Tunnel),
        Some(rest) => {
            let at = rest.find('/').unwrap();
            let method = "GET";
            (
                &rest[..at],
                Ask::Http {
                    method,
                    path: &rest[at..],
                },
            )
        }
    };
    let target = Target::parse(target, "80".parse().ok()).unwrap();
    Request { target, ask }
}

const ALLOW: &str = "FilterDefaultDeny Yes\n";

/// How the lines are read, a pattern, a host, and whether it matches. The hosts are those of the
/// questions people ask about Tinyproxy's filters.
const TABLE: &[(&str, &str, &str, bool)] = &[
    // Unanchored, and a dot is any character.
    ("bre", "github.com", "github.com", true),
    ("bre", "github.com", "api.github.com", true),
    ("bre", "github.com", "github.com.evil.example", true),
    ("bre", "github.com", "githubxcom.example", true),
    ("bre", "github\\.com", "githubxcom.example", false),
    ("bre", "^github\\.com$", "github.com", true),
    ("bre", "^github\\.com$", "api.github.com", false),
    ("bre", "\\.github\\.com$", "github.com", false),
    ("bre", "\\(^\\|\\.\\)github\\.com$", "api.github.com", true),
    ("bre", "\\(^\\|\\.\\)github\\.com$", "evilgithub.com", false),
    // Case is ignored, and hosts are compared small.
    ("bre", "GitHub\\.COM", "github.com", true),
    ("bre case", "GitHub\\.COM", "github.com", false),
    ("bre", "[A-C]x", "bx.example", true),
    ("bre case", "[A-C]x", "bx.example", false),
    // In the basic grammar these are letters.
    ("bre", "(a|b)", "a.example", false),
    ("bre", "a+", "aa.example", false),
    ("bre", "^a\\+\\.", "aaa.example", true),
    ("bre", "^ab\\?\\.", "a.example", true),
    ("bre", "^a\\{2,3\\}\\.", "aaa.example", true),
    ("bre", "^a\\{2,3\\}\\.", "aaaa.example", false),
    ("bre", "a\\|b", "xb.example", true),
    ("bre", "^*a", "a.example", false),
    ("bre", "\\<evil\\>", "an-evil-host.example", true),
    ("bre", "\\<evil\\>", "devil.example", false),
    ("bre", "\\bevil", "devil.example", false),
    ("bre", "\\w\\W\\w", "a.b", true),
    ("bre", "^[[:alpha:]]*$", "a1", false),
    ("bre", "^[^.]*$", "localdomain", true),
    ("bre", "^[^.]*$", "a.b", false),
    // The extended grammar.
    (
        "ere",
        "^(www\\.)?example\\.(com|org)$",
        "www.example.org",
        true,
    ),
    (
        "ere",
        "^(www\\.)?example\\.(com|org)$",
        "example.net",
        false,
    ),
    ("ere", "^a{2}\\.", "aa.b", true),
    ("ere", "^a{,2}b", "b.c", true),
    ("ere", "a\\.b|", "anything", true),
    ("ere", "^x+\\.", "xxx.y", true),
    // The shell's.
    ("fnmatch", "*.google.com", "www.google.com", true),
    ("fnmatch", "*.google.com", "a.b.google.com", true),
    ("fnmatch", "*.google.com", "google.com", false),
    (
        "fnmatch",
        "*.google.com",
        "www.google.com.evil.example",
        false,
    ),
    ("fnmatch", "google.com", "www.google.com", false),
    ("fnmatch", "g??gle.com", "google.com", true),
    ("fnmatch", "[!g]*.com", "google.com", false),
    ("fnmatch", "[a-f]*.com", "example.com", true),
    ("fnmatch", "Google.com", "google.com", false),
    ("fnmatch", "[[:digit:]]*.com", "1a.com", true),
    ("fnmatch", "a[b.com", "a[b.com", true),
];

fn says(kind: &str) -> String {
    let (kind, case) = match kind.strip_suffix(" case") {
        Some(kind) => (kind, "Yes"),
        None => (kind, "No"),
    };
    format!("FilterType {kind}\nFilterCaseSensitive {case}\n")
}

#[test]
fn patterns_match_as_in_tinyproxy() {
    for (kind, pattern, host, expected) in TABLE {
        if host.contains('[') {
            continue;
        }
        let policy = policy(&format!("{}{ALLOW}", says(kind)), pattern);
        let verdict = judge(&policy, &format!("{host}:443"));
        let matched = matches!(verdict, Verdict::Allow(_));
        assert_eq!(matched, *expected, "{kind}: {pattern} and {host}");
    }
}

#[test]
fn a_list_of_refused_hosts_leaves_the_rest_open_and_raw() {
    let policy = policy("", "# ads\nads\\.example # they track\n^evil\n");
    let Verdict::Allow(grant) = judge(&policy, "good.example:22") else {
        panic!("not allowed");
    };
    assert!(grant.raw() && grant.rule().is_none() && grant.budget().is_none());
    let verdict = judge(&policy, "cdn.ads.example:443");
    assert_eq!(verdict.reason(), Reason::RuleDenied);
    let rule = policy.rule(verdict.rule().unwrap()).unwrap();
    assert_eq!(
        (rule.file(), rule.line(), rule.text()),
        ("f", 2, "ads\\.example")
    );
    assert_eq!(rule.comment(), Some("they track"));
    assert!(rule.is_deny());
    assert_eq!(policy.rules().len(), 2);
}

#[test]
fn a_list_of_allowed_hosts_closes_the_rest_and_holds_tunnels_to_the_name() {
    let policy = policy(ALLOW, "^good\\.example$\n");
    let Verdict::Allow(grant) = judge(&policy, "Good.Example.:443") else {
        panic!("not allowed");
    };
    assert!(!grant.raw());
    assert_eq!(policy.rule(grant.rule().unwrap()).unwrap().line(), 1);
    let refused = judge(&policy, "http://other.example/");
    assert_eq!(
        (refused.reason(), refused.rule()),
        (Reason::NotListed, None)
    );
}

#[test]
fn an_empty_file_refuses_everything_or_nothing() {
    assert_eq!(
        judge(&policy(ALLOW, "# nothing\n"), "a.example:443").reason(),
        Reason::NotListed
    );
    assert_eq!(
        judge(&policy("", ""), "a.example:443").reason(),
        Reason::Allowed
    );
    let (conf, _) = Conf::parse("t.conf", "Port 1").unwrap();
    let open = conf.policy(None, Options::default()).unwrap().policy;
    assert_eq!(judge(&open, "a.example:443").reason(), Reason::Allowed);
}

#[test]
fn a_filter_file_that_was_not_read_is_an_error() {
    let (conf, _) = Conf::parse("t.conf", "Port 1\nFilter \"f\"").unwrap();
    let problems = conf
        .policy(None, Options::default())
        .unwrap_err()
        .to_string();
    assert_eq!(
        problems,
        "t.conf:2: \"f\" is the filter file, and was not read"
    );
}

#[test]
fn connect_ports_are_for_connect_alone_and_zero_is_for_none() {
    let one = policy("ConnectPort 443\nConnectPort 563", "");
    assert_eq!(judge(&one, "a.example:443").reason(), Reason::Allowed);
    assert_eq!(judge(&one, "a.example:563").reason(), Reason::Allowed);
    assert_eq!(judge(&one, "a.example:22").reason(), Reason::PortNotListed);
    assert_eq!(
        judge(&one, "http://a.example:22/").reason(),
        Reason::Allowed
    );
    let none = policy("ConnectPort 0", "");
    assert_eq!(
        judge(&none, "a.example:443").reason(),
        Reason::PortNotListed
    );
    assert_eq!(judge(&none, "http://a.example/").reason(), Reason::Allowed);
    assert_eq!(
        judge(&policy("", ""), "a.example:22").reason(),
        Reason::Allowed
    );
    // The port comes first, as in Tinyproxy.
    let both = policy("ConnectPort 443", "a");
    assert_eq!(judge(&both, "a.example:22").reason(), Reason::PortNotListed);
}

#[test]
fn urls_are_the_canonical_target_with_path_and_query_and_host_and_port_of_a_tunnel() {
    let urls = format!("FilterURLs On\n{ALLOW}");
    let allows =
        |pattern: &str, url: &str| judge(&policy(&urls, pattern), url).reason() == Reason::Allowed;
    assert!(allows(
        "^http://a\\.example/x?y=1$",
        "http://a.example/x?y=1"
    ));
    assert!(allows("^http://a\\.example/$", "http://A.example.:80/"));
    assert!(allows("^http://a\\.example:81/$", "http://a.example:81/"));
    assert!(allows(
        "^http://\\[2001:db8::1\\]/$",
        "http://[2001:db8::1]/"
    ));
    assert!(allows("^a\\.example:443$", "a.example:443"));
    assert!(!allows("^https*://a\\.example", "a.example:443"));
    assert!(!allows("/secret", "a.example:443"));
    let hosts =
        |pattern: &str, url: &str| judge(&policy(ALLOW, pattern), url).reason() == Reason::Allowed;
    assert!(!hosts("a.example:443", "a.example:443") && !hosts("/x", "http://a.example/x"));
    assert!(
        hosts("^2001:db8::1$", "[2001:db8::1]:443") && hosts("^192\\.0\\.2\\.1$", "192.0.2.1:80")
    );
}

#[test]
fn private_addresses_are_closed_unless_the_switch_opens_them() {
    let answers = |ip: &str| [ip.parse::<IpAddr>().unwrap()];
    let around = Surroundings {
        own: answers("10.213.0.1").to_vec(),
        listening: vec!["10.213.0.1:8888".parse().unwrap()],
        machine: answers("172.17.0.1").to_vec(),
    };
    let admit = |private: bool, target: &str, ip: &str| {
        let options = Options {
            private,
            ..Options::default()
        };
        let policy = load("", "", options).unwrap().policy;
        match judge(&policy, target) {
            Verdict::Allow(grant) => match policy.admit(&grant, &answers(ip), &around) {
                Ok(_) => Reason::Allowed,
                Err(denial) => denial.reason(),
            },
            Verdict::Report(..) => panic!("mode enforce"),
            Verdict::Deny(denial) => denial.reason(),
        }
    };
    for (target, ip, closed) in [
        ("a.example:80", "10.0.0.7", Reason::PrivateAddress),
        ("a.example:80", "192.168.1.1", Reason::PrivateAddress),
        ("a.example:80", "169.254.7.7", Reason::PrivateAddress),
        ("a.example:80", "127.0.0.1", Reason::PrivateAddress),
        ("127.0.0.1:80", "127.0.0.1", Reason::PrivateAddress),
        ("localhost:80", "127.0.0.1", Reason::PrivateAddress),
        ("[::1]:80", "::1", Reason::PrivateAddress),
        ("a.example:80", "172.17.0.1", Reason::PrivateAddress),
        ("a.example:80", "10.213.0.1", Reason::Loop),
    ] {
        assert_eq!(admit(false, target, ip), closed, "{target} {ip}");
        assert_eq!(admit(true, target, ip), Reason::Allowed, "{target} {ip}");
    }
    for private in [false, true] {
        let admit = |target, ip| admit(private, target, ip);
        assert_eq!(admit("a.example:80", "93.184.216.34"), Reason::Allowed);
        assert_eq!(
            admit("a.example:80", "169.254.169.254"),
            Reason::PrivateAddress
        );
        assert_eq!(
            admit("169.254.169.254:80", "169.254.169.254"),
            Reason::PrivateAddress
        );
        assert_eq!(
            admit("metadata.google.internal:80", "10.0.0.1"),
            Reason::PrivateAddress
        );
        assert_eq!(admit("a.example:80", "0.0.0.0"), Reason::PrivateAddress);
        assert_eq!(admit("a.example:8888", "10.213.0.1"), Reason::Loop);
        assert_eq!(admit("10.213.0.1:8888", "10.213.0.1"), Reason::Loop);
    }
}

#[test]
fn mode_observe_reports_what_enforce_would_refuse() {
    let options = Options {
        mode: Mode::Observe,
        ..Options::default()
    };
    let policy = load(ALLOW, "^a\\.example$", options).unwrap().policy;
    let Verdict::Report(grant, denial) = judge(&policy, "b.example:22") else {
        panic!("not reported");
    };
    assert_eq!((grant.raw(), denial.reason()), (true, Reason::NotListed));
}

#[test]
fn an_explanation_lists_every_line_that_matches_and_marks_the_one_that_decides() {
    let policy = policy("", "evil\nother\nexample$\n");
    let explained = policy.explain(request("evil.example:443"), Timestamp::UNIX_EPOCH);
    let lines: Vec<_> = explained
        .lines
        .iter()
        .map(|l| (l.rule.index(), l.outcome))
        .collect();
    assert_eq!(lines, [(0, Outcome::Denies), (2, Outcome::Denies)]);
    let text = explained.render(&policy);
    assert!(
        text.contains("\n> f:1: evil (refuses it)\n  f:3: example$ (refuses it)"),
        "{text}"
    );
    let open = policy
        .explain(request("a.invalid:443"), Timestamp::UNIX_EPOCH)
        .render(&policy);
    assert_eq!(
        open,
        "allowed: a.invalid:443, with any bytes in a tunnel, at public addresses only"
    );
}

#[test]
fn a_refusal_tells_of_the_filter_file_and_not_of_a_whitelist_line() {
    let policy = policy(ALLOW, "^a$");
    let Verdict::Deny(denial) = judge(&policy, "b.example:443") else {
        panic!("not refused");
    };
    let sentence = denial.sentence(&policy);
    assert!(
        sentence.contains("filter file") && !sentence.contains("add the line"),
        "{sentence}"
    );
}

#[test]
fn the_fingerprint_knows_the_patterns_and_how_they_are_read() {
    let base = policy("", "a\n").fingerprint();
    assert_eq!(base, policy("", "a # why\n").fingerprint());
    for (conf, filter) in [
        ("", "b\n"),
        ("FilterType ere", "a\n"),
        ("FilterURLs On", "a\n"),
        (ALLOW, "a\n"),
        ("FilterCaseSensitive Yes", "a\n"),
        ("ConnectPort 443", "a\n"),
    ] {
        assert_ne!(base, policy(conf, filter).fingerprint(), "{conf}");
    }
    let options = Options {
        private: true,
        ..Options::default()
    };
    assert_ne!(base, load("", "a\n", options).unwrap().policy.fingerprint());
}

/// What is no pattern, in which grammar, and what is said of it.
const WRONG: &[(&str, &str, &str)] = &[
    ("bre", "\\(a\\)\\1", "refers back to a group"),
    ("ere", "(a)\\1", "refers back to a group"),
    ("bre", "\\1", "refers back to a group"),
    ("bre", "\\(a", "opens a group that is not closed"),
    ("bre", "a\\)", "closes a group that is not open"),
    ("ere", "(a", "opens a group that is not closed"),
    ("ere", "*a", "repeats something that is not there"),
    ("ere", "a|*b", "repeats something that is not there"),
    ("ere", "^*", "repeats something that is not there"),
    ("bre", "\\{1\\}", "repeats something that is not there"),
    ("bre", "a**", "repeats a repetition"),
    ("ere", "a{1", "opens a count that is not closed"),
    ("ere", "a{x}", "something else than digits"),
    ("ere", "a{2,1}", "has a count that is not"),
    ("ere", "a{1,2,3}", "has a count that is not"),
    ("ere", "a{40000}", "larger than 32767"),
    ("ere", "((a{200}){200}){200}", "takes more than a mebibyte"),
    ("bre", "[a", "opens a bracket expression"),
    ("bre", "[]", "opens a bracket expression"),
    ("bre", "[[:alpha:", "opens a bracket expression"),
    ("bre", "[z-a]", "has a range"),
    ("bre", "[a-c-e]", "has a range"),
    ("bre", "[a-[:digit:]]", "has a range"),
    ("bre", "[[:foo:]]", "that POSIX does not name"),
    ("bre", "[[.hyphen.]]", "collating element"),
    ("bre", "a\\", "ends in a backslash"),
    ("fnmatch", "a\\", "ends in a backslash"),
    ("fnmatch", "[[:foo:]]", "that POSIX does not name"),
];

#[test]
fn what_is_no_pattern_is_refused_with_its_line_and_the_reason() {
    for (kind, pattern, part) in WRONG {
        let text = format!("# first\n\ngood\n  {pattern}\n");
        let problems = load(&says(kind), &text, Options::default()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with(&format!("f:4: \"{pattern}\" ")),
            "{problems:?}"
        );
        assert!(problems[0].contains(part), "{pattern}: {problems:?}");
    }
    let all = WRONG.iter().filter(|(kind, ..)| *kind == "ere");
    let all: Vec<&str> = all.map(|(_, pattern, _)| *pattern).collect();
    let text = all.join("\n");
    assert_eq!(
        load(&says("ere"), &text, Options::default())
            .unwrap_err()
            .len(),
        all.len()
    );
}

#[test]
fn lines_that_are_read_otherwise_than_they_look_are_warned_of() {
    let text = format!("a b\n\\x\n{}\nc # fine\n", "l".repeat(600));
    let loaded = load("", &text, Options::default()).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(Problem::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with("f:1: warning: \"a\" is the pattern; the words behind"));
    assert!(warnings[1].contains("f:2") && warnings[1].contains("can never match"));
    assert!(warnings[2].contains("f:3") && warnings[2].contains("longer than 511 bytes"));
    assert_eq!(loaded.policy.rules().len(), 5);
}

#[test]
fn an_automaton_that_would_be_too_large_is_refused_in_words() {
    let line = "([a-z0-9]{30}x){30}";
    let text: String = (0..3_000).map(|n| format!("{line}{n}\n")).collect();
    let problems = load("FilterType ere", &text, Options::default()).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("f: the patterns are too many or too large"),
        "{problems:?}"
    );
}

#[test]
fn a_text_that_burns_a_backtracking_matcher_is_decided_like_any_other() {
    let policy = policy(
        "FilterType ere\nFilterURLs On",
        "(a*)*b\n(x+x+)+y\n(.*)(.*)(.*)(.*)(.*)z$\n",
    );
    let url = format!("http://h/{}", "aaaax".repeat(4_000));
    // A backtracking matcher would not end while anybody waits.
    assert_eq!(judge(&policy, &url).reason(), Reason::Allowed);
}

/// Patterns that `grep` and `regcomp` read alike: no repetition without anything to repeat, and no
/// two in a row.
fn expression(extended: bool) -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        6 => "[a-d.]|-|/|:",
        2 => prop_oneof![
            Just("\\."), Just("\\w"), Just("\\W"), Just("\\S"), Just("[a-c]"), Just("[^a-c]"),
            Just("[]a]"), Just("[^]a]"), Just("[a-]"), Just("[[:digit:]x]"), Just("[^[:alpha:]]"),
            Just("[[:punct:]]"), Just("[[=a=]]"), Just("[[.-.]a]"), Just("[A-Z]"), Just("[\\w]"),
        ]
        .prop_map(str::to_owned),
        1 => prop_oneof![Just("\\<"), Just("\\>"), Just("\\b"), Just("\\B")].prop_map(str::to_owned),
    ];
    let leaf = atom.clone();
    let (open, close, or) = if extended {
        ("(", ")", "|")
    } else {
        ("\\(", "\\)", "\\|")
    };
    let counts: &[&str] = if extended {
        &["*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}", "{0}"]
    } else {
        &[
            "*",
            "\\+",
            "\\?",
            "\\{2\\}",
            "\\{1,2\\}",
            "\\{,2\\}",
            "\\{1,\\}",
            "\\{0\\}",
        ]
    };
    let counts: Vec<String> = counts.iter().map(|&count| count.to_owned()).collect();
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let counts = counts.clone();
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 1..3)
                .prop_map(move |parts| format!("{open}{}{close}", parts.join(or))),
            2 => (inner.clone(), prop::sample::select(counts))
                .prop_map(move |(part, count)| format!("{open}{part}{close}{count}")),
            1 => inner.clone().prop_map(move |part| format!("{open}^{part}{close}")),
            1 => inner.prop_map(move |part| format!("{open}{part}${close}")),
        ]
    })
}

/// Which of the texts match, as `grep` says, in the locale that Tinyproxy runs in.
fn grep(flags: &[&str], pattern: &str, texts: &[String]) -> Vec<bool> {
    let mut child = Command::new("grep")
        .args(flags)
        .args(["-n", "-e", pattern])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("grep is part of POSIX");
    let input: String = texts.iter().map(|text| format!("{text}\n")).collect();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "{pattern}"
    );
    let output = String::from_utf8(output.stdout).unwrap();
    let found: Vec<usize> = output
        .lines()
        .map(|line| line.split(':').next().unwrap().parse().unwrap())
        .collect();
    (1..=texts.len())
        .map(|line| found.contains(&line))
        .collect()
}

/// Which of the URLs a filter with one pattern matches.
fn filter(kind: &str, pattern: &str, urls: &[String]) -> Vec<bool> {
    let policy = policy(&format!("FilterURLs On\n{ALLOW}{}", says(kind)), pattern);
    let matched = |url: &String| judge(&policy, url).reason() == Reason::Allowed;
    urls.iter().map(matched).collect()
}

fn urls() -> impl Strategy<Value = Vec<String>> {
    let url = "[a-d./:A-D_0-9-]{0,8}".prop_map(|path| format!("http://a/{path}"));
    prop::collection::vec(url, 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn basic_expressions_match_what_grep_matches(
        pattern in expression(false), start in any::<bool>(), end in any::<bool>(), urls in urls()
    ) {
        let pattern = format!("{}{pattern}{}", if start { "^http://a/" } else { "" }, if end { "$" } else { "" });
        prop_assert_eq!(filter("bre case", &pattern, &urls), grep(&["-G"], &pattern, &urls), "{}", pattern);
        prop_assert_eq!(filter("bre", &pattern, &urls), grep(&["-G", "-i"], &pattern, &urls), "{} -i", pattern);
    }

    #[test]
    fn extended_expressions_match_what_grep_matches(
        pattern in expression(true), start in any::<bool>(), end in any::<bool>(), urls in urls()
    ) {
        let pattern = format!("{}{pattern}{}", if start { "^http://a/" } else { "" }, if end { "$" } else { "" });
        prop_assert_eq!(filter("ere case", &pattern, &urls), grep(&["-E"], &pattern, &urls), "{}", pattern);
        prop_assert_eq!(filter("ere", &pattern, &urls), grep(&["-E", "-i"], &pattern, &urls), "{} -i", pattern);
    }
}

/// A file name pattern, matched the slow way.
fn shell(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        ([b'*', rest @ ..], text) => (0..=text.len()).any(|at| shell(rest, &text[at..])),
        ([b'?', rest @ ..], [_, text @ ..]) => shell(rest, text),
        ([b'\\', byte, rest @ ..], [first, text @ ..]) => byte == first && shell(rest, text),
        ([b'[', rest @ ..], [first, text @ ..]) => {
            let end = rest.iter().skip(2).position(|&b| b == b']').unwrap() + 2;
            let (set, rest) = (&rest[..end], &rest[end + 1..]);
            let (set, not) = match set {
                [b'!' | b'^', set @ ..] => (set, true),
                set => (set, false),
            };
            let found = match set {
                [from, b'-', to] => (from..=to).contains(&first),
                set => set.contains(first),
            };
            found != not && shell(rest, text)
        }
        ([byte, rest @ ..], [first, text @ ..]) => byte == first && shell(rest, text),
        (_, []) => false,
    }
}

proptest! {
    #[test]
    fn shell_patterns_match_what_a_slow_matcher_matches(
        parts in prop::collection::vec(prop_oneof![
            4 => "[a-d./:]", 3 => Just("*".to_owned()), 1 => Just("?".to_owned()),
            1 => "\\\\[a-d*?.]",
            1 => prop_oneof![Just("[a-c]"), Just("[!a-c]"), Just("[^ab]"), Just("[ab/]"), Just("[d.]")].prop_map(str::to_owned),
        ], 0..8),
        anchored in any::<bool>(),
        urls in urls(),
    ) {
        let pattern = format!("{}{}", if anchored { "http://a/" } else { "*" }, parts.concat());
        let slow: Vec<bool> = urls.iter().map(|url| shell(pattern.as_bytes(), url.as_bytes())).collect();
        prop_assert_eq!(filter("fnmatch", &pattern, &urls), slow, "{}", pattern);
    }

    #[test]
    fn no_filter_text_makes_the_reader_panic(text in "\\PC{0,60}|[\\[\\](){}*+?|^$\\\\a-c,0-9:=.!\n-]{0,30}", kind in 0..3usize) {
        let kind = ["bre", "ere", "fnmatch"][kind];
        for case in ["", " case"] {
            if let Ok(loaded) = load(&says(&format!("{kind}{case}")), &text, Options::default()) {
                let _ = judge(&loaded.policy, "a.example:443").reason();
                let _ = loaded.policy.explain(request("a.example:443"), Timestamp::UNIX_EPOCH);
            }
        }
    }

    #[test]
    fn many_patterns_say_what_each_says_alone(hosts in prop::collection::vec("[a-c]{1,3}\\.[a-c]", 1..6), host in "[a-c]{1,4}\\.[a-c]") {
        let text = hosts.join("\n");
        let target = format!("{host}:443");
        let alone = hosts.iter().any(|pattern| judge(&policy("", pattern), &target).reason() == Reason::RuleDenied);
        let verdict = judge(&policy("", &text), &target);
        prop_assert_eq!(verdict.reason() == Reason::RuleDenied, alone);
        if let Some(rule) = verdict.rule() {
            let line = hosts[rule.index()].clone();
            prop_assert_eq!(judge(&policy("", &line), &target).reason(), Reason::RuleDenied);
        }
    }
}

/// The client writes the URL: where patterns and text are such that only a search of minutes would
/// tell, nobody waits for it, and what is not known to be allowed is not.
#[test]
fn a_search_that_would_take_minutes_is_refused_instead() {
    let mut seed = 1_u64;
    let path: String = std::iter::once('/')
        .chain((0..32_000).map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ['a', 'b', 'c', 'n'][(seed >> 60) as usize % 4]
        }))
        .collect();
    let long = format!("http://a.example{path}");
    let patterns: String = (0..200).map(|n| format!("[ab].{{20}}c{n}\n")).collect();
    for (conf, reason) in [("", Reason::RuleDenied), (ALLOW, Reason::NotListed)] {
        let conf = format!("FilterURLs Yes\nFilterType ere\n{conf}");
        let policy = policy(&conf, &patterns);
        let start = std::time::Instant::now();
        match judge(&policy, &long) {
            Verdict::Deny(denial) => assert_eq!((denial.reason(), denial.rule()), (reason, None)),
            other @ (Verdict::Allow(_) | Verdict::Report(..)) => panic!("{other:?}"),
        }
        let taken = start.elapsed();
        assert!(taken.as_secs() < 30, "{taken:?}");
        let hit = "http://a.example/a01234567890123456789c7";
        let listed = matches!(judge(&policy, hit), Verdict::Allow(_));
        assert_eq!(listed, reason == Reason::NotListed, "short ones are told");
    }
    // What people write is told at any length.
    let plain: String = (0..2000).map(|n| format!("\\.n{n}\\.example\n")).collect();
    let policy = policy("FilterURLs Yes\nFilterType ere\n", &plain);
    assert!(matches!(judge(&policy, &long), Verdict::Allow(_)));
    assert!(matches!(
        judge(&policy, &format!("{long}.n7.example")),
        Verdict::Deny(_)
    ));
}
