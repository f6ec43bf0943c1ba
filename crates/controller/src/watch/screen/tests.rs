use agentnet_policy::Reason;
use agentnet_policy::event::Event;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};

use super::*;
use crate::decisions::made::{allowed, asked, denied};
use crate::record::{Phase, Record, made};
use crate::stats::{Load, Stats, Traffic};
use crate::task::TaskId;
use crate::watch::Message;
use crate::watch::key::Key;

fn id(task: &str) -> TaskId {
    TaskId {
        project: "shop".parse().unwrap(),
        task: task.parse().unwrap(),
    }
}

fn record(task: &str) -> Record {
    Record {
        task: id(task),
        since: denied("", 0).time,
        ..made()
    }
}

fn event(model: &mut Model, task: &str, event: Event) {
    model.take(Message::Event(id(task), Box::new(event)));
}

fn stats(record: &Record) -> Stats {
    Stats {
        state: "up".to_owned(),
        agent: Some(Load {
            cpu_percent: Some(150.4),
            cpu_seconds: 12.0,
            memory: 512 << 20,
            memory_limit: Some(4 << 30),
            pids: 23,
            pids_limit: Some(512),
        }),
        traffic: Some(Traffic {
            up: 1_200_000,
            down: 34 << 20,
            denied: 7,
            ..Traffic::default()
        }),
        ..Stats::resting(record, record.since, String::new())
    }
}

fn look(color: bool) -> Look {
    Look {
        color,
        now: denied("", 3_600).time,
        zone: TimeZone::UTC,
    }
}

fn picture(model: &Model, width: u16, height: u16, color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let look = look(color);
    terminal.draw(|frame| draw(frame, model, &look)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let symbols: Vec<_> = buffer.content.iter().map(Cell::symbol).collect();
    let rows = symbols.chunks(width).map(<[&str]>::concat);
    rows.map(|row| format!("{}\n", row.trim_end())).collect()
}

fn busy() -> Model {
    let mut model = Model::new(None);
    let two = Record {
        phase: Phase::Down,
        ..record("two")
    };
    model.take(Message::Tasks(vec![record("fix-42"), two]));
    let stats = stats(&record("fix-42"));
    model.take(Message::Stats(id("fix-42"), Box::new(stats)));
    event(&mut model, "fix-42", allowed("pypi.org", 1));
    event(&mut model, "fix-42", asked("telemetry.example", 5));
    let pip = Event {
        agent: Some("pip/24.0".into()),
        ..denied("registry.example", 7)
    };
    event(&mut model, "fix-42", pip.clone());
    event(&mut model, "fix-42", pip);
    let failed = Event {
        reason: Reason::ResolveFailed,
        ..allowed("typo.example", 8)
    };
    event(&mut model, "fix-42", failed);
    let quiet = Event {
        quiet: true,
        reason: Reason::RuleDenied,
        ..denied("stats.example", 9)
    };
    event(&mut model, "fix-42", quiet);
    model
}

#[test]
fn the_screen_shows_tasks_hosts_decisions_and_keys() {
    let mut model = busy();
    model.press(Key::Down);
    model.press(Key::Down);
    model.note.text = "fix-42: wrote \"a.example\"".to_owned();
    insta::assert_snapshot!(text(&picture(&model, 110, 24, true)));
}

#[test]
fn without_colours_nothing_but_colours_is_missing() {
    let mut model = busy();
    model.press(Key::Down);
    let (bare, painted) = (
        picture(&model, 100, 24, false),
        picture(&model, 100, 24, true),
    );
    assert_eq!(text(&bare), text(&painted));
    let colours = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(!colours(&bare) && colours(&painted));
}

#[test]
fn hostile_names_cannot_draw_and_long_ones_keep_their_end() {
    let mut model = Model::new(Some(id("one")));
    model.take(Message::Tasks(vec![record("one")]));
    let long = format!("{}.evil.example", "login.github.com.".repeat(12));
    event(&mut model, "one", denied(&long, 1));
    event(
        &mut model,
        "one",
        denied("\u{1b}[2J\u{202e}moc.elgoog\u{7}", 2),
    );
    let shown = text(&picture(&model, 80, 20, true));
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{shown}");
    assert!(shown.contains(".evil.example:443"), "{shown}");
    assert!(shown.contains("[2J\u{fffd}moc.elgoog\u{fffd}"), "{shown}");
}

#[test]
fn every_size_of_a_terminal_has_a_picture() {
    let mut model = busy();
    for number in 0..60 {
        event(
            &mut model,
            "fix-42",
            denied(&format!("{number}.example"), number),
        );
    }
    model.press(Key::End);
    for (width, height) in [(1, 1), (3, 2), (20, 5), (80, 8), (300, 100)] {
        let shown = text(&picture(&model, width, height, true));
        assert!(shown.lines().count() <= usize::from(height));
    }
    // What is selected is in sight.
    assert!(
        text(&picture(&model, 120, 30, true)).contains("> "),
        "selected"
    );
}

#[test]
fn tasks_that_do_not_fit_are_counted() {
    let mut model = Model::new(None);
    let records = (0..30).map(|number| record(&format!("t{number}")));
    model.take(Message::Tasks(records.collect()));
    let shown = text(&picture(&model, 100, 24, false));
    assert!(shown.contains("and 24 more"), "{shown}");
}

#[test]
fn a_task_whose_decisions_do_not_come_says_why() {
    let mut model = busy();
    model.take(Message::Lost(id("fix-42"), "its proxy is gone".to_owned()));
    assert!(text(&picture(&model, 160, 24, false)).contains("no decisions: its proxy is gone"));
    model.take(Message::Followed(id("fix-42")));
    assert!(!text(&picture(&model, 160, 24, false)).contains("no decisions"));
}

#[test]
fn the_end_of_a_text_fits_its_room() {
    assert_eq!(tail("a.example:443", 13), "a.example:443");
    assert_eq!(tail("a.example:443", 5), "…:443");
    assert_eq!(tail("abc", 0), "…c");
    assert_eq!(tail("", 0), "");
}
