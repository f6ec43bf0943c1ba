//! Submodules in a task: git works in them, and what comes back goes into the person's repositories of them.

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::repository::{self, commit, git};

/// In the task: work in the submodule, and in the whole with it.
const WORK: &str = r#"
set -eu
cd /workspace
test -z "$(git status --porcelain)"
cd third/lib
test -z "$(git status --porcelain)"
test "$(git branch --show-current)" = agentnet/t
git log --oneline >/dev/null
echo work >work
git add work
git commit --quiet --message work
cd ../..
git submodule status | grep -q '^+'
git add third/lib
git commit --quiet --message 'Move the submodule'
git submodule status | grep -q '^ '
test -z "$(git status --porcelain)"
git -C third/lib rev-parse HEAD
"#;

/// Where the tree is a directory of the host.
const TAMPER: &str = r#"
cd /workspace
(echo 'gitdir: /workspace/evil' >third/lib/.git) 2>/dev/null && echo "wrote .git"
mv third/lib/.git third/lib/x 2>/dev/null && echo "moved .git"
rm -f third/lib/.git 2>/dev/null && echo "removed .git"
true
"#;

/// What covers a file does not hold the directories above it: measured, and why `sync` looks at the file.
const FORGE: &str = r#"
set -eu
cd /workspace
mv third moved
mkdir -p third/lib/.git
git config --file third/lib/.git/config core.fsmonitor 'touch /tmp/ran'
"#;

fn works(engine: &Engine) {
    let checkout = Checkout::new(engine, None, "");
    let root = checkout.directory();
    let lib = root.with_file_name("lib");
    repository::create(&lib);
    let address = lib.display().to_string();
    git(
        &root,
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            &address,
            "third/lib",
        ],
    );
    commit(&root, "A submodule");
    let theirs = root.join(".git/modules/third/lib");
    let before = git(&theirs, &["for-each-ref"]);

    checkout.agentnet(&["up", "t"]).expect();
    let agent = checkout.container("t", "agent");
    let tip = engine.shell(&agent, WORK).expect();
    if engine.name != "docker28-remap" {
        assert_eq!(engine.shell(&agent, TAMPER).expect().trim(), "");
    }
    let sync = checkout.agentnet(&["sync", "t"]).expect();
    assert!(sync.contains("third/lib: agentnet/t is at"), "{sync}");
    assert!(!sync.contains("look at these"), "{sync}");
    for name in ["agentnet/t", "refs/agentnet/task/t/agentnet/t"] {
        assert_eq!(git(&theirs, &["rev-parse", name]), tip);
    }
    assert_eq!(git(&root, &["rev-parse", "agentnet/t:third/lib"]), tip);
    let out = root.with_file_name("out");
    checkout
        .agentnet(&["results", "t", &out.to_string_lossy()])
        .expect();
    checkout.agentnet(&["down", "t"]).expect();
    let tree = checkout
        .state()
        .join("tasks")
        .join(&checkout.project)
        .join("t/tree");
    assert!(!tree.exists(), "everything was committed");
    git(&theirs, &["update-ref", "-d", "refs/heads/agentnet/t"]);
    assert_eq!(git(&theirs, &["for-each-ref"]), before);

    checkout.agentnet(&["up", "u"]).expect();
    let agent = checkout.container("u", "agent");
    engine.shell(&agent, FORGE).expect();
    let sync = checkout.agentnet(&["sync", "u"]).expect();
    assert!(
        sync.contains("third/lib/.git (a repository inside)"),
        "{sync}"
    );
    checkout.agentnet(&["down", "u", "--discard"]).expect();
    assert_eq!(git(&theirs, &["for-each-ref"]), before);
    assert_eq!(checkout.leftovers(), []);
}

on_engines! {
    [current, mapping] fn submodules_work_and_their_commits_come_back(engine) {
        works(engine);
    }
}
