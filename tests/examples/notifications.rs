//! Alerts on a desktop that nobody sees: a picture of them, or how long one takes.
//!
//! ```text
//! cargo run -p agentnet-e2e --example notifications -- picture docs/notifications.png
//! cargo run -p agentnet-e2e --example notifications -- latency 100
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool of the tests"
)]

use std::thread;
use std::time::{Duration, Instant};

use agentnet_e2e::bridge::{Place, TASK};
use agentnet_e2e::desktop::{Running, Session, Who};
use agentnet_e2e::wait::until;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["picture", file] => picture(file),
        ["latency", count] => latency(count.parse().expect("a number")),
        _ => panic!("picture FILE, or latency COUNT"),
    }
}

fn picture(file: &str) {
    let session = Session::start(Who::Dunst).expect("a desktop");
    let place = Place::new();
    let others = [("shop", "checkout-tests"), ("docs", "translate-de")];
    for task in others {
        place.add_task(task);
    }
    let _bridge = place.bridge(&session);
    let daemon = session.daemon();
    place.refuse_to(TASK, "files.pythonhosted.org");
    daemon.until_received("the blocked host", |shown| {
        shown.summary.contains("blocked")
    });
    let alerts = [
        (
            others[0],
            "complete",
            "All 214 tests pass; the flaky one waited for <script> & is fixed.",
        ),
        (
            others[1],
            "error",
            "glossary.csv is not in the repository: cannot go on.",
        ),
    ];
    for (at, (task, kind, text)) in alerts.into_iter().enumerate() {
        place.alert_of(task, &format!("a{at}"), kind, text);
        daemon.until_received(text, |shown| shown.summary.starts_with(task.1));
    }
    if let Running::Dunst(dunst) = daemon {
        dunst.open_menu();
    }
    // Until what is drawn does not change any more.
    let mut last = Vec::new();
    let png = until("a quiet screen", Duration::from_secs(20), || {
        thread::sleep(Duration::from_millis(700));
        let now = session.picture();
        let same = now == last;
        last = now;
        same.then(|| last.clone())
    });
    fs_err::write(file, png).unwrap();
}

/// From the agent's rename to dunst's print, which a poll of a millisecond sees.
fn latency(count: usize) {
    let session = Session::start(Who::Dunst).expect("a desktop");
    let place = Place::new();
    let _bridge = place.bridge(&session);
    let mut took = Vec::new();
    for at in 0..count {
        // A task has ten alerts a minute, so each one is another task's.
        let name = format!("task-{at}");
        place.add_task(("bench", &name));
        let text = format!("alert {at}.");
        place.alert_of(("bench", &name), "warm", "info", "warm");
        let shown = |words: &str| {
            let title = format!("{name}: ");
            let received = session.daemon().received();
            let meant = received.iter().rev();
            meant
                .take(3)
                .any(|shown| shown.summary.starts_with(&title) && shown.body == words)
        };
        until("the task to be known", Duration::from_secs(30), || {
            shown("warm").then_some(())
        });
        let began = Instant::now();
        place.alert_of(("bench", &name), "a", "info", &text);
        while !shown(&text) {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it did not arrive"
            );
            thread::sleep(Duration::from_millis(1));
        }
        took.push(began.elapsed());
        session.daemon().close_all();
    }
    took.sort();
    let at = |share: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (share * (took.len() - 1) as f64) as usize;
        took[index]
    };
    println!(
        "{count} alerts, file to dunst: median {:.1?}, p95 {:.1?}, longest {:.1?}",
        at(0.5),
        at(0.95),
        at(1.0)
    );
}
