//! Which names can have a door of their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets something else has failed"
)]

use agentnet_policy::{BuiltinPresets, Layer, LoadOptions, Mode, Policy, Source, load};
use jiff::Timestamp;

fn policy(text: &str, mode: Mode) -> Policy {
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

fn found(text: &str, mode: Mode) -> Vec<String> {
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let names = policy(text, mode).raw_names(now);
    let shown = names.iter().map(|raw| {
        let ports: Vec<String> = raw.ports.iter().map(ToString::to_string).collect();
        format!("{}:{}", raw.name.as_str(), ports.join(","))
    });
    shown.collect()
}

#[test]
fn names_and_ports_that_are_written_out_in_the_order_of_the_lines() {
    let lines = "\
git.example:22 raw
db.example:6000,5432-5433 raw private
git.example:7999 raw
git.example:22 raw up=1MB
git.example:9418 raw
";
    let expected = ["git.example:22,7999,9418", "db.example:5432,5433,6000"];
    assert_eq!(found(lines, Mode::Enforce), expected);
    assert_eq!(found(lines, Mode::Observe), expected);
}

#[test]
fn nothing_else() {
    let lines = "\
tls.example:8443
*.wild.example:22 raw
**.deep.example:22 raw
range.example:8000-8100 raw
mixed.example:22,8000-8015 raw
all.example:* raw
10.1.2.3:22 raw
gone.example:22 raw until=2026-01-01T00:00:00Z
denied.example:22 raw
denied.example deny
part.example:22,23 raw
part.example:22 deny
";
    assert_eq!(found(lines, Mode::Enforce), ["part.example:23"]);
    assert_eq!(found("", Mode::Observe), Vec::<String>::new());
}
