//! Submodules of a task: git works in them, and their commits come back into the person's repositories of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::scene::{BRANCH, INIT, Scene, Share, entry, git, repository, try_git};
use crate::harness::stand_in::Agent;
use crate::harness::{Bed, id};
use agentnet_controller::error::Result;
use agentnet_controller::snapshot::{Shelf, Which};
use agentnet_controller::sync::{Branch, Report};
use agentnet_controller::teardown::{self, Changes};
use agentnet_controller::up::Setup;
use agentnet_controller::workspace::{Fate, Repository, Workspace};

const ADD: [&str; 5] = [
    "-c",
    "protocol.file.allow=always",
    "submodule",
    "--quiet",
    "add",
];

/// A repository that others take as a submodule.
fn library(bed: &Bed, name: &str) -> PathBuf {
    let made = repository(bed.directory.path(), &INIT);
    let there = made.with_file_name(name);
    fs_err::rename(&made, &there).unwrap();
    there
}

fn add(root: &Path, library: &Path, path: &str) {
    git(
        root,
        &[&ADD[..], &[&library.display().to_string(), path]].concat(),
    );
    git(root, &["commit", "--quiet", "-m", "a submodule"]);
}

/// A repository with a submodule `third/lib`, checked out or not.
fn with_submodule(bed: &Bed, is_there: bool) -> PathBuf {
    let lib = library(bed, "lib");
    git(&lib, &["branch", "secret-plan"]);
    let root = repository(bed.directory.path(), &INIT);
    add(&root, &lib, "third/lib");
    if !is_there {
        git(
            &root,
            &["submodule", "--quiet", "deinit", "--force", "third/lib"],
        );
        fs_err::remove_dir_all(root.join(".git/modules")).unwrap();
    }
    root
}

/// The same, whose submodule has one at `in/deep`.
fn with_nested(bed: &Bed) -> PathBuf {
    let (deep, lib) = (library(bed, "deep"), library(bed, "lib"));
    add(&lib, &deep, "in/deep");
    let root = repository(bed.directory.path(), &INIT);
    add(&root, &lib, "third/lib");
    let update = ["update", "--init", "--recursive"];
    git(&root, &[&ADD[..4], &update[..]].concat());
    root
}

/// git in the submodule, as it works in the container.
struct Inside {
    private: PathBuf,
    tree: PathBuf,
    objects: String,
}

impl Inside {
    fn of(scene: &Scene) -> Inside {
        Inside::nth(scene, 0)
    }

    fn nth(scene: &Scene, number: usize) -> Inside {
        let Workspace::Worktree { git, .. } = &scene.record.workspace else {
            panic!("no worktree");
        };
        let module = git.all_modules()[number];
        let objects = module.git.objects.iter();
        let objects: Vec<_> = objects.map(|o| o.directory.display().to_string()).collect();
        Inside {
            private: module.git.directory.clone(),
            tree: scene.agent.tree.join(&module.path),
            objects: objects.join(":"),
        }
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(&self.tree)
            .env("GIT_DIR", &self.private)
            .env("GIT_WORK_TREE", &self.tree)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.objects)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .args(args)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {words}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, scene: &Scene, name: &str) -> String {
        let below = self.tree.strip_prefix(&scene.agent.tree).unwrap();
        let path = below.join(name);
        scene.agent.write(&path.display().to_string(), name);
        self.git(&["add", "--", name]);
        self.git(&["commit", "--quiet", "-m", name]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn theirs(root: &Path) -> PathBuf {
    root.join(".git/modules/third/lib")
}

fn planted(report: &Report) -> Vec<&str> {
    report.planted.iter().map(|p| p.path.as_str()).collect()
}

#[tokio::test]
async fn commits_in_a_submodule_come_into_the_persons_repository_of_it() {
    for share in [Share::Objects, Share::Nothing] {
        let bed = Bed::docker28();
        let root = with_submodule(&bed, true);
        let before = git(&theirs(&root), &["for-each-ref"]);
        let scene = Scene::of(bed, &root, share).await;
        let inside = Inside::of(&scene);
        assert_eq!(inside.git(&["status", "--porcelain"]), "");
        assert_eq!(inside.git(&["branch", "--show-current"]), "agentnet/t");
        let hidden = inside.git(&["for-each-ref"]);
        assert_eq!(
            hidden.contains("secret-plan"),
            matches!(share, Share::Objects),
            "{hidden}"
        );
        let one = inside.commit(&scene, "one");
        let link = format!("160000,{one},third/lib");
        scene.agent.git(&["update-index", "--cacheinfo", &link]);
        scene.agent.git(&["commit", "--quiet", "-m", "moved"]);
        let report = scene.sync().await.unwrap();
        assert!(
            matches!(report.branch, Some(Branch::Moved { .. })),
            "{report:?}"
        );
        let module = &report.modules[0].report;
        assert!(
            matches!(module.branch, Some(Branch::Moved { commits: 1, .. })),
            "{report:?}"
        );
        assert_eq!(planted(&report), [""; 0]);
        for name in [BRANCH, "refs/agentnet/task/t/agentnet/t"] {
            assert_eq!(git(&theirs(&root), &["rev-parse", name]), one);
        }
        assert_eq!(git(&root, &["rev-parse", "agentnet/t:third/lib"]), one);
        // What a person sees in the tree, submodule and all.
        let tree = scene.record.workspace.files();
        assert_eq!(git(tree, &["status", "--porcelain"]), "");
        git(&theirs(&root), &["fsck", "--strict", "--no-progress"]);
        assert_eq!(scene.down().await.fate, Some(Fate::Removed));
        scene.bed.assert_empty("after down");
        for place in [&root, &theirs(&root)] {
            assert_eq!(git(place, &["worktree", "list"]).lines().count(), 1);
            assert_eq!(git(place, &["for-each-ref", "refs/agentnet"]), "");
        }
        git(&theirs(&root), &["update-ref", "-d", BRANCH]);
        assert_eq!(git(&theirs(&root), &["for-each-ref"]), before);
    }
}

#[tokio::test]
async fn a_submodule_that_nobody_changed_leaves_no_trace() {
    let bed = Bed::docker28();
    let root = with_submodule(&bed, true);
    let before = git(&theirs(&root), &["for-each-ref"]);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
    assert_eq!(git(&theirs(&root), &["for-each-ref"]), before);
    scene.bed.assert_empty("after down");
}

#[tokio::test]
async fn what_is_not_committed_in_a_submodule_is_saved_and_the_tree_stays() {
    let bed = Bed::docker28();
    let root = with_submodule(&bed, true);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    scene.agent.write("third/lib/README", "changed\n");
    let report = scene.down().await;
    assert!(matches!(report.fate, Some(Fate::Kept(_))), "{report:?}");
    let saved = report.saved.unwrap();
    assert_eq!(
        (saved.wip.as_ref(), saved.unsaved.len()),
        (None, 0),
        "{saved:?}"
    );
    let text = git(&theirs(&root), &["show", "refs/agentnet/wip/t:README"]);
    assert_eq!(text, "changed");
    // It is taken up again as it is.
    let Scene { bed, root, .. } = scene;
    let scene = Scene::of(bed, &root, Share::Objects).await;
    assert_eq!(
        Inside::of(&scene).git(&["status", "--porcelain"]),
        "M README"
    );
}

#[tokio::test]
async fn what_git_would_not_make_is_refused_in_a_submodule_too() {
    let bed = Bed::docker28();
    let root = with_submodule(&bed, true);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    let inside = Inside::of(&scene);
    let before = git(&theirs(&root), &["for-each-ref"]);
    let blob = inside.git(&["rev-parse", "HEAD:README"]);
    let file = scene.bed.directory.path().join("object");
    fs_err::write(&file, entry("100644", ".git", &blob)).unwrap();
    let file = file.display().to_string();
    let tree = inside.git(&["hash-object", "-t", "tree", "--literally", "-w", &file]);
    let commit = inside.git(&["commit-tree", &tree, "-p", "HEAD", "-m", "planted"]);
    inside.git(&["update-ref", BRANCH, &commit]);
    let error = scene.sync().await.unwrap_err().to_string();
    assert!(
        error.contains("the submodule third/lib") && error.contains("refused"),
        "{error}"
    );
    assert_eq!(git(&theirs(&root), &["for-each-ref"]), before);
    assert!(try_git(&theirs(&root), &["cat-file", "-e", &commit]).is_err());
}

#[tokio::test]
async fn a_submodule_whose_git_file_is_not_ours_any_more_is_listed() {
    let place = |root: &Path| theirs(root).display().to_string();
    type Forge = fn(&Path, &str);
    let forgeries: [Forge; 4] = [
        |dot_git, place| {
            fs_err::write(
                dot_git,
                format!("gitdir: {place}/worktrees/../../../../evil"),
            )
            .unwrap()
        },
        |dot_git, _| fs_err::write(dot_git, "gitdir: /workspace/evil\n").unwrap(),
        |dot_git, place| {
            let more = format!("gitdir: {place}/worktrees/lib\ngitdir: /evil\n");
            fs_err::write(dot_git, more).unwrap();
        },
        |dot_git, _| fs_err::create_dir(dot_git).unwrap(),
    ];
    for forge in forgeries {
        let bed = Bed::docker28();
        let root = with_submodule(&bed, true);
        let scene = Scene::of(bed, &root, Share::Objects).await;
        // The directory above can be renamed in the container, whatever covers the file in it.
        let dot_git = scene.agent.tree.join("third/lib/.git");
        fs_err::remove_file(&dot_git).unwrap();
        forge(&dot_git, &place(&root));
        let report = scene.sync().await.unwrap();
        assert_eq!(planted(&report), ["third/lib/.git"]);
    }
}

#[tokio::test]
async fn a_submodule_that_the_checkout_does_not_have_is_an_empty_directory() {
    let bed = Bed::docker28();
    let root = with_submodule(&bed, false);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    let lib = scene.agent.tree.join("third/lib");
    assert_eq!(fs_err::read_dir(lib).unwrap().count(), 0);
    scene.agent.commit("one", "1");
    let report = scene.sync().await.unwrap();
    assert_eq!(report.modules, []);
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
}

#[tokio::test]
async fn a_submodule_of_a_submodule_works_as_the_one_it_is_in() {
    for share in [Share::Objects, Share::Nothing] {
        let bed = Bed::docker28();
        let root = with_nested(&bed);
        let nested = theirs(&root).join("modules/in/deep");
        let before = git(&nested, &["for-each-ref"]);
        let scene = Scene::of(bed, &root, share).await;
        let (outer, inner) = (Inside::of(&scene), Inside::nth(&scene, 1));
        for inside in [&outer, &inner] {
            assert_eq!(inside.git(&["status", "--porcelain"]), "");
            assert_eq!(inside.git(&["branch", "--show-current"]), "agentnet/t");
        }
        assert_eq!(inner.git(&["log", "--format=%s"]), "first");
        let active = outer.git(&["config", "--get-regexp", r"^submodule\."]);
        assert_eq!(active, "submodule.in/deep.active true");
        // A commit in each, from the inside out, and one that the innermost has not.
        let one = inner.commit(&scene, "one");
        let link = |commit: &str, path: &str| format!("160000,{commit},{path}");
        outer.git(&["update-index", "--cacheinfo", &link(&one, "in/deep")]);
        outer.git(&["commit", "--quiet", "-m", "moved"]);
        let two = outer.git(&["rev-parse", "HEAD"]);
        let agent = &scene.agent;
        agent.git(&["update-index", "--cacheinfo", &link(&two, "third/lib")]);
        agent.git(&["commit", "--quiet", "-m", "moved"]);
        let report = scene.sync().await.unwrap();
        assert_eq!(planted(&report), [""; 0]);
        let paths: Vec<_> = report.modules.iter().map(|m| m.path.as_path()).collect();
        assert_eq!(
            paths,
            [Path::new("third/lib/in/deep"), Path::new("third/lib")]
        );
        assert_eq!(git(&nested, &["rev-parse", BRANCH]), one);
        assert_eq!(git(&theirs(&root), &["rev-parse", BRANCH]), two);
        // What a person sees in the tree.
        let tree = scene.record.workspace.files();
        assert_eq!(git(tree, &["status", "--porcelain"]), "");
        let down = scene.down().await;
        assert_eq!(down.fate, Some(Fate::Removed), "{down:?}");
        scene.bed.assert_empty("after down");
        for place in [&root, &theirs(&root), &nested] {
            assert_eq!(git(place, &["worktree", "list"]).lines().count(), 1);
            assert_eq!(git(place, &["for-each-ref", "refs/agentnet"]), "");
        }
        git(&nested, &["update-ref", "-d", BRANCH]);
        assert_eq!(git(&nested, &["for-each-ref"]), before);
    }
}

#[tokio::test]
async fn what_is_not_committed_in_the_innermost_is_saved_there() {
    let bed = Bed::docker28();
    let root = with_nested(&bed);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    scene.agent.write("third/lib/in/deep/README", "changed\n");
    let report = scene.down().await;
    assert!(matches!(report.fate, Some(Fate::Kept(_))), "{report:?}");
    let saved = report.saved.unwrap();
    let wip: Vec<_> = saved
        .modules
        .iter()
        .map(|m| m.report.wip.is_some())
        .collect();
    assert_eq!((wip, saved.wip), (vec![true, false], None));
    assert!(saved.modules.iter().all(|m| m.report.unsaved.is_empty()));
    let nested = theirs(&root).join("modules/in/deep");
    let text = git(&nested, &["show", "refs/agentnet/wip/t:README"]);
    assert_eq!(text, "changed");
}

#[tokio::test]
async fn a_nested_submodule_whose_git_file_was_forged_is_listed() {
    let bed = Bed::docker28();
    let root = with_nested(&bed);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    let dot_git = scene.agent.tree.join("third/lib/in/deep/.git");
    fs_err::remove_file(&dot_git).unwrap();
    // Another repository's place, and the right words.
    let forged = format!("gitdir: {}/worktrees/deep\n", theirs(&root).display());
    fs_err::write(&dot_git, forged).unwrap();
    let report = scene.sync().await.unwrap();
    let lib = report
        .modules
        .iter()
        .find(|m| m.path == Path::new("third/lib"));
    assert_eq!(planted(&lib.unwrap().report), ["in/deep/.git"]);
}

#[tokio::test]
async fn a_checkout_that_is_a_worktree_itself_has_its_own_submodules() {
    let bed = Bed::docker28();
    let root = with_submodule(&bed, false);
    let other = bed.directory.path().join("other");
    git(
        &root,
        &["worktree", "add", "--quiet", &other.display().to_string()],
    );
    git(&other, &[&ADD[..4], &["update", "--init"]].concat());
    assert!(!root.join(".git/modules").exists());
    let scene = Scene::of(bed, &other, Share::Objects).await;
    let one = Inside::of(&scene).commit(&scene, "one");
    scene.sync().await.unwrap();
    let theirs = root.join(".git/worktrees/other/modules/third/lib");
    assert_eq!(git(&theirs, &["rev-parse", BRANCH]), one);
}

/// The settings of a new task that begins with the snapshot.
async fn seeded(bed: &Bed, root: &Path, task: &str) -> Result<Setup> {
    let repository = Repository::at(fs_err::canonicalize(root).unwrap());
    let dir = bed.state.task(&id(task));
    let mut workspace = Workspace::worktree(&repository, &id(task), &dir).await?;
    let which: Which = "t/one".parse().unwrap();
    let seed = which.seed(&bed.state, &id(task), &mut workspace).await?;
    Ok(Setup {
        workspace,
        seed: Some(seed),
        ..bed.setup(task, "")
    })
}

#[tokio::test]
async fn submodules_come_back_into_their_task_with_the_hosts_git_files() {
    let bed = Bed::docker28();
    let root = with_nested(&bed);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    let inner = Inside::nth(&scene, 1);
    let one = inner.commit(&scene, "one");
    scene
        .agent
        .write("third/lib/in/deep/loose", "not committed");
    let tree = scene.agent.tree.clone();
    let paths = ["third/lib/.git", "third/lib/in/deep/.git"];
    let links = || paths.map(|path| fs_err::read_to_string(tree.join(path)).unwrap());
    let before = links();
    let stored = scene.store("one").await;
    let two = inner.commit(&scene, "two");
    fs_err::rename(tree.join("third"), tree.join("elsewhere")).unwrap();
    scene.restore(&stored).await.unwrap();
    assert_eq!(links(), before);
    assert!(!tree.join("elsewhere").exists());
    assert_eq!(inner.git(&["rev-parse", "HEAD"]), one);
    assert_eq!(inner.git(&["status", "--porcelain"]), "?? loose");
    let report = scene.sync().await.unwrap();
    let nested = theirs(&root).join("modules/in/deep");
    assert_eq!(git(&nested, &["rev-parse", BRANCH]), one);
    assert!(
        report.is_whole() && planted(&report).is_empty(),
        "{report:?}"
    );
    assert!(try_git(&nested, &["cat-file", "-e", &two]).is_err());
    assert_eq!(git(&tree, &["status", "--porcelain"]), "M third/lib");
}

#[tokio::test]
async fn a_new_task_has_the_submodules_of_the_snapshot_on_its_own_branch() {
    let bed = Bed::docker28();
    let root = with_nested(&bed);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    let one = Inside::nth(&scene, 1).commit(&scene, "one");
    scene.agent.write("third/lib/loose", "not committed");
    scene.store("one").await;
    // The checkout went on since, with one more submodule.
    let deep = scene.bed.directory.path().join("deep");
    add(&root, &deep, "more");
    let setup = seeded(&scene.bed, &root, "u").await.unwrap();
    let record = scene.bed.up(&setup).await.unwrap().record;
    let agent = Agent::of(&record.workspace);
    let Scene {
        bed,
        root,
        record: first,
        ..
    } = scene;
    let scene = Scene {
        bed,
        root,
        record,
        agent,
    };
    let tree = &scene.agent.tree;
    let nested = theirs(&scene.root).join("modules/in/deep");
    let link = fs_err::read_to_string(tree.join("third/lib/in/deep/.git")).unwrap();
    let admin = PathBuf::from(link.trim_start_matches("gitdir: ").trim());
    assert!(admin.starts_with(nested.join("worktrees")), "{link}");
    let leads = fs_err::read_to_string(admin.join("gitdir")).unwrap();
    assert!(leads.starts_with(&tree.display().to_string()), "{leads}");
    assert!(!tree.join("more/.git").exists());
    for number in [0, 1] {
        let inside = Inside::nth(&scene, number);
        assert_eq!(inside.git(&["branch", "--show-current"]), "agentnet/u");
    }
    assert_eq!(
        fs_err::read_to_string(tree.join("third/lib/loose")).unwrap(),
        "not committed"
    );
    let report = scene.sync().await.unwrap();
    assert_eq!(planted(&report), [""; 0]);
    assert_eq!(git(&nested, &["rev-parse", "agentnet/u"]), one);
    // Nothing stays when both tasks and the snapshot are gone, whatever goes first.
    Shelf::of(&scene.bed.state, &id("t"))
        .remove(&"one".parse().unwrap())
        .await
        .unwrap();
    for (task, record) in [("t", &first), ("u", &scene.record)] {
        let workspace = Some(&record.workspace);
        let (engine, state) = (&scene.bed.engine, &scene.bed.state);
        let report = teardown::task(engine, state, &id(task), workspace, Changes::Discard).await;
        assert_eq!(report.errors, [""; 0]);
    }
    scene.bed.assert_empty("after both");
    for place in [&scene.root, &theirs(&scene.root), &nested] {
        assert_eq!(git(place, &["worktree", "list"]).lines().count(), 1);
        let pins = git(
            place,
            &[
                "for-each-ref",
                "refs/agentnet/pin",
                "refs/agentnet/snapshot",
            ],
        );
        assert_eq!(pins, "");
    }
}

#[tokio::test]
async fn a_snapshot_whose_submodule_the_checkout_lost_is_refused_in_a_sentence() {
    let bed = Bed::docker28();
    let root = with_submodule(&bed, true);
    let scene = Scene::of(bed, &root, Share::Objects).await;
    scene.store("one").await;
    scene.down().await;
    git(
        &root,
        &["commit", "--quiet", "--allow-empty", "-m", "later"],
    );
    fs_err::remove_dir_all(root.join(".git/modules")).unwrap();
    let error = seeded(&scene.bed, &root, "u").await.unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("has the submodule third/lib") && error.contains("git submodule update"),
        "{error}"
    );
}
