//! A task's worktree in a real git repository.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use agentnet_controller::engine::EngineError;
use agentnet_controller::engine::fake::Fault;
use agentnet_controller::error::Error;
use agentnet_controller::gc::collect;
use agentnet_controller::record::Phase;
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::up::Setup;
use agentnet_controller::workspace::{Fate, Repository, Workspace};
use futures_util::future::join_all;
use harness::{Bed, config, id};

fn git(directory: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["-c", "user.name=a", "-c", "user.email=a@b.example"])
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with one commit.
fn repository(bed: &Bed) -> PathBuf {
    let root = bed.directory.path().join("shop");
    fs_err::create_dir(&root).unwrap();
    git(&root, &["init", "--quiet", "--initial-branch=main"]);
    fs_err::write(root.join("README"), "hello").unwrap();
    git(&root, &["add", "README"]);
    git(&root, &["commit", "--quiet", "-m", "first"]);
    fs_err::canonicalize(root).unwrap()
}

async fn setup(bed: &Bed, root: &Path) -> Setup {
    let repository = Repository::find(root, &bed.state).await.unwrap();
    let dir = bed.state.task(&id("t"));
    let workspace = Workspace::worktree(&repository, &id("t"), &dir)
        .await
        .unwrap();
    Setup {
        workspace,
        ..bed.setup("t", "")
    }
}

async fn down(bed: &Bed, workspace: &Workspace, changes: Changes) -> Option<Fate> {
    let report = teardown::task(&bed.engine, &bed.state, &id("t"), Some(workspace), changes).await;
    assert_eq!(report.errors, [""; 0]);
    report.fate
}

#[tokio::test]
async fn an_unchanged_tree_goes_with_its_task_and_takes_its_branch_along() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let before = git(&root, &["branch", "--all"]);
    let setup = setup(&bed, &root).await;
    bed.up(&setup).await.unwrap();
    assert_eq!(
        fs_err::read_to_string(setup.workspace.files().join("README")).unwrap(),
        "hello"
    );
    assert!(git(&root, &["worktree", "list"]).contains("[agentnet/t]"));
    assert_eq!(
        down(&bed, &setup.workspace, Changes::Keep).await,
        Some(Fate::Removed)
    );
    bed.assert_empty("after down");
    assert_eq!(git(&root, &["branch", "--all"]), before);
    assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1);
}

#[tokio::test]
async fn what_a_task_writes_into_its_git_directory_counts_for_its_ceiling() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let mut setup = setup(&bed, &root).await;
    setup.config = config("[agent]\ndisk = \"10MiB\"\n");
    let record = bed.up(&setup).await.unwrap().record;
    let dir = bed.state.task(&id("t"));
    agentnet_controller::disk::begin(&bed.engine, &record, &dir).await;
    fs_err::write(dir.git().join("objects/flood"), vec![1; 12 << 20]).unwrap();
    let error = agentnet_controller::disk::exceeded(&bed.engine, &record, &dir).await;
    let error = error.to_string();
    assert!(error.contains("it wrote 12 MiB to the disk"), "{error}");
    down(&bed, &setup.workspace, Changes::Discard).await;
}

#[tokio::test]
async fn a_changed_tree_is_kept_taken_up_again_and_goes_when_told() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let setup = setup(&bed, &root).await;
    bed.up(&setup).await.unwrap();
    let work = setup.workspace.files().join("work");
    write_later(&work, setup.workspace.files());
    let kept = Fate::Kept(setup.workspace.files().to_owned());
    assert_eq!(
        down(&bed, &setup.workspace, Changes::Keep).await,
        Some(kept.clone())
    );
    assert_eq!(bed.engine.everything(), []);
    // The checkout moves on; the task's tree stays where it was.
    git(
        &root,
        &["commit", "--quiet", "--allow-empty", "-m", "second"],
    );
    bed.up(&setup).await.unwrap();
    assert_eq!(fs_err::read_to_string(&work).unwrap(), "done");
    assert_eq!(
        down(&bed, &setup.workspace, Changes::Keep).await,
        Some(kept)
    );
    assert_eq!(
        down(&bed, &setup.workspace, Changes::Discard).await,
        Some(Fate::Removed)
    );
    bed.assert_empty("after --discard");
}

#[tokio::test]
async fn the_branch_of_a_kept_tree_goes_too_when_the_checkout_has_moved_on() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let up = bed.up(&setup(&bed, &root).await).await.unwrap();
    let tree = up.record.workspace.files().to_owned();
    write_later(&tree.join("new"), &tree);
    down(&bed, &up.record.workspace, Changes::Keep).await;
    git(
        &root,
        &["commit", "--quiet", "--allow-empty", "-m", "second"],
    );
    let up = bed.up(&setup(&bed, &root).await).await.unwrap();
    down(&bed, &up.record.workspace, Changes::Discard).await;
    assert_eq!(git(&root, &["branch", "--list", "agentnet/*"]), "");
}

#[tokio::test]
async fn worktrees_of_one_repository_are_made_and_removed_at_the_same_time() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let repository = Repository::find(&root, &bed.state).await.unwrap();
    for _ in 0..3 {
        let names: Vec<_> = (0..12).map(|n| id(&format!("t{n}"))).collect();
        let all = join_all(names.iter().map(|id| async {
            let dir = bed.state.task(id);
            let tree = Workspace::worktree(&repository, id, &dir).await.unwrap();
            fs_err::create_dir_all(dir.root()).unwrap();
            tree.prepare().await.unwrap();
            tree
        }));
        let all = all.await;
        join_all(
            all.iter()
                .map(|tree| async { tree.dismantle(true).await.unwrap() }),
        )
        .await;
    }
    assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1);
    assert_eq!(git(&root, &["branch", "--list", "agentnet/*"]), "");
}

#[tokio::test]
async fn gc_keeps_a_changed_tree_and_says_where() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let mut up = bed.up(&setup(&bed, &root).await).await.unwrap();
    let tree = up.record.workspace.files().to_owned();
    write_later(&tree.join("new"), &tree);
    up.record.phase = Phase::Partial;
    up.record.write(&bed.state.task(&id("t"))).unwrap();
    let (found, _) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!(found[0].kept, Some(tree.clone()));
    assert!(!found[0].files && tree.join("new").exists());
    let (found, _) = collect(&bed.engine, &bed.state, true).await.unwrap();
    assert_eq!(found, []);
}

/// Change times tick with a coarse clock: write until the change is later than the marker.
fn write_later(path: &Path, tree: &Path) {
    use std::os::unix::fs::MetadataExt;
    let time = |path: &Path| {
        let meta = fs_err::metadata(path).unwrap();
        (meta.ctime(), meta.ctime_nsec())
    };
    let made = time(&tree.with_extension("made"));
    loop {
        fs_err::write(path, "done").unwrap();
        if time(path) > made {
            return;
        }
    }
}

#[tokio::test]
async fn a_branch_with_commits_of_its_own_stays() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let setup = setup(&bed, &root).await;
    bed.up(&setup).await.unwrap();
    let tree = git(&root, &["rev-parse", "HEAD^{tree}"]);
    let commit = git(&root, &["commit-tree", &tree, "-p", "HEAD", "-m", "work"]);
    git(&root, &["update-ref", "refs/heads/agentnet/t", &commit]);
    down(&bed, &setup.workspace, Changes::Keep).await;
    assert_eq!(git(&root, &["rev-parse", "agentnet/t"]), commit);
}

#[tokio::test]
async fn a_failed_up_leaves_neither_tree_nor_branch() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let setup = setup(&bed, &root).await;
    bed.engine
        .fault_at(6, Fault::Refuse(EngineError::Broken("no".into())));
    bed.up(&setup).await.unwrap_err();
    bed.assert_empty("after a failure");
    assert_eq!(git(&root, &["branch", "--all"]), "* main");
    assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1);
}

#[tokio::test]
async fn the_users_hooks_do_not_run_in_a_tasks_tree() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::docker28();
    let root = repository(&bed);
    let hook = root.join(".git/hooks/post-checkout");
    fs_err::create_dir_all(hook.parent().unwrap()).unwrap();
    let ran = bed.directory.path().join("ran");
    fs_err::write(&hook, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    fs_err::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    bed.up(&setup(&bed, &root).await).await.unwrap();
    assert!(!ran.exists());
}

/// The private git directory of a task that is up.
fn private(up: &agentnet_controller::up::Up) -> PathBuf {
    match &up.record.workspace {
        Workspace::Worktree { git, .. } => git.directory.clone(),
        Workspace::Directory { .. } => panic!("no worktree"),
    }
}

#[tokio::test]
async fn a_task_sees_branches_and_tags_and_a_gc_of_the_user_leaves_them() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    git(&root, &["tag", "-a", "-m", "one", "v1"]);
    git(&root, &["switch", "--quiet", "--create", "other"]);
    git(
        &root,
        &["commit", "--quiet", "--allow-empty", "-m", "second"],
    );
    git(&root, &["branch", "agentnet/another-task"]);
    git(&root, &["switch", "--quiet", "main"]);
    let tips = ["main", "other", "v1"].map(|name| git(&root, &["rev-parse", name]));
    let up = bed.up(&setup(&bed, &root).await).await.unwrap();
    let packed = fs_err::read_to_string(private(&up).join("packed-refs")).unwrap();
    let names: Vec<_> = packed
        .lines()
        .filter_map(|line| line.split_once(" refs/").map(|(_, name)| name))
        .collect();
    assert_eq!(
        names,
        ["heads/agentnet/t", "heads/main", "heads/other", "tags/v1"]
    );
    git(&root, &["branch", "-D", "other"]);
    git(&root, &["tag", "-d", "v1"]);
    git(&root, &["reflog", "expire", "--expire=now", "--all"]);
    git(&root, &["gc", "--quiet", "--prune=now"]);
    for tip in &tips {
        git(&root, &["cat-file", "-e", tip]);
    }
    down(&bed, &up.record.workspace, Changes::Keep).await;
    assert_eq!(git(&root, &["for-each-ref", "refs/agentnet"]), "");
    bed.assert_empty("after down");
}

#[tokio::test]
async fn the_private_directory_holds_no_secret_no_program_and_no_place_of_the_host() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    for (key, value) in [
        ("remote.origin.url", "https://me:s3cret@git.example/a.git"),
        ("remote.origin.uploadpack", "/opt/evil"),
        ("remote.local.url", "/home/me/elsewhere.git"),
        ("core.sshCommand", "/opt/evil"),
        ("alias.x", "!/opt/evil"),
    ] {
        git(&root, &["config", key, value]);
    }
    let up = bed.up(&setup(&bed, &root).await).await.unwrap();
    let config = fs_err::read_to_string(private(&up).join("config")).unwrap();
    assert!(config.contains("https://git.example/a.git"), "{config}");
    for absent in ["s3cret", "/opt/evil", "/home/me", "x ="] {
        assert!(!config.contains(absent), "{absent}: {config}");
    }
}

#[tokio::test]
async fn git_in_the_private_directory_finds_a_clean_tree_in_every_kind_of_repository() {
    type Make = fn(&Path, &Path);
    let kinds: [(&str, Make); 6] = [
        ("sha256", |_, root| {
            git(
                root.parent().unwrap(),
                &["init", "--quiet", "--object-format=sha256", "shop"],
            );
        }),
        ("reftable", |_, root| {
            git(
                root.parent().unwrap(),
                &["init", "--quiet", "--ref-format=reftable", "shop"],
            );
        }),
        ("shallow", |origin, root| {
            let url = format!("file://{}", origin.display());
            git(
                origin,
                &[
                    "clone",
                    "--quiet",
                    "--depth=1",
                    &url,
                    root.to_str().unwrap(),
                ],
            );
        }),
        ("partial", |origin, root| {
            git(origin, &["config", "uploadpack.allowFilter", "true"]);
            let url = format!("file://{}", origin.display());
            let root = root.to_str().unwrap();
            git(
                origin,
                &["clone", "--quiet", "--filter=blob:none", &url, root],
            );
        }),
        ("shared", |origin, root| {
            git(
                origin,
                &["clone", "--quiet", "--shared", ".", root.to_str().unwrap()],
            );
        }),
        ("a worktree", |origin, root| {
            git(
                origin,
                &["worktree", "add", "--quiet", root.to_str().unwrap()],
            );
        }),
    ];
    for (kind, make) in kinds {
        let help = Command::new("git").args(["init", "-h"]).output().unwrap();
        if kind == "reftable" && !String::from_utf8_lossy(&help.stdout).contains("--ref-format") {
            let why = b"skipped: this git knows no reftable (2.45 does)\n";
            std::io::Write::write_all(&mut std::io::stderr(), why).unwrap();
            continue;
        }
        let bed = Bed::docker28();
        let origin = repository(&bed);
        let origin = {
            let moved = origin.with_file_name("origin");
            fs_err::rename(&origin, &moved).unwrap();
            moved
        };
        git(
            &origin,
            &["commit", "--quiet", "--allow-empty", "-m", "second"],
        );
        let root = origin.with_file_name("shop");
        make(&origin, &root);
        fs_err::write(root.join("more"), "text").unwrap();
        git(&root, &["add", "--all"]);
        git(&root, &["commit", "--quiet", "-m", "third"]);
        let up = bed.up(&setup(&bed, &root).await).await.unwrap();
        let Workspace::Worktree { git: own, tree, .. } = &up.record.workspace else {
            panic!("no worktree");
        };
        // As in a container: its own directory, the objects at other places, the tree.
        let alternates: Vec<_> = own
            .objects
            .iter()
            .map(|o| o.directory.display().to_string())
            .collect();
        let run = |args: &[&str]| {
            let output = Command::new("git")
                .env("GIT_DIR", &own.directory)
                .env("GIT_WORK_TREE", tree)
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternates.join(":"))
                .args(args)
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && words.is_empty(),
                "{kind}: {args:?}: {words}"
            );
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        assert_eq!(run(&["status", "--porcelain"]), "", "{kind}");
        assert_eq!(run(&["branch", "--show-current"]), "agentnet/t", "{kind}");
        run(&["fsck", "--no-progress", "--connectivity-only"]);
        fs_err::write(tree.join("work"), kind).unwrap();
        run(&["add", "work"]);
        run(&["commit", "--quiet", "-m", "work"]);
        assert!(run(&["log", "--format=%an <%ae>", "-1"]).contains("t@agentnet.invalid"));
    }
}

#[tokio::test]
async fn a_branch_in_the_way_is_an_error_with_the_command_that_moves_it() {
    for (branch, fix) in [
        ("agentnet", "git branch -m agentnet agentnet-branch"),
        (
            "agentnet/t/x",
            "git branch -m agentnet/t/x agentnet-t-x-branch",
        ),
    ] {
        let bed = Bed::docker28();
        let root = repository(&bed);
        git(&root, &["branch", branch]);
        let error = bed.up(&setup(&bed, &root).await).await.unwrap_err();
        assert!(error.to_string().ends_with(fix), "{error}");
        bed.assert_empty(branch);
    }
}

#[tokio::test]
async fn the_users_filters_do_not_run_in_a_tasks_tree() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    fs_err::write(root.join(".gitattributes"), "README filter=loud\n").unwrap();
    git(&root, &["add", ".gitattributes"]);
    git(&root, &["commit", "--quiet", "-m", "attributes"]);
    let ran = bed.directory.path().join("ran");
    let command = format!("tee {}", ran.display());
    git(&root, &["config", "filter.loud.smudge", &command]);
    git(&root, &["config", "filter.loud.required", "true"]);
    bed.up(&setup(&bed, &root).await).await.unwrap();
    assert!(!ran.exists());
}

#[tokio::test]
async fn a_file_of_lfs_is_its_pointer_and_no_change() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    fs_err::write(root.join(".gitattributes"), "*.bin filter=lfs -text\n").unwrap();
    fs_err::write(root.join("big.bin"), pointer).unwrap();
    git(&root, &["add", "--all"]);
    git(&root, &["commit", "--quiet", "-m", "a large file"]);
    // As git-lfs install writes it, of a git-lfs that cannot be had.
    for (key, value) in [
        ("filter.lfs.process", "/nonexistent/git-lfs filter-process"),
        ("filter.lfs.smudge", "/nonexistent/git-lfs smudge -- %f"),
        ("filter.lfs.clean", "/nonexistent/git-lfs clean -- %f"),
        ("filter.lfs.required", "true"),
    ] {
        git(&root, &["config", key, value]);
    }
    let up = bed.up(&setup(&bed, &root).await).await.unwrap();
    let tree = up.record.workspace.files();
    assert_eq!(
        fs_err::read_to_string(tree.join("big.bin")).unwrap(),
        pointer
    );
    let agent = harness::stand_in::Agent::of(&up.record.workspace);
    assert_eq!(agent.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_directory_without_git_is_an_error_with_a_way_out() {
    let bed = Bed::docker28();
    let plain = bed.directory.path().join("files");
    let error = Repository::find(&plain, &bed.state).await.unwrap_err();
    assert!(matches!(error, Error::NotARepository(_)), "{error}");
    assert!(error.hint().unwrap().contains("--workspace DIR"));
}

#[tokio::test]
async fn a_repository_without_a_commit_is_one_sentence() {
    let bed = Bed::docker28();
    let root = bed.directory.path().join("empty");
    fs_err::create_dir(&root).unwrap();
    git(&root, &["init", "--quiet"]);
    let repository = Repository::find(&root, &bed.state).await.unwrap();
    let error = repository.head().await.unwrap_err().to_string();
    assert!(error.contains("has no commit yet"), "{error}");
}

#[tokio::test]
async fn a_tasks_own_tree_is_not_a_place_to_start_from() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let setup = setup(&bed, &root).await;
    bed.up(&setup).await.unwrap();
    let error = Repository::find(setup.workspace.files(), &bed.state)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("is a task's own tree"),
        "{error}"
    );
}

#[tokio::test]
async fn one_task_name_in_two_checkouts_of_one_project_is_said() {
    let bed = Bed::docker28();
    let root = repository(&bed);
    let setup = setup(&bed, &root).await;
    bed.up(&setup).await.unwrap();
    let error = bed.up(&bed.setup("t", "")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("choose another name, or set project ="),
        "{error}"
    );
}
