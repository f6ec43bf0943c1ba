//! What is wrong with one line, before it is known which file the line is in.

use crate::rule::Methods;

/// A problem without its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    pub(crate) word: Option<String>,
    pub(crate) what: String,
    pub(crate) fix: Option<String>,
}

impl Wrong {
    /// The words of `what` continue "`WORD` …".
    pub(crate) fn word(word: &str, what: impl Into<String>) -> Self {
        Self {
            word: Some(word.to_owned()),
            what: what.into(),
            fix: None,
        }
    }

    /// `what` is a sentence of its own.
    pub(crate) fn line(what: impl Into<String>) -> Self {
        Self {
            word: None,
            what: what.into(),
            fix: None,
        }
    }

    pub(crate) fn write(self, fix: impl Into<String>) -> Self {
        Self {
            fix: Some(fix.into()),
            ..self
        }
    }

    pub(crate) fn write_if(self, fix: Option<String>) -> Self {
        Self { fix, ..self }
    }
}

/// The words of a line, and how it would read with one of them changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self(
            text.split([' ', '\t'])
                .filter(|word| !word.is_empty())
                .collect(),
        )
    }

    pub(crate) fn first(&self) -> Option<&'a str> {
        self.0.first().copied()
    }

    /// The words after the first, with their places.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (usize, &'a str)> + '_ {
        self.0.iter().copied().enumerate().skip(1)
    }

    pub(crate) fn with(&self, place: usize, word: &str) -> String {
        self.joined(|at, old| Some(if at == place { word } else { old }))
    }

    pub(crate) fn without(&self, place: usize) -> String {
        self.joined(|at, old| (at != place).then_some(old))
    }

    pub(crate) fn without_word(&self, word: &str) -> String {
        self.joined(|_, old| (old != word).then_some(old))
    }

    pub(crate) fn plus(&self, word: &str) -> String {
        format!("{} {word}", self.joined(|_, old| Some(old)))
    }

    /// What stands behind `place` as a comment.
    pub(crate) fn commented(&self, place: usize) -> String {
        let kept = self.0.get(..place).unwrap_or_default().join(" ");
        let said = self.0.get(place + 1..).unwrap_or_default().join(" ");
        format!("{kept} # {said}").trim_end().to_owned()
    }

    /// The first two words changed over.
    pub(crate) fn second_first(&self) -> String {
        let mut words = self.0.clone();
        if words.len() > 1 {
            words.swap(0, 1);
        }
        words.join(" ")
    }

    /// The methods at `place` put behind those that stand before it.
    pub(crate) fn joined_to_method(&self, place: usize) -> String {
        let second = self.0.get(place).copied().unwrap_or_default();
        let first = self.rest().find(|(_, word)| Methods::is_meant(word));
        let (at, first) = first.unwrap_or_default();
        let joined = format!("{first},{second}");
        self.joined(|here, old| match here {
            _ if here == at => Some(joined.as_str()),
            _ => (here != place).then_some(old),
        })
    }

    fn joined<'b>(&'b self, keep: impl Fn(usize, &'b str) -> Option<&'b str>) -> String {
        let kept: Vec<&str> = self
            .0
            .iter()
            .enumerate()
            .filter_map(|(at, word)| keep(at, word))
            .collect();
        kept.join(" ")
    }
}

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 32 {
        return None;
    }
    let most = word.len() / 3 + 1;
    known
        .into_iter()
        .map(|known| (distance(word, known), known))
        .filter(|&(distance, _)| distance <= most.min(2))
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's, over bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            left = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(above + 1);
            diagonal = std::mem::replace(cell, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["deny", "quiet", "raw", "private", "host"];
        assert_eq!(nearest("privat", known), Some("private"));
        assert_eq!(nearest("quite", known), Some("quiet"));
        assert_eq!(nearest("example", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
