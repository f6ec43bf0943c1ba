//! Every line of every preset, by requests that it must allow and requests next to them that it
//! must not. The rows are made from the files, so a new line cannot be forgotten.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something else has failed"
)]

use agentnet_policy::{
    Ask, BuiltinPresets, Host, Layer, LoadOptions, Outlet, Policy, Presets, Reason, Request,
    Source, Target, Verdict, describe_preset, load,
};
use jiff::Timestamp;

/// A line of a preset, read by nothing but this test.
struct Row {
    preset: &'static str,
    host: String,
    ports: Vec<u16>,
    deny: bool,
    comment: String,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for preset in BuiltinPresets.names() {
        let text = BuiltinPresets.get(preset).unwrap().into_owned();
        for line in text.lines() {
            let (words, comment) = line.split_once('#').unwrap_or((line, ""));
            let Some(target) = words.split_whitespace().next() else {
                continue;
            };
            if target.starts_with('@') {
                continue;
            }
            let deny = words.split_whitespace().any(|word| word == "deny");
            let (host, ports) = target.split_once(':').unwrap_or((target, ""));
            rows.push(Row {
                preset,
                host: host.to_owned(),
                ports: ports.split(',').filter_map(|p| p.parse().ok()).collect(),
                deny,
                comment: comment.trim().to_owned(),
            });
        }
    }
    rows
}

/// The policy of one line alone: what another line of the preset allows proves nothing about it.
fn alone(row: &Row) -> Policy {
    let ports: Vec<String> = row.ports.iter().map(ToString::to_string).collect();
    let text = match (row.deny, ports.is_empty()) {
        (true, _) => format!("{} quiet deny", row.host),
        (false, true) => row.host.clone(),
        (false, false) => format!("{}:{}", row.host, ports.join(",")),
    };
    project(&text)
}

fn project(text: &str) -> Policy {
    let source = Source {
        name: "project.txt".into(),
        layer: Layer::Project,
        text: text.to_owned(),
    };
    load(&[source], &BuiltinPresets, LoadOptions::default())
        .unwrap_or_else(|problems| panic!("{problems}"))
        .policy
}

fn judge(policy: &Policy, host: &str, port: u16) -> Verdict {
    let target = Target::parse(&format!("{host}:{port}"), None).unwrap();
    let request = Request {
        target,
        ask: Ask::Tunnel,
    };
    policy.judge(request, Timestamp::UNIX_EPOCH)
}

/// Hosts that the line is for.
fn meant(row: &Row) -> Vec<String> {
    match row.host.strip_prefix("*.") {
        Some(tail) => vec![format!("a.{tail}"), format!("a.b.{tail}")],
        None => vec![row.host.clone()],
    }
}

/// Hosts that look like it and are somebody else's, or another name of the same owner.
fn near_misses(row: &Row) -> Vec<String> {
    let name = row.host.trim_start_matches("*.");
    let (first, parent) = name.split_once('.').unwrap();
    let mut near = vec![
        format!("{name}.evil.example"),
        format!("evil-{name}"),
        format!("evil{name}"),
        format!("{first}x.{parent}"),
        format!("{first}.{parent}x"),
        format!("{}.{parent}", first.replace('-', "") + "-sibling"),
        parent.to_owned(),
    ];
    if let Some(tail) = row.host.strip_prefix("*.") {
        near.push(tail.to_owned());
        near.push(format!("a{tail}"));
        near.push(format!("a.x{tail}"));
    } else {
        near.push(format!("sub.{name}"));
        near.push(format!("www.{name}"));
    }
    near.retain(|host| matches!(Host::parse(host), Ok(Host::Name(_))));
    near
}

#[test]
fn every_line_is_for_its_host_on_its_ports_and_for_nothing_near_it() {
    let rows = rows();
    for row in &rows {
        let policy = alone(row);
        let place = format!("@{}: {}", row.preset, row.host);
        let included = project(&format!("@{}", row.preset));
        for host in meant(row) {
            if row.deny {
                for port in [443, 80, 8443] {
                    for policy in [&policy, &included] {
                        let Verdict::Deny(denial) = judge(policy, &host, port) else {
                            panic!("{place}: {host}:{port} is not refused");
                        };
                        assert_eq!(denial.reason(), Reason::RuleDenied, "{place}");
                        assert!(denial.quiet(), "{place}");
                    }
                }
                continue;
            }
            assert!(!row.ports.is_empty(), "{place} has no port");
            for port in &row.ports {
                for policy in [&policy, &included] {
                    let verdict = judge(policy, &host, *port);
                    assert!(
                        matches!(verdict, Verdict::Allow(_)),
                        "{place}: {host}:{port}"
                    );
                }
            }
            for port in [22, 25, 80, 443, 444, 4430, 8080, 8443] {
                if !row.ports.contains(&port) {
                    let reason = judge(&policy, &host, port).reason();
                    assert_eq!(reason, Reason::PortNotListed, "{place}: {host}:{port}");
                }
            }
        }
        let port = row.ports.first().copied().unwrap_or(443);
        for host in near_misses(row) {
            let reason = judge(&policy, &host, port).reason();
            assert_eq!(reason, Reason::NotListed, "{place}: {host}:{port}");
        }
    }
    assert!(rows.len() > 150, "{} lines were found", rows.len());
}

/// The names that the preset as a whole, bundles included, must not reach either: a hostile name
/// that one line refuses could be let in by the next.
#[test]
fn no_preset_lets_a_hostile_variant_of_one_of_its_hosts_in() {
    for preset in BuiltinPresets.names() {
        let policy = project(&format!("@{preset}"));
        for row in rows().iter().filter(|row| row.preset == preset) {
            let name = row.host.trim_start_matches("*.");
            for host in [
                format!("{name}.evil.example"),
                format!("evil-{name}.evil.example"),
            ] {
                assert_eq!(
                    judge(&policy, &host, 443).reason(),
                    Reason::NotListed,
                    "{host}"
                );
            }
        }
    }
}

/// The names of the research notes' "never allow as a whole", and their like.
const NEVER_WHOLE: &[&str] = &[
    "r2.cloudflarestorage.com",
    "blob.core.windows.net",
    "s3.amazonaws.com",
    "amazonaws.com",
    "googleapis.com",
    "storage.googleapis.com",
    "core.windows.net",
    "cloudflarestorage.com",
    "githubusercontent.com",
    "trafficmanager.net",
    "azureedge.net",
    "cloudfront.net",
    "digitaloceanspaces.com",
    "github.io",
    "workers.dev",
    "windows.net",
    "com",
    "net",
    "org",
    "io",
    "dev",
];

#[test]
fn no_preset_has_a_public_suffix_or_a_shared_store_as_a_whole() {
    for row in rows() {
        if let Some(tail) = row.host.strip_prefix("*.") {
            assert!(
                !NEVER_WHOLE.contains(&tail),
                "@{}: {}",
                row.preset,
                row.host
            );
            assert!(
                psl::suffix(tail.as_bytes())
                    .is_some_and(|suffix| suffix.as_bytes().len() < tail.len()),
                "@{}: {}",
                row.preset,
                row.host
            );
        }
        assert!(
            !row.host.starts_with("**."),
            "@{}: {}",
            row.preset,
            row.host
        );
    }
    let all: String = BuiltinPresets
        .names()
        .iter()
        .map(|name| format!("@{name}\n"))
        .collect();
    let policy = project(&all);
    for store in NEVER_WHOLE {
        for label in ["evil", "agentnet-test-bucket", "a.b"] {
            let host = format!("{label}.{store}");
            assert_eq!(
                judge(&policy, &host, 443).reason(),
                Reason::NotListed,
                "{host}"
            );
        }
    }
}

/// Every wildcard is one that somebody looked at: whose names are below it, and that strangers get
/// none there. Widening a line is a change of this list, too.
#[test]
fn wildcards_are_few_and_known() {
    let rows = rows();
    let wild: Vec<(&str, &str)> = rows
        .iter()
        .filter(|row| row.host.contains('*'))
        .map(|row| (row.preset, row.host.as_str()))
        .collect();
    let known = [
        ("copilot", "*.githubcopilot.com"),
        ("gitlab", "*.gitlab-static.net"),
        ("registries-extra", "*.data.mcr.microsoft.com"),
        ("vscode", "*.gallery.vsassets.io"),
        ("vscode", "*.gallerycdn.vsassets.io"),
        ("vscode", "*.vscode-cdn.net"),
        ("vscode", "*.vscode-unpkg.net"),
    ];
    assert_eq!(wild, known);
}

/// The registries' index and download hosts, and nothing wider.
#[test]
fn the_registries_are_their_index_and_download_hosts_alone() {
    let rows = rows();
    let hosts = |preset: &str| -> Vec<(&str, &[u16])> {
        let own = rows.iter().filter(|row| row.preset == preset);
        own.map(|row| (row.host.as_str(), row.ports.as_slice()))
            .collect()
    };
    let https: &[u16] = &[443];
    let both: &[u16] = &[80, 443];
    assert_eq!(
        hosts("python"),
        [("pypi.org", https), ("files.pythonhosted.org", https)]
    );
    assert_eq!(
        hosts("node"),
        [
            ("registry.npmjs.org", https),
            ("registry.yarnpkg.com", https)
        ]
    );
    assert_eq!(
        hosts("rust"),
        [
            ("index.crates.io", https),
            ("static.crates.io", https),
            ("static.rust-lang.org", https)
        ]
    );
    assert_eq!(
        hosts("debian"),
        [("deb.debian.org", both), ("security.debian.org", both)]
    );
}

#[test]
fn a_line_says_that_it_is_a_way_out_for_data_exactly_when_it_is_known_to_be_one() {
    let said = ["anyone can store content here", "a way out for data"];
    for row in rows().iter().filter(|row| !row.deny) {
        let place = format!("@{}: {} # {}", row.preset, row.host, row.comment);
        let example = meant(row).swap_remove(0);
        let host = Host::parse(&example).unwrap();
        let outlet = host.name().unwrap().outlet();
        let says = said.iter().any(|words| row.comment.contains(words));
        match outlet {
            None => assert!(!says, "{place}: the list of outlets does not have it"),
            // The name of one customer, whom the preset is about.
            Some(Outlet::Tenant) => {}
            Some(Outlet::ObjectStore) => {
                assert!(says || row.comment.contains("this bucket only"), "{place}");
            }
            Some(outlet) => assert!(says, "{place}: {outlet}"),
        }
    }
}

/// `# Source (MARK, DATE): WHAT`.
#[test]
fn every_preset_says_what_it_is_and_where_it_comes_from_and_how_far_that_was_seen() {
    for preset in BuiltinPresets.names() {
        let text = BuiltinPresets.get(preset).unwrap().into_owned();
        assert!(describe_preset(&text).is_some(), "@{preset}");
        let own = rows().iter().any(|row| row.preset == preset);
        let sources: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# Source ("))
            .collect();
        assert_eq!(!sources.is_empty(), own, "@{preset}");
        for source in sources {
            let (mark, rest) = source.split_once(", ").unwrap();
            assert!(
                ["primary", "secondary", "general knowledge"].contains(&mark),
                "@{preset}: {mark}"
            );
            let (date, what) = rest.split_once("): ").unwrap();
            let dated = date.starts_with("2026-") && (date.len() == 7 || date.len() == 10);
            assert!(dated && what.len() > 10, "@{preset}: {source}");
        }
    }
}

#[test]
fn the_default_bundle_is_forges_python_npm_and_jetbrains() {
    let text = BuiltinPresets.get("default").unwrap();
    let includes: Vec<&str> = text.lines().filter(|line| line.starts_with('@')).collect();
    assert_eq!(
        includes,
        ["@github", "@gitlab", "@python", "@node", "@jetbrains"]
    );
}
