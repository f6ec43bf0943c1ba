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

on_engines! {
    [isolating] fn git_works_behind_a_network_fence(engine) {
        works(engine, "network");
    }

    [current, old] fn git_works_behind_a_socket_fence(engine) {
        works(engine, "socket");
    }
}
