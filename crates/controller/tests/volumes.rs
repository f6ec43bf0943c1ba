//! A task on an engine that maps users: its files are in volumes of the engine, and the host has an empty worktree.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use agentnet_controller::engine::fake::{FakeEngine, Fault};
use agentnet_controller::engine::{EngineError, Kind};
use agentnet_controller::exit::Exit;
use agentnet_controller::facts::Facts;
use agentnet_controller::gc::collect;
use agentnet_controller::plan::Step;
use agentnet_controller::record::{Phase, Record};
use agentnet_controller::spec::{Capability, ContainerSpec};
use agentnet_controller::ssh_agent::{Keys, SshAgent};
use agentnet_controller::sync::{LARGEST, Uncommitted, sync};
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::up::{Setup, dry_run};
use agentnet_controller::workspace::{Fate, GitEntry, Repository, Workspace};

use harness::scene::{git, repository};
use harness::{Bed, id, stand_in};

const FILES: &str = "agentnet-shop-t-files";
const GIT: &str = "agentnet-shop-t-git";

fn mapping() -> Facts {
    Facts {
        remaps_users: true,
        root_outside: Some((100_000, 100_000)),
        ..FakeEngine::docker28()
    }
}

/// A repository, an engine that maps users, and directories that stand for its volumes.
struct Place {
    bed: Bed,
    root: PathBuf,
}

impl Place {
    fn new() -> Place {
        let bed = Bed::new(mapping());
        let init = ["init", "--quiet", "--initial-branch=main", "shop"];
        let root = repository(bed.directory.path(), &init);
        fs_err::write(root.join("run.sh"), "#!/bin/sh\n").unwrap();
        fs_err::set_permissions(root.join("run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        let deep = root.join("deep/".repeat(40));
        fs_err::create_dir_all(&deep).unwrap();
        fs_err::write(deep.join("file"), "far down\n").unwrap();
        git(&root, &["add", "--all"]);
        git(&root, &["commit", "--quiet", "-m", "second"]);
        let volumes = bed.directory.path().join("volumes");
        bed.engine.on_run(move |spec: &ContainerSpec, input| {
            stand_in::run_on(Some(&volumes), spec, input)
        });
        Place { bed, root }
    }

    async fn setup(&self) -> Setup {
        let repository = Repository::find(&self.root, &self.bed.state).await.unwrap();
        let dir = self.bed.state.task(&id("t"));
        let workspace = Workspace::worktree(&repository, &id("t"), &dir).await;
        Setup {
            workspace: workspace.unwrap(),
            ..self.bed.setup("t", "")
        }
    }

    async fn up(&self) -> Record {
        self.bed.up(&self.setup().await).await.unwrap().record
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.bed.directory.path().join("volumes").join(name)
    }

    /// git as the agent has it.
    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.volume(FILES))
            .env("GIT_DIR", self.volume(GIT))
            .env("GIT_WORK_TREE", self.volume(FILES))
            .args(["-c", "user.name=a", "-c", "user.email=a@b.example"])
            .args(args)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {words}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn down(&self, changes: Changes) -> teardown::Report {
        let record = Record::read(&self.bed.state.task(&id("t"))).unwrap();
        let workspace = record.as_ref().map(|record| &record.workspace);
        let (engine, state) = (&self.bed.engine, &self.bed.state);
        let report = teardown::task(engine, state, &id("t"), workspace, changes).await;
        assert_eq!(report.errors, [""; 0]);
        report
    }

    /// As before the first `up`.
    fn assert_empty(&self, when: &str) {
        self.bed.assert_empty(when);
        let worktrees = git(&self.root, &["worktree", "list"]);
        assert_eq!(worktrees.lines().count(), 1, "{when}: {worktrees}");
        assert_eq!(
            git(&self.root, &["for-each-ref", "refs/agentnet/pin"]),
            "",
            "{when}"
        );
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<fs_err::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(|e| name(e).into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_files_are_in_volumes_as_they_were_made_and_the_worktree_is_empty() {
    let place = Place::new();
    let record = place.up().await;
    let files = place.volume(FILES);
    assert_eq!(names(record.workspace.files()), [".git"]);
    assert_eq!(names(&files), [".git", "README", "deep", "link", "run.sh"]);
    let text = |path: &str| fs_err::read_to_string(files.join(path)).unwrap();
    assert_eq!(text(".git"), "gitdir: /agentnet/git\n");
    assert_eq!(text(&format!("{}file", "deep/".repeat(40))), "far down\n");
    assert_eq!(
        fs_err::read_link(files.join("link")).unwrap(),
        Path::new("/etc/passwd")
    );
    let mode = |path: &str| fs_err::metadata(files.join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("run.sh"), mode("README") & 0o600), (0o755, 0o600));
    // The agent's own, and everything that git needs is there.
    let owner = fs_err::metadata(&files).unwrap().uid();
    assert_eq!(Some(owner), record.owner.map(|(uid, _)| uid));
    assert_eq!(place.git(&["status", "--porcelain"]), "");
    assert_eq!(place.git(&["log", "--format=%s"]), "second\nfirst");
    assert_eq!(place.git(&["fsck", "--no-progress"]), "");
}

#[tokio::test]
async fn no_directory_of_the_host_that_the_agent_writes_is_mounted_but_its_own_spool() {
    let place = Place::new();
    let setup = place.setup().await;
    let progress = agentnet_controller::output::Progress::silent();
    let (engine, state) = (&place.bed.engine, &place.bed.state);
    let (plan, _) = dry_run(engine, state, &setup, &progress).await.unwrap();
    let mut containers = plan.steps.iter().filter_map(|planned| {
        let Step::Container(spec) = &planned.step else {
            return None;
        };
        Some(spec)
    });
    let agent = containers.find(|spec| spec.name.ends_with("-agent"));
    let agent = agent.unwrap();
    let text = serde_json::to_value(&agent.mounts).unwrap();
    for mount in text.as_array().unwrap() {
        let writable = mount["writable"] == true;
        let spool = mount["target"] == "/agentnet/notify/out";
        assert!(mount["kind"] != "bind" || !writable || spool, "{mount}");
        let source = mount["source"].as_str().unwrap_or_default();
        assert!(!source.contains("shop/.git"), "{mount}");
    }
    assert_eq!(agent.capabilities, [] as [Capability; 0]);
}

#[tokio::test]
async fn commits_come_back_and_down_leaves_nothing() {
    let place = Place::new();
    let record = place.up().await;
    fs_err::write(place.volume(FILES).join("done"), "1\n").unwrap();
    place.git(&["add", "--all"]);
    place.git(&["commit", "--quiet", "-m", "done"]);
    let tip = place.git(&["rev-parse", "HEAD"]);
    let (engine, state) = (&place.bed.engine, &place.bed.state);
    sync(engine, state, &record, Uncommitted::Leave, LARGEST)
        .await
        .unwrap();
    assert_eq!(git(&place.root, &["rev-parse", "agentnet/t"]), tip);
    let report = place.down(Changes::Keep).await;
    assert_eq!(report.fate, Some(Fate::Removed));
    place.assert_empty("down");
    assert_eq!(git(&place.root, &["rev-parse", "agentnet/t"]), tip);
}

#[tokio::test]
async fn what_was_not_committed_is_saved_and_kept_in_the_volumes_for_the_next_up() {
    let place = Place::new();
    place.up().await;
    fs_err::write(place.volume(FILES).join("half"), "done\n").unwrap();
    let report = place.down(Changes::Keep).await;
    assert!(matches!(report.fate, Some(Fate::Kept(_))), "{report:?}");
    let volume = |name: &str| (Kind::Volume, name.to_owned());
    assert_eq!(place.bed.engine.everything(), [volume(FILES), volume(GIT)]);
    assert_eq!(
        git(&place.root, &["show", "refs/agentnet/wip/t:half"]),
        "done"
    );
    // Nobody takes it for a leftover.
    let (found, errors) = collect(&place.bed.engine, &place.bed.state, true)
        .await
        .unwrap();
    assert!(
        found.is_empty() && errors.is_empty(),
        "{found:?} {errors:?}"
    );

    let record = place.up().await;
    assert_eq!(record.phase, Phase::Up);
    assert_eq!(place.git(&["status", "--porcelain"]), "?? half");

    place.down(Changes::Discard).await;
    place.assert_empty("discarded");
}

#[tokio::test]
async fn kept_files_are_taken_up_only_where_they_are() {
    let place = Place::new();
    place.up().await;
    fs_err::write(place.volume(FILES).join("half"), "done\n").unwrap();
    place.down(Changes::Keep).await;
    let setup = place.setup().await;

    // The same socket, without userns-remap by now.
    let plain = harness::stocked(FakeEngine::docker28());
    let up = |engine| {
        let (state, setup) = (&place.bed.state, &setup);
        async move {
            let cancel = tokio_util::sync::CancellationToken::new();
            let progress = agentnet_controller::output::Progress::silent();
            let up = agentnet_controller::up::up(engine, state, setup, &cancel, &progress).await;
            up.unwrap_err().to_string()
        }
    };
    let error = up(&plain).await;
    assert!(
        error.contains(FILES) && error.contains("--discard"),
        "{error}"
    );
    assert_eq!(plain.everything(), []);

    // It maps users, and the volumes are gone.
    let fresh = harness::stocked(mapping());
    let error = up(&fresh).await;
    assert!(
        error.contains(FILES) && error.contains("is gone"),
        "{error}"
    );
    assert_eq!(fresh.everything(), []);
}

#[tokio::test]
async fn a_failure_at_any_call_leaves_nothing() {
    let calls = {
        let place = Place::new();
        place.up().await;
        place.bed.engine.calls()
    };
    for call in 0..calls {
        let place = Place::new();
        place
            .bed
            .engine
            .fault_at(call, Fault::Refuse(EngineError::Broken("broken".into())));
        let error = place.bed.up(&place.setup().await).await.unwrap_err();
        place.bed.engine.heal();
        if error.exit() == Exit::LeftBehind {
            collect(&place.bed.engine, &place.bed.state, true)
                .await
                .unwrap();
        }
        place.assert_empty(&format!("failed at call {call}: {error}"));
    }
}

#[tokio::test]
async fn a_kill_at_any_call_leaves_nothing_after_gc() {
    let calls = {
        let place = Place::new();
        place.up().await;
        place.bed.engine.calls()
    };
    // Each waits for a second: while the volumes are made, filled and used, and at the end.
    for call in [1, 3, 6, calls / 2, calls - 1] {
        let place = Place::new();
        place.bed.engine.fault_at(call, Fault::Hang);
        let setup = place.setup().await;
        let killed = tokio::time::timeout(std::time::Duration::from_secs(1), place.bed.up(&setup));
        assert!(killed.await.is_err(), "call {call} did not hang");
        place.bed.engine.heal();
        collect(&place.bed.engine, &place.bed.state, true)
            .await
            .unwrap();
        place.assert_empty(&format!("killed at call {call}"));
    }
}

#[tokio::test]
async fn what_both_sides_would_write_is_refused_before_anything_exists() {
    type Change = fn(&mut Setup, &Bed);
    let cases: [(&str, Change); 4] = [
        ("--workspace", |setup, bed| {
            setup.workspace = Workspace::Directory {
                path: bed.directory.path().join("files"),
                git: GitEntry::None,
            };
        }),
        ("login", |setup, bed| {
            let place = bed.directory.path().join("login");
            setup.handover.login = Some((agentnet_controller::agents::Agent::Claude, place));
        }),
        ("SSH agent", |setup, bed| {
            setup.handover.ssh_agent = Some(SshAgent {
                program: bed.directory.path().join("agentnet"),
                socket: bed.directory.path().join("agent.sock"),
                keys: Keys::All,
            });
        }),
        ("--open", |setup, _| setup.opens = true),
    ];
    for (word, change) in cases {
        let place = Place::new();
        let mut setup = place.setup().await;
        change(&mut setup, &place.bed);
        let error = place.bed.up(&setup).await.unwrap_err();
        assert_eq!(error.exit(), Exit::Engine, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("userns-remap") && text.contains(word),
            "{text}"
        );
        place.assert_empty(word);
    }

    let silent = Facts {
        root_outside: None,
        ..mapping()
    };
    let bed = Bed::new(silent);
    let error = bed.up(&bed.setup("t", "")).await.unwrap_err().to_string();
    assert!(error.contains("does not tell whom"), "{error}");
    bed.assert_empty("silent");
}
