//! Servers that the proxy talks to.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::within;

/// A listening server.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection it came over, from 0.
    pub connection: usize,
    /// Request line and fields, without the empty line.
    pub head: String,
    /// The body as sent, chunk marks included.
    pub body: String,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        let named = |line: &'_ str| {
            line.split_once(": ")
                .is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        let lines = self.head.lines().skip(1).filter(|line| named(line));
        lines.map(|line| line.split_once(": ").unwrap().1).collect()
    }
}

impl Origin {
    /// Runs `serve` for each connection.
    pub async fn serving<F, W>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self {
            address,
            seen: Arc::default(),
        }
    }

    /// Sends back what it gets, and its end.
    pub async fn echo() -> Self {
        Self::serving(|mut stream| async move {
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await.ok();
            writer.shutdown().await.ok();
        })
        .await
    }

    /// Says nothing; all that its first connection sent until its end, and whether that was a reset.
    pub async fn listening() -> (Self, tokio::sync::oneshot::Receiver<(Vec<u8>, bool)>) {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Mutex::new(Some(tell));
        let origin = Self::serving(move |mut stream| {
            let tell = tell.lock().unwrap().take();
            async move {
                let mut bytes = Vec::new();
                let ended = stream.read_to_end(&mut bytes).await;
                // Whoever asked may have gone.
                tell.map(|tell| tell.send((bytes, ended.is_err())));
            }
        });
        (origin.await, told)
    }

    /// Says `words` at once and then nothing until the other side ends.
    pub async fn saying(words: &'static str) -> Self {
        Self::serving(move |mut stream| async move {
            stream.write_all(words.as_bytes()).await.ok();
            tokio::io::copy(&mut stream, &mut tokio::io::sink())
                .await
                .ok();
        })
        .await
    }

    /// Answers the first request with a chunk, and with the last one when told to.
    pub async fn saying_twice(wait: tokio::sync::oneshot::Receiver<()>) -> Self {
        let wait = Mutex::new(Some(wait));
        Self::serving(move |mut stream| {
            let wait = wait.lock().unwrap().take();
            async move {
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
                stream.write_all(first.as_bytes()).await.unwrap();
                wait.unwrap().await.unwrap();
                stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.ok();
            }
        })
        .await
    }

    /// Answers each request with the same bytes and keeps the connection.
    pub async fn http(response: &'static str) -> Self {
        Self::http_with(move |_| response.to_owned()).await
    }

    /// A small page at every path.
    pub async fn page() -> Self {
        Self::http("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await
    }

    /// Answers each request with what `respond` makes of it.
    pub async fn http_with<R>(respond: R) -> Self
    where
        R: Fn(&Seen) -> String + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (noted, respond) = (Arc::clone(&seen), Arc::new(respond));
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let (noted, respond) = (Arc::clone(&noted), Arc::clone(&respond));
                let number = connection;
                connection += 1;
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    while let Some(request) = request(&mut stream, &mut read, number).await {
                        let response = respond(&request);
                        noted.lock().unwrap().push(request);
                        if stream.write_all(response.as_bytes()).await.is_err() {
                            return;
                        }
                        if response.contains("Connection: close") {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// What arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads one request; `None` when the connection ends before it is whole.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    let head = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = read.drain(..end + 4).take(end).collect();
            break String::from_utf8(head).unwrap();
        }
        more(stream, read).await?;
    };
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let body = if let Some(length) = length {
        let length: usize = length.parse().unwrap();
        while read.len() < length {
            more(stream, read).await?;
        }
        read.drain(..length).collect()
    } else if lower.contains("transfer-encoding: chunked") {
        while !read.ends_with(b"0\r\n\r\n") {
            more(stream, read).await?;
        }
        std::mem::take(read)
    } else {
        Vec::new()
    };
    Some(Seen {
        connection,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    let mut buffer = vec![0; 16 * 1024];
    match within("a request", stream.read(&mut buffer)).await {
        Ok(0) | Err(_) => None,
        Ok(count) => {
            read.extend_from_slice(&buffer[..count]);
            Some(())
        }
    }
}
