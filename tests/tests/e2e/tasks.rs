//! Three tasks at once, same ports inside: each has its way out, and no way to the others, the host or the internet.

use std::thread;
use std::time::Duration;

use agentnet_e2e::agentnet::{Checkout, SERVICE_PORT};
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED, whitelist};
use agentnet_e2e::{probe, wait};
use serde_json::Value;

use crate::{canaries, clients};

/// What bash says of a name that does not exist.
const NO_NAME: &str = "Name or service not known";

/// Answers about names are kept for 5 s.
const SOON: Duration = Duration::from_secs(20);

const TASKS: [&str; 3] = ["one", "two", "three"];

/// Every address of every container of a task, with the ports that something listens on.
fn addresses(checkout: &Checkout<'_>, task: &str) -> Vec<String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}";
    let mut targets = Vec::new();
    for role in ["proxy", "relay", "agent", "service"] {
        for container in checkout.containers(task, role) {
            let text = checkout
                .engine
                .docker(["inspect", "--format", format, &container])
                .expect();
            for address in text.split_whitespace() {
                targets.extend([8888, 9100, SERVICE_PORT].map(|port| format!("{address},{port}")));
            }
        }
    }
    targets
}

/// The proof, with the origin's name for what needs one.
fn is_sealed(checkout: &Checkout<'_>, task: &str) {
    let allowed = format!("{ALLOWED}:443");
    let verify = checkout.agentnet(&["verify", task, "--json", "--allowed", &allowed]);
    let document: Value = serde_json::from_str(&verify.expect()).expect("JSON");
    let rows = document["rows"].as_array().expect("rows");
    let fronting = rows.iter().find(|row| row["id"] == "fronting");
    let fronting = fronting.expect("the row of TLS for another name");
    assert_eq!(fronting["outcome"], "sealed", "{fronting}");
}

fn are_apart(engine: &Engine, fence: &str) {
    let canary = canaries::start(engine);
    let checkout = Checkout::new(engine, Some(fence), &whitelist()).with_service();
    thread::scope(|scope| {
        let ups = TASKS.map(|task| scope.spawn(|| checkout.agentnet(&["up", task])));
        for up in ups {
            up.join().unwrap().expect();
        }
    });

    let origin = Origin::start(engine, &checkout.network("one", "egress"));
    for task in ["two", "three"] {
        origin.join(&checkout.network(task, "egress"));
    }
    let before = canary.contacts();
    for task in TASKS {
        let agent = checkout.container(task, "agent");
        clients::get_through(engine, &agent, &origin);
        clients::are_refused(engine, &agent, &origin);
        clients::need_no_variables(engine, fence, &agent, &origin);

        // Its own service, by name, on the port that the other two use as well.
        let own = format!(
            "curl --silent --fail --noproxy web --max-time 10 http://web:{SERVICE_PORT}/ >/dev/null"
        );
        engine.shell(&agent, &own).expect();

        let mut targets = canary.targets();
        targets.extend(probe::outside());
        for other in TASKS.iter().filter(|other| **other != task) {
            targets.extend(addresses(&checkout, other));
        }
        // The far side of its own proxy as well: the admin port is there.
        let egress = checkout.network(task, "egress");
        let format = format!(
            "{{{{range .NetworkSettings.Networks}}}}{{{{if eq .NetworkID \"{egress}\"}}}}{{{{.IPAddress}}}}{{{{end}}}}{{{{end}}}}"
        );
        let far = engine
            .docker([
                "inspect",
                "--format",
                &format,
                &checkout.container(task, "proxy"),
            ])
            .expect();
        targets.extend([8888, 9100].map(|port| format!("{far},{port}")));
        assert_eq!(
            probe::reached(engine, &agent, &targets),
            Vec::<String>::new(),
            "{task}"
        );

        is_sealed(&checkout, task);
    }
    assert_eq!(
        canary.contacts(),
        before,
        "a service of the host heard from an agent"
    );

    // Somebody else's container on a network of ours is not ours to remove, and the network stays for it.
    let down = checkout.agentnet(&["down", "--all"]);
    assert_eq!(down.code(), Some(5), "something is left behind: {down}");
    assert!(
        down.stderr.contains("egress"),
        "what is left is named: {down}"
    );
    drop(origin);
    checkout.agentnet(&["gc"]).expect();
    assert_eq!(checkout.leftovers(), []);
}

on_engines! {
    [isolating] fn three_tasks_behind_network_fences_are_apart(engine) {
        are_apart(engine, "network");
    }

    [current, old] fn three_tasks_behind_socket_fences_are_apart(engine) {
        are_apart(engine, "socket");
    }

    [current, old] fn a_host_is_allowed_and_denied_while_the_task_runs(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        checkout.agentnet(&["up", "t"]).expect();
        let origin = Origin::start(engine, &checkout.network("t", "egress"));
        let agent = checkout.container("t", "agent");
        let listed = || {
            let script = format!("curl --silent --output /dev/null --write-out '%{{http_code}}' --max-time 10 http://{UNLISTED}/hello");
            engine.shell(&agent, &script).stdout
        };
        assert_eq!(listed(), "403");
        assert!(origin.requests().is_empty());
        checkout.agentnet(&["allow", "t", UNLISTED, "--for", "30m"]).expect();
        // The name is listed now; that it resolves to a private address is another matter, and another reason.
        let script = format!("curl --silent --include --max-time 10 http://{UNLISTED}/hello");
        assert!(engine.shell(&agent, &script).stdout.contains("private_address"));
        checkout.agentnet(&["deny", "t", ALLOWED]).expect();
        let script = format!("curl --silent --include --max-time 10 http://{ALLOWED}/hello");
        let refused = engine.shell(&agent, &script).stdout;
        assert!(refused.contains("rule_denied"), "{refused}");
    }

    [current, old] fn a_raw_rule_is_a_door_in_the_socket_fence_from_the_moment_it_is_allowed(engine) {
        let checkout = Checkout::new(engine, Some("socket"), &whitelist()).with_service();
        checkout.agentnet(&["up", "t"]).expect();
        let origin = Origin::start(engine, &checkout.network("t", "egress"));
        origin.serve_ssh();
        let agent = checkout.container("t", "agent");
        // What says its name first, to a program that knows nothing of proxies.
        let greet = |port: u16| {
            let script = format!("timeout 10 bash -c 'exec 3<>/dev/tcp/{UNLISTED}/{port} && head -c 8 <&3'");
            engine.shell(&agent, &script)
        };
        assert!(greet(22).text().contains(NO_NAME), "{}", greet(22));
        // One port is the door's, and one is that of the task's own service, which keeps it.
        let rules = [format!("{UNLISTED}:22 raw private"), format!("{UNLISTED}:{SERVICE_PORT} raw private")];
        checkout.agentnet(&["allow", "t", &rules[0], &rules[1]]).expect();
        wait::until("the door", SOON, || (greet(22).stdout == "SSH-2.0-").then_some(()));
        let web = format!("curl --silent --fail --noproxy '*' --max-time 10 http://web:{SERVICE_PORT}/ >/dev/null");
        engine.shell(&agent, &web).expect();
        let listening = engine.shell(&agent, "ss -Hltn | awk '{print $4}' | grep ^127.128 | sort").expect();
        let doors = listening.lines().filter(|line| !line.starts_with("127.128.0.1:"));
        let ports: Vec<&str> = doors.filter_map(|line| Some(line.rsplit_once(':')?.1)).collect();
        assert_eq!(ports, ["22", "443", "80"], "{listening}");

        checkout.agentnet(&["deny", "t", UNLISTED]).expect();
        wait::until("the end of the name", SOON, || greet(22).text().contains(NO_NAME).then_some(()));
        let events = checkout.agentnet(&["logs", "t", "--events"]).expect();
        let raw = events.lines().find(|line| line.contains(r#""protocol":"raw""#));
        assert!(raw.is_some_and(|line| line.contains(r#""reason":"allowed""#)), "{events}");
    }

    [current, old] fn a_run_gives_the_commands_own_exit_code_and_leaves_nothing(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        let run = checkout.agentnet(&["run", "t", "--", "sh", "-c", "cat README; exit 7"]);
        assert_eq!(run.code(), Some(7), "{run}");
        assert!(run.stdout.contains("a sample project"), "{run}");
        assert_eq!(checkout.leftovers(), []);
    }
}
