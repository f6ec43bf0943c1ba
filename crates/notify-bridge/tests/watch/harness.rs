//! A bridge whose only outlet is a log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_agentnet-notify");

/// A state directory with tasks, and perhaps a bridge.
pub(crate) struct World {
    dir: tempfile::TempDir,
    bridge: Option<Child>,
}

impl World {
    /// With the task `fix-42`, and no bridge yet.
    pub(crate) fn new() -> Self {
        Self::in_directory(scratch())
    }

    /// The same where a sync takes its time.
    pub(crate) fn on_disk() -> Self {
        let mut world = Self::in_directory(tempfile::tempdir().unwrap());
        world.start();
        world
    }

    fn in_directory(dir: tempfile::TempDir) -> Self {
        let world = Self { dir, bridge: None };
        world.task("fix-42");
        let config = format!(
            "[[outlet]]\ntype = \"log\"\nfile = {:?}\n",
            world.path("log")
        );
        fs::write(world.path("notify.toml"), config).unwrap();
        world
    }

    /// With a bridge.
    pub(crate) fn running() -> Self {
        let mut world = Self::new();
        world.start();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A task's `out/`, made.
    pub(crate) fn task(&self, name: &str) -> PathBuf {
        let spool = self.path("state/tasks/shop").join(name).join("spool");
        fs::create_dir_all(spool.join("in")).unwrap();
        fs::create_dir_all(spool.join("out")).unwrap();
        spool.join("out")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.task("fix-42")
    }

    /// The arguments of a bridge.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let [state, config] = [path("state"), path("notify.toml")];
        [
            "watch",
            "--no-blocked",
            "--state-dir",
            &state,
            "--config",
            &config,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    pub(crate) fn start(&mut self) {
        let mut command = Command::new(BINARY);
        command.args(self.arguments());
        self.start_as(command);
    }

    /// Starts it by a command that runs it.
    pub(crate) fn start_as(&mut self, mut command: Command) {
        let trouble = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("trouble"))
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(trouble)
            .spawn()
            .unwrap();
        self.bridge = Some(child);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.bridge.as_ref().unwrap().id()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.bridge.take().unwrap().wait().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut bridge) = self.bridge.take() {
            bridge.kill().unwrap();
            bridge.wait().unwrap();
        }
    }

    /// Writes a file as a good writer does.
    pub(crate) fn say(&self, name: &str, text: &str) {
        write(&self.out(), name, &alert("info", text));
    }

    /// The lines of the log.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The texts of the log.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |line: &Value| line["text"].as_str().unwrap().to_owned();
        self.log().iter().map(text).collect()
    }

    /// What went wrong, on standard error.
    pub(crate) fn trouble(&self) -> String {
        fs::read_to_string(self.path("trouble")).unwrap_or_default()
    }

    /// Shows one more alert, and so proves that the bridge is well and has seen everything before.
    pub(crate) fn is_well(&self) {
        self.say("zz-well", "all is well");
        self.until(|world| world.texts().iter().any(|text| text == "all is well"));
    }

    pub(crate) fn is_empty(&self) -> bool {
        fs::read_dir(self.out()).unwrap().next().is_none()
    }

    /// Waits for what must become true.
    pub(crate) fn until(&self, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(
                Instant::now() < end,
                "it did not happen; log: {:?}; trouble: {}; status: {}",
                self.texts(),
                self.trouble(),
                self.status()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `status --json`.
    pub(crate) fn status(&self) -> Value {
        let output = Command::new(BINARY)
            .args(["status", "--json", "--state-dir"])
            .arg(self.path("state"))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until so many were refused for a reason.
    pub(crate) fn refused(&self, reason: &str, count: u64) {
        self.until(|world| {
            let status = world.status();
            let of = |entry: &&Value| entry["reason"] == reason;
            let found = status["refused"].as_array().unwrap().iter().find(of);
            found.is_some_and(|entry| entry["count"].as_u64().unwrap() >= count)
        });
    }

    /// A line of `/proc/PID/status`, in KiB.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let found = text.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        let figure = found.trim_start_matches(':').trim().trim_end_matches(" kB");
        figure.parse().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In memory where there is room for it: a hundred thousand files take a disk a minute.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// The binary, for another subcommand or another way of starting it.
pub(crate) fn binary() -> &'static str {
    BINARY
}

/// An alert's text.
pub(crate) fn alert(kind: &str, text: &str) -> String {
    serde_json::json!({"v": 1, "kind": kind, "text": text}).to_string()
}

/// Writes a file whole.
pub(crate) fn write(directory: &Path, name: &str, content: &str) {
    let temporary = directory.join(format!("{name}.tmp"));
    fs::write(&temporary, content).unwrap();
    fs::rename(temporary, directory.join(format!("{name}.json"))).unwrap();
}
