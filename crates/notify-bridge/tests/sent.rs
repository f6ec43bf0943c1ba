//! What the two senders leave is what the bridge reads: `agentnet-notify send` and `notify.sh`, in
//! every shell that is here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use agentnet_notify::{Alert, Kind, read};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../images/gate/notify.sh");

fn spool() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["out", "in"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    dir
}

/// The shells that are here; `sh` always is.
fn shells() -> Vec<Vec<&'static str>> {
    let all = [
        vec!["sh"],
        vec!["dash"],
        vec!["bash"],
        vec!["bash", "--posix"],
        vec!["busybox", "sh"],
    ];
    let is_here = |words: &Vec<&str>| {
        let tried = Command::new(words[0])
            .args(&words[1..])
            .args(["-c", ":"])
            .status();
        words[0] == "sh" || tried.is_ok()
    };
    all.into_iter().filter(is_here).collect()
}

fn script(shell: &[&str], spool: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(SCRIPT).args(words);
    command.env("AGENTNET_NOTIFY", spool).output().unwrap()
}

fn program(spool: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentnet-notify"));
    command
        .args(words)
        .env("AGENTNET_NOTIFY", spool)
        .output()
        .unwrap()
}

/// The one alert that lies there, taken away.
fn taken(spool: &Path) -> Alert {
    let files: Vec<PathBuf> = fs::read_dir(spool.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [file] = files.as_slice() else {
        panic!("one alert and nothing else: {files:?}");
    };
    let (_, alert) = read(file).unwrap();
    fs::remove_file(file).unwrap();
    alert
}

#[test]
fn every_text_arrives_as_it_was_said() {
    let spool = spool();
    let every_control: String = (1_u8..32).chain([127]).map(char::from).collect();
    let texts = [
        "all green",
        "a\"b\\c'd`e$f%s\\n",
        "-n",
        "line\nline\n\n\tend",
        "gr\u{fc}n \u{20ac} \u{1f600}",
        "{\"v\":1}",
        "*",
        &format!("x{every_control}x"),
    ];
    for text in texts {
        for kind in Kind::ALL {
            let expected = Alert {
                kind: *kind,
                text: text.to_owned(),
                choices: Vec::new(),
            };
            let sent = program(spool.path(), &["send", kind.as_str(), "--", text]);
            assert_eq!(sent.status.code(), Some(0), "{sent:?}");
            assert_eq!(taken(spool.path()), expected);
        }
        for shell in shells() {
            let sent = script(&shell, spool.path(), &["error", text]);
            assert_eq!(sent.status.code(), Some(0), "{shell:?}: {sent:?}");
            assert_eq!(taken(spool.path()).text, text, "{shell:?}");
        }
    }
}

#[test]
fn a_long_text_is_cut_between_words_and_never_within_a_letter() {
    let spool = spool();
    let words = "\u{fc}berlang ".repeat(2_000);
    for shell in shells() {
        script(&shell, spool.path(), &["info", &words]);
        let text = taken(spool.path()).text;
        assert!(text.ends_with("\u{fc}berlang\u{2026}"), "{shell:?}: {text}");
        assert!((900..1_100).contains(&text.len()), "{shell:?}: {text}");
        let endless = script(&shell, spool.path(), &["info", &"\u{fc}".repeat(2_000)]);
        assert_eq!(endless.status.code(), Some(2), "{shell:?}: {endless:?}");
    }
}

#[test]
fn wrong_words_and_a_missing_spool_have_codes_of_their_own() {
    type Sender = Box<dyn Fn(&Path, &[&str]) -> Output>;
    let spool = spool();
    let mut senders: Vec<Sender> = vec![Box::new(|at, words| {
        program(at, &[&["send"], words].concat())
    })];
    for shell in shells() {
        senders.push(Box::new(move |at, words| script(&shell, at, words)));
    }
    for sender in senders {
        for words in [&["blocked", "x"][..], &["done", "x"], &["info"], &[]] {
            let sent = sender(spool.path(), words);
            assert_eq!(sent.status.code(), Some(2), "{words:?}: {sent:?}");
            assert!(!sent.stderr.is_empty() && sent.stdout.is_empty());
        }
        let nowhere = sender(Path::new("/nonexistent"), &["info", "x"]);
        assert_eq!(nowhere.status.code(), Some(3), "{nowhere:?}");
    }
    assert_eq!(fs::read_dir(spool.path().join("out")).unwrap().count(), 0);
}

#[test]
fn a_question_that_nobody_answers_ends_with_124_and_is_taken_back() {
    let spool = spool();
    let words = ["ask", "Which?", "--choices", "yes,no", "--timeout", "0s"];
    let asked = program(spool.path(), &words);
    assert_eq!(asked.status.code(), Some(124), "{asked:?}");
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(said.contains("agentnet-notify watch"), "{said}");
    assert_eq!(fs::read_dir(spool.path().join("out")).unwrap().count(), 0);
    let many = program(spool.path(), &["ask", "?", "--choices", "1,2,3,4,5"]);
    assert_eq!(many.status.code(), Some(2), "{many:?}");
}

#[test]
fn a_hook_never_fails_whatever_it_is_told() {
    let spool = spool();
    for words in [
        &["hook", "claude", "no json"][..],
        &["hook", "nobody"],
        &["hook"],
        &["hook", "-x", "--y"],
        &["hook", "codex", "{\"type\":1}", "more"],
    ] {
        let ended = program(spool.path(), words);
        assert_eq!(ended.status.code(), Some(0), "{words:?}: {ended:?}");
        assert!(
            ended.stdout.is_empty() && ended.stderr.is_empty(),
            "{ended:?}"
        );
    }
    let turn = "{\"type\":\"agent-turn-complete\",\"last-assistant-message\":\"Renamed.\"}";
    program(spool.path(), &["hook", "codex", turn]);
    assert_eq!(taken(spool.path()).text, "Renamed.");
}
