//! What keys do to what is on the screen, and what is kept of a flood.

use super::*;
use crate::decisions::made::{allowed, denied};
use crate::record::made;

fn id(task: &str) -> TaskId {
    TaskId {
        project: "shop".parse().unwrap(),
        task: task.parse().unwrap(),
    }
}

fn record(task: &str) -> Record {
    Record {
        task: id(task),
        ..made()
    }
}

fn model(events: &[(&str, Event)]) -> Model {
    let mut model = Model::new(None);
    model.take(Message::Tasks(vec![record("one"), record("two")]));
    for (task, event) in events {
        model.take(Message::Event(id(task), Box::new(event.clone())));
    }
    model
}

fn hosts(model: &Model) -> Vec<String> {
    model
        .rows()
        .iter()
        .map(|row| {
            format!(
                "{} {} {}",
                row.place.task.task, row.blocked.host, row.blocked.count
            )
        })
        .collect()
}

fn quiet(event: Event) -> Event {
    Event {
        quiet: true,
        ..event
    }
}

#[test]
fn refusals_are_folded_by_task_and_host_with_the_newest_on_top_and_the_quiet_below() {
    let model = model(&[
        ("one", denied("a.example", 1)),
        ("one", allowed("fine.example", 2)),
        ("one", quiet(denied("t.example", 9))),
        ("two", denied("a.example", 3)),
        ("one", denied("b.example", 4)),
        ("one", denied("a.example", 8)),
    ]);
    assert_eq!(
        hosts(&model),
        [
            "one b.example 1",
            "two a.example 1",
            "one a.example 2",
            "one t.example 1"
        ]
    );
    assert_eq!(model.feed().count(), 6);
}

#[test]
fn a_key_changes_nothing_until_a_row_was_chosen_and_then_that_row() {
    let mut model = model(&[("one", denied("a.example", 1))]);
    assert_eq!(model.press(Key::Char('a')), None);
    assert!(model.note.bad);
    model.press(Key::Down);
    // Another host comes above it, and is not the one that was chosen.
    model.take(Message::Event(
        id("two"),
        Box::new(denied("evil.example", 5)),
    ));
    for (key, choice) in [
        ('a', Choice::Allow),
        ('o', Choice::Once),
        ('s', Choice::Save),
        ('d', Choice::Deny),
    ] {
        let action = Action::Change(id("one"), choice, "a.example".to_owned());
        assert_eq!(model.press(Key::Char(key)), Some(action));
    }
    assert_eq!(model.press(Key::Char('x')), None);
    assert_eq!(model.press(Key::Char('q')), Some(Action::Quit));
}

#[test]
fn arrows_stay_within_the_rows() {
    let mut model = model(&[
        ("one", denied("a.example", 1)),
        ("one", denied("b.example", 2)),
    ]);
    let mut at = |keys: &[Key]| {
        keys.iter().for_each(|key| {
            model.press(*key);
        });
        model.selected(&model.rows())
    };
    assert_eq!(at(&[Key::Down]), Some(0));
    assert_eq!(at(&[Key::Down, Key::Down, Key::PageDown]), Some(1));
    assert_eq!(at(&[Key::PageUp, Key::Up]), Some(0));
    assert_eq!(at(&[Key::End]), Some(1));
    assert_eq!(at(&[Key::Home]), Some(0));
    assert_eq!(at(&[Key::Escape]), None);
    assert_eq!(at(&[Key::Up]), Some(1));
    assert_eq!(Model::new(None).press(Key::Down), None);
}

#[test]
fn only_what_a_line_can_open_is_opened_by_a_key() {
    let of = |event: Event| {
        let mut blocks = Blocks::default();
        blocks.add(&event);
        changeable(&blocks.hosts()[0])
    };
    assert_eq!(of(denied("a.example", 1)).unwrap(), "a.example");
    let other = Event {
        port: 8443,
        ..denied("a.example", 1)
    };
    assert_eq!(of(other).unwrap(), "a.example:8443");
    for host in ["10.0.0.1", "[::1]", "", "a b", "*", "x\u{fffd}"] {
        assert!(of(denied(host, 1)).is_err(), "{host:?}");
    }
    for reason in [
        Reason::NotTls,
        Reason::PrivateAddress,
        Reason::ResolveFailed,
        Reason::Loop,
    ] {
        let event = Event {
            reason,
            ..denied("a.example", 1)
        };
        assert!(of(event).is_err(), "{reason}");
    }
}

#[test]
fn a_settled_row_says_so_until_it_is_refused_again() {
    let mut model = model(&[
        ("one", denied("a.example", 1)),
        ("two", denied("a.example", 1)),
    ]);
    let now = denied("", 5).time;
    model.settle(id("one"), "a.example", "allowed", now);
    let settled = |model: &Model| -> Vec<bool> {
        let rows = model.rows();
        let of = |task: &str| rows.iter().find(|row| row.place.task == id(task)).unwrap();
        vec![of("one").settled.is_some(), of("two").settled.is_some()]
    };
    assert_eq!(settled(&model), [true, false]);
    // One that was on its way.
    model.take(Message::Event(id("one"), Box::new(denied("a.example", 4))));
    assert_eq!(settled(&model), [true, false]);
    model.take(Message::Event(id("one"), Box::new(denied("a.example", 6))));
    assert_eq!(settled(&model), [false, false]);
}

#[test]
fn tasks_come_and_go_and_one_that_is_brought_up_anew_begins_empty() {
    let mut model = model(&[
        ("one", denied("a.example", 1)),
        ("two", denied("b.example", 2)),
    ]);
    model.press(Key::Down);
    model.take(Message::Tasks(vec![record("one")]));
    assert_eq!(hosts(&model), ["one a.example 1"]);
    assert_eq!(model.selected(&model.rows()), None, "its row has gone");
    model.take(Message::Event(
        id("two"),
        Box::new(denied("late.example", 3)),
    ));
    assert_eq!(model.feed().count(), 1);
    let anew = Record {
        since: Timestamp::from_second(7).unwrap(),
        ..record("one")
    };
    model.take(Message::Tasks(vec![anew]));
    assert_eq!(hosts(&model), Vec::<String>::new());
}

#[test]
fn one_task_can_be_looked_at_alone() {
    let mut model = model(&[
        ("one", denied("a.example", 1)),
        ("two", denied("b.example", 2)),
    ]);
    let mut shown = |key| {
        model.press(key);
        (
            model.tasks().count(),
            hosts(&model).len(),
            model.feed().count(),
        )
    };
    assert_eq!(shown(Key::Tab), (1, 1, 1));
    assert_eq!(shown(Key::Tab), (1, 1, 1));
    assert_eq!(shown(Key::Tab), (2, 2, 2));
}

#[test]
fn decisions_without_end_are_kept_within_bounds() {
    let mut model = model(&[]);
    for number in 0..3_000 {
        let event = denied(&format!("{number}.example"), number);
        model.take(Message::Event(id("one"), Box::new(event)));
    }
    assert_eq!(model.feed().count(), MOST_LINES);
    assert_eq!(model.rows().len(), crate::decisions::MOST_HOSTS);
    assert_eq!(model.others(), 2_500);
}
