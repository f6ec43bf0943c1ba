//! The log in the machine's own: datagrams to the socket of a syslog daemon (RFC 3164).

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where syslog daemons listen.
pub const SOCKET: &str = "/dev/log";

/// A connection to a syslog daemon. It may be restarted while this lives.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Syslog {
    /// Finds the daemon at `path`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A daemon that does not read must not take the thread that writes with it.
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        Ok(Self {
            path: path.to_owned(),
            socket,
        })
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        match self.socket.send(line) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(_) => {
                *self = Self::open(&self.path)?;
                self.socket.send(line).map(drop)
            }
        }
    }
}

impl Write for Syslog {
    /// Takes one line, which is one datagram, without its end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        if !line.is_empty() {
            self.send(line)?;
        }
        Ok(bytes.len().min(line.len() + 1))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(daemon: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let count = daemon.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[test]
    fn sends_a_datagram_a_line_and_finds_a_daemon_that_was_restarted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert!(Syslog::open(&path).is_err(), "nobody listens");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut log = Syslog::open(&path).unwrap();
        log.write_all(b"<30>one\n<30>two\n").unwrap();
        assert_eq!(
            (heard(&daemon), heard(&daemon)),
            ("<30>one".to_owned(), "<30>two".to_owned())
        );
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        assert!(log.write_all(b"<30>lost\n").is_err());
        let daemon = UnixDatagram::bind(&path).unwrap();
        log.write_all(b"<30>three\n").unwrap();
        assert_eq!(heard(&daemon), "<30>three");
    }
}
