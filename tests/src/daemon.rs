//! A program that serves on a loopback port: started for a test, awaited, ended by its own pid.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};

/// How long a daemon may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// One running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    said: PathBuf,
}

/// Why a program does not serve: it ended by itself, with this and having said that.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Its standard output and error.
    pub said: String,
}

impl Daemon {
    /// Starts `command` and waits until something listens on `address`. What it says goes to the file `said`.
    ///
    /// # Panics
    ///
    /// When it neither listens nor ends in time.
    pub fn start(command: &mut Command, address: SocketAddr, said: &Path) -> Result<Self, Ended> {
        let out = fs::File::create(said)
            .expect("a file for its output")
            .into_parts()
            .0;
        let err = out.try_clone().expect("a second descriptor");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut daemon = Self {
            child,
            address,
            said: said.to_owned(),
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if listens_itself(daemon.child.id(), address.port()) {
                return Ok(daemon);
            }
            if let Some(status) = daemon.child.try_wait().expect("a child of ours") {
                let said = daemon.said();
                return Err(Ended { status, said });
            }
            assert!(
                Instant::now() < deadline,
                "{command:?} does not listen on {address}: {}",
                daemon.said()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // One that has ended meanwhile takes no signal, and `running` tells.
        kill_process(pid.expect("a pid"), signal).ok();
    }

    /// Does it still run?
    pub fn running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The time that it has run on a processor, its threads that have ended included; the kernel counts whole ticks
    /// (proc_pid_stat(5), fields 14 and 15).
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a process");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum();
        Duration::from_millis(ticks * 1_000 / clock_ticks_per_second())
    }

    /// What it wrote to its standard output and error so far.
    pub fn said(&self) -> String {
        let bytes = fs::read(&self.said).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// SIGTERM, and how it ended; `None` when it had to be killed.
    pub fn end(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port of 127.0.0.1 that nobody listens on, for programs that cannot be told to choose one themselves.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Does a socket of this network namespace listen on `port`? Asked of the kernel, so that the program that is waited
/// for counts no connection of ours.
pub fn listens(port: u16) -> bool {
    !listeners(port).is_empty()
}

/// Does this process? Somebody else may have taken a port that was free.
fn listens_itself(pid: u32, port: u16) -> bool {
    let sockets = listeners(port);
    if sockets.is_empty() {
        return false;
    }
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let mut names = links.map(|link| link.to_string_lossy().into_owned());
    names.any(|name| sockets.contains(&name))
}

/// The sockets that listen on a port, as `/proc/PID/fd` names them.
fn listeners(port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let wanted = format!("{port:04X}");
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = words.as_slice()
                && local
                    .rsplit_once(':')
                    .is_some_and(|(_, port)| port == wanted)
            {
                found.push(format!("socket:[{inode}]"));
            }
        }
    }
    found
}
