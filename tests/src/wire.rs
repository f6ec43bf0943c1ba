//! A client that sends exactly the bytes it is given, and takes an answer apart.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long one answer may take, unless a test says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const LONGEST: usize = 1 << 20;

/// One answer, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `HTTP/1.1`; empty where no head came.
    pub version: String,
    /// The status, 0 where no head came.
    pub status: u16,
    /// The words after the status.
    pub phrase: String,
    /// Every field in its order, the name in lower case.
    pub fields: Vec<(String, String)>,
    /// The body, decoded where it was chunked.
    pub body: String,
    /// How it ended, where it did not end as it promised: `reset`, `cut short`, `silence`.
    pub ended: &'static str,
}

impl Answer {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects.
    #[expect(clippy::disallowed_methods, reason = "a test's client on loopback")]
    pub fn to(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Waits this long for every byte from now on.
    pub fn patience(&mut self, patience: Duration) {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a timeout");
    }

    /// Sends bytes. A peer that has closed already is seen when the answer is read.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// One answer to `method`. After the head of a tunnel that was opened, the stream stands at the tunnel's first byte.
    pub fn answer(&mut self, method: &str) -> Answer {
        let mut answer = Answer::default();
        let head = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let rest = self.unread.split_off(end + 4);
                break std::mem::replace(&mut self.unread, rest);
            }
            if let Err(ended) = self.more() {
                answer.ended = if ended == "end" { "cut short" } else { ended };
                answer.body = String::from_utf8_lossy(&self.unread).into_owned();
                return answer;
            }
        };
        read_head(&String::from_utf8_lossy(&head), &mut answer);
        let empty = (method == "CONNECT" && answer.status / 100 == 2)
            || method == "HEAD"
            || answer.status == 304;
        if empty {
            return answer;
        }
        if answer
            .field("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            self.chunks(&mut answer);
        } else {
            let length = answer
                .field("content-length")
                .and_then(|length| length.parse().ok());
            self.plain(&mut answer, length);
        }
        answer
    }

    /// What comes until the end of the stream; and how it ended.
    pub fn rest(&mut self) -> (String, &'static str) {
        loop {
            if let Err(ended) = self.more() {
                return (String::from_utf8_lossy(&self.unread).into_owned(), ended);
            }
        }
    }

    fn plain(&mut self, answer: &mut Answer, length: Option<usize>) {
        while length.is_none_or(|length| self.unread.len() < length) {
            if let Err(ended) = self.more() {
                let cut = if ended == "end" { "cut short" } else { ended };
                answer.ended = if ended == "end" && length.is_none() {
                    ""
                } else {
                    cut
                };
                break;
            }
        }
        let end = length.unwrap_or(usize::MAX).min(self.unread.len());
        let body: Vec<u8> = self.unread.drain(..end).collect();
        answer.body = String::from_utf8_lossy(&body).into_owned();
    }

    fn chunks(&mut self, answer: &mut Answer) {
        let mut body = Vec::new();
        loop {
            let Some(end) = find(&self.unread, b"\r\n") else {
                if let Err(ended) = self.more() {
                    answer.ended = if ended == "end" { "cut short" } else { ended };
                    break;
                }
                continue;
            };
            let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
            let size = line
                .split(';')
                .next()
                .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
            let Some(size) = size else {
                answer.ended = "a bad chunk";
                break;
            };
            if self.unread.len() < end + 2 + size + 2 {
                if let Err(ended) = self.more() {
                    answer.ended = if ended == "end" { "cut short" } else { ended };
                    break;
                }
                continue;
            }
            body.extend_from_slice(&self.unread[end + 2..end + 2 + size]);
            self.unread.drain(..end + 2 + size + 2);
            if size == 0 {
                break;
            }
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
    }

    fn more(&mut self) -> Result<(), &'static str> {
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err("end"),
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                assert!(
                    self.unread.len() <= LONGEST,
                    "an answer of more than {LONGEST} bytes"
                );
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                Err("silence")
            }
            Err(_) => Err("reset"),
        }
    }
}

fn read_head(head: &str, answer: &mut Answer) {
    let mut lines = head.trim_end().split("\r\n");
    let mut status = lines.next().unwrap_or_default().splitn(3, ' ');
    answer.version = status.next().unwrap_or_default().to_owned();
    answer.status = status
        .next()
        .and_then(|status| status.parse().ok())
        .unwrap_or_default();
    answer.phrase = status.next().unwrap_or_default().to_owned();
    answer.fields = lines.filter_map(field).collect();
}

/// One line of a head: the name in lower case, and the value.
pub fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// Where `needle` begins.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}
