//! The report as people read it.

use std::io::{self, Write};

use crate::report::{Outcome, Report};

/// Prints one line a row, what counts against the fence again below, and the verdict last.
///
/// # Errors
/// Those of the writer.
pub(crate) fn print(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let widest = report
        .rows
        .iter()
        .map(|row| row.what.chars().count())
        .max()
        .unwrap_or(0)
        .min(48);
    for row in &report.rows {
        let what = visible(&row.what);
        let detail = visible(&row.detail);
        let outcome = row.outcome.as_str();
        writeln!(
            out,
            "{outcome:<8} {id:<19} {what:<widest$}  {detail}",
            id = row.id
        )?;
    }
    let count = |outcome| {
        report
            .rows
            .iter()
            .filter(|row| row.outcome == outcome)
            .count()
    };
    let (sealed, leaks, broken) = (
        count(Outcome::Sealed),
        count(Outcome::Leak),
        count(Outcome::Broken),
    );
    let verdict = if report.sealed {
        format!("sealed: {sealed} ways tried and closed")
    } else {
        format!("NOT sealed: {leaks} open, {broken} could not be proven, {sealed} closed")
    };
    writeln!(out, "\n{} fence, {verdict}", report.fence)
}

/// Control characters made visible: some words come from files that an image brings.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectation::Fence;
    use crate::report::Row;
    use crate::row_id::RowId;

    fn printed(rows: Vec<Row>) -> String {
        let mut out = Vec::new();
        print(&Report::new(Fence::Network, rows), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn row(id: RowId, outcome: Outcome, detail: &str) -> Row {
        Row {
            id,
            what: "tried".into(),
            outcome,
            detail: detail.into(),
            ms: 0.0,
        }
    }

    #[test]
    fn the_table_says_what_was_tried_and_ends_with_the_verdict() {
        let text = printed(vec![
            row(RowId::Routes, Outcome::Sealed, "closed"),
            row(RowId::Fronting, Outcome::Skipped, "later"),
        ]);
        assert!(
            text.contains("sealed   routes              tried  closed\n"),
            "{text}"
        );
        assert!(text.contains("skipped  fronting"), "{text}");
        assert!(
            text.ends_with("network fence, sealed: 1 ways tried and closed\n"),
            "{text}"
        );
        let text = printed(vec![row(RowId::Routes, Outcome::Leak, "open")]);
        assert!(
            text.contains("NOT sealed: 1 open, 0 could not be proven, 0 closed"),
            "{text}"
        );
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let text = printed(vec![row(RowId::Routes, Outcome::Leak, "a\u{1b}[2Jb\nc")]);
        assert!(text.contains("a\u{fffd}[2Jb\u{fffd}c"), "{text}");
    }
}
