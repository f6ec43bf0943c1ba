//! What waits for a click, and what a click does.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_open_notice_is_shown_again_in_its_place_by_the_next_bridge() {
    let world = World::new();
    world
        .with_bridge(async |ends| {
            ends.tells(blocked("b")).await;
            world.shown(1).await;
        })
        .await;
    world
        .with_bridge(async |ends| {
            world.shown(2).await;
            ends.clicks("b", "never offered").await;
            ends.clicks("b", "once").await;
            ends.clicks("b", "once").await;
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
            ends.tells(blocked("b")).await;
            world.shown(2).await;
            ends.says(Feedback::Lost("screen".into())).await;
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
                ends.tells(notice).await;
            }
            world.shown(2).await;
            let withdraw = Incoming::Withdraw(NoticeId("a".into()));
            ends.incoming.send(withdraw).await.unwrap();
            let dismissed = Feedback::Dismissed(NoticeId("b".into()));
            ends.says(dismissed).await;
            eventually(|| !world.screen().withdrawn.lock().unwrap().is_empty()).await;
            for id in ["a", "b"] {
                ends.clicks(id, "once").await;
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
            ends.tells(late).await;
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
            ends.clicks("shop/fix-42/q-1/0", "1").await;
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

/// Leaves a notice that was being shown at every outlet when its bridge was killed.
fn on_its_way(world: &World, notice: Notice) {
    let state = State::open(world.dir.path()).unwrap();
    let (mut ledger, _) = Ledger::open(&state.bridge()).unwrap();
    let outlets: Vec<String> = world
        .screens
        .iter()
        .map(|(s, _)| s.name.to_owned())
        .collect();
    let taken = crate::ledger::Taken {
        notice,
        origin: None,
        outlets: outlets.clone(),
        earlier: BTreeMap::new(),
        closes: Vec::new(),
        tells: None,
    };
    let seq = ledger.take(unix_now(), taken).unwrap();
    for outlet in outlets {
        ledger.showing(seq, &outlet).unwrap();
    }
}

fn unconfirmed(world: &World) -> Vec<(String, u64)> {
    let status = crate::status::read(&directory(world.dir.path()))
        .unwrap()
        .unwrap();
    let outlets = status.outlets.into_iter();
    outlets
        .map(|outlet| (outlet.name, outlet.unconfirmed))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_click_and_was_on_its_way_at_a_kill_is_shown_again_where_it_can_be_clicked()
 {
    let mut world = World::new();
    world.screens.push((Screen::new("log", 1), Rule::default()));
    on_its_way(&world, *blocked("b"));
    world
        .with_bridge(async |ends| {
            world.shown(1).await;
            ends.clicks("b", "once").await;
            world.shown(2).await;
            a_minute().await;
        })
        .await;
    assert_eq!(world.screen().texts(), ["x.example", "allowed"]);
    // Nobody can click on a line of a log, so it is there once or never.
    assert_eq!(world.screens[1].0.texts(), Vec::<String>::new());
    let expected = [("screen".to_owned(), 0), ("log".to_owned(), 1)];
    assert_eq!(unconfirmed(&world), expected);
}

#[tokio::test(start_paused = true)]
async fn what_only_tells_and_was_on_its_way_at_a_kill_is_not_shown_again() {
    let world = World::new();
    let notice = Notice::new(NoticeId("a".into()), task("fix-42"), NoticeKind::Info, "x");
    on_its_way(&world, notice);
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts(), Vec::<String>::new());
    assert_eq!(unconfirmed(&world), [("screen".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_open_and_told_again_by_its_source_stands_as_it_is() {
    let world = World::new();
    world
        .with_bridge(async |ends| {
            ends.tells(blocked("b")).await;
            world.shown(1).await;
            ends.tells(blocked("b")).await;
            a_minute().await;
            ends.clicks("b", "once").await;
            world.shown(2).await;
        })
        .await;
    assert_eq!(world.screen().texts(), ["x.example", "allowed"]);
    assert_eq!(world.doer.0.lock().unwrap().len(), 1);
}

/// An open notice that was shown at some time, without a bridge that would have taken it away since.
fn shown_at(world: &World, at: u64, notice: Notice) {
    let state = State::open(world.dir.path()).unwrap();
    let (mut ledger, _) = Ledger::open(&state.bridge()).unwrap();
    let taken = crate::ledger::Taken {
        notice,
        origin: None,
        outlets: vec!["screen".to_owned()],
        earlier: BTreeMap::from([("screen".to_owned(), Handle(7))]),
        closes: Vec::new(),
        tells: None,
    };
    ledger.take(at, taken).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_click_after_its_time_changes_nothing_and_says_what_to_type() {
    let world = World::new();
    let mut late = blocked("late");
    late.until = Some(unix_now() - 1);
    shown_at(&world, unix_now(), *late);
    // The click is heard before anybody has looked at the clock, as after a night of sleep.
    let (mut bridge, ends) = world.bridge();
    let id = NoticeId("late".into());
    bridge.desk.place(&id, "screen", Handle(7));
    bridge.heard(Some(Feedback::Answered(Answered {
        notice: NoticeId("late".into()),
        choice: "once".into(),
    })));
    drop(ends);
    let a_while = tokio::time::sleep(Duration::from_secs(61));
    bridge.run(a_while).await.unwrap();
    assert!(world.doer.0.lock().unwrap().is_empty());
    let told = "Too late, nothing was changed. Type: agentnet allow fix-42 x.example:443 --project shop --for 10m";
    let seen = world.screen().seen.lock().unwrap().clone();
    assert_eq!(seen, [(told.to_owned(), Some(Handle(7)))]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_of_a_clock_that_was_set_back_does_not_wait_for_that_time() {
    let world = World::new();
    let ahead = unix_now() + 400 * 24 * 3600;
    let mut notice = blocked("b");
    notice.until = Some(ahead + 600);
    shown_at(&world, ahead, *notice);
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(
        world.screen().withdrawn.lock().unwrap().as_slice(),
        [Handle(7)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_known_late_is_where_it_is_answered_and_taken_away() {
    let world = World::new();
    *world.screen().failures.lock().unwrap() = vec![OutletError::Unknown("hung".into())];
    let placed = |id: &str| Feedback::Placed {
        notice: NoticeId(id.into()),
        outlet: "screen".into(),
        handle: Handle(9),
    };
    world
        .with_bridge(async |ends| {
            ends.tells(blocked("b")).await;
            eventually(|| world.screen().failures.lock().unwrap().is_empty()).await;
            a_minute().await;
            ends.says(placed("b")).await;
            ends.clicks("b", "once").await;
            world.shown(1).await;
            // One that nobody waits for any more goes from the screen.
            ends.says(placed("b")).await;
            eventually(|| !world.screen().withdrawn.lock().unwrap().is_empty()).await;
        })
        .await;
    let seen = world.screen().seen.lock().unwrap().clone();
    assert_eq!(seen, [("allowed".to_owned(), Some(Handle(9)))]);
}
