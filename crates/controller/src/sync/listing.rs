//! What an extractor says a task has. Every byte of it may be an agent's.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use crate::error::{Error, Result};
use crate::scan::Planted;

/// Longest line. A ref's name is at most 200 bytes of it.
const LONGEST: u64 = 8 << 10;
/// Most lines: refs that did not change are among them.
const MOST: usize = 110_000;
/// Longest name that is brought over.
const LONGEST_NAME: usize = 200;

/// A task's tips, and what could not be saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Branches and tags: full name and commit or tag.
    pub(super) refs: Vec<(String, String)>,
    /// Where the agent is, if not on a branch.
    pub(super) head: Option<String>,
    /// The stash, newest first.
    pub(super) stash: Vec<String>,
    /// What was not committed, as a commit.
    pub(super) wip: Option<String>,
    /// What a commit cannot hold, or what git would not read; a phrase each.
    pub(super) unsaved: Vec<String>,
    /// What tools of a person's obey.
    pub(super) planted: Vec<Planted>,
    /// Names that were left out, with why.
    pub(super) notes: Vec<String>,
}

fn odd(why: &str) -> Error {
    Error::Failed(format!(
        "what the task's container says makes no sense: {why}"
    ))
}

impl Listing {
    /// Reads up to and with the line `end`.
    pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Listing> {
        let mut listing = Listing::default();
        for _ in 0..MOST {
            let mut line = Vec::new();
            (&mut *from)
                .take(LONGEST)
                .read_until(b'\n', &mut line)
                .await?;
            if line.pop() != Some(b'\n') {
                return Err(odd("it ends early"));
            }
            let line = String::from_utf8_lossy(&line);
            if line == "end" {
                return Ok(listing);
            }
            listing.add(&line)?;
        }
        Err(odd("it has too many lines"))
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let object = || {
            is_object(rest)
                .then(|| rest.to_owned())
                .ok_or_else(|| odd("no object"))
        };
        match word {
            "wip" => self.wip = Some(object()?),
            "head" => self.head = Some(object()?),
            "stash" => self.stash.push(object()?),
            "nested" => self
                .unsaved
                .push(format!("the repository in {}", printable(rest))),
            "ignored" => self
                .unsaved
                .push(format!("the ignored {}", printable(rest))),
            "unsaved" => self.unsaved.push(printable(rest)),
            "planted" => self.planted.extend(Planted::read(rest)),
            "ref" => self.reference(rest)?,
            _ => return Err(odd("an unknown line")),
        }
        Ok(())
    }

    /// `OBJECT TYPE NAME`, or `OBJECT missing NAME`.
    fn reference(&mut self, rest: &str) -> Result<()> {
        let mut words = rest.splitn(3, ' ');
        let (Some(oid), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err(odd("a ref without a name"));
        };
        if !is_object(oid) {
            return Err(odd("a ref without an object"));
        }
        let is_branch = name.starts_with("refs/heads/");
        let leave = |why: &str| format!("{} is left out: {why}", printable(name));
        if !is_ref_name(name) {
            self.notes.push(leave("its name is not one to bring over"));
        } else if kind == "missing" {
            self.notes.push(leave("it leads to nothing"));
        } else if kind == "commit" || (kind == "tag" && !is_branch) {
            self.refs.push((name.to_owned(), oid.to_owned()));
        } else {
            self.notes.push(leave("it is no commit"));
        }
        Ok(())
    }
}

/// A name in hexadecimal, SHA-1 or SHA-256.
fn is_object(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    matches!(text.len(), 40 | 64) && text.bytes().all(plain)
}

/// A branch or tag whose name git, a shell and a terminal take for one word (git-check-ref-format).
fn is_ref_name(name: &str) -> bool {
    let below = name
        .strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"));
    let Some(below) = below.filter(|b| b.len() <= LONGEST_NAME) else {
        return false;
    };
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\\u{fffd}".contains(c);
    let part = |p: &str| !p.is_empty() && !p.starts_with(['.', '-']) && !p.ends_with(".lock");
    let pairs = below.contains("..") || below.contains("@{") || below.ends_with('.');
    !below.contains(odd) && !pairs && below != "@" && below.split('/').all(part)
}

/// For a terminal, and not long.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    async fn read(text: &str) -> Result<Listing> {
        Listing::read(&mut text.as_bytes()).await
    }

    #[tokio::test]
    async fn every_kind_of_line_is_read_and_the_pack_stays() {
        let text = format!(
            "wip {A}\nhead {A}\nstash {A}\nnested sub\nignored .env\nunsaved error: no\n\
             ref {A} commit refs/heads/a/b\nref {A} tag refs/tags/v1\nref {A} missing refs/heads/x\n\
             ref {A} tree refs/heads/y\nend\nPACK"
        );
        let mut from = text.as_bytes();
        let listing = Listing::read(&mut from).await.unwrap();
        assert_eq!(from, b"PACK");
        let refs = [("refs/heads/a/b", A), ("refs/tags/v1", A)];
        let refs = refs.map(|(name, oid)| (name.to_owned(), oid.to_owned()));
        assert_eq!(listing.refs, refs);
        assert_eq!(listing.stash, [A]);
        assert_eq!(
            (listing.wip.as_deref(), listing.head.as_deref()),
            (Some(A), Some(A))
        );
        assert_eq!(
            listing.unsaved,
            ["the repository in sub", "the ignored .env", "error: no"]
        );
        assert_eq!(listing.notes.len(), 2);
    }

    #[tokio::test]
    async fn nonsense_and_too_much_are_refused() {
        for text in [
            "",
            "end",
            "what\nend\n",
            "wip zz\nend\n",
            "wip ../../x\nend\n",
            &format!("ref {A} commit\nend\n"),
            &format!("wip {A}"),
            &"x".repeat(20_000),
            &format!("stash {A}\n").repeat(MOST + 1),
        ] {
            let error = read(text).await.unwrap_err().to_string();
            assert!(error.contains("makes no sense"), "{error}");
        }
    }

    #[test]
    fn only_names_that_are_one_word_are_brought_over() {
        for good in [
            "refs/heads/a",
            "refs/heads/feature/x-1",
            "refs/tags/v1.0",
            "refs/heads/ä",
        ] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in [
            "refs/heads/",
            "refs/heads/a b",
            "refs/heads/a..b",
            "refs/heads/../x",
            "refs/heads/a.lock",
            "refs/heads/.a",
            "refs/heads/a/",
            "refs/heads//a",
            "refs/heads/a\u{1b}[2J",
            "refs/heads/a@{0}",
            "refs/heads/-a",
            "refs/heads/a\\b",
            "refs/heads/@",
            "refs/stash",
            "HEAD",
            &format!("refs/heads/{}", "a".repeat(201)),
        ] {
            assert!(!is_ref_name(bad), "{bad}");
        }
    }
}
