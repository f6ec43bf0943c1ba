//! The unit for systemd's user manager: pure.

use std::fmt;
use std::path::{Path, PathBuf};

use super::MARK;

/// A path that stands in a unit and in a desktop entry and means itself there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word(String);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Word {
    /// Checks a path. Quoting differs between the two files and between systemd's versions, so what
    /// would need it is refused.
    ///
    /// # Errors
    /// One sentence.
    pub(crate) fn of(path: &Path) -> Result<Self, String> {
        let plain = |c: char| !c.is_control() && !"\"'`\\$%".contains(c);
        match path.to_str() {
            Some(text) if path.is_absolute() && text.chars().all(plain) => Ok(Self(text.into())),
            _ => Err(format!(
                "{} cannot stand in a unit: it must be an absolute path without quotes, \\, $ and %",
                path.display()
            )),
        }
    }
}

/// What the bridge needs besides reading: everything else is closed to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Options after `watch`.
    pub(crate) options: Vec<(&'static str, Word)>,
    /// Where it writes.
    pub(crate) writes: Vec<Word>,
    /// `NAME=value` of the environment that the person installs from.
    pub(crate) environment: Vec<String>,
    /// A webhook, metrics on a port, or an engine that is not behind a socket.
    pub(crate) network: bool,
    /// Programs of the person's own, of which nothing is known.
    pub(crate) programs: bool,
}

/// The unit.
pub(crate) fn text(program: &Word, needs: &Needs) -> String {
    let mut lines = vec![format!(
        "# {MARK}; `agentnet-notify install --uninstall` removes it.\n\
         # Of your own: systemctl --user edit {}",
        super::NAME
    )];
    lines.push(HEAD.to_owned());
    let mut start = format!("ExecStart=\"{program}\" watch");
    for (option, value) in &needs.options {
        start.push_str(&format!(" {option} \"{value}\""));
    }
    lines.push(start);
    let variables = needs.environment.iter();
    lines.extend(variables.map(|variable| format!("Environment=\"{variable}\"")));
    lines.push(SERVICE.to_owned());
    let places = needs.writes.iter();
    lines.extend(places.map(|place| format!("ReadWritePaths=\"-{place}\"")));
    lines.push(
        if needs.network || needs.programs {
            NETWORK
        } else {
            NO_NETWORK
        }
        .to_owned(),
    );
    if !needs.programs {
        lines.push(NO_PROGRAMS.to_owned());
    }
    lines.push(INSTALL.to_owned());
    lines.join("\n")
}

/// What is written of an environment variable, if it can stand there.
pub(crate) fn variable(name: &str, value: &str) -> Option<String> {
    let plain = |c: char| !c.is_control() && !"\"'`\\$%".contains(c);
    (!value.is_empty() && value.chars().all(plain)).then(|| format!("{name}={value}"))
}

/// The directory that a file is written in.
pub(crate) fn directory(file: &Path) -> PathBuf {
    file.parent().map_or_else(PathBuf::new, Path::to_owned)
}

const HEAD: &str = "
[Unit]
Description=agentnet: what the agents of your tasks have to say
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main";

const SERVICE: &str = "Restart=on-failure
RestartSec=2
# The configuration is wrong, or another bridge runs: a restart helps neither.
RestartPreventExitStatus=2 3
WatchdogSec=60
TimeoutStopSec=10
KillMode=mixed

# The bridge itself stays below 16M; `agentnet` and programs of yours run beside it.
MemoryMax=256M
TasksMax=128
LimitCORE=0
UMask=0077

# It reads spools, talks to the session bus and the engine's socket, and writes its own state.
# A user's manager can only do this in a user namespace. Not here: RestrictSUIDSGID=, which takes openat2(2)
# away, and what a user's manager cannot mount (ProtectProc=, ProtectKernelTunables=, ProtectKernelLogs=).
PrivateUsers=yes
ProtectSystem=strict
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelModules=yes
NoNewPrivileges=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
KeyringMode=private";

const NETWORK: &str = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK";

const NO_NETWORK: &str = "PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX";

const NO_PROGRAMS: &str = "MemoryDenyWriteExecute=yes
SystemCallFilter=~@resources";

const INSTALL: &str = "
[Install]
WantedBy=default.target
";

#[cfg(test)]
mod tests {
    use super::*;

    fn word(path: &str) -> Word {
        Word::of(Path::new(path)).unwrap()
    }

    #[test]
    fn a_path_means_itself_or_is_refused() {
        assert_eq!(word("/home/a b/x-1_2").to_string(), "/home/a b/x-1_2");
        for odd in [
            "x", "", "/a\"b", "/a\\b", "/a\nb", "/a%h", "/a$b", "/a'b", "/a`b",
        ] {
            assert!(Word::of(Path::new(odd)).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn the_network_is_there_only_for_who_needs_it() {
        let closed = text(&word("/b/agentnet-notify"), &Needs::default());
        assert!(closed.contains("PrivateNetwork=yes"));
        assert!(closed.contains("MemoryDenyWriteExecute=yes"));
        for (network, programs) in [(true, false), (false, true)] {
            let needs = Needs {
                network,
                programs,
                ..Needs::default()
            };
            let open = text(&word("/b/agentnet-notify"), &needs);
            assert!(!open.contains("PrivateNetwork"), "{open}");
            assert_eq!(!programs, open.contains("MemoryDenyWriteExecute"));
        }
    }

    /// Seen with systemd 252: the one makes openat2(2) "not implemented", and no spool is read; with the
    /// others a user's manager does not start the service at all (226/NAMESPACE).
    #[test]
    fn nothing_is_asked_for_that_a_users_manager_or_the_bridge_cannot_do() {
        let unit = text(&word("/b/agentnet-notify"), &Needs::default());
        for setting in [
            "RestrictSUIDSGID",
            "ProtectProc",
            "ProcSubset",
            "ProtectKernelTunables",
            "ProtectKernelLogs",
        ] {
            let set = unit.lines().any(|line| line.starts_with(setting));
            assert!(!set, "{setting}");
        }
    }

    #[test]
    fn the_unit_names_the_program_its_arguments_and_where_it_writes() {
        let needs = Needs {
            options: vec![("--config", word("/conf/notify.toml"))],
            writes: vec![word("/home/a b/state")],
            environment: vec![variable("DOCKER_HOST", "unix:///run/d.sock").unwrap()],
            ..Needs::default()
        };
        let unit = text(&word("/opt/my tools/agentnet-notify"), &needs);
        for line in [
            "ExecStart=\"/opt/my tools/agentnet-notify\" watch --config \"/conf/notify.toml\"\n",
            "ReadWritePaths=\"-/home/a b/state\"\n",
            "Environment=\"DOCKER_HOST=unix:///run/d.sock\"\n",
        ] {
            assert!(unit.contains(line), "{unit}");
        }
        assert_eq!(variable("A", "x\ny"), None);
    }
}
