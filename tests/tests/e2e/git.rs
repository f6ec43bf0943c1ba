//! git in a task: it works, and the user's repository is not there to be written.

use std::path::Path;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::command::run;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::repository::{commit, git};
use fs_err as fs;

/// What a person does in a day, in one script; it stops at the first thing that does not work.
const A_DAY: &str = r#"
set -eu
cd /workspace
test -z "$(git status --porcelain)"
test "$(git branch --show-current)" = agentnet/t
test "$(git log --oneline | wc -l)" -ge 2
git rev-parse --verify --quiet main >/dev/null
git rev-parse --verify --quiet v1 >/dev/null
git blame README | grep -q 'a sample project'
echo one >>README
git diff --stat | grep -q README
git stash --quiet
test -z "$(git status --porcelain)"
git stash pop --quiet
git commit --quiet --all --message 'One more line'
git switch --quiet --create topic main
echo two >topic
git add topic
git commit --quiet --message 'A topic'
git switch --quiet agentnet/t
git rebase --quiet topic
test -e topic
git worktree list >/dev/null
git gc --quiet --prune=now
git fsck --no-progress --connectivity-only
test -z "$(git status --porcelain)"
git log -1 --format='%an <%ae>'
"#;

/// Each line is a way to write the user's repository, or the file that leads to ours. None works.
const TAMPER: &str = r#"
cd /workspace
for place in /agentnet/objects/0/x /agentnet/objects/0/pack/x /workspace/.git /agentnet/git/objects/info/alternates \
    /agentnet/objects/0/info/x; do
    (echo planted >"$place") 2>/dev/null && echo "wrote $place"
done
rm -f /workspace/.git 2>/dev/null && echo "removed .git"
mv /workspace/.git /workspace/x 2>/dev/null && echo "moved .git"
rm -f /agentnet/objects/0/pack/* 2>/dev/null && echo "removed packs"
true
"#;

fn works(engine: &Engine, fence: &str) {
    let checkout = Checkout::new(engine, Some(fence), "");
    let root = checkout.directory();
    git(
        &root,
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b.example",
            "tag",
            "-a",
            "-m",
            "one",
            "v1",
        ],
    );
    git(&root, &["branch", "other"]);
    git(
        &root,
        &[
            "remote",
            "add",
            "origin",
            "https://me:s3cret@git.example/a.git",
        ],
    );
    git(&root, &["gc", "--quiet"]);
    checkout.agentnet(&["up", "t"]).expect();
    let agent = checkout.container("t", "agent");
    let said = engine.shell(&agent, A_DAY).expect();
    assert_eq!(said.trim(), "agentnet t <t@agentnet.invalid>");
    assert_eq!(engine.shell(&agent, TAMPER).expect().trim(), "");
    let config = engine.shell(&agent, "cat /agentnet/git/config").expect();
    assert!(
        config.contains("https://git.example/a.git") && !config.contains("s3cret"),
        "{config}"
    );

    let sync = checkout.agentnet(&["sync", "t"]).expect();
    assert!(
        sync.contains("agentnet/t is at") && sync.contains("refs/agentnet/task/t/topic"),
        "{sync}"
    );
    let tip = engine
        .shell(&agent, "cd /workspace && git rev-parse HEAD")
        .expect();
    assert_eq!(git(&root, &["rev-parse", "agentnet/t"]), tip);
    let again = checkout.agentnet(&["sync", "t", "--json"]).expect();
    assert!(again.contains("\"same\""), "{again}");

    // The user goes on meanwhile, and cleans up as thoroughly as git can.
    git(&root, &["branch", "-D", "other"]);
    git(&root, &["tag", "-d", "v1"]);
    fs::write(root.join("README"), "rewritten\n").unwrap();
    commit(&root, "Meanwhile");
    git(&root, &["reflog", "expire", "--expire=now", "--all"]);
    git(&root, &["gc", "--quiet", "--prune=now"]);
    engine
        .shell(
            &agent,
            "cd /workspace && git fsck --no-progress && git log --oneline v1 other >/dev/null",
        )
        .expect();
}

/// A repository whose content names programs, for the git of a person whose settings have them.
fn hostile(root: &Path, canary: &Path) {
    let program = format!("touch {}/ran; cat", canary.display());
    let settings = format!(
        "[safe]\n\tdirectory = *\n[submodule]\n\trecurse = true\n[fetch]\n\trecurseSubmodules = true\n\
         [filter \"loud\"]\n\tsmudge = {program:?}\n\tclean = {program:?}\n\trequired = true\n[core]\n\tfsmonitor = {program:?}\n"
    );
    fs::write(root.with_file_name(".gitconfig"), settings).unwrap();
    fs::write(root.join(".gitattributes"), "* filter=loud\n").unwrap();
    let modules = format!("[submodule \"sub\"]\n\tpath = sub\n\turl = ext::sh -c {program:?}\n");
    fs::write(root.join(".gitmodules"), modules).unwrap();
    let head = git(root, &["rev-parse", "HEAD"]);
    git(
        root,
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{head},sub"),
        ],
    );
    git(root, &["add", ".gitattributes", ".gitmodules"]);
    commit_staged(root, "Hostile");
}

fn commit_staged(root: &Path, subject: &str) {
    git(
        root,
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b.example",
            "commit",
            "--quiet",
            "--message",
            subject,
        ],
    );
}

/// In a task: a file, committed.
const WORK: &str = "cd /workspace && test -z \"$(git status --porcelain)\" && echo work >work && git add work && \
                    git commit --quiet --message work && git rev-parse HEAD";

fn clones(engine: &Engine) {
    let checkout = Checkout::new(engine, None, "");
    let root = checkout.directory();
    let canary = tempfile::tempdir().unwrap();
    git(&root, &["switch", "--quiet", "--create", "other"]);
    fs::write(root.join("key"), "s3cret").unwrap();
    commit(&root, "A secret");
    let secret = git(&root, &["rev-parse", "HEAD:key"]);
    git(&root, &["switch", "--quiet", "main"]);
    hostile(&root, canary.path());
    let quiet = |when: &str| {
        assert!(
            fs::read_dir(canary.path()).unwrap().next().is_none(),
            "a program ran: {when}"
        )
    };

    let said = checkout.agentnet(&["up", "t", "--clone"]).expect();
    assert!(said.contains("objects of its own history only"), "{said}");
    let agent = checkout.container("t", "agent");
    let tip = engine.shell(&agent, WORK).expect();
    let looked = engine.shell(
        &agent,
        &format!("cd /workspace && git cat-file -e {secret}"),
    );
    looked.expect_failure();
    engine
        .shell(
            &agent,
            "! grep -q shop /proc/mounts && test ! -e /agentnet/objects",
        )
        .expect();
    checkout.agentnet(&["sync", "t"]).expect();
    assert_eq!(git(&root, &["rev-parse", "agentnet/t"]), tip);
    checkout.agentnet(&["down", "t"]).expect();
    quiet("a clone of the checkout");

    // The bait is live: the person's own clone takes it.
    let plain = root.with_file_name("plain").display().to_string();
    let mut person = std::process::Command::new("git");
    person.env("HOME", root.with_file_name("")).args([
        "clone",
        "--quiet",
        "--no-recurse-submodules",
        ".",
    ]);
    run(person.arg(plain).current_dir(&root));
    fs::remove_file(canary.path().join("ran")).expect("a filter of the person's that ran");

    // The same as an address, with settings that are named.
    let address = format!("file://{}", root.display());
    let config = root.join("agentnet.toml").display().to_string();
    let words = ["--clone", &address, "--config", &config];
    let dry = [&["up", "u", "--dry-run"][..], &words].concat();
    assert!(checkout.agentnet(&dry).expect().contains(&address));
    let repositories = checkout.state().join("repositories");
    assert!(!repositories.exists(), "a plan changes nothing");
    let ran = checkout.agentnet(&[&["run", "u"][..], &words, &["--", "sh", "-c", WORK]].concat());
    let place = repositories.join(&checkout.project).join("u.git");
    assert!(
        ran.ok() && ran.stderr.contains(&place.display().to_string()),
        "{ran}"
    );
    let tip = ran.stdout.lines().last().unwrap().trim().to_owned();
    assert_eq!(git(&place, &["rev-parse", "agentnet/u"]), tip);
    quiet("a clone of an address");
    let refused = checkout.agentnet(&["up", "v", "--clone", "ext::sh -c true"]);
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert_eq!(checkout.leftovers(), []);
}

on_engines! {
    [current] fn a_clone_has_its_own_objects_and_runs_nothing(engine) {
        clones(engine);
    }

    [isolating] fn git_works_behind_a_network_fence(engine) {
        works(engine, "network");
    }

    [current, old] fn git_works_behind_a_socket_fence(engine) {
        works(engine, "socket");
    }
}
