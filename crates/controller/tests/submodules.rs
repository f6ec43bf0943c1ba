//! Submodules of a task: git works in them, and their commits come back into the person's repositories of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use agentnet_controller::sync::{Branch, Report};
use agentnet_controller::workspace::{Fate, Workspace};
use harness::Bed;
use harness::scene::{BRANCH, Scene, Share, entry, git, repository, try_git};

const INIT: [&str; 4] = ["init", "--quiet", "--initial-branch=main", "shop"];

/// A repository with a submodule `third/lib`, checked out or not.
fn with_submodule(bed: &Bed, is_there: bool) -> PathBuf {
    let directory = bed.directory.path();
    let lib = repository(directory, &INIT);
    let lib_there = lib.with_file_name("lib");
    fs_err::rename(&lib, &lib_there).unwrap();
    git(&lib_there, &["branch", "secret-plan"]);
    let root = repository(directory, &INIT);
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
    ];
    let lib = lib_there.display().to_string();
    git(&root, &[&add[..], &[&lib, "third/lib"]].concat());
    git(&root, &["commit", "--quiet", "-m", "a submodule"]);
    if !is_there {
        git(
            &root,
            &["submodule", "--quiet", "deinit", "--force", "third/lib"],
        );
        fs_err::remove_dir_all(root.join(".git/modules")).unwrap();
    }
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
        let Workspace::Worktree { git, .. } = &scene.record.workspace else {
            panic!("no worktree");
        };
        let module = &git.modules[0];
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
        scene.agent.write(&format!("third/lib/{name}"), name);
        self.git(&["add", "--all"]);
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
