//! Agents' own command lines, from their packages, at work in a task: against a stand-in of their model's API that tells them
//! which tool to use next, and is told what came of it.

use std::path::Path;
use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::skip;
use agentnet_e2e::clients;
use agentnet_e2e::command::{Outcome, run_with};
use agentnet_e2e::engine::{Engine, Thing};
use agentnet_e2e::name::unique;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED, whitelist};
use agentnet_e2e::repository::{commit, git};
use agentnet_e2e::{on_engines, wait};
use fs_err as fs;
use serde_json::{Value, json};

use super::secrets::holding;

/// No other text has this: the key that the agent is given for its model.
const KEY: &str = "planted-5c20e4-key";
/// What the agent says at the end.
const SAID: &str = "The greeting is changed; one host was refused.";
const COMMIT: &str = "git commit --all --message 'Change the greeting' && git log --oneline";
/// How long an agent may take for its six questions. It is seconds.
const PATIENCE: Duration = Duration::from_secs(240);

/// Asks for a host that is not listed, and shows what came of it.
fn curl() -> String {
    format!("curl --silent --max-time 20 http://{UNLISTED}/; echo exit $?")
}

/// A model's stand-in that any task's proxy can be made to find.
fn model<'e>(engine: &'e Engine, steps: &Value) -> (Thing<'e>, Origin<'e>) {
    let name = unique("model");
    let network = Thing::network(engine, &name, &[]);
    let origin = Origin::start(engine, &name);
    origin.follow(&steps.to_string());
    (network, origin)
}

/// A checkout whose task may reach the stand-in and believes it.
fn checkout<'e>(engine: &'e Engine, origin: &Origin<'_>, image: &str, agent: &str) -> Checkout<'e> {
    let checkout = Checkout::new(engine, None, &whitelist());
    let file = checkout.directory().join("agentnet.toml");
    let text = fs::read_to_string(file).expect("agentnet.toml");
    let text = text.replace(&Engine::image("agent"), image);
    checkout.set_config(&format!("{text}{agent}"));
    fs::write(checkout.directory().join("ca.pem"), origin.authority()).expect("a file");
    commit(&checkout.directory(), "Believe the stand-in");
    checkout
}

fn document(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

/// The stand-in's list of steps, what each came to, and among them the sentence that says what was refused.
#[track_caller]
fn was_told_of_the_refusal(asked: &[String], list: &str, kinds: [&str; 2]) {
    let [step, result] = kinds;
    let last: Value = serde_json::from_str(asked.last().expect("a request")).expect("JSON");
    let turns = last[list].as_array().expect("a list");
    let within = |turn: &Value| turn["content"].as_array().cloned().unwrap_or_default();
    let parts: Vec<Value> = turns
        .iter()
        .flat_map(within)
        .chain(turns.iter().cloned())
        .collect();
    let of = |kind: &str| -> Vec<String> {
        let parts = parts.iter().filter(|part| part["type"] == kind);
        parts.map(ToString::to_string).collect()
    };
    assert_eq!(of(step).len(), of(result).len(), "{last}");
    let results = of(result);
    let refused = results.iter().find(|text| text.contains("exit 0"));
    let refused = refused.unwrap_or_else(|| panic!("no result of curl's: {results:#?}"));
    for part in [UNLISTED, "not_listed", "whitelist"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

/// The results of a task in which an agent did as it was told. `given`: where the task still has its key.
fn are_collected(checkout: &Checkout<'_>, out: &Path, given: &[&str]) {
    let report = document(&out.join("report.json"));
    assert_eq!(report["commits"], 1, "{report}");
    assert_eq!(report["sealed"], true, "{report}");
    let patch = fs::read_to_string(out.join("changes.patch")).expect("a patch");
    for line in ["-print('hello')", "+print('changed')", "+not committed"] {
        assert!(patch.lines().any(|had| had == line), "{line}: {patch}");
    }
    let mails = fs::read_to_string(out.join("commits.mbox")).expect("mails");
    assert!(mails.contains("Change the greeting"), "{mails}");
    let decisions = fs::read_to_string(out.join("decisions.jsonl")).expect("decisions");
    let refused = |line: &str| line.contains(UNLISTED) && line.contains("\"not_listed\"");
    assert!(decisions.lines().any(refused), "{decisions}");
    let network = document(&out.join("network.json"));
    let names = |list: &str, host: &str| {
        let list = network[list].as_array().expect("a list");
        list.iter().any(|entry| entry["host"] == host)
    };
    assert!(names("reached", ALLOWED), "{network}");
    assert!(names("refused", UNLISTED), "{network}");
    let with_key = [holding(out, KEY), holding(&checkout.state(), KEY)].concat();
    let task = checkout
        .state()
        .join("tasks")
        .join(&checkout.project)
        .join("t");
    let given: Vec<_> = given.iter().map(|file| task.join(file)).collect();
    assert_eq!(with_key, given, "where the key is");
}

/// `agentnet WORDS…` with the key in the person's environment.
fn agentnet(checkout: &Checkout<'_>, words: &[&str]) -> Outcome {
    let mut command = checkout.command(words);
    for name in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"] {
        command.env(name, KEY);
    }
    run_with(&mut command, "", PATIENCE)
}

on_engines! {
    [current] fn claude_code_edits_commits_is_refused_a_host_and_its_results_are_collected(engine) {
        let image = match clients::image(engine) {
            Ok(image) => image,
            Err(reason) => return skip(&reason),
        };
        let steps = json!([
            {"tool": "Read", "input": {"file_path": "/workspace/main.py"}},
            {"tool": "Edit", "input": {"file_path": "/workspace/main.py", "old_string": "'hello'", "new_string": "'changed'"}},
            {"tool": "Bash", "input": {"command": COMMIT}},
            {"tool": "Bash", "input": {"command": curl()}},
            {"tool": "Write", "input": {"file_path": "/workspace/notes", "content": "not committed\n"}},
            SAID,
        ]);
        let (_network, origin) = model(engine, &steps);
        let checkout = checkout(engine, &origin, &image, &format!(
            "\n[agent.env]\nANTHROPIC_BASE_URL = \"https://{ALLOWED}\"\nNODE_EXTRA_CA_CERTS = \"/workspace/ca.pem\"\n\
             CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = \"1\"\n[credentials]\nenv = [\"ANTHROPIC_API_KEY\"]\n"
        ));
        let home = tempfile::tempdir().expect("a directory");
        let out = home.path().join("out");
        let directory = out.to_string_lossy();
        let words = ["run", "t", "--grant", "--agent", "claude", "--results", &directory, "--", "Change the greeting."];
        let run = std::thread::scope(|scope| {
            let run = scope.spawn(|| agentnet(&checkout, &words));
            // The stand-in is on the task's way out from its beginning until the last word is said, so that it can go.
            let last = steps.as_array().map_or(0, Vec::len);
            let mut joined = None;
            wait::until("the agent to have asked for the last time", PATIENCE, || {
                if joined.is_none() {
                    joined = checkout.networks("t", "egress").pop();
                    joined.iter().for_each(|network| origin.join(network));
                }
                (run.is_finished() || origin.asked().len() >= last).then_some(())
            });
            joined.iter().for_each(|network| origin.leave(network));
            run.join().unwrap()
        });
        let asked = origin.asked();
        assert_eq!(run.code(), Some(0), "{run}\n{asked:?}");
        assert!(run.stdout.contains(SAID), "{run}");

        was_told_of_the_refusal(&asked, "messages", ["tool_use", "tool_result"]);
        are_collected(&checkout, &out, &[]);
        let report = document(&out.join("report.json"));
        assert_eq!(report["outcome"]["ended"], "exited", "{report}");
        assert_eq!(report["outcome"]["code"], 0, "{report}");

        // The commit came over when the task went, and what was not committed as well.
        let log = git(&checkout.directory(), &["log", "--format=%s", "agentnet/t"]);
        assert_eq!(log.lines().next(), Some("Change the greeting"), "{log}");
        let saved = git(&checkout.directory(), &["show", "refs/agentnet/wip/t:notes"]);
        assert_eq!(saved, "not committed");
        assert_eq!(checkout.leftovers(), []);
    }
    [current] fn codex_does_the_same_in_a_task_that_stays_up_until_its_commit_is_here(engine) {
        let image = match clients::image(engine) {
            Ok(image) => image,
            Err(reason) => return skip(&reason),
        };
        let exec = |command: &str| json!({"tool": "exec_command", "input": {"cmd": command}});
        let steps = json!([
            exec("apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: main.py\n@@\n-print('hello')\n+print('changed')\n\
                  *** Add File: notes\n+not committed\n*** End Patch\nEOF"),
            exec(COMMIT),
            exec(&curl()),
            SAID,
        ]);
        let (_network, origin) = model(engine, &steps);
        let checkout = checkout(engine, &origin, &image, "\n[agent.env]\nSSL_CERT_FILE = \"/workspace/ca.pem\"\n\
            [credentials]\nenv = [\"OPENAI_API_KEY\"]\n");
        agentnet(&checkout, &["up", "t", "--grant", "--agent", "codex"]).expect();
        origin.join(&checkout.network("t", "egress"));
        let settings = format!(
            "model = \"sample\"\nmodel_provider = \"here\"\n[model_providers.here]\nname = \"here\"\n\
             base_url = \"https://{ALLOWED}/v1\"\nenv_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n"
        );
        let agent = checkout.container("t", "agent");
        engine.shell(&agent, "mkdir -p ~/.codex").expect();
        engine.write(&agent, "/home/agent/.codex/config.toml", &settings);
        let words = ["exec", "t", "--", "codex", "exec", "--dangerously-bypass-approvals-and-sandbox", "Change the greeting."];
        let run = agentnet(&checkout, &words);
        assert_eq!(run.code(), Some(0), "{run}");
        assert!(run.stdout.contains(SAID), "{run}");
        let asked = origin.asked();
        was_told_of_the_refusal(&asked, "input", ["function_call", "function_call_output"]);

        checkout.agentnet(&["sync", "t"]).expect();
        let log = git(&checkout.directory(), &["log", "--format=%s", "agentnet/t"]);
        assert_eq!(log.lines().next(), Some("Change the greeting"), "{log}");
        let home = tempfile::tempdir().expect("a directory");
        let out = home.path().join("out");
        checkout.agentnet(&["results", "t", &out.to_string_lossy()]).expect();
        are_collected(&checkout, &out, &["secrets/env"]);
        origin.leave(&checkout.network("t", "egress"));
        checkout.agentnet(&["down", "t", "--discard"]).expect();
        assert_eq!(checkout.leftovers(), []);
    }
}
