//! What of the person's a task is given, and where it must not be found.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::command::run;
use agentnet_e2e::on_engines;
use fs_err as fs;

use super::secrets::holding;

/// No other text has this.
const PLANTED: &str = "planted-7f3a91-secret";

on_engines! {
    [current, mapping] fn a_secret_is_in_the_agents_environment_and_nowhere_else(engine) {
        let checkout = Checkout::new(engine, None, "").with_service();
        checkout.add_config("\n[credentials]\nenv = [\"PLANTED_KEY\"]\n");
        let with_key = |words: &[&str]| run(checkout.command(words).env("PLANTED_KEY", PLANTED));

        // Asked for is not granted, and granted is not there.
        let refused = with_key(&["up", "t"]);
        assert_eq!(refused.code(), Some(4), "{refused}");
        assert!(refused.stderr.contains("env:PLANTED_KEY, which you have not granted"), "{refused}");
        let absent = checkout.agentnet(&["up", "t", "--grant"]);
        assert_eq!(absent.code(), Some(4), "{absent}");
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

        // Nobody else does. What is shown and kept is looked through in `secrets.rs`.
        for role in ["proxy", "relay", "service"] {
            for container in checkout.containers("t", role) {
                let environment = engine.docker(["exec", &container, "cat", "/proc/1/environ"]);
                assert!(!environment.stdout.contains(PLANTED), "{role}");
            }
        }
        let files = holding(&checkout.state(), PLANTED);
        let only = checkout.state().join(format!("tasks/{}/t/secrets/env", checkout.project));
        assert_eq!(files, [only.as_path()]);
        let meta = fs::metadata(&only).unwrap();
        assert_eq!(meta.mode() & 0o077, 0, "nobody but the agent reads it");

        // Taken back: what starts from now on has none.
        checkout.agentnet(&["withdraw", "t"]).expect();
        assert_eq!(exec(script).stdout, "");
        checkout.agentnet(&["down", "t"]).expect();
        assert_eq!(holding(&checkout.state(), PLANTED), [] as [PathBuf; 0]);
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
