//! Every client with and without the variables of the proxy, at a listed and an unlisted host: `docs/clients.md`.

mod cell;
mod rows;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::{root, skip};
use agentnet_e2e::clients;
use agentnet_e2e::command::{Outcome, run_with};
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED, whitelist};

use cell::WORKS;
use rows::{CLIENTS, Client, Source};

/// The classes of JVMs' own clients, and the proof that they are believed.
const JAVA: &str = include_str!("../../clients/Get.java");
const JVM: &str =
    "-Djavax.net.ssl.trustStore=/tmp/ca.p12 -Djavax.net.ssl.trustStorePassword=changeit";

/// A cell is a hang after this. The slowest client takes three seconds on an idle machine.
const BOUND: &str = "60";
/// And its docker command after this.
const PATIENCE: Duration = Duration::from_secs(90);

/// The columns: with the variables or without, listed or not.
const COLUMNS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

/// Rows that run at the same time, on each fence: some wait more than they work.
const AT_ONCE: usize = 3;

/// A row as it came out.
struct Row {
    client: &'static Client,
    cells: Vec<(&'static str, Outcome)>,
}

impl Row {
    fn line(&self) -> String {
        let cells = self.cells.iter().map(|(cell, _)| format!(" {cell} |"));
        format!("| {} |{}", self.client.name, cells.collect::<String>())
    }

    /// What the client printed in the cells that are not as documented.
    fn difference(&self, documented: &str) -> String {
        let cells: Vec<_> = documented.split(" | ").skip(1).collect();
        let mut text = format!("documented: {documented}\n       run: {}\n", self.line());
        for (column, (cell, outcome)) in self.cells.iter().enumerate() {
            let same = cells
                .get(column)
                .is_some_and(|text| text.trim_end_matches(" |") == *cell);
            if !same {
                let (with, listed) = COLUMNS[column];
                writeln!(
                    text,
                    "--- variables: {with}, listed: {listed}: {cell}\n{outcome}"
                )
                .unwrap();
            }
        }
        text
    }
}

/// A name of the origin's that is on no whitelist and that no other cell uses: its events are this cell's.
fn unlisted(row: usize, with: bool) -> String {
    format!("{row}-{}.{UNLISTED}", if with { "with" } else { "without" })
}

fn matrix(engine: &Engine, fence: &str, image: Option<&str>) -> Vec<Row> {
    let whitelist = format!("{}{ALLOWED}:22 raw private\n", whitelist());
    let checkout = Checkout::new(engine, Some(fence), &whitelist);
    let mut up = vec!["up", "t"];
    up.extend(image.iter().flat_map(|image| ["--image", image]));
    checkout.agentnet(&up).expect();
    let agent = checkout.container("t", "agent");
    let names = (0..CLIENTS.len()).flat_map(|row| [unlisted(row, true), unlisted(row, false)]);
    let names: Vec<_> = names.collect();
    let origin = Origin::start_with(engine, &checkout.network("t", "egress"), &names);
    prepare(engine, &agent, &origin);
    let without = variables(engine, &agent);

    let todo = |(_, client): &(usize, &Client)| client.from == Source::Base || image.is_some();
    let todo: VecDeque<_> = CLIENTS.iter().enumerate().filter(todo).collect();
    let todo = Mutex::new(todo);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let work = || {
            loop {
                let Some((number, client)) = todo.lock().unwrap().pop_front() else {
                    break;
                };
                let cells = COLUMNS.map(|(with, listed)| {
                    let host = match listed {
                        true => ALLOWED.to_owned(),
                        false => unlisted(number, with),
                    };
                    let without = if with { "" } else { without.as_str() };
                    let outcome = attempt(engine, &agent, client, number, &host, without);
                    let cell = cell::of(client, &outcome)
                        .filter(|cell| listed || *cell != WORKS)
                        .unwrap_or("hangs, or does not say why");
                    (cell, outcome)
                });
                let cells = cells.to_vec();
                done.lock().unwrap().push((number, Row { client, cells }));
            }
        };
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let mut rows: Vec<(usize, Row)> = done.into_inner().unwrap();
    rows.sort_by_key(|(number, _)| *number);

    let requests = origin.requests();
    assert!(
        requests.iter().all(|line| !line.contains(UNLISTED)),
        "{requests:?}"
    );
    let events = checkout.agentnet(&["logs", "t", "--events"]).expect();
    for (number, row) in &mut rows {
        for (column, (with, listed)) in COLUMNS.into_iter().enumerate() {
            let (cell, _) = &mut row.cells[column];
            let host = format!("\"host\":\"{}\"", unlisted(*number, with));
            let refused = |line: &str| line.contains(&host) && line.contains("\"not_listed\"");
            if !listed && !events.lines().any(refused) {
                *cell = "is not in the events";
            }
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

/// What the clients find in the agent's container: the origin's authority, a key for it, and two programs.
fn prepare(engine: &Engine, agent: &str, origin: &Origin<'_>) {
    engine.write(agent, "/tmp/ca.pem", &origin.authority());
    engine.write(agent, "/tmp/key", &origin.serve_ssh());
    engine.write(agent, "/tmp/Get.java", JAVA);
    let script = "keytool -importcert -noprompt -file /tmp/ca.pem -keystore /tmp/ca.p12 -storepass changeit; umask 077; \
        mkdir -p ~/.ssh; printf 'IdentityFile /tmp/key\\nStrictHostKeyChecking accept-new\\n' >~/.ssh/config; chmod 600 /tmp/key";
    engine.shell(agent, script).expect();
    // Our own cargo: Debian's is older than sparse registries.
    let target = format!("{agent}:/usr/local/bin/cargo");
    engine
        .docker(["cp", "--quiet", env!("CARGO"), &target])
        .expect();
}

/// What takes the variables of the proxy away, as words for `env`.
fn variables(engine: &Engine, agent: &str) -> String {
    let names = "env | sed -n 's/=.*//p' | \
        grep -iE '^((yarn_)?https?_proxy|no_proxy|node_use_env_proxy|java_tool_options|git_ssh_command)$'";
    let names = engine.shell(agent, names).expect();
    assert_eq!(names.lines().count(), 11, "{names}");
    names.lines().map(|name| format!("-u {name} ")).collect()
}

fn attempt(
    engine: &Engine,
    agent: &str,
    client: &Client,
    number: usize,
    host: &str,
    without: &str,
) -> Outcome {
    let directory = format!("/tmp/matrix/{number}");
    let script = client.script.replace("HOST", host);
    let script = script.replace("DIR", &directory);
    let bounded = format!(
        "rm -rf {directory}; mkdir -p {directory}; cd {directory} && \
         exec env {without} CA=/tmp/ca.pem 'JVM={JVM}' timeout {BOUND} sh -c \"$0\""
    );
    let words = ["exec", agent, "sh", "-c", &bounded, &script];
    run_with(engine.command("docker").args(words), "", PATIENCE)
}

/// The rows of a fence's table, as documented.
fn documented<'d>(page: &'d str, fence: &str) -> Vec<&'d str> {
    let start = format!("## The `{fence}` fence");
    let section = page.lines().skip_while(|line| *line != start).skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    section
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect()
}

on_engines! {
    [isolating] fn every_client_works_or_says_why_not_as_the_documentation_has_it(engine) {
        let page = fs::read_to_string(root().join("docs/clients.md")).expect("docs/clients.md");
        let image = clients::image(engine);
        let usable = image.as_deref().ok();
        let runs = thread::scope(|scope| {
            let fences = ["network", "socket"];
            fences.map(|fence| (fence, scope.spawn(move || matrix(engine, fence, usable)))).map(|(fence, run)| (fence, run.join().unwrap()))
        });
        let mut wrong = String::new();
        for (fence, rows) in runs {
            let documented = documented(&page, fence);
            let names = CLIENTS.iter().map(|client| format!("| {} |", client.name));
            let known = names.zip(&documented).take_while(|(name, line)| line.starts_with(name)).count();
            if known != CLIENTS.len() || known != documented.len() {
                writeln!(wrong, "the {fence} fence: row {} is not where the test has it", known + 1).unwrap();
            }
            for row in &rows {
                let name = format!("| {} |", row.client.name);
                let line = documented.iter().find(|line| line.starts_with(&name)).copied().unwrap_or_default();
                if row.line() != line {
                    write!(wrong, "\nthe {fence} fence, {}\n{}", row.client.name, row.difference(line)).unwrap();
                }
            }
        }
        assert!(wrong.is_empty(), "docs/clients.md is not what was seen:\n{wrong}");
        if let Err(reason) = image {
            let rows = CLIENTS.iter().filter(|client| client.from == Source::Registries).count();
            skip(&format!("{rows} rows of docs/clients.md: {reason}"));
        }
    }
}
