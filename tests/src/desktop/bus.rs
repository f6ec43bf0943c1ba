//! A session bus of its own.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use fs_err as fs;

use super::{PATIENCE, Part, program};
use crate::wait::until;

/// A `dbus-daemon`, killed when this is dropped. It starts nobody: a name that nobody has stays nobody's.
#[derive(Debug)]
pub(super) struct Bus(#[expect(dead_code, reason = "held until it is dropped")] Part);

impl Bus {
    pub(super) fn start(root: &Path, dir: &Path) -> Self {
        let socket = dir.join("bus");
        fs::remove_file(&socket).ok();
        let config = dir.join("bus.conf");
        fs::write(&config, configuration(&socket)).unwrap();
        let child = program(root, "dbus-daemon", dir)
            .args(["--nofork", "--nosyslog", "--config-file"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon");
        let bus = Self(Part(child));
        until("the session bus", PATIENCE, || {
            UnixStream::connect(&socket).ok()
        });
        bus
    }
}

fn configuration(socket: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
        socket.display()
    )
}
