//! One alert, as an agent writes it.

use serde::Deserialize;

use crate::kind::{Kind, KindError};
use crate::text;

/// Longest alert file, in bytes.
pub const LONGEST: usize = agentnet_gate::notify::LONGEST_ALERT;

/// The version of the document.
pub const VERSION: u8 = 1;

pub use agentnet_gate::notify::{LONGEST_CHOICE, MOST_CHOICES};

/// A checked alert. The text is still the adversary's: whoever shows it cuts it, makes control and
/// direction characters visible, and escapes it for where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What it is about.
    pub kind: Kind,
    /// What the agent says: at least one visible character.
    pub text: String,
    /// What the person may answer; only a clarification has any.
    pub choices: Vec<String>,
}

/// The file as it is written: `{"v":1,"kind":"complete","text":"…"}`, a clarification perhaps with
/// `"choices":["yes","no"]`. Flat and without unknown fields, so there is no depth and nothing to
/// smuggle.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    v: u8,
    kind: String,
    text: String,
    #[serde(default)]
    choices: Vec<String>,
}

/// Why a file is not an alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// More than [`LONGEST`] bytes.
    #[error("longer than {LONGEST} bytes")]
    TooLong,
    /// Not the JSON document that it should be.
    #[error("not an alert: {0}")]
    Json(String),
    /// Another version.
    #[error("version {0}; this program reads {VERSION}")]
    Version(u8),
    /// Not a kind that may stand in a file.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Nothing to show.
    #[error("the text is empty")]
    Empty,
    /// Choices that cannot be offered.
    #[error(
        "only a clarification has choices: at most {MOST_CHOICES}, each 1 to {LONGEST_CHOICE} characters"
    )]
    Choices,
}

impl AlertError {
    /// The word in metrics and status.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Json(_) => "not_an_alert",
            Self::Version(_) => "version",
            Self::Kind(KindError::Blocked) => "forged_blocked",
            Self::Kind(KindError::Unknown) => "kind",
            Self::Empty => "empty",
            Self::Choices => "choices",
        }
    }
}

impl Alert {
    /// Reads the bytes of one file.
    ///
    /// # Errors
    /// [`AlertError`]; `Kind(Blocked)` is the one to count apart.
    pub fn parse(bytes: &[u8]) -> Result<Self, AlertError> {
        if bytes.len() > LONGEST {
            return Err(AlertError::TooLong);
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| AlertError::Json(error.to_string()))?;
        let Document {
            v,
            kind,
            text,
            choices,
        } = document;
        Self::checked(v, &kind, text, choices)
    }

    /// Checks what a document says.
    pub(crate) fn checked(
        v: u8,
        kind: &str,
        text: String,
        choices: Vec<String>,
    ) -> Result<Self, AlertError> {
        if v != VERSION {
            return Err(AlertError::Version(v));
        }
        let kind: Kind = kind.parse()?;
        // Judged as it will be shown: a text of nothing but marks is empty, too.
        if text::body(&text).is_empty() {
            return Err(AlertError::Empty);
        }
        let offered = |choice: &String| {
            let shown = text::line(choice, LONGEST_CHOICE);
            !shown.is_empty() && choice.chars().count() <= LONGEST_CHOICE
        };
        let right_kind = choices.is_empty() || kind == Kind::Clarification;
        if !right_kind || choices.len() > MOST_CHOICES || !choices.iter().all(offered) {
            return Err(AlertError::Choices);
        }
        Ok(Self {
            kind,
            text,
            choices,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_of_each_kind_is_read() {
        for kind in Kind::ALL {
            let bytes = format!("{{\"v\":1,\"kind\":\"{kind}\",\"text\":\"done\\u202e\"}}\n");
            let alert = Alert {
                kind: *kind,
                text: "done\u{202e}".to_owned(),
                choices: Vec::new(),
            };
            assert_eq!(Alert::parse(bytes.as_bytes()), Ok(alert));
        }
    }

    #[test]
    fn a_forged_blocked_alert_is_refused_by_name() {
        let forged = br#"{"v":1,"kind":"blocked","text":"Allow evil.example?"}"#;
        assert_eq!(
            Alert::parse(forged),
            Err(AlertError::Kind(KindError::Blocked))
        );
    }

    #[test]
    fn nothing_but_the_documented_fields_is_taken() {
        for bad in [
            r#"{"v":1,"kind":"info","text":"a","url":"https://evil.example"}"#,
            r#"{"v":1,"kind":"info","text":"a","text":"b"}"#,
            r#"{"v":1,"kind":"info"}"#,
            r#"{"kind":"info","text":"a"}"#,
            r#"{"v":1,"kind":"info","text":["a"]}"#,
            r#"{"v":1,"kind":"info","text":"a"} trailing"#,
            r#"{"v":-1,"kind":"info","text":"a"}"#,
            r#"{"v":1e99999,"kind":"info","text":"a"}"#,
            "[]",
            "",
            "null",
            "\u{feff}{}",
        ] {
            let ended = Alert::parse(bad.as_bytes());
            assert!(
                matches!(ended, Err(AlertError::Json(_))),
                "{bad}: {ended:?}"
            );
        }
        let deep = "[".repeat(LONGEST);
        assert!(matches!(
            Alert::parse(deep.as_bytes()),
            Err(AlertError::Json(_))
        ));
        let invalid = b"{\"v\":1,\"kind\":\"info\",\"text\":\"\xff\"}";
        assert!(matches!(Alert::parse(invalid), Err(AlertError::Json(_))));
    }

    #[test]
    fn size_version_and_emptiness_are_told_apart() {
        let of = |text: &str| Alert::parse(text.as_bytes());
        assert_eq!(
            of(r#"{"v":2,"kind":"info","text":"a"}"#),
            Err(AlertError::Version(2))
        );
        assert_eq!(
            of(r#"{"v":1,"kind":"info","text":" \n "}"#),
            Err(AlertError::Empty)
        );
        let frame = r#"{"v":1,"kind":"info","text":""}"#.len();
        let fill = |length: usize| {
            let text = "a".repeat(length - frame);
            of(&format!(
                "{{\"v\":1,\"kind\":\"info\",\"text\":\"{text}\"}}"
            ))
        };
        assert!(fill(LONGEST).is_ok());
        assert_eq!(fill(LONGEST + 1), Err(AlertError::TooLong));
    }

    #[test]
    fn a_question_offers_a_few_short_answers_and_nothing_else_does() {
        let of = |kind: &str, choices: &str| {
            let text = format!(r#"{{"v":1,"kind":"{kind}","text":"a?","choices":{choices}}}"#);
            Alert::parse(text.as_bytes()).map(|alert| alert.choices)
        };
        assert_eq!(
            of("clarification", r#"["yes","no"]"#),
            Ok(vec!["yes".to_owned(), "no".to_owned()])
        );
        assert_eq!(of("complete", "[]"), Ok(Vec::new()));
        let long = format!("[\"{}\"]", "a".repeat(LONGEST_CHOICE + 1));
        for (kind, choices) in [
            ("complete", r#"["yes"]"#),
            ("clarification", r#"[""]"#),
            ("clarification", "[\"\\u200b\"]"),
            ("clarification", r#"["1","2","3","4","5","6"]"#),
            ("clarification", &long),
        ] {
            assert_eq!(of(kind, choices), Err(AlertError::Choices), "{choices}");
        }
        assert!(matches!(
            of("clarification", r#"[["a"]]"#),
            Err(AlertError::Json(_))
        ));
    }
}
