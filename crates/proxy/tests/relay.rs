//! `relay`, as a process between a client and a proxy's unix socket.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Client, Origin, Program, Proxy, eventually, within};

async fn start(proxy: &Proxy) -> (Program, SocketAddr) {
    let to = format!("unix:{}", proxy.socket.display());
    let relay = Program::start(&["relay", "--listen", "127.0.0.1:0", "--to", &to], &[]);
    let address = relay.says("relay at ").await.parse().unwrap();
    (relay, address)
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
    let address = relay.says("relay at ").await.parse().unwrap();
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
