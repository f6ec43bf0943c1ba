//! Reading values and collecting what is wrong with them.

use std::path::Path;

use serde_json::Value;

use super::refusal;
use crate::config::Compose;
use crate::error::{Error, Result};

/// A refused file names so many problems at most.
const MOST_PROBLEMS: usize = 50;

/// Collects problems, each with where it is.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    options: &'a Compose,
    problems: Vec<String>,
}

/// Compose prints what nobody set as null, empty or false.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(options: &'a Compose) -> Self {
        Reader {
            options,
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, at: &str, why: &str) {
        self.problems.push(format!("{at}: {why}"));
    }

    /// May this field be left out?
    pub(super) fn ignores(&self, field: &str) -> bool {
        self.options.ignore.iter().any(|name| name == field)
    }

    /// A field that a task cannot honour: nothing if nothing is in it or the user said so.
    pub(super) fn refuse(&mut self, at: &str, field: &str, value: &Value) {
        if is_nothing(value) || self.ignores(field) {
            return;
        }
        let why = refusal::why(field);
        self.problem(
            at,
            &format!("{why}; ignore = [\"{field}\"] in [compose] leaves it out"),
        );
    }

    /// A text; compose writes a dollar sign as two.
    pub(super) fn text(&mut self, at: &str, value: &Value) -> Option<String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.problem(at, "is no text");
                return None;
            }
        };
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            let Some(after) = after.strip_prefix('$') else {
                self.problem(
                    at,
                    &format!(
                        "has a variable that compose has not filled in; make the file with {}",
                        super::HOW
                    ),
                );
                return None;
            };
            out.push_str(before);
            out.push('$');
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, at: &str, value: &Value) -> Vec<String> {
        match value {
            Value::Null => Vec::new(),
            Value::Array(items) => items
                .iter()
                .filter_map(|item| self.text(at, item))
                .collect(),
            Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                self.problem(
                    at,
                    &format!("is no list; make the file with {}", super::HOW),
                );
                Vec::new()
            }
        }
    }

    /// Something made of a text, or what is wrong with it.
    pub(super) fn parsed<T>(
        &mut self,
        at: &str,
        value: &Value,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(at, value)?;
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.problem(at, &why);
                None
            }
        }
    }

    /// Everything that is wrong, or nothing.
    pub(super) fn finish(self, file: &Path) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = self.problems.iter().take(MOST_PROBLEMS).cloned().collect();
        let more = match self.problems.len().saturating_sub(MOST_PROBLEMS) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        Err(Error::Config(format!(
            "{} has what a task cannot honour:\n  {}{more}",
            file.display(),
            shown.join("\n  ")
        )))
    }
}
