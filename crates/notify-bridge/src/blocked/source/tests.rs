use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;

use super::super::refusal::tests::line;
use super::*;
use crate::notice::Notice;

/// `line` with the time of now, plus seconds.
fn fresh(host: &str, seconds: i64) -> String {
    let at = i64::try_from(unix_now()).unwrap() + seconds;
    let at = jiff::Timestamp::from_second(at).unwrap();
    line(host, 443, "").replace("2026-11-20T22:00:00Z", &at.to_string())
}

/// A controller that prints these lines and stays.
fn controller(dir: &Path, lines: &[String]) -> Controller {
    let program = dir.join("agentnet");
    fs::write(dir.join("lines"), lines.join("\n") + "\n").unwrap();
    let text = format!(
        "#!/bin/sh\n[ \"$4\" = watch ] || exit 1\ncat {}/lines\nexec sleep 1000\n",
        dir.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Controller::find(Some(&program), "/state".as_ref())
}

async fn told(source: Source, noted: &Path, most: usize) -> Vec<Notice> {
    let (sender, mut receiver) = mpsc::channel(8);
    let nothing = |_: &str| {};
    let mut notices = Vec::new();
    let hear = async {
        while notices.len() < most {
            if let Some(Incoming::Show(notice)) = receiver.recv().await {
                notices.push(*notice);
            }
        }
    };
    tokio::select! {
        () = run(vec![source], noted.to_owned(), sender, &nothing) => panic!("the source ended"),
        () = hear => {}
    }
    notices
}

#[tokio::test]
async fn what_the_controller_prints_is_told_and_what_was_told_before_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let noted = dir.path().join("blocked");
    let lines = [
        fresh("old.example", -60),
        "no json".to_owned(),
        "x".repeat(LONGEST_LINE + 1),
        fresh("new.example", 1),
        fresh("newer.example", 20),
        fresh("last.example", 20),
    ];
    let source = Source::Controller(controller(dir.path(), &lines));
    let hosts = |notices: Vec<Notice>| -> Vec<String> {
        notices
            .into_iter()
            .filter_map(|notice| notice.about)
            .collect()
    };
    // Without a note nothing before this moment is told.
    let first = hosts(told(source, &noted, 3).await);
    assert_eq!(
        first,
        ["new.example:443", "newer.example:443", "last.example:443"]
    );
    // A note of long ago is not a reason to tell of yesterday.
    fs::write(&noted, "{\"newest\":5,\"told\":[]}").unwrap();
    let lines = [
        fresh("yesterday.example", -2 * 3600),
        fresh("old.example", -60),
    ];
    let source = Source::Controller(controller(dir.path(), &lines));
    assert_eq!(hosts(told(source, &noted, 1).await), ["old.example:443"]);
}

#[tokio::test]
async fn the_next_bridge_tells_nothing_again_of_what_this_one_told() {
    let dir = tempfile::tempdir().unwrap();
    let noted = dir.path().join("blocked");
    let lines = [fresh("a.example", 1), fresh("b.example", 1)];
    let source = Source::Controller(controller(dir.path(), &lines));
    let (sender, mut receiver) = mpsc::channel(8);
    let until_noted = async {
        while fs::read_to_string(&noted).map_or(true, |text| !text.contains("b.example")) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let nothing = |_: &str| {};
    tokio::select! {
        () = run(vec![source], noted.clone(), sender, &nothing) => panic!("the source ended"),
        () = until_noted => {}
    }
    assert_eq!(std::iter::from_fn(|| receiver.try_recv().ok()).count(), 2);
    // Of the same second, and one that is new.
    let lines = [lines.as_slice(), &[fresh("c.example", 2)]].concat();
    let source = Source::Controller(controller(dir.path(), &lines));
    let next = told(source, &noted, 1).await;
    assert_eq!(next[0].about.as_deref(), Some("c.example:443"));
}

#[test]
fn a_clock_that_is_set_back_does_not_make_what_happens_now_look_old() {
    let mut begin = Begin {
        since: 1000,
        before: 1000,
    };
    assert!(begin.is_before(999, 1001));
    assert!(!begin.is_before(1000, 1001));
    assert!(!begin.is_before(500, 500));
    assert!(begin.is_before(499, 501));
    // And put right again, nothing is told twice for it.
    assert!(!begin.is_before(1000, 1000));
}

#[tokio::test(start_paused = true)]
async fn one_that_closes_its_output_and_lives_on_is_ended_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("agentnet");
    fs::write(&program, "#!/bin/sh\nexec sleep 1000 >&-\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let controller = Controller::find(Some(&program), "/state".as_ref());
    let (seen, _sightings) = mpsc::channel(1);
    let why = watch(&controller, &seen).await;
    assert!(why.contains("nothing to say any more"), "{why}");
}

#[test]
fn a_line_without_an_end_costs_no_memory_and_the_next_one_is_read() {
    let mut lines = Lines::default();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..1024 {
        assert!(lines.feed(&piece).is_empty());
        assert!(lines.line.capacity() <= 2 * LONGEST_LINE);
    }
    assert_eq!(lines.feed(b"\nnext\n"), [b"next".to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_not_there_is_complained_of_and_tried_again_ever_slower() {
    let source = Source::Controller(Controller::find(
        Some("/nonexistent/agentnet".as_ref()),
        "/state".as_ref(),
    ));
    let (seen, _sightings) = mpsc::channel(1);
    let said = Mutex::new(Vec::new());
    let trouble = |text: &str| said.lock().unwrap().push(text.to_owned());
    let patience = Duration::from_secs(600);
    let followed = timeout(patience, follow(&source, seen, &trouble));
    assert!(followed.await.is_err());
    let said = said.into_inner().unwrap();
    assert!((10..30).contains(&said.len()), "{}", said.len());
    assert!(said[0].contains("--agentnet names it"), "{}", said[0]);
}

#[tokio::test]
async fn a_proxys_own_events_are_told_without_buttons() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let event: serde_json::Value = serde_json::from_str(&fresh("pypi.org", 1)).unwrap();
    let event = format!("{}\n", event["event"]);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 1024];
        let length = stream.read(&mut head).await.unwrap();
        assert!(head[..length].starts_with(b"GET /events HTTP/1.1\r\n"));
        let chunk = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n",
            event.len()
        );
        stream.write_all(chunk.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let dir = tempfile::tempdir().unwrap();
    let noted = dir.path().join("blocked");
    tokio::select! {
        () = serve => {}
        notices = told(Source::Events(url.parse().unwrap()), &noted, 1) => {
            assert!(!notices[0].asks());
            assert_eq!(notices[0].task.to_string(), "proxy/task");
            assert!(notices[0].body.as_str().starts_with("pypi.org:443"), "{}", notices[0].body);
        }
    }
}
