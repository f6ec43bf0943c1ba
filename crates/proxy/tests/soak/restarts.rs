//! One proxy takes over from another under load, and nobody's request fails.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, Origin, Program, within};
use crate::load::{ALONE, Load};

/// How often the proxy is replaced.
const RESTARTS: usize = 5;
/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(12);
/// How long a process serves before the next one comes.
const SERVES: Duration = Duration::from_millis(400);

/// What the clients know, and what they met.
struct World {
    proxy: SocketAddr,
    page: SocketAddr,
    echo: SocketAddr,
    /// Kept connections that the proxy closed between two requests.
    closed: AtomicU64,
    /// The slowest connection, in milliseconds.
    slowest: AtomicU64,
}

impl World {
    async fn connect(&self) -> TcpStream {
        let began = Instant::now();
        let stream = within("a connection", TcpStream::connect(self.proxy)).await;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        self.slowest.fetch_max(took, Ordering::Relaxed);
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Asks for the page; `None` if the connection ended before any byte of an answer came.
    async fn get(&self, stream: &mut TcpStream) -> Option<String> {
        let page = self.page;
        let request = format!("GET http://{page}/ HTTP/1.1\r\nHost: {page}\r\n\r\n");
        if stream.write_all(request.as_bytes()).await.is_err() {
            return None;
        }
        let mut answer = Vec::new();
        loop {
            let mut buffer = [0; 2048];
            match within("an answer", stream.read(&mut buffer)).await {
                Ok(read @ 1..) => answer.extend_from_slice(&buffer[..read]),
                Ok(_) | Err(_) if answer.is_empty() => return None,
                other => panic!("{other:?} after {}", String::from_utf8_lossy(&answer)),
            }
            if answer.ends_with(b"\r\n\r\nhello") {
                let answer = String::from_utf8(answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                return Some(answer);
            }
        }
    }
}

/// A request on a connection of its own: it may not fail.
async fn once(world: Arc<World>) -> Arc<World> {
    let mut stream = world.connect().await;
    world.get(&mut stream).await.expect("an answer");
    world
}

/// Requests on a kept connection. A server may close one at any time between two requests, and a
/// client then asks again on another (RFC 9112 §9.3.1): that one may not fail.
async fn kept((world, kept): (Arc<World>, Option<TcpStream>)) -> (Arc<World>, Option<TcpStream>) {
    if let Some(mut stream) = kept {
        if let Some(answer) = world.get(&mut stream).await {
            let goes_on = !answer.to_ascii_lowercase().contains("connection: close");
            return (world, goes_on.then_some(stream));
        }
        world.closed.fetch_add(1, Ordering::Relaxed);
    }
    let mut stream = world.connect().await;
    world
        .get(&mut stream)
        .await
        .expect("an answer on a new connection");
    (world, Some(stream))
}

/// A tunnel that lasts a moment: it may not be cut.
async fn tunnel(world: Arc<World>) -> Arc<World> {
    let mut client = Client::tcp(world.proxy).await;
    let answer = client.connect(&world.echo.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    client.send("0123456789").await;
    assert_eq!(client.read(10).await, b"0123456789");
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    world
}

struct Rig {
    world: Arc<World>,
    files: TempDir,
}

impl Rig {
    async fn new(proxy: SocketAddr) -> Self {
        let (page, echo) = (Origin::page().await.address, Origin::echo().await.address);
        let files = tempfile::tempdir().unwrap();
        let text = format!("{page} raw host\n{echo} raw host\n");
        std::fs::write(files.path().join("w.txt"), text).unwrap();
        let world = World {
            proxy,
            page,
            echo,
            closed: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
        };
        Self {
            world: Arc::new(world),
            files,
        }
    }

    async fn start(&self, script: &str, input: Stdio, more: &[&str]) -> Program {
        let listen = self.world.proxy.to_string();
        let whitelist = self.files.path().join("w.txt").display().to_string();
        let base = [
            "--listen",
            &listen,
            "--admin",
            "off",
            "--whitelist",
            &whitelist,
        ];
        let arguments: Vec<&str> = base.into_iter().chain(more.iter().copied()).collect();
        let program = Program::start_after(script, input, &arguments);
        program.says("listener default at ").await;
        program
    }

    /// Replaces the proxy again and again while clients ask; `start` makes the next one.
    async fn restarts(&self, how: &str, start: impl AsyncFn() -> Program) {
        let _alone = ALONE.lock().await;
        let mut serving = start().await;
        let mut load = Load::new();
        for _ in 0..8 {
            load.client(PACE, Arc::clone(&self.world), once);
            load.client(PACE, (Arc::clone(&self.world), None), kept);
            load.client(PACE, Arc::clone(&self.world), tunnel);
        }
        for _ in 0..RESTARTS {
            tokio::time::sleep(SERVES).await;
            let next = start().await;
            serving.signal(Signal::TERM);
            let ended = serving.ended().await;
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            assert!(!ended.stderr.contains("still open"), "{}", ended.stderr);
            serving = next;
        }
        tokio::time::sleep(SERVES).await;
        let done = load.end().await;
        let said = format!(
            "{RESTARTS} restarts ({how}) during {} requests in {:.1} s: {:.0} a second, none failed; {} kept \
             connections were closed between requests, the slowest connection took {} ms\n",
            done.requests,
            done.took.as_secs_f64(),
            done.a_second(),
            self.world.closed.load(Ordering::Relaxed),
            self.world.slowest.load(Ordering::Relaxed),
        );
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        assert!(done.requests > 1000, "{done:?}");
    }
}

/// Makes standard input the first passed descriptor.
const PASS: &str = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_on_an_inherited_socket_fails_no_request() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = Rig::new(socket.local_addr().unwrap()).await;
    rig.restarts("inherited socket", async || {
        let socket = OwnedFd::from(socket.try_clone().unwrap());
        rig.start(PASS, socket.into(), &[]).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_connects_while_no_proxy_runs_waits_for_the_next() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = Rig::new(socket.local_addr().unwrap()).await;
    let start = async || {
        let socket = OwnedFd::from(socket.try_clone().unwrap());
        rig.start(PASS, socket.into(), &[]).await
    };
    let first = start().await;
    once(Arc::clone(&rig.world)).await;
    first.signal(Signal::TERM);
    assert_eq!(first.ended().await.code, Some(0));
    let waiting = tokio::spawn(once(Arc::clone(&rig.world)));
    let _second = start().await;
    within("the answer of the next proxy", waiting)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_on_a_shared_port_fails_no_request() {
    // Only to find a port: it is free again when the first proxy binds it.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let rig = Rig::new(port).await;
    rig.restarts("reuse_port", async || {
        rig.start(":", Stdio::null(), &["--reuse-port", "yes"])
            .await
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_no_setting_names_is_refused() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap().to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "off"];
    let program = Program::start_after(PASS, OwnedFd::from(socket), &arguments);
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(&at), "{}", ended.stderr);
}

#[tokio::test]
async fn its_manager_is_told_when_it_serves_and_when_it_goes() {
    let rig = Rig::new("127.0.0.1:0".parse().unwrap()).await;
    let path = rig.files.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let hears = || {
        let mut read = [0; 64];
        let length = socket.recv(&mut read).unwrap();
        String::from_utf8(read[..length].to_vec()).unwrap()
    };
    let script = format!("NOTIFY_SOCKET={}; export NOTIFY_SOCKET", path.display());
    let program = rig.start(&script, Stdio::null(), &[]).await;
    assert_eq!(hears(), "READY=1");
    program.signal(Signal::TERM);
    assert_eq!(hears(), "STOPPING=1");
    assert_eq!(program.ended().await.code, Some(0));
}
