//! A stand-in for the proxy: it refuses whatever is asked, as the real one words it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    listener: TcpListener,
    serving: Option<JoinHandle<()>>,
}

/// Chooses an answer's head for a request line.
pub type Answer = fn(&str) -> &'static str;

/// What the real proxy says to everything that nobody listed.
pub fn refuse(_: &str) -> &'static str {
    "HTTP/1.1 403 not_listed\r\nX-Agentnet-Reason: not_listed\r\nConnection: close\r\n\r\n"
}

impl Proxy {
    /// Takes over a listener.
    pub fn start(listener: TcpListener, answer: Answer) -> Self {
        let accepting = listener.try_clone().unwrap();
        let serving = std::thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                serve(&stream, answer);
            }
        });
        let serving = Some(serving);
        Self { listener, serving }
    }
}

/// One request, one answer.
fn serve(mut stream: &TcpStream, answer: Answer) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    if reader.read_line(&mut request).is_err() {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        line.clear();
    }
    stream.write_all(answer(&request).as_bytes()).ok();
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // shutdown(2) on a listening socket wakes accept(2) with EINVAL.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).ok();
        if let Some(serving) = self.serving.take() {
            serving.join().ok();
        }
    }
}
