//! From expressions to automata of bounded size.

use regex_automata::meta::{self, Config};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_syntax::hir::Hir;

/// The largest automaton of one line in bytes: `x{32767}` is refused, and whatever a person writes
/// is not.
const MAX_LINE_SIZE: usize = 1 << 20;
/// The largest automaton of a file in bytes.
const MAX_SIZE: usize = 64 << 20;
/// What the states that a search meets may take, for each thread that searches.
const CACHE: usize = 8 << 20;

/// One pattern by itself; `None` if it is too large.
pub(in crate::tinyproxy) fn alone(hir: &Hir) -> Option<meta::Regex> {
    builder(MAX_LINE_SIZE).build_from_hir(hir).ok()
}

/// All patterns of a file; `None` if they are too large.
pub(in crate::tinyproxy) fn together(all: &[Hir]) -> Option<meta::Regex> {
    builder(MAX_SIZE).build_many_from_hir(all).ok()
}

/// Whether one pattern is small enough, at less cost than building it.
pub(in crate::tinyproxy) fn is_small(hir: &Hir) -> bool {
    let config = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(MAX_LINE_SIZE))
        .which_captures(WhichCaptures::None);
    let mut compiler = thompson::Compiler::new();
    compiler.configure(config).build_from_hir(hir).is_ok()
}

fn builder(limit: usize) -> meta::Builder {
    let config = Config::new()
        // Looking for the literals of thousands of patterns takes seconds at the load and finds none
        // that would help.
        .auto_prefilter(false)
        .utf8_empty(false)
        .nfa_size_limit(Some(limit))
        .hybrid_cache_capacity(CACHE)
        .which_captures(WhichCaptures::Implicit);
    let mut builder = meta::Builder::new();
    builder.configure(config);
    builder
}
