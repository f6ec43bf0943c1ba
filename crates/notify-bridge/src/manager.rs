//! What a service manager wants to be told (sd_notify(3)): ready, alive, about to end.
//!
//! One datagram each, written out here as in the proxy. The crate for it, sd-notify, reads the process's own environment, which
//! no test may touch, and its replacement is these nine lines; a crate of ours for them would be longer.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// It watches.
pub(crate) const READY: &str = "READY=1";
/// It is alive.
const ALIVE: &str = "WATCHDOG=1";
/// It ends.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Shorter would be a mistake of somebody's, and busy work of ours.
const SHORTEST: Duration = Duration::from_millis(100);

/// Who is told; nobody, where nobody asked.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    socket: Option<String>,
    every: Option<Duration>,
}

impl Manager {
    /// The one that `NOTIFY_SOCKET` and `WATCHDOG_USEC` speak of, out of an environment.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let limit = variable("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        Self {
            socket: variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            // Twice in the time that it waits.
            every: limit.map(|micros| (Duration::from_micros(micros) / 2).max(SHORTEST)),
        }
    }

    /// Tells it. A manager that does not listen is told no differently a second time.
    pub(crate) fn tell(&self, what: &str) {
        if let Some(name) = &self.socket {
            drop(send(name, what));
        }
    }

    /// Says that the program is alive, as long as the future is polled: on the thread of the bridge,
    /// so that a bridge that hangs is started again.
    pub(crate) async fn keep_telling(&self) {
        let (Some(every), Some(_)) = (self.every, &self.socket) else {
            return std::future::pending().await;
        };
        loop {
            self.tell(ALIVE);
            tokio::time::sleep(every).await;
        }
    }
}

fn send(name: &str, what: &str) -> std::io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(what.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(socket: &str, limit: &str) -> Manager {
        let variables = [("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", limit)];
        Manager::new(|asked| {
            let mut all = variables.iter();
            all.find(|(name, _)| *name == asked)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn who_asked_is_told_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify").display().to_string();
        let name = format!("agentnet-notify-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in [(by_path, path), (by_name, format!("@{name}"))] {
            manager(&name, "").tell(READY);
            assert_eq!(heard(&socket), READY);
        }
        manager("", "").tell(READY);
        manager("/nowhere/at/all", "").tell(READY);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_that_we_live_twice_in_the_time_that_it_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify").display().to_string();
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = manager(&path, "2000000");
        let life = tokio::time::timeout(Duration::from_millis(3500), manager.keep_telling());
        life.await.unwrap_err();
        socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 64];
        let times = std::iter::from_fn(|| socket.recv(&mut bytes).ok()).count();
        assert_eq!(times, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_where_nobody_asked() {
        for manager in [
            manager("", "2000000"),
            manager("/x", ""),
            manager("/x", "soon"),
        ] {
            let life = tokio::time::timeout(Duration::from_secs(60), manager.keep_telling());
            life.await.unwrap_err();
        }
    }
}
