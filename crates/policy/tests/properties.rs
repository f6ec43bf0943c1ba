//! What holds for every whitelist, name and request.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets something else has failed"
)]

mod reference;

use std::net::IpAddr;

use agentnet_policy::{
    Ask, BuiltinPresets, Host, Layer, LoadOptions, Loaded, Mode, NameVerdict, Policy, Problems,
    Reason, Request, Source, Surroundings, Target, Verdict, load,
};
use jiff::Timestamp;
use proptest::prelude::*;
use reference::{Line, NOW, arbitrary_line, arbitrary_request};

fn load_text(text: String) -> Result<Loaded, Problems> {
    let source = Source {
        name: "w".into(),
        layer: Layer::Project,
        text,
    };
    load(
        &[source],
        &BuiltinPresets,
        LoadOptions {
            mode: Mode::Enforce,
            ..LoadOptions::default()
        },
    )
}

fn policy(lines: &[Line]) -> Policy {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    load_text(text).unwrap_or_else(|e| panic!("{e}")).policy
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn judge(policy: &Policy, target: &Target, ask: Ask<'_>) -> Verdict {
    policy.judge(
        Request {
            target: target.clone(),
            ask,
        },
        now(),
    )
}

/// Text that is a host more often than chance would have it.
fn hostlike() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._-]{1,40}",
        "([0-9]{1,3}\\.){0,4}[0-9]{1,10}\\.?",
        "(0[xX][0-9a-fA-F]{0,8}\\.){0,3}0[xX]?[0-9a-fA-F]{0,8}",
        "\\[[0-9a-f:.%]{0,30}\\]",
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_canonical_form_is_its_own(text in hostlike(), port in 1..=u16::MAX) {
        if let Ok(target) = Target::parse(&format!("{text}:{port}"), None) {
            prop_assert_eq!(Target::parse(&target.to_string(), None), Ok(target.clone()));
            prop_assert!(target.to_string().is_ascii());
            prop_assert!(!target.to_string().bytes().any(|b| b.is_ascii_uppercase()));
        }
    }

    #[test]
    fn a_name_is_never_what_a_resolver_reads_as_an_address(text in hostlike()) {
        if let Ok(Host::Name(name)) = Host::parse(&text) {
            prop_assert_eq!(reference::inet_aton(name.as_str()), None, "{}", name);
            prop_assert!(name.as_str().parse::<IpAddr>().is_err());
        }
    }

    #[test]
    fn an_address_is_what_a_resolver_reads_it_as(text in hostlike()) {
        if let Ok(Host::Ip(IpAddr::V4(ip))) = Host::parse(&text) {
            prop_assert_eq!(reference::inet_aton(&text), Some(ip));
        }
    }

    #[test]
    fn the_decision_is_that_of_a_list_read_line_by_line(
        lines in prop::collection::vec(arbitrary_line(), 0..12),
        request in arbitrary_request(),
    ) {
        let verdict = judge(&policy(&lines), &request.target(), request.ask());
        prop_assert_eq!(verdict.reason(), reference::judge(&lines, &request), "{:#?}", request);
    }

    #[test]
    fn a_name_is_permitted_if_a_request_to_it_is(
        lines in prop::collection::vec(arbitrary_line(), 0..12),
        request in arbitrary_request(),
    ) {
        let policy = policy(&lines);
        let target = request.target();
        let Host::Name(name) = target.host() else { panic!("no name") };
        let permitted = match policy.permitted(name, now()) {
            NameVerdict::Allow => Ok(()),
            NameVerdict::Report(denial) => panic!("in enforce: {denial:?}"),
            NameVerdict::Deny(denial) => Err(denial),
        };
        let passes = |port: u16| {
            let target = Target::parse(&format!("{name}:{port}"), None).unwrap();
            judge(&policy, &target, Ask::Tunnel).reason() == Reason::Allowed
        };
        // One port of every stretch that the lines can tell apart.
        let a_tunnel_passes = [1, 22, 80, 81, 443, 444, 9001].into_iter().any(passes);
        let a_request_passes = judge(&policy, &target, request.ask()).reason() == Reason::Allowed;
        if a_tunnel_passes || a_request_passes {
            prop_assert_eq!(&permitted, &Ok(()));
        } else if lines.iter().all(|line| line.methods.is_none() && line.path.is_none()) {
            prop_assert!(permitted.is_err());
        }
        prop_assert_eq!(permitted.is_ok(), reference::permitted(&lines, &request));
        if let Err(denial) = permitted {
            prop_assert_eq!(denial.target().host(), target.host());
            prop_assert!(denial.reason() != Reason::Allowed);
        }
    }

    #[test]
    fn a_new_allowing_line_takes_nothing_away(
        mut lines in prop::collection::vec(arbitrary_line(), 0..8),
        new in arbitrary_line(),
        at in any::<prop::sample::Index>(),
        request in arbitrary_request(),
        answer in special_address(),
    ) {
        let new = Line { deny: false, ..new };
        let around = Surroundings::default();
        let before = policy(&lines);
        lines.insert(at.index(lines.len() + 1), new);
        let after = policy(&lines);
        let (target, ask) = (request.target(), request.ask());
        if let Verdict::Allow(old) = judge(&before, &target, ask) {
            let Verdict::Allow(new) = judge(&after, &target, ask) else { panic!("taken away") };
            prop_assert!(new.raw() >= old.raw());
            prop_assert!(new.budget().is_none_or(|new| old.budget().is_some_and(|old| new >= old)));
            if before.admit(&old, &[answer], &around).is_ok() {
                prop_assert!(after.admit(&new, &[answer], &around).is_ok());
            }
        }
    }

    #[test]
    fn a_refusing_line_always_wins(
        mut lines in prop::collection::vec(arbitrary_line(), 0..8),
        deny in arbitrary_line(),
        at in any::<prop::sample::Index>(),
        request in arbitrary_request(),
    ) {
        let before = judge(&policy(&lines), &request.target(), request.ask());
        let deny = Line { deny: true, raw: false, private: false, up: None, ..deny };
        let alone = judge(&policy(std::slice::from_ref(&deny)), &request.target(), request.ask());
        lines.insert(at.index(lines.len() + 1), deny);
        let after = judge(&policy(&lines), &request.target(), request.ask());
        if alone.reason() == Reason::RuleDenied {
            prop_assert_eq!(after.reason(), Reason::RuleDenied);
        } else {
            prop_assert_eq!(after.reason(), before.reason(), "it is not meant, so it changes nothing");
        }
    }

    #[test]
    fn no_pattern_reaches_beyond_its_literal_end(line in arbitrary_line(), request in arbitrary_request()) {
        let line = Line { deny: false, ..line };
        let end = line.literal_end();
        if judge(&policy(&[line]), &request.target(), request.ask()).reason() == Reason::Allowed {
            let host = request.target().host().to_string();
            prop_assert!(host == end || host.ends_with(&format!(".{end}")), "{host} by {end}");
        }
    }

    #[test]
    fn what_is_admitted_is_what_was_asked_and_nothing_that_no_word_opens(
        answers in prop::collection::vec(special_address(), 0..4),
    ) {
        let policy = load_text("example.com private raw".into()).unwrap().policy;
        let target = Target::parse("example.com:443", None).unwrap();
        let Verdict::Allow(grant) = judge(&policy, &target, Ask::Tunnel) else { panic!("not allowed") };
        if let Ok(admitted) = policy.admit(&grant, &answers, &Surroundings::default()) {
            let dialled: Vec<IpAddr> = admitted.iter().map(|a| a.address().ip()).collect();
            prop_assert_eq!(&dialled, &answers);
            for ip in dialled {
                prop_assert!(!ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast());
                prop_assert!(ip.to_canonical() != "169.254.169.254".parse::<IpAddr>().unwrap());
            }
        }
    }

    #[test]
    fn the_loader_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Err(problems) = load_text(text) {
            prop_assert!(problems.iter().all(|problem| problem.line > 0 && !problem.to_string().is_empty()));
        }
    }

    #[test]
    fn the_loader_survives_any_words(words in prop::collection::vec(word(), 0..40)) {
        if let Err(problems) = load_text(words.concat()) {
            for fix in problems.iter().filter_map(|problem| problem.fix.clone()) {
                let again = load_text(fix.clone());
                let same_kind = again.as_ref().map_err(|p| p.to_string().contains("is no preset"));
                prop_assert!(!matches!(same_kind, Err(false)), "{fix}: {again:?}");
            }
        }
    }
}

/// The pieces that lines are made of, in no order.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            " ",
            " ",
            "\t",
            "\n",
            "\r\n",
            "#",
            "*",
            "**",
            ".",
            ":",
            ",",
            "-",
            "/",
            "/v1/**",
            "@",
            "@python",
            "@telemetry",
            "except",
            "deny",
            "quiet",
            "raw",
            "private",
            "host",
            "up=",
            "20MB",
            "until=",
            "2026-11-20T22:00:00Z",
            "GET",
            "HEAD",
            "get",
            "example",
            ".com",
            "github.com",
            "com",
            "443",
            "8000-8100",
            "10.0.0.0/8",
            "127.0.0.1",
            "[",
            "]",
            "::1",
            "fd00::/8",
            "ü",
            "\u{202e}",
            "\0",
            "\"",
            "https://",
            "?",
            "%2f",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(|c| c.to_string()),
    ]
}

/// Addresses near the edges of what is special, and any.
fn special_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        prop::sample::select(vec![
            "93.184.216.34",
            "2606:2800:220:1::1",
            "10.0.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "169.254.1.1",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "192.0.2.1",
        ])
        .prop_map(|text| text.parse().unwrap()),
        any::<IpAddr>(),
    ]
}
