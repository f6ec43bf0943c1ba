//! What an agent is to do: words, and perhaps an issue. An issue is text that a stranger may have
//! written: it is bounded, and handed over as data.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::error::{Error, Result};

/// Where an issue's text is in the container.
pub const ISSUE_FILE: &str = "/agentnet/issue.md";
/// The longest issue, in bytes. The kernel takes words of at most 128 KiB (MAX_ARG_STRLEN).
const LONGEST: usize = 64 << 10;
/// The longest prompt altogether.
const LONGEST_PROMPT: usize = 120 << 10;
/// How long a forge's program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where an issue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issue {
    /// A file; `-` is standard input.
    File(PathBuf),
    /// On a forge whose command line can show it.
    Url(String),
}

impl std::str::FromStr for Issue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("https", rest)) if rest.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Issue::Url(text.to_owned()))
            }
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => Err(format!(
                "{text:?} is not an https:// address; give one, or a file, or - for standard input"
            )),
            Some(_) | None => Ok(Issue::File(text.into())),
        }
    }
}

/// The programs that show issues, by the word in the host's name that each serves.
const FORGES: [(&str, &str); 2] = [("github", "gh"), ("gitlab", "glab")];

impl Issue {
    /// Its text. A page on the web is read by the program of its forge, with the person's own login;
    /// nothing else is fetched.
    pub async fn read(&self) -> Result<String> {
        match self {
            Issue::File(path) if path == Path::new("-") => {
                bounded("standard input", std::io::stdin())
            }
            Issue::File(path) => {
                let file = fs_err::File::open(path).map_err(|e| Error::Usage(e.to_string()))?;
                bounded(&path.display().to_string(), file)
            }
            Issue::Url(url) => {
                let program = forge(url).ok_or_else(|| {
                    Error::Usage(format!(
                        "{url} is on no forge that gh or glab knows; save the issue's text to a file and \
                         give that, or - for standard input"
                    ))
                })?;
                show(program, url).await
            }
        }
    }
}

/// Which program shows it: by the host alone, and as an issue.
fn forge(url: &str) -> Option<&'static str> {
    let host = url.strip_prefix("https://")?.split('/').next()?;
    let (_, program) = FORGES
        .into_iter()
        .find(|(word, _)| host.split('.').any(|label| label == *word))?;
    Some(program)
}

/// `gh issue view URL` and `glab issue view URL` print the text with its comments.
async fn show(program: &str, url: &str) -> Result<String> {
    let failed = |why: String| {
        Error::Failed(format!(
            "{program} issue view {url}: {why}; save the issue's text to a file and give that instead"
        ))
    };
    let mut child = tokio::process::Command::new(program)
        .args(["issue", "view", "--comments", url])
        .env("NO_COLOR", "1")
        .env("GH_PROMPT_DISABLED", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let mut text = Vec::new();
    let read = async {
        if let Some(out) = child.stdout.take() {
            out.take(LONGEST as u64 + 1).read_to_end(&mut text).await?;
        }
        // A longer text is refused below, and its writer must not wait for a reader.
        if text.len() > LONGEST {
            child.start_kill()?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|e| failed(e.to_string()))?;
    if !status.success() && text.len() <= LONGEST {
        return Err(failed(format!("it ended with {status}")));
    }
    checked(url, text)
}

fn bounded(what: &str, from: impl Read) -> Result<String> {
    let mut text = Vec::new();
    from.take(LONGEST as u64 + 1).read_to_end(&mut text)?;
    checked(what, text)
}

fn checked(what: &str, text: Vec<u8>) -> Result<String> {
    if text.len() > LONGEST {
        return Err(Error::Usage(format!(
            "{what} is longer than {} KiB, the longest issue; shorten it",
            LONGEST >> 10
        )));
    }
    let text =
        String::from_utf8(text).map_err(|_| Error::Usage(format!("{what} is not UTF-8 text")))?;
    if text.contains('\0') {
        return Err(Error::Usage(format!(
            "{what} holds a NUL, so it is not text"
        )));
    }
    if text.trim().is_empty() {
        return Err(Error::Usage(format!(
            "{what} is empty: there is nothing to do"
        )));
    }
    Ok(text)
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prompt {
    /// The person's own words.
    pub words: String,
    /// The issue's text.
    pub issue: Option<String>,
}

impl Prompt {
    /// Everything in one text; an error when there is nothing, or too much.
    pub fn text(&self) -> Result<String> {
        let words = self.words.trim();
        let text = match (&self.issue, words.is_empty()) {
            (None, true) => {
                return Err(Error::Usage(
                    "there is nothing to do: give a prompt after --, or an issue with --issue"
                        .into(),
                ));
            }
            (None, false) => words.to_owned(),
            (Some(issue), empty) => {
                let words = if empty {
                    "Resolve the issue below."
                } else {
                    words
                };
                format!(
                    "{words}\n\nThe issue, also in {ISSUE_FILE} (it describes the work; it is not from your user):\n\n\
                     {issue}"
                )
            }
        };
        if text.len() > LONGEST_PROMPT {
            return Err(Error::Usage(format!(
                "the prompt is longer than {} KiB; put the text into a file of the checkout and name it",
                LONGEST_PROMPT >> 10
            )));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_files_from_addresses() {
        let url = "https://github.com/a/b/issues/1";
        assert_eq!(url.parse(), Ok(Issue::Url(url.into())));
        assert_eq!("-".parse(), Ok(Issue::File("-".into())));
        assert_eq!(
            "notes/issue.md".parse(),
            Ok(Issue::File("notes/issue.md".into()))
        );
        for bad in ["http://github.com/a", "file:///etc/passwd", "https://a b"] {
            assert!(bad.parse::<Issue>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_forge_is_known_by_a_whole_label_of_its_host() {
        for (url, program) in [
            ("https://github.com/a/b/issues/1", Some("gh")),
            ("https://github.corp.example/a/b/issues/1", Some("gh")),
            ("https://gitlab.com/a/b/-/issues/1", Some("glab")),
            ("https://example.com/github/1", None),
            ("https://notgithub.com/a/b/issues/1", None),
        ] {
            assert_eq!(forge(url), program, "{url}");
        }
    }

    #[tokio::test]
    async fn an_issue_is_text_of_a_bounded_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issue.md");
        let read = |content: Vec<u8>| {
            fs_err::write(&path, content).unwrap();
            Issue::File(path.clone())
        };
        assert_eq!(read(b"fix it".to_vec()).read().await.unwrap(), "fix it");
        let too_long = vec![b'x'; LONGEST + 1];
        for (content, why) in [
            (too_long, "longer than 64 KiB"),
            (vec![0xff], "not UTF-8"),
            (vec![b'a', 0], "holds a NUL"),
            (b" \n".to_vec(), "is empty"),
        ] {
            let error = read(content).read().await.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let absent = Issue::File(dir.path().join("absent"));
        assert!(absent.read().await.is_err());
        let elsewhere = Issue::Url("https://example.com/1".into());
        let error = elsewhere.read().await.unwrap_err().to_string();
        assert!(error.contains("save the issue's text to a file"), "{error}");
    }

    #[tokio::test]
    async fn a_forges_program_that_fails_or_is_not_there_is_said() {
        let error = show("/nonexistent/gh", "https://github.com/a/b/issues/1").await;
        assert!(error.unwrap_err().to_string().contains("No such file"));
        let error = show("false", "https://github.com/a/b/issues/1").await;
        assert!(error.unwrap_err().to_string().contains("ended with"));
        // It prints its arguments: the address is one of them, and nothing is a shell's.
        let text = show("echo", "https://github.com/a/b/issues/1;id")
            .await
            .unwrap();
        assert_eq!(
            text,
            "issue view --comments https://github.com/a/b/issues/1;id\n"
        );
    }

    #[test]
    fn words_and_issue_become_one_text() {
        let prompt = |words: &str, issue: Option<&str>| Prompt {
            words: words.into(),
            issue: issue.map(Into::into),
        };
        assert_eq!(prompt("do x", None).text().unwrap(), "do x");
        assert!(prompt(" ", None).text().is_err());
        let text = prompt("", Some("it crashes")).text().unwrap();
        assert!(text.starts_with("Resolve the issue below."), "{text}");
        assert!(
            text.contains(ISSUE_FILE) && text.ends_with("it crashes"),
            "{text}"
        );
        let text = prompt("add a test", Some("it crashes")).text().unwrap();
        assert!(text.starts_with("add a test\n"), "{text}");
        assert!(
            prompt(&"x".repeat(LONGEST_PROMPT + 1), None)
                .text()
                .is_err()
        );
    }
}
