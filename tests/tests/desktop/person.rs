//! What a person does with a notification comes back.

use agentnet_notify::notice::{NoticeId, NoticeKind};
use agentnet_notify::outlet::{Answered, Feedback};

use crate::outlet::{Shower, blocked, choice, notice, with_each};

#[test]
fn a_click_on_each_button_is_its_answer() {
    with_each(|who, session| {
        if !who.buttons() {
            return;
        }
        let mut shower = Shower::on(&session);
        for (label, key) in [
            ("Allow once", "once"),
            ("For this task", "task"),
            ("Deny", "deny"),
        ] {
            let notice = blocked(key);
            let handle = shower.show(&notice, None);
            session.daemon().click(label);
            let answered = Answered {
                notice: notice.id.clone(),
                choice: key.into(),
            };
            assert_eq!(shower.feedback(), Feedback::Answered(answered), "{who:?}");
            // dunst leaves what was clicked on the screen: what was done takes its place.
            let mut outcome = blocked(key);
            outcome.choices.clear();
            assert_eq!(shower.show(&outcome, Some(handle)), handle);
            assert_eq!(session.daemon().displayed(), 1);
            shower.withdraw(&notice, handle);
            assert_eq!(session.daemon().displayed(), 0);
        }
        assert_eq!(shower.pending(), None);
    });
}

#[test]
fn the_answer_to_a_question_is_the_number_of_its_button() {
    with_each(|who, session| {
        if !who.buttons() {
            return;
        }
        let mut shower = Shower::on(&session);
        let mut question = notice("a", NoticeKind::Clarification, "Which one?");
        question.choices = [("1", "the left"), ("2", "the right")].map(choice).into();
        shower.show(&question, None);
        session.daemon().click("Answer 2");
        let answered = Answered {
            notice: NoticeId("a".into()),
            choice: "2".into(),
        };
        assert_eq!(shower.feedback(), Feedback::Answered(answered));
    });
}

#[test]
fn a_notification_that_is_closed_is_dismissed() {
    with_each(|who, session| {
        let mut shower = Shower::on(&session);
        shower.show(&notice("a", NoticeKind::Info, "x"), None);
        session.daemon().close_all();
        let dismissed = Feedback::Dismissed(NoticeId("a".into()));
        assert_eq!(shower.feedback(), dismissed, "{who:?}");
    });
}
