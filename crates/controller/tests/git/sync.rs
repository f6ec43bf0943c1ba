//! A task's commits into the user's repository: real git on both sides, the extractor's script run here.

use crate::harness::scene::{BRANCH, BROUGHT, Scene, entry, git, try_git};
use crate::harness::stand_in::{self, Agent};
use crate::harness::{Bed, id};
use agentnet_controller::engine::Output;
use agentnet_controller::gc::collect;
use agentnet_controller::sync::{Branch, LARGEST, Uncommitted, sync};
use agentnet_controller::up::Setup;
use agentnet_controller::workspace::{Fate, Repository, Workspace};

#[tokio::test]
async fn commits_come_over_and_branch_and_index_follow() {
    let scene = Scene::new().await;
    assert_eq!(scene.sync().await.unwrap().branch, Some(Branch::Same));
    let before = scene.at(BRANCH).unwrap();
    scene.agent.commit("one", "1");
    scene.agent.git(&["branch", "topic"]);
    scene.agent.git(&["tag", "-a", "-m", "a tag", "v1"]);
    let two = scene.agent.commit("sub/two", "2");
    let report = scene.sync().await.unwrap();
    let moved = Branch::Moved {
        from: before,
        to: two.clone(),
        commits: 2,
        rewritten: false,
    };
    assert_eq!(report.branch, Some(moved));
    assert_eq!(report.notes, [""; 0]);
    for name in [BRANCH, BROUGHT] {
        assert_eq!(scene.at(name).as_ref(), Some(&two), "{name}");
    }
    for name in ["refs/agentnet/task/t/topic", "refs/agentnet/tag/t/v1"] {
        assert!(scene.at(name).is_some(), "{name}");
    }
    // What a person sees in the tree on the host.
    assert_eq!(
        git(scene.record.workspace.files(), &["status", "--porcelain"]),
        ""
    );
    git(&scene.root, &["fsck", "--strict", "--no-progress"]);
    // Again: nothing to do, and no pack is left.
    let before = scene.state();
    assert_eq!(scene.sync().await.unwrap().branch, Some(Branch::Same));
    assert_eq!(scene.state(), before);
    assert!(
        !before
            .1
            .iter()
            .any(|path| path.extension().is_some_and(|e| e == "keep"))
    );
}

#[tokio::test]
async fn what_is_not_committed_stays_in_the_tree_and_shows_there() {
    let scene = Scene::new().await;
    scene.agent.commit("one", "1");
    scene.agent.write("README", "changed\n");
    scene.sync().await.unwrap();
    let status = git(scene.record.workspace.files(), &["status", "--porcelain"]);
    assert_eq!(status, "M README");
}

#[tokio::test]
async fn rewritten_history_moves_the_branch_and_the_old_commits_are_kept() {
    let scene = Scene::new().await;
    let old = scene.agent.commit("one", "1");
    scene.sync().await.unwrap();
    scene
        .agent
        .git(&["commit", "--quiet", "--amend", "-m", "better"]);
    let new = scene.agent.git(&["rev-parse", "HEAD"]);
    let report = scene.sync().await.unwrap();
    assert!(matches!(
        report.branch,
        Some(Branch::Moved {
            rewritten: true,
            ..
        })
    ));
    assert_eq!(scene.at(BRANCH), Some(new));
    let kept = format!(
        "refs/agentnet/old/t/{}",
        old.chars().take(12).collect::<String>()
    );
    assert_eq!(scene.at(&kept), Some(old));
    assert!(report.notes[0].contains(&kept), "{report:?}");
}

#[tokio::test]
async fn two_who_commit_on_one_branch_both_keep_their_commits() {
    let scene = Scene::new().await;
    let tree = scene.record.workspace.files();
    scene.agent.commit("one", "1");
    scene.sync().await.unwrap();
    fs_err::write(tree.join("mine"), "mine").unwrap();
    git(tree, &["add", "mine"]);
    git(tree, &["commit", "--quiet", "-m", "mine"]);
    let mine = scene.at(BRANCH).unwrap();
    assert_eq!(scene.sync().await.unwrap().branch, Some(Branch::Ahead));
    let theirs = scene.agent.commit("two", "2");
    let report = scene.sync().await.unwrap();
    assert_eq!(report.branch, Some(Branch::Parted));
    assert_eq!(scene.at(BRANCH), Some(mine));
    assert_eq!(scene.at(BROUGHT), Some(theirs));
    assert!(
        report.notes[0].contains("git merge refs/agentnet/task/t/agentnet/t"),
        "{report:?}"
    );
}

#[tokio::test]
async fn somebodys_staged_changes_stay_staged() {
    let scene = Scene::new().await;
    let tree = scene.record.workspace.files();
    scene.agent.commit("one", "1");
    fs_err::write(tree.join("mine"), "mine").unwrap();
    git(tree, &["add", "mine"]);
    let report = scene.sync().await.unwrap();
    assert!(
        report.notes[0].contains("somebody staged changes"),
        "{report:?}"
    );
    assert!(git(tree, &["diff", "--cached", "--name-only"]).contains("mine"));
}

#[tokio::test]
async fn deleted_branches_are_said_and_kept() {
    let scene = Scene::new().await;
    scene.agent.commit("one", "1");
    scene.agent.git(&["branch", "topic"]);
    scene.sync().await.unwrap();
    scene.agent.git(&["branch", "-D", "topic"]);
    let report = scene.sync().await.unwrap();
    assert!(
        report.notes[0].contains("refs/agentnet/task/t/topic"),
        "{report:?}"
    );
    assert!(scene.at("refs/agentnet/task/t/topic").is_some());
    // The task's own, here.
    git(&scene.root, &["update-ref", "-d", BRANCH]);
    let two = scene.agent.commit("two", "2");
    let report = scene.sync().await.unwrap();
    assert_eq!(report.branch, Some(Branch::Gone));
    assert_eq!((scene.at(BRANCH), scene.at(BROUGHT)), (None, Some(two)));
}

#[tokio::test]
async fn a_detached_head_and_the_stash_come_over() {
    let scene = Scene::new().await;
    for text in ["a", "b"] {
        scene.agent.write("README", text);
        scene.agent.git(&["stash", "--quiet"]);
    }
    scene.agent.git(&["checkout", "--quiet", "--detach"]);
    let lonely = scene.agent.commit("lonely", "1");
    scene.sync().await.unwrap();
    assert_eq!(scene.at("refs/agentnet/head/t"), Some(lonely));
    let stashes = git(&scene.root, &["for-each-ref", "refs/agentnet/stash/t"]);
    assert_eq!(stashes.lines().count(), 2, "{stashes}");
}

#[tokio::test]
async fn other_formats_of_repositories_are_the_same() {
    for extra in ["--object-format=sha256", "--ref-format=reftable"] {
        let init = ["init", "--quiet", extra, "shop"];
        let probe = tempfile::tempdir().unwrap();
        if try_git(probe.path(), &init).is_err() {
            let why = format!("skipped: this git knows no {extra}\n");
            std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes()).unwrap();
            continue;
        }
        let scene = Scene::with(&init).await;
        let one = scene.agent.commit("one", "1");
        scene.sync().await.unwrap();
        assert_eq!(scene.at(BRANCH), Some(one), "{extra}");
    }
}

#[tokio::test]
async fn paths_that_would_be_git_directories_are_refused() {
    let scene = Scene::new().await;
    let blob = scene.plant("blob", b"[core]\n\tfsmonitor = /opt/evil\n");
    for name in [".git", ".GIT", "git~1", "..", "a/b", ".g\u{200c}it"] {
        let inner = scene.plant("tree", &entry("100644", "config", &blob));
        let tree = scene.plant("tree", &entry("40000", name, &inner));
        scene.commit_tree(&tree);
        scene.refused("what the task committed is refused").await;
        scene.agent.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    }
}

#[tokio::test]
async fn links_that_git_would_follow_for_itself_are_refused() {
    let scene = Scene::new().await;
    let link = scene.plant("blob", b"../../outside");
    let tree = scene.plant("tree", &entry("120000", ".gitmodules", &link));
    scene.commit_tree(&tree);
    scene.refused("what the task committed is refused").await;
}

#[tokio::test]
async fn a_submodule_address_that_is_an_option_is_refused() {
    let scene = Scene::new().await;
    let text = b"[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=/opt/evil\n";
    let modules = scene.plant("blob", text);
    let tree = scene.plant("tree", &entry("100644", ".gitmodules", &modules));
    scene.commit_tree(&tree);
    scene.refused("what the task committed is refused").await;
}

#[tokio::test]
async fn a_ref_to_nothing_is_left_out_and_an_object_of_no_type_is_refused() {
    let scene = Scene::new().await;
    let packed = scene.agent.private.join("packed-refs");
    let one = scene.agent.commit("one", "1");
    let before = fs_err::read_to_string(&packed).unwrap();
    let odd = scene.plant("nonsense", b"x");
    fs_err::write(&packed, format!("{before}{odd} refs/heads/odd\n")).unwrap();
    scene.refused("invalid object type").await;
    let nothing = "1".repeat(40);
    fs_err::write(&packed, format!("{before}{nothing} refs/heads/nothing\n")).unwrap();
    let report = scene.sync().await.unwrap();
    assert_eq!(scene.at(BRANCH), Some(one));
    assert!(
        report.notes[0].contains("it leads to nothing"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_branch_whose_name_a_deleted_one_had_a_part_of_comes_over() {
    let scene = Scene::new().await;
    let one = scene.agent.commit("one", "1");
    scene.agent.git(&["branch", "topic"]);
    scene.sync().await.unwrap();
    scene.agent.git(&["branch", "-D", "topic"]);
    scene.agent.git(&["branch", "topic/new"]);
    scene.sync().await.unwrap();
    assert_eq!(
        scene.at("refs/agentnet/task/t/topic/new").as_ref(),
        Some(&one)
    );
    let kept = format!(
        "refs/agentnet/old/t/{}",
        one.chars().take(12).collect::<String>()
    );
    assert_eq!(scene.at(&kept), Some(one));
}

#[tokio::test]
async fn history_with_a_hole_is_refused() {
    let scene = Scene::new().await;
    let one = scene.agent.commit("one", "1");
    scene.agent.commit("two", "2");
    // What a shallow repository says: the history begins here.
    fs_err::write(
        scene.agent.private.join("shallow"),
        format!("{}\n", scene.agent.git(&["rev-parse", "HEAD"])),
    )
    .unwrap();
    scene.refused("what the task committed is refused").await;
    assert!(try_git(&scene.root, &["cat-file", "-e", &one]).is_err());
}

#[tokio::test]
async fn a_pack_that_is_too_big_is_refused() {
    let scene = Scene::new().await;
    let noise: String = (0..200_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    scene.agent.commit("big", &noise);
    let before = scene.state();
    let (engine, state) = (&scene.bed.engine, &scene.bed.state);
    let error = sync(engine, state, &scene.record, Uncommitted::Leave, 100_000).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("pack exceeds maximum allowed size"),
        "{error}"
    );
    assert_eq!(scene.state(), before);
}

#[tokio::test]
async fn too_many_branches_are_refused_with_a_number() {
    let scene = Scene::new().await;
    let one = scene.agent.commit("one", "1");
    let packed = scene.agent.private.join("packed-refs");
    let mut text = "# pack-refs with: sorted \n".to_owned();
    text.extend((0..100_000).map(|n| format!("{one} refs/heads/b{n:06}\n")));
    fs_err::write(&packed, text).unwrap();
    scene.refused("at most 2000 are brought over").await;
}

#[tokio::test]
async fn names_that_collide_are_refused_and_odd_ones_left_out() {
    let scene = Scene::new().await;
    let one = scene.agent.commit("one", "1");
    let packed = scene.agent.private.join("packed-refs");
    let before = fs_err::read_to_string(&packed).unwrap();
    fs_err::write(
        &packed,
        format!("{before}{one} refs/heads/x\n{one} refs/heads/x/y\n"),
    )
    .unwrap();
    scene.refused("cannot both be").await;
    fs_err::write(
        &packed,
        format!("{before}{one} refs/heads/x;touch$IFS/tmp/x\n"),
    )
    .unwrap();
    let report = scene.sync().await.unwrap();
    assert!(
        report
            .refs
            .iter()
            .any(|moved| moved.name.ends_with("$IFS/tmp/x")),
        "{report:?}"
    );
}

#[tokio::test]
async fn names_that_differ_in_case_and_links_out_of_the_tree_come_over_as_they_are() {
    let scene = Scene::new().await;
    fs_err::write(scene.bed.directory.path().join("outside"), "mine").unwrap();
    scene.agent.write("Notes", "upper");
    scene.agent.write("NOTES", "all");
    scene.agent.write("dir/x", "x");
    scene.agent.write("Dir/x", "X");
    for (target, name) in [("/etc/passwd", "absolute"), ("../../../outside", "dir/up")] {
        std::os::unix::fs::symlink(target, scene.agent.tree.join(name)).unwrap();
    }
    let one = scene.agent.commit("notes", "lower");
    scene.agent.git(&["branch", "topic"]);
    scene.agent.git(&["branch", "Topic"]);
    let report = scene.sync().await.unwrap();
    assert_eq!(scene.at(BRANCH), Some(one));
    for name in ["topic", "Topic"] {
        let name = format!("refs/agentnet/task/t/{name}");
        assert!(scene.at(&name).is_some(), "{name}");
    }
    let files = git(&scene.root, &["ls-tree", "-r", "--name-only", BRANCH]);
    for name in ["NOTES", "Notes", "notes", "Dir/x", "dir/x"] {
        assert!(files.lines().any(|file| file == name), "{name}: {files}");
    }
    // A link is its text; nobody followed it.
    let link = git(&scene.root, &["cat-file", "-p", "agentnet/t:dir/up"]);
    assert_eq!(link, "../../../outside");
    let planted: Vec<_> = report.planted.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(planted, ["absolute", "dir/up"]);
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
    let outside = scene.bed.directory.path().join("outside");
    assert_eq!(fs_err::read_to_string(outside).unwrap(), "mine");
}

#[tokio::test]
async fn nonsense_from_the_container_is_refused() {
    let object = "a".repeat(40);
    let said: [(&str, Vec<u8>); 6] = [
        ("makes no sense", b"".to_vec()),
        ("makes no sense", b"\xff\xfe\n".to_vec()),
        ("sent no pack", b"end\n".to_vec()),
        ("sent no pack", b"end\nnot a pack at all".to_vec()),
        ("refused", b"end\nPACK\0\0\0\x02\0\0\0\x01garbage".to_vec()),
        (
            "at most 5000000",
            b"end\nPACK\0\0\0\x02\xff\xff\xff\xff".to_vec(),
        ),
    ];
    let scene = Scene::new().await;
    for (because, stdout) in said {
        scene.bed.engine.on_run(move |_, _| Output {
            code: 0,
            stdout: stdout.clone(),
            stderr: Vec::new(),
        });
        scene.refused(because).await;
    }
    // A tip that nobody sent.
    let mut stdout = format!("ref {object} commit {BRANCH}\nend\n").into_bytes();
    stdout.extend(b"PACK\0\0\0\x02\0\0\0\0");
    stdout.extend([0; 20]);
    scene.bed.engine.on_run(move |_, _| Output {
        code: 0,
        stdout: stdout.clone(),
        stderr: Vec::new(),
    });
    scene.refused("refused").await;
}

#[tokio::test]
async fn a_task_that_committed_everything_goes_down_without_a_trace_but_its_branch() {
    let scene = Scene::new().await;
    let one = scene.agent.commit("one", "1");
    scene.agent.git(&["branch", "topic", "HEAD~1"]);
    let report = scene.down().await;
    assert_eq!(report.fate, Some(Fate::Removed));
    assert_eq!(scene.at(BRANCH), Some(one));
    assert_eq!(git(&scene.root, &["for-each-ref", "refs/agentnet"]), "");
    scene.bed.assert_empty("after down");
}

#[tokio::test]
async fn what_is_not_committed_is_saved_and_the_tree_stays_as_well() {
    let scene = Scene::new().await;
    scene.agent.write("README", "changed\n");
    scene.agent.write("new/file", "new");
    let report = scene.down().await;
    let kept = Fate::Kept(scene.record.workspace.files().to_owned());
    assert_eq!(report.fate, Some(kept));
    let wip = report.saved.unwrap().wip.unwrap();
    assert_eq!(scene.at("refs/agentnet/wip/t"), Some(wip));
    let names = git(
        &scene.root,
        &["diff", "--name-only", "HEAD", "refs/agentnet/wip/t"],
    );
    assert_eq!(names, "README\nnew/file");
}

#[tokio::test]
async fn an_index_that_hides_a_change_hides_nothing_from_what_is_saved() {
    let scene = Scene::new().await;
    scene
        .agent
        .git(&["update-index", "--assume-unchanged", "README"]);
    scene.agent.write("README", "hidden\n");
    let report = scene.down().await;
    assert!(report.saved.unwrap().wip.is_some());
    let text = git(&scene.root, &["show", "refs/agentnet/wip/t:README"]);
    assert_eq!(text, "hidden");
}

#[tokio::test]
async fn what_no_commit_holds_keeps_the_tree_and_is_said() {
    let scene = Scene::new().await;
    scene.agent.commit(".gitignore", "*.log\n");
    scene.agent.write("run.log", "x");
    git(&scene.agent.tree, &["init", "--quiet", "inner"]);
    let inner = scene.agent.tree.join("inner");
    fs_err::write(inner.join("x"), "x").unwrap();
    git(&inner, &["add", "x"]);
    git(&inner, &["commit", "--quiet", "-m", "x"]);
    let report = scene.down().await;
    assert!(matches!(report.fate, Some(Fate::Kept(_))));
    let unsaved = report.saved.unwrap().unsaved.join("; ");
    assert!(unsaved.contains("the ignored run.log"), "{unsaved}");
    assert!(
        unsaved.contains("the repository in") && unsaved.contains("inner"),
        "{unsaved}"
    );
}

#[tokio::test]
async fn commits_that_are_refused_stay_with_the_tree() {
    let scene = Scene::new().await;
    let blob = scene.plant("blob", b"x");
    let tree = scene.plant("tree", &entry("100644", ".git", &blob));
    scene.commit_tree(&tree);
    let report = scene.down().await;
    assert!(matches!(report.fate, Some(Fate::Kept(_))));
    assert!(report.unsaved.unwrap().contains("refused"));
    assert!(scene.agent.private.exists());
    // The pins hold as long as it is there.
    assert!(git(&scene.root, &["for-each-ref", "refs/agentnet/pin/t"]).contains("pin"));
}

#[tokio::test]
async fn a_tree_that_was_removed_by_hand_is_cleaned_up_and_its_commits_are_saved() {
    let scene = Scene::new().await;
    let one = scene.agent.commit("one", "1");
    fs_err::remove_dir_all(&scene.agent.tree).unwrap();
    assert_eq!(scene.down().await.fate, Some(Fate::Removed));
    assert_eq!(scene.at(BRANCH), Some(one));
    assert_eq!(git(&scene.root, &["worktree", "list"]).lines().count(), 1);
    scene.bed.assert_empty("after down");
    // Kept, and removed then.
    let scene = Scene::new().await;
    scene.agent.write("new", "x");
    scene.down().await;
    fs_err::remove_dir_all(&scene.agent.tree).unwrap();
    let (found, errors) = collect(&scene.bed.engine, &scene.bed.state, true)
        .await
        .unwrap();
    assert_eq!((found.len(), errors), (1, vec![]));
    assert_eq!(git(&scene.root, &["worktree", "list"]).lines().count(), 1);
    scene.bed.assert_empty("after gc");
}

#[tokio::test]
async fn what_tools_obey_is_listed_if_the_task_made_or_changed_it() {
    let scene = Scene::new().await;
    for name in [
        ".vscode/tasks.json",
        ".envrc",
        ".claude/settings.json",
        "deep/.gitattributes",
        ".husky/pre-commit",
        "agentnet.toml",
        "inner/.git/config",
        "plain/file",
        "bare/HEAD",
        // git finds objects and refs where that leads.
        "thin/HEAD",
        "thin/commondir",
        "two\nlines/bare/HEAD",
        // The first line of this name is a file that was there before.
        "README\nx/.envrc",
        "a\ttab/.envrc",
    ] {
        scene.agent.write(name, "x");
    }
    for (target, name) in [
        ("/etc/passwd", "absolute"),
        ("../../out", "plain/up"),
        ("../README", "plain/in"),
        ("./README", "here"),
        ("plain/../../out", "plainly"),
        ("plain/..", "back"),
        ("/etc/passwd", "new\nline"),
        ("/etc/passwd", "a\ttab/link"),
        ("/etc/pass\twd//x", "odd target"),
        ("..//..", "plain/doubled"),
    ] {
        std::os::unix::fs::symlink(target, scene.agent.tree.join(name)).unwrap();
    }
    for name in ["bare/objects", "bare/refs", "two\nlines/bare/objects"] {
        fs_err::create_dir_all(scene.agent.tree.join(name)).unwrap();
    }
    let planted = scene.sync().await.unwrap().planted;
    let mut paths: Vec<_> = planted.iter().map(|p| p.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            ".claude/settings.json",
            ".envrc",
            ".husky/pre-commit",
            ".vscode/tasks.json",
            "README?x/.envrc",
            "absolute",
            "agentnet.toml",
            "atab/.envrc",
            "atab/link",
            "back",
            "bare",
            "deep/.gitattributes",
            "inner/.git",
            "new?line",
            "odd target",
            "plain/doubled",
            "plain/up",
            "plainly",
            "thin",
            "two?lines/bare",
        ]
    );
}

#[tokio::test]
async fn what_was_there_before_is_not_listed() {
    let bed = Bed::docker28();
    bed.engine.on_run(stand_in::run);
    let root = bed.directory.path().join("shop");
    git(bed.directory.path(), &["init", "--quiet", "shop"]);
    fs_err::write(root.join(".envrc"), "use nix").unwrap();
    fs_err::write(root.join("agentnet.toml"), "").unwrap();
    git(&root, &["add", "--all"]);
    git(&root, &["commit", "--quiet", "-m", "first"]);
    let root = fs_err::canonicalize(root).unwrap();
    let repository = Repository::find(&root, &bed.state).await.unwrap();
    let workspace = Workspace::worktree(&repository, &id("t"), &bed.state.task(&id("t"))).await;
    let setup = Setup {
        workspace: workspace.unwrap(),
        ..bed.setup("t", "")
    };
    let record = bed.up(&setup).await.unwrap().record;
    let agent = Agent::of(&record.workspace);
    agent.write("agentnet.toml", "[network]\nmode = \"full\"\n");
    let (engine, state) = (&bed.engine, &bed.state);
    let report = sync(engine, state, &record, Uncommitted::Leave, LARGEST)
        .await
        .unwrap();
    let paths: Vec<_> = report.planted.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["agentnet.toml"]);
}

#[tokio::test]
async fn a_directory_as_it_is_has_nothing_to_bring_over() {
    let bed = Bed::docker28();
    let record = bed.up(&bed.setup("t", "")).await.unwrap().record;
    let error = sync(
        &bed.engine,
        &bed.state,
        &record,
        Uncommitted::Leave,
        LARGEST,
    )
    .await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("there is nothing to bring over"), "{error}");
}
