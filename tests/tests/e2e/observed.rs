//! The profile `observe` with a real Prometheus in a container: it sees the proxy, and the agent does not see it.

use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::{compose_or_skip, skip};
use agentnet_e2e::command::run_with;
use agentnet_e2e::engine::{BASE_IMAGE, Engine};
use agentnet_e2e::origin::{UNLISTED, whitelist};
use agentnet_e2e::peers::peer;
use agentnet_e2e::stack::Stack;
use agentnet_e2e::{on_engines, probe, wait};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);

/// The packaged Prometheus as an image whose paths, user and volume are those of the released one. `None`: skipped.
fn prometheus_image(engine: &Engine) -> Option<()> {
    let root = match peer("prometheus") {
        Ok(root) => root,
        Err(reason) => {
            skip(&reason);
            return None;
        }
    };
    let context = tempfile::tempdir().unwrap();
    for program in ["prometheus", "promtool"] {
        std::fs::copy(
            root.join("usr/bin").join(program),
            context.path().join(program),
        )
        .unwrap();
    }
    let file = format!(
        "FROM {BASE_IMAGE}\nCOPY prometheus promtool /bin/\nRUN mkdir /prometheus && chown 65534:65534 /prometheus\n\
         USER 65534\nVOLUME /prometheus\nENTRYPOINT [\"/bin/prometheus\"]\n"
    );
    std::fs::write(context.path().join("Dockerfile"), file).unwrap();
    let mut build = engine.command("docker");
    build.args(["build", "--tag", &Engine::image("prometheus")]);
    run_with(build.arg(context.path()), "", Duration::from_secs(300)).expect();
    Some(())
}

/// The value of the only sample of an expression, as a person on the engine's host would ask.
fn sample(engine: &Engine, address: &str, expression: &str) -> Option<f64> {
    let script = format!(
        "curl --silent --max-time 10 http://{address}/api/v1/query --data-urlencode 'query={expression}'"
    );
    let answer: Value = serde_json::from_str(&engine.on_host(&script).stdout).ok()?;
    let result = &answer["data"]["result"][0]["value"][1];
    result.as_str()?.parse().ok()
}

fn is_watched(engine: &Engine, fence: &str) {
    if !compose_or_skip(engine) || prometheus_image(engine).is_none() {
        return;
    }
    let stack = Stack::new(engine, fence, &whitelist());
    let up = ["up", "--detach", "--wait", "agent", "prometheus"];
    stack.compose(&up).expect();
    let agent = stack.container("agent");
    let ask = format!("curl --silent --output /dev/null --max-time 10 http://{UNLISTED}/");
    engine.shell(&agent, &ask).expect();

    let address = stack.compose(&["port", "prometheus", "9090"]).expect();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let refused = format!(
        "sum(agentnet_proxy_blocked_hosts_total{{host=\"{UNLISTED}\", task=\"agent\", project=\"compose\"}})"
    );
    wait::until("the refusal in Prometheus", PATIENCE, || {
        sample(engine, &address, &refused).filter(|count| *count > 0.0)
    });
    let rules = engine
        .on_host(&format!("curl --silent http://{address}/api/v1/rules"))
        .expect();
    assert!(rules.contains("AgentnetEscapeAttempt"), "{rules}");

    // The agent sees nothing of it: not by address, and its proxy does not lead there either.
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let prometheus = stack.container("prometheus");
    let addresses = engine
        .docker(["inspect", "--format", format, &prometheus])
        .expect();
    let targets: Vec<_> = addresses
        .split_whitespace()
        .map(|address| format!("{address},9090"))
        .collect();
    assert_eq!(targets.len(), 2, "egress and observe: {addresses}");
    assert_eq!(
        probe::reached(engine, &agent, &targets),
        Vec::<String>::new()
    );
    let by_address = targets[0].replace(",9090", "");
    for (host, reason) in [
        ("prometheus", "not_listed"),
        ("grafana", "not_listed"),
        (&by_address, "private_address"),
    ] {
        let script = format!("curl --silent --include --max-time 10 http://{host}:9090/");
        let answer = engine.shell(&agent, &script).expect();
        assert!(answer.contains(reason), "{host}: {answer}");
    }
}

/// `agentnet targets` names addresses that the engine's host reaches and the agent does not.
fn is_found(engine: &Engine, fence: &str) {
    if !compose_or_skip(engine) || prometheus_image(engine).is_none() {
        return;
    }
    let checkout = Checkout::new(engine, Some(fence), &whitelist());
    checkout.agentnet(&["up", "one"]).expect();
    let stack = Stack::new(engine, "observe", "");
    let file = stack.directory().join("prometheus/targets/tasks.json");
    let write = ["targets", "--write", &file.to_string_lossy()];
    checkout.agentnet(&write).expect();
    let targets: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(targets[0]["labels"]["task"], "one");
    assert_eq!(targets[0]["labels"]["fence"], fence);
    let target = targets[0]["targets"][0].as_str().unwrap();

    let agent = checkout.container("one", "agent");
    let tried = [target.replace(':', ",")];
    assert_eq!(probe::reached(engine, &agent, &tried), Vec::<String>::new());

    stack
        .compose(&["up", "--detach", "--wait", "prometheus"])
        .expect();
    let address = format!("127.0.0.1:{}", stack.prometheus_port());
    let up = format!(
        "up{{job=\"agentnet\", task=\"one\", project=\"{}\"}}",
        checkout.project
    );
    wait::until("the task in Prometheus", PATIENCE, || {
        sample(engine, &address, &up).filter(|up| *up > 0.0)
    });

    // A proof of the fence asks for what no task should ask for, less often than the alert takes for an alarm.
    checkout.agentnet(&["verify", "one"]).expect();
    let tried = "sum(increase(agentnet_proxy_requests_total{reason=~\"private_address|loop|host_mismatch\"}[10m]))";
    wait::until("the proof's attempts", PATIENCE, || {
        sample(engine, &address, tried).filter(|count| (1.0..100.0).contains(count))
    });

    // A proxy that dies stays in the list, and is down.
    engine
        .docker(["kill", &checkout.container("one", "proxy")])
        .expect();
    let warned = checkout.agentnet(&write);
    assert!(
        warned.ok() && warned.stderr.contains("does not run"),
        "{warned}"
    );
    let down = format!("{up} == 0");
    wait::until("the task as down", PATIENCE, || {
        sample(engine, &address, &down)
    });

    // A task that was taken down is none.
    checkout.agentnet(&["down", "one", "--discard"]).expect();
    checkout.agentnet(&write).expect();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[]\n");
}

on_engines! {
    [isolating] fn the_network_stack_is_watched_from_where_no_agent_is(engine) {
        is_watched(engine, "network");
    }

    [current, old] fn the_socket_stack_is_watched_from_where_no_agent_is(engine) {
        is_watched(engine, "socket");
    }

    [isolating] fn prometheus_finds_a_task_behind_the_network_fence(engine) {
        is_found(engine, "network");
    }

    [current] fn prometheus_finds_a_task_behind_the_socket_fence(engine) {
        is_found(engine, "socket");
    }
}
