//! What a task leaves behind: all of it, and nothing that a hostile tree wants.

use std::path::Path;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::UNLISTED;
use agentnet_e2e::repository::git;
use fs_err as fs;
use serde_json::Value;

/// A commit, changes that are not committed, an output that git ignores, and everything that a tree can be hostile with.
const WORK: &str = r#"
set -eu
cd /workspace
git config user.name Agent
git config user.email agent@example.org
printf 'reports/\n' >.gitignore
echo 'print("changed")' >main.py
git add --all
git commit --quiet --message 'Change the program'
echo 'not committed' >>README
mkdir -p reports/deep "a dir"
echo '<ok/>' >reports/junit.xml
echo no >reports/deep/other.xml
printf '#!/bin/sh\n' >"a dir/new file.sh"
chmod 755 "a dir/new file.sh"
ln -s /etc/shadow a-link
git add --force a-link
mkfifo pipe
truncate -s 1T sparse
git init --quiet nested
echo in >nested/file
touch "$(printf 'line\nend')"
mkdir many
seq 1 11000 | sed 's|^|many/|' | xargs touch
echo '*.py filter=run' >.gitattributes
git config filter.run.clean 'touch /workspace/ran'
git config core.fsmonitor 'touch /workspace/ran; false'
git config diff.external 'touch /workspace/ran; true'
"#;

fn document(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

on_engines! {
    [current] fn results_are_whole_and_a_hostile_tree_is_bounded(engine) {
        let checkout = Checkout::new(engine, None, "");
        checkout.add_config("[results]\noutputs = [\"reports/*.xml\"]\n");
        checkout.agentnet(&["up", "t"]).expect();
        let agent = checkout.container("t", "agent");
        engine.shell(&agent, WORK).expect();
        engine.shell(&agent, &format!("curl --silent --max-time 10 http://{UNLISTED}/ >/dev/null"));

        let home = tempfile::tempdir().expect("a directory");
        let out = home.path().join("out");
        let words = ["results", "t", &out.to_string_lossy()];
        let said = checkout.agentnet(&words);
        said.expect();

        let report = document(&out.join("report.json"));
        let left: Vec<&str> = report["left_out"].as_array().expect("a list").iter()
            .map(|left| left["what"].as_str().expect("a name")).collect();
        for what in ["modified-files/a-link", "sparse", "nested/"] {
            assert!(left.contains(&what), "{what} is named: {}", report["left_out"]);
        }
        assert_eq!(report["commits"], 1, "{report}");
        assert_eq!(report["sealed"], true, "{report}");
        let copied = fs::read_to_string(out.join("modified-files/main.py")).expect("a copy");
        assert_eq!(copied, "print(\"changed\")\n");
        assert!(out.join("modified-files/a dir/new file.sh").exists());
        assert!(!out.join("modified-files/a-link").exists());
        assert!(!out.join("modified-files/nested/file").exists());
        assert!(out.join("outputs/reports/junit.xml").exists());
        assert!(!out.join("outputs/reports/deep").exists());
        assert!(fs::read_dir(out.join("modified-files/many")).expect("copies").count() <= 10_000);
        engine.shell(&agent, "ls /workspace/ran").expect_failure();

        // The patch is the change: it applies to what the task began with.
        let clone = home.path().join("clone");
        git(&checkout.directory(), &["clone", "--quiet", ".", &clone.to_string_lossy()]);
        git(&clone, &["apply", "--index", &out.join("changes.patch").to_string_lossy()]);
        assert_eq!(fs::read_to_string(clone.join("main.py")).expect("a file"), "print(\"changed\")\n");
        assert_eq!(fs::read_to_string(clone.join("README")).expect("a file"), "a sample project\nnot committed\n");
        git(&clone, &["-c", "user.name=a", "-c", "user.email=a@b", "stash", "--quiet"]);
        git(&clone, &["-c", "user.name=a", "-c", "user.email=a@b", "am", "--quiet", &out.join("commits.mbox").to_string_lossy()]);

        let network = document(&out.join("network.json"));
        let refused = network["refused"].as_array().expect("a list");
        assert!(refused.iter().any(|r| r["host"] == UNLISTED && r["reason"] == "not_listed"), "{network}");
        assert_eq!(network["complete"], true);

        // Against itself nothing is new.
        let earlier = out.join("network.json");
        let again = home.path().join("again");
        checkout.agentnet(&["results", "t", &again.to_string_lossy(), "--check", &earlier.to_string_lossy()]).expect();
        let refused = checkout.agentnet(&words);
        assert_eq!(refused.code(), Some(2), "a directory that is full: {refused}");
        let mine = checkout.agentnet(&["results", "t", &checkout.state().join("tasks").join(&checkout.project).join("t/tree/out").to_string_lossy()]);
        assert_eq!(mine.code(), Some(2), "a directory that the agent writes in: {mine}");
        checkout.agentnet(&["down", "t", "--discard"]).expect();
    }

    [current] fn a_run_that_takes_too_long_leaves_its_results_and_nothing_else(engine) {
        let checkout = Checkout::new(engine, None, "");
        let home = tempfile::tempdir().expect("a directory");
        let out = home.path().join("out").to_string_lossy().into_owned();
        let run = checkout.agentnet(&[
            "run", "t", "--timeout", "2s", "--discard", "--results", &out, "--",
            "sh", "-c", "echo half >half; echo said; exec sleep infinity",
        ]);
        assert_eq!(run.code(), Some(124), "{run}");
        let report = document(&home.path().join("out/report.json"));
        assert_eq!(report["outcome"]["ended"], "timed_out", "{report}");
        assert_eq!(report["outcome"]["code"], Value::Null, "{report}");
        let half = fs::read_to_string(home.path().join("out/modified-files/half")).expect("a copy");
        assert_eq!(half, "half\n");
        assert_eq!(checkout.leftovers(), []);

        let full = checkout.agentnet(&["run", "t", "--results", &out, "--", "true"]);
        assert_eq!(full.code(), Some(2), "a directory that is full: {full}");
        assert_eq!(checkout.leftovers(), [], "it is told before anything is made");
    }
}
