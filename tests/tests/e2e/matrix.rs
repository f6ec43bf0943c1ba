//! Every client with and without the variables of the proxy, at a listed and an unlisted host: `docs/clients.md`.

use std::fs;
use std::thread;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::root;
use agentnet_e2e::command::Outcome;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin, REPOSITORY, UNLISTED, whitelist};

/// A client, what it runs (HOST and DIR are replaced), and what it prints when it got there.
struct Client {
    name: &'static str,
    script: &'static str,
    word: &'static str,
}

const HELLO: &str = "hello from the origin";

const CLIENTS: &[Client] = &[
    Client {
        name: "curl, HTTPS",
        script: "curl --silent --show-error --fail --cacert $CA https://HOST/hello",
        word: HELLO,
    },
    Client {
        name: "curl, HTTP",
        script: "curl --silent --show-error --fail-with-body http://HOST/hello",
        word: HELLO,
    },
    Client {
        name: "wget",
        script: "wget -nv --tries=1 --ca-certificate=$CA --output-document=- https://HOST/hello",
        word: HELLO,
    },
    Client {
        name: "git, HTTPS",
        script: "GIT_SSL_CAINFO=$CA git clone --quiet https://HOST/sample.git DIR && cat DIR/README",
        word: "cloned through the fence",
    },
    Client {
        name: "git, SSH (`:22 raw`)",
        script: "git clone --quiet ssh://root@HOSTREPOSITORY DIR && cat DIR/README",
        word: "cloned through the fence",
    },
    Client {
        name: "pip",
        script: "pip download --no-input --disable-pip-version-check --retries 1 --cert $CA \
            --index-url https://HOST/simple --dest DIR agentnet-sample",
        word: "Saved",
    },
    Client {
        name: "Python `urllib`",
        script: "SSL_CERT_FILE=$CA python3 -c \
            'import urllib.request as r; print(r.urlopen(\"https://HOST/hello\").read())'",
        word: HELLO,
    },
    Client {
        name: "Python `requests`",
        script: "REQUESTS_CA_BUNDLE=$CA python3 -c 'import requests as r; print(r.get(\"https://HOST/hello\").text)'",
        word: HELLO,
    },
    Client {
        name: "Python `httpx`",
        script: "SSL_CERT_FILE=$CA python3 -c 'import httpx as r; print(r.get(\"https://HOST/hello\").text)'",
        word: HELLO,
    },
    Client {
        name: "Node 18 `fetch`",
        script: "NODE_EXTRA_CA_CERTS=$CA node -e 'fetch(\"https://HOST/hello\").then(r => r.text()).then(console.log)'",
        word: HELLO,
    },
    Client {
        name: "apt, HTTP",
        script: "/usr/lib/apt/apt-helper -o Acquire::Retries=0 download-file http://HOST/hello DIR && cat DIR",
        word: HELLO,
    },
    Client {
        name: "apt, HTTPS",
        script: "/usr/lib/apt/apt-helper -o Acquire::Retries=0 -o Acquire::https::CAInfo=$CA \
            download-file https://HOST/hello DIR && cat DIR",
        word: HELLO,
    },
    Client {
        name: "Java 17 `keytool`",
        script: "keytool -printcert -sslserver HOST:443",
        word: "CN=origin.e2e.test",
    },
];

/// What a client that found no address says, each in its own words.
const NO_NAME: [&str; 8] = [
    "Could not resolve",
    "failure resolving",
    "EAI_AGAIN",
    "Name or service not known",
    "No address associated with hostname",
    "Temporary failure in name resolution",
    "unable to resolve host",
    "ENOTFOUND",
];

/// All that this one ever says, whatever went wrong.
const KEYTOOL: &str = "No certificate from the SSL server";

/// How a cell came out, in the words of the table. A hang or a failure without a reason is none of them.
fn cell(client: &Client, outcome: &Outcome) -> Option<&'static str> {
    let text = outcome.text();
    if outcome.ok() {
        return text.contains(client.word).then_some("works");
    }
    const TIMED_OUT: i32 = 124;
    if outcome.code().is_none_or(|code| code == TIMED_OUT) {
        None
    } else if text.contains("not_listed") {
        Some("403 not_listed")
    } else if text.contains("403") {
        Some("403")
    } else if NO_NAME.iter().any(|words| text.contains(words)) {
        Some("no such name")
    } else if text.contains("Connection refused") {
        Some("connection refused")
    } else if text.contains(KEYTOOL) {
        Some("fails, see the events")
    } else {
        None
    }
}

fn matrix(engine: &Engine, fence: &str) -> String {
    let whitelist = format!("{}{ALLOWED}:22 raw private\n", whitelist());
    let checkout = Checkout::new(engine, Some(fence), &whitelist);
    checkout.agentnet(&["up", "t"]).expect();
    let agent = checkout.container("t", "agent");
    let origin = Origin::start(engine, &checkout.network("t", "egress"));
    engine.write(&agent, "/tmp/ca.pem", &origin.authority());
    engine
        .shell(&agent, "umask 077 && mkdir -p ~/.ssh")
        .expect();
    engine.write(&agent, "/tmp/key", &origin.serve_ssh());
    let ssh = "printf 'IdentityFile /tmp/key\\nStrictHostKeyChecking accept-new\\n' >~/.ssh/config && chmod 600 ~/.ssh/config /tmp/key";
    engine.shell(&agent, ssh).expect();

    let names = "env | sed -n 's/=.*//p' | grep -iE '^(https?_proxy|no_proxy|node_use_env_proxy|java_tool_options|git_ssh_command)$'";
    let names = engine.shell(&agent, names).expect();
    let without: String = names.lines().map(|name| format!("-u {name} ")).collect();
    assert_eq!(names.lines().count(), 9, "{names}");

    let mut silent = Vec::new();
    let mut table = String::new();
    for client in CLIENTS {
        let mut row = format!("| {} |", client.name);
        for (wiring, prefix) in [("with variables", ""), ("without", without.as_str())] {
            for host in [ALLOWED, UNLISTED] {
                let script = client.script.replace("REPOSITORY", REPOSITORY);
                let script = script.replace("HOST", host).replace("DIR", "/tmp/matrix");
                let script = script.replace('\'', "'\\''");
                let bounded = format!(
                    "rm -rf /tmp/matrix && env {prefix} CA=/tmp/ca.pem timeout 40 sh -c '{script}'"
                );
                let outcome = engine.shell(&agent, &bounded);
                let cell =
                    cell(client, &outcome).filter(|cell| host == ALLOWED || *cell != "works");
                let cell = cell.unwrap_or_else(|| {
                    silent.push(format!(
                        "{}, {wiring}, {host}, {fence}: {outcome}",
                        client.name
                    ));
                    "hangs, or does not say why"
                });
                row += &format!(" {cell} |");
            }
        }
        table += &row;
        table.push('\n');
    }
    assert!(silent.is_empty(), "{table}\n{}", silent.join("\n"));
    let requests = origin.requests();
    assert!(
        requests.iter().all(|line| !line.contains(UNLISTED)),
        "{requests:?}"
    );
    // A name that does not exist says nothing more to the client: the reason is among the events.
    let events = checkout.agentnet(&["logs", "t", "--events"]).expect();
    let mut refused = events
        .lines()
        .filter(|line| line.contains(UNLISTED) && line.contains("not_listed"));
    assert!(refused.any(|line| line.contains("\"dns\"")), "{events}");
    table
}

on_engines! {
    [isolating] fn every_client_works_or_says_why_not_as_the_documentation_has_it(engine) {
        let documented = fs::read_to_string(root().join("docs/clients.md")).expect("docs/clients.md");
        let tables = thread::scope(|scope| {
            let fences = ["network", "socket"];
            fences.map(|fence| (fence, scope.spawn(move || matrix(engine, fence)))).map(|(fence, run)| (fence, run.join().unwrap()))
        });
        for (fence, table) in tables {
            assert!(documented.contains(&table), "docs/clients.md, the {fence} fence, should have:\n{table}");
        }
    }
}
