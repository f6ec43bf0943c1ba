//! Submodules in a task: git works in them, and what comes back goes into the person's repositories of them.

use std::path::Path;

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
cd in/deep
test -z "$(git status --porcelain)"
echo deep >deep
git add deep
git commit --quiet --message deep
cd ../..
git submodule status | grep -q '^+'
echo work >work
git add work in/deep
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
rm -f third/lib/in/deep/.git 2>/dev/null && echo "removed .git"
true
"#;

/// In a task that began with a snapshot of that one.
const AGAIN: &str = r#"
set -eu
cd /workspace/third/lib
test "$(git branch --show-current)" = agentnet/v
test "$(cat work)" = work
test -z "$(git status --porcelain --ignore-submodules)"
cd in/deep
test "$(git branch --show-current)" = agentnet/v
test "$(git status --porcelain)" = '?? loose'
git rev-parse HEAD
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
    let (lib, deep) = (root.with_file_name("lib"), root.with_file_name("deep"));
    let submodule = ["-c", "protocol.file.allow=always", "submodule", "--quiet"];
    let add = |whole: &Path, part: &Path, path: &str| {
        let words = ["add", &part.display().to_string(), path];
        git(whole, &[&submodule[..], &words].concat());
    };
    for repository in [&lib, &deep] {
        repository::create(repository);
    }
    add(&lib, &deep, "in/deep");
    commit(&lib, "A submodule");
    add(&root, &lib, "third/lib");
    git(
        &root,
        &[&submodule[..], &["update", "--init", "--recursive"]].concat(),
    );
    commit(&root, "A submodule");
    let theirs = root.join(".git/modules/third/lib");
    let nested = theirs.join("modules/in/deep");
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
    let deep = git(&nested, &["rev-parse", "agentnet/t"]);
    assert_eq!(git(&theirs, &["rev-parse", "agentnet/t:in/deep"]), deep);
    let loose = "echo loose >/workspace/third/lib/in/deep/loose";
    engine.shell(&agent, loose).expect();
    checkout
        .agentnet(&["snapshot", "create", "t", "one"])
        .expect();
    checkout
        .agentnet(&["up", "v", "--snapshot", "t/one"])
        .expect();
    let other = checkout.container("v", "agent");
    assert_eq!(engine.shell(&other, AGAIN).expect(), deep);
    let sync = checkout.agentnet(&["sync", "v"]).expect();
    assert!(!sync.contains("look at these"), "{sync}");
    assert_eq!(git(&nested, &["rev-parse", "agentnet/v"]), deep);
    checkout.agentnet(&["down", "v", "--discard"]).expect();
    let removed = "rm -r /workspace/third/lib/in/deep/loose /workspace/README*";
    engine.shell(&agent, removed).expect();
    checkout
        .agentnet(&["snapshot", "restore", "t", "one"])
        .expect();
    let agent = checkout.container("t", "agent");
    let gone = "cd /workspace && test -z \"$(git status --porcelain --ignore-submodules)\" && rm third/lib/in/deep/loose";
    engine.shell(&agent, gone).expect();
    checkout.agentnet(&["snapshot", "rm", "t", "one"]).expect();
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
    for branch in ["refs/heads/agentnet/t", "refs/heads/agentnet/v"] {
        git(&theirs, &["update-ref", "-d", branch]);
    }
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
