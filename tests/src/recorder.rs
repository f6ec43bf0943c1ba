//! A server on loopback that writes down what reached it. It is an origin, an HTTP parent or a SOCKS parent: whatever it
//! is spoken to as. A parent answers in the place of the origin, so no name is ever looked up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wire::find;

/// How long a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A thing that was asked of the recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it came: `http`, or the parent's greeting: `socks5 nobody name:443`, `CONNECT name:443`.
    pub through: String,
    /// The request line.
    pub line: String,
    /// The fields, as they came.
    pub fields: Vec<(String, String)>,
    /// The body, as it came on the wire.
    pub body: String,
    /// Who connected.
    pub peer: SocketAddr,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
}

impl Recorder {
    /// Starts one on a free loopback port.
    pub fn start() -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts one there.
    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let over = Arc::new(AtomicBool::new(false));
        let (records, ended) = (Arc::clone(&seen), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let records = Arc::clone(&records);
                // A client that goes away in the middle is a client's right.
                thread::spawn(move || serve(stream, &records).ok());
            }
        });
        Self {
            address,
            seen,
            over,
        }
    }

    /// What was seen since the last time.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Recorder {
    #[expect(clippy::disallowed_methods, reason = "wakes our own listener")]
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        TcpStream::connect_timeout(&self.address, PATIENCE).ok();
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let peer = stream.peer_addr()?;
    let mut first = [0];
    stream.peek(&mut first)?;
    let mut through = match first {
        [5] => socks5(&mut stream)?,
        [4] => socks4(&mut stream)?,
        _ => "http".to_owned(),
    };
    let mut unread = Vec::new();
    loop {
        let Some(head) = head(&mut stream, &mut unread)? else {
            return Ok(());
        };
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = body(&mut stream, &mut unread, &fields)?;
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let connect = line.starts_with("CONNECT ");
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Seen {
                through: through.clone(),
                line,
                fields,
                body,
                peer,
            });
        if connect && target.starts_with("refused.") {
            stream.write_all(b"HTTP/1.1 407 Parent says no\r\nProxy-Authenticate: Basic realm=\"parent\"\r\nContent-Length: 2\r\n\r\nno")?;
            return Ok(());
        }
        if connect {
            through = format!("CONNECT {target}");
            stream.write_all(b"HTTP/1.1 200 Parent says yes\r\nX-Parent: yes\r\n\r\n")?;
            continue;
        }
        if !answer(&mut stream, &target)? {
            return Ok(());
        }
    }
}

/// Answers by what the path asks for. False: the connection ends.
fn answer(stream: &mut TcpStream, target: &str) -> std::io::Result<bool> {
    let path = target.rsplit('/').next().unwrap_or_default();
    match path {
        "silent" => {
            // Until the other side goes, or the read timeout.
            let mut rest = [0; 64];
            while stream.read(&mut rest)? != 0 {}
        }
        "chunked" => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")?,
        "missing" => stream.write_all(b"HTTP/1.1 404 Not Here\r\nContent-Length: 4\r\nX-Origin: yes\r\n\r\ngone")?,
        "elsewhere" => stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://else.example/\r\nContent-Length: 0\r\n\r\n")?,
        "until-close" => {
            stream.write_all(b"HTTP/1.0 200 OK\r\nX-Origin: yes\r\n\r\nhello")?;
            return Ok(false);
        }
        "hop" => stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nVia: 1.0 before\r\nServer: origin\r\nX-Origin: yes\r\n\r\nhello",
        )?,
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Origin: yes\r\n\r\nhello")?,
    }
    Ok(path != "silent")
}

fn head(stream: &mut TcpStream, unread: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    loop {
        if let Some(end) = find(unread, b"\r\n\r\n") {
            let rest = unread.split_off(end + 4);
            let head = std::mem::replace(unread, rest);
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if !more(stream, unread)? {
            return Ok(None);
        }
    }
}

fn body(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    fields: &[(String, String)],
) -> std::io::Result<String> {
    let value = |wanted: &str| {
        let mut fields = fields.iter();
        fields
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    };
    let end = if value("transfer-encoding").is_some() {
        loop {
            if let Some(end) = find(unread, b"0\r\n\r\n") {
                break end + 5;
            }
            if !more(stream, unread)? {
                break unread.len();
            }
        }
    } else {
        let length = value("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        while unread.len() < length && more(stream, unread)? {}
        length.min(unread.len())
    };
    let body: Vec<u8> = unread.drain(..end).collect();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; 8192];
    let count = stream.read(&mut buffer)?;
    unread.extend_from_slice(&buffer[..count]);
    Ok(count != 0)
}

/// RFC 1928 and 1929, as far as CONNECT goes: takes whatever it is told, and a password where one is offered alone.
fn socks5(stream: &mut TcpStream) -> std::io::Result<String> {
    let [_, count] = array(stream)?;
    let methods = bytes(stream, usize::from(count))?;
    let mut user = "nobody".to_owned();
    if methods.contains(&2) {
        stream.write_all(&[5, 2])?;
        let [_, length] = array(stream)?;
        user = text(stream, length)?;
        let [length] = array(stream)?;
        user = format!("{user}:{}", text(stream, length)?);
        stream.write_all(&[1, 0])?;
    } else {
        stream.write_all(&[5, 0])?;
    }
    let [_, command, _, kind] = array(stream)?;
    let host = match kind {
        1 => Ipv4Addr::from(array::<4>(stream)?).to_string(),
        3 => {
            let [length] = array(stream)?;
            format!("name {}", text(stream, length)?)
        }
        _ => format!("[{}]", std::net::Ipv6Addr::from(array::<16>(stream)?)),
    };
    let port = u16::from_be_bytes(array(stream)?);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("socks5 command {command} {user} {host}:{port}"))
}

/// SOCKS4 and 4a.
fn socks4(stream: &mut TcpStream) -> std::io::Result<String> {
    let [_, command] = array(stream)?;
    let port = u16::from_be_bytes(array(stream)?);
    let address: [u8; 4] = array(stream)?;
    let user = until_nul(stream)?;
    let host = if address[..3] == [0; 3] && address[3] != 0 {
        format!("name {}", until_nul(stream)?)
    } else {
        Ipv4Addr::from(address).to_string()
    };
    stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("socks4 command {command} {user:?} {host}:{port}"))
}

fn until_nul(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    loop {
        match array(stream)? {
            [0] => return Ok(String::from_utf8_lossy(&text).into_owned()),
            [byte] => text.push(byte),
        }
    }
}

fn array<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bytes(stream: &mut TcpStream, count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(stream: &mut TcpStream, length: u8) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(stream, usize::from(length))?).into_owned())
}
