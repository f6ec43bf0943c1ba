use super::*;
use crate::config::{Config, OutletKind};
use crate::notice::{NoticeKind, TaskName};
use std::fs;
use std::path::Path;

fn notice(body: &str) -> Notice {
    let task = TaskName::new("shop", "fix-42").unwrap();
    Notice::new(NoticeId("a".into()), task, NoticeKind::Complete, body)
}

fn read(toml: &str) -> Result<CommandConfig, String> {
    let text = format!("[[outlet]]\ntype = \"command\"\n{toml}");
    let config = Config::parse(&text, Path::new("notify.toml")).map_err(|e| e.to_string())?;
    let OutletKind::Command(command) = config.outlets[0].kind.clone() else {
        panic!("a command");
    };
    Ok(command)
}

fn command(toml: &str) -> Command {
    Command::new("command".into(), &read(toml).unwrap())
}

/// The example of `docs/notifications.md`.
fn macos() -> Command {
    let document = include_str!("../../../../../docs/notifications.md");
    let (_, from) = document.split_once("<!-- macos -->\n```toml\n").unwrap();
    let (example, _) = from.split_once("```").unwrap();
    let toml = example
        .replace("[[outlet]]", "")
        .replace("type = \"command\"", "");
    command(&toml)
}

/// Waits for a number in a file.
async fn written(pid: &Path) {
    while fs::read_to_string(pid).map_or(true, |text| !text.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the process whose number is in a file is gone. The kernel takes a moment; a zombie is ended, too.
async fn has_ended(pid: &Path) {
    let pid = fs::read_to_string(pid).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    for _ in 0..2000 {
        let text = fs::read_to_string(&stat).unwrap_or_default();
        if text.is_empty() || text.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it still runs");
}

#[test]
fn w126_on_macos_the_text_is_an_argument_and_never_script() {
    let hostile = "\" & (do shell script \"id\") & \"";
    let arguments = macos().arguments(&notice(hostile));
    assert_eq!(
        arguments,
        [
            "/usr/bin/osascript",
            "-e",
            "on run argv",
            "-e",
            "display notification (item 2 of argv) with title (item 1 of argv)",
            "-e",
            "end run",
            "fix-42: done",
            hostile,
        ]
    );
}

#[test]
fn w126_no_text_becomes_an_option() {
    let run = "run = [\"notify-send\", \"--\", \"{title}\", \"{text}\", \"{task}\"]";
    let arguments = command(run).arguments(&notice("-u critical"));
    assert_eq!(
        arguments[1..],
        ["--", "fix-42: done", " -u critical", "fix-42"]
    );
    let arguments = macos().arguments(&notice("--help"));
    assert_eq!(arguments.last().unwrap(), " --help");
}

#[test]
fn a_field_inside_a_larger_argument_is_refused() {
    let error = read("run = [\"sh\", \"-c\", \"echo {text}\"]").unwrap_err();
    assert!(error.contains("argument of its own"), "{error}");
    for bad in [
        "run = []",
        "run = [\"{title}\"]",
        "run = [\"a\"]\ntimeout = 0",
        "run = [\"a\"]\nat_once = 99",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn it_is_run_without_a_shell_and_its_failure_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let run = format!(
        "run = [\"/bin/sh\", \"-c\", 'printf \"%s|\" \"$@\" > {}', \"x\", \"{{title}}\", \"{{text}}\"]",
        seen.display()
    );
    let outlet = command(&run);
    outlet
        .show(&notice("$(id); `id`\n\"'"), None)
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(seen).unwrap(),
        "fix-42: done|$(id); `id`\n\"'|"
    );

    let failed = command("run = [\"/bin/sh\", \"-c\", \"echo why >&2; exit 3\"]");
    let error = failed.show(&notice("x"), None).await.unwrap_err();
    assert!(
        matches!(&error, OutletError::Unknown(text) if text.contains("why")),
        "{error}"
    );
    let later = command("run = [\"/bin/sh\", \"-c\", \"exit 75\"]");
    let error = later.show(&notice("x"), None).await.unwrap_err();
    assert!(matches!(error, OutletError::Unavailable(_)), "{error}");
    let missing = command("run = [\"/nonexistent/program\"]");
    let error = missing.show(&notice("x"), None).await.unwrap_err();
    assert!(matches!(error, OutletError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn one_that_does_not_end_is_ended_with_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let run = format!(
        "run = [\"/bin/sh\", \"-c\", 'sleep 600 & echo $! > {}; wait']\ntimeout = 1",
        pid.display()
    );
    let error = command(&run).show(&notice("x"), None).await.unwrap_err();
    assert!(error.to_string().contains("longer than 1 s"), "{error}");
    has_ended(&pid).await;
}

#[tokio::test]
async fn one_that_leaves_something_running_is_done_when_it_ends_itself() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    // The rest has its standard error, and is not waited for.
    let run = format!(
        "run = [\"/bin/sh\", \"-c\", 'sleep 600 & echo $! > {}']\ntimeout = 50",
        pid.display()
    );
    let (outlet, notice) = (command(&run), notice("x"));
    let shown = tokio::time::timeout(Duration::from_secs(20), outlet.show(&notice, None));
    assert_eq!(shown.await.unwrap(), Ok(None));
    let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    let left = Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(left, Signal::KILL).unwrap();
}

#[tokio::test]
async fn one_that_runs_when_the_bridge_ends_is_ended_with_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let run = format!(
        "run = [\"/bin/sh\", \"-c\", 'sleep 600 & echo $! > {}; wait']\ntimeout = 50",
        pid.display()
    );
    let (outlet, notice) = (command(&run), notice("x"));
    let mut showing = outlet.show(&notice, None);
    tokio::select! {
        _ = &mut showing => panic!("it runs for ten minutes"),
        () = written(&pid) => {}
    }
    drop(showing);
    has_ended(&pid).await;
}
