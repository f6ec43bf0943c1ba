//! Services as people have them: a real PostgreSQL and a real Redis on their standard ports in two tasks at once, with
//! passwords, volumes and ceilings of the task's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::{root, skip};
use agentnet_e2e::databases::{IMAGE, PSQL, USER, image, postgres};
use agentnet_e2e::engine::{BASE_IMAGE, Engine};
use agentnet_e2e::{on_engines, wait};
use serde_json::Value;

const TASKS: [&str; 2] = ["one", "two"];
/// The watcher looks every five seconds at most.
const SOON: Duration = Duration::from_secs(60);
/// A profile as the engine's own, with io_uring.
fn profile_with_io_uring(directory: &Path) {
    let own = fs::read_to_string(root().join("compose/socket/seccomp.json")).unwrap();
    let mut profile: Value = serde_json::from_str(&own).unwrap();
    let calls = serde_json::json!({
        "names": ["io_uring_setup", "io_uring_enter", "io_uring_register"],
        "action": "SCMP_ACT_ALLOW",
    });
    profile["syscalls"].as_array_mut().unwrap().push(calls);
    fs::write(directory.join("uring.json"), profile.to_string()).unwrap();
}

fn config() -> String {
    format!(
        r#"{postgres}
[services.redis]
image = "{IMAGE}"
user = "{USER}"
port = 6379
command = ["sh", "-c", "exec redis-server --save '' --protected-mode no --requirepass \"$REDIS_PASSWORD\""]
generate = ["REDIS_PASSWORD"]
after = ["postgres"]
[services.uring]
image = "{BASE_IMAGE}"
user = "1000:1000"
command = ["sleep", "infinity"]
seccomp = "uring.json"
memlock = "6MiB"
"#,
        postgres = postgres()
    )
}

const REDIS: &str = "redis-cli -h redis --no-auth-warning -a \"$REDIS_PASSWORD\"";
/// io_uring_setup with an address that is none: EFAULT (14) where it is let through, EPERM (1) where it is not.
const URING: &str = "import ctypes; l = ctypes.CDLL(None, use_errno=True); l.syscall(425, 1, 0); print(ctypes.get_errno())";

fn sh(checkout: &Checkout<'_>, task: &str, script: &str) -> agentnet_e2e::command::Outcome {
    checkout.agentnet(&["exec", task, "--", "sh", "-c", script])
}

fn databases_of_two_tasks_are_apart(engine: &Engine, fence: &str) {
    if let Err(why) = image(engine) {
        return skip(&why);
    }
    let checkout = Checkout::new(engine, Some(fence), "");
    checkout.add_config(&config());
    let file = checkout.directory().join("agentnet.toml");
    let text = fs::read_to_string(&file).unwrap();
    // psql and redis-cli are in the same image.
    let agent = format!(
        "image = \"{}\"\ncommand = [\"sleep\"",
        Engine::image("agent")
    );
    let text = text.replace(
        &agent,
        &format!("image = \"{IMAGE}\"\nmemory = \"256MiB\"\npids = 64\ncommand = [\"sleep\""),
    );
    assert!(text.contains("pids = 64"), "{text}");
    checkout.set_config(&text);
    profile_with_io_uring(&checkout.directory());

    thread::scope(|scope| {
        let ups = TASKS.map(|task| scope.spawn(|| checkout.agentnet(&["up", task])));
        for up in ups {
            let up = up.join().unwrap();
            assert!(up.ok(), "{up}");
            assert!(
                up.stderr
                    .contains("service uring runs with the system call filter uring.json"),
                "{up}"
            );
        }
    });

    let mut passwords = Vec::new();
    for task in TASKS {
        let make = format!(
            "{PSQL} 'create table t (v text)' && {PSQL} \"insert into t values ('{task}')\""
        );
        sh(&checkout, task, &make).expect();
        sh(&checkout, task, &format!("{REDIS} set whose {task}")).expect();
        passwords.push(sh(&checkout, task, "echo $POSTGRES_PASSWORD $REDIS_PASSWORD").expect());
    }
    for task in TASKS {
        assert_eq!(
            sh(&checkout, task, &format!("{PSQL} 'select v from t'")).expect(),
            task
        );
        assert_eq!(
            sh(&checkout, task, &format!("{REDIS} get whose")).expect(),
            task
        );
        let other = "PGPASSWORD=wrong psql -h postgres -U postgres -c 'select 1'";
        let refused = sh(&checkout, task, other);
        assert!(
            !refused.ok() && refused.stderr.contains("password authentication failed"),
            "{refused}"
        );
        let uring = format!("python3 -c '{URING}'");
        assert_eq!(
            sh(&checkout, task, &uring).expect(),
            "1",
            "the agent has the engine's filter"
        );
        let words = ["exec", task, "--service", "uring", "--", "sh", "-c", &uring];
        assert_eq!(
            checkout.agentnet(&words).expect(),
            "14",
            "its service has its own"
        );
        let locked = [
            "exec",
            task,
            "--service",
            "uring",
            "--",
            "sh",
            "-c",
            "ulimit -l",
        ];
        assert_eq!(
            checkout.agentnet(&locked).expect(),
            "6144",
            "KiB that it may lock"
        );
        checkout.agentnet(&["verify", task]).expect();
    }
    shown_nowhere(&checkout, &passwords);
    ceilings_hold(&checkout);
    volumes_are_kept_when_asked(&checkout, &passwords[0]);
    checkout.agentnet(&["down", "--all"]).expect();
    assert_eq!(checkout.leftovers(), []);
}

/// Neither in what is printed nor in labels, records and logs.
fn shown_nowhere(checkout: &Checkout<'_>, passwords: &[String]) {
    let mut shown = String::new();
    for words in [
        &["status", "one", "--json"][..],
        &["up", "three", "--dry-run", "--json"],
        &["ls", "--json"],
        &["logs", "one"],
    ] {
        shown.push_str(&checkout.agentnet(words).text());
    }
    for container in checkout
        .containers("one", "service")
        .iter()
        .chain(&checkout.containers("one", "agent"))
    {
        shown.push_str(
            &checkout
                .engine
                .docker(["inspect", "--format", "{{json .Config.Labels}}", container])
                .expect(),
        );
        shown.push_str(&checkout.engine.docker(["logs", container]).text());
    }
    let task = checkout
        .state()
        .join("tasks")
        .join(&checkout.project)
        .join("one");
    for name in ["record.json", "journal.jsonl", "verify.json"] {
        shown.push_str(&fs::read_to_string(task.join(name)).unwrap());
    }
    let own = fs::read_to_string(task.join("passwords.json")).unwrap();
    let mode = fs::metadata(task.join("passwords.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for password in passwords.iter().flat_map(|both| both.split(' ')) {
        assert_eq!(password.len(), 32, "{password}");
        assert!(!shown.contains(password), "{password} is shown");
    }
    assert!(
        passwords[0]
            .split(' ')
            .all(|password| own.contains(password))
    );
    assert!(
        passwords[1]
            .split(' ')
            .all(|password| !own.contains(password))
    );
}

/// A hog and a fork bomb end in their own task, and are told of.
fn ceilings_hold(checkout: &Checkout<'_>) {
    let told = sh(
        checkout,
        "one",
        "echo $AGENTNET_MEMORY_BYTES $AGENTNET_PIDS",
    )
    .expect();
    assert_eq!(told, "268435456 64");
    let hog = sh(checkout, "one", "python3 -c 'x = b\"x\" * (1 << 30)'");
    assert_eq!(hog.code(), Some(137), "{hog}");
    let status = checkout.agentnet(&["status", "one"]).expect();
    let sentence = "because it ran out of memory: its ceiling is 256 MiB; memory = in [agent] of agentnet.toml raises it";
    assert!(status.contains(sentence), "{status}");
    let bomb = "import os, sys, time\n\
                n = 0\n\
                try:\n    while n < 1000:\n        if os.fork() == 0:\n            time.sleep(2)\n            os._exit(0)\n        n += 1\n\
                except BlockingIOError:\n    pass\n\
                print(n)";
    let bomb = checkout.agentnet(&["exec", "one", "--", "python3", "-c", bomb]);
    let forked: u32 = bomb.expect().parse().unwrap();
    assert!((1..64).contains(&forked), "{forked} processes");
    let full = checkout.agentnet(&["status", "one"]).expect();
    assert!(
        full.contains("pids = in [agent] of agentnet.toml raises it"),
        "{full}"
    );
    let other = checkout.agentnet(&["status", "two"]).expect();
    assert!(!other.contains("ran out of memory"), "{other}");
}

fn volumes_are_kept_when_asked(checkout: &Checkout<'_>, passwords: &str) {
    let down = checkout.agentnet(&["down", "one", "--keep-volumes"]);
    assert!(down.ok(), "{down}");
    assert!(down.stderr.contains("-volume-postgres.data"), "{down}");
    checkout.agentnet(&["gc"]).expect();
    checkout.agentnet(&["up", "one"]).expect();
    assert_eq!(
        sh(checkout, "one", &format!("{PSQL} 'select v from t'")).expect(),
        "one"
    );
    assert_eq!(
        sh(checkout, "one", "echo $POSTGRES_PASSWORD $REDIS_PASSWORD").expect(),
        passwords
    );
}

fn a_run_tells_its_ceilings(engine: &Engine, fence: &str) {
    let checkout = Checkout::new(engine, Some(fence), "");
    let agent =
        "\n[services.side]\nimage = \"agentnet-test-base\"\ncommand = [\"sleep\", \"infinity\"]\n";
    checkout.add_config(agent);
    let file = checkout.directory().join("agentnet.toml");
    let text = fs::read_to_string(&file).unwrap();
    checkout.set_config(&text.replace(
        "[agent]\n",
        "[agent]\nmemory = \"256MiB\"\ndisk = \"64MiB\"\n",
    ));

    let hog = "python3 -c 'x = b\"x\" * (1 << 30)'";
    let run = checkout.agentnet(&["run", "hog", "--", "sh", "-c", hog]);
    assert_eq!(run.code(), Some(137), "{run}");
    let sentence = "the kernel ended a process of the agent (1 in all) because it ran out of memory: its ceiling is 256 MiB; \
                    memory = in [agent] of agentnet.toml raises it";
    assert!(run.stderr.contains(sentence), "{run}");

    let writer = "head -c 100M /dev/zero >big; sleep 100";
    let run = checkout.agentnet(&["run", "writer", "--discard", "--", "sh", "-c", writer]);
    assert_eq!(run.code(), Some(125), "{run}");
    let sentence = "and its ceiling is 64 MiB; disk = in [agent] of agentnet.toml raises it";
    assert!(run.stderr.contains(sentence), "{run}");

    // A task that is left alone is watched as well, and its work is still there afterwards.
    checkout.agentnet(&["up", "alone"]).expect();
    let status = || checkout.agentnet(&["status", "alone"]).expect();
    wait::until("a first look", SOON, || {
        status().contains("\ndisk ").then_some(())
    });
    sh(&checkout, "alone", "head -c 100M /dev/zero >big");
    let ended = wait::until("its end", SOON, || {
        // The reason is there a moment before the containers have ended.
        let status = status();
        (status.contains("it was stopped: it wrote ") && status.contains("exited 137"))
            .then_some(status)
    });
    assert!(ended.contains(sentence), "{ended}");
    let down = checkout.agentnet(&["down", "alone"]);
    assert!(
        down.ok() && down.stderr.contains("refs/agentnet/wip/alone"),
        "{down}"
    );
    checkout.agentnet(&["down", "alone", "--discard"]).expect();
    assert_eq!(checkout.leftovers(), []);
}

on_engines! {
    [isolating] fn databases_behind_network_fences_are_apart(engine) {
        databases_of_two_tasks_are_apart(engine, "network");
    }

    [current] fn databases_behind_socket_fences_are_apart(engine) {
        databases_of_two_tasks_are_apart(engine, "socket");
    }

    [current] fn a_run_that_meets_a_ceiling_says_which(engine) {
        a_run_tells_its_ceilings(engine, "socket");
    }
}
