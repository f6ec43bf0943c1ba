//! Results of tasks on a fake engine: what is there, what is bounded, and what is missing with its reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::path::{Path, PathBuf};

use agentnet_controller::engine::Output;
use agentnet_controller::record::Record;
use agentnet_controller::results::{Collector, Ended, Outcome, Report};
use agentnet_controller::spec::ContainerSpec;
use agentnet_controller::workspace::{PrivateGit, Workspace};
use harness::{Bed, said};

const EVENT: &str = r#"{"v":1,"time":"2026-11-20T22:00:00Z","id":"7","event":"decision","listener":"a","client":"","protocol":"connect","method":"CONNECT","host":"a.example","port":443,"verdict":"allow","reason":"allowed","up":0,"down":0,"ms":1}"#;

/// Answers as the extractor's scripts do, for a tree with one changed file.
fn extractor(spec: &ContainerSpec, input: &[u8]) -> Output {
    let script = &spec.command[0];
    if script.contains("changed ACMT") {
        return said("f 6 ./src/a b.rs\0x 0 ./gone.txt\0p 0 ./fifo\0l 3 ./link\0");
    }
    if script.contains("update-index --add") {
        assert_eq!(input, b"src/a b.rs\0link\0gone.txt\0");
        return said("diff --git a/src/a b.rs b/src/a b.rs\n");
    }
    if script.contains("tar --create") {
        let mut archive = tar::Builder::new(Vec::new());
        for path in input
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty())
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(6);
            header.set_mode(0o644);
            let path = std::str::from_utf8(path).unwrap();
            archive
                .append_data(&mut header, path, "hello\n".as_bytes())
                .unwrap();
        }
        return Output {
            code: 0,
            stdout: archive.into_inner().unwrap(),
            stderr: Vec::new(),
        };
    }
    if script.contains("planted \"$1\"") {
        return said("shell\tsub/.envrc\nnonsense\neditor\t.vscode/tasks.json\n");
    }
    if script.contains("git status") {
        return said(" M src/a b.rs\n");
    }
    if script.contains("git log") {
        return said("aa\0\0A <a@b>\0today\0a commit\0\n");
    }
    if script.contains("format-patch") {
        return said("From aa\n");
    }
    if script.contains("find . -xdev") {
        return said("f 6 ./reports/r.xml\0f 6 ./reports/deep/r.xml\0");
    }
    panic!("an unknown script: {script}");
}

/// A task with git, up; and where its results go.
async fn task(bed: &Bed) -> (Record, PathBuf) {
    let setup = bed.setup("t", "[results]\noutputs = [\"reports/*.xml\"]");
    let up = bed.up(&setup).await.unwrap();
    let mut record = up.record;
    // As a worktree's: the harness makes none.
    record.workspace = Workspace::Worktree {
        checkout: bed.directory.path().to_owned(),
        tree: bed.directory.path().join("files"),
        branch: "agentnet/t".into(),
        base: "0".repeat(40),
        owner: None,
        git: Box::new(PrivateGit {
            directory: bed.directory.path().join("git"),
            objects: Vec::new(),
            format: "sha1".into(),
            promisor: None,
            own: false,
            volume: None,
            name: None,
            modules: Vec::new(),
        }),
        source: None,
        volume: None,
    };
    bed.engine.prints(
        record
            .container(agentnet_controller::labels::Role::Proxy)
            .unwrap(),
        &format!("hello\n{EVENT}\n"),
    );
    bed.engine.prints(
        record
            .container(agentnet_controller::labels::Role::Agent)
            .unwrap(),
        "working\n",
    );
    (record, bed.directory.path().join("out"))
}

async fn collect(bed: &Bed, record: &Record, directory: &Path) -> Report {
    let collector = Collector::new(&bed.engine, &bed.state, record, directory);
    let collector = collector.await.unwrap();
    let outcome = Outcome {
        command: vec!["make".into()],
        ended: Ended::TimedOut,
        code: None,
        why: Some("it took longer than 1 s".into()),
    };
    Box::pin(collector.collect(Some(outcome))).await.unwrap()
}

fn missing(report: &Report) -> Vec<&str> {
    report
        .left_out
        .iter()
        .map(|left| left.what.as_str())
        .collect()
}

#[tokio::test]
async fn everything_is_there_and_what_is_not_a_file_is_named() {
    let bed = Bed::docker28();
    bed.engine.on_run(extractor);
    let (record, out) = task(&bed).await;
    let before = bed.engine.everything();
    let report = Box::pin(collect(&bed, &record, &out)).await;
    assert_eq!(bed.engine.everything(), before, "no extractor stays");
    let files: Vec<_> = report.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        files,
        [
            "changes.patch",
            "commits.json",
            "commits.mbox",
            "decisions.jsonl",
            "environment.json",
            "git-status.txt",
            "logs/agent.log",
            "logs/proxy.log",
            "modified-files/src/a b.rs",
            "network.json",
            "outputs/reports/r.xml",
            "verify.json",
        ]
    );
    assert_eq!(missing(&report), ["modified-files/link", "fifo"]);
    assert_eq!(report.changed_files, Some(3));
    assert_eq!((report.commits, report.hosts_reached), (Some(1), 1));
    assert_eq!(report.sealed, Some(true));
    let planted: Vec<_> = report.planted.iter().flatten().collect();
    let planted: Vec<_> = planted
        .iter()
        .map(|planted| planted.path.as_str())
        .collect();
    assert_eq!(planted, [".vscode/tasks.json", "sub/.envrc"]);
    let read = fs_err::read_to_string(out.join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&read).unwrap(), report);
    let events = fs_err::read_to_string(out.join("decisions.jsonl")).unwrap();
    assert_eq!(events, format!("{EVENT}\n"));
}

#[tokio::test]
async fn a_part_that_fails_keeps_no_other_back_and_leaves_no_half() {
    let bed = Bed::docker28();
    bed.engine.on_run(|spec, input| {
        if spec.command[0].contains("update-index --add") || spec.command[0].contains("git status")
        {
            return Output {
                code: 128,
                stdout: b"half".to_vec(),
                stderr: b"fatal: a bad object\n".to_vec(),
            };
        }
        extractor(spec, input)
    });
    let (record, out) = task(&bed).await;
    let report = Box::pin(collect(&bed, &record, &out)).await;
    assert!(!out.join("changes.patch").exists());
    assert!(!out.join("git-status.txt").exists());
    assert!(out.join("modified-files/src/a b.rs").exists());
    let missing = missing(&report);
    assert!(
        missing.contains(&"changes.patch") && missing.contains(&"git-status.txt"),
        "{missing:?}"
    );
    let why: Vec<_> = report
        .left_out
        .iter()
        .map(|left| left.why.as_str())
        .collect();
    assert!(
        why.iter().any(|why| why.contains("a bad object")),
        "{why:?}"
    );
}

#[tokio::test]
async fn a_task_that_is_down_still_has_its_files() {
    let bed = Bed::docker28();
    bed.engine.on_run(extractor);
    let (mut record, out) = task(&bed).await;
    for place in &mut record.places {
        place.container.push_str("-gone");
    }
    let report = Box::pin(collect(&bed, &record, &out)).await;
    assert!(out.join("changes.patch").exists());
    assert!(report.planted.is_some(), "{report:?}");
    let missing = missing(&report);
    assert!(
        missing.contains(&"decisions.jsonl") && missing.contains(&"logs/agent.log"),
        "{missing:?}"
    );
    let network = fs_err::read_to_string(out.join("network.json")).unwrap();
    assert!(network.contains("\"complete\": false"), "{network}");
}

#[tokio::test]
async fn results_go_into_a_directory_of_their_own() {
    let bed = Bed::docker28();
    bed.engine.on_run(extractor);
    let (record, out) = task(&bed).await;
    fs_err::create_dir(&out).unwrap();
    fs_err::write(out.join("mine"), "").unwrap();
    for directory in [out.clone(), record.workspace.files().join("results")] {
        let collector = Collector::new(&bed.engine, &bed.state, &record, &directory);
        collector.await.map(drop).unwrap_err();
    }
    assert_eq!(fs_err::read_dir(&out).unwrap().count(), 1);
}
