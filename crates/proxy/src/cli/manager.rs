//! What whoever manages the process wants to be told (sd_notify(3)): ready, and about to end.
//!
//! It is one datagram, so it is written out here, as in the notify bridge. The crate for it, sd-notify, reads the process's own
//! environment, which no test may touch; a crate of ours for nine lines would be longer than they are.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::diagnostic;
use crate::environment::Environment;

/// It serves.
pub(super) const READY: &str = "READY=1";
/// It drains.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Who is told; nobody, where nobody asked.
#[derive(Debug)]
pub(super) struct Manager(Option<String>);

impl Manager {
    pub(super) fn new(environment: &dyn Environment) -> Self {
        Self(environment.get("NOTIFY_SOCKET"))
    }

    /// Tells it; a manager that cannot be told is a warning.
    pub(super) fn tell(&self, what: &str) {
        let Some(name) = &self.0 else { return };
        if let Err(error) = send(name, what) {
            diagnostic::warn(format_args!(
                "{name} (NOTIFY_SOCKET) cannot be told {what}: {error}"
            ));
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

    #[test]
    fn is_told_by_path_and_by_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify").display().to_string();
        let name = format!("agentnet-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in [(by_path, path), (by_name, format!("@{name}"))] {
            Manager(Some(name)).tell(READY);
            let mut read = [0; 64];
            let length = socket.recv(&mut read).unwrap();
            assert_eq!(read.get(..length), Some(READY.as_bytes()));
        }
    }
}
