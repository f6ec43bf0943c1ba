//! From events to a proposal: what is in it, what is not, and what a person is told.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets something else has failed"
)]

use std::collections::BTreeSet;

use agentnet_policy::event::{Event, Moment, Protocol, Version, Word};
use agentnet_policy::learn::{Current, Learner, MAX_BELOW, MAX_TARGETS, Options, Proposal};
use agentnet_policy::{
    Ask, BuiltinPresets, Layer, LoadOptions, Policy, Reason, Request, Source, Target, Verdict, load,
};
use jiff::Timestamp;
use proptest::prelude::*;

fn event(host: &str, port: u16) -> Event {
    Event {
        v: Version,
        time: "2026-11-20T22:00:00Z".parse().unwrap(),
        id: "1".into(),
        event: Moment::Decision,
        listener: "default".into(),
        client: "10.0.0.2:4000".into(),
        protocol: Protocol::Connect,
        method: "CONNECT".into(),
        path: None,
        host: host.into(),
        port,
        verdict: Word::Report,
        reason: Reason::NotListed,
        rule: None,
        address: Some("9.9.9.9".parse().unwrap()),
        route: None,
        status: Some(200),
        up: 0,
        down: 0,
        ms: 1,
        sentence: None,
        quiet: false,
        transparent: false,
        agent: None,
    }
}

fn get(host: &str, port: u16, path: &str) -> Event {
    Event {
        protocol: Protocol::Http,
        method: "GET".into(),
        path: Some(path.into()),
        ..event(host, port)
    }
}

fn closed(event: Event, up: u64, down: u64) -> Event {
    Event {
        event: Moment::Closed,
        up,
        down,
        ..event
    }
}

/// The end of a tunnel whose first bytes mode observe found wrong.
fn greeted(host: &str, port: u16, reason: Reason) -> Event {
    Event {
        reason,
        ..closed(event(host, port), 5, 5)
    }
}

fn refused(event: Event, reason: Reason) -> Event {
    Event {
        verdict: Word::Deny,
        reason,
        status: Some(reason.status()),
        address: None,
        ..event
    }
}

fn failed(event: Event, reason: Reason) -> Event {
    Event {
        reason,
        status: Some(reason.status()),
        address: None,
        ..event
    }
}

fn learn_with(options: Options, events: impl IntoIterator<Item = Event>) -> Proposal {
    let mut learner = Learner::new(options);
    for event in events {
        learner.see(&event);
    }
    learner.propose()
}

fn learn(events: impl IntoIterator<Item = Event>) -> Proposal {
    learn_with(Options::default(), events)
}

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.into(),
        layer: Layer::Project,
        text: text.into(),
    }
}

fn policy(text: &str) -> Policy {
    load(
        &[source("w.txt", text)],
        &BuiltinPresets,
        LoadOptions::default(),
    )
    .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    .policy
}

fn text(proposal: &Proposal) -> String {
    checked(proposal.whitelist(&BuiltinPresets))
}

/// As every proposal must be: printable, and fit to load.
fn checked(text: String) -> String {
    assert!(
        text.bytes()
            .all(|b| b == b'\n' || (b' '..=b'~').contains(&b)),
        "{text:?}"
    );
    policy(&text);
    text
}

/// The proposed lines, without their comments.
fn lines(proposal: &Proposal) -> Vec<String> {
    // To look through the presets takes longer than all the rest.
    let text = checked(proposal.whitelist(&()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.split('#').next()?.trim().to_owned()))
        .filter(|line| !line.is_empty())
        .collect()
}

fn allows(policy: &Policy, target: &str, ask: Ask<'_>) -> bool {
    let target = Target::parse(target, None).unwrap();
    matches!(
        policy.judge(Request { target, ask }, Timestamp::UNIX_EPOCH),
        Verdict::Allow(_)
    )
}

#[test]
fn what_was_seen_becomes_the_narrowest_lines() {
    let node = |target: &str, port| Event {
        protocol: Protocol::Connect,
        ..event(target, port)
    };
    let table: &[(&[Event], &[&str])] = &[
        (&[], &[]),
        (
            &[event("pypi.org", 443), event("pypi.org", 443)],
            &["pypi.org:443"],
        ),
        (
            &[event("a.example", 443), event("a.example", 8443)],
            &["a.example:443", "a.example:8443"],
        ),
        (
            &[
                get("deb.example", 80, "/debian/dists/x"),
                get("deb.example", 80, "/debian/pool/y"),
            ],
            &["deb.example:80 GET /debian/**"],
        ),
        // A tunnel to port 80 is what Node's fetch does: no line with a method is for it.
        (
            &[node("a.example", 80), get("a.example", 80, "/x")],
            &["a.example:80"],
        ),
        // At a transparent door there is no status, and where a parent resolves no address.
        (
            &[
                Event {
                    protocol: Protocol::Tls,
                    status: None,
                    ..event("a.example", 443)
                },
                Event {
                    protocol: Protocol::Tls,
                    status: None,
                    address: None,
                    route: Some("socks5h://p.example:1080".into()),
                    ..event("b.example", 443)
                },
            ],
            &["a.example:443", "b.example:443"],
        ),
        // A refused question to the DNS is a refusal.
        (
            &[Event {
                protocol: Protocol::Dns,
                method: "A".into(),
                verdict: Word::Deny,
                status: None,
                address: None,
                ..event("a.example", 443)
            }],
            &[],
        ),
        // Only the end of a request, from a log that begins in the middle.
        (&[closed(event("a.example", 443), 1, 2)], &["a.example:443"]),
        // Allowed by a line, in whatever mode.
        (
            &[Event {
                verdict: Word::Allow,
                reason: Reason::Allowed,
                ..event("a.example", 443)
            }],
            &["a.example:443"],
        ),
        (&[refused(event("a.example", 443), Reason::NotListed)], &[]),
        (
            &[failed(event("a.example", 443), Reason::ResolveFailed)],
            &[],
        ),
        (
            &[
                failed(event("a.example", 443), Reason::ConnectFailed),
                event("a.example", 443),
            ],
            &["a.example:443"],
        ),
        // The client had gone before anything was reached.
        (
            &[Event {
                status: None,
                address: None,
                ..event("a.example", 443)
            }],
            &[],
        ),
        // Refused by a line that says so: an allowing line would not help.
        (
            &[Event {
                reason: Reason::RuleDenied,
                ..event("a.example", 443)
            }],
            &[],
        ),
        (&[event("93.184.216.34", 443), event("10.0.0.1", 80)], &[]),
        (&[event("2001:db8::1", 443)], &[]),
        (
            &[Event {
                address: Some("10.0.0.7".parse().unwrap()),
                ..event("db.example", 5432)
            }],
            &[],
        ),
        // Methods cannot be seen on 443 by the time a line is enforced.
        (&[get("a.example", 443, "/x")], &[]),
        (
            &[
                event("localhost", 443),
                event("metadata.google.internal", 80),
            ],
            &[],
        ),
    ];
    for (events, expected) in table {
        assert_eq!(lines(&learn(events.to_vec())), *expected, "{events:?}");
    }
}

#[test]
fn a_question_to_the_dns_is_no_request() {
    let question = |host: &str| Event {
        protocol: Protocol::Dns,
        method: "A".into(),
        status: None,
        address: None,
        ..event(host, 443)
    };
    let events = [
        question("asked.example"),
        question("git.example"),
        event("git.example", 22),
    ];
    let proposal = learn(events);
    assert_eq!(lines(&proposal), ["git.example:22"]);
    assert!(!text(&proposal).contains("asked.example"));
    let refused = refused(question("refused.example"), Reason::NotListed);
    assert!(text(&learn([refused])).contains("refused.example"));
}

#[test]
fn evidence_stands_beside_its_line() {
    let later = Event {
        time: "2026-11-20T23:00:00.75Z".parse().unwrap(),
        ..event("pypi.org", 443)
    };
    let proposal = learn([
        event("pypi.org", 443),
        closed(event("pypi.org", 443), 1_500, 2_000_000),
        later.clone(),
        closed(later, 10, 0),
    ]);
    let text = text(&proposal);
    let line = "pypi.org:443 # 2 requests, 1.5 kB up, 2.0 MB down, 2026-11-20T22:00:00Z to 2026-11-20T23:00:01Z\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn hosts_that_take_data_are_warned_of_beside_the_line_and_aloud() {
    let proposal = learn([
        event("gist.github.com", 443),
        event("pastebin.com", 443),
        event("me.github.io", 443),
        event("bucket.s3.amazonaws.com", 443),
        event("pypi.org", 443),
    ]);
    let text = text(&proposal);
    for host in [
        "gist.github.com",
        "pastebin.com",
        "me.github.io",
        "bucket.s3.amazonaws.com",
    ] {
        let line = text.lines().find(|line| line.starts_with(host)).unwrap();
        assert!(line.contains("; WARNING: "), "{line}");
        let aloud = proposal.warnings();
        assert!(aloud.iter().any(|said| said.starts_with(host)), "{aloud:?}");
    }
    let line = text
        .lines()
        .find(|line| line.starts_with("pypi.org"))
        .unwrap();
    assert!(!line.contains("WARNING"), "{line}");
    assert_eq!(proposal.warnings().len(), 4);
}

#[test]
fn what_is_not_proposed_is_told_with_what_a_person_would_write() {
    let text = text(&learn([
        event("93.184.216.34", 443),
        event("10.0.0.1", 9200),
        event("127.0.0.1", 11434),
        event("169.254.169.254", 80),
        event("2606:4700::1", 443),
        Event {
            address: Some("10.0.0.7".parse().unwrap()),
            ..event("db.example", 5432)
        },
        refused(event("evil.example", 443), Reason::NotListed),
        failed(event("gone.example", 443), Reason::ResolveFailed),
        get("odd.example", 80, "/a/../b"),
        event("ssh.example", 22),
        greeted("ssh.example", 22, Reason::NotTls),
        event("front.example", 443),
        greeted("front.example", 443, Reason::SniMismatch),
    ]));
    for expected in [
        "93.184.216.34:443 (1 request",
        "write 93.184.216.34:443\n",
        "write 10.0.0.1:9200\n",
        "write 127.0.0.1:11434 host\n",
        "nothing opens it\n",
        "write [2606:4700::1]:443\n",
        "write db.example:5432 private\n",
        "evil.example:443 (not_listed; 1 request",
        "gone.example:443 (resolve_failed; 1 request",
        "odd.example:80: 1 request with a method or path",
        "front.example:443 ",
        "WARNING: a tunnel of it will be closed (sni_mismatch)",
        "ssh.example:22 raw ",
        "`raw` because it was not TLS",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn refused_requests_are_proposed_when_they_are_asked_for_and_a_line_could_help() {
    let events = || {
        [
            refused(event("a.example", 443), Reason::NotListed),
            refused(get("b.example", 80, "/x"), Reason::PathNotListed),
            refused(event("c.example", 443), Reason::RuleDenied),
            refused(event("d.example", 443), Reason::PrivateAddress),
            refused(event("e.example", 443), Reason::SniMismatch),
        ]
    };
    assert_eq!(lines(&learn(events())), [""; 0]);
    let options = Options {
        include_refused: true,
        ..Options::default()
    };
    let proposal = learn_with(options, events());
    assert_eq!(lines(&proposal), ["a.example:443", "b.example:80 GET /x"]);
    assert!(text(&proposal).contains("; refused 1 times"));
}

#[test]
fn a_host_that_is_not_canonical_to_the_letter_is_counted_and_not_shown() {
    let hostile = [
        "evil.example\n*",
        "evil.example # x",
        "evil.example deny",
        "*.evil.example",
        "Evil.example",
        "evil.example.",
        "evil.example:443",
        "[::1]",
        "0x7f000001",
        "\u{1b}[2J",
        "",
        "@default",
    ];
    let events = hostile.iter().map(|host| event(host, 443));
    let proposal = learn(events.chain([event("a.example", 0)]));
    assert_eq!(lines(&proposal), [""; 0]);
    let text = text(&proposal);
    assert!(!text.contains("evil"), "{text}");
    let said = format!("{} requests named no canonical host", hostile.len() + 1);
    assert!(text.contains(&said), "{text}");
}

#[test]
fn many_names_of_one_owner_are_one_warning_and_no_line() {
    let names = |count: usize, below: &'static str| {
        (0..count).map(move |n| event(&format!("d{n:04x}-{}.{below}", "z".repeat(40)), 443))
    };
    let proposal = learn(
        names(1_000, "evil.example")
            .chain(names(200, "workers.dev"))
            .chain([event("evil.example", 443), event("good.example", 443)]),
    );
    assert_eq!(lines(&proposal), ["good.example:443"]);
    let warnings = proposal.warnings();
    let said = |part: &str| warnings.iter().any(|warning| warning.contains(part));
    assert!(
        said("at least 256 targets below evil.example"),
        "{warnings:?}"
    );
    assert!(said("200 targets below workers.dev"), "{warnings:?}");
    assert!(
        warnings.len() == 3 && said("745 events were left out"),
        "{warnings:?}"
    );
    assert!(text(&proposal).lines().count() < 20);
    // What carries data out need not be answered, and is not told a thousand times.
    let unreached = names(100, "evil.example").map(|event| failed(event, Reason::ResolveFailed));
    let proposal = learn(unreached);
    assert!(proposal.warnings()[0].contains("100 targets below evil.example"));
    assert!(text(&proposal).lines().count() < 10);
    // A name that is used is not hidden by those that are not.
    let often = || (0..3).map(|_| event("api.shop.example", 443));
    let proposal = learn(names(40, "shop.example").chain(often()));
    assert_eq!(lines(&proposal), ["api.shop.example:443"]);
    // Up to a point, neighbours are just neighbours; refused ones told nobody anything.
    let all_refused = names(300, "shop.example").map(|event| refused(event, Reason::NotListed));
    let proposal = learn(names(10, "cdn.example").chain(often()).chain(all_refused));
    assert_eq!(lines(&proposal).len(), 11);
}

#[test]
fn memory_is_bounded_and_the_bound_is_told() {
    let events = (0..MAX_TARGETS + 50).map(|n| event(&format!("h{n}.d{n}.example"), 443));
    let proposal = learn(events);
    let warnings = proposal.warnings().join("\n");
    assert!(warnings.contains("left out"), "{warnings}");
    let addresses = (0..2 * MAX_BELOW).map(|n| event(&format!("9.9.{}.{}", n / 256, n % 256), 443));
    let text = text(&learn(addresses));
    assert!(
        text.contains("and 206 more") && text.contains("256 events were left out"),
        "{text}"
    );
}

#[test]
fn listeners_are_told_apart_when_asked_and_warned_of_when_not() {
    let of = |listener: &str, host: &str| Event {
        listener: listener.into(),
        ..event(host, 443)
    };
    let events = || [of("agent", "a.example"), of("docker", "b.example")];
    let proposal = learn(events());
    assert_eq!(lines(&proposal).len(), 2);
    assert!(proposal.warnings()[0].contains("several listeners (agent, docker)"));
    let options = Options {
        listener: Some("docker".into()),
        ..Options::default()
    };
    let proposal = learn_with(options, events());
    assert_eq!(lines(&proposal), ["b.example:443"]);
    assert_eq!(proposal.warnings(), [""; 0]);
}

#[test]
fn a_preset_is_named_in_a_comment_and_never_proposed() {
    let text = text(&learn([
        event("pypi.org", 443),
        event("files.pythonhosted.org", 443),
        event("index.crates.io", 443),
        event("static.crates.io", 443),
    ]));
    assert!(text.contains("#   @python: 2 of its 2 lines\n"), "{text}");
    let rust = "#   @rust: 2 of its 3 lines; not seen: static.rust-lang.org:443\n";
    assert!(text.contains(rust), "{text}");
    assert!(!text.lines().any(|line| line.starts_with('@')), "{text}");
}

fn diff(whitelist: &str, events: impl IntoIterator<Item = Event>) -> String {
    let file = source("project.txt", whitelist);
    let policy = load(
        std::slice::from_ref(&file),
        &BuiltinPresets,
        LoadOptions::default(),
    )
    .unwrap()
    .policy;
    learn(events).diff(Current {
        files: &[file],
        presets: &BuiltinPresets,
        policy: &policy,
        now: "2026-11-21T00:00:00Z".parse().unwrap(),
    })
}

/// What `patch` makes of the hunk.
fn apply(diff: &str, whitelist: &str) -> String {
    let Some((_, hunk)) = diff.split_once("\n@@ ") else {
        return whitelist.to_owned();
    };
    let (counts, body) = hunk.split_once(" @@\n").unwrap();
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for line in body.split('\n') {
        match line.as_bytes().first() {
            Some(b' ') => {
                old.push(&line[1..]);
                new.push(&line[1..]);
            }
            Some(b'-') => old.push(&line[1..]),
            Some(b'+') => new.push(&line[1..]),
            _ => {}
        }
    }
    let count = |lines: &[&str]| format!("{},{}", usize::from(!lines.is_empty()), lines.len());
    assert_eq!(counts, format!("-{} +{}", count(&old), count(&new)));
    assert_eq!(old.join("\n"), whitelist.trim_end_matches('\n'));
    new.join("\n")
}

#[test]
fn a_diff_adds_what_was_missing_and_takes_out_what_was_not_used() {
    let whitelist = "# ours\npypi.org # index\nold.example:443\n@node\n@python\nbad.example deny\n*.cdn.example\ndown.example\n";
    let text = diff(
        whitelist,
        [
            event("pypi.org", 443),
            event("new.example", 443),
            event("a.cdn.example", 443),
            failed(event("down.example", 443), Reason::ConnectFailed),
            Event {
                reason: Reason::RuleDenied,
                ..event("bad.example", 443)
            },
        ],
    );
    let expected = "\n--- project.txt\n+++ project.txt\n@@ -1,8 +1,7 @@\n # ours\n pypi.org # index\n-old.example:443\n-@node\n @python\n bad.example deny\n *.cdn.example\n down.example\n+new.example:443 # 1 request, 2026-11-20T22:00:00Z\n";
    assert!(text.ends_with(expected), "{text}");
    for part in [
        "#   project.txt:2: pypi.org (1 request, ",
        "#   project.txt:7: *.cdn.example (1 request, ",
        "#   @python: files.pythonhosted.org:443\n",
        "Not used in this run is no proof",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let applied = policy(&apply(&text, whitelist));
    assert!(allows(&applied, "new.example:443", Ask::Tunnel));
    assert!(!allows(&applied, "old.example:443", Ask::Tunnel));
}

#[test]
fn a_diff_is_right_for_files_of_any_form() {
    let seen = || [event("new.example", 443)];
    for (whitelist, expected) in [
        ("", "new.example:443"),
        ("\n", "\nnew.example:443"),
        ("# no end", "# no end\nnew.example:443"),
        ("# cr\r\n", "# cr\r\nnew.example:443"),
        ("old.example", "new.example:443"),
    ] {
        let text = diff(whitelist, seen());
        let applied = apply(&text, whitelist);
        let bare = applied.split(" # 1 request").next().unwrap();
        assert_eq!(bare, expected, "{text}");
    }
    // Nothing to change is no hunk.
    let text = diff("new.example:443\n", seen());
    assert!(!text.contains("\n@@ "), "{text}");
    // A line that refuses is not lifted by another.
    let text = diff("new.example deny\n", seen());
    assert!(
        !text.contains("\n@@ ") && text.contains("no line lifts that"),
        "{text}"
    );
    // An expired line allows nothing, so what it allowed is proposed.
    let text = diff("new.example until=2026-01-01T00:00:00Z\n", seen());
    assert!(
        text.contains("\n-new.example until") && text.contains("\n+new.example:443"),
        "{text}"
    );
}

/// Labels that make neighbours, and events of all kinds.
fn arbitrary_event() -> impl Strategy<Value = Event> {
    let host = prop_oneof![
        6 => "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}\\.(example|co\\.uk|com|github\\.io)",
        1 => Just("10.0.0.1".to_owned()),
        1 => Just("93.184.216.34".to_owned()),
        1 => ".{0,20}",
    ];
    let port = prop_oneof![Just(443_u16), Just(80), Just(8443)];
    let path = prop_oneof!["(/[a-c]{1,2}){1,3}/?", Just("/a/../b".to_owned())];
    (host, port, path, 0..8_u8, any::<bool>()).prop_map(|(host, port, path, kind, http)| {
        let mut event = if http {
            get(&host, port, &path)
        } else {
            event(&host, port)
        };
        // A decision and its end share a number, two requests never do.
        event.id = format!("{http} {host} {port} {path}").as_str().into();
        match kind {
            0 => refused(event, Reason::NotListed),
            1 => failed(event, Reason::ResolveFailed),
            2 => closed(event, 5, 7),
            _ => event,
        }
    })
}

/// The name and port of a request that went ahead and that a line can be for.
fn proposable(event: &Event) -> Option<Target> {
    let target = Target::parse(&format!("{}:{}", event.host, event.port), None).ok()?;
    let passed = event.verdict == Word::Report && event.status == Some(200);
    let sayable = event.protocol == Protocol::Connect
        || (event.port != 443 && event.path.as_ref()?.as_str() != "/a/../b");
    // No line can be for a name without a letter or a digit.
    let named = event
        .host
        .as_str()
        .contains(|c: char| c.is_ascii_alphanumeric());
    (passed && sayable && named && target.host().name()?.as_str() == event.host.as_str())
        .then_some(target)
}

fn ask(event: &Event) -> Ask<'_> {
    match &event.path {
        None => Ask::Tunnel,
        Some(path) => Ask::Http {
            method: "GET",
            path: path.as_str(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Below the bound where neighbours are folded.
    #[test]
    fn exactly_the_public_names_that_passed_are_allowed(
        events in prop::collection::vec(arbitrary_event(), 0..12),
        others in prop::collection::vec(arbitrary_event(), 0..40),
    ) {
        let learnt = policy(&checked(learn(events.clone()).whitelist(&())));
        let wanted: BTreeSet<Target> = events.iter().filter_map(proposable).collect();
        for event in events.iter().filter(|event| proposable(event).is_some()) {
            let target = format!("{}:{}", event.host, event.port);
            prop_assert!(allows(&learnt, &target, ask(event)), "{target}");
        }
        for other in others.iter().chain(&events) {
            let Ok(target) = Target::parse(&format!("{}:{}", other.host, other.port), None) else {
                continue;
            };
            if !wanted.contains(&target) {
                prop_assert!(!allows(&learnt, &target.to_string(), ask(other)), "{target}");
                prop_assert!(!allows(&learnt, &target.to_string(), Ask::Tunnel), "{target}");
            }
        }
        // Each line names one host: nothing beside what was seen has a line at all.
        for line in lines(&learn(events)) {
            prop_assert!(line.split(' ').next().is_some_and(|target| !target.contains('*')));
        }
    }

    /// A plain request allows what it asked for, and a tunnel only if one was seen.
    #[test]
    fn plain_requests_open_no_tunnel(events in prop::collection::vec(arbitrary_event(), 0..12)) {
        let events: Vec<Event> = events.into_iter().filter(|event| event.path.is_some()).collect();
        let learnt = policy(&checked(learn(events.clone()).whitelist(&())));
        for event in &events {
            if let Ok(target) = Target::parse(&format!("{}:{}", event.host, event.port), None) {
                prop_assert!(!allows(&learnt, &target.to_string(), Ask::Tunnel));
                let other = Ask::Http { method: "DELETE", path: "/" };
                prop_assert!(!allows(&learnt, &target.to_string(), other));
            }
        }
    }

    /// Whatever a log says, the answer is printable and loads.
    #[test]
    fn no_event_gets_a_control_character_or_a_word_into_the_proposal(
        hosts in prop::collection::vec(any::<String>(), 0..8),
        paths in prop::collection::vec(any::<String>(), 0..8),
    ) {
        let events = hosts.iter().map(|host| event(host, 443));
        let events = events.chain(paths.iter().map(|path| get("a.example", 80, path)));
        checked(learn(events).whitelist(&()));
    }

    #[test]
    fn the_order_of_events_does_not_matter(events in prop::collection::vec(arbitrary_event(), 0..12)) {
        let mut turned = events.clone();
        turned.reverse();
        prop_assert_eq!(lines(&learn(events)), lines(&learn(turned)));
    }
}
