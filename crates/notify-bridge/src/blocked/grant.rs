//! A click, carried out by `agentnet allow` and `agentnet deny`.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::time::timeout;

use super::program::Controller;
use super::tracker::{DENY, ONCE, TASK};
use crate::incoming::Answerer;
use crate::notice::Notice;
use crate::text;

/// How long a grant may take; it takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long "once" lasts, as `agentnet allow --for` has it.
const ONCE_LASTS: &str = "10m";
/// Characters of a complaint that are handed on.
const LONGEST: usize = 200;

/// Grants hosts.
#[derive(Debug)]
pub(super) struct Grants {
    controller: Controller,
}

/// What `agentnet allow --json` prints.
#[derive(Deserialize)]
struct Changed {
    effects: Vec<Effect>,
}

#[derive(Deserialize)]
struct Effect {
    allowed: Option<bool>,
    sentence: String,
}

impl Grants {
    pub(super) fn new(controller: Controller) -> Self {
        Self { controller }
    }

    async fn carry_out(&self, notice: &Notice, choice: &str) -> Result<String, String> {
        let target = notice
            .about
            .as_deref()
            .ok_or("this notice is about no host")?;
        let (verb, lasts): (&str, &[&str]) = match choice {
            ONCE => ("allow", &["--for", ONCE_LASTS]),
            TASK => ("allow", &[]),
            DENY => ("deny", &[]),
            other => return Err(format!("{other:?} was not offered")),
        };
        let project = format!("--project={}", notice.task.project);
        let mut words = vec![verb, "--json", &project];
        words.extend(lasts);
        // A host may begin with a hyphen.
        words.extend(["--", &notice.task.task, target]);
        let output = timeout(PATIENCE, self.controller.said(&words));
        let name = self.controller.name();
        let output = output
            .await
            .map_err(|_| format!("{name} {verb} did not end within {} s", PATIENCE.as_secs()))?
            .map_err(|e| format!("{name} could not be run: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.complaint);
            let said = text::line(said.trim(), LONGEST);
            return Err(format!("{target} stays as it was: {said}"));
        }
        let effect = serde_json::from_slice(&output.answer)
            .ok()
            .and_then(|changed: Changed| changed.effects.into_iter().next());
        match (choice, effect) {
            // A line that refuses it, of the project or a preset, beats every grant.
            (
                ONCE | TASK,
                Some(Effect {
                    allowed: Some(false),
                    sentence,
                }),
            ) => Err(text::line(&sentence, LONGEST).to_string()),
            (ONCE, _) => Ok(format!(
                "{target} is allowed for ten minutes; a retry goes through"
            )),
            (TASK, _) => Ok(format!(
                "{target} is allowed until the task goes; a retry goes through"
            )),
            (_, _) => Ok(format!("{target} stays refused, and nobody asks again")),
        }
    }
}

impl Answerer for Grants {
    fn answer<'a>(
        &'a self,
        notice: &'a Notice,
        choice: &'a str,
    ) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(self.carry_out(notice, choice))
    }
}

#[cfg(test)]
mod tests {
    use super::super::refusal::tests::sighting;
    use super::super::tracker::Tracker;
    use super::*;
    use crate::incoming::Incoming;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A controller that writes down what it was told, and ends as the script says.
    async fn clicked(choice: &str, script: &str) -> (String, Result<String, String>) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("agentnet");
        let said = dir.path().join("said");
        let text = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >{}\n{script}\n",
            said.display()
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let controller = Controller::find(Some(&program), "/state".as_ref());
        let seen = Tracker::default().take(sighting("-x.example", 443), 0);
        let Some(Incoming::Show(notice)) = seen else {
            panic!("not shown");
        };
        let done = Grants::new(controller).answer(&notice, choice).await;
        (fs::read_to_string(said).unwrap_or_default(), done)
    }

    #[tokio::test]
    async fn a_click_becomes_the_command_that_a_person_would_type() {
        for (choice, words) in [
            (
                ONCE,
                "allow --json --project=shop --for 10m -- fix-42 -x.example:443",
            ),
            (TASK, "allow --json --project=shop -- fix-42 -x.example:443"),
            (DENY, "deny --json --project=shop -- fix-42 -x.example:443"),
        ] {
            let (said, done) = clicked(
                choice,
                "echo '{\"effects\":[{\"allowed\":true,\"sentence\":\"x\"}]}'",
            )
            .await;
            assert_eq!(said, format!("--state-dir /state {words}\n"));
            assert!(done.unwrap().starts_with("-x.example:443 "));
        }
        let (said, done) = clicked("rm -rf", "").await;
        assert!(said.is_empty() && done.is_err());
    }

    #[tokio::test]
    async fn what_went_wrong_is_told_in_one_clean_line() {
        let (_, done) = clicked(ONCE, "printf 'task fix-42 is\\nnot up\\033[2J' >&2; exit 1").await;
        assert_eq!(
            done.unwrap_err(),
            "-x.example:443 stays as it was: task fix-42 is not up[2J"
        );
        let refused = "echo '{\"effects\":[{\"allowed\":false,\"sentence\":\"still refused by project.txt:3\"}]}'";
        let (_, done) = clicked(TASK, refused).await;
        assert_eq!(done.unwrap_err(), "still refused by project.txt:3");
    }

    #[tokio::test]
    async fn a_controller_that_is_not_there_is_said() {
        let controller =
            Controller::find(Some("/nonexistent/agentnet".as_ref()), "/state".as_ref());
        let Some(Incoming::Show(notice)) = Tracker::default().take(sighting("a.example", 443), 0)
        else {
            panic!("not shown");
        };
        let done = Grants::new(controller).answer(&notice, ONCE).await;
        assert!(
            done.unwrap_err()
                .contains("/nonexistent/agentnet could not be run")
        );
    }
}
