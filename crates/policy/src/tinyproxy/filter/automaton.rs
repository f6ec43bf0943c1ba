//! All patterns of a file in one automaton, and a search whose cost is bounded.
//!
//! The client chooses the text and the operator the patterns, of which some (`[ab].{20}c`) have more
//! states than any cache holds. The search that never fails takes steps in the product of both then,
//! which is minutes for a URL of 32 KiB, on a thread that serves everybody. So it is only begun where
//! it is short.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_syntax::hir::Hir;

/// The largest automaton of a file in bytes.
const MAX_SIZE: usize = 64 << 20;
/// What the states that a search meets may take, for each thread that searches.
const CACHE: usize = 8 << 20;
/// How often a cache may be full before a search that gains little by it is given up.
const CLEARED: usize = 3;
/// Bytes of text that each new state must have been good for, to go on then.
const BYTES_A_STATE: usize = 10;
/// The most steps, bytes of text times states of the automaton, of the search that never fails: a
/// tenth of a second or so.
const MAX_STEPS: usize = 4 << 20;

type MakeCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// The patterns of a file.
pub(in crate::tinyproxy) struct Automaton {
    dfa: DFA,
    caches: Pool<Cache, MakeCache>,
    slow: PikeVM,
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Automaton").finish_non_exhaustive()
    }
}

/// The text and the patterns are such that looking on would take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooCostly;

impl Automaton {
    /// All patterns of a file; `None` if they are too large.
    pub(in crate::tinyproxy) fn new(all: &[Hir]) -> Option<Self> {
        let config = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(MAX_SIZE))
            .which_captures(WhichCaptures::None);
        let mut compiler = thompson::Compiler::new();
        let nfa: NFA = compiler.configure(config).build_many_from_hir(all).ok()?;
        let config = DFA::config()
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true)
            .unicode_word_boundary(true)
            .minimum_cache_clear_count(Some(CLEARED))
            .minimum_bytes_per_state(Some(BYTES_A_STATE));
        let dfa = DFA::builder()
            .configure(config)
            .build_from_nfa(nfa.clone())
            .ok()?;
        let model = dfa.clone();
        let make: MakeCache = Box::new(move || model.create_cache());
        Some(Self {
            dfa,
            caches: Pool::new(make),
            slow: PikeVM::new_from_nfa(nfa).ok()?,
        })
    }

    /// The pattern that matches; of several the one whose match begins first, and of these the first.
    pub(super) fn search(&self, text: &str) -> Result<Option<usize>, TooCostly> {
        let input = Input::new(text);
        let mut cache = self.caches.get();
        if let Ok(found) = self.dfa.try_search_fwd(&mut cache, &input) {
            return Ok(found.map(|found| found.pattern().as_usize()));
        }
        drop(cache);
        let states = self.slow.get_nfa().states().len();
        if text.len().saturating_mul(states) > MAX_STEPS {
            return Err(TooCostly);
        }
        let mut cache = self.slow.create_cache();
        let found = self.slow.search_slots(&mut cache, &input, &mut []);
        Ok(found.map(|pattern| pattern.as_usize()))
    }
}
