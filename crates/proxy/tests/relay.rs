//! `relay`, as a process between a client and a proxy's unix socket.

use std::net::SocketAddr;

use agentnet_policy::Reason;
use agentnet_policy::event::Protocol;
use rustix::process::{Pid, Signal, kill_process};

use crate::dns::{A, AAAA, NOERROR, NXDOMAIN, Stub, framed, query, unframed};
use crate::harness::{Client, Origin, Program, Proxy, eventually, hello, within};

async fn start(proxy: &Proxy) -> (Program, SocketAddr) {
    let to = format!("unix:{}", proxy.socket.display());
    let relay = Program::start(&["relay", "--listen", "127.0.0.1:0", "--to", &to], &[]);
    let address = at(&relay, &to).await;
    (relay, address)
}

/// Where the relay's door to a socket is.
async fn at(relay: &Program, to: &str) -> SocketAddr {
    let said = relay.says(&format!("relay to {to} at ")).await;
    said.parse().unwrap()
}

/// The worker's process number.
fn worker(relay: &Program) -> Option<Pid> {
    let path = format!("/proc/{0}/task/{0}/children", relay.id());
    let children = std::fs::read_to_string(path).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

#[tokio::test]
async fn carries_connections_to_the_proxy() {
    let origin = Origin::echo().await;
    let proxy = Proxy::start("example.com raw\n").await;
    proxy.world.site("example.com", 443, origin.address);
    let (_relay, address) = start(&proxy).await;
    let mut client = Client::tcp(address).await;
    assert_eq!(
        client.connect("evil.example:443").await.reason(),
        "not_listed"
    );
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect("example.com:443").await.status, 200);
    client.send("through two doors").await;
    assert_eq!(client.read(17).await, b"through two doors");
    client.finish().await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn keeps_its_doors_when_the_worker_dies() {
    let proxy = Proxy::start("example.com raw\n").await;
    let (relay, address) = start(&proxy).await;
    for _ in 0..2 {
        let mut client = Client::tcp(address).await;
        assert_eq!(client.get("http://evil.example/").await.status, 403);
        let died = eventually("a worker", || worker(&relay)).await;
        kill_process(died, Signal::KILL).unwrap();
        eventually("another worker", || {
            worker(&relay).filter(|now| *now != died)
        })
        .await;
    }
    let mut client = Client::tcp(address).await;
    assert_eq!(client.get("http://evil.example/").await.status, 403);
}

#[tokio::test]
async fn breaks_off_while_the_proxy_is_away_and_works_when_it_comes() {
    let proxy = Proxy::start("example.com raw\n").await;
    let elsewhere = proxy.path("later.sock");
    let to = format!("unix:{}", elsewhere.display());
    let relay = Program::start(&["relay", "--listen", "127.0.0.1:0", "--to", &to], &[]);
    let address = at(&relay, &to).await;
    let mut client = Client::tcp(address).await;
    assert_eq!(client.rest_or_reset().await.0, b"");
    std::os::unix::fs::symlink(&proxy.socket, &elsewhere).unwrap();
    let mut client = Client::tcp(address).await;
    assert_eq!(client.get("http://evil.example/").await.status, 403);
}

#[tokio::test]
async fn ends_with_its_worker_when_told_to() {
    let proxy = Proxy::start("example.com raw\n").await;
    let (relay, _) = start(&proxy).await;
    let child = eventually("a worker", || worker(&relay)).await;
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await.code, Some(0));
    let gone = || {
        rustix::process::test_kill_process(child)
            .is_err()
            .then_some(())
    };
    eventually("the worker is gone", gone).await;
}

#[tokio::test]
async fn takes_its_worker_along_when_it_is_killed() {
    let proxy = Proxy::start("example.com raw\n").await;
    let (relay, address) = start(&proxy).await;
    eventually("a worker", || worker(&relay)).await;
    relay.signal(Signal::KILL);
    relay.ended().await;
    let refused = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the doors are closed", refused).await;
}

#[tokio::test]
async fn answers_a_health_check_through_the_door() {
    let proxy = Proxy::start("example.com raw\n").await;
    let (_relay, address) = start(&proxy).await;
    let door = address.to_string();
    let check =
        tokio::task::spawn_blocking(move || Program::run(&["healthcheck", "--door", &door], &[]));
    let ended = within("the check", check).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        proxy.events().is_empty(),
        "a health check is no request of the task"
    );
    let other = Origin::page().await;
    let door = other.address.to_string();
    let check =
        tokio::task::spawn_blocking(move || Program::run(&["healthcheck", "--door", &door], &[]));
    assert_eq!(within("the check", check).await.unwrap().code, Some(1));
}

#[test]
fn refuses_to_relay_to_anything_but_a_unix_socket() {
    let ended = Program::run(
        &["relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"],
        &[],
    );
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("is not unix:PATH"),
        "{}",
        ended.stderr
    );
}

/// A proxy whose side doors are unix sockets, and a relay to them.
struct Fence {
    proxy: Proxy,
    relay: Program,
    dns: SocketAddr,
    tls: SocketAddr,
    http: SocketAddr,
    _directory: tempfile::TempDir,
}

const SERVFAIL: u8 = 2;

impl Fence {
    async fn start(lines: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [dns, tls, http] = ["dns", "tls", "http"].map(|name| {
            let path = directory.path().join(name).with_extension("sock");
            format!("unix:{}", path.display())
        });
        let doors = |raw: &mut agentnet_proxy::settings::Raw| {
            raw.dns = vec![dns.clone()];
            raw.dns_address = vec!["127.128.0.1".to_owned()];
            raw.transparent_tls = vec![tls.clone()];
            raw.transparent_http = vec![http.clone()];
        };
        let proxy = Proxy::with(lines).settings(doors).start().await;
        let [questions, https, plain] = [&dns, &tls, &http].map(|to| format!("127.0.0.1:0={to}"));
        let doors = [
            "relay", "--listen", &https, "--listen", &plain, "--dns", &questions,
        ];
        let relay = Program::start(&doors, &[]);
        Self {
            dns: at(&relay, &dns).await,
            tls: at(&relay, &tls).await,
            http: at(&relay, &http).await,
            proxy,
            relay,
            _directory: directory,
        }
    }
}

#[tokio::test]
async fn questions_in_datagrams_are_answered_and_told() {
    let fence = Fence::start("example.com\n").await;
    let stub = Stub::new(fence.dns).await;
    let (rcode, answer) = stub.ask("example.com", A).await;
    assert_eq!(rcode, NOERROR);
    assert!(answer.ends_with(&[0, 0, 0, 5, 0, 4, 127, 128, 0, 1]));
    let (rcode, answer) = stub.ask("example.com", AAAA).await;
    assert_eq!((rcode, answer[7]), (NOERROR, 0));
    assert_eq!(stub.ask("evil.example", A).await.0, NXDOMAIN);
    let event = fence.proxy.decision(0).await;
    assert_eq!(event.protocol, Protocol::Dns);
    assert_eq!(event.host.as_str(), "evil.example");
    assert_eq!(event.reason, Reason::NotListed);
    assert!(
        event.client.as_str().starts_with("unix:"),
        "{}",
        event.client
    );
    assert_eq!(fence.proxy.world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn questions_on_connections_are_answered_one_after_the_other() {
    let fence = Fence::start("example.com\n").await;
    let mut stream = tokio::net::TcpStream::connect(fence.dns).await.unwrap();
    for (name, rcode) in [("example.com", NOERROR), ("evil.example", NXDOMAIN)] {
        framed(&mut stream, &query(name, A)).await;
        assert_eq!(unframed(&mut stream).await.unwrap()[3] & 15, rcode);
    }
}

#[tokio::test]
async fn what_is_no_question_is_not_answered_and_the_next_one_is() {
    let fence = Fence::start("example.com\n").await;
    let stub = Stub::new(fence.dns).await;
    let whole = query("example.com", A);
    for cut in 0..whole.len() {
        stub.send(&whole[..cut]).await;
    }
    stub.send(&vec![0xff; 9000]).await;
    // What is answered is this.
    let mut last = whole.clone();
    last[0] = 0xee;
    stub.send(&last).await;
    assert_eq!(stub.receive().await[0], 0xee);
}

#[tokio::test]
async fn a_flood_of_questions_is_answered_as_far_as_it_is_heard() {
    let fence = Fence::start("example.com\n").await;
    // Connections that ask nothing take their share and no more.
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(tokio::net::TcpStream::connect(fence.dns).await.unwrap());
    }
    let flood = Stub::new(fence.dns).await;
    for number in 0..2_000 {
        flood.send(&query(&format!("n{number}.example"), A)).await;
    }
    let stub = Stub::new(fence.dns).await;
    let heard = async {
        loop {
            stub.send(&query("example.com", A)).await;
            let answer = stub.receive_soon().await;
            if let Some(answer) = answer {
                return answer;
            }
        }
    };
    assert_eq!(within("an answer", heard).await[3] & 15, NOERROR);
    assert!(worker(&fence.relay).is_some());
    let cause = "connections_rejected_total{cause=\"too_many_connections\"}";
    assert_eq!(fence.proxy.metric(cause).await, Some(0.0));
}

#[tokio::test]
async fn tls_and_plain_http_go_where_they_say() {
    let origin = Origin::echo().await;
    let page = Origin::page().await;
    let fence = Fence::start("example.com\n").await;
    fence.proxy.world.site("example.com", 443, origin.address);
    fence.proxy.world.site("example.com", 80, page.address);
    let flight = hello("example.com");
    let mut client = Client::tcp(fence.tls).await;
    client.send(&flight).await;
    assert_eq!(client.read(flight.len()).await, flight);
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    let mut client = Client::tcp(fence.tls).await;
    client.send(&hello("evil.example")).await;
    assert_eq!(client.read(7).await, [21, 3, 3, 0, 2, 2, 49]);
    for (host, status) in [("example.com", 200), ("evil.example", 403)] {
        let mut client = Client::tcp(fence.http).await;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.send(request).await;
        assert_eq!(client.answer().await.status, status, "{host}");
    }
    assert_eq!(fence.proxy.decision(1).await.protocol, Protocol::Tls);
    assert_eq!(fence.proxy.decision(1).await.reason, Reason::NotListed);
}

#[tokio::test]
async fn a_question_fails_at_once_while_the_proxy_is_away() {
    let mut fence = Fence::start("example.com\n").await;
    fence.proxy.drain(std::time::Duration::from_secs(5)).await;
    let stub = Stub::new(fence.dns).await;
    let gone = async {
        while stub.ask("example.com", A).await.0 != SERVFAIL {
            tokio::task::yield_now().await;
        }
    };
    within("a failure", gone).await;
}

#[tokio::test]
async fn questions_are_answered_again_when_the_worker_has_died() {
    let fence = Fence::start("example.com\n").await;
    let died = eventually("a worker", || worker(&fence.relay)).await;
    kill_process(died, Signal::KILL).unwrap();
    let stub = Stub::new(fence.dns).await;
    let answered = async {
        loop {
            stub.send(&query("example.com", A)).await;
            if let Some(answer) = stub.receive_soon().await {
                return answer;
            }
        }
    };
    assert_eq!(within("an answer", answered).await[3] & 15, NOERROR);
}

#[test]
fn refuses_a_door_that_leads_nowhere() {
    let ended = Program::run(&["relay", "--listen", "127.0.0.1:0"], &[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("leads nowhere"), "{}", ended.stderr);
}
