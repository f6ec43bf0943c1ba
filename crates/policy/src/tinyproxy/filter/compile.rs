//! From one expression to an automaton of bounded size.

use regex_automata::meta::{self, Config};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_syntax::hir::Hir;

/// The largest automaton of one line in bytes: `x{32767}` is refused, and whatever a person writes
/// is not.
const MAX_LINE_SIZE: usize = 1 << 20;

/// One pattern by itself; `None` if it is too large.
pub(in crate::tinyproxy) fn alone(hir: &Hir) -> Option<meta::Regex> {
    let config = Config::new()
        .auto_prefilter(false)
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_LINE_SIZE))
        .which_captures(WhichCaptures::Implicit);
    let mut builder = meta::Builder::new();
    builder.configure(config).build_from_hir(hir).ok()
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
