//! What arrives at a daemon, and how it shows it.

use agentnet_e2e::desktop::{Received, Running};
use agentnet_notify::notice::NoticeKind;

use crate::outlet::{Shower, blocked, choice, notice, with_each};

#[test]
fn an_alert_appears_with_our_title_and_its_urgency() {
    with_each(|who, session| {
        let shower = Shower::on(&session);
        shower.show(&notice("a", NoticeKind::Complete, "all tests pass"), None);
        shower.show(&notice("b", NoticeKind::Info, "half way"), None);
        let of = |word: &str| {
            let daemon = session.daemon();
            daemon.until_received(word, |shown| shown.body == word)
        };
        let done = of("all tests pass");
        assert_eq!(done.application, "agentnet", "{who:?}");
        assert_eq!(done.summary, "fix-42: done");
        assert_eq!(done.urgency, "NORMAL");
        assert!(done.actions.is_empty());
        assert_eq!(of("half way").urgency, "LOW");
        assert_eq!(session.daemon().displayed(), 2);
    });
}

#[test]
fn markup_is_shown_as_it_was_written() {
    const HOSTILE: &str =
        r#"<b>x</b> <a href="http://a.test">y</a> <img src='file:///dev/urandom'> &amp; &"#;
    with_each(|who, session| {
        let shower = Shower::on(&session);
        shower.show(&notice("a", NoticeKind::Info, HOSTILE), None);
        let daemon = session.daemon();
        let shown = daemon.until_received("the alert", |shown| shown.summary.contains("says"));
        if who.markup() {
            assert!(!shown.body.contains('<'), "{shown:?}");
        } else {
            assert_eq!(shown.body, HOSTILE, "{who:?}");
        }
        // Pango draws `&lt;` as `<`: no element of the agent's is in what is drawn.
        if who.buttons() {
            assert!(shown.drawn.contains("&lt;img src="), "{shown:?}");
            assert!(!shown.drawn.contains("<img"), "{shown:?}");
        }
    });
}

#[test]
fn a_notice_takes_the_place_of_an_earlier_one() {
    with_each(|who, session| {
        let shower = Shower::on(&session);
        let first = shower.show(&notice("a", NoticeKind::Info, "one"), None);
        let folded = notice("a", NoticeKind::Info, "one, and 12 more from fix-42");
        let second = shower.show(&folded, Some(first));
        assert_eq!(first, second, "{who:?}");
        let daemon = session.daemon();
        daemon.until_received("the folded one", |shown| shown.body.contains("12 more"));
        assert_eq!(daemon.displayed(), 1);
    });
}

#[test]
fn a_notice_that_is_settled_is_taken_away() {
    with_each(|_, session| {
        let mut shower = Shower::on(&session);
        let notice = blocked("a");
        let handle = shower.show(&notice, None);
        assert_eq!(session.daemon().displayed(), 1);
        shower.withdraw(&notice, handle);
        assert_eq!(session.daemon().displayed(), 0);
        // That it closed was our own doing.
        assert_eq!(shower.pending(), None);
    });
}

#[test]
fn a_blocked_request_has_buttons_or_says_what_to_type() {
    with_each(|who, session| {
        let shower = Shower::on(&session);
        shower.show(&blocked("a"), None);
        let daemon = session.daemon();
        let shown = daemon.until_received("the alert", |shown| shown.summary.contains("blocked"));
        let labels: Vec<&str> = shown.actions.iter().map(|(_, label)| &**label).collect();
        let command = "agentnet allow fix-42 pypi.org:443 --project shop --for 10m";
        if who.buttons() {
            assert_eq!(labels, ["Allow once", "For this task", "Deny"]);
            assert_eq!(shown.body, "wanted pypi.org:443");
        } else {
            assert!(labels.is_empty());
            assert!(shown.body.ends_with(command), "{shown:?}");
        }
    });
}

#[test]
fn no_button_has_the_words_of_an_agent() {
    with_each(|who, session| {
        let shower = Shower::on(&session);
        let mut question = notice("a", NoticeKind::Clarification, "Which one?");
        question.choices = [("1", "Allow once"), ("2", "<i>the other</i>")]
            .map(choice)
            .into();
        shower.show(&question, None);
        let daemon = session.daemon();
        let shown = daemon.until_received("the question", |shown| shown.summary.contains("asks"));
        assert!(shown.body.contains("1. Allow once\n2. "), "{shown:?}");
        let labels: Vec<&str> = shown.actions.iter().map(|(_, label)| &**label).collect();
        let expected: &[&str] = if who.buttons() {
            &["Answer 1", "Answer 2"]
        } else {
            &[]
        };
        assert_eq!(labels, expected);
    });
}

#[test]
fn the_history_of_the_daemon_has_what_was_closed() {
    with_each(|_, session| {
        let shower = Shower::on(&session);
        shower.show(&notice("a", NoticeKind::Error, "tests fail"), None);
        session.daemon().close_all();
        if let Running::Dunst(dunst) = session.daemon() {
            let history = dunst.history();
            assert_eq!(history[0]["summary"]["data"], "fix-42: failed");
            assert_eq!(history[0]["body"]["data"], "tests fail");
        }
        assert_eq!(session.daemon().displayed(), 0);
    });
}

/// As `dunst -print` has it: one whole notification, and the beginning of another.
const PRINTED: &str = "WARNING: x\n{\n\tappname: 'agentnet'\n\tsummary: 't'\n\tbody: 'a\n&lt;b&gt;'\n\ticon: 'i'\n\turgency: LOW\n\ttransient: 0\n\tformatted: '<b>t</b>\na\n&lt;b&gt;'\n\tfg: #fff\n\tid: 2\n\tactions: {\n\t\t\"once\": \"Allow once\"\n\t}\n\tscript_count: 0\n}\n{\n\tappname: 'x";

#[test]
fn what_dunst_prints_is_read_and_half_a_notification_is_not() {
    let expected = Received {
        id: 2,
        application: "agentnet".into(),
        summary: "t".into(),
        body: "a\n&lt;b&gt;".into(),
        drawn: "<b>t</b>\na\n&lt;b&gt;".into(),
        urgency: "LOW".into(),
        actions: vec![("once".into(), "Allow once".into())],
    };
    assert_eq!(Received::printed(PRINTED), [expected]);
}
