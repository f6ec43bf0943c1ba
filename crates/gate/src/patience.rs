//! Waiting for the proxy: what the container runs should find its way out open, in whatever order
//! an engine starts containers.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::conversation::{Ask, ask};

/// How long the proxy may take to come up.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);
/// Between two questions. A refused connection costs microseconds.
const PAUSE: Duration = Duration::from_millis(2);
/// For one question.
const WINDOW: Duration = Duration::from_secs(1);

/// Whether something at the proxy's address speaks HTTP before `longest` is over. `OPTIONS *` is
/// answered by the proxy itself and leaves no trace in its log. Behind a relay a connection alone
/// would prove nothing: the relay accepts before the proxy is there.
pub(crate) fn proxy_answers(proxy: SocketAddr, longest: Duration) -> bool {
    let deadline = Instant::now() + longest;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if ask(proxy, Ask::Presence, left.min(WINDOW)).is_ok() {
            return true;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_proxy_that_comes_late_is_waited_for() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (begun, has_begun) = std::sync::mpsc::channel();
        let proxy = thread::spawn(move || {
            has_begun.recv().unwrap();
            let listener = TcpListener::bind(address).unwrap();
            // The first one is a relay's: accepted, and closed without a word.
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 512];
            let length = stream.read(&mut head).unwrap();
            assert!(head[..length].starts_with(b"OPTIONS * HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        });
        assert!(
            ask(address, Ask::Presence, WINDOW).is_err(),
            "not there yet"
        );
        begun.send(()).unwrap();
        assert!(proxy_answers(address, LONGEST));
        proxy.join().unwrap();
    }

    #[test]
    fn a_proxy_that_never_comes_is_given_up_on() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        assert!(!proxy_answers(address, Duration::from_millis(20)));
    }
}
