//! Looks for the person's secrets in what is about to be stored: an agent can write down what it was given.
//!
//! Found is what stands there as it is: not what was compressed, encoded or cut in two by an archive's hole.

use std::io::Read;
use std::path::Path;

use fs_err::File;

use super::manifest::{Part, What};
use crate::credentials::SECRETS_FILE;
use crate::error::{Error, Result};
use crate::output::printable;
use crate::paths::{TaskDir, read_bounded};
use crate::secret::Secret;

/// Shorter values are words that files have anyway.
const SHORTEST: usize = 8;
/// Bytes that are looked at together.
const PIECE: usize = 1 << 20;
/// All secrets of a task together are less.
const MOST: u64 = 4 << 20;

/// What the task was given: name and value.
pub(super) fn given(dir: &TaskDir) -> Result<Vec<(String, Secret)>> {
    let path = dir.secrets().join(SECRETS_FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read_bounded(&path, MOST)?;
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    Ok(pairs
        .filter(|(_, value)| value.len() >= SHORTEST)
        .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
        .collect())
}

/// Refuses an archive that holds one of them, and names the file in it.
pub(super) fn refuse(archive: &Path, part: &Part, secrets: &[(String, Secret)]) -> Result<()> {
    let Some((name, at)) = find(archive, secrets)? else {
        return Ok(());
    };
    let file = holder(archive, at).unwrap_or_else(|| "something".to_owned());
    let place = match &part.what {
        What::Container { directory } => format!("{}/", directory.trim_end_matches('/')),
        What::Files | What::Git | What::Volume { .. } => format!("{}: ", part.what),
    };
    Err(Error::Failed(format!(
        "nothing was stored: {place}{} holds the value of {name}, which the task was given; remove it there, or leave the \
         file out with --exclude",
        printable(&file)
    )))
}

/// The first that is found: its name, and where.
fn find(archive: &Path, secrets: &[(String, Secret)]) -> Result<Option<(String, u64)>> {
    let longest = secrets.iter().map(|(_, value)| value.expose().len()).max();
    let Some(longest) = longest else {
        return Ok(None);
    };
    let finders: Vec<_> = secrets
        .iter()
        .map(|(name, value)| (name, memchr::memmem::Finder::new(value.expose())))
        .collect();
    let mut file = File::open(archive)?;
    let (mut bytes, mut start) = (Vec::with_capacity(PIECE + longest), 0_u64);
    loop {
        let got = (&mut file).take(PIECE as u64).read_to_end(&mut bytes)?;
        for (name, finder) in &finders {
            if let Some(at) = finder.find(&bytes) {
                return Ok(Some(((*name).clone(), start + at as u64)));
            }
        }
        if got == 0 {
            return Ok(None);
        }
        // One may lie across two pieces.
        let done = bytes.len().saturating_sub(longest);
        bytes.drain(..done);
        start += done as u64;
    }
}

/// Whose bytes are at an offset.
fn holder(archive: &Path, at: u64) -> Option<String> {
    let mut archive = tar::Archive::new(File::open(archive).ok()?);
    let mut last = None;
    for entry in archive.entries_with_seek().ok()? {
        let entry = entry.ok()?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        last = Some(name.trim_start_matches("./").to_owned());
        if entry.raw_file_position() + entry.size() > at {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(path: &Path, files: &[(&str, &[u8])]) {
        let mut builder = tar::Builder::new(File::create(path).unwrap());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, *text).unwrap();
        }
        builder.into_inner().unwrap();
    }

    #[test]
    fn a_file_that_holds_a_secret_is_named_wherever_it_lies_and_the_secret_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        let secret = vec![("GH_TOKEN".to_owned(), Secret::new("gho_planted".into()))];
        let part = Part {
            what: What::Files,
            file: "a.tar".into(),
            entries: 0,
            bytes: 0,
        };
        archive(&path, &[("a", b"nothing"), ("b", b"nothing either")]);
        refuse(&path, &part, &secret).unwrap();
        refuse(&path, &part, &[]).unwrap();
        // Across the border of two pieces as well.
        for before in [0, 700, PIECE - 1536 - 5, PIECE - 1536, 3 * PIECE] {
            let mut text = vec![b'x'; before];
            text.extend(b"gho_planted");
            archive(
                &path,
                &[("a", b"nothing"), ("deep/.netrc", &text), ("z", b"")],
            );
            let error = refuse(&path, &part, &secret).unwrap_err().to_string();
            assert!(
                error.contains("files: deep/.netrc holds the value of GH_TOKEN"),
                "{before}: {error}"
            );
            assert!(!error.contains("gho_planted"), "{error}");
        }
    }
}
