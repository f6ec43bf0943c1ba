//! Which programs of a container do not know the proxy: processes without its variables, and
//! settings of tools that win over them.
//!
//! For `agentnet doctor TASK`. It only looks, and nothing it sees is trusted: whoever runs in the
//! container wrote it, so every count, size and text has a bound, and texts are safe to print.

mod process;
mod settings;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use agentnet_policy::event::Text;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// Bytes of one file that are read.
const LONGEST_FILE: u64 = 64 * 1024;
/// Characters of a value that are shown.
const LONGEST_VALUE: usize = 120;
/// Findings of a kind.
const MOST: usize = 64;

/// What the container's programs know of the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Programs that run, those of one name and one state together; by name.
    pub programs: Vec<Program>,
    /// Settings of tools that win over the variables.
    pub overrides: Vec<Override>,
    /// There was more than is told.
    #[serde(default)]
    pub more: bool,
}

/// Processes of one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Program {
    /// The kernel's short name for it.
    pub name: Text,
    /// How many there are.
    pub count: u32,
    /// Variables of the proxy's that it was started without, or with another value.
    pub without: Vec<Text>,
    /// Its `no_proxy`, where it is another than the container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<Text>,
}

/// A line in a tool's settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Override {
    /// Whose settings: `npm`, `pip` …
    pub tool: Text,
    /// The file, as its user writes it.
    pub file: Text,
    /// The line, from 1.
    pub line: u32,
    /// The setting's name.
    pub setting: Text,
    /// Its value, cut, without credentials.
    pub value: Text,
}

/// Where to look.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The processes.
    pub(crate) proc: PathBuf,
    /// Files of the whole machine.
    pub(crate) etc: PathBuf,
    /// Files of the user.
    pub(crate) home: Option<PathBuf>,
    /// Files of the project.
    pub(crate) work: Option<PathBuf>,
}

impl Places {
    /// Of this process.
    pub(crate) fn own() -> Self {
        Self {
            proc: "/proc".into(),
            etc: "/etc".into(),
            home: std::env::var_os("HOME").map(PathBuf::from),
            work: std::env::current_dir().ok(),
        }
    }
}

/// Looks. `variable` is the container's own environment: what everything should have been started
/// with.
pub(crate) fn look(places: &Places, variable: impl Fn(&str) -> Option<String>) -> Clients {
    let (mut programs, more_programs) = process::programs(&places.proc, &variable);
    let (mut overrides, more_overrides) = settings::overrides(places, &variable);
    programs.sort();
    overrides.sort();
    let more = more_programs || more_overrides || programs.len() > MOST || overrides.len() > MOST;
    programs.truncate(MOST);
    overrides.truncate(MOST);
    Clients {
        programs,
        overrides,
        more,
    }
}

/// The beginning of a regular file; neither a pipe nor a device is waited for.
fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).ok()?;
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The names in a directory, in the order it has them, `most` at most.
fn names(directory: &Path, most: usize) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).take(most)
}

/// A value as it is shown: cut, and without what stands before an `@`.
fn shown(value: &str) -> Text {
    let value = value.trim();
    let safe = match (value.find("://"), value.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let (scheme, host) = (value.get(..scheme + 3), value.get(at + 1..));
            format!(
                "{}…@{}",
                scheme.unwrap_or_default(),
                host.unwrap_or_default()
            )
        }
        (None, Some(at)) => format!("…@{}", value.get(at + 1..).unwrap_or_default()),
        _ => value.to_owned(),
    };
    let mut cut: String = safe.chars().take(LONGEST_VALUE).collect();
    if cut.len() < safe.len() {
        cut.push('…');
    }
    Text::new(&cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_without_credentials_and_cut() {
        for (value, expected) in [
            (
                " http://me:secret@proxy.corp:8080 ",
                "http://…@proxy.corp:8080",
            ),
            ("me:secret@proxy.corp:8080", "…@proxy.corp:8080"),
            ("\u{1b}[2J\u{202e}x", "\u{fffd}[2J\u{fffd}x"),
            ("", ""),
        ] {
            assert_eq!(shown(value).as_str(), expected, "{value:?}");
        }
        assert!(shown(&"ü".repeat(5_000)).as_str().chars().count() <= LONGEST_VALUE + 1);
    }

    #[test]
    fn a_pipe_and_a_directory_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        );
        made.unwrap();
        assert_eq!(read(&pipe), None);
        assert_eq!(read(dir.path()), None);
        let long = dir.path().join("long");
        fs::write(&long, vec![b'x'; 100_000]).unwrap();
        assert_eq!(read(&long).unwrap().len(), 65_536);
    }
}
