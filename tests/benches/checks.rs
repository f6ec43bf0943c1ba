//! What the checks of a tunnel cost: CPU time per CONNECT of the proxy with a line that says `raw`, and of the same
//! binary with the same settings and a line that does not, so that the ClientHello is read and judged.
//! `cargo bench -p agentnet-e2e --bench checks`, or `make bench`.
//!
//! Two processes, the same clients, rounds in turn. CPU time is the kernel's own count of nanoseconds, of the proxy's
//! threads alone, so what clients and origin take is not in it. Both proxies are held to one processor: what it costs
//! to hand work from one to another differs from round to round by more than what is measured. What else runs on the
//! machine adds to some rounds, so the rounds are short, and many.
#![allow(
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and has nobody to hand an error to"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use agentnet_e2e::bed;
use agentnet_e2e::daemon::{Daemon, free_port};
use fs_err as fs;
use tempfile::TempDir;

/// How often both proxies are started anew: two processes of one program differ as well.
const PAIRS: usize = 7;
const ROUNDS: usize = 100;
const CONNECTS: usize = 40;
const CLIENTS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);
/// What a server says that does not like a ClientHello: a fatal alert.
const ANSWER: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

/// A proxy with one line.
struct Subject {
    daemon: Daemon,
    origin: SocketAddr,
    _directory: TempDir,
}

fn main() {
    let hello = client_hello();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{PAIRS} pairs of proxies, {ROUNDS} rounds of {CONNECTS} times CONNECT, a ClientHello of {} bytes, an answer and \
         the end, {CLIENTS} clients; load before: {}",
        hello.len(),
        load.split(' ').next().unwrap_or_default()
    );
    let pairs: Vec<[f64; 2]> = (0..PAIRS).map(|_| pair(&hello)).collect();
    for (index, name) in ["raw", "checked"].iter().enumerate() {
        let (low, middle, high) = spread(pairs.iter().map(|pair| pair[index]).collect());
        println!("{name:<8} {middle:>6.1} µs of CPU per CONNECT ({low:.1} to {high:.1})");
    }
    let (low, middle, high) = spread(pairs.iter().map(|pair| pair[1] / pair[0]).collect());
    println!("checked is {middle:.3} times raw ({low:.3} to {high:.3})");
}

/// Microseconds per CONNECT of a raw and of a checked tunnel: the medians of the rounds, which take turns.
fn pair(hello: &[u8]) -> [f64; 2] {
    let subjects = [Subject::start("raw host"), Subject::start("host")];
    for subject in &subjects {
        subject.round(hello);
    }
    let rounds: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|number| {
            // Who begins takes turns as well.
            let (first, second) = (number % 2, 1 - number % 2);
            let mut times = [0.0; 2];
            times[first] = subjects[first].round(hello);
            times[second] = subjects[second].round(hello);
            times
        })
        .collect();
    [0, 1].map(|index| spread(rounds.iter().map(|round| round[index]).collect()).1)
}

/// The least, the median and the greatest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (values[0], values[last / 2], values[last])
}

impl Subject {
    /// A proxy that permits its origin, with these words on the line.
    fn start(words: &str) -> Self {
        let origin = origin();
        let directory = TempDir::new().expect("a temporary directory");
        let whitelist = directory.path().join("whitelist.txt");
        fs::write(&whitelist, format!("{origin} {words}\n")).expect("a whitelist");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", "0"])
            .arg(bed::proxy())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(["--listen", &address.to_string(), "--admin", "off"])
            .arg("--whitelist")
            .arg(&whitelist);
        // Not into the directory that is watched.
        let said = tempfile::NamedTempFile::new().expect("a temporary file");
        let daemon = Daemon::start(&mut command, address, said.path());
        Self {
            daemon: daemon.unwrap_or_else(|ended| panic!("no proxy: {}", ended.said)),
            origin,
            _directory: directory,
        }
    }

    /// Microseconds of CPU per CONNECT.
    fn round(&self, hello: &[u8]) -> f64 {
        let before = self.cpu();
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| (0..CONNECTS / CLIENTS).for_each(|_| self.connect(hello)));
            }
        });
        // What is still being closed belongs to this round.
        thread::sleep(Duration::from_millis(3));
        (self.cpu() - before) / 1000.0 / CONNECTS as f64
    }

    fn connect(&self, hello: &[u8]) {
        let mut wire = TcpStream::connect(self.daemon.address).expect("a proxy that listens");
        wire.set_nodelay(true).expect("an option");
        wire.set_read_timeout(Some(PATIENCE)).expect("an option");
        let origin = self.origin;
        let request = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n");
        wire.write_all(request.as_bytes())
            .expect("a proxy that reads");
        let mut answer = Vec::new();
        let mut piece = [0; 512];
        while !answer.ends_with(b"\r\n\r\n") {
            let count = wire.read(&mut piece).expect("an answer");
            assert!(count > 0, "it ended: {}", answer.escape_ascii());
            answer.extend_from_slice(&piece[..count]);
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            answer.escape_ascii()
        );
        wire.write_all(hello).expect("a tunnel");
        let mut said = Vec::new();
        wire.read_to_end(&mut said)
            .expect("an answer in the tunnel");
        assert_eq!(said, ANSWER);
    }

    /// Nanoseconds that the proxy's threads have run.
    fn cpu(&self) -> f64 {
        let tasks = format!("/proc/{}/task", self.daemon.pid());
        let threads = fs::read_dir(tasks).expect("a process").flatten();
        let ran = threads.filter_map(|thread| {
            // One may have ended meanwhile.
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        ran.sum()
    }
}

/// Reads what comes first, answers it and closes.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    for _ in 0..CLIENTS {
        let listener = listener.try_clone().expect("a second descriptor");
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut bytes = [0; 4096];
                // A proxy that goes away in the middle is done.
                if stream.read(&mut bytes).is_ok_and(|count| count > 0) {
                    stream.write_all(ANSWER).ok();
                }
            }
        });
    }
    address
}

fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len())
        .expect("a short vector")
        .to_be_bytes();
    [&length[4 - bytes..], content].concat()
}

/// What a client of 2026 sends, post-quantum key share included (1.5 KB); to an address, so it names no host.
fn client_hello() -> Vec<u8> {
    let extension =
        |kind: u16, content: &[u8]| [kind.to_be_bytes().to_vec(), vector(2, content)].concat();
    let share =
        |group: [u8; 2], length: usize| [group.to_vec(), vector(2, &vec![7; length])].concat();
    let shares = [share([0x11, 0xec], 1216), share([0, 29], 32)].concat();
    let protocols = [vector(1, b"h2"), vector(1, b"http/1.1")].concat();
    let extensions = [
        extension(11, &[1, 0]),
        extension(10, &vector(2, &[0x11, 0xec, 0, 29, 0, 23, 0, 24])),
        extension(35, &[]),
        extension(16, &vector(2, &protocols)),
        extension(22, &[]),
        extension(23, &[]),
        extension(13, &vector(2, &[4; 40])),
        extension(43, &vector(1, &[3, 4, 3, 3])),
        extension(45, &[1, 1]),
        extension(51, &vector(2, &shares)),
    ];
    let suites = [0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 0, 0xff];
    let body = [
        vec![3, 3],
        vec![1; 32],
        vector(1, &[2; 32]),
        vector(2, &suites),
        vector(1, &[0]),
        vector(2, &extensions.concat()),
    ];
    let message = [vec![1], vector(3, &body.concat())].concat();
    [vec![22, 3, 1], vector(2, &message)].concat()
}
