//! The container's side of a spool: alerts are left in `out/`, answers are found in `in/`.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::kind::Kind;
use super::{Failure, NO_SPOOL};

/// The variable that names the spool.
pub const VARIABLE: &str = "AGENTNET_NOTIFY";
/// Where it is without that.
pub const DIRECTORY: &str = "/agentnet/notify";
/// Longest alert file, in bytes.
pub const LONGEST_ALERT: usize = 8 * 1024;
/// What is kept of a text, in bytes; people see 256 characters of it.
const LONGEST_TEXT: usize = 4 * 1024;
/// Names that are tried before giving up: two senders of one process number in one nanosecond are rare.
const TRIES: u32 = 16;

/// A spool that is there.
#[derive(Debug)]
pub(super) struct Spool {
    root: PathBuf,
}

/// An alert as it is written.
#[derive(Serialize)]
struct Document<'a> {
    v: u8,
    kind: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    choices: &'a [String],
}

impl Spool {
    /// Finds it: what the variable says, or the usual place.
    pub(super) fn find(variable: Option<OsString>) -> Result<Self, Failure> {
        let named = variable.filter(|value| !value.is_empty());
        let root = PathBuf::from(named.unwrap_or_else(|| DIRECTORY.into()));
        if root.join("out").is_dir() {
            return Ok(Self { root });
        }
        Err(Failure {
            code: NO_SPOOL,
            sentence: format!(
                "there is no spool at {}: notifications are off here ([notify] in agentnet.toml), or this is no task's \
                 container",
                root.display()
            ),
        })
    }

    /// Leaves an alert; its id.
    pub(super) fn leave(
        &self,
        kind: Kind,
        text: &str,
        choices: &[String],
    ) -> Result<String, Failure> {
        if !text.chars().any(|c| !c.is_whitespace() && !c.is_control()) {
            return Err(Failure::new(
                "there is nothing in the text; say what happened",
            ));
        }
        let bytes = written(kind, text, choices).map_err(Failure::new)?;
        let out = self.root.join("out");
        let failed = |e: io::Error| {
            Failure::new(format_args!(
                "cannot leave an alert in {}: {e}",
                out.display()
            ))
        };
        for attempt in 0..TRIES {
            let id = id(attempt);
            let temporary = out.join(format!("{id}.tmp"));
            let mut options = OpenOptions::new();
            let mut file = match options.write(true).create_new(true).open(&temporary) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file.map_err(failed)?,
            };
            let done = file
                .write_all(&bytes)
                .and_then(|()| fs::rename(&temporary, out.join(format!("{id}.json"))));
            if let Err(e) = done {
                // The disk is full, most likely: leave nothing half of it.
                drop(fs::remove_file(&temporary));
                return Err(failed(e));
            }
            return Ok(id);
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Where the answer to an alert will be.
    pub(super) fn answer(&self, id: &str) -> PathBuf {
        self.root.join("in").join(format!("{id}.json"))
    }

    /// Removes an alert that nobody has read; `false`: somebody has.
    pub(super) fn take_back(&self, id: &str) -> bool {
        fs::remove_file(self.root.join("out").join(format!("{id}.json"))).is_ok()
    }

    #[cfg(test)]
    pub(super) fn at(root: &std::path::Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
}

/// The document, cut so that it fits whatever its characters become in JSON.
fn written(kind: Kind, text: &str, choices: &[String]) -> Result<Vec<u8>, serde_json::Error> {
    let mut most = LONGEST_TEXT;
    loop {
        let document = Document {
            v: 1,
            kind: kind.as_str(),
            text: cut(text, most),
            choices,
        };
        let bytes = serde_json::to_vec(&document)?;
        // A control character becomes six bytes, so this ends.
        if bytes.len() <= LONGEST_ALERT || most == 0 {
            return Ok(bytes);
        }
        most /= 2;
    }
}

/// The longest beginning of at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// A name that sorts by time and that nobody else in this container uses.
fn id(attempt: u32) -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let process = std::process::id();
    format!("{:016x}-{process}-{attempt}", since.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn spool() -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["out", "in"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let spool = Spool::find(Some(dir.path().into())).unwrap();
        (dir, spool)
    }

    fn left(spool: &Spool, id: &str) -> Value {
        let path = spool.root.join(format!("out/{id}.json"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn an_alert_lies_there_whole_and_nothing_else_does() {
        let (_dir, spool) = spool();
        let id = spool
            .leave(Kind::Complete, "all \"green\"\n\u{1b}", &[])
            .unwrap();
        let expected =
            serde_json::json!({"v": 1, "kind": "complete", "text": "all \"green\"\n\u{1b}"});
        assert_eq!(left(&spool, &id), expected);
        assert_eq!(fs::read_dir(spool.root.join("out")).unwrap().count(), 1);
        assert!(spool.take_back(&id) && !spool.take_back(&id));
    }

    #[test]
    fn the_longest_text_fits_whatever_it_is_made_of() {
        let (_dir, spool) = spool();
        for letter in ["a", "\u{1}", "\"", "\u{1f600}"] {
            let id = spool
                .leave(Kind::Info, &format!("x{}", letter.repeat(20_000)), &[])
                .unwrap();
            let path = spool.root.join(format!("out/{id}.json"));
            let length = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
            assert!((1_000..=LONGEST_ALERT).contains(&length), "{length}");
            assert!(left(&spool, &id)["text"].as_str().unwrap().starts_with('x'));
        }
    }

    #[test]
    fn without_a_spool_the_code_says_so_and_an_empty_text_is_refused() {
        let nowhere = Spool::find(Some("/nonexistent".into())).unwrap_err();
        assert_eq!(nowhere.code, NO_SPOOL);
        assert!(
            nowhere.sentence.contains("[notify]"),
            "{}",
            nowhere.sentence
        );
        let (_dir, spool) = spool();
        assert!(spool.leave(Kind::Info, " \n\u{7}", &[]).is_err());
        fs::remove_dir(spool.root.join("out")).unwrap();
        assert!(spool.leave(Kind::Info, "x", &[]).is_err());
    }

    #[test]
    fn names_follow_the_bridges_rule() {
        let id = id(15);
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(id.len() <= 64 && id.bytes().all(allowed), "{id}");
    }
}
