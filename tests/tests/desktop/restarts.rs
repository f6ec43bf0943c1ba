//! Daemons and buses that go and come back, and what is there first.

use agentnet_e2e::bed;
use agentnet_e2e::desktop::{Session, Who};
use agentnet_notify::notice::NoticeKind;
use agentnet_notify::outlet::{Feedback, OutletError};

use crate::outlet::{Shower, blocked, notice, with_each};

#[test]
fn what_was_open_is_shown_again_when_the_daemon_comes_back() {
    with_each(|who, mut session| {
        let mut shower = Shower::on(&session);
        let handle = shower.show(&blocked("a"), None);
        session.kill_daemon();
        session.start_daemon();
        assert_eq!(
            shower.feedback(),
            Feedback::Lost("desktop".into()),
            "{who:?}"
        );
        // The bridge shows it in its place, which the new daemon does not have.
        let again = shower.show(&blocked("a"), Some(handle));
        assert_ne!(handle, again);
        assert_eq!(session.daemon().displayed(), 1);
        if who.buttons() {
            session.daemon().click("Deny");
            assert!(matches!(shower.feedback(), Feedback::Answered(_)));
        }
    });
}

#[test]
fn an_id_of_another_daemons_life_replaces_nothing() {
    with_each(|who, mut session| {
        let mut shower = Shower::on(&session);
        let old = shower.show(&notice("a", NoticeKind::Info, "old"), None);
        session.kill_daemon();
        session.start_daemon();
        assert_eq!(shower.feedback(), Feedback::Lost("desktop".into()));
        // It has the id that "a" had.
        shower.show(&notice("b", NoticeKind::Info, "somebody else's"), None);
        shower.show(&notice("a", NoticeKind::Info, "new"), Some(old));
        assert_eq!(session.daemon().displayed(), 2, "{who:?}");
    });
}

#[test]
fn what_was_open_is_shown_again_when_the_bus_comes_back() {
    with_each(|who, mut session| {
        let mut shower = Shower::on(&session);
        let handle = shower.show(&blocked("a"), None);
        session.kill_bus();
        session.start_bus();
        session.start_daemon();
        assert_eq!(
            shower.feedback(),
            Feedback::Lost("desktop".into()),
            "{who:?}"
        );
        shower.show(&blocked("a"), Some(handle));
        assert_eq!(session.daemon().displayed(), 1);
        if who.buttons() {
            session.daemon().click("Allow once");
            assert!(matches!(shower.feedback(), Feedback::Answered(_)));
        }
    });
}

#[test]
fn the_bridge_is_there_before_the_bus_and_before_the_daemon() {
    for who in Who::ALL {
        let mut session = match Session::empty(who) {
            Ok(session) => session,
            Err(reason) => return bed::skip(&reason),
        };
        let mut shower = Shower::on(&session);
        let alert = notice("a", NoticeKind::Info, "early");
        let unavailable = |shower: &Shower| match shower.try_show(&alert, None) {
            Err(OutletError::Unavailable(why)) => why,
            other => panic!("{other:?}"),
        };
        let why = unavailable(&shower);
        assert!(
            why.contains("session bus") || why.contains("has not answered"),
            "{why}"
        );
        session.start_bus();
        let why = unavailable(&shower);
        assert!(!why.is_empty());
        session.start_daemon();
        shower.show(&alert, None);
        assert_eq!(session.daemon().displayed(), 1, "{who:?}");
        assert_eq!(shower.feedback(), Feedback::Lost("desktop".into()));
        assert!(
            shower.outlet.state().contains("buttons"),
            "{}",
            shower.outlet.state()
        );
    }
}
