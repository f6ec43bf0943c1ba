//! What is shown, when and how often.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_written_before_is_shown_once_and_never_again() {
    let world = World::new();
    world.say("fix-42", "a", "before");
    world.with_bridge(async |_| world.shown(1).await).await;
    world.say("fix-42", "b", "between");
    world.with_bridge(async |_| world.shown(2).await).await;
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts(), ["before", "between"]);
}

#[tokio::test(start_paused = true)]
async fn new_tasks_are_found_and_their_names_come_from_the_path() {
    let world = World::new();
    world
        .with_bridge(async |_| {
            world.task("later");
            world.write(
                "later",
                "a",
                r#"{"v":1,"kind":"test","text":"fix-42: done"}"#,
            );
            world.shown(1).await;
        })
        .await;
    assert_eq!(world.screen().texts(), ["fix-42: done"]);
    let kept = crate::status::read(&directory(world.dir.path()))
        .unwrap()
        .unwrap();
    assert_eq!(kept.last[0].title.as_str(), "later: test");
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_ten_and_a_line_and_then_all_is_as_before() {
    let world = World::new();
    world.task("other");
    for number in 0..2000 {
        world.say("fix-42", &format!("n-{number:05}"), "noise");
    }
    world
        .with_bridge(async |_| {
            world.shown(11).await;
            world.say("other", "a", "signal");
            world.shown(12).await;
            a_minute().await;
            world.say("fix-42", "z", "again");
            world.shown(13).await;
        })
        .await;
    let texts = world.screen().texts();
    assert_eq!(texts.iter().filter(|text| *text == "noise").count(), 10);
    assert_eq!(
        texts[10..],
        ["and 1990 more from fix-42", "signal", "again"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_cannot_drown_what_agentnet_says_of_it() {
    let world = World::new();
    let own = world.dir.path().join("notify/out");
    fs::create_dir_all(&own).unwrap();
    for number in 0..50 {
        world.say("fix-42", &format!("n-{number:05}"), "noise");
    }
    world
        .with_bridge(async |_| {
            world.shown(11).await;
            let json = r#"{"v":1,"kind":"error","text":"out of memory","project":"shop","task":"fix-42","urgency":"critical"}"#;
            fs::write(own.join("oom.tmp"), json).unwrap();
            fs::rename(own.join("oom.tmp"), own.join("oom.json")).unwrap();
            world.shown(12).await;
        })
        .await;
    assert_eq!(world.screen().texts()[11], "out of memory");
    let kept = crate::status::read(&directory(world.dir.path()))
        .unwrap()
        .unwrap();
    assert_eq!(kept.last.back().unwrap().urgency, Urgency::Critical);
}

#[tokio::test(start_paused = true)]
async fn an_outlet_that_is_away_gets_everything_later_in_order_and_others_do_not_wait() {
    let mut world = World::new();
    world
        .screens
        .push((Screen::new("away", 1), Rule::default()));
    let away = Arc::clone(&world.screens[1].0);
    *away.failures.lock().unwrap() = vec![OutletError::Unavailable("no daemon".into()); 5];
    for name in ["a", "b", "c"] {
        world.say("fix-42", name, name);
    }
    world
        .with_bridge(async |_| {
            world.shown(3).await;
            eventually(|| away.texts().len() == 3).await;
        })
        .await;
    assert_eq!(away.texts(), ["a", "b", "c"]);
    assert_eq!(world.screen().texts(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn what_perhaps_was_shown_is_not_tried_again() {
    let world = World::new();
    *world.screen().failures.lock().unwrap() = vec![OutletError::Unknown("hung".into())];
    world.say("fix-42", "a", "first");
    world.say("fix-42", "b", "second");
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts(), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn each_outlet_gets_what_it_wants() {
    let mut world = World::new();
    let errors = Rule {
        kinds: Some(vec![NoticeKind::Error]),
        ..Rule::default()
    };
    world.screens.push((Screen::new("errors", 1), errors));
    world.say("fix-42", "a", "chatter");
    world.write("fix-42", "b", r#"{"v":1,"kind":"error","text":"broken"}"#);
    world.with_bridge(async |_| world.shown(2).await).await;
    assert_eq!(world.screens[1].0.texts(), ["broken"]);
}

#[tokio::test(start_paused = true)]
async fn an_outlet_that_is_no_longer_configured_is_not_waited_for() {
    let mut world = World::new();
    *world.screen().failures.lock().unwrap() = vec![OutletError::Unavailable("x".into()); 50];
    world.say("fix-42", "a", "x");
    let out = world.dir.path().join("tasks/shop/fix-42/spool/out");
    world
        .with_bridge(async |_| eventually(|| fs::read_dir(&out).unwrap().count() == 0).await)
        .await;
    world.screens[0].0 = Screen::new("other", 1);
    world.with_bridge(async |_| a_minute().await).await;
    let (ledger, _) = Ledger::open(&directory(world.dir.path())).unwrap();
    assert_eq!((ledger.len(), world.screen().texts().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_between_a_spool_and_the_journal_is_shown_once() {
    let world = World::new();
    let state = State::open(world.dir.path()).unwrap();
    let taken = directory(world.dir.path()).join("taken");
    let json = r#"{"v":1,"kind":"info","text":"moved"}"#;
    fs::write(taken.join("shop.fix-42.a.json"), json).unwrap();
    // Written down, and not removed before the end came.
    let (mut ledger, _) = Ledger::open(&state.bridge()).unwrap();
    let known = "shop.fix-42.b.json";
    fs::write(taken.join(known), json).unwrap();
    let mark = crate::spool_file::mark_at(state.taken().unwrap().as_fd(), known, known);
    let source = crate::spool::Source::Task(task("fix-42"));
    let written = crate::ledger::Taken {
        notice: Notice::new(
            NoticeId("b".into()),
            task("fix-42"),
            NoticeKind::Info,
            "written",
        ),
        origin: mark.map(|mark| crate::ledger::Origin { source, mark }),
        outlets: vec!["screen".into()],
        earlier: BTreeMap::new(),
        closes: Vec::new(),
        tells: None,
    };
    ledger.take(unix_now(), written).unwrap();
    drop(ledger);
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts(), ["written", "moved"]);
    assert_eq!(fs::read_dir(taken).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_shown_before_the_quiet_hours_waits_for_their_end() {
    let mut world = World::new();
    // Quiet at every hour but in the minute that is the farthest from now: wanted when it came, as far
    // as the journal knows.
    let now = crate::desk::local_time();
    let (from, to) = (
        now - jiff::Span::new().hours(2),
        now + jiff::Span::new().hours(2),
    );
    let hours = format!("{}-{}", from.strftime("%H:%M"), to.strftime("%H:%M"));
    let quiet = crate::rule::Quiet::try_from(hours).unwrap();
    world.screens[0].1.quiet = Some(quiet);
    let state = State::open(world.dir.path()).unwrap();
    let (mut ledger, _) = Ledger::open(&state.bridge()).unwrap();
    for (id, urgency) in [("a", Urgency::Normal), ("b", Urgency::Critical)] {
        let mut notice = Notice::new(NoticeId(id.into()), task("fix-42"), NoticeKind::Error, id);
        notice.urgency = urgency;
        let taken = crate::ledger::Taken {
            notice,
            origin: None,
            outlets: vec!["screen".into()],
            earlier: BTreeMap::new(),
            closes: Vec::new(),
            tells: None,
        };
        ledger.take(unix_now(), taken).unwrap();
    }
    drop(ledger);
    world.with_bridge(async |_| a_minute().await).await;
    assert_eq!(world.screen().texts(), ["b"]);
    world.screens[0].1.quiet = None;
    world.with_bridge(async |_| world.shown(2).await).await;
    assert_eq!(world.screen().texts(), ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_whose_state_directory_is_gone_ends_and_says_so() {
    for again in [false, true] {
        let world = World::new();
        let bridge = world.bridge().0;
        let path = world.dir.path();
        fs::remove_dir_all(path).unwrap();
        if again {
            // Another one of its name: nothing that is written there would be heard.
            fs::create_dir(path).unwrap();
        }
        let ended =
            tokio::time::timeout(Duration::from_secs(60), bridge.run(std::future::pending()));
        let error = ended.await.unwrap().unwrap_err();
        assert!(
            error.to_string().contains("start the bridge again"),
            "{error}"
        );
        fs::create_dir_all(path).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_outlet_will_not_have_does_not_hold_up_what_it_would() {
    let world = World::new();
    *world.screen().poison.lock().unwrap() = Some("a");
    for name in ["a", "b", "c"] {
        world.say("fix-42", name, name);
    }
    world
        .with_bridge(async |_| {
            world.shown(2).await;
            world.say("fix-42", "later", "later");
            world.shown(3).await;
            // It is not lost, and goes through when it can.
            *world.screen().poison.lock().unwrap() = None;
            world.shown(4).await;
        })
        .await;
    assert_eq!(world.screen().texts(), ["b", "c", "later", "a"]);
}
