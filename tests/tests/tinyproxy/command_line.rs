//! The words that Tinyproxy takes, and the process that goes into the background without `-d`.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use agentnet_e2e::bed;
use agentnet_e2e::command::{Outcome, run};
use agentnet_e2e::daemon::{free_port, listens};
use agentnet_e2e::wait;
use agentnet_e2e::wire::Wire;
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::observation::{self, Observation};
use crate::play::{Program, World, bare, bytes, fill};
use crate::scenario::{Scenario, Sights};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("words", words),
        Scenario::alone("in the background", background),
    ]
}

/// Ours under the name that the image links it to.
fn under_its_name(program: Program, world: &World, directory: &Path) -> Command {
    let command = bare(program, world);
    if program == Program::Theirs {
        return command;
    }
    let link = directory.join("tinyproxy");
    if !link.exists() {
        symlink(bed::proxy(), &link).expect("a link");
    }
    let mut linked = Command::new(link);
    linked.env_clear();
    for (key, value) in command.get_envs() {
        linked.env(key, value.unwrap_or_default());
    }
    linked
}

fn words(program: Program, world: &World) -> Sights {
    let directory = TempDir::new().expect("a temporary directory");
    let missing = directory.path().join("none").display().to_string();
    let tries: [(&str, &[&str]); 5] = [
        ("-v", &["-v"]),
        ("-h", &["-h"]),
        ("a word that is none", &["-x"]),
        ("-c without a file", &["-c"]),
        ("a file that is not there", &["-d", "-c", &missing]),
    ];
    let seen = tries.map(|(name, words)| {
        let outcome = run(under_its_name(program, world, directory.path()).args(words));
        (name.to_owned(), told(&outcome, &missing))
    });
    seen.into()
}

/// Success or not, and what scripts may look for.
fn told(outcome: &Outcome, missing: &str) -> Observation {
    let all = outcome.text();
    let yes = |value: bool| (if value { "yes" } else { "no" }).to_owned();
    Observation::from([
        ("succeeds".to_owned(), yes(outcome.ok())),
        (
            "says tinyproxy 1.11.1".to_owned(),
            yes(all.starts_with("tinyproxy 1.11.1")),
        ),
        (
            "says usage".to_owned(),
            yes(all.contains("Usage: tinyproxy")),
        ),
        (
            "exit code".to_owned(),
            outcome.code().unwrap_or_default().to_string(),
        ),
        ("names the file".to_owned(), yes(all.contains(missing))),
    ])
}

/// Without `-d` the command returns, the process is in the pid file, SIGHUP reloads, SIGTERM ends it.
fn background(program: Program, world: &World) -> Sights {
    let directory = TempDir::new().expect("a temporary directory");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let write = |name: &str, text: &str| {
        let text = fill(text, world, directory.path(), address.port());
        fs::write(directory.path().join(name), text).expect("a file of the configuration");
    };
    write(
        "conf",
        "Port $PORT\nListen 127.0.0.1\nLogFile \"$DIR/log\"\nPidFile \"$DIR/pid\"\nFilter \"$DIR/filter\"\nUpstream http $PARENT\n",
    );
    write("filter", "bad\n");
    let log = || fs::read_to_string(directory.path().join("log")).unwrap_or_default();
    let ask = |text: &str| {
        let mut wire = Wire::to(address);
        wire.send(&bytes(text));
        observation::answer("", &wire.answer("GET"))
            .remove("status")
            .unwrap_or_default()
    };
    let mut start = under_its_name(program, world, directory.path());
    let started = run(start.arg("-c").arg(directory.path().join("conf")));
    let mut seen = Observation::from([(
        "the command returns with success".to_owned(),
        started.ok().to_string(),
    )]);
    if !started.ok() {
        seen.insert("#".to_owned(), started.to_string());
        return vec![("start".to_owned(), seen)];
    }
    let pid = wait::until("a pid file", PATIENCE, || {
        let text = fs::read_to_string(directory.path().join("pid")).ok()?;
        text.trim().parse().ok().and_then(Pid::from_raw)
    });
    let _guard = Guard(pid);
    wait::until("a listener", PATIENCE, || {
        listens(address.port()).then_some(())
    });
    // It listens before it handles signals.
    wait::until("its log", PATIENCE, || {
        log().contains("Accepting connections").then_some(())
    });
    let mut put = |key: &str, value: String| seen.insert(key.to_owned(), value);
    put("bad", ask("GET http://bad.example/"));
    put("good", ask("GET http://good.example/"));
    write("filter", "good\n");
    let before = log().len();
    kill_process(pid, Signal::HUP).expect("it runs");
    let reread = || {
        log()
            .get(before..)
            .is_some_and(|new| new.contains("Re-reading filter file"))
    };
    wait::until("the reload", PATIENCE, || reread().then_some(()));
    put("bad after SIGHUP", ask("GET http://bad.example/"));
    put("good after SIGHUP", ask("GET http://good.example/"));
    kill_process(pid, Signal::TERM).expect("it runs");
    wait::until("its end", PATIENCE, || {
        (!listens(address.port())).then_some(())
    });
    put(
        "the pid file stays",
        directory.path().join("pid").exists().to_string(),
    );
    vec![("start".to_owned(), seen)]
}

/// Ends the process of the pid file, whatever happens.
struct Guard(Pid);

impl Drop for Guard {
    fn drop(&mut self) {
        if test_kill_process(self.0).is_ok() {
            kill_process(self.0, Signal::KILL).ok();
        }
    }
}
