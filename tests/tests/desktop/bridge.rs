//! The whole bridge: a file or a refusal on one side, what a daemon shows and a person clicks on the other.

use agentnet_e2e::bed;
use agentnet_e2e::bridge::Place;
use agentnet_e2e::desktop::{Received, Running, Session, Who};
use agentnet_e2e::wait::until;

use crate::outlet::{PATIENCE, with_each};

const HOST: &str = "pypi.org";

fn says<'a>(words: &'a str) -> impl Fn(&Received) -> bool + 'a {
    move |shown| shown.body.contains(words)
}

fn times(daemon: &Running, words: &str) -> usize {
    daemon.received().into_iter().filter(says(words)).count()
}

/// The order that a click gives, and nothing besides.
fn allowed_once(place: &Place) {
    let order = until("the order to allow it", PATIENCE, || place.asked().pop());
    assert_eq!(place.asked().len(), 1, "{order}");
    for word in [
        " allow ",
        "--project=shop",
        "--for 10m",
        "-- fix-42 pypi.org:443",
    ] {
        assert!(order.contains(word), "{order}");
    }
}

#[test]
fn an_alert_in_the_spool_is_shown_and_removed() {
    with_each(|who, session| {
        let place = Place::new();
        let _bridge = place.bridge(&session);
        place.alert("a", "complete", "<b>all</b> tests pass");
        let daemon = session.daemon();
        let shown = daemon.until_received("the alert", says("tests pass"));
        assert_eq!(shown.summary, "fix-42: done", "{who:?}");
        until("the file to be gone", PATIENCE, || {
            (place.unread() == 0).then_some(())
        });
    });
}

#[test]
fn what_was_written_while_no_bridge_ran_is_shown_once() {
    with_each(|who, session| {
        let place = Place::new();
        place.alert("a", "info", "while it was down");
        let first = place.bridge(&session);
        let daemon = session.daemon();
        daemon.until_received("the alert", says("while it was down"));
        until("the file to be gone", PATIENCE, || {
            (place.unread() == 0).then_some(())
        });
        drop(first);
        let _second = place.bridge(&session);
        place.alert("b", "info", "after it");
        daemon.until_received("the next alert", says("after it"));
        assert_eq!(times(daemon, "while it was down"), 1, "{who:?}");
    });
}

#[test]
fn a_new_bridge_shows_a_blocked_host_again_in_its_place_and_its_click_counts() {
    with_each(|who, session| {
        let place = Place::new();
        let first = place.bridge(&session);
        place.refuse(HOST);
        let daemon = session.daemon();
        let shown = daemon.until_received("the blocked host", says(HOST));
        // A kill between the daemon's answer and its record would leave it `unconfirmed`.
        place.until_noted(1);
        drop(first);
        let _second = place.bridge(&session);
        until("it to be shown again", PATIENCE, || {
            (times(daemon, HOST) > 1).then_some(())
        });
        let mut all = daemon.received().into_iter().filter(says(HOST));
        assert!(all.all(|again| again.id == shown.id), "{who:?}");
        assert_eq!(daemon.displayed(), 1);
        if who.buttons() {
            daemon.click("Allow once");
            allowed_once(&place);
            let told = daemon.until_received("what was done", says("allowed for ten minutes"));
            assert_eq!(told.id, shown.id);
        }
    });
}

#[test]
fn a_new_daemon_or_bus_shows_a_blocked_host_again_and_nothing_else() {
    with_each(|who, mut session| {
        let place = Place::new();
        let _bridge = place.bridge(&session);
        place.alert("a", "info", "half way");
        place.refuse(HOST);
        for restart in ["the daemon", "the bus"] {
            session.daemon().until_received(restart, says(HOST));
            if restart == "the bus" {
                session.kill_bus();
                session.start_bus();
            } else {
                session.kill_daemon();
            }
            session.start_daemon();
            let daemon = session.daemon();
            daemon.until_received("it again", says(HOST));
            assert_eq!(times(daemon, "half way"), 0, "{who:?} after {restart}");
        }
        place.alert("b", "info", "done with it");
        let daemon = session.daemon();
        daemon.until_received("the next alert", says("done with it"));
        assert_eq!(times(daemon, HOST), 1, "{who:?}");
        assert_eq!(times(daemon, "half way"), 0, "{who:?}");
    });
}

#[test]
fn a_click_after_both_have_come_back_counts_once() {
    with_each(|who, mut session| {
        if !who.buttons() {
            return;
        }
        let place = Place::new();
        let _bridge = place.bridge(&session);
        place.refuse(HOST);
        session
            .daemon()
            .until_received("the blocked host", says(HOST));
        session.kill_bus();
        session.start_bus();
        session.start_daemon();
        session.daemon().until_received("it again", says(HOST));
        session.daemon().click("Allow once");
        allowed_once(&place);
        session
            .daemon()
            .until_received("what was done", says("allowed for ten minutes"));
    });
}

#[test]
fn what_comes_before_the_desktop_does_is_shown_when_it_is_there() {
    for who in Who::ALL {
        let mut session = match Session::empty(who) {
            Ok(session) => session,
            Err(reason) => return bed::skip(&reason),
        };
        let place = Place::new();
        let _bridge = place.bridge(&session);
        place.alert("a", "error", "the disk is full");
        until("the file to be taken", PATIENCE, || {
            (place.unread() == 0).then_some(())
        });
        session.start_bus();
        session.start_daemon();
        let shown = session
            .daemon()
            .until_received("the alert", says("disk is full"));
        assert_eq!(shown.summary, "fix-42: failed", "{who:?}");
        place.alert("b", "info", "and another");
        session
            .daemon()
            .until_received("the next", says("and another"));
        assert_eq!(times(session.daemon(), "disk is full"), 1, "{who:?}");
    }
}
