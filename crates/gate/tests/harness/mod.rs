//! Network namespaces as a test bed: nothing has a name, so nothing is left behind.
//!
//! A namespace lives as long as its holder, a process that waits for the end of its standard input.
//! That end comes when the test drops it, panics, or is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "tests say what went wrong by panicking, and each uses a part of the harness"
)]

pub mod fence;
pub mod proxy;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};

use agentnet_gate::{Outcome, Report, Row, RowId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The gate, as cargo built it.
pub const GATE: &str = env!("CARGO_BIN_EXE_agentnet-gate");

/// Says why the machine cannot run these tests, once per test, or lets it go on.
pub fn can_run() -> bool {
    let works = Command::new("unshare")
        .args(["-n", "-p", "-f", "-i", "-u", "--mount-proc"])
        .args(["setpriv", "--no-new-privs", "--bounding-set", "-all"])
        .args(["perl", "-e", "exit 0"])
        .output();
    let reason = match works {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    // Not `eprintln!`: the test runner would swallow it.
    let why = format!("skipped: needs root, unshare, setpriv, ip and perl ({reason})\n");
    std::io::stderr().write_all(why.as_bytes()).ok();
    false
}

/// Runs a command to its end; panics with what it said if it fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("start");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// One network namespace and the process that holds it.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A new one, with loopback up and without duplicate address detection (it takes a second).
    pub fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a holder");
        let mut line = String::new();
        let stdout = holder.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("read");
        assert_eq!(line, "ready\n");
        let namespace = Self { holder };
        namespace.set("ipv6/conf/all/accept_dad", "0");
        namespace.set("ipv6/conf/default/accept_dad", "0");
        namespace.set("ipv4/ping_group_range", "0 2147483647");
        namespace.ip("link set lo up");
        namespace
    }

    /// The holder's number, by which `ip` and `nsenter` know the namespace.
    pub fn id(&self) -> String {
        self.holder.id().to_string()
    }

    /// A command inside.
    pub fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.id(), "-n"]);
        command
    }

    /// `ip …` inside.
    pub fn ip(&self, words: &str) {
        run(self.enter().arg("ip").args(words.split_ascii_whitespace()));
    }

    /// Writes `/proc/sys/net/…` inside.
    pub fn set(&self, path: &str, value: &str) {
        let write = format!("echo {value} > /proc/sys/net/{path}");
        run(self.enter().args(["sh", "-c", &write]));
    }

    /// A listener inside; it stays there wherever it is used.
    pub fn listen(&self, address: &str) -> TcpListener {
        let path = format!("/proc/{}/ns/net", self.id());
        let address = address.to_owned();
        // setns(2) moves one thread, so it gets a thread of its own.
        let bound = std::thread::spawn(move || {
            let file = std::fs::File::open(path).expect("namespace");
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("setns");
            TcpListener::bind(address).expect("bind")
        });
        bound.join().expect("thread")
    }

    /// The gate inside, confined as an engine confines a container.
    pub fn gate(&self) -> Command {
        let mut command = self.enter();
        command.args([
            "unshare",
            "-p",
            "-f",
            "-i",
            "-u",
            "--mount-proc",
            "--kill-child",
        ]);
        command.args(["setpriv", "--no-new-privs", "--bounding-set", "-all"]);
        command.args(["--inh-caps", "-all", "perl", "-e", FILTER, GATE]);
        command
    }

    /// The gate inside, with everything that root has.
    pub fn unconfined_gate(&self) -> Command {
        let mut command = self.enter();
        command.arg(GATE);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().ok();
    }
}

/// Installs a system call filter that refuses `socket(AF_VSOCK)`, as the engines' does, and becomes
/// its arguments. seccomp(2) by hand: no tool of a base system does it.
const FILTER: &str = r#"
    use POSIX;
    my %number = (x86_64 => [157, 41], aarch64 => [167, 198]);
    my ($prctl, $socket) = @{ $number{ (POSIX::uname)[4] } or die "no numbers for this machine" };
    my $code = join '', map { pack 'SCCL', @$_ } (
        [0x20, 0, 0, 0], [0x15, 0, 3, $socket],
        [0x20, 0, 0, 16], [0x15, 0, 1, 40],
        [0x06, 0, 0, 0x00050001], [0x06, 0, 0, 0x7fff0000],
    );
    my $program = pack 'Sx6P', 6, $code;
    syscall($prctl, 22, 2, $program) == 0 or die "seccomp: $!";
    exec { $ARGV[0] } @ARGV or die "exec: $!";
"#;

/// Runs `verify --json` and reads the report.
pub fn verify(gate: &mut Command, words: &str) -> (Report, i32) {
    let output = gate
        .args(["verify", "--json"])
        .args(words.split_ascii_whitespace())
        .stdin(Stdio::null())
        .output()
        .expect("start the gate");
    let said = String::from_utf8_lossy(&output.stderr);
    let report = Report::parse(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (report, output.status.code().expect("a code"))
}

/// The rows that are open.
pub fn leaks(report: &Report) -> Vec<RowId> {
    report
        .rows
        .iter()
        .filter(|row| row.outcome == Outcome::Leak)
        .map(|row| row.id)
        .collect()
}

/// The one row of that name.
pub fn row(report: &Report, id: RowId) -> &Row {
    report
        .rows
        .iter()
        .find(|row| row.id == id)
        .unwrap_or_else(|| panic!("no row {id}"))
}
