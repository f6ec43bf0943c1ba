//! Fences that somebody opened on purpose: `verify` finds each, and says which way was open.

use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::{BASE_IMAGE, Engine, Thing};
use agentnet_e2e::name::unique;
use agentnet_e2e::origin::whitelist;
use agentnet_e2e::{on_engines, wait};

/// Keeps the process away that ends a task whose fence is opened: here `verify` is to find it.
fn unwatched(checkout: &Checkout<'_>) -> fs_err::File {
    fs_err::create_dir_all(checkout.state()).unwrap();
    let lock = fs_err::File::create(checkout.state().join("disk.lock")).unwrap();
    lock.file().lock().unwrap();
    lock
}

/// A task that is up and proven sealed.
fn sealed<'e>(engine: &'e Engine, fence: &str) -> Opened<'e> {
    let checkout = Checkout::new(engine, Some(fence), &whitelist());
    let lock = unwatched(&checkout);
    checkout.agentnet(&["up", "t"]).expect();
    checkout.agentnet(&["verify", "t"]).expect();
    Opened {
        checkout,
        _lock: lock,
    }
}

/// A task that nobody watches.
struct Opened<'e> {
    checkout: Checkout<'e>,
    _lock: fs_err::File,
}

impl<'e> std::ops::Deref for Opened<'e> {
    type Target = Checkout<'e>;
    fn deref(&self) -> &Checkout<'e> {
        &self.checkout
    }
}

/// The engine's name for the bridge of the fence.
fn bridge(checkout: &Checkout<'_>) -> String {
    format!("br-{}", checkout.network("t", "fence").get(..12).unwrap())
}

/// Runs as root in a network namespace, `host` or `container:ID`, as an operator's mistake would.
fn as_root(engine: &Engine, namespace: &str, script: &str) {
    let network = format!("--network={namespace}");
    engine
        .docker([
            "run",
            "--rm",
            "--privileged",
            &network,
            BASE_IMAGE,
            "sh",
            "-c",
            script,
        ])
        .expect();
}

/// An address of the fence's block that nobody has, and the agent's container.
fn neighbour(checkout: &Checkout<'_>) -> (String, String) {
    let agent = checkout.container("t", "agent");
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = checkout
        .engine
        .docker(["inspect", "--format", format, &agent])
        .expect();
    let (block, last) = address.rsplit_once('.').expect("an IPv4 address");
    let last: u8 = last.parse().expect("a number");
    // The last usable address of a /28.
    (format!("{block}.{}", (last | 15) - 1), agent)
}

/// The words of a leak in the table: which way was open, and how it showed.
fn leaks(checkout: &Checkout<'_>) -> Vec<(String, String)> {
    let verify = checkout.agentnet(&["verify", "t", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&verify.stdout).expect("JSON");
    let sealed = document.get("sealed").and_then(serde_json::Value::as_bool);
    let code = if sealed == Some(true) { 0 } else { 6 };
    assert_eq!(verify.code(), Some(code), "{verify}");
    let rows = document
        .get("rows")
        .and_then(|rows| rows.as_array())
        .expect("rows")
        .iter();
    let word = |row: &serde_json::Value, key: &str| {
        row.get(key)
            .and_then(|word| word.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    rows.filter(|row| word(row, "outcome") == "leak")
        .map(|row| (word(row, "id"), word(row, "detail")))
        .collect()
}

/// The first `verify` names each way of `at_once`; those of `soon` show within seconds: what was asked a moment ago and
/// had no answer, the kernel asks again by its own clock only. Returns all that was named.
fn found(checkout: &Checkout<'_>, at_once: &[&str], soon: &[&str]) -> Vec<(String, String)> {
    let named = |way: &&str, leaks: &[(String, String)]| leaks.iter().any(|(id, _)| id == way);
    if !at_once.is_empty() {
        let first = leaks(checkout);
        assert!(
            at_once.iter().all(|way| named(way, &first)),
            "{at_once:?} is open; named: {first:?}"
        );
    }
    wait::until(
        &format!("verify to name {soon:?}"),
        Duration::from_secs(20),
        || {
            let now = leaks(checkout);
            at_once
                .iter()
                .chain(soon)
                .all(|way| named(way, &now))
                .then_some(now)
        },
    )
}

on_engines! {
    // What plain `--internal` does: the host has an address on the bridge.
    [isolating] fn verify_finds_a_host_address_on_the_bridge(engine) {
        let checkout = sealed(engine, "network");
        let (address, _) = neighbour(&checkout);
        engine.on_host(&format!("ip address add {address}/28 dev {}", bridge(&checkout))).expect();
        let leaks = found(&checkout, &["bridge_addresses"], &["link_ipv4"]);
        assert!(leaks.iter().any(|(_, detail)| detail.contains(&address)), "{address}: {leaks:?}");
    }

    [isolating] fn verify_finds_an_ipv6_address_of_the_host_on_the_bridge(engine) {
        let checkout = sealed(engine, "network");
        let bridge = bridge(&checkout);
        as_root(engine, "host", &format!(
            "echo 0 >/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6 && ip address add fe80::dead/64 dev {bridge} nodad"
        ));
        found(&checkout, &["bridge_addresses"], &["link_ipv6"]);
    }

    [isolating] fn verify_finds_a_second_network(engine) {
        let checkout = sealed(engine, "network");
        engine.docker(["network", "connect", "bridge", &checkout.container("t", "agent")]).expect();
        let leaks = found(&checkout, &["interfaces", "routes"], &[]);
        assert!(leaks.iter().any(|(_, detail)| detail.contains("eth1")), "{leaks:?}");
    }

    // A gateway that answers: an address on the bridge and a route to it.
    [isolating] fn verify_finds_a_published_gateway(engine) {
        let checkout = sealed(engine, "network");
        let (gateway, agent) = neighbour(&checkout);
        engine.on_host(&format!("ip address add {gateway}/28 dev {}", bridge(&checkout))).expect();
        as_root(engine, &format!("container:{agent}"), &format!("ip route add default via {gateway}"));
        let leaks = found(&checkout, &["routes", "bridge_addresses"], &["link_ipv4"]);
        assert!(leaks.iter().any(|(_, detail)| detail.contains(&gateway)), "{gateway}: {leaks:?}");
    }

    // With no filter on the bridge the host answers there for its other addresses.
    [isolating] fn verify_finds_a_host_that_answers_for_its_other_addresses(engine) {
        let checkout = sealed(engine, "network");
        as_root(engine, "host", &format!("echo 0 >/proc/sys/net/ipv4/conf/{}/rp_filter", bridge(&checkout)));
        found(&checkout, &[], &["link_hosts"]);
    }

    [isolating] fn verify_finds_a_stranger_on_the_fence(engine) {
        let checkout = sealed(engine, "network");
        let network = format!("--network={}", checkout.network("t", "fence"));
        let name = unique("stranger");
        let _stranger = Thing::container(engine, &name, &[&network, "--init", BASE_IMAGE, "sleep", "infinity"]);
        found(&checkout, &["fence_endpoints"], &["link_ipv4"]);
    }

    [current, old] fn verify_finds_an_interface_in_the_socket_fence(engine) {
        let checkout = sealed(engine, "socket");
        let relay = checkout.container("t", "relay");
        let namespace = format!("--network=container:{relay}");
        let script = "ip link add way type veth peer name yaw && ip address add 10.9.9.1/24 dev way \
            && ip link set yaw up && ip link set way up && ip route add default via 10.9.9.2";
        // The base image's root: the namespace's own capabilities are enough.
        engine.docker(["run", "--rm", "--cap-add=NET_ADMIN", &namespace, BASE_IMAGE, "sh", "-c", script]).expect();
        let leaks = found(&checkout, &["interfaces", "addresses", "routes"], &[]);
        assert!(leaks.iter().any(|(_, detail)| detail.contains("way")), "{leaks:?}");
    }

    [isolating] fn an_agent_that_is_restarted_behind_an_opened_fence_does_not_run(engine) {
        let checkout = sealed(engine, "network");
        let agent = checkout.container("t", "agent");
        engine.docker(["network", "connect", "bridge", &agent]).expect();
        engine.docker(["restart", "--time", "0", &agent]);
        let code = wait::until("the agent to end", Duration::from_secs(20), || {
            let state = engine.docker(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &agent]).expect();
            state.starts_with("exited").then_some(state)
        });
        assert_eq!(code, "exited 125");
    }

    // Opened between the network's creation and the proof: `up` must not come through.
    [isolating] fn up_finds_a_fence_that_is_opened_under_its_hands_and_removes_everything(engine) {
        let checkout = Checkout::new(engine, Some("network"), &whitelist());
        let helper = unique("helper");
        let words = ["--network=host", "--cap-add=NET_ADMIN", "--init", BASE_IMAGE, "sleep", "infinity"];
        let _helper = Thing::container(engine, &helper, &words);
        // On a busy machine the proof can be over before the bridge is open: then it is tried again.
        let up = (0..5).find_map(|_| {
            let (up, in_time) = std::thread::scope(|scope| {
                let up = scope.spawn(|| checkout.agentnet(&["up", "t"]));
                let project = format!("label=agentnet.project={}", checkout.project);
                let words = ["network", "ls", "--no-trunc", "--quiet", "--filter", &project, "--filter", "label=agentnet.role=fence"];
                let fence = wait::until("the fence's network", Duration::from_secs(30), || {
                    engine.docker(words).stdout.lines().next().map(str::to_owned)
                });
                let bridge = format!("br-{}", fence.get(..12).unwrap());
                let opened = engine.shell(&helper, &format!("ip address add 10.218.0.1/16 dev {bridge}"));
                let in_time = !up.is_finished() || opened.code() != Some(0);
                (up.join().unwrap(), in_time)
            });
            if in_time || up.code() != Some(0) {
                return Some(up);
            }
            checkout.agentnet(&["down", "t"]).expect();
            None
        });
        let up = up.expect("the bridge is opened in time once in five");
        assert_eq!(up.code(), Some(6), "{up}");
        assert_eq!(checkout.leftovers(), []);
    }
}
