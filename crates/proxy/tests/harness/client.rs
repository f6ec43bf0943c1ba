//! A client that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::path::Path;

use agentnet_proxy::stream::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::within;

pub struct Client {
    stream: Stream,
    read: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and fields, without the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn phrase(&self) -> &str {
        self.head
            .lines()
            .next()
            .unwrap()
            .splitn(3, ' ')
            .nth(2)
            .unwrap_or_default()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn reason(&self) -> &str {
        self.field("x-agentnet-reason").unwrap_or("")
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Client {
    pub async fn tcp(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: stream.into(),
            read: Vec::new(),
        }
    }

    /// A client with this address.
    pub async fn from(own: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{own}:0").parse().unwrap()).unwrap();
        let stream = within("a connection", socket.connect(address))
            .await
            .unwrap();
        Self {
            stream: stream.into(),
            read: Vec::new(),
        }
    }

    /// A client whose side takes little before it is read.
    pub async fn narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = within("a connection", socket.connect(address))
            .await
            .unwrap();
        Self {
            stream: stream.into(),
            read: Vec::new(),
        }
    }

    pub async fn unix(path: &Path) -> Self {
        let stream = within("a connection", UnixStream::connect(path))
            .await
            .unwrap();
        Self {
            stream: stream.into(),
            read: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("sending", self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// Sends, and does not mind that the proxy has closed already.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("sending", self.stream.write_all(bytes.as_ref()))
            .await
            .is_ok()
    }

    /// Sends the bytes in two parts, the second once the proxy has read the first; it may close before.
    pub async fn send_in_two(&mut self, bytes: impl AsRef<[u8]>, cut: usize) {
        let (first, second) = bytes.as_ref().split_at(cut);
        self.send(first).await;
        // Each gives the proxy, which shares this thread, what has come and a turn: for the connection,
        // for the task that serves it, and for the bytes.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        self.try_send(second).await;
    }

    /// Ends the sending side.
    pub async fn finish(&mut self) {
        within("the half-close", self.stream.shutdown())
            .await
            .unwrap();
    }

    /// Ends the sending side, unless the proxy has closed already.
    pub async fn finish_if_open(&mut self) {
        within("the half-close", self.stream.shutdown()).await.ok();
    }

    /// Exactly `count` bytes.
    pub async fn read(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(
                self.more().await.unwrap() > 0,
                "ended after {:?}",
                self.seen()
            );
        }
        self.read.drain(..count).collect()
    }

    /// The next byte, if one comes.
    pub async fn byte(&mut self) -> Option<u8> {
        within("a byte or the end", self.stream.read_u8())
            .await
            .ok()
    }

    /// Everything up to a clean end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.unwrap() > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Everything up to the end, and whether that was a reset.
    pub async fn rest_or_reset(&mut self) -> (Vec<u8>, bool) {
        let reset = loop {
            match self.more().await {
                Ok(0) => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        (std::mem::take(&mut self.read), reset)
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    async fn more(&mut self) -> std::io::Result<usize> {
        let mut buffer = vec![0; 16 * 1024];
        let count = within("bytes", self.stream.read(&mut buffer)).await?;
        self.read.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// The head of the next response.
    pub async fn head(&mut self) -> Answer {
        loop {
            if let Some(end) = self
                .read
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head: Vec<u8> = self.read.drain(..end + 4).take(end).collect();
                let head = String::from_utf8(head).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Answer {
                    status,
                    head,
                    body: Vec::new(),
                };
            }
            let count = self.more().await.unwrap();
            assert!(
                count > 0,
                "ended before the head was whole: {:?}",
                self.seen()
            );
        }
    }

    /// The next response with its body, framed by Content-Length, chunks or the end.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length = answer
            .field("content-length")
            .map(|length| length.parse().unwrap());
        answer.body = if let Some(length) = length {
            self.read(length).await
        } else if answer.field("transfer-encoding") == Some("chunked") {
            self.chunks().await
        } else if answer.status == 204 || answer.status == 304 {
            Vec::new()
        } else {
            self.rest().await
        };
        answer
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                return body;
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// One chunk; empty at the end.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.read(1).await);
        }
        let text = std::str::from_utf8(&line).unwrap().trim_end();
        let size = usize::from_str_radix(text, 16).unwrap();
        let mut chunk = self.read(size + 2).await;
        chunk.truncate(size);
        chunk
    }

    /// CONNECT, and its answer; the body too if it is a refusal.
    pub async fn connect(&mut self, target: &str) -> Answer {
        self.send(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        ))
        .await;
        let mut answer = self.head().await;
        if let Some(length) = answer.field("content-length").map(str::to_owned) {
            answer.body = self.read(length.parse().unwrap()).await;
        }
        answer
    }

    /// GET of an absolute http:// URL, and its answer.
    pub async fn get(&mut self, url: &str) -> Answer {
        let host = url
            .strip_prefix("http://")
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        self.send(format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        self.answer().await
    }

    /// GET as from a web server.
    pub async fn get_from(&mut self, host: &str, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        self.answer().await
    }
}
