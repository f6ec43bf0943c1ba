//! What was found: the report that `verify --json` prints and the controller reads.

use std::fmt;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::expectation::Fence;
use crate::row_id::RowId;

/// Longest report that is read, in bytes: it comes out of a container that the agent lives in.
pub const LONGEST: usize = 256 * 1024;

/// The version of the JSON document.
pub const VERSION: u8 = 1;

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Tried, and it is closed.
    Sealed,
    /// Tried, and it is open.
    Leak,
    /// Nothing could be learnt: the proxy does not answer, or the kernel would not let us try.
    /// Not a leak, and not a proof either, so it counts against the fence.
    Broken,
    /// Does not apply here; the detail says why.
    Skipped,
}

impl Outcome {
    /// The word of table and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Leak => "leak",
            Self::Broken => "broken",
            Self::Skipped => "skipped",
        }
    }

    /// Does this row stand against calling the fence sealed?
    #[must_use]
    pub fn counts_against(self) -> bool {
        match self {
            Self::Leak | Self::Broken => true,
            Self::Sealed | Self::Skipped => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One row: what was tried and what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which way out.
    pub id: RowId,
    /// What was tried, in words.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What happened; for a leak also which way is open and how that usually comes about.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

impl Row {
    /// Makes a row of a finding that was begun at `start`.
    pub(crate) fn since(
        start: Instant,
        id: RowId,
        what: impl Into<String>,
        finding: Finding,
    ) -> Self {
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        Self {
            id,
            what: what.into(),
            outcome: finding.outcome,
            detail: finding.detail,
            ms: (ms * 1000.0).round() / 1000.0,
        }
    }
}

/// A row's outcome and the sentence that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) outcome: Outcome,
    pub(crate) detail: String,
}

impl Finding {
    pub(crate) fn sealed(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Sealed,
            detail: detail.into(),
        }
    }

    pub(crate) fn leak(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Leak,
            detail: detail.into(),
        }
    }

    pub(crate) fn broken(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Broken,
            detail: detail.into(),
        }
    }

    pub(crate) fn skipped(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Skipped,
            detail: detail.into(),
        }
    }
}

/// Everything that one run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`VERSION`].
    pub v: u8,
    /// True if no row counts against the fence.
    pub sealed: bool,
    /// The fence that was promised.
    pub fence: Fence,
    /// The rows, in the order of the table.
    pub rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(fence: Fence, mut rows: Vec<Row>) -> Self {
        rows.sort_by_key(|row| row.id);
        let sealed = !rows.iter().any(|row| row.outcome.counts_against());
        Self {
            v: VERSION,
            sealed,
            fence,
            rows,
        }
    }

    /// The rows that stand against the fence.
    pub fn against(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.outcome.counts_against())
    }

    /// Reads what `verify --json` printed. The text comes out of the task's container, so it is
    /// bounded, and a verdict that its own rows contradict is refused.
    ///
    /// # Errors
    /// [`ReportError`] says what is wrong with the document.
    pub fn parse(text: &[u8]) -> Result<Self, ReportError> {
        if text.len() > LONGEST {
            return Err(ReportError::TooLong(text.len()));
        }
        let report: Self =
            serde_json::from_slice(text).map_err(|error| ReportError::Json(error.to_string()))?;
        if report.v != VERSION {
            return Err(ReportError::Version(report.v));
        }
        if report.rows.is_empty() || report.sealed == report.against().next().is_some() {
            return Err(ReportError::Contradiction);
        }
        Ok(report)
    }
}

/// Why a report could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportError {
    /// Longer than [`LONGEST`]; the length in bytes.
    TooLong(usize),
    /// Not the JSON document that it should be.
    Json(String),
    /// A version that this program does not know.
    Version(u8),
    /// No rows, or a verdict that the rows contradict.
    Contradiction,
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => {
                write!(
                    f,
                    "the gate's report has {length} bytes, more than {LONGEST}"
                )
            }
            Self::Json(error) => write!(f, "the gate's report is not readable: {error}"),
            Self::Version(v) => write!(
                f,
                "the gate's report has version {v}, this program knows {VERSION}: rebuild the gate image"
            ),
            Self::Contradiction => f.write_str("the gate's report contradicts its own rows"),
        }
    }
}

impl std::error::Error for ReportError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: RowId, outcome: Outcome) -> Row {
        Row {
            id,
            what: "w".into(),
            outcome,
            detail: "d".into(),
            ms: 0.125,
        }
    }

    #[test]
    fn a_report_survives_json() {
        let report = Report::new(
            Fence::Network,
            vec![
                row(RowId::Fronting, Outcome::Skipped),
                row(RowId::Routes, Outcome::Leak),
            ],
        );
        assert!(!report.sealed);
        assert_eq!(report.rows[0].id, RowId::Routes, "sorted as the table is");
        let text = serde_json::to_vec(&report).unwrap();
        assert_eq!(Report::parse(&text).unwrap(), report);
    }

    #[test]
    fn the_document_is_the_documented_one() {
        let report = Report::new(Fence::Socket, vec![row(RowId::DirectIpv4, Outcome::Sealed)]);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"v":1,"sealed":true,"fence":"socket","rows":[{"id":"direct_ipv4","what":"w","outcome":"sealed","detail":"d","ms":0.125}]}"#
        );
    }

    #[test]
    fn sealed_means_no_leak_and_nothing_broken() {
        let of = |outcome| Report::new(Fence::None, vec![row(RowId::Routes, outcome)]).sealed;
        assert!(of(Outcome::Sealed) && of(Outcome::Skipped));
        assert!(!of(Outcome::Leak) && !of(Outcome::Broken));
    }

    #[test]
    fn a_forged_or_foreign_document_is_refused() {
        let lie = r#"{"v":1,"sealed":true,"fence":"none","rows":[{"id":"routes","what":"","outcome":"leak","detail":"","ms":0}]}"#;
        assert_eq!(
            Report::parse(lie.as_bytes()),
            Err(ReportError::Contradiction)
        );
        let empty = r#"{"v":1,"sealed":true,"fence":"none","rows":[]}"#;
        assert_eq!(
            Report::parse(empty.as_bytes()),
            Err(ReportError::Contradiction)
        );
        let newer = r#"{"v":2,"sealed":true,"fence":"none","rows":[]}"#;
        assert_eq!(
            Report::parse(newer.as_bytes()),
            Err(ReportError::Version(2))
        );
        assert!(matches!(
            Report::parse(b"sealed"),
            Err(ReportError::Json(_))
        ));
        assert_eq!(
            Report::parse(&vec![b' '; LONGEST + 1]),
            Err(ReportError::TooLong(LONGEST + 1))
        );
    }
}
