//! The plan as data: its steps, who waits for whom, and what the containers are given.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod harness;

use agentnet_controller::agents::Agent;
use agentnet_controller::credentials::Handover;
use agentnet_controller::engine::Engine;
use agentnet_controller::engine::fake::FakeEngine;
use agentnet_controller::environment::SSH_CONFIG;
use agentnet_controller::facts::{Facts, LinkFacts};
use agentnet_controller::labels::{Owner, Role};
use agentnet_controller::plan::{Inverse, Plan, Step};
use agentnet_controller::secret::Secret;
use agentnet_controller::spec::{ContainerNetwork, ContainerSpec, Mount, SystemCalls};
use agentnet_controller::ssh_agent::{Keys, SshAgent};
use harness::{id, plan, plan_with, stocked};

const DB: &str = "[services.db]\nimage = \"postgres\"\nhealthcheck = \"pg_isready\"\n";

fn container<'a>(plan: &'a Plan, role: &str) -> &'a ContainerSpec {
    plan.steps
        .iter()
        .find_map(|planned| match &planned.step {
            Step::Container(spec) if spec.name.ends_with(role) => Some(spec),
            _ => None,
        })
        .unwrap()
}

fn specs(plan: &Plan) -> impl Iterator<Item = &ContainerSpec> {
    plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::Container(spec) => Some(spec),
        _ => None,
    })
}

fn every_plan() -> Vec<Plan> {
    let modes = ["none", "limited", "full"].map(|m| format!("[network]\nmode = \"{m}\"\n"));
    let mut plans = Vec::new();
    for facts in [FakeEngine::docker28(), FakeEngine::docker20()] {
        for mode in &modes {
            plans.push(plan(&facts, mode).unwrap());
            plans.push(plan(&facts, &format!("{mode}{DB}")).unwrap());
        }
    }
    plans
}

#[test]
fn the_proxy_is_given_presets_only_where_the_checkout_has_a_directory() {
    let presets = |toml: &str| {
        let plan = plan(&FakeEngine::docker28(), toml).unwrap();
        let command = &container(&plan, "proxy").command;
        let at = command.iter().position(|word| word == "--presets");
        at.map(|at| command[at + 1].clone())
    };
    let own = "[network]\npresets = \".agentnet/presets\"\n";
    assert_eq!(presets(own).as_deref(), Some("/etc/agentnet/presets"));
    assert_eq!(presets(""), None);
}

#[test]
fn the_network_fence() {
    let plan = plan(&FakeEngine::docker28(), DB).unwrap();
    insta::assert_snapshot!(plan.describe(), @r##"
     1  writing into /state/tasks/shop/fix-1  [undone]
     2  making worktree /state/tasks/shop/fix-1/tree on branch agentnet/fix-1  [undone]
     3  creating volume agentnet-shop-fix-1-gate  [undone]
     4  creating container agentnet-shop-fix-1-gate  (after 3)  [undone]
     5  removing agentnet-shop-fix-1-gate  (after 4)
     6  creating network agentnet-shop-fix-1-fence  [undone]
     7  guarding the bridge of agentnet-shop-fix-1-fence  (after 6)
     8  creating network agentnet-shop-fix-1-egress  [undone]
     9  creating volume agentnet-shop-fix-1-budgets  [undone]
    10  creating container agentnet-shop-fix-1-proxy  (after 6, 8, 1, 9)  [undone]
    11  starting agentnet-shop-fix-1-proxy  (after 10, 7)
    12  creating container agentnet-shop-fix-1-service-db  (after 6, 3)  [undone]
    13  starting agentnet-shop-fix-1-service-db  (after 12, 4, 7)
    14  waiting for agentnet-shop-fix-1-service-db  (after 13)
    15  making /state/tasks/shop/fix-1/spool  [undone]
    16  creating container agentnet-shop-fix-1-agent  (after 6, 3, 1, 2, 15)  [undone]
    17  starting agentnet-shop-fix-1-agent  (after 16, 4, 7, 14)
    "##);
}

#[test]
fn the_socket_fence() {
    let plan = plan(&FakeEngine::docker20(), DB).unwrap();
    insta::assert_snapshot!(plan.describe(), @r##"
     1  writing into /state/tasks/shop/fix-1  [undone]
     2  making worktree /state/tasks/shop/fix-1/tree on branch agentnet/fix-1  [undone]
     3  creating volume agentnet-shop-fix-1-gate  [undone]
     4  creating container agentnet-shop-fix-1-gate  (after 3)  [undone]
     5  removing agentnet-shop-fix-1-gate  (after 4)
     6  creating network agentnet-shop-fix-1-egress  [undone]
     7  creating volume agentnet-shop-fix-1-socket  [undone]
     8  creating volume agentnet-shop-fix-1-budgets  [undone]
     9  creating container agentnet-shop-fix-1-proxy  (after 6, 1, 8, 7)  [undone]
    10  starting agentnet-shop-fix-1-proxy  (after 9)
    11  creating container agentnet-shop-fix-1-relay  (after 7, 9)  [undone]
    12  starting agentnet-shop-fix-1-relay  (after 11)
    13  creating container agentnet-shop-fix-1-service-db  (after 6, 11, 3)  [undone]
    14  starting agentnet-shop-fix-1-service-db  (after 13, 4, 12)
    15  waiting for agentnet-shop-fix-1-service-db  (after 14)
    16  making /state/tasks/shop/fix-1/spool  [undone]
    17  creating container agentnet-shop-fix-1-agent  (after 6, 11, 3, 1, 2, 16)  [undone]
    18  starting agentnet-shop-fix-1-agent  (after 17, 4, 12, 15)
    "##);
}

#[test]
fn an_agent_has_the_file_for_ssh_where_it_has_the_variables_of_the_proxy() {
    for plan in every_plan() {
        let agent = specs(&plan).find(|spec| spec.name.ends_with("-agent"));
        let agent = agent.unwrap();
        let mounted = agent.mounts.iter().any(|mount| {
            matches!(mount, Mount::Bind { source, target, writable: false }
                if source.ends_with("ssh.conf") && target == SSH_CONFIG)
        });
        assert_eq!(mounted, agent.env.contains_key("https_proxy"), "{agent:?}");
    }
}

#[test]
fn no_network_needs_no_proxy() {
    let plan = plan(&FakeEngine::docker28(), "[network]\nmode = \"none\"\n").unwrap();
    insta::assert_snapshot!(plan.describe(), @r##"
    1  writing into /state/tasks/shop/fix-1  [undone]
    2  making worktree /state/tasks/shop/fix-1/tree on branch agentnet/fix-1  [undone]
    3  creating volume agentnet-shop-fix-1-gate  [undone]
    4  creating container agentnet-shop-fix-1-gate  (after 3)  [undone]
    5  removing agentnet-shop-fix-1-gate  (after 4)
    6  making /state/tasks/shop/fix-1/spool  [undone]
    7  creating container agentnet-shop-fix-1-agent  (after 3, 1, 2, 6)  [undone]
    8  starting agentnet-shop-fix-1-agent  (after 7, 4)
    "##);
}

#[test]
fn the_agents_container_in_the_network_fence() {
    let plan = plan(&FakeEngine::docker28(), DB).unwrap();
    let spec = serde_json::to_string_pretty(container(&plan, "-agent")).unwrap();
    insta::assert_snapshot!(spec, @r##"
    {
      "name": "agentnet-shop-fix-1-agent",
      "image": "agent",
      "user": "1000:1000",
      "hostname": "fix-1",
      "entrypoint": [
        "/agentnet/bin/agentnet-gate"
      ],
      "command": [
        "exec",
        "--fence",
        "network",
        "--proxy",
        "10.213.0.1:8888",
        "--peer",
        "10.213.0.1",
        "--peer",
        "fd1d:414c:2059:47dd::1",
        "--peer",
        "10.213.0.4",
        "--peer",
        "fd1d:414c:2059:47dd::4",
        "--peer",
        "10.213.0.5",
        "--peer",
        "fd1d:414c:2059:47dd::5",
        "--",
        "bash"
      ],
      "env": {
        "AGENTNET_CPUS": "2",
        "AGENTNET_DISK_BYTES": "21474836480",
        "AGENTNET_MEMORY_BYTES": "4294967296",
        "AGENTNET_NOFILE": "65536",
        "AGENTNET_NOTIFY": "/agentnet/notify",
        "AGENTNET_PIDS": "512",
        "AGENTNET_SHM_BYTES": "268435456",
        "AGENTNET_TASK": "fix-1",
        "GIT_SSH_COMMAND": "ssh -o \"ProxyCommand=/agentnet/bin/agentnet-gate connect -- '%h' %p\"",
        "GOMAXPROCS": "2",
        "HTTPS_PROXY": "http://10.213.0.1:8888",
        "HTTP_PROXY": "http://10.213.0.1:8888",
        "JAVA_TOOL_OPTIONS": "-Dhttp.proxyHost=10.213.0.1 -Dhttp.proxyPort=8888 -Dhttps.proxyHost=10.213.0.1 -Dhttps.proxyPort=8888 -Dhttp.nonProxyHosts=localhost|127.*|[::1]|db -Daether.connector.http.useSystemProperties=true",
        "NODE_USE_ENV_PROXY": "1",
        "NO_PROXY": "localhost,127.0.0.1,::1,db",
        "PYTHON_CPU_COUNT": "2",
        "YARN_HTTPS_PROXY": "http://10.213.0.1:8888",
        "YARN_HTTP_PROXY": "http://10.213.0.1:8888",
        "http_proxy": "http://10.213.0.1:8888",
        "https_proxy": "http://10.213.0.1:8888",
        "no_proxy": "localhost,127.0.0.1,::1,db"
      },
      "secret_env": {},
      "workdir": "/workspace",
      "labels": {
        "agentnet.project": "shop",
        "agentnet.role": "agent",
        "agentnet.state": "0123456789abcdef",
        "agentnet.task": "fix-1"
      },
      "mounts": [
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/tree",
          "target": "/workspace",
          "writable": true
        },
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/gitfile",
          "target": "/workspace/.git",
          "writable": false
        },
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/git",
          "target": "/agentnet/git",
          "writable": true
        },
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/alternates",
          "target": "/agentnet/git/objects/info/alternates",
          "writable": false
        },
        {
          "kind": "bind",
          "source": "/home/me/shop/.git/objects",
          "target": "/agentnet/objects/0",
          "writable": false
        },
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/ssh.conf",
          "target": "/etc/ssh/ssh_config.d/00-agentnet.conf",
          "writable": false
        },
        {
          "kind": "frame",
          "target": "/agentnet"
        },
        {
          "kind": "volume",
          "volume": {
            "name": "agentnet-shop-fix-1-gate",
            "labels": {
              "agentnet.project": "shop",
              "agentnet.role": "gate",
              "agentnet.state": "0123456789abcdef",
              "agentnet.task": "fix-1"
            }
          },
          "target": "/agentnet/bin",
          "writable": false,
          "fill": false
        },
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/spool/out",
          "target": "/agentnet/notify/out",
          "writable": true
        },
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/spool/in",
          "target": "/agentnet/notify/in",
          "writable": false
        }
      ],
      "network": {
        "attached": [
          {
            "network": "agentnet-shop-fix-1-fence",
            "v4": "10.213.0.4",
            "v6": "fd1d:414c:2059:47dd::4",
            "aliases": [
              "agent"
            ]
          }
        ]
      },
      "dns": [
        "10.213.0.1"
      ],
      "hosts": [],
      "sysctls": {},
      "capabilities": [],
      "system_calls": "engine",
      "read_only": false,
      "limits": {
        "memory": 4294967296,
        "milli_cpus": 2000,
        "pids": 512,
        "nofile": 65536,
        "memlock": null,
        "shm": 268435456,
        "disk": null
      },
      "gpus": null,
      "health": null,
      "stdin_open": true
    }
    "##);
}

#[test]
fn the_proxys_container_in_the_network_fence() {
    let plan = plan(&FakeEngine::docker28(), DB).unwrap();
    let spec = serde_json::to_string_pretty(container(&plan, "-proxy")).unwrap();
    insta::assert_snapshot!(spec, @r##"
    {
      "name": "agentnet-shop-fix-1-proxy",
      "image": "proxy",
      "user": null,
      "hostname": "proxy",
      "entrypoint": null,
      "command": [
        "--dns",
        "10.213.0.1:53",
        "--transparent-tls",
        "10.213.0.1:443",
        "--transparent-http",
        "10.213.0.1:80",
        "--dns",
        "[fd1d:414c:2059:47dd::1]:53",
        "--transparent-tls",
        "[fd1d:414c:2059:47dd::1]:443",
        "--transparent-http",
        "[fd1d:414c:2059:47dd::1]:80",
        "--listen",
        "10.213.0.1:8888",
        "--listen",
        "[fd1d:414c:2059:47dd::1]:8888",
        "--whitelist",
        "/etc/agentnet/project.txt",
        "--task-whitelist",
        "/etc/agentnet/task.txt",
        "--state",
        "/var/lib/agentnet",
        "--log",
        "json"
      ],
      "env": {},
      "secret_env": {},
      "workdir": null,
      "labels": {
        "agentnet.project": "shop",
        "agentnet.role": "proxy",
        "agentnet.state": "0123456789abcdef",
        "agentnet.task": "fix-1"
      },
      "mounts": [
        {
          "kind": "bind",
          "source": "/state/tasks/shop/fix-1/policy",
          "target": "/etc/agentnet",
          "writable": false
        },
        {
          "kind": "volume",
          "volume": {
            "name": "agentnet-shop-fix-1-budgets",
            "labels": {
              "agentnet.project": "shop",
              "agentnet.role": "budgets",
              "agentnet.state": "0123456789abcdef",
              "agentnet.task": "fix-1"
            }
          },
          "target": "/var/lib/agentnet",
          "writable": true,
          "fill": true
        }
      ],
      "network": {
        "attached": [
          {
            "network": "agentnet-shop-fix-1-fence",
            "v4": "10.213.0.1",
            "v6": "fd1d:414c:2059:47dd::1",
            "aliases": [
              "proxy"
            ]
          },
          {
            "network": "agentnet-shop-fix-1-egress",
            "v4": null,
            "v6": null,
            "aliases": []
          }
        ]
      },
      "dns": [],
      "hosts": [],
      "sysctls": {
        "net.ipv4.conf.all.arp_ignore": "1",
        "net.ipv4.ip_forward": "0",
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv6.conf.all.forwarding": "0"
      },
      "capabilities": [],
      "system_calls": "engine",
      "read_only": true,
      "limits": {
        "memory": 536870912,
        "milli_cpus": 7000,
        "pids": 256,
        "nofile": null,
        "memlock": null,
        "shm": null,
        "disk": null
      },
      "gpus": null,
      "health": null,
      "stdin_open": false
    }
    "##);
}

/// The words of a container's command, for reading.
fn words(plan: &Plan, role: &str) -> String {
    container(plan, role).command.join(" ")
}

#[test]
fn the_proxys_doors_and_the_relays_in_the_socket_fence() {
    let plan = plan(&FakeEngine::docker20(), DB).unwrap();
    insta::assert_snapshot!(words(&plan, "-proxy").replace(" --", "\n--"), @r"
    --dns unix:/run/agentnet/dns.sock
    --transparent-tls unix:/run/agentnet/tls.sock
    --transparent-http unix:/run/agentnet/http.sock
    --raw-doors unix:/run/agentnet/raw.sock
    --dns-address 127.128.0.1
    --listen unix:/run/agentnet/proxy.sock
    --whitelist /etc/agentnet/project.txt
    --task-whitelist /etc/agentnet/task.txt
    --state /var/lib/agentnet
    --log json
    ");
    insta::assert_snapshot!(words(&plan, "-relay").replace(" --", "\n--"), @r"
    relay
    --listen 127.128.0.1:8888=unix:/run/agentnet/proxy.sock
    --dns 127.128.0.1:53=unix:/run/agentnet/dns.sock
    --listen 127.128.0.1:443=unix:/run/agentnet/tls.sock
    --listen 127.128.0.1:80=unix:/run/agentnet/http.sock
    --raw-doors unix:/run/agentnet/raw.sock
    --keep-free 5432
    ");
    let relay = container(&plan, "-relay");
    let resolver: std::net::IpAddr = "127.128.0.1".parse().unwrap();
    assert_eq!(relay.dns, [resolver]);
    assert!(relay.mounts.iter().all(|mount| matches!(
        mount,
        Mount::Volume {
            writable: false,
            ..
        }
    )));
}

#[test]
fn a_service_on_a_port_of_the_relay_takes_it_or_is_told_to_go_elsewhere() {
    let on = |port: u16| format!("[services.web]\nimage = \"postgres\"\nport = {port}\n");
    let docker20 = FakeEngine::docker20();
    let words = words(&plan(&docker20, &on(443)).unwrap(), "-relay");
    assert!(!words.contains(":443="), "{words}");
    assert!(words.contains(":80="), "{words}");
    assert!(words.ends_with("--keep-free 443"), "{words}");
    for port in [53, 8888] {
        let error = plan(&docker20, &on(port)).unwrap_err().to_string();
        let said = format!("service web listens on port {port}, where agentnet ");
        assert!(error.starts_with(&said), "{error}");
        plan(&FakeEngine::docker28(), &on(port)).unwrap();
    }
    let alone = format!("[network]\nmode = \"none\"\n{}", on(53));
    let words = self::words(&plan(&docker20, &alone).unwrap(), "-relay");
    assert!(
        !words.contains("--dns") && !words.contains("raw"),
        "{words}"
    );
}

#[test]
fn only_the_proxy_can_write_what_was_spent() {
    for plan in every_plan() {
        let holders = plan.steps.iter().filter_map(|planned| match &planned.step {
            Step::Container(spec) => Some(spec),
            _ => None,
        });
        for spec in holders {
            let role = &spec.labels["agentnet.role"];
            let holds = spec.mounts.iter().any(|mount| {
                matches!(mount, Mount::Volume { volume, .. } if volume.labels["agentnet.role"] == "budgets")
            });
            assert_eq!(holds, role == "proxy", "{}", spec.name);
        }
    }
}

#[test]
fn every_step_waits_only_for_earlier_ones() {
    for plan in every_plan() {
        for (place, planned) in plan.steps.iter().enumerate() {
            assert!(
                planned.after.iter().all(|n| *n < place),
                "{}",
                plan.describe()
            );
        }
    }
}

/// A request that was on its way when its sender was killed can come after everything was removed.
#[tokio::test]
async fn a_volume_that_an_engine_makes_for_a_container_is_ours_too() {
    let engine = stocked(FakeEngine::docker28());
    let plan = plan(&FakeEngine::docker28(), "[network]\nmode = \"none\"\n").unwrap();
    for planned in plan.steps {
        if let Step::Container(mut spec) = planned.step {
            spec.mounts.retain(|m| !matches!(m, Mount::Bind { .. }));
            engine.create_container(&spec).await.unwrap();
        }
    }
    let owned = engine.owned("0123456789abcdef").await.unwrap();
    assert_eq!(owned.len(), engine.everything().len());
    for made in owned {
        assert_eq!(Owner::read(&made.labels).unwrap().task, id("fix-1"));
    }
}

#[test]
fn everything_that_is_made_has_an_inverse_and_our_labels() {
    for plan in every_plan() {
        for planned in &plan.steps {
            let labels = match &planned.step {
                Step::Network(spec) => &spec.labels,
                Step::Volume(spec) => &spec.labels,
                Step::Container(spec) => &spec.labels,
                _ => continue,
            };
            assert_ne!(planned.step.inverse(), Inverse::Nothing);
            assert_eq!(Owner::read(labels).unwrap().task, plan.task);
        }
    }
}

#[test]
fn agent_and_services_run_behind_the_gate_and_mount_it_read_only() {
    for plan in every_plan() {
        for spec in specs(&plan).filter(|s| {
            matches!(
                Owner::read(&s.labels).unwrap().role,
                Role::Agent | Role::Service
            )
        }) {
            assert_eq!(
                spec.entrypoint.as_deref().unwrap(),
                ["/agentnet/bin/agentnet-gate"]
            );
            assert_eq!(spec.command[0], "exec");
            let gate = spec.mounts.iter().any(|mount| {
                matches!(mount, Mount::Volume { target, writable: false, .. } if target == "/agentnet/bin")
            });
            assert!(gate, "{}", spec.name);
            let frame =
                |mount: &Mount| matches!(mount, Mount::Frame { target } if target == "/agentnet");
            assert!(spec.mounts.iter().any(frame), "{}", spec.name);
        }
    }
}

#[test]
fn nobody_starts_before_the_gate_is_there_and_the_bridge_is_guarded() {
    let plan = plan(&FakeEngine::docker28(), DB).unwrap();
    let place = |wanted: &dyn Fn(&Step) -> bool| {
        plan.steps
            .iter()
            .position(|planned| wanted(&planned.step))
            .unwrap()
    };
    let filled = place(&|s| matches!(s, Step::Container(c) if c.name.ends_with("-gate")));
    let guarded = place(&|s| matches!(s, Step::GuardLink { .. }));
    for planned in &plan.steps {
        if let Step::Start {
            role: Role::Agent | Role::Service,
            ..
        } = planned.step
        {
            assert!(planned.after.contains(&filled) && planned.after.contains(&guarded));
        }
    }
}

#[test]
fn an_agents_environment_cannot_be_redirected_by_accident_and_can_be_on_purpose() {
    let plain = plan(&FakeEngine::docker28(), "").unwrap();
    assert_eq!(
        container(&plain, "-agent").env["HTTPS_PROXY"],
        "http://10.213.0.1:8888"
    );
    for name in ["HTTPS_PROXY", "JAVA_TOOL_OPTIONS", "GIT_SSH_COMMAND"] {
        let own = format!("[agent]\nenv = {{ {name} = \"my own\" }}\n");
        let own = plan(&FakeEngine::docker28(), &own).unwrap();
        let env = &container(&own, "-agent").env;
        assert_eq!(env[name], "my own");
        let other = env.get(&name.to_lowercase());
        assert_eq!(other, None, "read before the other case by some");
    }
}

#[test]
fn an_engine_that_takes_one_network_at_creation_gets_the_second_before_the_start() {
    let facts = Facts {
        many_networks: false,
        ..FakeEngine::docker28()
    };
    let plan = plan(&facts, "").unwrap();
    let ContainerNetwork::Attached(at_creation) = &container(&plan, "-proxy").network else {
        panic!("the proxy is on no network");
    };
    assert_eq!(at_creation.len(), 1);
    let connect = plan
        .steps
        .iter()
        .position(|p| matches!(p.step, Step::Connect { .. }))
        .unwrap();
    let start = plan
        .steps
        .iter()
        .find(|p| {
            matches!(
                p.step,
                Step::Start {
                    role: Role::Proxy,
                    ..
                }
            )
        })
        .unwrap();
    assert!(start.after.contains(&connect));
}

#[test]
fn an_engine_whose_filter_opens_vsock_gets_ours_for_every_container() {
    let old = plan(&FakeEngine::docker20(), DB).unwrap();
    assert!(specs(&old).all(|spec| spec.system_calls == SystemCalls::Ours));
    let new = plan(&FakeEngine::docker28(), DB).unwrap();
    assert!(specs(&new).all(|spec| spec.system_calls == SystemCalls::Engine));
}

#[test]
fn the_gate_is_on_its_volume_before_anything_starts_whenever_the_engine_fills_it() {
    let at = |plan: &Plan, wanted: &dyn Fn(&Step) -> bool| {
        plan.steps.iter().position(|p| wanted(&p.step))
    };
    let filling = |step: &Step| {
        matches!(
            step,
            Step::Start {
                role: Role::Gate,
                ..
            }
        )
    };
    let agents = |step: &Step| {
        matches!(
            step,
            Step::Start {
                role: Role::Agent,
                ..
            }
        )
    };
    let podman = plan(&FakeEngine::podman(), "").unwrap();
    let filled = at(&podman, &filling).unwrap();
    let agent = &podman.steps[at(&podman, &agents).unwrap()];
    assert!(agent.after.contains(&filled), "{:?}", agent.after);
    let gone = podman
        .steps
        .iter()
        .find(|p| matches!(p.step, Step::Remove { .. }));
    assert_eq!(gone.unwrap().after, [filled]);
    // Docker fills it when a container is created, and one that is not started costs nothing.
    let docker = plan(&FakeEngine::docker28(), "").unwrap();
    assert_eq!(at(&docker, &filling), None);
}

#[test]
fn who_joins_a_relay_on_podman_is_told_the_names_that_docker_hands_on() {
    let mounted = |plan: &Plan, what: &str| {
        let spec = container(plan, what);
        let targets = spec.mounts.iter().filter_map(|mount| match mount {
            Mount::Bind {
                target,
                writable: false,
                ..
            } => Some(target.as_str()),
            Mount::Bind { .. }
            | Mount::Volume { .. }
            | Mount::Memory { .. }
            | Mount::Frame { .. } => None,
        });
        targets
            .filter(|t| ["/etc/hosts", "/etc/resolv.conf"].contains(t))
            .count()
    };
    let podman = plan(&FakeEngine::podman(), DB).unwrap();
    assert_eq!(
        (mounted(&podman, "-agent"), mounted(&podman, "-relay")),
        (2, 0)
    );
    let docker = plan(&FakeEngine::docker20(), DB).unwrap();
    assert_eq!(mounted(&docker, "-agent"), 0);
}

#[test]
fn a_host_that_answers_strangers_on_a_link_gets_the_socket_fence() {
    let facts = Facts {
        link: LinkFacts::Unfiltered,
        ..FakeEngine::docker28()
    };
    let plan = plan(&facts, "").unwrap();
    assert_eq!(plan.fence, Some(agentnet_controller::config::Fence::Socket));
}

#[test]
fn two_services_on_one_port_share_a_socket_fence_only_with_port_set() {
    let two = "[services.a]\nimage = \"postgres\"\n[services.b]\nimage = \"postgres\"\n";
    let error = plan(&FakeEngine::docker20(), two).unwrap_err().to_string();
    assert!(
        error.starts_with("services a and b both listen on port 5432"),
        "{error}"
    );
    assert!(error.ends_with("port = in [services.b]"), "{error}");
    plan(&FakeEngine::docker20(), &format!("{two}port = 5433\n")).unwrap();
    plan(&FakeEngine::docker28(), two).unwrap();
}

#[test]
fn too_many_services_are_refused() {
    let many: String = (0..11)
        .map(|n| format!("[services.s{n}]\nimage = \"postgres\"\n"))
        .collect();
    let error = plan(&FakeEngine::docker28(), &many)
        .unwrap_err()
        .to_string();
    assert!(error.contains("at most 10"), "{error}");
}

#[test]
fn limits_are_set_by_default_fitted_to_the_host_and_left_out_where_nothing_enforces_them() {
    let spec = |facts: &Facts, toml: &str| container(&plan(facts, toml).unwrap(), "-agent").limits;
    let big = spec(&FakeEngine::docker28(), "");
    assert_eq!(
        (big.memory, big.milli_cpus, big.pids),
        (Some(4 << 30), Some(2000), Some(512))
    );
    let small = Facts {
        cpus: 2,
        memory: 4 << 30,
        ..FakeEngine::docker28()
    };
    let small_limits = spec(&small, "");
    assert_eq!(
        (small_limits.memory, small_limits.milli_cpus),
        (Some(3 << 30), Some(2000))
    );
    assert_eq!(spec(&small, "[agent]\ncpus = 9\n").milli_cpus, Some(2000));
    let mut none = FakeEngine::docker28();
    none.limits.memory = false;
    assert_eq!(spec(&none, "").memory, None);
}

/// Everything a task can be given, with a secret to look for.
fn handover() -> Handover {
    let secret = ("KEY".to_owned(), Secret::new("hunter2".into()));
    Handover {
        plain: [("GIT_AUTHOR_NAME".to_owned(), "Me".to_owned())].into(),
        secrets: [secret].into(),
        login: Some((Agent::Codex, "/state/logins/codex".into())),
        ssh_agent: Some(SshAgent {
            program: "/usr/bin/agentnet".into(),
            socket: "/run/person/agent.sock".into(),
            keys: Keys::All,
        }),
    }
}

#[test]
fn secrets_reach_the_agent_as_a_file_that_no_plan_shows() {
    let handover = handover();
    for facts in [FakeEngine::docker28(), FakeEngine::docker20()] {
        let plan = plan_with(&facts, DB, &handover).unwrap();
        let shown = format!(
            "{plan:?}{}{}",
            plan.describe(),
            serde_json::to_string(&plan).unwrap()
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        let agent = container(&plan, "-agent");
        let words = agent.command.join(" ");
        let flags =
            "--secrets /agentnet/secrets/env --link .codex/auth.json=/agentnet/login/auth.json -- ";
        assert!(words.contains(flags), "{words}");
        assert_eq!(agent.env["GIT_AUTHOR_NAME"], "Me");
        let given = |spec: &ContainerSpec| {
            let of = |mount: &Mount| match mount {
                Mount::Bind {
                    target, writable, ..
                } => Some((target.clone(), *writable)),
                _ => None,
            };
            let mounts: Vec<_> = spec.mounts.iter().filter_map(of).collect();
            mounts
        };
        assert!(given(agent).contains(&("/agentnet/secrets".into(), false)));
        assert!(given(agent).contains(&("/agentnet/login".into(), true)));
        assert!(given(agent).contains(&("/agentnet/ssh".into(), false)));
        assert_eq!(agent.env["SSH_AUTH_SOCK"], "/agentnet/ssh/agent.sock");
        // Nobody else's.
        for other in specs(&plan).filter(|spec| !spec.name.ends_with("-agent")) {
            let theirs = given(other);
            let ours = |(target, _): &(String, bool)| {
                ["secrets", "login", "ssh"]
                    .iter()
                    .any(|name| target.starts_with(&format!("/agentnet/{name}")))
            };
            assert!(!theirs.iter().any(ours), "{}: {theirs:?}", other.name);
        }
        // What is written for the task goes with it; a login stays.
        let undone = |path: &str| {
            plan.steps
                .iter()
                .any(|planned| match planned.step.inverse() {
                    Inverse::Files { directory, names } => names
                        .iter()
                        .any(|name| directory.join(name) == std::path::Path::new(path)),
                    _ => false,
                })
        };
        assert!(undone("/state/tasks/shop/fix-1/secrets/env"));
        assert!(!undone("/state/logins/codex"));
    }
    let without = plan(&FakeEngine::docker28(), DB).unwrap();
    assert!(
        !container(&without, "-agent")
            .command
            .contains(&"--secrets".to_owned())
    );
}

#[test]
fn only_the_agent_has_the_spool_and_may_write_only_its_own_side() {
    let toml = "[services.db]\nimage = \"postgres\"\n";
    for facts in [FakeEngine::docker28(), FakeEngine::docker20()] {
        let plan = plan(&facts, toml).unwrap();
        for spec in specs(&plan) {
            let spool: Vec<_> = spec
                .mounts
                .iter()
                .filter_map(|mount| match mount {
                    Mount::Bind {
                        source,
                        target,
                        writable,
                    } if source.to_string_lossy().contains("/spool") => {
                        Some((source.to_str().unwrap(), target.as_str(), *writable))
                    }
                    Mount::Bind { .. }
                    | Mount::Volume { .. }
                    | Mount::Memory { .. }
                    | Mount::Frame { .. } => None,
                })
                .collect();
            let expected: &[_] = match spec.name.ends_with("-agent") {
                true => &[
                    (
                        "/state/tasks/shop/fix-1/spool/out",
                        "/agentnet/notify/out",
                        true,
                    ),
                    (
                        "/state/tasks/shop/fix-1/spool/in",
                        "/agentnet/notify/in",
                        false,
                    ),
                ],
                false => &[],
            };
            assert_eq!(spool, expected, "{}", spec.name);
            assert_eq!(
                spec.env.get("AGENTNET_NOTIFY").map(String::as_str),
                (!expected.is_empty()).then_some("/agentnet/notify")
            );
        }
    }
    let off = plan(
        &FakeEngine::docker28(),
        &format!("{toml}[notify]\nenabled = false\n"),
    )
    .unwrap();
    assert!(!off.describe().contains("spool"));
    assert!(!format!("{off:?}").contains("AGENTNET_NOTIFY"));
}
