//! What of the person's a task is given, and where it must not be found.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::command::run;
use agentnet_e2e::on_engines;
use fs_err as fs;

/// No other text has this.
const PLANTED: &str = "planted-7f3a91-secret";

/// Every file below a directory that holds the secret.
pub(crate) fn holding(root: &Path, secret: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            holding(&path, secret, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
            {
                found.push(path);
            }
        }
    }
}

on_engines! {
    [current] fn a_secret_is_in_the_agents_environment_and_nowhere_else(engine) {
        let checkout = Checkout::new(engine, None, "").with_service();
        checkout.add_config("\n[credentials]\nenv = [\"PLANTED_KEY\"]\n");
        let with_key = |words: &[&str]| run(checkout.command(words).env("PLANTED_KEY", PLANTED));

        // Asked for is not granted, and granted is not there.
        let refused = with_key(&["up", "t"]);
        assert_eq!(refused.code(), Some(4), "{refused}");
        assert!(refused.stderr.contains("env:PLANTED_KEY, which you have not granted"), "{refused}");
        let absent = checkout.agentnet(&["up", "t", "--grant"]);
        assert_eq!(absent.code(), Some(4), "{absent}");
        let plan = with_key(&["up", "t", "--dry-run", "--json"]).expect();
        let up = with_key(&["--verbose", "up", "t"]);
        assert!(up.ok(), "{up}");

        // The main process has it, and so has what is started later.
        let agent = checkout.container("t", "agent");
        let main = engine.shell(&agent, "tr '\\0' '\\n' </proc/1/environ").expect();
        assert!(main.contains(&format!("PLANTED_KEY={PLANTED}")), "{main}");
        let exec = |script: &str| checkout.agentnet(&["exec", "t", "--", "sh", "-c", script]);
        let script = "test \"$PLANTED_KEY\" && echo it is there; logger x 2>/dev/null; exit 9";
        let seen = exec(script);
        assert_eq!((seen.code(), seen.stdout.as_str()), (Some(9), "it is there\n"), "{seen}");
        assert_eq!(exec("exec no-such-command").code(), Some(127));

        // Nobody else does, and nothing that anybody is shown.
        let mut shown = vec![plan, up.stdout.clone(), up.stderr.clone()];
        shown.push(checkout.agentnet(&["status", "t", "--json"]).expect());
        shown.push(checkout.agentnet(&["verify", "t", "--json"]).stdout);
        shown.push(checkout.agentnet(&["logs", "t", "--events"]).stdout);
        for role in ["agent", "proxy", "relay", "service"] {
            for container in checkout.containers("t", role) {
                shown.push(engine.docker(["inspect", &container]).expect());
                let logs = engine.docker(["logs", &container]);
                shown.extend([logs.stdout, logs.stderr]);
                let files = engine.docker(["diff", &container]);
                shown.push(files.stdout);
                if role != "agent" {
                    let environment = engine.docker(["exec", &container, "cat", "/proc/1/environ"]);
                    shown.push(environment.stdout);
                }
            }
        }
        let images = engine.docker(["image", "ls", "--quiet"]).expect();
        for image in images.lines() {
            shown.push(engine.docker(["image", "history", "--no-trunc", image]).stdout);
            shown.push(engine.docker(["image", "inspect", image]).stdout);
        }
        for text in &shown {
            assert!(!text.contains(PLANTED), "{text}");
        }
        let mut files = Vec::new();
        holding(&checkout.state(), PLANTED, &mut files);
        let only = checkout.state().join(format!("tasks/{}/t/secrets/env", checkout.project));
        assert_eq!(files, [only.as_path()]);
        let meta = fs::metadata(&only).unwrap();
        assert_eq!(meta.mode() & 0o077, 0, "nobody but the agent reads it");

        // Taken back: what starts from now on has none.
        checkout.agentnet(&["withdraw", "t"]).expect();
        assert_eq!(exec(script).stdout, "");
        checkout.agentnet(&["down", "t"]).expect();
        files.clear();
        holding(&checkout.state(), PLANTED, &mut files);
        assert_eq!(files, [] as [PathBuf; 0]);
        assert_eq!(checkout.leftovers(), []);
    }

    [current] fn an_agents_login_is_one_for_all_tasks_and_stays(engine) {
        let checkout = Checkout::new(engine, None, "");
        for (key, value) in [("user.name", "Me"), ("user.email", "me@example.org")] {
            let mut git = std::process::Command::new("git");
            run(git.arg("-C").arg(checkout.directory()).args(["config", key, value])).expect();
        }
        let with = ["--agent", "codex", "--with", "login", "--with", "git-identity"];
        for task in ["one", "two"] {
            let image = agentnet_e2e::engine::Engine::image("agent");
            let words = [&["up", task, "--image", &image][..], &with].concat();
            checkout.agentnet(&words).expect();
        }
        let exec = |task: &str, script: &str| checkout.agentnet(&["exec", task, "--", "sh", "-c", script]);
        // As Codex does it: what the link leads to is replaced by a rename.
        let login = "cd \"$(dirname \"$(readlink ~/.codex/auth.json)\")\" && echo one >auth.json.new && mv auth.json.new auth.json";
        exec("one", login).expect();
        assert_eq!(exec("two", "cat ~/.codex/auth.json").expect(), "one");
        let identity = exec("two", "echo \"$GIT_AUTHOR_NAME $GIT_COMMITTER_EMAIL\"").expect();
        assert_eq!(identity, "Me me@example.org");
        checkout.agentnet(&["down", "one", "two"]).expect();
        let kept = fs::read_to_string(checkout.state().join("logins/codex/auth.json")).unwrap();
        assert_eq!(kept, "one\n");
        assert_eq!(checkout.leftovers(), []);
    }
}
