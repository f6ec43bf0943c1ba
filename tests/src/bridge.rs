//! The notify bridge without an engine: a state directory with one task's spool, a stand-in for `agentnet` that says what
//! was refused and writes down what it is asked, and `agentnet-notify watch` beside them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fs_err as fs;
use tempfile::TempDir;

use crate::bed;
use crate::command::run;
use crate::desktop::Session;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(20);

/// The project and the task that [`Place::alert`] and [`Place::refuse`] speak of.
pub const TASK: (&str, &str) = ("shop", "fix-42");

/// A state directory.
#[derive(Debug)]
pub struct Place(TempDir);

/// A running bridge: killed when it is dropped, as `kill -9` would.
#[derive(Debug)]
pub struct Bridge(Child);

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// With one task.
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        place.add_task(TASK);
        fs::write(place.path("events"), "").unwrap();
        fs::write(place.path("asked"), "").unwrap();
        let program = place.path("agentnet");
        fs::write(&program, CONTROLLER).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// A spool as `agentnet up` makes it.
    pub fn add_task(&self, task: (&str, &str)) {
        for part in ["out", "in"] {
            fs::create_dir_all(self.spool(task).join(part)).unwrap();
        }
    }

    fn spool(&self, (project, task): (&str, &str)) -> PathBuf {
        let tasks = self.state().join("tasks");
        tasks.join(project).join(task).join("spool")
    }

    /// Writes an alert as an agent does.
    pub fn alert(&self, name: &str, kind: &str, text: &str) {
        self.alert_of(TASK, name, kind, text);
    }

    /// The same of another task.
    pub fn alert_of(&self, task: (&str, &str), name: &str, kind: &str, text: &str) {
        let document = serde_json::json!({"v": 1, "kind": kind, "text": text});
        let out = self.spool(task).join("out");
        let new = out.join(format!("{name}.tmp"));
        fs::write(&new, document.to_string()).unwrap();
        fs::rename(new, out.join(format!("{name}.json"))).unwrap();
    }

    /// What is left in the spool.
    pub fn unread(&self) -> usize {
        fs::read_dir(self.spool(TASK).join("out")).unwrap().count()
    }

    /// The task's proxy refuses a host now.
    pub fn refuse(&self, host: &str) {
        self.refuse_to(TASK, host);
    }

    /// The same of another task.
    pub fn refuse_to(&self, (project, task): (&str, &str), host: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let time = run(Command::new("date")
            .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"])
            .arg(format!("@{}", now.as_secs())));
        let line = serde_json::json!({
            "v": 1, "project": project, "task": task, "proof": false,
            "event": {
                "v": 1, "time": time.expect(), "id": "7", "event": "decision", "listener": "task",
                "client": "", "protocol": "connect", "method": "CONNECT", "host": host, "port": 443,
                "verdict": "deny", "reason": "not_listed", "up": 0, "down": 0, "ms": 1,
            },
        });
        let events = self.path("events");
        let mut file = fs::OpenOptions::new().append(true).open(events).unwrap();
        std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
    }

    /// What `agentnet` was asked to change, one line an order.
    pub fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("asked")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts the bridge and waits until it watches.
    pub fn bridge(&self, session: &Session) -> Bridge {
        let home = self.0.path();
        let child = self
            .command("watch", home)
            .env("DBUS_SESSION_BUS_ADDRESS", session.address())
            .args(["--agentnet".as_ref(), self.path("agentnet").as_os_str()])
            .spawn()
            .expect("agentnet-notify");
        let bridge = Bridge(child);
        until("the bridge", PATIENCE, || {
            run(&mut self.command("status", home)).ok().then_some(())
        });
        bridge
    }

    /// Waits until a bridge has written down that so many notices were shown on the desktop.
    #[track_caller]
    pub fn until_noted(&self, shown: usize) {
        let noted = format!("desktop: {shown} shown");
        until(&noted, PATIENCE, || {
            let status = run(&mut self.command("status", self.0.path()));
            status.stdout.contains(&noted).then_some(())
        });
    }

    fn command(&self, job: &str, home: &Path) -> Command {
        let mut command = Command::new(bed::notify());
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .env("AGENTNET_STATE_DIR", self.state())
            .arg(job)
            .stdin(Stdio::null());
        command
    }
}

impl Bridge {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// `watch` says what was refused so far and what is refused next, as long as the bridge lives.
const CONTROLLER: &str = r#"#!/bin/sh
here=$(dirname "$0")
case " $* " in
*" watch "*) exec tail --pid="$PPID" -n +1 -s 0.05 -f "$here/events" ;;
esac
printf '%s\n' "$*" >>"$here/asked"
echo '{"effects":[{"allowed":true,"sentence":"it is allowed"}]}'
"#;
