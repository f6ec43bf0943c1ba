//! Parent proxies: an HTTP one and a SOCKS5 one that really connect, and can be told to misbehave.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::World;

/// What a parent does with the next connections.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// Connects.
    Serve,
    /// Sends these bytes once it was asked, and ends.
    Say(&'static [u8]),
    /// Says nothing.
    Silent,
    /// Connects, and sends these bytes in one write with its answer.
    Glue(&'static [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Socks,
}

/// A parent.
pub struct Parent {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    running: Option<oneshot::Sender<()>>,
}

struct Inner {
    kind: Kind,
    world: World,
    credentials: Option<(&'static str, &'static str)>,
    tls: Option<TlsAcceptor>,
    mood: Mutex<Mood>,
    asked: Mutex<Vec<String>>,
    heads: Mutex<Vec<String>>,
}

impl Parent {
    pub async fn http(world: &World) -> Self {
        Self::start(Kind::Http, world, None, None).await
    }

    pub async fn socks(world: &World) -> Self {
        Self::start(Kind::Socks, world, None, None).await
    }

    /// Wants this user and password.
    pub async fn http_with(world: &World, user: &'static str, password: &'static str) -> Self {
        Self::start(Kind::Http, world, Some((user, password)), None).await
    }

    /// Wants this user and password.
    pub async fn socks_with(world: &World, user: &'static str, password: &'static str) -> Self {
        Self::start(Kind::Socks, world, Some((user, password)), None).await
    }

    /// Speaks TLS, with a certificate for `parent.example` and 127.0.0.1 by `tests/tls/ca.pem`.
    pub async fn https(world: &World) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from_pem_file(tls_file("parent.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(tls_file("parent.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(Kind::Http, world, None, Some(acceptor)).await
    }

    async fn start(
        kind: Kind,
        world: &World,
        credentials: Option<(&'static str, &'static str)>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        world.road(&address.to_string(), address);
        let inner = Arc::new(Inner {
            kind,
            world: world.clone(),
            credentials,
            tls,
            mood: Mutex::new(Mood::Serve),
            asked: Mutex::default(),
            heads: Mutex::default(),
        });
        let running = Some(run(listener, Arc::clone(&inner)));
        Self {
            address,
            inner,
            running,
        }
    }

    /// `scheme://address`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    pub fn mood(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    /// What it was asked to connect to, `host:port` each, or the URL of a plain request.
    pub fn asked(&self) -> Vec<String> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// The heads of HTTP requests.
    pub fn heads(&self) -> Vec<String> {
        self.inner.heads.lock().unwrap().clone()
    }

    /// Goes away: what listens is closed before this returns.
    pub async fn down(&mut self) {
        drop(self.running.take());
        super::eventually("the parent's end", || {
            std::net::TcpStream::connect(self.address)
                .is_err()
                .then_some(())
        })
        .await;
    }

    /// Comes back at the same address.
    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.running = Some(run(listener, Arc::clone(&self.inner)));
    }
}

/// A file of `tests/tls`.
pub fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls")
        .join(name)
}

fn run(listener: TcpListener, inner: Arc<Inner>) -> oneshot::Sender<()> {
    let (alive, mut stopped) = oneshot::channel();
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                _ = &mut stopped => return,
                accepted = listener.accept() => accepted.unwrap().0,
            };
            let inner = Arc::clone(&inner);
            tokio::spawn(async move {
                match &inner.tls {
                    None => inner.serve(stream).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => inner.serve(stream).await,
                        Err(_) => None,
                    },
                }
            });
        }
    });
    alive
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

impl Inner {
    /// `None` is the end of a connection that asked for nothing that could be had.
    async fn serve(&self, mut stream: impl Both) -> Option<()> {
        match self.kind {
            Kind::Http => self.http(&mut stream).await,
            Kind::Socks => self.socks(&mut stream).await,
        }
    }

    async fn http(&self, stream: &mut impl Both) -> Option<()> {
        loop {
            let head = head(stream).await?;
            self.heads.lock().unwrap().push(head.clone());
            let line: Vec<&str> = head.lines().next()?.split(' ').collect();
            self.asked.lock().unwrap().push(line[1].to_owned());
            let mood = *self.mood.lock().unwrap();
            if let Some((user, password)) = self.credentials {
                let sent = head
                    .lines()
                    .find_map(|line| line.strip_prefix("proxy-authorization: Basic "));
                let known = match (user, password) {
                    ("me", "hunter2") => "bWU6aHVudGVyMg==",
                    other => panic!("no base64 of {other:?} here"),
                };
                if sent != Some(known) {
                    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                                  Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    continue;
                }
            }
            if line[0] != "CONNECT" {
                return self.plain(stream, line[1], &head).await;
            }
            let ok = b"HTTP/1.1 200 Connection established\r\n\r\n";
            return self.carry(stream, mood, line[1], ok).await;
        }
    }

    /// A plain request, answered with a page that names the URL.
    async fn plain(&self, stream: &mut impl Both, url: &str, first: &str) -> Option<()> {
        let (mut url, mut method) = (url.to_owned(), first.split(' ').next()?.to_owned());
        loop {
            let body = format!("{method} {url}");
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.ok()?;
            let head = head(stream).await?;
            self.heads.lock().unwrap().push(head.clone());
            let mut words = head.split(' ');
            method = words.next()?.to_owned();
            url = words.next()?.to_owned();
            self.asked.lock().unwrap().push(url.clone());
        }
    }

    async fn socks(&self, stream: &mut impl Both) -> Option<()> {
        let methods = bytes(stream, 2).await?;
        let methods = bytes(stream, methods[1].into()).await?;
        let mood = *self.mood.lock().unwrap();
        match self.credentials {
            None => stream.write_all(b"\x05\x00").await.ok()?,
            Some(_) if !methods.contains(&2) => {
                return stream.write_all(b"\x05\xff").await.ok();
            }
            Some((user, password)) => {
                stream.write_all(b"\x05\x02").await.ok()?;
                let length = bytes(stream, 2).await?[1];
                let sent_user = bytes(stream, length.into()).await?;
                let length = bytes(stream, 1).await?[0];
                let sent_password = bytes(stream, length.into()).await?;
                let right = sent_user == user.as_bytes() && sent_password == password.as_bytes();
                stream.write_all(&[1, u8::from(!right)]).await.ok()?;
                if !right {
                    return None;
                }
            }
        }
        let request = bytes(stream, 4).await?;
        let host = match request[3] {
            1 => {
                let four: [u8; 4] = bytes(stream, 4).await?.try_into().ok()?;
                std::net::Ipv4Addr::from(four).to_string()
            }
            4 => {
                let six: [u8; 16] = bytes(stream, 16).await?.try_into().ok()?;
                format!("[{}]", std::net::Ipv6Addr::from(six))
            }
            _ => {
                let length = bytes(stream, 1).await?[0];
                String::from_utf8(bytes(stream, length.into()).await?).ok()?
            }
        };
        let port = bytes(stream, 2).await?;
        let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
        self.asked.lock().unwrap().push(target.clone());
        self.carry(
            stream,
            mood,
            &target,
            b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        )
        .await
    }

    async fn carry(
        &self,
        stream: &mut impl Both,
        mood: Mood,
        target: &str,
        ok: &[u8],
    ) -> Option<()> {
        let first = match mood {
            Mood::Serve => ok.to_vec(),
            Mood::Glue(bytes) => [ok, bytes].concat(),
            Mood::Say(bytes) => {
                stream.write_all(bytes).await.ok()?;
                return stream.shutdown().await.ok();
            }
            Mood::Silent => {
                tokio::io::copy(stream, &mut tokio::io::sink()).await.ok();
                return None;
            }
        };
        let Some(local) = self.world.find(target) else {
            let no: &[u8] = match self.kind {
                Kind::Http => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                Kind::Socks => b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00",
            };
            return stream.write_all(no).await.ok();
        };
        let mut onward = TcpStream::connect(local).await.ok()?;
        stream.write_all(&first).await.ok()?;
        stream.flush().await.ok()?;
        tokio::io::copy_bidirectional(stream, &mut onward)
            .await
            .ok()?;
        Some(())
    }
}

async fn bytes(stream: &mut impl Both, count: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

/// A head without its empty line, read to exactly its end.
async fn head(stream: &mut impl Both) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(bytes(stream, 1).await?);
    }
    head.truncate(head.len() - 4);
    String::from_utf8(head).ok()
}
