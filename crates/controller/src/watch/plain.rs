//! Decisions as lines, for whoever has no terminal.

use agentnet_policy::event::Event;

use crate::decisions::{is_of_proof, told};
use crate::task::TaskId;

/// One decision in a line.
#[must_use]
pub fn line(id: &TaskId, event: &Event) -> String {
    let told = told(event);
    format!(
        "{:.0} {}/{} {} {}\n",
        event.time, id.project, id.task, told.word, told.text
    )
}

/// One decision as a JSON document in a line.
#[must_use]
pub fn json(id: &TaskId, event: &Event) -> String {
    let value = serde_json::json!({
        "v": 1,
        "project": id.project,
        "task": id.task,
        // Of no alarm to anybody: `agentnet verify` and the gate ask to be refused.
        "proof": is_of_proof(event),
        "event": event,
    });
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::made::asked;

    #[test]
    fn a_decision_is_one_line_whatever_its_host_is() {
        let id = crate::record::made().task;
        let event = asked("a\n\u{1b}[2J\u{202e}.example", 0);
        assert_eq!(
            line(&id, &event),
            "2026-11-18T11:06:40Z shop/t REFUSED a\u{fffd}\u{fffd}[2J\u{fffd}.example:443 not_listed (dns)\n"
        );
        let json = json(&id, &event);
        assert_eq!(json.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["event"]["protocol"], "dns");
        assert_eq!(
            (&value["project"], &value["task"]),
            (&"shop".into(), &"t".into())
        );
        assert_eq!(value["proof"], false);
        let own = super::json(&id, &asked("host.docker.internal", 0));
        assert!(own.contains("\"proof\":true"), "{own}");
    }
}
