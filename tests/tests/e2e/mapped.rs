//! An engine that maps users (userns-remap): the task's files are in volumes, and everything else is as everywhere.

use std::thread;
use std::time::{Duration, Instant};

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::repository::git;
use fs_err as fs;
use serde_json::Value;

use crate::lifecycle::settle;

/// What an agent does: it commits, leaves something uncommitted, and asks for a host that is not listed.
const WORK: &str = r#"
set -eu
test "$(awk '{ print $2 }' /proc/self/uid_map)" != 0
cd /workspace
test -z "$(git status --porcelain)"
test "$(git branch --show-current)" = agentnet/t
test "$(stat -c %u:%g . README .git /agentnet/git/HEAD | sort -u)" = 1000:1000
echo committed >done.txt
git add done.txt
git commit --quiet --message 'Done'
echo 'one more line' >>README
echo new >untracked.txt
curl --silent --show-error --max-time 10 https://unlisted.example/ 2>&1 | grep -q 403
"#;

/// Files below a directory, and links.
fn files(directory: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

fn is_gone(checkout: &Checkout<'_>) {
    assert_eq!(checkout.leftovers(), []);
    let tasks = checkout.state().join("tasks");
    assert!(
        !tasks.exists() || files(&tasks).is_empty(),
        "files of a task"
    );
    let worktrees = git(&checkout.directory(), &["worktree", "list", "--porcelain"]);
    assert_eq!(worktrees.matches("worktree ").count(), 1, "{worktrees}");
    let pins = git(
        &checkout.directory(),
        &["for-each-ref", "refs/agentnet/pin"],
    );
    assert_eq!(pins.trim(), "");
}

fn works<'e>(engine: &'e Engine, fence: &str) -> Checkout<'e> {
    let checkout = Checkout::new(engine, Some(fence), "");
    let up = checkout.agentnet(&["up", "t"]);
    assert!(
        up.ok() && up.stderr.contains("userns-remap") && up.stderr.contains("agentnet sync t"),
        "{up}"
    );
    let agent = checkout.container("t", "agent");
    engine.shell(&agent, WORK).expect();

    let verify = checkout.agentnet(&["verify", "t", "--json"]).expect();
    let proof: Value = serde_json::from_str(&verify).expect("JSON");
    assert_eq!(proof["sealed"], true, "{verify}");

    let sync = checkout.agentnet(&["sync", "t"]).expect();
    let root = checkout.directory();
    let tip = engine
        .shell(&agent, "git -C /workspace rev-parse HEAD")
        .expect();
    assert_eq!(git(&root, &["rev-parse", "agentnet/t"]), tip, "{sync}");
    assert_eq!(
        git(&root, &["show", "agentnet/t:done.txt"]).trim(),
        "committed"
    );
    checkout
}

on_engines! {
    [mapping] fn a_task_works_behind_the_network_fence_with_its_files_in_a_volume(engine) {
        let checkout = works(engine, "network");
        let agent = checkout.container("t", "agent");
        let tree = checkout.state().join("tasks").join(&checkout.project).join("t/tree");
        assert_eq!(files(&tree), [".git"], "the host's worktree is empty");

        let status = checkout.agentnet(&["status", "t"]).expect();
        assert!(status.contains("files    volume agentnet-"), "{status}");
        let ls = checkout.agentnet(&["ls", "--json"]).expect();
        let ls: Value = serde_json::from_str(&ls).expect("JSON");
        let name = ls["tasks"][0]["volume"].as_str().unwrap_or_default();
        assert!(ls["tasks"][0]["state"] == "up" && name.ends_with("-files"), "{ls}");

        let out = checkout.directory().with_file_name("results");
        checkout.agentnet(&["results", "t", &out.to_string_lossy()]).expect();
        let patch = fs::read_to_string(out.join("changes.patch")).expect("a patch");
        for line in ["+committed", "+one more line", "+new"] {
            assert!(patch.contains(line), "{line}: {patch}");
        }

        // An alert arrives where a person's programs read it.
        engine.shell(&agent, "echo {} >$AGENTNET_NOTIFY/out/a.json").expect();
        assert_eq!(files(&tree.with_file_name("spool").join("out")), ["a.json"]);

        checkout.agentnet(&["snapshot", "create", "t", "before"]).expect();
        engine.shell(&agent, "rm /workspace/untracked.txt").expect();
        checkout.agentnet(&["snapshot", "restore", "t", "before"]).expect();
        checkout.agentnet(&["snapshot", "rm", "t", "before"]).expect();

        // What was not committed is saved and stays, in the volumes and nowhere else; the next `up` takes it up.
        let down = checkout.agentnet(&["down", "t"]);
        assert!(down.ok() && down.stderr.contains("kept in volume agentnet-"), "{down}");
        let left = checkout.leftovers();
        assert!(left.len() == 2 && left.iter().all(|(kind, _)| *kind == "volume"), "{left:?}");
        let wip = git(&checkout.directory(), &["show", "refs/agentnet/wip/t:untracked.txt"]);
        assert_eq!(wip.trim(), "new");
        checkout.agentnet(&["gc"]).expect();
        assert_eq!(checkout.leftovers(), left, "gc leaves what is kept");
        checkout.agentnet(&["up", "t"]).expect();
        let agent = checkout.container("t", "agent");
        let script = "cd /workspace && test \"$(cat untracked.txt)\" = new && git add --all && git commit -qm Rest";
        engine.shell(&agent, script).expect();
        checkout.agentnet(&["down", "t"]).expect();
        assert_eq!(git(&checkout.directory(), &["show", "agentnet/t:untracked.txt"]).trim(), "new");
        is_gone(&checkout);
    }

    [mapping] fn a_task_works_behind_the_socket_fence_with_its_files_in_a_volume(engine) {
        let checkout = works(engine, "socket");
        checkout.agentnet(&["down", "t", "--discard"]).expect();
        is_gone(&checkout);
    }

    [mapping] fn a_killed_up_leaves_nothing_after_gc_although_there_are_volumes(engine) {
        let checkout = Checkout::new(engine, Some("socket"), "");
        // Before the volumes are filled, while they are, and when the containers come.
        for objects in [1, 3, 6] {
            let mut up = checkout.start(&["up", "t"]);
            let deadline = Instant::now() + Duration::from_secs(60);
            while checkout.leftovers().len() < objects && up.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "no {objects} objects");
                thread::sleep(Duration::from_millis(5));
            }
            up.kill().unwrap();
            up.wait().unwrap();
            settle(&checkout);
            checkout.agentnet(&["gc"]).expect();
            is_gone(&checkout);
        }
    }
}
