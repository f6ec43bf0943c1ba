//! What the person granted to a checkout. A repository can ask in its `agentnet.toml`, and a clone of
//! a stranger's must not be answered (CVE-2026-21852: a project's settings gave a key away).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Want;
use crate::error::{Error, Result};
use crate::paths::{StateDir, write_atomically};
use crate::task::fnv64;

/// The grants of one checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Format version.
    v: u8,
    /// The checkout: two of one fingerprint are told apart.
    checkout: PathBuf,
    /// What it may have.
    granted: BTreeSet<Want>,
}

impl Grants {
    fn path(state: &StateDir, checkout: &Path) -> PathBuf {
        let name = fnv64(checkout.as_os_str().as_encoded_bytes());
        state
            .root()
            .join("grants")
            .join(format!("{name:016x}.json"))
    }

    fn read(state: &StateDir, checkout: &Path) -> Result<Grants> {
        let none = Grants {
            v: 1,
            checkout: checkout.to_owned(),
            granted: BTreeSet::new(),
        };
        let path = Grants::path(state, checkout);
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(none),
            Err(e) => return Err(e.into()),
        };
        let grants: Grants = serde_json::from_str(&text).map_err(|e| {
            Error::Failed(format!("{} is not a list of grants: {e}", path.display()))
        })?;
        Ok(if grants.checkout == checkout {
            grants
        } else {
            none
        })
    }

    /// Everything that is asked for is granted, or is granted now; otherwise an error that says what
    /// is not.
    pub fn check(
        state: &StateDir,
        checkout: &Path,
        asked: &BTreeSet<Want>,
        grant: bool,
    ) -> Result<()> {
        let mut grants = Grants::read(state, checkout)?;
        let new: Vec<_> = asked.difference(&grants.granted).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        if grant {
            grants.granted.extend(new);
            let path = Grants::path(state, checkout);
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            let text = serde_json::to_string_pretty(&grants).map_err(std::io::Error::from)?;
            return write_atomically(&path, &text);
        }
        let words: Vec<_> = new.iter().map(ToString::to_string).collect();
        Err(Error::Config(format!(
            "[credentials] asks for {}, which you have not granted to {}; read its agentnet.toml and its \
             whitelist, then say --grant once",
            words.join(", "),
            checkout.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(words: &[&str]) -> BTreeSet<Want> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn what_was_granted_stays_granted_to_that_checkout_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(dir.path())).unwrap();
        let (shop, other) = (Path::new("/home/me/shop"), Path::new("/home/me/other"));
        let both = wants(&["gh", "env:A"]);
        Grants::check(&state, shop, &wants(&[]), false).unwrap();
        let error = Grants::check(&state, shop, &both, false).unwrap_err();
        assert!(error.to_string().contains("asks for gh, env:A"), "{error}");
        Grants::check(&state, shop, &both, true).unwrap();
        Grants::check(&state, shop, &both, false).unwrap();
        assert!(Grants::check(&state, other, &both, false).is_err());
        let more = Grants::check(&state, shop, &wants(&["gh", "env:A", "env:B"]), false);
        let more = more.unwrap_err().to_string();
        assert!(more.contains("asks for env:B,"), "{more}");
    }
}
