//! The admin listener.

use agentnet_proxy::admin::bind;
use agentnet_proxy::bind::Doors;
use agentnet_proxy::settings::AdminAddress;
use agentnet_proxy::surroundings::{DefaultRoute, InterfaceAddress, Machine};
use serde_json::Value;

use crate::harness::{Client, Proxy, eventually, within};

#[tokio::test]
async fn says_that_it_lives_and_is_ready_and_by_which_policy() {
    let proxy = Proxy::start("example.com\nb.example # why\n").await;
    assert_eq!(proxy.admin("/live").await, (200, "live\n".to_owned()));
    let (status, ready) = proxy.admin("/ready").await;
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((status, &ready["ready"]), (200, &Value::Bool(true)));
    assert_eq!(ready["listeners"][0]["rules"], 2);
    let (status, policy) = proxy.admin("/policy").await;
    let policy: Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(status, 200);
    let listener = &policy["listeners"][0];
    assert_eq!(
        (&listener["name"], &listener["mode"]),
        (&"default".into(), &"enforce".into())
    );
    let rule = &listener["rules"][1];
    assert_eq!(
        (&rule["text"], &rule["line"]),
        (&"b.example".into(), &2.into())
    );
    assert_eq!(
        (&rule["comment"], &rule["layer"]),
        (&"why".into(), &"project".into())
    );
    assert!(rule["file"].as_str().unwrap().ends_with("project.txt"));
}

#[tokio::test]
async fn refuses_other_methods_and_paths() {
    let proxy = Proxy::start("").await;
    let mut client = Client::tcp(proxy.admin).await;
    assert_eq!(client.get_from("admin", "/").await.status, 404);
    assert_eq!(client.get_from("admin", "/reload").await.status, 405);
    client
        .send("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 405);
    assert_eq!(client.get_from("admin", "/events?last=x").await.status, 400);
}

#[tokio::test]
async fn streams_events_as_they_happen() {
    let proxy = Proxy::start("example.com\n").await;
    proxy.client().await.connect("before.example:443").await;
    eventually("the first event", || {
        (proxy.events().len() == 1).then_some(())
    })
    .await;
    let mut watcher = Client::tcp(proxy.admin).await;
    watcher
        .send("GET /events?last=9 HTTP/1.1\r\nHost: admin\r\n\r\n")
        .await;
    let head = watcher.head().await;
    assert_eq!(
        (head.status, head.field("content-type")),
        (200, Some("application/x-ndjson"))
    );
    for host in ["before.example", "after.example"] {
        if host == "after.example" {
            proxy.client().await.connect("after.example:443").await;
        }
        let line: Value = serde_json::from_slice(&watcher.chunk().await).unwrap();
        assert_eq!(
            (&line["host"], &line["reason"]),
            (&host.into(), &"not_listed".into())
        );
    }
}

#[tokio::test]
async fn loses_lines_of_a_slow_reader_and_counts_them_but_never_waits() {
    let proxy = Proxy::start("example.com\n").await;
    let mut watcher = Client::narrow(proxy.admin).await;
    watcher
        .send("GET /events HTTP/1.1\r\nHost: admin\r\n\r\n")
        .await;
    watcher.head().await;
    let mut client = proxy.client().await;
    let path = "x".repeat(2000);
    let url = format!("http://evil.example/{path}");
    let lost = "events_dropped_total{sink=\"stream\"}";
    // More than the queue and the socket buffers together hold; the reader does not read.
    for _ in 0..4000 {
        assert_eq!(client.get(&url).await.status, 403);
    }
    // What was lost shows when the reader goes on.
    let read_on = async {
        while proxy.metric(lost).await == Some(0.0) {
            for _ in 0..500 {
                watcher.chunk().await;
            }
        }
    };
    within("lines are lost", read_on).await;
}

#[tokio::test]
async fn reloads_when_asked() {
    let proxy = Proxy::start("a.example\n").await;
    std::fs::write(proxy.path("task.txt"), "b.example\n").unwrap();
    let mut client = Client::tcp(proxy.admin).await;
    client
        .send("POST /reload HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n")
        .await;
    let answer = client.answer().await;
    let body: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!((answer.status, &body["ok"]), (200, &Value::Bool(true)));
    let answer = proxy.client().await.connect("b.example:443").await;
    assert_eq!(answer.reason(), "resolve_failed");
}

#[tokio::test]
async fn is_not_reachable_through_the_proxy() {
    let proxy =
        Proxy::with("sneaky.example\n").settings(|raw| raw.mode = Some("observe".to_owned()));
    let proxy = proxy.start().await;
    let admin = proxy.admin;
    proxy.world.name("sneaky.example", &["127.0.0.1"]);
    for target in [
        admin.to_string(),
        format!("sneaky.example:{}", admin.port()),
    ] {
        let answer = proxy.client().await.connect(&target).await;
        assert_eq!(answer.status, 403, "{target}");
    }
    assert_eq!(proxy.world.dialled(), 0);
}

#[tokio::test]
async fn binds_loopback_and_the_side_of_the_default_route_only() {
    let address = |interface: &str, address: &str| InterfaceAddress {
        interface: interface.to_owned(),
        address: address.parse().unwrap(),
    };
    // Loopback stands for the egress side: every machine has it.
    let machine = Machine {
        addresses: vec![address("agents", "10.213.0.1"), address("lo", "127.0.0.9")],
        default_routes: vec![DefaultRoute {
            interface: "lo".to_owned(),
            gateway: None,
        }],
    };
    let doors = bind(&AdminAddress::Egress(0), &machine, &mut Doors::default()).unwrap();
    let bound: Vec<String> = doors
        .iter()
        .map(|own| own.door.address().unwrap().to_string())
        .collect();
    assert!(
        bound.iter().any(|at| at.starts_with("127.0.0.1:")),
        "{bound:?}"
    );
    assert!(
        bound.iter().any(|at| at.starts_with("127.0.0.9:")),
        "{bound:?}"
    );
    assert!(
        !bound.iter().any(|at| at.starts_with("10.213.")),
        "{bound:?}"
    );
    let nowhere = bind(
        &AdminAddress::Egress(0),
        &Machine::default(),
        &mut Doors::default(),
    )
    .unwrap();
    assert!(nowhere.len() <= 2, "without a default route only loopback");
    assert!(
        bind(&AdminAddress::Off, &machine, &mut Doors::default())
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn turns_readers_over_the_limit_away_with_a_reason() {
    let proxy = Proxy::start("").await;
    let mut readers = Vec::new();
    for _ in 0..64 {
        let mut reader = Client::tcp(proxy.admin).await;
        reader
            .send("GET /events HTTP/1.1\r\nHost: admin\r\n\r\n")
            .await;
        assert_eq!(reader.head().await.status, 200);
        readers.push(reader);
    }
    let (status, _) = proxy.admin("/live").await;
    assert_eq!(status, 503);
    drop(readers);
    let answered = async { while proxy.admin("/live").await.0 != 200 {} };
    within("a place that is free again", answered).await;
}
