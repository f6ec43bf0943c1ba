//! The built program: what it prints, and its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;
use std::process::Command;

/// One run of `agentnet` in a directory of its own.
#[must_use]
struct Test {
    directory: tempfile::TempDir,
    args: Vec<String>,
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Test {
    fn new<const N: usize>(args: [&str; N]) -> Test {
        let directory = tempfile::tempdir().unwrap();
        Test {
            directory,
            args: args.map(str::to_owned).to_vec(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(self, name: &str, text: &str) -> Test {
        let path = self.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        self
    }

    /// The directory becomes a repository with one commit of what is in it.
    fn repository(self) -> Test {
        for args in [
            vec!["init", "--quiet"],
            vec!["add", "--all"],
            vec![
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b.example",
                "commit",
                "--quiet",
                "--allow-empty",
                "-m",
                "first",
            ],
        ] {
            let done = Command::new("git")
                .arg("-C")
                .arg(self.path())
                .args(&args)
                .status()
                .unwrap();
            assert!(done.success(), "{args:?}");
        }
        self
    }

    fn run(&self) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_agentnet"))
            .args(&self.args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path())
            .env("AGENTNET_STATE_DIR", self.path().join("state"))
            .env("AGENTNET_ENGINE", "unix:///nonexistent/engine.sock")
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It fails with this code and says this, and nothing on stdout.
    fn fails(&self, code: i32, says: &str) {
        let ran = self.run();
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, ""),
            "{}",
            ran.stderr
        );
    }
}

const NO_ENGINE: &str = "error: connecting to the engine: no container engine answers at \
                         unix:///nonexistent/engine.sock: there is no such socket\n\nhint: start Docker";

#[test]
fn help_names_every_command() {
    let ran = Test::new(["--help"]).run();
    assert_eq!(ran.code, 0);
    for command in [
        "up",
        "run",
        "exec",
        "shell",
        "ls",
        "status",
        "logs",
        "allow",
        "deny",
        "whitelist",
        "down",
        "gc",
        "verify",
        "doctor",
        "targets",
        "init",
        "completions",
    ] {
        assert!(
            ran.stdout.contains(&format!("\n  {command} ")),
            "{command}: {}",
            ran.stdout
        );
    }
}

#[test]
fn every_command_has_help() {
    for command in [
        "up", "run", "exec", "allow", "down", "gc", "verify", "doctor", "targets",
    ] {
        let ran = Test::new([command, "--help"]).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command}");
    }
}

#[test]
fn a_bad_task_name_is_a_usage_error_with_a_better_one() {
    Test::new(["up", "Fix Login"]).fails(2, "fix-login would do");
}

#[test]
fn no_engine_is_one_sentence_and_what_to_do() {
    let test = Test::new(["up", "t"]).repository();
    test.fails(3, NO_ENGINE);
    assert_eq!(
        fs_err::read_dir(test.path().join("state")).unwrap().count(),
        0
    );
}

#[test]
fn the_same_failure_of_run_is_125() {
    Test::new(["run", "t", "--", "true"])
        .repository()
        .fails(125, NO_ENGINE);
}

#[test]
fn gc_needs_an_engine() {
    Test::new(["gc"]).fails(3, NO_ENGINE);
}

#[test]
fn doctor_says_what_is_broken_and_how_to_fix_it() {
    let ran = Test::new(["doctor"]).run();
    assert_eq!(ran.code, 3);
    assert!(
        ran.stdout
            .contains("BROKEN  engine  no container engine answers"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .contains("how to fix it:\n  engine: start Docker"),
        "{}",
        ran.stdout
    );
}

#[test]
fn doctor_warns_of_a_key_that_makes_an_agent_overlook_its_login() {
    let found = |agent: &str, credentials: &str| {
        let text = format!("[agent]\n{agent}\n[credentials]\n{credentials}\n");
        let test = Test::new(["doctor", "--json"]);
        let ran = test.file("agentnet.toml", &text).repository().run();
        let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let findings = value["findings"].as_array().unwrap().iter();
        let login = findings.filter(|finding| finding["what"] == "login");
        let of =
            |finding: &serde_json::Value| format!("{} {}", finding["level"], finding["detail"]);
        login.map(of).collect::<String>()
    };
    let both = "login = true\nenv = [\"OPENAI_API_KEY\"]";
    for (agent, credentials, says) in [
        (
            "name = \"codex\"",
            both,
            "\"unsafe\" \"OPENAI_API_KEY is in the task's environment, and codex",
        ),
        (
            "env = { GEMINI_API_KEY = \"x\" }",
            "login = true",
            "GEMINI_API_KEY is in the task's environment, and gemini",
        ),
        ("name = \"claude\"", both, "\"good\" \"no key"),
        ("name = \"codex\"", "login = true", "\"good\" \"no key"),
    ] {
        let said = found(agent, credentials);
        assert!(said.contains(says), "{agent} {credentials}: {said}");
    }
    assert_eq!(found("name = \"codex\"", "env = [\"OPENAI_API_KEY\"]"), "");
}

#[test]
fn doctor_speaks_json() {
    let ran = Test::new(["doctor", "--json"]).run();
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["v"], 1);
    assert_eq!(value["findings"][0]["level"], "broken");
}

#[test]
fn a_directory_without_git_is_said_with_a_way_out() {
    Test::new(["up", "t"]).fails(
        4,
        "is not inside a git repository\n\nhint: run it inside a git repository, or give",
    );
}

#[test]
fn a_workspace_that_holds_our_state_is_refused() {
    Test::new(["up", "t", "--workspace", "."]).fails(2, "holds agentnet's own state");
}

#[test]
fn a_workspace_in_our_state_is_refused() {
    Test::new(["up", "t", "--workspace", "state/tasks"])
        .file("state/tasks/x", "")
        .fails(2, "lies in agentnet's own state");
}

#[test]
fn a_workspace_with_the_engines_socket_is_refused() {
    let mut test = Test::new(["up", "t", "--workspace", "files", "--engine"]);
    test = test.file("files/engine.sock", "");
    let socket = test.path().join("files/engine.sock");
    test.args.push(format!("unix://{}", socket.display()));
    test.fails(2, "holds the engine's socket");
}

#[test]
fn a_workspace_with_what_decides_about_it_is_refused() {
    let up = |config: &str, workspace: &str| {
        Test::new(["up", "t", "--config", config, "--workspace", workspace])
            .file(
                "p/agentnet.toml",
                "[agent]\nbuild = \"image\"\n[images]\nproxy = \"p\"\ngate = \"g\"\n",
            )
            .file("p/image/Dockerfile", "FROM scratch\n")
            .file("p/src/x", "")
            .file("p/.agentnet/x", "")
    };
    let config = "p/agentnet.toml";
    up(config, "p").fails(2, "agentnet.toml: an agent must not reach it");
    // Not there yet: the agent would make it.
    up(config, "p/.agentnet").fails(2, "whitelist.txt: an agent must not reach it");
    up(config, "p/image").fails(2, "image: an agent must not reach it");
    up(config, "p/src").fails(3, "no container engine answers");
    let mut test = up(config, "p/src");
    test.args
        .extend(["--bin-dir".to_owned(), "p/src".to_owned()]);
    test.fails(2, "src: an agent must not reach it");
}

#[test]
fn a_broken_setting_names_file_line_and_word() {
    let test = Test::new(["up", "t"]).file("agentnet.toml", "[agent]\nprivileged = true\n");
    test.repository()
        .fails(4, "agentnet.toml:2: `privileged` is no key here");
}

#[test]
fn a_broken_whitelist_names_file_line_and_word() {
    let test = Test::new(["up", "t"]).file(".agentnet/whitelist.txt", "# ok\n*\n");
    test.repository().fails(4, ".agentnet/whitelist.txt:2:");
}

#[test]
fn the_worktrees_own_settings_do_not_matter_but_a_named_file_must_exist() {
    Test::new(["up", "t", "--config", "nope.toml"])
        .repository()
        .fails(4, "nope.toml");
}

#[test]
fn an_unknown_task_has_its_own_code_except_where_a_commands_code_is_passed_on() {
    for command in ["status", "verify", "logs", "whitelist"] {
        Test::new([command, "nope"]).fails(7, "error: there is no task nope\n\nhint: agentnet ls");
    }
    Test::new(["allow", "nope", "example.com"]).fails(7, "there is no task nope");
    Test::new(["exec", "nope", "--", "true"]).fails(125, "there is no task nope");
    Test::new(["--project", "p", "status", "nope"]).fails(7, "no task nope in project p");
}

#[test]
fn down_of_a_task_that_is_not_there_is_fine() {
    let ran = Test::new(["down", "nope"]).run();
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, "task nope is not up\n")
    );
    let ran = Test::new(["--quiet", "down", "nope"]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn an_empty_list_is_empty_json_and_a_hint_for_people() {
    let ran = Test::new(["ls"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("agentnet up NAME"));
    let ran = Test::new(["ls", "--json"]).run();
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["tasks"], serde_json::json!([]));
}

#[test]
fn targets_of_no_tasks_are_an_empty_list_that_a_file_gets_as_a_whole() {
    let ran = Test::new(["targets"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "[]\n"));
    let test = Test::new(["targets", "--write", "targets.json"]).file("targets.json", "old");
    let ran = test.run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let text = fs_err::read_to_string(test.path().join("targets.json")).unwrap();
    assert_eq!(text, "[]\n");
    assert!(!test.path().join("targets.new").exists());
    Test::new(["targets", "--every", "5"]).fails(2, "--write");
    Test::new(["targets", "--write", "none/targets.json"]).fails(1, "none/targets");
}

#[test]
fn a_host_that_would_smuggle_words_is_refused() {
    let says = "\"up=1GB\" cannot stand behind a.example";
    Test::new(["allow", "t", "a.example up=1GB"]).fails(2, says);
    Test::new(["allow", "t", "a.example #"]).fails(2, "\"a.example #\" is not a host");
    Test::new(["allow", "t", "a.example", "--for", "soon"]).fails(2, "write it as 30m, 2h or 1d");
}

#[test]
fn init_writes_files_that_up_accepts_and_leaves_existing_ones_alone() {
    let mut test = Test::new(["init"])
        .file("agentnet.toml", "# mine\n")
        .repository();
    assert_eq!(test.run().code, 0);
    assert_eq!(
        fs_err::read_to_string(test.path().join("agentnet.toml")).unwrap(),
        "# mine\n"
    );
    fs_err::remove_file(test.path().join("agentnet.toml")).unwrap();
    assert_eq!(test.run().code, 0);
    test.args = vec!["up".into(), "t".into()];
    test.fails(3, NO_ENGINE);
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Test::new(["completions", shell]).run();
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("agentnet"), "{shell}");
    }
}
