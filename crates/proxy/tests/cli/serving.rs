//! The running program: signals, its admin side, its resources, its listeners.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tokio::net::TcpStream;

use super::{Files, run, serve};
use crate::harness::{Client, Origin, Program, eventually};

#[tokio::test]
async fn asks_the_running_proxy() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (_program, address, admin) = serve(&whitelist, &[]).await;
    let variables = [("AGENTNET_ADMIN", admin.as_str())];
    let ended = run(&["healthcheck"], &variables).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Client::tcp(address).await.connect("evil.example:443").await;
    let ended = run(&["admin", "metrics"], &variables).await;
    assert!(
        ended
            .stdout
            .contains("reason=\"not_listed\",verdict=\"deny\"} 1"),
        "{ended:?}"
    );
    let ended = run(&["admin", "policy", "--admin", &admin], &[]).await;
    assert!(
        ended.stdout.contains("\"text\":\"example.com\""),
        "{ended:?}"
    );
    assert_eq!(run(&["admin", "live"], &variables).await.stdout, "live\n");
    files.add("w.txt", "*\n");
    let ended = run(&["admin", "reload"], &variables).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("\"ok\":false"), "{ended:?}");
    assert_eq!(
        run(&["healthcheck"], &variables).await.code,
        Some(0),
        "the old policy holds"
    );
}

#[tokio::test]
async fn is_unhealthy_when_nobody_answers() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ended = run(&["healthcheck"], &[("AGENTNET_ADMIN", &free.to_string())]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("does not answer"), "{}", ended.stderr);
    let ended = run(&["healthcheck", "--admin", "off"], &[]).await;
    assert_eq!(ended.code, Some(1));
}

#[tokio::test]
async fn serves_its_admin_side_on_a_unix_socket() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let admin = format!("unix:{}", files.path("admin.sock").display());
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        &admin,
        "--whitelist",
        &whitelist,
    ];
    let program = Program::start(&arguments, &[]);
    program.says("admin at ").await;
    assert_eq!(
        run(&["healthcheck", "--admin", &admin], &[]).await.code,
        Some(0)
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(files.path("admin.sock"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn reloads_on_sighup_and_on_sigusr1() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &["--rescan-seconds", "86400"]).await;
    for (signal, rules) in [(Signal::HUP, 2), (Signal::USR1, 3)] {
        let text: String = (0..rules)
            .map(|number| format!("host{number}.example\n"))
            .collect();
        files.add("w.txt", &text);
        program.signal(signal);
        program
            .says(&format!("new policy in force, {rules} rules"))
            .await;
    }
    files.add("w.txt", "*\n");
    program.signal(Signal::HUP);
    program.says("w.txt:1: ").await;
    let answer = Client::tcp(address).await.connect("evil.example:443").await;
    assert_eq!(answer.status, 403, "a broken file never ends the process");
}

#[tokio::test]
async fn warns_when_its_file_has_been_replaced_under_a_mount() {
    let files = Files::with("w.txt", "example.com\n");
    let held = std::fs::File::open(files.path("w.txt")).unwrap();
    std::fs::remove_file(files.path("w.txt")).unwrap();
    // What a file mounted alone looks like after an editor's rename: it is there, and has no link.
    use std::os::fd::AsRawFd;
    let path = format!("/proc/{}/fd/{}", std::process::id(), held.as_raw_fd());
    let (program, _, admin) = serve(&path, &[]).await;
    run(&["admin", "reload", "--admin", &admin], &[]).await;
    program.says("mount its directory instead").await;
}

#[tokio::test]
async fn rests_when_nobody_asks_for_anything() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &["--rescan-seconds", "3600"]).await;
    // Its own reading of a watched file is seen by the watcher as well.
    files.add("w.txt", "example.org\n");
    program.says("new policy in force").await;
    Client::tcp(address).await.connect("evil.example:443").await;
    let (mut seen, mut since) = (program.bytes_read(), Instant::now());
    eventually("300 ms without reading anything", || {
        let now = program.bytes_read();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(300)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn serves_reloads_and_ends_when_nobody_reads_what_it_says() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let door = files.path("door");
    let listen = format!("unix:{}", door.display());
    let admin = format!("unix:{}", files.path("admin").display());
    let arguments = [
        "--listen",
        &listen,
        "--admin",
        &admin,
        "--whitelist",
        &whitelist,
    ];
    let program = Program::start_unread(&arguments);
    // It is there before it listens.
    let knock = || UnixStream::connect(&door).ok();
    drop(eventually("the door is open", knock).await);
    let answer = Client::unix(&door).await.connect("evil.example:443").await;
    assert_eq!(answer.status, 403);
    for (text, code) in [("broken line\n", 1), ("example.org\n", 0)] {
        files.add("w.txt", text);
        let asked = run(&["admin", "reload", "--admin", &admin], &[]).await;
        assert_eq!(asked.code, Some(code), "{asked:?}");
    }
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test]
async fn drains_on_sigterm_and_exits_with_0() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &[]).await;
    Client::tcp(address).await.connect("evil.example:443").await;
    program.signal(Signal::TERM);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout.lines().count(),
        1,
        "the last event was written: {ended:?}"
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn recovers_when_it_runs_out_of_descriptors() {
    let files = Files::with("w.txt", "example.com\n");
    let whitelist = files.path("w.txt").display().to_string();
    let (program, address, _) = serve(&whitelist, &[]).await;
    // A limit that it did not know of when it began: the whole system's, say.
    let few = Rlimit {
        current: Some(40),
        maximum: Some(40),
    };
    prlimit(Some(program.pid()), Resource::Nofile, few).unwrap();
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(Client::tcp(address).await);
    }
    program.says("cannot accept at listener default").await;
    drop(held);
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect("evil.example:443").await.status, 403);
    program.says("listener default accepts again").await;
}

#[tokio::test]
async fn keeps_descriptors_for_its_policy_and_its_admin_side_whatever_clients_do() {
    let origin = Origin::saying("").await;
    let target = origin.address.to_string();
    let files = Files::with("w.txt", &format!("{target} raw host\n"));
    let whitelist = files.path("w.txt").display().to_string();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--whitelist",
        &whitelist,
    ];
    let program = Program::start_with_descriptors(64, &arguments);
    program.says("so at most 16 connections are served").await;
    let address: SocketAddr = program.says("listener default at ").await.parse().unwrap();
    let admin = program.says("admin at ").await;
    let mut tunnels = Vec::new();
    for _ in 0..16 {
        let mut client = Client::tcp(address).await;
        assert_eq!(client.connect(&target).await.status, 200);
        tunnels.push(client);
    }
    let answer = Client::tcp(address).await.connect(&target).await;
    assert_eq!(answer.reason(), "too_many_connections");
    files.add("w.txt", "example.com\n");
    let asked = run(&["admin", "reload", "--admin", &admin], &[]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    for mut tunnel in tunnels {
        tunnel.rest_or_reset().await;
    }
    assert!(!program.stderr().contains("cannot"), "{}", program.stderr());
}

#[tokio::test]
async fn has_several_listeners_with_a_policy_each() {
    let files = Files::with("a.txt", "127.0.0.1:1 raw host\n");
    files.add("b.txt", "b.example\n");
    let listener = |name: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\nlisten = [\"127.0.0.1:0\"]\nwhitelist = [{:?}]\n",
            files.path(&format!("{name}.txt"))
        )
    };
    let config = files.add(
        "p.toml",
        &format!("admin = \"off\"\n{}{}", listener("a"), listener("b")),
    );
    let program = Program::start(&["-c", &config], &[]);
    let mut answers = Vec::new();
    for name in ["a", "b"] {
        let address = program
            .says(&format!("listener {name} at "))
            .await
            .parse()
            .unwrap();
        answers.push(
            Client::tcp(address)
                .await
                .connect("127.0.0.1:1")
                .await
                .reason()
                .to_owned(),
        );
    }
    assert_eq!(answers, ["connect_failed", "private_address"]);
}

#[tokio::test]
async fn serves_the_two_listeners_of_the_documentation() {
    let files = Files::with("project.txt", "127.0.0.1:1 raw host\n");
    files.add("docker.txt", "registry.example\n");
    let page = include_str!("../../../../docs/proxy.md");
    let (_, section) = page.split_once("### Two proxies in one").unwrap();
    let (_, example) = section.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    // Only where it is: the directory, and ports that nobody else has.
    let example = example
        .replace("/etc/agentnet", files.0.path().to_str().unwrap())
        .replace("0.0.0.0:8888", "127.0.0.1:0")
        .replace("0.0.0.0:8889", "127.0.0.1:0")
        .replace("egress:9100", "127.0.0.1:0");
    let config = files.add("proxy.toml", &example);
    let checked = run(&["check", "-c", &config], &[]).await;
    let said = "listener agent: ok: 1 rule\nlistener docker: ok: 1 rule\n";
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(0), said));
    let program = Program::start(&["-c", &config], &[]);
    // The second lets pass what it does not list, but not into the proxy itself.
    for (name, reason) in [("agent", "connect_failed"), ("docker", "loop")] {
        let address = program.says(&format!("listener {name} at ")).await;
        let mut client = Client::tcp(address.parse().unwrap()).await;
        assert_eq!(client.connect("127.0.0.1:1").await.reason(), reason);
    }
}
