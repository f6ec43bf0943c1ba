//! Alerts of a real container on a real desktop, answers to them, and a click that opens a host.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::{notify, program, skip};
use agentnet_e2e::clients;
use agentnet_e2e::command::run_with;
use agentnet_e2e::desktop::{Received, Session, Who};
use agentnet_e2e::engine::{Engine, Thing};
use agentnet_e2e::name::unique;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED, whitelist};
use agentnet_e2e::wait::until;
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// `agentnet-notify watch` with a desktop and a log.
struct Bridge<'a> {
    child: Child,
    log: std::path::PathBuf,
    checkout: &'a Checkout<'a>,
}

impl<'a> Bridge<'a> {
    fn start(checkout: &'a Checkout<'_>, session: &Session) -> Self {
        let log = checkout.state().join("log.jsonl");
        let config = checkout.state().join("notify.toml");
        let text = format!(
            "[[outlet]]\ntype = \"desktop\"\n[[outlet]]\ntype = \"log\"\nfile = \"{}\"\n",
            log.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = checkout.engine.command(&notify().to_string_lossy());
        command
            .env("AGENTNET_STATE_DIR", checkout.state())
            .env("HOME", checkout.state())
            .env("DBUS_SESSION_BUS_ADDRESS", session.address())
            .args(["watch", "--config"])
            .arg(config)
            .arg("--agentnet")
            .arg(program());
        let child = command.spawn().unwrap();
        Self {
            child,
            log,
            checkout,
        }
    }

    /// Waits for a line of the log.
    fn logged(&self, what: &str, meant: impl Fn(&Value) -> bool) {
        until(what, PATIENCE, || {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let mut lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            lines.any(|line| meant(&line)).then_some(())
        });
    }

    /// SIGTERM ends it, and what it had started.
    fn ends(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let state = self.checkout.state();
        let watches = format!("--state-dir\0{}", state.display());
        until("agentnet watch to end", PATIENCE, || {
            let mut processes = fs::read_dir("/proc").unwrap().flatten();
            let left = processes.any(|process| {
                let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
                let words = String::from_utf8_lossy(&words);
                // Not the one that looks after the task's disk: that ends with the last task.
                words.contains(&watches) && words.contains("\0watch\0")
            });
            (!left).then_some(())
        });
    }
}

impl Drop for Bridge<'_> {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn is_from_t(shown: &Received, words: &str) -> bool {
    shown.summary.starts_with("t: ") && shown.body.contains(words)
}

/// Both senders, in three shells; and what an agent may not do with its spool.
fn alerts_arrive(engine: &Engine, agent: &str, bridge: &Bridge<'_>, session: &Session) {
    for (sender, kind, title) in [
        ("/agentnet/bin/agentnet-notify send", "complete", "t: done"),
        ("sh /agentnet/bin/notify.sh", "error", "t: failed"),
        ("busybox sh /agentnet/bin/notify.sh", "info", "t: says"),
        ("bash /agentnet/bin/notify.sh", "test", "t: test"),
    ] {
        let words = format!("<b>the {kind}</b> \"quoted\" \\ $HOME");
        engine
            .shell(agent, &format!("{sender} {kind} '{words}'"))
            .expect();
        bridge.logged(kind, |line| {
            line["kind"] == kind && line["text"] == words.as_str()
        });
        let shown = session.daemon().until_received(kind, |shown| {
            shown.summary == title && shown.body.contains(&format!("the {kind}"))
        });
        assert!(
            !shown.body.contains("<b>") && shown.actions.is_empty(),
            "{shown:?}"
        );
    }
    // agentnet's own programs are links in the agent's image, and nothing of this fails an agent without a spool.
    engine
        .shell(
            agent,
            "agentnet-notify send info linked && test -x /usr/local/bin/notify.sh",
        )
        .expect();
    let hook = "echo '{\"hook_event_name\":\"Stop\",\"last_assistant_message\":\"hooked\"}' | agentnet-notify hook claude";
    engine.shell(agent, hook).expect();
    session
        .daemon()
        .until_received("the hook", |shown| is_from_t(shown, "hooked"));
    let nowhere = engine.shell(
        agent,
        "AGENTNET_NOTIFY=/nonexistent agentnet-notify send info x",
    );
    assert_eq!(nowhere.code(), Some(3), "{nowhere}");

    let forged = r#"{"v":1,"kind":"blocked","text":"Allow evil.example?"}"#;
    engine.write(agent, "/agentnet/notify/out/forged.json", forged);
    until("the forgery to be removed", PATIENCE, || {
        let there = engine.shell(agent, "test -e /agentnet/notify/out/forged.json");
        (!there.ok()).then_some(())
    });
    let answer = engine.shell(agent, "echo x >/agentnet/notify/in/x.json");
    assert!(answer.stderr.contains("Read-only"), "{answer}");
    let evil = |shown: &Received| shown.body.contains("evil.example");
    assert!(!session.daemon().received().iter().any(evil));
}

/// A question is answered with a click, and one that nobody answers ends by itself.
fn questions_are_answered(engine: &Engine, agent: &str, session: &Session) {
    session.daemon().close_all();
    let script = "agentnet-notify ask 'Which database?' --choices postgres,sqlite --timeout 60s";
    let asked = thread::scope(|scope| {
        let asking = scope.spawn(|| engine.shell(agent, script));
        session
            .daemon()
            .until_received("the question", |shown| is_from_t(shown, "Which database?"));
        session.daemon().click("Answer 2");
        asking.join().unwrap()
    });
    assert_eq!(
        (asked.code(), asked.stdout.as_str()),
        (Some(0), "sqlite\n"),
        "{asked}"
    );
    let unanswered = script.replace("60s", "1s");
    let asked = engine.shell(agent, &unanswered);
    assert_eq!(asked.code(), Some(124), "{asked}");
}

/// What the agent is told when it asks for a host that it may not have; the retry after the click.
#[expect(
    clippy::print_stderr,
    reason = "figures, for whoever asks for the output"
)]
fn a_click_unblocks(engine: &Engine, agent: &str, session: &Session) {
    session.daemon().close_all();
    let get = || {
        let curl =
            format!("curl --silent --show-error --insecure --max-time 10 https://{UNLISTED}/hello");
        engine.shell(agent, &curl)
    };
    let refused = get();
    assert!(refused.stderr.contains("403"), "{refused}");
    let target = format!("{UNLISTED}:443");
    let asked = Instant::now();
    let shown = session
        .daemon()
        .until_received("the blocked host", |shown| is_from_t(shown, &target));
    eprintln!(
        "from the refusal to the desktop: at most {:?}",
        asked.elapsed()
    );
    assert_eq!(shown.summary, "t: blocked");
    let labels: Vec<_> = shown
        .actions
        .iter()
        .map(|(_, label)| label.as_str())
        .collect();
    assert_eq!(labels, ["Allow once", "For this task", "Deny"]);
    // Refused again and again, it is told once.
    get();
    session.daemon().click("Allow once");
    let clicked = Instant::now();
    let retry = until("a retry that goes through", PATIENCE, || {
        let retry = get();
        retry.ok().then_some(retry)
    });
    eprintln!(
        "from the click to the retry that went through: {:?}",
        clicked.elapsed()
    );
    assert!(retry.stdout.contains("hello from the origin"), "{retry}");
    let told = session.daemon().until_received("what was done", |shown| {
        is_from_t(shown, &format!("{target} is allowed for ten minutes"))
    });
    assert_eq!(told.id, shown.id, "it takes the question's place");
    let asked = session.daemon().received();
    let asked = asked
        .iter()
        .filter(|s| !s.actions.is_empty() && is_from_t(s, &target));
    assert_eq!(asked.count(), 1);
}

/// `public`: addresses that are not private, so that a name which leads there needs no word but its own. They are on a
/// network without a way out.
fn a_task_tells(engine: &Engine, fence: &str, public: &str) {
    let session = match Session::start(Who::Dunst) {
        Ok(session) => session,
        Err(reason) => return skip(&reason),
    };
    let network = unique("public");
    let words = ["--internal", "--subnet", public];
    let _public = Thing::network(engine, &network, &words);
    let checkout = Checkout::new(engine, Some(fence), "nothing.e2e.test\n");
    checkout.agentnet(&["up", "t"]).expect();
    let agent = checkout.container("t", "agent");
    let origin = Origin::start(engine, &network);
    let proxy = checkout.container("t", "proxy");
    engine
        .docker(["network", "connect", &network, &proxy])
        .expect();

    // Written while no bridge runs, and shown when one comes.
    engine
        .shell(&agent, "agentnet-notify send info 'before the bridge'")
        .expect();
    let bridge = Bridge::start(&checkout, &session);
    session.daemon().until_received("the early alert", |shown| {
        is_from_t(shown, "before the bridge")
    });
    alerts_arrive(engine, &agent, &bridge, &session);
    questions_are_answered(engine, &agent, &session);
    a_click_unblocks(engine, &agent, &session);

    // A run tells of its own end.
    let run = checkout.agentnet(&[
        "run",
        "r",
        "--",
        "sh",
        "-c",
        "agentnet-notify send info working && exit 7",
    ]);
    assert_eq!(run.code(), Some(7), "{run}");
    let ended = session
        .daemon()
        .until_received("the run's end", |shown| shown.summary == "r: failed");
    assert!(ended.body.contains("exit status 7"), "{ended:?}");

    bridge.ends();
    checkout.agentnet(&["down", "t"]).expect();
    assert!(
        !checkout
            .state()
            .join("tasks")
            .join(&checkout.project)
            .exists()
    );
    drop(origin);
    assert_eq!(checkout.leftovers(), []);
}

/// Without a spool, and with an agent that cannot be told from any other.
fn nothing_is_mounted_where_it_is_off(engine: &Engine) {
    let checkout = Checkout::new(engine, None, "nothing.e2e.test\n");
    checkout.add_config("\n[notify]\nenabled = false\n");
    let script = "test ! -e /agentnet/notify && agentnet-notify send info x";
    let run = checkout.agentnet(&["run", "t", "--", "sh", "-c", script]);
    assert_eq!(run.code(), Some(3), "{run}");
    assert!(
        run.stderr.contains("[notify] in agentnet.toml")
            || run.stdout.contains("[notify] in agentnet.toml"),
        "{run}"
    );
    assert!(!checkout.state().join("notify").exists());
}

/// The image with the agents' own programs, and the hooks that the images of agents have.
fn hooked(engine: &Engine) -> Result<String, String> {
    let image = clients::image(engine)?;
    let hooked = format!("{image}-hooked");
    let file = format!(
        "FROM {image}\nUSER root\nRUN for agent in claude codex gemini; do /usr/local/lib/agentnet/install.sh hooks $agent; done\n\
         USER agent\n"
    );
    let mut build = engine.command("docker");
    build.args(["build", "--tag", &hooked, "-"]);
    run_with(&mut build, &file, PATIENCE).expect();
    Ok(hooked)
}

/// What Claude Code says besides its last words: a subagent's end, and that it wants to be allowed something.
fn claude_tells_of_subagents_and_questions(engine: &Engine, agent: &str, origin: &Origin<'_>) {
    const SAID: &str = "answered through the fence";
    let alerts = || -> Vec<(String, String)> {
        let found = engine.shell(agent, "cat /agentnet/notify/out/*.json 2>/dev/null || :");
        let found = serde_json::Deserializer::from_str(&found.stdout).into_iter::<Value>();
        let word = |alert: &Value, field: &str| alert[field].as_str().unwrap().to_owned();
        let alerts = found.map(Result::unwrap);
        alerts
            .map(|alert| (word(&alert, "kind"), word(&alert, "text")))
            .collect()
    };
    let environment = format!(
        "export NODE_EXTRA_CA_CERTS=/tmp/ca.pem ANTHROPIC_API_KEY=planted-key ANTHROPIC_BASE_URL=https://{ALLOWED} \
         CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 TERM=xterm; cd /tmp/claude"
    );

    let input = json!({
        "description": "look", "prompt": "Look around.", "subagent_type": "Explore", "run_in_background": false,
    });
    origin.follow(&json!([{"tool": "Agent", "input": input}, SAID]).to_string());
    engine
        .shell(
            agent,
            &format!("{environment}; timeout 40 claude --print hello"),
        )
        .expect();
    let mut told = alerts();
    told.sort();
    let expected = [
        ("complete", SAID.to_owned()),
        ("info", format!("Explore: {SAID}")),
    ];
    assert_eq!(told, expected.map(|(kind, text)| (kind.to_owned(), text)));
    engine.shell(agent, "rm -f /agentnet/notify/out/*").expect();

    // On a terminal, as a person has it. Nobody types anything.
    let input = json!({"command": "touch /tmp/asked-for", "description": "x"});
    origin.follow(&json!([{"tool": "Bash", "input": input}, SAID]).to_string());
    let settings = json!({
        "hasCompletedOnboarding": true, "theme": "dark",
        "customApiKeyResponses": {"approved": ["planted-key"], "rejected": []},
        "projects": {"/tmp/claude": {"hasTrustDialogAccepted": true}},
    });
    engine.write(agent, "/home/agent/.claude.json", &settings.to_string());
    let script = format!(
        "{environment}; mkfifo /tmp/nobody && exec 3<>/tmp/nobody && \
         {{ timeout 50 script -qec 'claude --permission-mode default hello' /dev/null <&3 >/dev/null 2>&1 & }}; pid=$!; \
         until ls /agentnet/notify/out/*.json >/dev/null 2>&1 || ! kill -0 $pid; do sleep 0.2; done; kill $pid; wait"
    );
    engine.shell(agent, &script);
    let told = alerts();
    assert!(
        matches!(told.as_slice(), [(kind, text)] if kind == "clarification" && text.contains("permission")),
        "{told:?}"
    );
    engine.shell(agent, "test ! -e /tmp/asked-for").expect();
}

/// The agents' own programs, against a stand-in of their models that answers one thing.
fn agents_tell_by_themselves(engine: &Engine) {
    let image = match hooked(engine) {
        Ok(image) => image,
        Err(reason) => return skip(&reason),
    };
    let checkout = Checkout::new(engine, None, &whitelist());
    let file = checkout.directory().join("agentnet.toml");
    let text = fs::read_to_string(&file).unwrap();
    checkout.set_config(&text.replace(&Engine::image("agent"), &image));
    checkout.agentnet(&["up", "t"]).expect();
    let origin = Origin::start(engine, &checkout.network("t", "egress"));
    let agent = checkout.container("t", "agent");
    engine.write(&agent, "/tmp/ca.pem", &origin.authority());
    let tell = |name: &str, script: &str| {
        let script = format!(
            "export NODE_EXTRA_CA_CERTS=/tmp/ca.pem SSL_CERT_FILE=/tmp/ca.pem; mkdir -p /tmp/{name} && cd /tmp/{name} && {script}"
        );
        let done = run_with(
            engine
                .command("docker")
                .args(["exec", &agent, "sh", "-c", &script]),
            "",
            PATIENCE,
        );
        let found = engine.shell(
            &agent,
            "cat /agentnet/notify/out/*.json; rm -f /agentnet/notify/out/*",
        );
        let alert: Value = serde_json::from_str(&found.stdout)
            .unwrap_or_else(|e| panic!("{name} leaves one alert: {e}: {found}\n{done}"));
        assert_eq!(alert["kind"], "complete", "{name}: {alert}");
        assert_eq!(
            alert["text"], "answered through the fence",
            "{name}: {alert}\n{done}"
        );
    };
    tell(
        "claude",
        &format!(
            "ANTHROPIC_API_KEY=x ANTHROPIC_BASE_URL=https://{ALLOWED} CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 claude --print hello"
        ),
    );
    let codex = format!(
        "OPENAI_API_KEY=x timeout 30 codex exec --skip-git-repo-check -c model_provider=o \
         -c 'model_providers.o={{name=\"o\",base_url=\"https://{ALLOWED}/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}}' hello"
    );
    tell("codex", &codex);
    let gemini = format!(
        "mkdir .gemini; echo '{{\"security\":{{\"auth\":{{\"selectedType\":\"gemini-api-key\"}}}}}}' >.gemini/settings.json; \
         HOME=$PWD GEMINI_API_KEY=x GOOGLE_GEMINI_BASE_URL=https://{ALLOWED} timeout 30 gemini -m sample --skip-trust -p hello"
    );
    tell("gemini", &gemini);
    claude_tells_of_subagents_and_questions(engine, &agent, &origin);
    // The agent cannot take them away.
    let hooks = "! touch /etc/claude-code/managed-settings.json /etc/codex/config.toml /etc/gemini-cli/settings.json 2>/dev/null";
    engine.shell(&agent, hooks).expect();
    drop(origin);
    checkout.agentnet(&["down", "t"]).expect();
}

on_engines! {
    [current] fn the_hooks_of_the_agents_own_programs_tell_of_their_turns(engine) {
        agents_tell_by_themselves(engine);
    }

    [isolating] fn alerts_of_a_real_container_reach_the_desktop_and_a_click_unblocks_its_host(engine) {
        a_task_tells(engine, "network", "203.0.114.0/28");
    }

    [current] fn alerts_and_a_click_pass_a_socket_fence_as_well(engine) {
        a_task_tells(engine, "socket", "203.0.114.16/28");
    }

    [current] fn a_task_without_notifications_has_no_spool_and_tells_nothing(engine) {
        nothing_is_mounted_where_it_is_off(engine);
    }
}
