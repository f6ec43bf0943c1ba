//! A proxy that does everything it has a metric for, and a Prometheus that watches it with the configuration we ship.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use agentnet_e2e::bed::{proxy, root, skip};
use agentnet_e2e::daemon::{Daemon, free_port};
use agentnet_e2e::peers::peer;
use agentnet_e2e::wait;
use fs_err as fs;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;

/// What we ship.
pub(crate) fn shipped() -> PathBuf {
    root().join("compose/observe")
}

/// A program of the Prometheus package, or a skipped test.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    match peer("prometheus") {
        Ok(root) => Some(root.join("bin").join(name)),
        Err(reason) => {
            skip(&reason);
            None
        }
    }
}

/// A running proxy with three listeners (one observes, one has a parent that is down), and an origin that it may reach.
#[derive(Debug)]
pub(crate) struct Proxy {
    daemon: Daemon,
    pub(crate) observing: SocketAddr,
    pub(crate) chained: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) origin: SocketAddr,
    _directory: TempDir,
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Answers every connection with one small page.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind(local(0)).unwrap();
    let address = listener.local_addr().unwrap();
    // It lives as long as the test program.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut head = [0; 4096];
                // A client that went away is no failure of the origin.
                let page = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n";
                stream
                    .read(&mut head)
                    .and_then(|_| stream.write_all(page))
                    .ok();
            });
        }
    });
    address
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let origin = origin();
        let [agent, observing, chained, admin, nobody] = [(); 5].map(|()| local(free_port()));
        let path = |name: &str| directory.path().join(name);
        // The proxy itself is what no whitelist should name: it is refused all the same.
        let lines = format!(
            "{origin} raw host up=20MB\n{agent} raw host\nbad.example deny\nnever.example # \"asked\" for\n"
        );
        fs::write(path("project.txt"), lines).unwrap();
        fs::write(path("other.txt"), "other.example\n").unwrap();
        let settings = format!(
            "admin = \"{admin}\"\n\
             [[listener]]\nname = \"agent\"\nlisten = [\"{agent}\"]\nwhitelist = [{:?}]\n\
             [[listener]]\nname = \"docker\"\nlisten = [\"{observing}\"]\nwhitelist = [{:?}]\nmode = \"observe\"\n\
             [[listener]]\nname = \"chained\"\nlisten = [\"{chained}\"]\nwhitelist = [{:?}]\n\
             [[listener.upstream]]\nvia = [\"http://{nobody}\"]\nremote_dns = true\n",
            path("project.txt"),
            path("other.txt"),
            path("other.txt")
        );
        fs::write(path("proxy.toml"), settings).unwrap();
        let mut command = Command::new(proxy());
        command.arg("-c").arg(path("proxy.toml"));
        let daemon =
            Daemon::start(&mut command, agent, &path("said")).expect("a proxy that serves");
        Self {
            daemon,
            observing,
            chained,
            admin,
            origin,
            _directory: directory,
        }
    }

    /// The door of the listener `agent`.
    pub(crate) fn agent(&self) -> SocketAddr {
        self.daemon.address
    }

    /// The status of an answer to CONNECT.
    pub(crate) fn connect(&self, target: &str) -> u16 {
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        http::exchange(self.daemon.address, &head, "GET / HTTP/1.0\r\n\r\n").0
    }

    /// The status of an answer to a plain request.
    pub(crate) fn get(&self, url: &str) -> u16 {
        Self::get_through(self.daemon.address, url)
    }

    /// The same, at the listener that only observes.
    pub(crate) fn get_observed(&self, url: &str) -> u16 {
        Self::get_through(self.observing, url)
    }

    /// The same, at the listener whose parent is down.
    pub(crate) fn get_chained(&self, url: &str) -> u16 {
        Self::get_through(self.chained, url)
    }

    fn get_through(door: SocketAddr, url: &str) -> u16 {
        let host = url.trim_start_matches("http://").split('/').next().unwrap();
        let head = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        http::exchange(door, &head, "").0
    }

    /// What the endpoint says.
    pub(crate) fn metrics(&self) -> String {
        let (status, text) = http::get(self.admin, "/metrics");
        assert_eq!(status, 200);
        text
    }
}

/// A Prometheus with the shipped configuration, every second.
#[derive(Debug)]
pub(crate) struct Prometheus {
    daemon: Daemon,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts it on `targets`, as `agentnet targets` would write them, and waits for two scrapes.
    pub(crate) fn start(program: &Path, admin: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        let shipped = shipped().join("prometheus");
        let settings = fs::read_to_string(shipped.join("prometheus.yml")).unwrap();
        let faster = settings
            .replace("scrape_interval: 15s", "scrape_interval: 1s")
            .replace("evaluation_interval: 15s", "evaluation_interval: 1s");
        assert_eq!(faster.len() + 2, settings.len());
        fs::write(path("prometheus.yml"), faster).unwrap();
        fs::copy(shipped.join("alerts.yml"), path("alerts.yml")).unwrap();
        fs::create_dir(path("targets")).unwrap();
        let labels = json!({ "task": "t1", "project": "shop", "fence": "network" });
        let targets = json!([{ "targets": [admin.to_string()], "labels": labels }]);
        fs::write(path("targets/tasks.json"), targets.to_string()).unwrap();
        let address = local(free_port());
        let mut command = Command::new(program);
        command
            .arg(format!(
                "--config.file={}",
                path("prometheus.yml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let daemon = Daemon::start(&mut command, address, &path("said")).expect("a Prometheus");
        let this = Self {
            daemon,
            _directory: directory,
        };
        wait::until("two scrapes", Duration::from_secs(60), || {
            this.sample("count_over_time(up{job=\"agentnet\"}[1m]) >= 2")
        });
        this
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon.address
    }

    /// The result of an instant query, or what is wrong with it.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let (_, body) = http::post(
            self.daemon.address,
            "/api/v1/query",
            &[("query", expression)],
        );
        let answer: Value = serde_json::from_str(&body).map_err(|_| body.clone())?;
        if answer["status"] != "success" {
            return Err(format!("{expression}: {}", answer["error"]));
        }
        Ok(answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    }

    /// The value of the only sample of an expression; `None` while there is none.
    #[track_caller]
    pub(crate) fn sample(&self, expression: &str) -> Option<f64> {
        let found = self.query(expression).unwrap_or_default();
        assert!(found.len() < 2, "{expression}: {found:?}");
        found.first()?["value"][1].as_str()?.parse().ok()
    }

    /// A document of its API.
    pub(crate) fn api(&self, path: &str) -> Value {
        let (status, body) = http::get(self.daemon.address, path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}
