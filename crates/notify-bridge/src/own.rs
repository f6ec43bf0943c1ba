//! agentnet's own alerts: the end of a run, a task out of memory, a proxy that died. They stand in a
//! directory that no container ever sees, in the format of an agent's, and say which task they are about.

use serde::Deserialize;

use crate::alert::{Alert, AlertError};
use crate::notice::{TaskName, Urgency};

/// An alert of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnAlert {
    pub(crate) alert: Alert,
    pub(crate) task: TaskName,
    /// Where the kind's own is not right; may be critical.
    pub(crate) urgency: Option<Urgency>,
}

/// `{"v":1,"kind":"error","text":"…","project":"shop","task":"fix-42"}`, perhaps with `"urgency"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    v: u8,
    kind: String,
    text: String,
    project: String,
    task: String,
    urgency: Option<Urgency>,
}

impl OwnAlert {
    /// Reads the bytes of one file.
    ///
    /// # Errors
    /// [`AlertError`]; names that are no names of a task are `Json`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, AlertError> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| AlertError::Json(error.to_string()))?;
        let task = TaskName::new(&document.project, &document.task).ok_or_else(|| {
            AlertError::Json("project and task must be names of a project and a task".to_owned())
        })?;
        Ok(Self {
            alert: Alert::checked(document.v, &document.kind, document.text, Vec::new())?,
            task,
            urgency: document.urgency,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    fn parse(text: &str) -> Result<OwnAlert, AlertError> {
        OwnAlert::parse(text.as_bytes())
    }

    #[test]
    fn our_own_alerts_name_their_task_and_may_be_critical() {
        let own = parse(
            r#"{"v":1,"kind":"error","text":"out of memory","project":"shop","task":"fix-42","urgency":"critical"}"#,
        )
        .unwrap();
        assert_eq!(own.task.to_string(), "shop/fix-42");
        assert_eq!(own.urgency, Some(Urgency::Critical));
        assert_eq!(
            (own.alert.kind, own.alert.text.as_str()),
            (Kind::Error, "out of memory")
        );
    }

    #[test]
    fn they_are_checked_as_an_agents_are() {
        for bad in [
            r#"{"v":1,"kind":"error","text":"x"}"#,
            r#"{"v":1,"kind":"error","text":"x","project":"../x","task":"a"}"#,
            r#"{"v":1,"kind":"error","text":"x","project":"a","task":"a","icon":"x"}"#,
        ] {
            assert!(matches!(parse(bad), Err(AlertError::Json(_))), "{bad}");
        }
        let blocked = r#"{"v":1,"kind":"blocked","text":"x","project":"a","task":"a"}"#;
        assert!(matches!(parse(blocked), Err(AlertError::Kind(_))));
    }
}
