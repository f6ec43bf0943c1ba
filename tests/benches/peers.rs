//! agentnet-proxy beside the packaged Tinyproxy and Squid, on loopback, in one run: `scripts/bench-peers.sh`.
//!
//! Every measurement is taken of each program in turn, several times round, by the same clients and with an origin of
//! its own; what counts is the ratio within a round. All of it shares this machine's cores, so the absolute numbers are
//! those of proxy, clients and origin together.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark's clients"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use agentnet_e2e::daemon::{Daemon, free_port};
use agentnet_e2e::{bed, peers};
use fs_err as fs;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::runtime;

const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_millis(500);
const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);
const FILTERS: [usize; 2] = [10, 1000];
/// Connections that may wait for an origin to take them.
const WAITING: u32 = 4096;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// The programs, ours first: the others' ratios are to it.
const PROGRAMS: [&str; 3] = ["agentnet-proxy", "tinyproxy", "squid"];

/// One program with one filter, and the origin that only it is sent to.
struct Subject {
    daemon: Daemon,
    origin: SocketAddr,
    _directory: TempDir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// A small plain GET on a connection of its own.
    Get,
    /// The same on kept connections, where the program keeps them.
    KeptGet,
    /// CONNECT until the answer, then away.
    Connect,
    /// Bytes through one tunnel.
    Tunnel,
}

fn main() -> ExitCode {
    let roots = ["tinyproxy", "squid"].map(peers::peer);
    if let Some(reason) = roots.iter().find_map(|root| root.as_ref().err()) {
        println!("no comparison: {reason}");
        return ExitCode::SUCCESS;
    }
    let [tinyproxy, squid] = roots.map(|root| root.expect("looked at above"));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{CLIENTS} clients, {ROUNDS} rounds of {} ms each; load before: {}",
        SPAN.as_millis(),
        load.split(' ').next().unwrap_or_default()
    );
    for lines in FILTERS {
        let subjects = [
            start(&mut Command::new(bed::proxy()), lines, tinyproxy_conf),
            start(
                &mut Command::new(tinyproxy.join("bin/tinyproxy")),
                lines,
                tinyproxy_conf,
            ),
            start(
                &mut Command::new(squid.join("bin/squid")),
                lines,
                |directory, address, lines| squid_conf(&squid, directory, address, lines),
            ),
        ];
        let all: &[(Measure, &str)] = &[
            (Measure::Get, "plain GETs a second, a connection each"),
            (Measure::KeptGet, "plain GETs a second, kept connections"),
            (Measure::Connect, "CONNECTs a second"),
            (Measure::Tunnel, "MB a second through one tunnel"),
        ];
        // Neither depends on the filter.
        let once =
            |measure| lines == FILTERS[0] || !matches!(measure, Measure::KeptGet | Measure::Tunnel);
        for (measure, what) in all.iter().filter(|(measure, _)| once(*measure)) {
            report(
                &format!("{what}, filter of {lines} lines"),
                *measure,
                &subjects,
            );
        }
    }
    ExitCode::SUCCESS
}

/// Takes the rounds and prints each program's medians, how many times as fast ours is, and what part of the other's
/// processor time it takes. The speed is that of all who share the cores; the processor time is the program's own.
fn report(what: &str, measure: Measure, subjects: &[Subject; 3]) {
    let round = || -> [Taken; 3] {
        std::array::from_fn(|index| taken(measure, PROGRAMS[index], &subjects[index]))
    };
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    let mut text = format!("{what}\n");
    for (index, program) in PROGRAMS.iter().enumerate() {
        if !can(program, measure) {
            continue;
        }
        let of = |figure: fn(&Taken) -> f64| {
            median(rounds.iter().map(|round| figure(&round[index])).collect())
        };
        write!(
            text,
            "  {program:<15} {:>7.0}  {:>6.1} us of processor each",
            of(|taken| taken.speed),
            of(|taken| taken.processor)
        )
        .expect("a string");
        if index > 0 {
            let ratio = |figure: fn(&Taken) -> f64| {
                let mut ratios: Vec<f64> = rounds
                    .iter()
                    .map(|round| figure(&round[0]) / figure(&round[index]))
                    .collect();
                ratios.sort_by(f64::total_cmp);
                let (low, high) = (ratios[0], ratios[ROUNDS - 1]);
                format!("{:.2} ({low:.2} to {high:.2})", median(ratios))
            };
            write!(
                text,
                "   ours: {} times as fast, {} of the processor",
                ratio(|taken| taken.speed),
                ratio(|taken| taken.processor)
            )
            .expect("a string");
        }
        text.push('\n');
    }
    print!("{text}");
}

/// Tinyproxy closes after every answer.
fn can(program: &str, measure: Measure) -> bool {
    !(program == "tinyproxy" && measure == Measure::KeptGet)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// What one program did in one span.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// How many a second.
    speed: f64,
    /// Microseconds of its processor time for each.
    processor: f64,
}

/// Over one span.
fn taken(measure: Measure, program: &str, subject: &Subject) -> Taken {
    if !can(program, measure) {
        return Taken {
            speed: f64::NAN,
            processor: f64::NAN,
        };
    }
    let (proxy, origin) = (subject.daemon.address, subject.origin);
    let (ran, start) = (subject.daemon.cpu(), Instant::now());
    let count = if measure == Measure::Tunnel {
        tunnel(proxy, origin, start)
    } else {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| client(measure, proxy, origin, start)))
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().unwrap() as f64)
                .sum()
        })
    };
    let speed = count / start.elapsed().as_secs_f64();
    let ran = subject.daemon.cpu().saturating_sub(ran);
    Taken {
        speed,
        processor: ran.as_secs_f64() * 1e6 / count,
    }
}

fn client(measure: Measure, proxy: SocketAddr, origin: SocketAddr, start: Instant) -> usize {
    let get = format!("GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\n\r\n");
    let connect = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n");
    let mut kept = None;
    let mut count = 0;
    while start.elapsed() < SPAN {
        let mut wire = kept.take().unwrap_or_else(|| dial(proxy));
        match measure {
            Measure::Connect => {
                wire.get_mut()
                    .write_all(connect.as_bytes())
                    .expect("a proxy that listens");
                head(&mut wire);
            }
            Measure::Get | Measure::KeptGet | Measure::Tunnel => {
                wire.get_mut()
                    .write_all(get.as_bytes())
                    .expect("a proxy that listens");
                head(&mut wire);
                wire.read_exact(&mut [0; 5]).expect("a body");
            }
        }
        if measure == Measure::KeptGet {
            kept = Some(wire);
        }
        count += 1;
    }
    count
}

/// Megabytes from the origin through one tunnel.
fn tunnel(proxy: SocketAddr, origin: SocketAddr, start: Instant) -> f64 {
    let mut wire = dial(proxy);
    write!(
        wire.get_mut(),
        "CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n"
    )
    .expect("a proxy that listens");
    head(&mut wire);
    wire.get_mut()
        .write_all(b"GET /stream HTTP/1.1\r\n\r\n")
        .expect("a tunnel");
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    while start.elapsed() < SPAN {
        bytes += wire.read(&mut buffer).expect("a stream");
    }
    bytes as f64 / 1e6
}

fn dial(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("a proxy that listens");
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    BufReader::new(stream)
}

/// Reads the head of an answer, which must be a 200.
fn head(wire: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    wire.read_line(&mut line).expect("an answer");
    assert!(line.contains(" 200 "), "not what is measured: {line}");
    while line != "\r\n" {
        line.clear();
        wire.read_line(&mut line).expect("a head");
    }
}

/// Starts a program with a filter of that many lines, none of which says anything about the origin.
fn start(
    command: &mut Command,
    lines: usize,
    configure: impl Fn(&Path, SocketAddr, usize) -> Vec<String>,
) -> Subject {
    let directory = TempDir::new().expect("a temporary directory");
    // Started by root, Squid is somebody else soon.
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("a directory");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let arguments = configure(directory.path(), address, lines);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command
        .env("AGENTNET_ADMIN", "off")
        .env("AGENTNET_PRIVATE_DESTINATIONS", "allow")
        .env("AGENTNET_RAW_TUNNELS", "allow");
    let daemon = Daemon::start(command, address, &directory.path().join("said"));
    Subject {
        daemon: daemon.unwrap_or_else(|ended| panic!("{command:?} does not start: {}", ended.said)),
        origin: origin(),
        _directory: directory,
    }
}

/// The same configuration and filter for Tinyproxy and for ours. Nothing is logged for a request that succeeds.
fn tinyproxy_conf(directory: &Path, address: SocketAddr, lines: usize) -> Vec<String> {
    let filter: String = (0..lines)
        .map(|number| format!("^ads{number}\\.tracker[0-9]*\\.example$\n"))
        .collect();
    fs::write(directory.join("filter"), filter).expect("a filter");
    let conf = format!(
        "Port {}\nListen 127.0.0.1\nMaxClients 200\nLogLevel Error\nLogFile \"{1}/log\"\nFilter \"{1}/filter\"\n",
        address.port(),
        directory.display()
    );
    fs::write(directory.join("conf"), conf).expect("a configuration");
    vec![
        "-d".to_owned(),
        "-c".to_owned(),
        directory.join("conf").display().to_string(),
    ]
}

fn squid_conf(root: &Path, directory: &Path, address: SocketAddr, lines: usize) -> Vec<String> {
    let list: String = (0..lines)
        .map(|number| format!("ads{number}.tracker.example\n"))
        .collect();
    fs::write(directory.join("list"), list).expect("a list");
    let (root, at) = (root.display(), directory.display());
    let conf = format!(
        "http_port {address}\nacl denied dstdomain -n \"{at}/list\"\nhttp_access deny denied\nhttp_access allow all\n\
         cache deny all\nmemory_pools on\npid_filename {at}/pid\naccess_log none\ncache_log {at}/cache.log\n\
         cache_store_log none\nnetdb_filename none\ncoredump_dir {at}\npinger_enable off\ndns_nameservers 127.0.0.1\n\
         shutdown_lifetime 0 seconds\nvisible_hostname squid.test\n\
         error_directory {root}/usr/share/squid-langpack/English\nicon_directory {root}/usr/share/squid/icons\n\
         mime_table {root}/usr/share/squid/mime.conf\nunlinkd_program {root}/usr/lib/squid/unlinkd\n\
         logfile_daemon {root}/usr/lib/squid/log_file_daemon\n"
    );
    fs::write(directory.join("conf"), conf).expect("a configuration");
    vec![
        "-N".to_owned(),
        "-f".to_owned(),
        directory.join("conf").display().to_string(),
    ]
}

/// Answers every request with a few bytes, and a request for a stream with bytes without end.
///
/// On one thread, and with a long queue of connections that wait: an origin that falls behind has the kernel drop a
/// SYN, and a client that then waits a second for the next one would be measured as the proxy's.
fn origin() -> SocketAddr {
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_io().build();
        runtime.expect("a runtime").block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket
                .bind((Ipv4Addr::LOCALHOST, 0).into())
                .expect("a free port");
            let listener = socket.listen(WAITING).expect("a listener");
            told.send(listener.local_addr().expect("an address"))
                .expect("somebody who asked");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                // A proxy that goes away in the middle is done.
                tokio::spawn(async move { serve(stream).await.ok() });
            }
        });
    });
    heard.recv().expect("an origin that started")
}

async fn serve(stream: tokio::net::TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = tokio::io::BufReader::new(stream);
    let mut line = String::new();
    while wire.read_line(&mut line).await? != 0 {
        let streams = line.contains("/stream");
        while line != "\r\n" {
            line.clear();
            if wire.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        line.clear();
        if streams {
            let bytes = vec![b'x'; 256 * 1024];
            loop {
                wire.get_mut().write_all(&bytes).await?;
            }
        }
        wire.get_mut().write_all(ANSWER).await?;
    }
    Ok(())
}
