//! What a command is given beside its words: secrets from a file, so that no engine shows them, and
//! links to where a login is kept.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A file of secrets has at most this many bytes: what the kernel takes as an environment is not much
/// more.
const LARGEST: u64 = 1 << 20;

/// A link below the home directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: PathBuf,
    pub(crate) target: PathBuf,
}

/// The variables of a file. An absent file has none: it was withdrawn.
pub(crate) fn secrets(path: &Path) -> Result<Vec<(OsString, OsString)>, String> {
    let failed = |why: String| format!("cannot read the secrets in {}: {why}", path.display());
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e.to_string())),
    };
    let mut text = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut text)
        .map_err(|e| failed(e.to_string()))?;
    if text.len() as u64 > LARGEST {
        return Err(failed(format!("it is larger than {LARGEST} bytes")));
    }
    let entries = text.split(|b| *b == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let equals = entry.iter().position(|b| *b == b'=');
            let (name, value) = equals
                .filter(|at| *at > 0)
                .and_then(|at| entry.split_at_checked(at))
                // Never the entry itself in a message.
                .ok_or_else(|| failed("an entry has no name".to_owned()))?;
            let value = value.get(1..).unwrap_or_default();
            Ok((
                OsString::from_vec(name.to_vec()),
                OsString::from_vec(value.to_vec()),
            ))
        })
        .collect()
}

/// Makes a link below `home`, with the directories above it. What is there already stays.
pub(crate) fn link(home: &Path, link: &Link) -> io::Result<()> {
    let place = home.join(&link.name);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    match symlink(&link.target, &place) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A directory of this test's own, which goes with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("gate-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn every_entry_is_a_variable_whatever_its_value_holds() {
        let scratch = Scratch::new("secrets");
        let path = scratch.0.join("env");
        assert_eq!(secrets(&path), Ok(Vec::new()));
        fs::write(&path, b"A=1\0B=x=y\nz\0C=\0").unwrap();
        let pairs = [("A", "1"), ("B", "x=y\nz"), ("C", "")];
        let pairs = pairs.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        assert_eq!(secrets(&path).unwrap(), pairs);
    }

    #[test]
    fn a_broken_file_is_said_without_what_it_holds() {
        let scratch = Scratch::new("broken");
        let path = scratch.0.join("env");
        for bad in [&b"hunter2\0"[..], b"=hunter2\0"] {
            fs::write(&path, bad).unwrap();
            let why = secrets(&path).unwrap_err();
            assert!(why.contains("no name") && !why.contains("hunter2"), "{why}");
        }
        fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
        assert!(secrets(&path).unwrap_err().contains("larger"));
    }

    #[test]
    fn a_link_leaves_what_is_there() {
        let scratch = Scratch::new("link");
        let one = Link {
            name: ".codex/auth.json".into(),
            target: "/agentnet/login/auth.json".into(),
        };
        link(&scratch.0, &one).unwrap();
        let place = scratch.0.join(&one.name);
        assert_eq!(fs::read_link(&place).unwrap(), one.target);
        fs::remove_file(&place).unwrap();
        fs::write(&place, "own").unwrap();
        link(&scratch.0, &one).unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "own");
    }
}
