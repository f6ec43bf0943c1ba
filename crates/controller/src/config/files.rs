//! Files that the settings name: read from the user's checkout, never from a task's tree.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::{Config, check};
use crate::compose;
use crate::error::{Error, Result};
use crate::spec::{Profile, digest};

/// A compose file of a hundred services has a tenth of this.
const MOST_COMPOSE: u64 = 1 << 20;
/// The engine's own profile has 14 KiB.
const MOST_PROFILE: u64 = 256 << 10;
/// The keys of a profile that only say which calls there are. Not among them is `listenerPath`: a socket on the host.
const PROFILE_KEYS: [&str; 6] = [
    "defaultAction",
    "defaultErrnoRet",
    "archMap",
    "architectures",
    "syscalls",
    "flags",
];
/// What a profile may do with a call that it does not name.
const REFUSALS: [&str; 5] = [
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
];

impl Config {
    /// Reads the compose file and the system call filters, and checks what came together. `root`: the checkout;
    /// `compose`: a compose file that was named on the command line.
    pub fn read_files(&mut self, root: Option<&Path>, compose: Option<&Path>) -> Result<()> {
        if let Some(file) = self.compose_file(root, compose)? {
            let text = read(&file, MOST_COMPOSE)?;
            let found = compose::import(&file, &text, &self.compose)?;
            for (name, base) in found {
                let mine = self.services.remove(&name).unwrap_or_default();
                self.services.insert(name, mine.over(base));
            }
        }
        for (name, service) in &mut self.services {
            if let Some(path) = &service.seccomp {
                let key = format!("[services.{name}] seccomp");
                service.profile = Some(profile(&key, root, path)?);
            }
        }
        check::whole(self).map_err(Error::Config)
    }

    /// Where the compose file is.
    fn compose_file(&self, root: Option<&Path>, named: Option<&Path>) -> Result<Option<PathBuf>> {
        match (named, &self.compose.file) {
            (Some(named), _) => Ok(Some(named.to_owned())),
            (None, Some(path)) => below("[compose] file", root, path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The files that the settings name, where they would be: an agent must not reach them.
    #[must_use]
    pub fn named_files(&self, root: &Path, compose: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
        let compose =
            compose.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
        let compose = compose.or_else(|| self.compose.file.as_ref().map(|file| root.join(file)));
        let profiles = self.services.values().filter_map(|s| s.seccomp.as_ref());
        compose
            .map(|file| ("the compose file", file))
            .into_iter()
            .chain(profiles.map(|file| ("a system call filter", root.join(file))))
            .collect()
    }
}

/// A path below the checkout, whatever links are on it.
fn below(key: &str, root: Option<&Path>, path: &Path) -> Result<PathBuf> {
    let wrong = |why: &str| Error::Config(format!("{key} = {:?} {why}", path.display()));
    let plain = path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !plain {
        return Err(wrong("leaves the checkout; name a file below it"));
    }
    let root = root.ok_or_else(|| wrong("needs a checkout, or --config, to be relative to"))?;
    let real = fs_err::canonicalize(root.join(path))
        .map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    let root = fs_err::canonicalize(root).map_err(|e| Error::Config(e.to_string()))?;
    if !real.starts_with(&root) {
        return Err(wrong("leads out of the checkout; name a file below it"));
    }
    Ok(real)
}

/// A small regular file, whole.
fn read(path: &Path, most: u64) -> Result<String> {
    let wrong = |why: String| Error::Config(format!("{} {why}", path.display()));
    let file = fs_err::File::open(path).map_err(|e| Error::Config(e.to_string()))?;
    let meta = file.metadata().map_err(|e| Error::Config(e.to_string()))?;
    if !meta.is_file() {
        return Err(wrong("is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::Config(e.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(wrong(format!("has more than {} KiB", most >> 10)));
    }
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".into()))
}

/// A profile that refuses what it does not name.
fn profile(key: &str, root: Option<&Path>, path: &Path) -> Result<Profile> {
    let file = below(key, root, path)?;
    let text = read(&file, MOST_PROFILE)?;
    let wrong = |why: &str| Error::Config(format!("{key}: {} {why}", file.display()));
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| wrong(&format!("is not JSON: {e}")))?;
    let Some(object) = document.as_object() else {
        return Err(wrong("is not a seccomp profile: it is no JSON object"));
    };
    if let Some(other) = object.keys().find(|k| !PROFILE_KEYS.contains(&k.as_str())) {
        return Err(wrong(&format!(
            "has {other:?}, which a profile here may not have; take it out"
        )));
    }
    let action = object
        .get("defaultAction")
        .and_then(serde_json::Value::as_str);
    if !action.is_some_and(|action| REFUSALS.contains(&action)) {
        return Err(wrong(
            "must refuse what it does not name (\"defaultAction\": \"SCMP_ACT_ERRNO\"): begin with the \
             engine's default profile and add the calls that the service needs",
        ));
    }
    if !object
        .get("syscalls")
        .is_some_and(serde_json::Value::is_array)
    {
        return Err(wrong("names no system calls (\"syscalls\": […])"));
    }
    Ok(Profile {
        file: path.to_owned(),
        digest: digest(&text),
        text: text.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#;

    fn checkout(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn service(seccomp: &str) -> Result<Config> {
        let text = format!("[services.tb]\nimage = \"x\"\nseccomp = \"{seccomp}\"\n");
        Config::parse(Path::new("agentnet.toml"), &text)
    }

    fn problem(root: &Path, seccomp: &str) -> String {
        let read = service(seccomp).and_then(|mut config| config.read_files(Some(root), None));
        read.unwrap_err().to_string()
    }

    #[test]
    fn a_filter_is_read_from_the_checkout() {
        let dir = checkout(&[("uring.json", PLAIN)]);
        let mut config = service("uring.json").unwrap();
        config.read_files(Some(dir.path()), None).unwrap();
        let profile = config
            .services
            .values()
            .next()
            .unwrap()
            .profile
            .clone()
            .unwrap();
        assert_eq!(&*profile.text, PLAIN);
        assert_eq!(profile.digest, digest(PLAIN));
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_what_to_do() {
        let open = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#;
        let listens = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[],"listenerPath":"/s"}"#;
        let empty = r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#;
        let cases = [
            (open, "must refuse what it does not name"),
            ("{}", "must refuse what it does not name"),
            (listens, "has \"listenerPath\""),
            (empty, "names no system calls"),
            ("unconfined", "is not JSON"),
            ("[]", "no JSON object"),
        ];
        for (text, expected) in cases {
            let dir = checkout(&[("p.json", text)]);
            let problem = problem(dir.path(), "p.json");
            assert!(problem.contains(expected), "{text}: {problem}");
            assert!(problem.starts_with("[services.tb] seccomp"), "{problem}");
        }
        let dir = checkout(&[("p.json", &" ".repeat(300_000))]);
        assert!(problem(dir.path(), "p.json").contains("more than 256 KiB"));
    }

    #[test]
    fn a_file_outside_the_checkout_is_refused_whatever_leads_there() {
        let outside = checkout(&[("p.json", PLAIN)]);
        let dir = checkout(&[]);
        std::os::unix::fs::symlink(outside.path().join("p.json"), dir.path().join("link")).unwrap();
        assert!(problem(dir.path(), "../p.json").contains("leaves the checkout"));
        assert!(problem(dir.path(), "/etc/passwd").contains("leaves the checkout"));
        assert!(problem(dir.path(), "link").contains("leads out of the checkout"));
        assert!(problem(dir.path(), "absent").contains("cannot be read"));
    }
}
