//! Ten tasks at once, each with a PostgreSQL on 5432 and an app on 7001, each committing.

use std::fs;
use std::thread;
use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::skip;
use agentnet_e2e::command::{Outcome, run_with};
use agentnet_e2e::databases::{IMAGE, PSQL, image, postgres};
use agentnet_e2e::engine::{Engine, Thing};
use agentnet_e2e::listing::Listing;
use agentnet_e2e::name::unique;
use agentnet_e2e::repository::git;
use agentnet_e2e::{on_engines, probe, wait};

const TASKS: [&str; 10] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"];
const APP: u16 = 7001;
const DATABASE: u16 = 5432;
/// Ten databases are made at once.
const PATIENCE: Duration = Duration::from_secs(300);

/// Something of every task at the same time; each must succeed.
fn all<T: Send>(of_one: impl Fn(&'static str) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let begun = TASKS.map(|task| scope.spawn(|| of_one(task)));
        let ended = begun.map(|thread| thread.join().unwrap());
        ended.into_iter().collect()
    })
}

fn agentnet(checkout: &Checkout<'_>, words: &[&str]) -> Outcome {
    run_with(&mut checkout.command(words), "", PATIENCE)
}

fn sh(checkout: &Checkout<'_>, task: &str, script: &str) -> String {
    agentnet(checkout, &["exec", task, "--", "sh", "-c", script]).expect()
}

/// The app is the agent's own: it serves the task's files, and psql is in the same image.
fn configure(checkout: &Checkout<'_>) {
    let file = checkout.directory().join("agentnet.toml");
    let text = fs::read_to_string(&file).unwrap();
    let agent = format!(
        "image = \"{}\"\ncommand = [\"sleep\", \"infinity\"]",
        Engine::image("agent")
    );
    let app = format!(
        "image = \"{IMAGE}\"\ncommand = [\"python3\", \"-m\", \"http.server\", \"{APP}\", \"--directory\", \"/workspace\"]"
    );
    let text = text.replace(&agent, &app);
    assert!(text.contains(&app), "{text}");
    checkout.set_config(&format!("{text}{}", postgres()));
}

/// `ADDRESS,PORT` of everything that a task's containers listen on.
fn doors(checkout: &Checkout<'_>, task: &str) -> Vec<String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}";
    let mut found = Vec::new();
    for role in ["proxy", "relay", "agent", "service"] {
        for container in checkout.containers(task, role) {
            let inspect = ["inspect", "--format", format, &container];
            let text = checkout.engine.docker(inspect).expect();
            for address in text.split_whitespace() {
                found.extend([DATABASE, APP, 8888, 9100].map(|port| format!("{address},{port}")));
            }
        }
    }
    found
}

/// Each task's own, by name and by address where it has one; and nothing of the nine others.
fn are_apart(checkout: &Checkout<'_>) {
    let doors = all(|task| doors(checkout, task));
    all(|task| {
        let rows = sh(checkout, task, &format!("{PSQL} 'select v from t'"));
        assert_eq!(rows, task, "the database of {task}");
        let app = format!("curl --silent --fail --noproxy '*' http://localhost:{APP}/name");
        assert_eq!(sh(checkout, task, &app), task, "the app of {task}");
    });
    all(|task| {
        let agent = checkout.container(task, "agent");
        let (own, others): (Vec<_>, Vec<_>) = TASKS
            .iter()
            .zip(&doors)
            .partition(|(other, _)| **other == task);
        let targets: Vec<_> = others
            .iter()
            .flat_map(|(_, doors)| (*doors).clone())
            .collect();
        let reached = probe::reached(checkout.engine, &agent, &targets);
        assert_eq!(
            reached,
            Vec::<String>::new(),
            "what {task} reached of others"
        );
        // What finds nothing elsewhere finds the task's own: in the socket fence that is loopback only.
        let own = own.iter().flat_map(|(_, doors)| (*doors).clone());
        let loopback = [APP, DATABASE].map(|port| format!("127.0.0.1,{port}"));
        let own: Vec<_> = own.chain(loopback).collect();
        let reached = probe::reached(checkout.engine, &agent, &own);
        for port in [APP, DATABASE] {
            let port = format!(" {port}");
            assert!(
                reached.iter().any(|way| way.ends_with(&port)),
                "{task}: {reached:?}"
            );
        }
    });
}

fn ten_at_once(engine: &Engine) {
    if let Err(why) = image(engine) {
        return skip(&why);
    }
    let checkout = Checkout::new(engine, None, "");
    configure(&checkout);
    let directory = checkout.directory();
    let home = directory.parent().unwrap();
    // What an engine does that others use as well is nobody's to compare.
    let engines = || (engine.name != "own").then(|| Listing::of_engine(engine));
    let objects = || git(&directory, &["count-objects", "--verbose"]);
    // An engine's first network with IPv6 makes it forward, and drop what nobody asked to forward, from then on.
    let six = ["--ipv6", "--subnet", "fd8e:5ca1:e::/64"];
    drop(Thing::network(engine, &unique("first"), &six));
    git(&directory, &["gc", "--quiet", "--prune=now"]);
    let before = (engines(), Listing::of_repository(&directory), objects());
    let home_before = Listing::of_directory(home, &["checkout"]);

    let fences: &[&str] = if engine.isolates() {
        &["network", "socket"]
    } else {
        &["socket"]
    };
    let fence = |task: &str| {
        let number = TASKS.iter().position(|other| *other == task).unwrap();
        fences[number % fences.len()]
    };
    all(|task| agentnet(&checkout, &["up", task, "--fence", fence(task)]).expect());
    all(|task| {
        let work = format!(
            "set -e; {PSQL} 'create table t (v text)'; {PSQL} \"insert into t values ('{task}')\"
             printf {task} >name; git add name; git commit --quiet --message {task}"
        );
        sh(&checkout, task, &work)
    });
    let ls = agentnet(&checkout, &["ls"]).expect();
    assert_eq!(
        ls.lines().filter(|line| line.contains(" up ")).count(),
        10,
        "{ls}"
    );
    are_apart(&checkout);

    all(|task| agentnet(&checkout, &["sync", task]).expect());
    for task in TASKS {
        let theirs = git(&directory, &["show", &format!("agentnet/{task}:name")]);
        assert_eq!(theirs, task);
        let commits = ["rev-list", "--count", &format!("main..agentnet/{task}")];
        assert_eq!(git(&directory, &commits), "1", "{task}");
    }

    agentnet(&checkout, &["down", "--all"]).expect();
    assert_eq!(checkout.leftovers(), []);
    if let (Some(after), Some(before)) = (engines(), &before.0) {
        assert_eq!(after.since(before), Vec::<String>::new());
    }
    // Who watched the tasks' disks ends by itself.
    let watcher = checkout.state().join("disk.lock");
    wait::until("the watcher's end", PATIENCE, || {
        (!watcher.exists()).then_some(())
    });
    // Of the state, the directories that tasks and locks come and go in; of the repository, what was synced.
    let home_after = Listing::of_directory(home, &["checkout"]).since(&home_before);
    let left = ["state", "state/locks", "state/tasks"];
    assert_eq!(home_after.len(), left.len(), "{home_after:?}");
    assert!(left.iter().all(|name| {
        home_after
            .iter()
            .any(|line| line.starts_with(&format!("+ {name} 40")))
    }));
    let refs = git(
        &directory,
        &[
            "for-each-ref",
            "--format=%(refname)",
            "refs/heads/agentnet",
            "refs/agentnet",
        ],
    );
    let after = Listing::of_repository(&directory).since(&before.1);
    assert!(
        after
            .iter()
            .all(|line| line.starts_with("+ for-each-ref: ")),
        "{after:?}"
    );
    assert_eq!(after.len(), refs.lines().count(), "{after:?}");
    for name in refs.lines() {
        assert!(
            TASKS
                .iter()
                .any(|task| name.ends_with(&format!("agentnet/{task}"))),
            "{refs}"
        );
        git(&directory, &["update-ref", "-d", name]);
    }
    git(&directory, &["reflog", "expire", "--expire=now", "--all"]);
    git(&directory, &["gc", "--quiet", "--prune=now"]);
    assert_eq!(
        objects(),
        before.2,
        "without the tasks' branches nothing of them is left"
    );
    assert_eq!(
        Listing::of_repository(&directory).since(&before.1),
        Vec::<String>::new()
    );
}

on_engines! {
    [current] fn ten_tasks_at_once_do_not_meet_and_leave_only_their_branches(engine) {
        ten_at_once(engine);
    }
}
