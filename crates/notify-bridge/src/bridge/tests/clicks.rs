//! What waits for a click, and what a click does.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_open_notice_is_shown_again_in_its_place_by_the_next_bridge() {
    let world = World::new();
    world
        .with_bridge(async |ends| {
            ends.incoming
                .send(Incoming::Show(blocked("b")))
                .await
                .unwrap();
            world.shown(1).await;
        })
        .await;
    world
        .with_bridge(async |ends| {
            world.shown(2).await;
            ends.feedback
                .send(click("b", "never offered"))
                .await
                .unwrap();
            ends.feedback.send(click("b", "once")).await.unwrap();
            ends.feedback.send(click("b", "once")).await.unwrap();
            world.shown(3).await;
        })
        .await;
    world.with_bridge(async |_| a_minute().await).await;
    let place = Some(Handle(100));
    let seen = world.screen().seen.lock().unwrap().clone();
    let expected = [
        ("x.example", None),
        ("x.example", place),
        ("allowed", place),
    ];
    assert_eq!(seen, expected.map(|(text, at)| (text.to_owned(), at)));
    let asked = (Some("x.example:443".to_owned()), "once".to_owned());
    assert_eq!(*world.doer.0.lock().unwrap(), [asked]);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_begins_anew_is_shown_what_is_open_and_nothing_else() {
    let world = World::new();
    world.say("fix-42", "a", "plain");
    world
        .with_bridge(async |ends| {
            ends.incoming
                .send(Incoming::Show(blocked("b")))
                .await
                .unwrap();
            world.shown(2).await;
            ends.feedback
                .send(Feedback::Lost("screen".into()))
                .await
                .unwrap();
            world.shown(3).await;
            a_minute().await;
        })
        .await;
    let seen = world.screen().seen.lock().unwrap().clone();
    assert_eq!(seen[2], ("x.example".to_owned(), None));
    assert_eq!(seen.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_or_dismissed_is_not_open_any_more() {
    let world = World::new();
    world
        .with_bridge(async |ends| {
            for notice in [blocked("a"), blocked("b")] {
                ends.incoming.send(Incoming::Show(notice)).await.unwrap();
            }
            world.shown(2).await;
            let withdraw = Incoming::Withdraw(NoticeId("a".into()));
            ends.incoming.send(withdraw).await.unwrap();
            let dismissed = Feedback::Dismissed(NoticeId("b".into()));
            ends.feedback.send(dismissed).await.unwrap();
            eventually(|| !world.screen().withdrawn.lock().unwrap().is_empty()).await;
            for id in ["a", "b"] {
                ends.feedback.send(click(id, "once")).await.unwrap();
            }
            a_minute().await;
        })
        .await;
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts().len(), 2);
    assert!(world.doer.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_answered_in_time_is_taken_away() {
    let world = World::new();
    let mut late = blocked("late");
    let until = unix_now() + 1;
    late.until = Some(until);
    world
        .with_bridge(async |ends| {
            ends.incoming.send(Incoming::Show(late)).await.unwrap();
            world.shown(1).await;
        })
        .await;
    // The clock of the world, which no test can pause.
    while unix_now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(*world.screen().withdrawn.lock().unwrap(), [Handle(100)]);
    assert_eq!(world.screen().texts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_into_the_tasks_own_directory() {
    let world = World::new();
    let json = r#"{"v":1,"kind":"clarification","text":"Which?","choices":["one","two"]}"#;
    world.write("fix-42", "q-1", json);
    world
        .with_bridge(async |ends| {
            world.shown(1).await;
            ends.feedback
                .send(click("shop/fix-42/q-1/0", "1"))
                .await
                .unwrap();
            world.shown(2).await;
        })
        .await;
    assert_eq!(world.screen().texts(), ["Which?", "answered: two"]);
    let answer = world.dir.path().join("tasks/shop/fix-42/spool/in/q-1.json");
    assert_eq!(
        fs::read_to_string(answer).unwrap(),
        r#"{"v":1,"choice":1,"text":"two"}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_question_of_a_task_that_is_gone_is_taken_away() {
    let world = World::new();
    let json = r#"{"v":1,"kind":"clarification","text":"Which?","choices":["one","two"]}"#;
    world.write("fix-42", "q-1", json);
    world
        .with_bridge(async |_| {
            world.shown(1).await;
            fs::remove_dir_all(world.dir.path().join("tasks/shop/fix-42")).unwrap();
            eventually(|| !world.screen().withdrawn.lock().unwrap().is_empty()).await;
        })
        .await;
}
