//! The program as Tinyproxy's successor: its command line, its log, its files, its signals.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, getsid, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::harness::{Client, Exited, Origin, Program, eventually};

/// A configuration, and what it names, in a directory of its own.
struct Files(TempDir);

impl Files {
    fn with(conf: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("tinyproxy.conf", conf);
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn conf(&self) -> String {
        self.path("tinyproxy.conf")
    }

    async fn says(&self, name: &str, part: &str) -> String {
        says(part, || self.read(name)).await
    }
}

/// Waits for a line that has `part`; returns what follows it.
async fn says(part: &str, log: impl Fn() -> String) -> String {
    eventually(&format!("`{part}` in the log"), || {
        let text = log();
        let line = text.lines().find_map(|line| line.split_once(part))?;
        Some(line.1.to_owned())
    })
    .await
}

const LOCAL: &str = "Port 0\nListen 127.0.0.1\n";

async fn serve(files: &Files, more: &[&str]) -> (Program, SocketAddr) {
    let conf = files.conf();
    let arguments: Vec<&str> = ["-c", &conf]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    let program = Program::start(&arguments, &[]);
    let address = says("listener default at ", || program.stdout()).await;
    (program, address.parse().unwrap())
}

/// The log without times, processes and descriptors.
fn words(log: &str) -> Vec<String> {
    let line = |line: &str| {
        let level = line.split_whitespace().next()?;
        let (_, text) = line.split_once("]: ")?;
        let mut plain = String::new();
        let mut number = false;
        for (place, c) in text.char_indices() {
            let after = text[..place].ends_with("fd:") || text[..place].ends_with("descriptor ");
            if c.is_ascii_digit() && (number || after) {
                if !number {
                    plain.push('N');
                }
                number = true;
            } else {
                number = false;
                plain.push(c);
            }
        }
        Some(format!("{level} {plain}"))
    };
    log.lines().filter_map(line).collect()
}

#[tokio::test]
async fn serves_and_logs_as_tinyproxy_does() {
    let files = Files::with("");
    let filter = files.write("filter", "evil\n");
    files.write(
        "tinyproxy.conf",
        &format!("{LOCAL}Filter \"{filter}\"\nConnectPort 443\n"),
    );
    let (program, address) = serve(&files, &[]).await;
    let mut client = Client::tcp(address).await;
    let refused = client.get("http://very.evil.example/a?b=c").await;
    assert_eq!(refused.status, 403, "{}", refused.head);
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect("a.example:22").await.status, 403);
    drop(Client::tcp(address).await);
    program.signal(Signal::TERM);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let found = words(&ended.stdout);
    for line in [
        "NOTICE Initializing tinyproxy ...",
        "INFO Starting main loop. Accepting connections.",
        "CONNECT Connect (file descriptor N): 127.0.0.1",
        "CONNECT Request (file descriptor N): GET http://very.evil.example/a?b=c HTTP/1.1",
        "NOTICE Proxying refused on filtered domain \"very.evil.example\"",
        "CONNECT Request (file descriptor N): CONNECT a.example:22 HTTP/1.1",
        "INFO Refused CONNECT method on port 22",
        "NOTICE Shutting down.",
    ] {
        assert!(
            found.iter().any(|found| found == line),
            "{line}\n{}",
            ended.stdout
        );
    }
    let process = format!("[{}]: ", ended.id);
    assert!(
        ended.stdout.lines().all(|line| line.contains(&process)),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn writes_no_more_than_the_level_wants() {
    let files = Files::with(&format!("{LOCAL}LogLevel Notice\nAllow 10.0.0.1\n"));
    let (program, address) = serve(&files, &[]).await;
    let refused = Client::tcp(address).await.get("http://a.example/").await;
    assert_eq!(refused.status, 403);
    says("Unauthorized connection from \"127.0.0.1\".", || {
        program.stdout()
    })
    .await;
    program.signal(Signal::TERM);
    let log = program.ended().await.stdout;
    assert!(!log.contains("CONNECT ") && !log.contains("INFO "), "{log}");
}

#[tokio::test]
async fn carries_to_private_destinations_only_where_the_switch_allows_it() {
    let origin = Origin::page().await;
    let url = format!("http://{}/x", origin.address);
    let files = Files::with(LOCAL);
    let (program, address) = serve(&files, &[]).await;
    assert_eq!(Client::tcp(address).await.get(&url).await.status, 403);
    says("Proxying refused (loop) on ", || program.stdout()).await;
    let (program, address) = serve(&files, &["--private-destinations", "allow"]).await;
    let answer = Client::tcp(address).await.get(&url).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let host = origin.address.ip();
    says(
        &format!("Established connection to host \"{host}\" using "),
        || program.stdout(),
    )
    .await;
    let mut tunnel = Client::tcp(address).await;
    let target = origin.address.to_string();
    assert_eq!(tunnel.connect(&target).await.status, 200);
    drop(tunnel);
    says("Closed connection between local client (fd:", || {
        program.stdout()
    })
    .await;
    says("Not sending client headers to remote machine", || {
        program.stdout()
    })
    .await;
}

#[tokio::test]
async fn writes_json_where_that_is_asked_for() {
    let files = Files::with(LOCAL);
    let conf = files.conf();
    let program = Program::start(&["-c", &conf, "--log", "json"], &[]);
    let address: SocketAddr = program.says("listener default at ").await.parse().unwrap();
    Client::tcp(address).await.connect("10.0.0.1:1").await;
    says("\"reason\":\"private_address\"", || program.stdout()).await;
}

#[tokio::test]
async fn names_file_and_line_of_what_is_wrong_before_it_binds() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let filter = "Filter \"/nowhere/filter\"";
    for (line, part) in [
        ("Bogus 1", ":3: \"Bogus\" is no directive"),
        ("ReversePath \"/\" \"http://a/\"", ":3: "),
        (filter, ":3: the filter file /nowhere/filter cannot be read"),
    ] {
        let files = Files::with(&format!("Port {port}\nListen 127.0.0.1\n{line}\n"));
        for arguments in [
            &["-c", &files.conf()][..],
            &["tinyproxy", "-c", &files.conf()],
        ] {
            let ended = Program::run(arguments, &[]);
            assert_eq!(ended.code, Some(2), "{ended:?}");
            let expected = format!("{}{part}", files.conf());
            assert!(
                ended.stderr.contains(&expected),
                "{expected}\n{}",
                ended.stderr
            );
        }
    }
    let files = Files::with(&format!("Port {port}\nListen 127.0.0.1\n"));
    for arguments in [
        &["-c", &files.conf()][..],
        &["tinyproxy", "-c", &files.conf()],
    ] {
        let ended = Program::run(arguments, &[]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("cannot be bound"), "{}", ended.stderr);
    }
    let files = Files::with("lisen = [\"127.0.0.1:0\"]\nmode = enforce\n");
    let ended = Program::run(&["-c", &files.conf()], &[]);
    let toml = format!("{}:2: ", files.conf());
    assert!(ended.stderr.contains(&toml), "{}", ended.stderr);
}

#[tokio::test]
async fn keeps_the_last_good_policy_when_a_reload_fails() {
    let files = Files::with("");
    let filter = files.write("filter", "evil\n");
    let conf = format!("{LOCAL}FilterType ere\nFilter \"{filter}\"\n");
    files.write("tinyproxy.conf", &conf);
    // The clock is far away: a signal is what makes it read.
    let (program, address) = serve(&files, &["--rescan-seconds", "3600"]).await;
    let evil = async || {
        let mut client = Client::tcp(address).await;
        client.get("http://evil.example/").await.reason().to_owned()
    };
    assert_eq!(evil().await, "rule_denied");
    for (before, (signal, name, text, part)) in [
        (Signal::HUP, "filter", "[\n", ":1: "),
        (Signal::USR1, "tinyproxy.conf", "Port 0\nBogus 1\n", ":2: "),
        (Signal::HUP, "tinyproxy.conf", "", ""),
    ]
    .into_iter()
    .enumerate()
    {
        if text.is_empty() {
            std::fs::remove_file(files.path(name)).unwrap();
        } else {
            files.write(name, text);
        }
        program.signal(signal);
        eventually("the failure in the log", || {
            let log = program.stdout();
            (log.matches("Reloading config file failed!").count() > before).then_some(())
        })
        .await;
        let place = format!("{}{part}", files.path(name));
        let log = program.stdout();
        let said = |line: &str| line.starts_with("ERROR ") && line.contains(&place);
        assert!(log.lines().any(said), "{place}\n{log}");
        assert_eq!(evil().await, "rule_denied", "the last good one");
    }
    files.write("filter", "other\n");
    files.write("tinyproxy.conf", &conf.replace("Port 0", "Port 1"));
    program.signal(Signal::USR1);
    says("Re-reading filter file.", || program.stdout()).await;
    let log = program.stdout();
    assert!(log.contains("\"Port\" was changed (0 became 1)"), "{log}");
    assert_ne!(evil().await, "rule_denied");
}

#[tokio::test]
async fn writes_a_pid_file_while_it_serves() {
    let files = Files::with("");
    let conf = format!("{LOCAL}PidFile \"{}\"\n", files.path("pid"));
    files.write("tinyproxy.conf", &conf);
    files.write("pid", "4194305\n");
    let (program, _) = serve(&files, &[]).await;
    assert_eq!(files.read("pid"), format!("{}\n", program.id()));
    program.signal(Signal::TERM);
    program.ended().await;
    assert!(!PathBuf::from(files.path("pid")).exists());
    let conf = format!("{LOCAL}PidFile \"{}\"\n", files.path("nowhere/pid"));
    files.write("tinyproxy.conf", &conf);
    let ended = Program::run(&["-c", &files.conf()], &[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("nowhere/pid: the pid file cannot be written"),
        "{ended:?}"
    );
}

/// Runs the program under the name `tinyproxy`, by a link, as the image has one.
fn as_tinyproxy(files: &Files, arguments: &[&str]) -> Exited {
    let link = files.path("tinyproxy");
    if !PathBuf::from(&link).exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_agentnet-proxy"), &link).unwrap();
    }
    let mut command = Command::new(link);
    Program::run_command(command.args(arguments).env_clear().process_group(0))
}

/// A process in the background, ended with the test.
struct Background(Pid);

impl Drop for Background {
    fn drop(&mut self) {
        kill_process(self.0, Signal::KILL).ok();
    }
}

async fn detached(files: &Files) -> (Background, SocketAddr) {
    let ended = as_tinyproxy(files, &["-c", &files.conf()]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    let pid = files.read("pid").trim().parse().unwrap();
    let background = Background(Pid::from_raw(pid).unwrap());
    let address = files.says("log", "listener default at ").await;
    (background, address.parse().unwrap())
}

fn detachable() -> Files {
    let files = Files::with("");
    let (pid, log) = (files.path("pid"), files.path("log"));
    files.write(
        "tinyproxy.conf",
        &format!("{LOCAL}PidFile \"{pid}\"\nLogFile \"{log}\"\n"),
    );
    files
}

#[tokio::test]
async fn goes_into_the_background_once_it_serves() {
    let files = detachable();
    let (background, address) = detached(&files).await;
    // Bound before the command ended: this needs no second try.
    assert_eq!(
        Client::tcp(address)
            .await
            .connect("127.0.0.1:1")
            .await
            .status,
        403
    );
    assert_eq!(
        getsid(Some(background.0)).unwrap(),
        background.0,
        "a session of its own"
    );
    for number in 0..3 {
        let open = format!("/proc/{}/fd/{number}", background.0.as_raw_nonzero());
        let open = std::fs::read_link(open).unwrap();
        assert_eq!(open.to_str(), Some("/dev/null"));
    }
    kill_process(background.0, Signal::TERM).unwrap();
    eventually("the end of it", || {
        (!PathBuf::from(files.path("pid")).exists()).then_some(())
    })
    .await;
    files.says("log", "Shutting down.").await;
    // A zombie of nobody's is gone once init has seen it.
    eventually("its last breath", || {
        let stat = format!("/proc/{}/stat", background.0.as_raw_nonzero());
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        let gone = test_kill_process(background.0).is_err() || stat.contains(") Z ");
        gone.then_some(())
    })
    .await;
}

#[tokio::test]
async fn goes_on_in_a_new_log_file_when_told() {
    let files = detachable();
    let (background, _) = detached(&files).await;
    files.says("log", "Starting main loop").await;
    std::fs::rename(files.path("log"), files.path("log.1")).unwrap();
    kill_process(background.0, Signal::USR1).unwrap();
    files.says("log", "Reloading config file").await;
    let old = files.read("log.1");
    assert!(
        old.contains("Starting main loop") && !old.contains("Shutting down"),
        "{old}"
    );
}

#[tokio::test]
async fn says_in_the_terminal_why_it_does_not_start() {
    let files = detachable();
    let conf = format!("{}Bogus 1\n", files.read("tinyproxy.conf"));
    files.write("tinyproxy.conf", &conf);
    let ended = as_tinyproxy(&files, &["-c", &files.conf()]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("tinyproxy.conf:5: \"Bogus\""),
        "{ended:?}"
    );
    assert_eq!(files.read("pid"), "");
}

#[tokio::test]
async fn has_tinyproxys_command_line() {
    let files = Files::with(LOCAL);
    let version = format!(
        "tinyproxy 1.11.1 (agentnet-proxy {})\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(as_tinyproxy(&files, &["-v"]).stdout, version);
    assert_eq!(Program::run(&["-v"], &[]).stdout, version);
    let help = as_tinyproxy(&files, &["-h"]);
    assert_eq!(help.code, Some(0));
    assert!(
        help.stdout.starts_with("agentnet-proxy, run as Tinyproxy"),
        "{}",
        help.stdout
    );
    assert_eq!(as_tinyproxy(&files, &["-x"]).code, Some(2));
    let ended = as_tinyproxy(&files, &["-d", "-c", "/nowhere/tinyproxy.conf"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("/nowhere/tinyproxy.conf: cannot be read"),
        "{ended:?}"
    );
    let ended = as_tinyproxy(&files, &["-c", &files.conf(), "--log", "json"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("give -d"), "{ended:?}");
}

#[tokio::test]
async fn takes_the_clients_that_docker_images_are_told_as_arguments() {
    let files = Files::with(&format!("{LOCAL}Allow 10.0.0.1\n"));
    let conf = files.conf();
    for (clients, reason) in [
        ("ANY", "private_address"),
        ("127.0.0.0/8", "private_address"),
        ("192.168.1.22/16", "client_not_allowed"),
    ] {
        let program = Program::start(&["tinyproxy", "-c", &conf, clients], &[]);
        let address = says("listener default at ", || program.stdout()).await;
        let answer = Client::tcp(address.parse().unwrap())
            .await
            .get("http://10.0.0.1/")
            .await;
        assert_eq!(answer.reason(), reason, "{clients}");
    }
}

#[tokio::test]
async fn dials_from_the_address_that_it_is_told() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::serving(move |stream| {
        tell.send(stream.peer_addr().unwrap().ip().to_string()).ok();
        async { drop(stream) }
    })
    .await;
    let target = origin.address.to_string();
    for (lines, from) in [
        ("Bind 127.0.0.7\n", "127.0.0.7"),
        // Not ours, and of another family: the next is tried.
        ("Bind 198.51.100.1\nBind ::1\nBind 127.0.0.8\n", "127.0.0.8"),
        ("BindSame Yes\nBind 127.0.0.9\n", "127.0.0.1"),
    ] {
        let files = Files::with(&format!("{LOCAL}{lines}"));
        let (_program, address) = serve(&files, &["--private-destinations", "allow"]).await;
        let answer = Client::tcp(address).await.connect(&target).await;
        assert_eq!(answer.status, 200, "{lines}: {}", answer.head);
        assert_eq!(told.recv().await.as_deref(), Some(from), "{lines}");
    }
    let files = Files::with(&format!("{LOCAL}Bind ::1\n"));
    let (_program, address) = serve(&files, &["--private-destinations", "allow"]).await;
    let answer = Client::tcp(address).await.connect(&target).await;
    assert_eq!(
        answer.reason(),
        "connect_failed",
        "never from another than was asked for"
    );
}
