//! What really goes to an engine: bollard against an HTTP server on a unix socket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests; the server needs a task of its own"
)]

mod harness;

use std::sync::{Arc, Mutex};

use agentnet_controller::engine::bollard::BollardEngine;
use agentnet_controller::engine::fake::FakeEngine;
use agentnet_controller::engine::{Engine, EngineError, Kind, Usage};
use agentnet_controller::plan::Step;
use agentnet_controller::spec::VolumeSpec;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};

/// What came: method, path, body.
type Seen = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that answers every request with the same thing.
struct Server {
    directory: tempfile::TempDir,
    seen: Seen,
}

impl Server {
    async fn new(answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let listener = tokio::net::UnixListener::bind(directory.path().join("sock")).unwrap();
        let seen = Seen::default();
        let (log, answer) = (seen.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (log, answer) = (log.clone(), answer.clone());
                    async move {
                        let line = format!("{} {}", request.method(), request.uri());
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                        let (status, value) = answer(&line);
                        log.lock().unwrap().push((line, body));
                        let body = if value.is_null() {
                            String::new()
                        } else {
                            value.to_string()
                        };
                        Response::builder()
                            .status(status)
                            .body(Full::<Bytes>::from(body))
                    }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service),
                );
            }
        });
        Server { directory, seen }
    }

    fn engine(&self) -> BollardEngine {
        let socket = self.directory.path().join("sock");
        BollardEngine::new(&format!("unix://{}", socket.display())).unwrap()
    }

    fn seen(&self) -> (String, Value) {
        self.seen.lock().unwrap().pop().unwrap()
    }
}

fn step(name: &str) -> Step {
    let plan = harness::plan(&FakeEngine::docker28(), "").unwrap();
    plan.steps
        .into_iter()
        .map(|planned| planned.step)
        .find(|step| match step {
            Step::Network(spec) => spec.name.ends_with(name),
            Step::Container(spec) => spec.name.ends_with(name),
            _ => false,
        })
        .unwrap()
}

#[tokio::test]
async fn a_fence_is_internal_and_isolated_in_both_families() {
    let server = Server::new(|_| (201, json!({ "Id": "n1", "Warning": "" }))).await;
    let Step::Network(spec) = step("-fence") else {
        panic!()
    };
    assert_eq!(server.engine().create_network(&spec).await.unwrap(), "n1");
    let (line, body) = server.seen();
    assert!(line.ends_with("/networks/create"), "{line}");
    assert_eq!(body["Internal"], true);
    assert_eq!(body["EnableIPv6"], true);
    assert_eq!(
        body["Options"],
        json!({
            "com.docker.network.bridge.gateway_mode_ipv4": "isolated",
            "com.docker.network.bridge.gateway_mode_ipv6": "isolated",
        })
    );
    let config = body["IPAM"]["Config"].as_array().unwrap();
    assert_eq!(config.len(), 2);
    assert_eq!(
        config[0],
        json!({ "Subnet": "10.213.0.0/28", "IPRange": "10.213.0.0/30" })
    );
    assert_eq!(body["Labels"]["agentnet.role"], "fence");
}

#[tokio::test]
async fn an_agent_gets_no_privilege_that_docker_would_give_by_itself() {
    let server = Server::new(|_| (201, json!({ "Id": "c1", "Warnings": [] }))).await;
    let Step::Container(spec) = step("-agent") else {
        panic!()
    };
    server.engine().create_container(&spec).await.unwrap();
    let (line, body) = server.seen();
    assert!(
        line.contains("/containers/create?name=agentnet-shop-fix-1-agent"),
        "{line}"
    );
    let host = &body["HostConfig"];
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!(host["Dns"], json!(["10.213.0.1"]));
    assert_eq!(host["DnsSearch"], json!(["."]));
    assert_eq!(host["PidsLimit"], 512);
    for absent in [
        "CapAdd",
        "Privileged",
        "PortBindings",
        "Binds",
        "PidMode",
        "Devices",
        "ExtraHosts",
    ] {
        assert!(host[absent].is_null(), "{absent}: {}", host[absent]);
    }
    assert_eq!(body["User"], "1000:1000");
    assert_eq!(body["Entrypoint"], json!(["/agentnet/bin/agentnet-gate"]));
    let endpoints = body["NetworkingConfig"]["EndpointsConfig"]
        .as_object()
        .unwrap();
    assert_eq!(endpoints.len(), 1);
    assert_eq!(
        endpoints["agentnet-shop-fix-1-fence"]["IPAMConfig"]["IPv4Address"],
        "10.213.0.4"
    );
}

#[tokio::test]
async fn a_removal_takes_a_running_container_and_its_volumes() {
    let server = Server::new(|_| (204, Value::Null)).await;
    server.engine().remove(Kind::Container, "c1").await.unwrap();
    let (line, _) = server.seen();
    assert!(
        line.starts_with("DELETE ") && line.contains("/containers/c1?"),
        "{line}"
    );
    assert!(
        line.contains("force=true") && line.contains("v=true"),
        "{line}"
    );
}

#[tokio::test]
async fn the_engines_refusals_become_causes() {
    type Expected = fn(&EngineError) -> bool;
    let cases: [(u16, &str, Expected); 7] = [
        (404, "No such container: x", |e| {
            matches!(e, EngineError::NotFound(_))
        }),
        (
            409,
            "Conflict. The container name \"/x\" is already in use by container",
            |e| matches!(e, EngineError::NameInUse(_)),
        ),
        (
            403,
            "Pool overlaps with other one on this address space",
            |e| matches!(e, EngineError::Overlap(_)),
        ),
        (
            400,
            "invalid pool request: Pool overlaps with other one",
            |e| matches!(e, EngineError::Overlap(_)),
        ),
        (500, "write /var/lib: no space left on device", |e| {
            matches!(e, EngineError::DiskFull(_))
        }),
        (
            500,
            "failed to set up container networking: Address already in use",
            |e| matches!(e, EngineError::AddressTaken(_)),
        ),
        (500, "boom", |e| {
            matches!(e, EngineError::Refused { status: 500, .. })
        }),
    ];
    for (status, message, expected) in cases {
        let server = Server::new(move |_| (status, json!({ "message": message }))).await;
        let error = server.engine().start("x").await.unwrap_err();
        assert!(expected(&error), "{message}: {error:?}");
    }
}

#[tokio::test]
async fn a_volume_of_somebody_else_is_not_taken_over() {
    let volume = json!({
        "Name": "v", "Driver": "local", "Mountpoint": "/m", "Labels": {}, "Scope": "local",
        "Options": {}
    });
    let server = Server::new(move |_| (201, volume.clone())).await;
    let labels = [("agentnet.task".to_owned(), "t".to_owned())].into();
    let spec = VolumeSpec {
        name: "v".into(),
        labels,
    };
    let error = server.engine().create_volume(&spec).await.unwrap_err();
    assert!(matches!(error, EngineError::NameInUse(_)), "{error}");
}

fn about(api: &'static str) -> impl Fn(&str) -> (u16, Value) {
    move |line| {
        if line.contains("/version") {
            let components = json!([{ "Name": "runc", "Version": "1.1.5" }]);
            (
                200,
                json!({ "Version": "20.10.24", "ApiVersion": api, "Components": components }),
            )
        } else if line.contains("/info") {
            let options = ["name=seccomp,profile=default"];
            (
                200,
                json!({ "NCPU": 2, "MemTotal": 1024, "PidsLimit": false, "SecurityOptions": options }),
            )
        } else {
            (404, json!({ "message": "no" }))
        }
    }
}

#[tokio::test]
async fn facts_follow_from_what_the_engine_says() {
    let server = Server::new(about("1.41")).await;
    let facts = server.engine().facts().await.unwrap();
    assert_eq!(facts.name(), "Docker 20.10.24");
    assert!(!facts.isolated_gateway && !facts.many_networks && facts.opens_vsock);
    assert!(facts.local && facts.seccomp && !facts.limits.pids && facts.limits.memory);
    assert_eq!((facts.cpus, facts.runc.as_deref()), (2, Some("1.1.5")));
}

fn podman(rootless: bool, cgroups: &'static str) -> impl Fn(&str) -> (u16, Value) {
    move |line| {
        if line.contains("/version") {
            let components = json!([
                { "Name": "Podman Engine", "Version": "4.3.1" },
                { "Name": "OCI Runtime (runc)", "Version": "runc version 1.1.5+ds1\ncommit: x" },
            ]);
            (
                200,
                json!({ "Version": "4.3.1", "ApiVersion": "1.41", "Components": components }),
            )
        } else if line.contains("/info") {
            let options = ["name=seccomp,profile=default"];
            (
                200,
                json!({ "NCPU": 2, "MemTotal": 1024, "MemoryLimit": true, "PidsLimit": true, "CpuCfsQuota": true,
                        "IPv4Forwarding": false, "SecurityOptions": options, "CgroupVersion": cgroups,
                        "Rootless": rootless }),
            )
        } else {
            (404, json!({ "message": "no" }))
        }
    }
}

#[tokio::test]
async fn podman_says_in_a_field_of_its_own_that_an_ordinary_user_runs_it() {
    let server = Server::new(podman(true, "2")).await;
    let facts = server.engine().facts().await.unwrap();
    assert_eq!(facts.name(), "Podman 4.3.1");
    assert!(facts.rootless && facts.fills_at_start && facts.opens_vsock && facts.forwarding);
    assert!(!facts.isolated_gateway && facts.limits.memory && facts.nofile.is_none());
    assert_eq!(facts.runc.as_deref(), Some("1.1.5+ds1"));
    assert_eq!(facts.user, Some(rustix::process::geteuid().as_raw()));

    let server = Server::new(podman(false, "1")).await;
    let facts = server.engine().facts().await.unwrap();
    assert!(!facts.rootless && facts.limits.memory && facts.nofile.is_some());
}

#[tokio::test]
async fn an_ordinary_user_can_limit_nothing_with_the_first_control_groups() {
    let server = Server::new(podman(true, "1")).await;
    let limits = server.engine().facts().await.unwrap().limits;
    assert!(!limits.memory && !limits.cpus && !limits.pids);
}

#[tokio::test]
async fn a_removal_that_another_one_is_in_the_way_of_is_tried_again() {
    let refusals = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::new(move |_| {
        match refusals.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => (500, json!({ "message": "container 1 has dependent containers which must be removed before it: 2" })),
            1 => (500, json!({ "message": "could not be stopped: container state improper: stopped" })),
            2 => (204, Value::Null),
            _ => (500, json!({ "message": "device or resource busy" })),
        }
    })
    .await;
    let engine = server.engine();
    engine.remove(Kind::Container, "1").await.unwrap();
    let error = engine.remove(Kind::Container, "1").await.unwrap_err();
    assert!(error.to_string().contains("busy"), "{error}");
    assert_eq!(server.seen.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_one_sentence() {
    let server = Server::new(about("1.40")).await;
    let error = server.engine().facts().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Docker 20.10.24 speaks API 1.40, and agentnet needs 1.41 or newer (Docker 20.10)"
    );
}

#[tokio::test]
async fn a_socket_nobody_listens_on_is_unreachable() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("dead");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let engine = BollardEngine::new(&format!("unix://{}", socket.display())).unwrap();
    let error = engine.facts().await.unwrap_err();
    assert!(
        matches!(error, EngineError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn figures_of_a_container_are_one_sample_without_the_cache() {
    let server = Server::new(|_| {
        (
            200,
            json!({
                "read": "2026-11-21T12:00:00.5Z",
                "cpu_stats": { "cpu_usage": { "total_usage": 2_000_000_000u64 } },
                "memory_stats": {
                    "usage": 1000,
                    "limit": 4096,
                    "stats": { "inactive_file": 300, "total_inactive_file": 900 },
                },
                "pids_stats": { "current": 7, "limit": u64::MAX },
            }),
        )
    })
    .await;
    let usage = server.engine().stats("agent").await.unwrap();
    let (line, _) = server.seen();
    assert!(line.contains("/containers/agent/stats?"), "{line}");
    assert!(
        line.contains("stream=false") && line.contains("one-shot=true"),
        "{line}"
    );
    let expected = Usage {
        at: Some("2026-11-21T12:00:00.5Z".parse().unwrap()),
        cpu_nanos: 2_000_000_000,
        memory: 700,
        memory_limit: Some(4096),
        pids: 7,
        pids_limit: None,
    };
    assert_eq!(usage, expected);
}

#[tokio::test]
async fn a_container_that_does_not_run_has_no_moment_of_measurement() {
    let server = Server::new(|_| {
        let answer = json!({ "read": "0001-01-01T00:00:00Z", "cpu_stats": {}, "memory_stats": {}, "pids_stats": {} });
        (200, answer)
    })
    .await;
    let usage = server.engine().stats("agent").await.unwrap();
    assert_eq!(usage, Usage::default());
}
