//! Tasks with a clone of their own: what is in it, and where their commits go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::scene::{BRANCH, BROUGHT, INIT, Scene, Share, git, repository, try_git};
use crate::harness::stand_in::Agent;
use crate::harness::{Bed, id};
use agentnet_controller::error::Result;
use agentnet_controller::snapshot::{Shelf, Which};
use agentnet_controller::sync::{Branch, LARGEST, Uncommitted, sync};
use agentnet_controller::up::Setup;
use agentnet_controller::workspace::{Address, Fate, Repository, Workspace};

fn words(text: &str) -> BTreeSet<String> {
    let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    text.lines().map(first).collect()
}

/// Every object that is in a git directory, reachable or not.
fn all_objects(directory: &Path) -> BTreeSet<String> {
    let args = [
        "cat-file",
        "--batch-check=%(objectname)",
        "--batch-all-objects",
    ];
    words(&git(directory, &args))
}

#[tokio::test]
async fn a_clone_has_its_own_history_and_nothing_else_that_was_ever_stored() {
    let bed = Bed::docker28();
    let root = repository(bed.directory.path(), &INIT);
    git(&root, &["tag", "-a", "-m", "one", "v1"]);
    // Another branch and its tag, what was amended away, a stash, a note, another task's commits.
    git(&root, &["switch", "--quiet", "--create", "secret-plan"]);
    git(&root, &["commit", "--quiet", "--allow-empty", "-m", "plan"]);
    git(&root, &["tag", "-a", "-m", "two", "v2-secret"]);
    git(&root, &["switch", "--quiet", "main"]);
    fs_err::write(root.join("key"), "s3cret").unwrap();
    git(&root, &["add", "key"]);
    git(&root, &["commit", "--quiet", "-m", "second"]);
    git(&root, &["rm", "--quiet", "key"]);
    fs_err::write(root.join("more"), "text").unwrap();
    git(&root, &["add", "more"]);
    git(&root, &["commit", "--quiet", "--amend", "-m", "second"]);
    fs_err::write(root.join("README"), "stashed").unwrap();
    git(&root, &["stash", "--quiet"]);
    git(&root, &["notes", "add", "-m", "a note"]);
    git(&root, &["update-ref", "refs/agentnet/wip/x", "secret-plan"]);
    git(&root, &["branch", "agentnet/another", "secret-plan"]);
    git(
        &root,
        &["config", "branch.secret-plan.merge", "refs/heads/x"],
    );

    let history = words(&git(&root, &["rev-list", "--objects", "main", "v1"]));
    assert!(history.len() < all_objects(&root).len());
    let scene = Scene::of(bed, &root, Share::Nothing).await;
    let private = &scene.agent.private;
    assert_eq!(all_objects(private), history);
    let refs = scene.agent.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/agentnet/t\nrefs/heads/main\nrefs/tags/v1");
    for file in crate::harness::everything_below(private) {
        let bytes = fs_err::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("secret"), "{}", file.display());
    }
    // Nor is the repository anywhere to be read.
    let Workspace::Worktree { git: own, .. } = &scene.record.workspace else {
        panic!("no worktree");
    };
    let mounts = format!("{:?}", own.mounts(Path::new("/covers"), true));
    assert!(!mounts.contains("shop/.git"), "{mounts}");
    assert_eq!(scene.agent.git(&["status", "--porcelain"]), "");
    assert_eq!(scene.agent.git(&["describe", "v1"]), "v1");
    scene.agent.git(&["fsck", "--strict", "--no-progress"]);
}

#[tokio::test]
async fn commits_of_a_clone_come_over_and_it_goes_without_a_trace() {
    let bed = Bed::docker28();
    let root = repository(bed.directory.path(), &INIT);
    let scene = Scene::of(bed, &root, Share::Nothing).await;
    // Thorough as git can: what the task has is its own.
    git(&root, &["commit", "--quiet", "--amend", "-m", "rewritten"]);
    git(&root, &["reflog", "expire", "--expire=now", "--all"]);
    git(&root, &["gc", "--quiet", "--prune=now"]);
    let one = scene.agent.commit("one", "1");
    scene.agent.git(&["branch", "topic", "HEAD"]);
    let report = scene.sync().await.unwrap();
    assert!(matches!(
        report.branch,
        Some(Branch::Moved { commits: 1, .. })
    ));
    assert_eq!(
        (scene.at(BRANCH), scene.at(BROUGHT)),
        (Some(one.clone()), Some(one.clone()))
    );
    // A person's commit, and one that is not in the clone.
    let tree = git(&root, &["rev-parse", "HEAD^{tree}"]);
    let mine = git(&root, &["commit-tree", &tree, "-m", "mine"]);
    git(&root, &["update-ref", "refs/agentnet/task/t/mine", &mine]);
    let two = scene.agent.commit("two", "2");
    scene.sync().await.unwrap();
    assert_eq!(scene.at(BRANCH), Some(two.clone()));
    git(&root, &["fsck", "--strict", "--no-progress"]);
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
    assert_eq!(scene.at(BRANCH), Some(two.clone()));
    scene.bed.assert_empty("after down");
    // The next task of the name goes on where the branch is, which the checkout's history has not.
    let Scene { bed, root, .. } = scene;
    let scene = Scene::of(bed, &root, Share::Nothing).await;
    assert_eq!(scene.agent.git(&["rev-parse", "HEAD"]), two);
    let base = git(&root, &["rev-parse", "main"]);
    scene.agent.git(&["cat-file", "-e", &base]);
    let three = scene.agent.commit("three", "3");
    scene.sync().await.unwrap();
    assert_eq!(scene.at(BRANCH), Some(three));
}

#[tokio::test]
async fn every_kind_of_repository_can_be_cloned() {
    type Make = fn(&Path, &Path);
    let kinds: [(&str, Make); 4] = [
        ("sha256", |_, root| {
            let init = ["init", "--quiet", "--object-format=sha256", "shop"];
            git(root.parent().unwrap(), &init);
        }),
        ("shallow", |origin, root| {
            let url = format!("file://{}", origin.display());
            let root = root.to_str().unwrap();
            git(
                origin,
                &[
                    "clone",
                    "--quiet",
                    "--depth=1",
                    "--no-single-branch",
                    &url,
                    root,
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
    ];
    for (kind, make) in kinds {
        let bed = Bed::docker28();
        let origin = repository(bed.directory.path(), &INIT);
        let moved = origin.with_file_name("origin");
        fs_err::rename(&origin, &moved).unwrap();
        git(&moved, &["branch", "other"]);
        fs_err::write(moved.join("README"), "changed").unwrap();
        git(&moved, &["commit", "--quiet", "--all", "-m", "second"]);
        make(&moved, &origin);
        fs_err::write(origin.join("more"), kind).unwrap();
        git(&origin, &["add", "--all"]);
        git(&origin, &["commit", "--quiet", "-m", "third"]);
        let scene = Scene::of(bed, &origin, Share::Nothing).await;
        assert_eq!(scene.agent.git(&["status", "--porcelain"]), "", "{kind}");
        scene
            .agent
            .git(&["fsck", "--no-progress", "--connectivity-only"]);
        let one = scene.agent.commit("one", kind);
        scene.sync().await.unwrap();
        assert_eq!(scene.at(BRANCH), Some(one), "{kind}");
        let shallow = scene.agent.private.join("shallow");
        assert_eq!(shallow.exists(), kind == "shallow", "{kind}");
        if kind == "shallow" {
            // Where other branches end is not said.
            assert_eq!(fs_err::read_to_string(shallow).unwrap().lines().count(), 1);
        }
    }
}

#[tokio::test]
async fn kept_files_that_share_objects_become_no_clone() {
    let scene = Scene::new().await;
    scene.agent.write("README", "changed\n");
    scene.down().await;
    let repository = Repository::at(scene.root.clone());
    let dir = scene.bed.state.task(&id("t"));
    let error = Workspace::clone_of(&repository, &id("t"), &dir).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("take it up without --clone"), "{error}");
}

/// A repository that is elsewhere, and where a task of it is to be fetched to.
fn elsewhere(bed: &Bed) -> (PathBuf, Address) {
    let origin = repository(bed.directory.path(), &INIT);
    git(&origin, &["tag", "v1"]);
    git(&origin, &["branch", "other"]);
    let address = format!("file://{}", origin.display()).parse().unwrap();
    (origin, address)
}

async fn fetched(bed: Bed, address: &Address) -> Scene {
    let root = bed.state.repository(&id("t"));
    let workspace = Workspace::fetched(address, &id("t"), &bed.state)
        .await
        .unwrap();
    Scene::on(bed, root, workspace).await
}

#[tokio::test]
async fn what_is_elsewhere_is_fetched_and_its_commits_stay_where_they_are_said_to_be() {
    let bed = Bed::docker28();
    let (origin, address) = elsewhere(&bed);
    let before = git(&origin, &["for-each-ref"]);
    let scene = fetched(bed, &address).await;
    let refs = scene.agent.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(
        refs,
        "refs/heads/agentnet/t\nrefs/remotes/origin/main\nrefs/tags/v1"
    );
    assert_eq!(scene.agent.git(&["status", "--porcelain"]), "");
    let one = scene.agent.commit("one", "1");
    let report = scene.sync().await.unwrap();
    assert_eq!(scene.at(BRANCH).as_ref(), Some(&one));
    let place = scene.root.display().to_string();
    assert!(report.notes.last().unwrap().contains(&place), "{report:?}");
    assert_eq!(git(&origin, &["for-each-ref"]), before);
    // The commits are nowhere else: the clone stays, and the next task of the name goes on.
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
    assert_eq!(scene.at(BRANCH).as_ref(), Some(&one));
    git(&scene.root, &["push", "--quiet", "origin", "agentnet/t"]);
    assert_eq!(git(&origin, &["rev-parse", "agentnet/t"]), one);
    git(
        &origin,
        &["commit", "--quiet", "--allow-empty", "-m", "later"],
    );
    let scene = fetched(scene.bed, &address).await;
    assert_eq!(scene.agent.git(&["rev-parse", "HEAD"]), one);
    assert_eq!(
        scene.agent.git(&["rev-parse", "origin/main"]),
        git(&origin, &["rev-parse", "main"])
    );
}

#[tokio::test]
async fn a_clone_that_nobody_worked_in_goes_with_its_task() {
    let bed = Bed::docker28();
    let (_, address) = elsewhere(&bed);
    let scene = fetched(bed, &address).await;
    assert!(scene.root.exists());
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
    scene.bed.assert_empty("after down");
}

#[tokio::test]
async fn an_address_is_asked_before_anything_is_made() {
    let bed = Bed::docker28();
    let (origin, address) = elsewhere(&bed);
    let look = async |text: &str| -> Result<Workspace> {
        Workspace::fetched(&text.parse().unwrap(), &id("t"), &bed.state).await
    };
    let text = address.as_str();
    let workspace = look(&format!("{text}#other")).await.unwrap();
    let Workspace::Worktree { source, .. } = workspace else {
        panic!("no worktree");
    };
    assert_eq!(source.unwrap().branch, "other");
    let error = look(&format!("{text}#nowhere")).await.unwrap_err();
    assert!(error.to_string().contains("has no nowhere"), "{error}");
    let error = look(&format!("{text}/nowhere")).await.unwrap_err();
    assert!(error.to_string().contains("ls-remote"), "{error}");
    let ours = format!("file://{}/tasks", bed.state.root().display());
    fs_err::create_dir(bed.state.root().join("tasks")).unwrap();
    let error = look(&ours).await.unwrap_err().to_string();
    assert!(error.contains("an agent may have written it"), "{error}");
    assert!(!bed.state.repository(&id("t")).exists());
    drop(origin);
}

#[tokio::test]
async fn a_fetch_that_fails_leaves_nothing() {
    let bed = Bed::docker28();
    let (origin, address) = elsewhere(&bed);
    let task = id("t");
    // Rewritten after it was asked.
    let workspace = Workspace::fetched(&address, &task, &bed.state)
        .await
        .unwrap();
    let setup = Setup {
        workspace,
        ..bed.setup("t", "")
    };
    git(&origin, &["tag", "-d", "v1"]);
    git(&origin, &["branch", "-D", "other"]);
    git(
        &origin,
        &["commit", "--quiet", "--amend", "-m", "rewritten"],
    );
    let error = bed.up(&setup).await.unwrap_err().to_string();
    assert!(error.contains("was rewritten while"), "{error}");
    bed.assert_empty("after a failed fetch");
    // What git would not make.
    let blob = git(&origin, &["rev-parse", "HEAD:README"]);
    fs_err::write(
        bed.directory.path().join("tree"),
        crate::harness::scene::entry("100644", ".git", &blob),
    )
    .unwrap();
    let file = bed.directory.path().join("tree").display().to_string();
    let tree = git(
        &origin,
        &["hash-object", "-t", "tree", "--literally", "-w", &file],
    );
    let commit = git(&origin, &["commit-tree", &tree, "-m", "planted"]);
    git(&origin, &["update-ref", "refs/heads/main", &commit]);
    let workspace = Workspace::fetched(&address, &task, &bed.state)
        .await
        .unwrap();
    let setup = Setup { workspace, ..setup };
    let error = bed.up(&setup).await.unwrap_err().to_string();
    assert!(error.contains("fetch"), "{error}");
    bed.assert_empty("after a refused fetch");
}

#[tokio::test]
async fn a_name_whose_clone_holds_commits_of_another_repository_is_refused() {
    let bed = Bed::docker28();
    let (origin, address) = elsewhere(&bed);
    let scene = fetched(bed, &address).await;
    scene.agent.commit("one", "1");
    scene.down().await;
    let other = origin.with_file_name("other");
    fs_err::rename(&origin, &other).unwrap();
    let other = format!("file://{}", other.display()).parse().unwrap();
    let error = Workspace::fetched(&other, &id("t"), &scene.bed.state).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("choose another name"), "{error}");
    assert!(try_git(&scene.root, &["rev-parse", BRANCH]).is_ok());
}

#[tokio::test]
async fn a_snapshot_of_a_clone_begins_another_task_of_that_address() {
    let bed = Bed::docker28();
    let (origin, address) = elsewhere(&bed);
    let scene = fetched(bed, &address).await;
    let one = scene.agent.commit("one", "1");
    scene.agent.write("loose", "not committed");
    let stored = scene.store("one").await;
    // Back into its own task.
    scene.agent.commit("two", "2");
    scene.restore(&stored).await.unwrap();
    assert_eq!(scene.agent.git(&["rev-parse", "HEAD"]), one);
    assert_eq!(scene.agent.git(&["status", "--porcelain"]), "?? loose");
    // Into another one, though the branch went on there meanwhile.
    git(
        &origin,
        &["commit", "--quiet", "--allow-empty", "-m", "later"],
    );
    let state = &scene.bed.state;
    let begin = async |workspace: Result<Workspace>, task: &str| {
        let mut workspace = workspace.unwrap();
        let which: Which = "t/one".parse().unwrap();
        let seed = which.seed(state, &id(task), &mut workspace).await?;
        Ok::<_, agentnet_controller::error::Error>(Setup {
            workspace,
            seed: Some(seed),
            ..scene.bed.setup(task, "")
        })
    };
    let setup = begin(Workspace::fetched(&address, &id("u"), state).await, "u").await;
    let other = setup.unwrap();
    let record = scene.bed.up(&other).await.unwrap().record;
    let agent = Agent::of(&record.workspace);
    assert_eq!(agent.git(&["rev-parse", "agentnet/u"]), one);
    assert_eq!(agent.git(&["status", "--porcelain"]), "?? loose");
    let two = agent.commit("two", "2");
    let synced = sync(
        &scene.bed.engine,
        state,
        &record,
        Uncommitted::Leave,
        LARGEST,
    );
    synced.await.unwrap();
    let place = state.repository(&id("u"));
    assert_eq!(git(&place, &["rev-parse", "agentnet/u"]), two);
    // One of another repository takes none of it, and says what does.
    let bed = Bed::docker28();
    let (_, elsewhere) = elsewhere(&bed);
    let error = begin(Workspace::fetched(&elsewhere, &id("v"), state).await, "v").await;
    let error = error.err().unwrap().to_string();
    let flag = format!("--clone {}", address.as_str());
    assert!(error.contains(&flag), "{error}");
}

#[tokio::test]
async fn the_repository_of_a_clone_that_only_a_snapshot_kept_goes_with_it() {
    let bed = Bed::docker28();
    let (_, address) = elsewhere(&bed);
    let scene = fetched(bed, &address).await;
    scene.store("one").await;
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
    assert!(scene.root.exists(), "the snapshot stands on it");
    let shelf = Shelf::of(&scene.bed.state, &id("t"));
    shelf.remove(&"one".parse().unwrap()).await.unwrap();
    scene.bed.assert_empty("after both");
}

#[tokio::test]
async fn submodules_of_an_address_stay_empty() {
    let bed = Bed::docker28();
    let (origin, address) = elsewhere(&bed);
    let other = format!("file://{}", origin.display());
    let add = ["submodule", "--quiet", "add", &other, "third/lib"];
    git(
        &origin,
        &[&["-c", "protocol.file.allow=always"], &add[..]].concat(),
    );
    git(&origin, &["commit", "--quiet", "-m", "a submodule"]);
    let scene = fetched(bed, &address).await;
    let inside = fs_err::read_dir(scene.agent.tree.join("third/lib")).unwrap();
    assert_eq!(inside.count(), 0);
    // The agent can get it where the whitelist lets it: its address is there.
    let url = scene
        .agent
        .git(&["config", "--file", ".gitmodules", "submodule.third/lib.url"]);
    assert_eq!(url, other);
    scene.agent.commit("one", "1");
    assert_eq!(scene.sync().await.unwrap().modules, []);
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
}
