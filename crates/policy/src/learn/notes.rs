//! What is told beside the lines, because it is not among them.

use std::collections::BTreeMap;

/// What is told in comments, by heading.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Notes(BTreeMap<Heading, Vec<String>>);

/// Why something is not among the lines. In the order of telling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Heading {
    Address,
    Inside,
    Unlisted,
    Refused,
    Failed,
}

impl Heading {
    pub(super) fn words(self) -> &'static str {
        match self {
            Heading::Address => {
                "addresses are not proposed; a person who means one writes the line that follows it"
            }
            Heading::Inside => {
                "names that led to an address inside; a person who means one writes the line that follows it"
            }
            Heading::Unlisted => "requests that no narrow line can be for",
            Heading::Refused => "refused while this was recorded, not proposed",
            Heading::Failed => "allowed and never reached, not proposed",
        }
    }
}

impl Notes {
    pub(super) fn add(&mut self, heading: Heading, what: String) {
        self.0.entry(heading).or_default().push(what);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Heading, &[String])> {
        self.0
            .iter()
            .map(|(heading, notes)| (*heading, notes.as_slice()))
    }
}
