//! Nanoseconds a decision and milliseconds a load, at 10, 1,000 and 100,000 rules.
//! `cargo bench -p agentnet-policy`. Prints; judges nothing: machines differ, so compare the rows.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and has nobody to hand an error to"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use agentnet_policy::tinyproxy::{Conf, Options};
use agentnet_policy::{
    Ask, Layer, LoadOptions, Policy, Request, Source, Surroundings, Target, Verdict, load,
};
use jiff::Timestamp;

/// A tenth each of wildcards, globs in a label, networks and ports; the rest are names.
fn whitelist(rules: usize) -> String {
    (0..rules)
        .map(|n| match n % 10 {
            0 => format!("*.wild{n}.example\n"),
            1 => format!("region*.glob{n}.example\n"),
            2 => format!("10.{}.{}.0/24:443\n", n >> 8 & 255, n & 255),
            3 => format!("port{n}.example:8000-8100\n"),
            4 => format!("deny{n}.example quiet deny\n"),
            _ => format!("host{n}.example # one of many\n"),
        })
        .collect()
}

/// The policy, and the time of a load, the best of several.
fn loaded(rules: usize) -> (Policy, Duration) {
    let text = whitelist(rules);
    let sources = [Source {
        name: "bench".into(),
        layer: Layer::Project,
        text,
    }];
    let round = || {
        let start = Instant::now();
        let policy = load(&sources, &(), LoadOptions::default()).unwrap().policy;
        (policy, start.elapsed())
    };
    std::iter::repeat_with(round)
        .take(9)
        .min_by_key(|(_, time)| *time)
        .unwrap()
}

/// The time of one call, the best of several rounds.
fn nanoseconds(mut call: impl FnMut()) -> u128 {
    const CALLS: u32 = 20_000;
    let round = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        start.elapsed().as_nanos() / u128::from(CALLS)
    };
    std::iter::repeat_with(round).take(9).min().unwrap()
}

fn main() {
    let questions = [
        ("exact name", "host5.example:443"),
        ("wildcard", "a.b.wild0.example:443"),
        ("glob in a label", "region7.glob1.example:443"),
        ("denied", "deny4.example:443"),
        ("not listed", "tracker.unknown.invalid:443"),
        (
            "not listed, 100 labels",
            &format!("{}example:443", "a.".repeat(100)),
        ),
        ("network", "10.0.2.7:443"),
    ];
    println!(
        "{:<26}{:>12}{:>12}{:>12}",
        "", "10 rules", "1,000", "100,000"
    );
    let policies = [10, 1_000, 100_000].map(loaded);
    print!("{:<26}", "load, ms");
    for (_, time) in &policies {
        print!("{:>12.2}", time.as_secs_f64() * 1e3);
    }
    println!();
    for (name, target) in questions {
        print!("{name:<26}");
        let target = Target::parse(target, None).unwrap();
        for (policy, _) in &policies {
            let request = || Request {
                target: target.clone(),
                ask: Ask::Tunnel,
            };
            print!(
                "{:>9} ns",
                nanoseconds(|| drop(black_box(policy.judge(request(), Timestamp::UNIX_EPOCH))))
            );
        }
        println!();
    }
    print!("{:<26}", "admit two answers");
    let around = Surroundings {
        own: vec!["10.213.0.1".parse().unwrap()],
        ..Surroundings::default()
    };
    let answers = [
        "93.184.216.34".parse().unwrap(),
        "2606:2800:220:1::1".parse().unwrap(),
    ];
    for (policy, _) in &policies {
        let target = Target::parse("host5.example:443", None).unwrap();
        let Verdict::Allow(grant) = policy.judge(
            Request {
                target,
                ask: Ask::Tunnel,
            },
            Timestamp::UNIX_EPOCH,
        ) else {
            continue;
        };
        print!(
            "{:>9} ns",
            nanoseconds(|| drop(black_box(policy.admit(&grant, &answers, &around))))
        );
    }
    println!();
    filters();
}

/// A filter file as people write them: two thirds of the lines are names, with their dots escaped
/// or not, anchored or not; the others have a repetition or a choice.
fn filter(patterns: usize) -> Policy {
    let text: String = (0..patterns)
        .map(|n| match n % 6 {
            0 => format!("^host{n}\\.example$\n"),
            1 => format!("(^|\\.)name{n}\\.example$\n"),
            2 => format!("ads{n}\n"),
            3 => format!(".*\\.track{n}[0-9]+\\.example\n"),
            4 => format!("cdn{n}.example.(com|net)$\n"),
            _ => format!("^region[0-9]+\\.cloud{n}\\.example$\n"),
        })
        .collect();
    let conf = "Port 1\nFilter \"f\"\nFilterType ere\nFilterDefaultDeny Yes\n";
    let (conf, _) = Conf::parse("bench", conf).unwrap();
    conf.policy(Some(("f", &text)), Options::default())
        .unwrap()
        .policy
}

fn filters() {
    println!(
        "\n{:<26}{:>12}{:>12}{:>12}",
        "filter, patterns", "10", "1,000", "5,000"
    );
    print!("{:<26}", "load, ms");
    let policies = [10, 1_000, 5_000].map(|patterns| {
        let start = Instant::now();
        let policy = filter(patterns);
        print!("{:>12.2}", start.elapsed().as_secs_f64() * 1e3);
        policy
    });
    println!();
    let ask = |policy: &Policy, name: &str| {
        let target = Target::parse(&format!("{name}:443"), None).unwrap();
        let ask = Ask::Tunnel;
        drop(black_box(
            policy.judge(Request { target, ask }, Timestamp::UNIX_EPOCH),
        ));
    };
    for (title, name) in [
        ("a name, listed", "host0.example"),
        ("a name, not listed", "tracker.unknown.invalid"),
    ] {
        print!("{title:<26}");
        for policy in &policies {
            print!("{:>9} ns", nanoseconds(|| ask(policy, name)));
        }
        println!();
    }
    // What nobody has asked before meets states that nobody has made before.
    print!("{:<26}", "250 new letters each time");
    for policy in &policies {
        let mut state = 1_u64;
        let mut letter = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[(state >> 33) as usize % 36])
        };
        let names: Vec<String> = (0..200)
            .map(|_| {
                let labels: Vec<String> = (0..5)
                    .map(|_| (0..49).map(|_| letter()).collect())
                    .collect();
                format!("{}.a", labels.join("."))
            })
            .collect();
        let start = Instant::now();
        names.iter().for_each(|name| ask(policy, name));
        print!("{:>9} ns", start.elapsed().as_nanos() / 200);
    }
    println!();
}
