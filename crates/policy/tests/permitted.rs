//! Which names may be asked for before a port is known.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets something else has failed"
)]

use agentnet_policy::tinyproxy::{Conf, Options};
use agentnet_policy::{
    BuiltinPresets, Denial, Host, Layer, LoadOptions, Mode, Name, NameVerdict, Policy, Reason,
    Source, load,
};
use jiff::Timestamp;

const NOW: &str = "2027-01-01T00:00:00Z";

fn whitelist(text: &str, mode: Mode) -> Policy {
    let source = Source {
        name: "w".into(),
        layer: Layer::Project,
        text: text.into(),
    };
    let options = LoadOptions {
        mode,
        ..LoadOptions::default()
    };
    load(&[source], &BuiltinPresets, options)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .policy
}

fn filter(conf: &str, filter: &str) -> Policy {
    let conf = format!("Port 1\nFilter \"f\"\n{conf}");
    let (conf, _) = Conf::parse("t.conf", &conf).unwrap();
    conf.policy(Some(("f", filter)), Options::default())
        .unwrap()
        .policy
}

fn name(text: &str) -> Name {
    match Host::parse(text).unwrap() {
        Host::Name(name) => name,
        Host::Ip(ip) => panic!("{ip} is an address"),
    }
}

fn verdict(policy: &Policy, text: &str) -> NameVerdict {
    let now: Timestamp = NOW.parse().unwrap();
    policy.permitted(&name(text), now)
}

fn ask(policy: &Policy, text: &str) -> Result<(), Denial> {
    match verdict(policy, text) {
        NameVerdict::Allow => Ok(()),
        NameVerdict::Report(denial) => panic!("reported: {denial:?}"),
        NameVerdict::Deny(denial) => Err(denial),
    }
}

const LINES: &str = "\
github.com
*.githubusercontent.com
git.corp.example:22 raw
api.corp.example GET /v1/**
old.example.net until=2026-01-01T00:00:00Z
new.example.net until=2028-01-01T00:00:00Z
part.example.net:8000-8100
part.example.net:8000-8099 deny
part.example.net GET /x deny
gone.example.net:8000-8100
gone.example.net:8000-8050,8051-9000 deny
late.example.net:443
late.example.net:443 deny until=2026-01-01T00:00:00Z
**.example.org
gist.example.org deny
telemetry.example.com quiet deny
closed.example.com:22 deny
";

#[test]
fn a_name_is_permitted_if_some_port_of_it_is() {
    let policy = whitelist(LINES, Mode::Enforce);
    for permitted in [
        "github.com",
        "raw.githubusercontent.com",
        "git.corp.example",
        "api.corp.example",
        "new.example.net",
        "part.example.net",
        "late.example.net",
        "example.org",
        "a.b.example.org",
    ] {
        assert_eq!(ask(&policy, permitted), Ok(()), "{permitted}");
    }
    for (refused, reason, port, line, quiet) in [
        ("example.com", Reason::NotListed, 443, None, false),
        ("githubusercontent.com", Reason::NotListed, 443, None, false),
        (
            "github.com.evil.example",
            Reason::NotListed,
            443,
            None,
            false,
        ),
        ("com", Reason::NotListed, 443, None, false),
        ("old.example.net", Reason::NotListed, 80, Some(5), false),
        (
            "gone.example.net",
            Reason::RuleDenied,
            8000,
            Some(11),
            false,
        ),
        ("gist.example.org", Reason::RuleDenied, 80, Some(15), false),
        (
            "telemetry.example.com",
            Reason::RuleDenied,
            443,
            Some(16),
            true,
        ),
        ("closed.example.com", Reason::NotListed, 443, None, false),
        ("-a.example.org", Reason::NotListed, 443, None, false),
        ("localhost", Reason::PrivateAddress, 443, None, false),
    ] {
        let denial = ask(&policy, refused).unwrap_err();
        let rule = denial.rule().and_then(|id| policy.rule(id));
        let told = (
            denial.reason(),
            denial.target().port(),
            rule.map(agentnet_policy::Rule::line),
            denial.quiet(),
        );
        assert_eq!(told, (reason, port, line, quiet), "{refused}");
    }
}

#[test]
fn an_empty_list_permits_no_name() {
    let policy = whitelist("", Mode::Enforce);
    assert!(ask(&policy, "github.com").is_err());
}

#[test]
fn mode_observe_permits_what_it_would_let_pass_and_reports_what_enforce_would_say() {
    let observed = whitelist(LINES, Mode::Observe);
    assert_eq!(verdict(&observed, "github.com"), NameVerdict::Allow);
    let enforced = whitelist(LINES, Mode::Enforce);
    for refused in [
        "example.com",
        "gist.example.org",
        "telemetry.example.com",
        "old.example.net",
    ] {
        let denial = ask(&enforced, refused).unwrap_err();
        assert_eq!(verdict(&observed, refused), NameVerdict::Report(denial));
    }
    let metadata = ask(&observed, "metadata.google.internal").unwrap_err();
    assert_eq!(metadata.reason(), Reason::PrivateAddress);
}

#[test]
fn a_filter_permits_what_its_patterns_let_pass() {
    let listed = filter(
        "FilterDefaultDeny Yes\nConnectPort 22\n",
        "^github\\.com$\n",
    );
    assert_eq!(ask(&listed, "github.com"), Ok(()));
    let denial = ask(&listed, "example.com").unwrap_err();
    assert_eq!(denial.reason(), Reason::NotListed);

    let refused = filter("", "^gist\\.\n");
    assert_eq!(ask(&refused, "github.com"), Ok(()));
    let denial = ask(&refused, "gist.github.com").unwrap_err();
    assert_eq!(denial.reason(), Reason::RuleDenied);
    assert!(ask(&refused, "localhost").is_err());
}

#[test]
fn a_filter_over_urls_is_asked_for_the_root_and_for_tunnels() {
    let urls = "FilterURLs On\nFilterDefaultDeny Yes\nConnectPort 443\nConnectPort 8443\n";
    let policy = filter(
        urls,
        "^http://plain\\.example/\n^tunnel\\.example:8443$\n^http://part\\.example/x\n",
    );
    assert_eq!(ask(&policy, "plain.example"), Ok(()));
    assert_eq!(ask(&policy, "tunnel.example"), Ok(()));
    assert!(ask(&policy, "part.example").is_err());
    assert!(ask(&policy, "other.example").is_err());
}
