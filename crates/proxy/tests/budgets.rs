//! Budgets: what was sent stays sent, whatever becomes of the process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_policy::event::{Moment, Word};
use agentnet_policy::{Event, Reason};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::harness::{Client, Origin, Program, Proxy, eventually, within};

const LIMIT: u64 = 1_000_000;

/// A server that counts what reaches it.
struct Sink {
    origin: Origin,
    taken: Arc<AtomicU64>,
}

impl Sink {
    async fn new() -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&taken);
        let origin = Origin::serving(move |mut stream| {
            let taken = Arc::clone(&count);
            async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    taken.fetch_add(read as u64, Ordering::SeqCst);
                }
            }
        })
        .await;
        Self { origin, taken }
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    async fn has(&self, bytes: u64) {
        let what = format!("{bytes} bytes at the origin, not {}", self.taken());
        eventually(&what, || (self.taken() >= bytes).then_some(())).await;
    }
}

/// A proxy process whose one line lets `LIMIT` bytes go to a sink.
struct Limited {
    sink: Sink,
    files: TempDir,
}

struct Served {
    program: Program,
    address: SocketAddr,
    admin: String,
}

impl Limited {
    async fn new() -> Self {
        let limited = Self {
            sink: Sink::new().await,
            files: tempfile::tempdir().unwrap(),
        };
        limited.limit("1MB");
        limited
    }

    fn target(&self) -> String {
        self.sink.origin.address.to_string()
    }

    fn limit(&self, limit: &str) {
        let line = format!("{} raw host up={limit}\n", self.target());
        std::fs::write(self.files.path().join("w.txt"), line).unwrap();
    }

    fn state(&self) -> std::path::PathBuf {
        self.files.path().join("state")
    }

    async fn serve(&self) -> Served {
        self.serve_after(":", &self.state()).await
    }

    async fn serve_after(&self, script: &str, state: &Path) -> Served {
        let whitelist = self.files.path().join("w.txt").display().to_string();
        let state = state.display().to_string();
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--whitelist",
            &whitelist,
            "--state",
            &state,
        ];
        let program = Program::start_after(script, Stdio::null(), &arguments);
        let address = program.says("listener default at ").await.parse().unwrap();
        let admin = program.says("admin at ").await;
        Served {
            program,
            address,
            admin,
        }
    }

    /// Sends until so many bytes have arrived, or no more may go; true if all arrived.
    async fn send(&self, served: &Served, bytes: usize) -> bool {
        let mut client = Client::tcp(served.address).await;
        let answer = client.connect(&self.target()).await;
        if answer.status != 200 {
            assert_eq!(answer.reason(), "budget_spent", "{}", answer.head);
            return false;
        }
        let goal = self.sink.taken() + bytes as u64;
        let all = client.try_send(vec![b'x'; bytes]).await;
        client.finish_if_open().await;
        let (_, reset) = client.rest_or_reset().await;
        if all && !reset {
            self.sink.has(goal).await;
        }
        self.sink.taken() >= goal
    }
}

impl Served {
    async fn policy(&self) -> serde_json::Value {
        let address: SocketAddr = self.admin.parse().unwrap();
        let mut client = Client::tcp(address).await;
        let answer = client.get_from("admin", "/policy").await;
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Bytes of the one line that are gone.
    async fn spent(&self) -> u64 {
        let policy = self.policy().await;
        policy["listeners"][0]["rules"][0]["up"]["spent"]
            .as_u64()
            .unwrap()
    }

    /// Bytes that have left through tunnels which are over. The origin may have got fewer: what is
    /// cut off ends in a reset.
    fn sent(&self) -> u64 {
        let output = self.program.stdout();
        let events = output
            .lines()
            .map(|line| serde_json::from_str::<Event>(line).unwrap());
        let over = events.filter(|event| event.event == Moment::Closed);
        over.map(|event| event.up).sum()
    }

    /// Waits until that is so.
    async fn has_sent(&self, bytes: std::ops::RangeInclusive<u64>) {
        let what = format!("{bytes:?} bytes sent");
        eventually(&what, || bytes.contains(&self.sent()).then_some(())).await;
        assert_eq!(self.spent().await, LIMIT);
    }

    async fn ends(self, signal: Signal) {
        self.program.signal(signal);
        self.program.ended().await;
    }
}

#[tokio::test]
async fn a_killed_proxy_refills_nothing_and_loses_little() {
    let limited = Limited::new().await;
    let kills = 4;
    for _ in 0..kills {
        let served = limited.serve().await;
        assert!(limited.send(&served, 100_000).await);
        served.ends(Signal::KILL).await;
    }
    let served = limited.serve().await;
    assert!(!limited.send(&served, 2_000_000).await);
    assert!(!limited.send(&served, 1).await);
    let left = LIMIT - kills * 100_000;
    served.has_sent(left - kills * LIMIT / 64..=left).await;
    assert!(limited.sink.taken() <= LIMIT);
}

#[tokio::test]
async fn a_proxy_that_ends_well_loses_nothing() {
    let limited = Limited::new().await;
    for _ in 0..3 {
        let served = limited.serve().await;
        assert!(limited.send(&served, 100_000).await);
        served.ends(Signal::TERM).await;
    }
    let served = limited.serve().await;
    let spent = async { while served.spent().await != 300_000 {} };
    within(
        "what was spent before is shown before anything is sent",
        spent,
    )
    .await;
    assert!(!limited.send(&served, 2_000_000).await);
    served.has_sent(700_000..=700_000).await;
}

#[tokio::test]
async fn two_proxies_on_one_directory_spend_one_purse() {
    let limited = Limited::new().await;
    let (old, new) = (limited.serve().await, limited.serve().await);
    let (first, second) =
        tokio::join!(limited.send(&old, 2_000_000), limited.send(&new, 2_000_000));
    assert!(!first && !second);
    let both = || (old.sent() + new.sent() == LIMIT).then_some(());
    eventually("the whole limit is sent", both).await;
    assert!(limited.sink.taken() <= LIMIT);
    old.ends(Signal::TERM).await;
    assert!(!limited.send(&new, 1).await);
}

#[tokio::test]
async fn a_full_disk_stops_what_has_a_budget_and_nothing_else_until_there_is_space() {
    let limited = Limited::new().await;
    let served = limited.serve_after("trap '' XFSZ", &limited.state()).await;
    assert!(limited.send(&served, 1000).await);
    let size = |size| Rlimit {
        current: size,
        maximum: None,
    };
    // No file may grow: what a full disk is to whoever writes.
    prlimit(Some(served.program.pid()), Resource::Fsize, size(Some(0))).unwrap();
    assert!(!limited.send(&served, 500_000).await);
    let taken = limited.sink.taken();
    assert!(taken <= 1000 + LIMIT / 64, "{taken}");
    let said = served
        .program
        .says("state/budgets cannot be written: ")
        .await;
    assert!(said.contains("budget_spent"), "{said}");
    let mut client = Client::tcp(served.address).await;
    let answer = client.connect(&limited.target()).await;
    assert_eq!((answer.status, answer.reason()), (403, "budget_spent"));
    assert!(
        answer.text().contains("cannot be recorded"),
        "{}",
        answer.text()
    );
    let mut other = Client::tcp(served.address).await;
    assert_eq!(other.connect("b.example:443").await.reason(), "not_listed");
    prlimit(Some(served.program.pid()), Resource::Fsize, size(None)).unwrap();
    let works = async { while !limited.send(&served, 1000).await {} };
    within("it goes on when there is space", works).await;
    served.program.says("budgets are recorded again").await;
    assert!(!limited.send(&served, 2_000_000).await);
    assert!(limited.sink.taken() <= LIMIT);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_stops_what_has_a_budget_and_nothing_else() {
    let limited = Limited::new().await;
    let text = std::fs::read_to_string(limited.files.path().join("w.txt")).unwrap();
    let other = Origin::echo().await;
    let text = format!("{text}{} raw host\n", other.address);
    std::fs::write(limited.files.path().join("w.txt"), text).unwrap();
    // Below a file there is no directory, not even for root.
    let state = limited.files.path().join("w.txt").join("state");
    let served = limited.serve_after(":", &state).await;
    served.program.says("w.txt/state cannot be made: ").await;
    assert!(!limited.send(&served, 1).await);
    let mut client = Client::tcp(served.address).await;
    let answer = client.connect(&other.address.to_string()).await;
    assert_eq!(answer.status, 200);
    client.send("abc").await;
    assert_eq!(client.read(3).await, b"abc");
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_counts_as_all_spent() {
    let limited = Limited::new().await;
    let served = limited.serve().await;
    assert!(limited.send(&served, 1000).await);
    served.ends(Signal::TERM).await;
    let budgets = limited.state().join("budgets");
    let mut text = std::fs::read(&budgets).unwrap();
    let middle = text.len() / 2;
    text[middle] ^= 1;
    std::fs::write(&budgets, &text).unwrap();
    let served = limited.serve().await;
    let said = served.program.says("state/budgets.corrupt: ").await;
    assert!(said.contains("counts as spent"), "{said}");
    assert_eq!(
        std::fs::read(limited.state().join("budgets.corrupt")).unwrap(),
        text
    );
    assert!(!limited.send(&served, 1).await);
    served.ends(Signal::TERM).await;
    let served = limited.serve().await;
    assert!(!limited.send(&served, 1).await, "it stays so");
    limited.limit("1001KB");
    served.program.signal(Signal::HUP);
    served.program.says("new policy in force").await;
    assert!(limited.send(&served, 1000).await);
    assert!(!limited.send(&served, 1).await);
    assert_eq!(limited.sink.taken(), 2000);
}

#[tokio::test]
async fn a_budget_without_a_state_directory_is_warned_of() {
    let files = tempfile::tempdir().unwrap();
    let whitelist = files.path().join("w.txt");
    let path = whitelist.display().to_string();
    let base = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--whitelist",
        &path,
    ];
    std::fs::write(&whitelist, "a.example up=1MB\n").unwrap();
    let program = Program::start(&base, &[]);
    program
        .says("a restart of the proxy begins them anew")
        .await;
    drop(program);
    std::fs::write(&whitelist, "a.example\n").unwrap();
    let program = Program::start(&base, &[]);
    program.says("listener default at ").await;
    assert!(
        !program.stderr().contains("budgets"),
        "{}",
        program.stderr()
    );
    drop(program);
    let program = Program::start(&base, &[("AGENTNET_DEFAULT_UP", "1MB")]);
    program
        .says("a restart of the proxy begins them anew")
        .await;
}

#[tokio::test]
async fn a_default_limits_the_lines_that_say_nothing() {
    let origin = Origin::echo().await;
    let start = Proxy::with("a.example raw\nb.example raw up=9B\n**.b.example raw\n")
        .settings(|raw| raw.default_up = Some("5B".to_owned()));
    let proxy = start.start().await;
    for (name, limit) in [("a.example", 5), ("b.example", 9), ("c.b.example", 5)] {
        proxy.world.site(name, 443, origin.address);
        let mut client = proxy.tunnel(&format!("{name}:443")).await;
        client.try_send("1234567890").await;
        let (echoed, _) = client.rest_or_reset().await;
        assert!(echoed.len() <= limit, "{name}");
    }
    for (nth, up) in [5, 9, 5].into_iter().enumerate() {
        let closed = proxy.closed(nth).await;
        assert_eq!((closed.reason, closed.up), (Reason::BudgetSpent, up));
    }
    let series =
        |metric: &str, rule: &str| format!("{metric}{{listener=\"default\",rule=\"{rule}\"}}");
    let spent = series("budget_spent_bytes", "b.example raw up=9B");
    assert_eq!(proxy.metric(&spent).await, Some(9.0));
    assert_eq!(
        proxy.metric(&series("budget_bytes", "a.example raw")).await,
        Some(5.0)
    );
}

#[tokio::test]
async fn what_only_observe_lets_pass_shares_the_default() {
    let origin = Origin::echo().await;
    let start = Proxy::with("a.example up=100B\n").settings(|raw| {
        raw.default_up = Some("10B".to_owned());
        raw.mode = Some("observe".to_owned());
    });
    let proxy = start.start().await;
    for name in ["x.example", "y.example"] {
        proxy.world.site(name, 443, origin.address);
    }
    let mut first = proxy.tunnel("x.example:443").await;
    first.send("1234567").await;
    assert_eq!(first.read(7).await, b"1234567");
    let mut second = proxy.tunnel("y.example:443").await;
    second.try_send("12345").await;
    second.rest_or_reset().await;
    assert_eq!(proxy.closed(0).await.up, 3);
    let answer = proxy.client().await.connect("x.example:443").await;
    assert_eq!(answer.reason(), "budget_spent");
    assert_eq!(proxy.decision(2).await.verdict, Word::Deny);
    let spent = "budget_spent_bytes{listener=\"default\",rule=\"(no line)\"}";
    assert_eq!(proxy.metric(spent).await, Some(10.0));
}

#[tokio::test]
async fn budgets_are_in_the_metrics_before_they_are_spent_and_leave_with_their_line() {
    let proxy = Proxy::start("a.example up=3KB\nb.example\n").await;
    let limit = "budget_bytes{listener=\"default\",rule=\"a.example up=3KB\"}";
    let spent = "budget_spent_bytes{listener=\"default\",rule=\"a.example up=3KB\"}";
    assert_eq!(proxy.metric(limit).await, Some(3000.0));
    assert_eq!(proxy.metric(spent).await, Some(0.0));
    let (_, text) = proxy.admin("/metrics").await;
    let series = text
        .lines()
        .filter(|line| line.starts_with("agentnet_proxy_budget_bytes{"));
    assert_eq!(series.count(), 1);
    proxy.write("project.txt", "b.example\n");
    proxy.reload().await;
    assert_eq!(proxy.metric(limit).await, None);
    assert_eq!(proxy.metric(spent).await, None);
}

#[tokio::test]
async fn plain_requests_pay_for_exactly_what_arrives() {
    let sink = Sink::new().await;
    let proxy = Proxy::start("a.example up=1MB\n").await;
    proxy.world.site("a.example", 80, sink.origin.address);
    let requests = [
        "GET http://a.example/x?y=z HTTP/1.1\r\nHost: a.example\r\nX-More: of this\r\n\r\n"
            .to_owned(),
        format!(
            "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3000\r\n\r\n{}",
            "x".repeat(3000)
        ),
        format!(
            "PUT http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
             7d0\r\n{}\r\n3\r\nabc\r\n0\r\n\r\n",
            "x".repeat(2000)
        ),
    ];
    let spent = "budget_spent_bytes{listener=\"default\",rule=\"a.example up=1MB\"}";
    for request in requests {
        let before = sink.taken();
        let mut client = proxy.client().await;
        client.send(&request).await;
        // The origin never answers: what it has got is all there will be.
        let body = request.split_once("\r\n\r\n").unwrap().1.len() as u64;
        sink.has(before + body + 30).await;
        let same = async {
            while proxy.metric(spent).await != Some(sink.taken() as f64) {
                tokio::task::yield_now().await;
            }
        };
        within(&format!("the bytes of {request:.4} on both sides"), same).await;
    }
}

#[tokio::test]
async fn a_default_limits_each_pattern_of_a_tinyproxy_filter() {
    let sink = Sink::new().await;
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(path("filter"), "^127\\.0\\.0\\.1$\n").unwrap();
    let port = sink.origin.address.port();
    let conf = format!(
        "ConnectPort {port}\nFilter \"{}\"\nFilterDefaultDeny Yes\nFilterExtended On\n",
        path("filter")
    );
    std::fs::write(path("tinyproxy.conf"), conf).unwrap();
    let (conf, state) = (path("tinyproxy.conf"), path("state"));
    let arguments = [
        "-c",
        &conf,
        "--listen",
        "127.0.0.1:0",
        "--private-destinations",
        "allow",
        "--raw-tunnels",
        "allow",
        "--default-up",
        "5B",
        "--state",
        &state,
        "--log",
        "json",
    ];
    let program = Program::start(&arguments, &[]);
    let address = program.says("listener default at ").await.parse().unwrap();
    let mut client = Client::tcp(address).await;
    let answer = client.connect(&sink.origin.address.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    client.try_send("1234567").await;
    client.rest_or_reset().await;
    let mut client = Client::tcp(address).await;
    let answer = client.connect(&sink.origin.address.to_string()).await;
    assert_eq!(answer.reason(), "budget_spent");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code, Some(0));
    let book = std::fs::read_to_string(files.path().join("state").join("budgets")).unwrap();
    assert!(book.contains("+5 default ^127"), "{book}");
}

#[tokio::test]
async fn what_reaches_nobody_costs_nothing() {
    let proxy = Proxy::start("a.example up=1MB\n").await;
    proxy.world.name("a.example", &["9.9.9.9"]);
    let answer = proxy.client().await.get("http://a.example/").await;
    assert_eq!(answer.reason(), "connect_failed");
    let spent = "budget_spent_bytes{listener=\"default\",rule=\"a.example up=1MB\"}";
    assert_eq!(proxy.metric(spent).await, Some(0.0));
}
