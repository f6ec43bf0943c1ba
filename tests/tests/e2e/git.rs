//! git in a task: it works, and the user's repository is not there to be written.

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::repository::{commit, git};

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
    std::fs::write(root.join("README"), "rewritten\n").unwrap();
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

/// Everything that makes some git run a program, wherever the agent can write it; `$0` is the program. And what other
/// tools of a person's run.
const PLANT: &str = r#"
set -eu
run=$0
cd /workspace
for name in pre-commit post-commit post-checkout post-index-change post-merge post-rewrite pre-auto-gc pre-receive update \
    post-receive post-update reference-transaction push-to-checkout proc-receive fsmonitor-watchman sendemail-validate; do
    printf '#!/bin/sh\n%s\n' "$run" >"/agentnet/git/hooks-$name"
done
mkdir -p /agentnet/git/hooks
for file in /agentnet/git/hooks-*; do
    chmod 755 "$file"
    mv "$file" "/agentnet/git/hooks/${file##*hooks-}"
done
evil() {
    for key in core.fsmonitor diff.external core.sshCommand core.pager core.editor core.gitProxy core.askPass gpg.program \
        credential.helper filter.evil.clean filter.evil.smudge filter.evil.process diff.evil.command diff.evil.textconv \
        merge.evil.driver uploadpack.packObjectsHook core.alternateRefsCommand interactive.diffFilter alias.status; do
        git config --file "$1" "$key" "$run"
    done
    git config --file "$1" filter.evil.required true
    git config --file "$1" core.hooksPath /agentnet/git/hooks
    git config --file "$1" core.worktree /
    git config --file "$1" include.path /agentnet/git/more
}
printf '* filter=evil diff=evil merge=evil\n' >.gitattributes
printf '[submodule "sub"]\n\tpath = sub\n\turl = ext::sh -c %s\n\tupdate = checkout\n' "$run" >.gitmodules
git init --quiet sub
git -C sub -c user.name=a -c user.email=a@b.example commit --quiet --allow-empty --message sub
mkdir -p .vscode .claude
echo "{\"tasks\":[{\"command\":\"$run\",\"runOptions\":{\"runOn\":\"folderOpen\"}}]}" >.vscode/tasks.json
echo "$run" >.envrc
git add --all
git commit --quiet --message 'Planted'
evil /agentnet/git/config
evil sub/.git/config
cp -r sub/.git inner
mkdir other && mv inner other/.git
printf 'gitdir: /workspace/other/.git\n' >sub/file
printf '* filter=evil\n' >/agentnet/git/info/attributes
printf '/workspace/other/.git/objects\n' >/agentnet/git/objects/info/http-alternates
ln -s /etc/passwd leads-out
echo changed >>README
true
"#;

fn nothing_planted_runs(engine: &Engine) {
    let checkout = Checkout::new(engine, None, "");
    let root = checkout.directory();
    checkout.agentnet(&["up", "t"]).expect();
    let agent = checkout.container("t", "agent");
    // Somewhere that both the host and the container have, and only the host's is looked at.
    let canary = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(canary.path(), mode).unwrap();
    let place = canary.path().display().to_string();
    let run = format!("mkdir -p {place} && touch {place}/ran");
    engine
        .docker(["exec", &agent, "sh", "-c", PLANT, &run])
        .expect();
    let quiet = |when: &str| {
        let mut files = std::fs::read_dir(canary.path()).unwrap();
        assert!(files.next().is_none(), "something planted ran: {when}");
    };
    let sync = checkout.agentnet(&["sync", "t"]).expect();
    quiet("sync");
    for named in [
        ".vscode/tasks.json",
        ".envrc",
        ".gitattributes",
        ".gitmodules",
    ] {
        assert!(sync.contains(named), "{named}: {sync}");
    }
    assert!(git(&root, &["show", "--stat", "agentnet/t"]).contains("Planted"));
    for words in [&["status", "t"][..], &["ls"], &["verify", "t", "--brief"]] {
        checkout.agentnet(words).expect();
        quiet(words[0]);
    }
    let down = checkout.agentnet(&["down", "t"]);
    quiet("down");
    assert!(
        down.ok() && down.stderr.contains("refs/agentnet/wip/t"),
        "{down}"
    );
    let readme = git(&root, &["show", "refs/agentnet/wip/t:README"]);
    assert_eq!(readme.lines().last(), Some("changed"));
    checkout.agentnet(&["gc"]).expect();
    checkout.agentnet(&["up", "t"]).expect();
    checkout.agentnet(&["down", "t", "--discard"]).expect();
    quiet("another up and down");
    assert_eq!(checkout.leftovers(), []);
}

on_engines! {
    [current] fn nothing_that_an_agent_plants_runs_on_the_host(engine) {
        nothing_planted_runs(engine);
    }

    [isolating] fn git_works_behind_a_network_fence(engine) {
        works(engine, "network");
    }

    [current, old] fn git_works_behind_a_socket_fence(engine) {
        works(engine, "socket");
    }
}
