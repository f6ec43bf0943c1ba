use super::journal::LONG;
use super::*;
use crate::notice::{Choice, Notice, NoticeKind, TaskName};
use crate::outlet::Handle;
use crate::text;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};

fn notice(id: &str) -> Notice {
    let task = TaskName::new("shop", "fix-42").unwrap();
    Notice::new(NoticeId(id.into()), task, NoticeKind::Info, "x")
}

fn open_notice(id: &str) -> Notice {
    let mut notice = notice(id);
    notice.choices.push(Choice {
        key: "once".into(),
        label: text::line("once", 40),
    });
    notice
}

fn take(ledger: &mut Ledger, notice: Notice) -> u64 {
    let taken = Taken {
        notice,
        origin: None,
        outlets: vec!["desktop".to_owned()],
        earlier: BTreeMap::new(),
        closes: Vec::new(),
        tells: None,
    };
    ledger.take(7, taken).unwrap()
}

fn shown(seq: u64, handle: Option<Handle>) -> Line {
    Line::Shown {
        seq,
        outlet: "desktop".into(),
        handle,
    }
}

fn reopened(dir: &tempfile::TempDir) -> (Ledger, Left) {
    Ledger::open(dir.path()).unwrap()
}

#[test]
fn what_was_taken_is_pending_after_a_crash_and_what_was_shown_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopened(&dir);
    let first = take(&mut ledger, notice("a"));
    take(&mut ledger, notice("b"));
    ledger.showing(first, "desktop").unwrap();
    ledger.note(shown(first, None)).unwrap();
    assert_eq!(ledger.len(), 1);
    drop(ledger);

    let (ledger, left) = reopened(&dir);
    assert_eq!(left, Left::default());
    let ids: Vec<&str> = ledger
        .entries()
        .map(|(_, e)| e.notice.id.0.as_str())
        .collect();
    assert_eq!(ids, ["b"]);
}

#[test]
fn what_was_on_its_way_is_not_shown_again_and_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopened(&dir);
    let seq = take(&mut ledger, notice("a"));
    ledger.showing(seq, "desktop").unwrap();
    drop(ledger);
    let (ledger, left) = reopened(&dir);
    assert_eq!(ledger.len(), 0);
    let asked = ("desktop".to_owned(), NoticeId("a".into()));
    assert_eq!(left.unconfirmed, [asked]);
    // And only once.
    assert_eq!(reopened(&dir).1, Left::default());
}

#[test]
fn what_waits_for_a_click_stays_with_its_handle_until_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopened(&dir);
    let seq = take(&mut ledger, open_notice("a"));
    ledger.showing(seq, "desktop").unwrap();
    ledger.note(shown(seq, Some(Handle(9)))).unwrap();
    drop(ledger);
    let (mut ledger, _) = reopened(&dir);
    let (seq, entry) = ledger.open_one(&NoticeId("a".into())).unwrap();
    assert_eq!(entry.handles.get("desktop"), Some(&Handle(9)));
    assert_eq!(entry.outlets.get("desktop"), Some(&Progress::Done));
    ledger.note(Line::Closed { seq }).unwrap();
    assert_eq!(ledger.len(), 0);
    assert_eq!(reopened(&dir).0.len(), 0);
}

#[test]
fn a_torn_last_line_costs_that_line() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopened(&dir);
    take(&mut ledger, notice("a"));
    take(&mut ledger, notice("b"));
    drop(ledger);
    let path = dir.path().join("ledger.jsonl");
    let text = fs::read(&path).unwrap();
    for cut in 0..text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        let (ledger, left) = reopened(&dir);
        assert!(ledger.len() <= 2 && left.unreadable <= 1, "cut at {cut}");
    }
}

#[test]
fn it_does_not_grow_with_what_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopened(&dir);
    for _ in 0..4000 {
        // Unsynced, so that the test is quick.
        let seq = ledger.next;
        let line = Line::Took {
            seq,
            at: 1,
            notice: Box::new(notice("a")),
            origin: None,
            outlets: vec!["desktop".into()],
            earlier: BTreeMap::new(),
        };
        ledger.note(line).unwrap();
        ledger.note(shown(seq, None)).unwrap();
    }
    let length = fs::metadata(dir.path().join("ledger.jsonl")).unwrap().len();
    assert!(length <= LONG + 1024, "{length}");
    assert_eq!((ledger.len(), ledger.journal.length), (0, length));
}

#[test]
fn folded_counts_are_kept_until_they_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let speaker = Speaker {
        side: crate::notice::Side::Agent,
        task: TaskName::new("shop", "fix-42").unwrap(),
    };
    let (mut ledger, _) = reopened(&dir);
    for count in [5, 7] {
        let speaker = speaker.clone();
        ledger.note(Line::Folded { speaker, count }).unwrap();
    }
    drop(ledger);
    let (mut ledger, _) = reopened(&dir);
    assert_eq!(ledger.folded().get(&speaker), Some(&12));
    ledger.note(Line::Told { speaker }).unwrap();
    drop(ledger);
    assert!(reopened(&dir).0.folded().is_empty());
}

#[test]
fn an_attempt_that_failed_half_way_leaves_no_hole_before_the_next_line() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopened(&dir);
    take(&mut ledger, notice("a"));
    // What a disk does that becomes full within a line.
    let path = dir.path().join("ledger.jsonl");
    let whole = std::mem::replace(&mut ledger.journal.file, File::open(&path).unwrap());
    (&whole).seek(io::SeekFrom::End(0)).unwrap();
    (&whole).write_all(b"{\"took\":{\"half").unwrap();
    let lost = ledger.note(Line::Closed { seq: 0 });
    assert!(lost.is_err());
    whole.set_len(ledger.journal.length).unwrap();
    ledger.journal.file = whole;
    take(&mut ledger, notice("b"));
    drop(ledger);
    let (ledger, left) = reopened(&dir);
    assert_eq!((ledger.len(), left), (2, Left::default()));
}

#[test]
fn a_journal_that_cannot_be_written_anew_goes_on_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = reopened(&dir);
    take(&mut ledger, notice("kept"));
    let path = dir.path().join("ledger.jsonl");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"took\"")
        .unwrap();
    // No place for a second one, at the start and while it grows.
    fs::create_dir_all(dir.path().join("ledger.new/x")).unwrap();
    let (mut ledger, left) = reopened(&dir);
    assert_eq!((ledger.len(), left.unreadable), (1, 1));
    let speaker = Speaker {
        side: crate::notice::Side::Agent,
        task: TaskName::new("shop", "fix-42").unwrap(),
    };
    while ledger.journal.length <= LONG {
        let (speaker, count) = (speaker.clone(), 1);
        ledger.note(Line::Folded { speaker, count }).unwrap();
    }
    take(&mut ledger, notice("told once"));
    assert_eq!(ledger.len(), 2);
    drop(ledger);
    fs::remove_dir_all(dir.path().join("ledger.new")).unwrap();
    let (ledger, left) = reopened(&dir);
    let ids: Vec<&str> = ledger
        .entries()
        .map(|(_, e)| e.notice.id.0.as_str())
        .collect();
    assert_eq!((ids, left), (vec!["kept", "told once"], Left::default()));
}
