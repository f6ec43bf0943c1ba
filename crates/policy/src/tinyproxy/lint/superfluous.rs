//! Lines that others say as well.

use std::collections::HashMap;

use regex_syntax::hir::Look;

use super::linter::Examined;
use super::meaning::{Piece, Spread};
use crate::tinyproxy::conf::{Conf, FilterType};

/// Up to how many patterns each is compared with each.
const MOST_COMPARED: usize = 1_000;

/// Why a line could go.
#[derive(Clone, Copy)]
pub(super) enum Superfluous {
    Duplicate(u32),
    Covered(u32),
}

/// Lines that others say as well, by their place.
pub(super) fn superfluous(conf: &Conf, all: &[Examined<'_>]) -> HashMap<usize, Superfluous> {
    let fold = !conf.filter_case_sensitive && conf.filter_type != FilterType::Fnmatch;
    let mut found = HashMap::new();
    let mut seen: HashMap<String, u32> = HashMap::new();
    for (place, one) in all.iter().enumerate() {
        let text = one.rule.text();
        // `\W` is not `\w`.
        let same = if fold && !text.contains('\\') {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        };
        let line = one.rule.line();
        match seen.get(&same) {
            Some(&first) => drop(found.insert(place, Superfluous::Duplicate(first))),
            None => drop(seen.insert(same, line)),
        }
    }
    if conf.filter_urls || all.len() > MOST_COMPARED {
        return found;
    }
    for (place, one) in all.iter().enumerate() {
        let mut others = all.iter().enumerate();
        // Of two that match the same, the later one is superfluous.
        let wider = others.find(|(at, other)| {
            *at != place && covers(other, one) && (*at < place || !covers(one, other))
        });
        if let Some((_, wider)) = wider {
            let covered = Superfluous::Covered(wider.rule.line());
            found.entry(place).or_insert(covered);
        }
    }
    found
}

/// Whether every host that `other` matches has a part, at the same end if that matters, that
/// makes `one` match. May say no where the answer is yes.
fn covers(one: &Examined<'_>, other: &Examined<'_>) -> bool {
    let looks = one.hir.properties().look_set();
    let (start, end) = (looks.contains(Look::Start), looks.contains(Look::End));
    let words = looks.contains_word();
    let Some(texts) = &other.texts else {
        return false;
    };
    let covered = |text: &Spread| {
        let mut runs = text.split(|piece| {
            matches!(
                piece,
                Piece::Dot | Piece::Part | Piece::Anything | Piece::Edge
            )
        });
        runs.any(|run| {
            let (from_start, to_end) = (
                run.first() == Some(&Piece::Start),
                run.last() == Some(&Piece::End),
            );
            let letters: Vec<u8> = run.iter().filter_map(|piece| piece.letter()).collect();
            let whole = (from_start || !start && !words) && (to_end || !end && !words);
            whole && !letters.is_empty() && one.regex.is_match(&letters)
        })
    };
    !texts.is_empty() && texts.iter().all(covered)
}
