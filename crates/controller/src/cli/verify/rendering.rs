//! A proof as people read it: every row, or a line a topic.

use agentnet_gate::Outcome;

use crate::output::{printable, table};
use crate::verify::{Proof, ProofRow, Topic};

/// Every row; rows of one kind that are all sealed become one.
pub(super) fn full(proof: &Proof) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut rest = proof.rows.as_slice();
    while let Some(first) = rest.first() {
        let same = |row: &&ProofRow| row.id == first.id && row.outcome == Outcome::Sealed;
        let count = rest.iter().take_while(same).count().max(1);
        let more = match count {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        rows.push(vec![
            words(first.outcome),
            first.id.clone(),
            format!("{}{more}", printable(&first.what)),
            printable(&first.detail),
        ]);
        rest = rest.get(count..).unwrap_or_default();
    }
    table(&["", "WAY OUT", "TRIED", "WHAT HAPPENED"], &rows)
}

/// A line a topic, and below each what counts against the fence.
pub(super) fn brief(proof: &Proof) -> String {
    let mut rows = Vec::new();
    for topic in Topic::ALL {
        let of_topic = || proof.rows.iter().filter(|row| Topic::of(&row.id) == *topic);
        let sealed = of_topic()
            .filter(|row| row.outcome == Outcome::Sealed)
            .count();
        let against: Vec<&ProofRow> = of_topic()
            .filter(|row| row.outcome.counts_against())
            .collect();
        let Some(first) = of_topic().next() else {
            continue;
        };
        let outcome = match against.first() {
            Some(worst) => worst.outcome,
            None if sealed > 0 => Outcome::Sealed,
            None => first.outcome,
        };
        let ways = match sealed {
            0 => "-".to_owned(),
            sealed => sealed.to_string(),
        };
        rows.push(vec![words(outcome), ways, topic.words().to_owned()]);
        for row in against {
            let sentence = format!("{}: {}", printable(&row.what), printable(&row.detail));
            rows.push(vec![String::new(), String::new(), sentence]);
        }
    }
    table(&["", "WAYS", "TRIED"], &rows)
}

fn words(outcome: Outcome) -> String {
    outcome.as_str().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Fence, Mode};
    use crate::verify::Witness;

    fn row(id: &str, what: &str, outcome: Outcome) -> ProofRow {
        ProofRow {
            id: id.to_owned(),
            what: what.to_owned(),
            outcome,
            detail: "so".to_owned(),
            by: Witness::Gate,
        }
    }

    fn proof(rows: Vec<ProofRow>) -> Proof {
        Proof {
            v: 1,
            task: "t".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            mode: Mode::Limited,
            sealed: !rows.iter().any(|row| row.outcome.counts_against()),
            fence: Some(Fence::Network),
            rows,
        }
    }

    #[test]
    fn sealed_rows_of_one_kind_become_one() {
        let text = full(&proof(vec![
            row("foreign", "TCP to a", Outcome::Sealed),
            row("foreign", "TCP to b", Outcome::Sealed),
            row("foreign", "TCP to c", Outcome::Leak),
            row("foreign", "TCP to d", Outcome::Leak),
        ]));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("TCP to a and 1 more"), "{text}");
        assert!(
            text.contains("TCP to c") && text.contains("TCP to d"),
            "{text}"
        );
    }

    #[test]
    fn the_brief_table_has_a_line_a_topic_and_names_every_leak() {
        let text = brief(&proof(vec![
            row("routes", "every routing table", Outcome::Sealed),
            row("direct_ipv4", "TCP to 1.1.1.1:443", Outcome::Leak),
            row("fronting", "CONNECT", Outcome::Skipped),
        ]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[1].starts_with("sealed   1"), "{text}");
        assert!(lines[2].starts_with("leak     -"), "{text}");
        assert!(lines[3].contains("TCP to 1.1.1.1:443: so"), "{text}");
        assert!(lines[4].starts_with("skipped  -"), "{text}");
    }
}
