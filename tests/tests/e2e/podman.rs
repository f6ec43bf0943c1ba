//! Podman, run by root and by an ordinary user: one life of a task each, and one that was cut short.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use agentnet_e2e::agentnet::{Checkout, SERVICE_PORT};
use agentnet_e2e::engine::{BASE_IMAGE, Engine};
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin, UNLISTED, whitelist};
use agentnet_e2e::repository::git;
use agentnet_e2e::{probe, wait};
use fs_err as fs;
use serde_json::Value;

use crate::lifecycle::settle;
use crate::{canaries, clients};

/// Whom the agent's files belong to where root runs the engine.
const FIXED: u32 = 1000;

fn document(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// What the agent wrote, as the host sees it: the person's.
fn belongs_to_the_person(engine: &Engine, checkout: &Checkout<'_>, file: &str) {
    let state = checkout.state().join("tasks").join(&checkout.project);
    let found = fs::metadata(state.join("t/tree").join(file)).expect(file);
    let person = engine.user.unwrap_or(FIXED);
    assert_eq!((found.uid(), found.gid()), (person, person), "{file}");
}

/// Nothing on the host or outside answers, and the proof says so row by row.
fn is_sealed(engine: &Engine, checkout: &Checkout<'_>, agent: &str) {
    let canary = canaries::start(engine);
    let before = canary.contacts();
    let mut targets = canary.targets();
    targets.extend(probe::outside());
    assert_eq!(probe::reached(engine, agent, &targets), [""; 0]);

    let allowed = format!("{ALLOWED}:443");
    let proof = document(
        &checkout
            .agentnet(&["verify", "t", "--json", "--allowed", &allowed])
            .expect(),
    );
    assert_eq!(proof["sealed"], true, "{proof}");
    let rows = proof["rows"].as_array().expect("rows");
    for row in ["vsock", "fronting", "seccomp", "capabilities", "host_names"] {
        let found = rows.iter().find(|found| found["id"] == row);
        assert_eq!(found.expect(row)["outcome"], "sealed", "{found:?}");
    }
    assert_eq!(
        canary.contacts(),
        before,
        "a service of the host heard from the agent"
    );
}

fn nothing_is_left(checkout: &Checkout<'_>) {
    assert_eq!(checkout.leftovers(), []);
    let worktrees = git(&checkout.directory(), &["worktree", "list"]);
    assert_eq!(worktrees.lines().count(), 1, "{worktrees}");
}

on_engines! {
    [podman, rootless] fn a_task_lives_behind_the_socket_fence(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        // Without a port nothing is checked: health checks are systemd's there, and here is none.
        checkout.add_config(&format!(
            "\n[services.web]\nimage = \"{BASE_IMAGE}\"\nuser = \"1000:1000\"\n\
             command = [\"python3\", \"-m\", \"http.server\", \"{SERVICE_PORT}\", \"--directory\", \"/etc/default\"]\n"
        ));
        checkout.agentnet(&["doctor"]).expect();
        checkout.agentnet(&["up", "t"]).expect();
        let agent = checkout.container("t", "agent");
        let origin = Origin::start(engine, &checkout.network("t", "egress"));
        clients::get_through(engine, &agent, &origin);
        clients::are_refused(engine, &agent, &origin);
        clients::need_no_variables(engine, "socket", &agent, &origin);
        let own = format!("curl --silent --fail --noproxy web --max-time 10 http://web:{SERVICE_PORT}/ >/dev/null");
        wait::until("the service", Duration::from_secs(30), || engine.shell(&agent, &own).ok().then_some(()));
        is_sealed(engine, &checkout, &agent);

        let tasks = document(&checkout.agentnet(&["ls", "--json"]).expect());
        assert_eq!(tasks["tasks"][0]["fence"], "socket", "{tasks}");
        drop(origin);
        checkout.agentnet(&["status", "t"]).expect();
        let words = ["exec", "t", "--", "sh", "-c", "echo made >made && git add made && git commit --quiet --message Made && echo more >more; exit 7"];
        assert_eq!(checkout.agentnet(&words).code(), Some(7));
        belongs_to_the_person(engine, &checkout, "made");
        checkout.agentnet(&["sync", "t"]).expect();
        let subject = git(&checkout.directory(), &["log", "-1", "--format=%s", "agentnet/t"]);
        assert_eq!(subject, "Made");
        let out = checkout.state().join("out");
        checkout.agentnet(&["results", "t", &out.to_string_lossy()]).expect();
        let refused = document(&fs::read_to_string(out.join("network.json")).expect("network.json"));
        let refused = refused["refused"].as_array().expect("a list");
        assert!(refused.iter().any(|one| one["host"] == UNLISTED), "{refused:?}");
        assert_eq!(fs::metadata(out.join("changes.patch")).expect("a patch").uid(), engine.user.unwrap_or(0));

        // Once more in front of the same files: containers start anew and are as tight as before.
        if engine.user.is_none() {
            checkout.agentnet(&["snapshot", "create", "t", "one"]).expect();
            engine.shell(&agent, "echo spoiled >/workspace/made").expect();
            checkout.agentnet(&["snapshot", "restore", "t", "one"]).expect();
            let agent = checkout.container("t", "agent");
            assert_eq!(engine.shell(&agent, "cat /workspace/made").expect(), "made");
            is_sealed_again(&checkout);
        }
        checkout.agentnet(&["down", "t", "--discard"]).expect();
        nothing_is_left(&checkout);
    }

    [podman, rootless] fn ups_that_were_killed_leave_nothing_after_gc(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        for enough in [1, 4] {
            let mut up = checkout.start(&["up", "t"]);
            wait::until("some of the task", Duration::from_secs(60), || {
                (checkout.leftovers().len() >= enough).then_some(())
            });
            up.kill().expect("SIGKILL");
            up.wait().expect("its end");
            settle(&checkout);
            checkout.agentnet(&["gc"]).expect();
            if !checkout.leftovers().is_empty() {
                // It came too late: the task is whole.
                checkout.agentnet(&["verify", "t"]).expect();
                checkout.agentnet(&["down", "t"]).expect();
            }
            nothing_is_left(&checkout);
        }
        checkout.agentnet(&["up", "t"]).expect();
        checkout.agentnet(&["down", "t"]).expect();
        nothing_is_left(&checkout);
    }

    [rootless] fn the_engine_of_somebody_else_is_refused(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        let mut up = engine.command(&agentnet_e2e::bed::program().to_string_lossy());
        let home = tempfile::tempdir().expect("a directory");
        let files = home.path().join("files");
        fs::create_dir(&files).expect("a directory");
        up.current_dir(home.path()).env("AGENTNET_STATE_DIR", home.path().join("state"));
        let config = checkout.directory().join("agentnet.toml");
        up.args(["up", "t", "--workspace", "files", "--config"]).arg(config);
        let refused = agentnet_e2e::command::run(&mut up).expect_failure();
        assert!(refused.stderr.contains("run agentnet as that user"), "{refused}");
        assert_eq!(checkout.leftovers(), []);
    }
}

/// The proof of a task whose origin is gone.
fn is_sealed_again(checkout: &Checkout<'_>) {
    let proof = document(&checkout.agentnet(&["verify", "t", "--json"]).expect());
    assert_eq!(proof["sealed"], true, "{proof}");
}
