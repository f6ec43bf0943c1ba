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
use harness::{Bed, id};

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
