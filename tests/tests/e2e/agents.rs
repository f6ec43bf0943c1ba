//! Agents and their images: built behind the fence, run unattended, kept when they fail.

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::{BASE_IMAGE, Engine, Thing};
use agentnet_e2e::name::unique;
use agentnet_e2e::{on_engines, wait};
use fs_err as fs;

use std::time::Duration;

/// A web server on the engine's own host.
fn on_host<'e>(engine: &'e Engine, port: &str) -> Thing<'e> {
    let name = unique("host-server");
    let words = [
        "--network=host",
        "--init",
        "--workdir=/etc/default",
        BASE_IMAGE,
        "python3",
        "-m",
        "http.server",
        port,
    ];
    let server = Thing::container(engine, &name, &words);
    wait::until("the server", Duration::from_secs(30), || {
        let script = format!("curl --silent --fail --output /dev/null http://127.0.0.1:{port}/");
        engine.on_host(&script).ok().then_some(())
    });
    server
}

/// The address of the engine's host on its own bridge.
fn host_address(engine: &Engine) -> String {
    let script = "ip -4 -o addr show docker0 | sed 's|.* inet \\([0-9.]*\\)/.*|\\1|'";
    engine.on_host(script).expect()
}

/// `agentnet.toml` of a checkout without its image, and with these lines of `[agent]`.
fn set_agent(checkout: &Checkout<'_>, lines: &str) {
    let file = checkout.directory().join("agentnet.toml");
    let agent = format!("image = \"{}\"\n", Engine::image("agent"));
    let text = fs::read_to_string(&file).unwrap();
    checkout.set_config(&text.replace(&agent, lines));
}

fn builds_behind_the_fence(engine: &Engine, fence: &str, [open, closed]: [&str; 2]) {
    let address = host_address(engine);
    let _allowed = on_host(engine, open);
    let _refused = on_host(engine, closed);
    let checkout = Checkout::new(engine, Some(fence), &format!("{address}:{open} host\n"));
    // Over the proxy, past it, and by name: one way is open, and the build of who finds another fails.
    let dockerfile = format!(
        "FROM {BASE_IMAGE}\n\
         RUN curl --silent --fail http://{address}:{open}/ >/index\n\
         RUN ! curl --silent --fail http://{address}:{closed}/ >/dev/null\n\
         RUN ! curl --silent --max-time 5 --noproxy '*' http://{address}:{open}/ >/dev/null\n\
         RUN ! getent hosts example.com\n"
    );
    set_agent(
        &checkout,
        &format!("dockerfile = '''\n{dockerfile}'''\nfenced_build = true\n"),
    );
    let words = ["run", "t", "--", "test", "-s", "/index"];
    let run = checkout.agentnet(&words);
    assert_eq!(run.code(), Some(0), "{run}");
    assert!(
        run.stderr
            .contains("bringing the task's fence up for the build"),
        "{run}"
    );
    assert_eq!(checkout.leftovers(), []);

    // What a step asked for and may not have, the build does not get.
    let broken = dockerfile.replace(
        "RUN ! getent hosts example.com",
        &format!("RUN curl --silent --show-error --fail http://{address}:{closed}/"),
    );
    checkout.set_config(
        &fs::read_to_string(checkout.directory().join("agentnet.toml"))
            .unwrap()
            .replace(&dockerfile, &broken),
    );
    let run = checkout.agentnet(&words);
    assert_eq!(run.code(), Some(125), "{run}");
    assert!(
        run.stderr.contains("its last words") && run.stderr.contains("403"),
        "{run}"
    );
    assert_eq!(checkout.leftovers(), []);
}

/// Images that a test built go with it.
fn forget_images(checkout: &Checkout<'_>) {
    let engine = checkout.engine;
    let listed = engine
        .docker(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"])
        .expect();
    for image in listed
        .lines()
        .filter(|line| line.contains(&checkout.project))
    {
        engine.docker(["image", "rm", image]);
    }
}

on_engines! {
    [isolating] fn an_image_is_built_behind_the_network_fence(engine) {
        builds_behind_the_fence(engine, "network", ["18081", "18082"]);
    }

    [current, old] fn an_image_is_built_behind_the_socket_fence(engine) {
        builds_behind_the_fence(engine, "socket", ["18083", "18084"]);
    }

    [current] fn an_environment_is_built_and_an_agent_works_an_issue_off_in_it(engine) {
        let checkout = Checkout::new(engine, None, "");
        set_agent(&checkout, "preset = \"minimal\"\ndockerfile = '''\nARG BASE\nFROM ${BASE}\nENV MARK=here\n'''\n");
        let text = fs::read_to_string(checkout.directory().join("agentnet.toml")).unwrap();
        checkout.set_config(&text.replace("[images]\n", &format!("[images]\nbase = \"{BASE_IMAGE}\"\n")));
        let issue = checkout.directory().join("issue.md");
        fs::write(&issue, "It crashes.\n").unwrap();

        // `shell` is the agent whose prompt is a command line.
        let script = "test \"$MARK\" = here && id --user --name && touch /workspace/a ~/b && cat \"$AGENTNET_ISSUE\" \
            && ! sudo true 2>/dev/null && ! touch /etc/x 2>/dev/null && exit 7";
        let run = checkout.agentnet(&["run", "t", "--keep", "--agent", "shell", "--", script]);
        assert_eq!(run.code(), Some(1), "there is no issue yet: {run}");
        assert!(run.stdout.starts_with("agent\n"), "{run}");
        assert!(run.stderr.contains("task t is kept as it is"), "{run}");
        checkout.agentnet(&["exec", "t", "--", "true"]).expect();
        checkout.agentnet(&["gc"]).expect();
        checkout.agentnet(&["exec", "t", "--", "true"]).expect();
        checkout.agentnet(&["down", "t", "--discard"]).expect();

        let issue = issue.to_string_lossy();
        let up = checkout.agentnet(&["up", "t", "--issue", &issue, "--agent", "shell"]);
        up.expect();
        let seen = checkout.agentnet(&["exec", "t", "--", "bash", "-c", script]);
        assert_eq!((seen.code(), seen.stdout.as_str()), (Some(7), "agent\nIt crashes.\n"), "{seen}");
        let read_only = checkout.agentnet(&["exec", "t", "--", "sh", "-c", "echo x >>\"$AGENTNET_ISSUE\""]);
        read_only.expect_failure();
        checkout.agentnet(&["down", "t", "--discard"]).expect();
        assert_eq!(checkout.leftovers(), []);
        forget_images(&checkout);
    }
}
