//! From a configuration and its filter file to a [`Policy`].

use std::path::Path;
use std::sync::Arc;

use regex_syntax::hir::Hir;

use super::conf::Conf;
use super::filter::{Automaton, Filter, Line, Listed, Odd, Subject, Syntax, is_small, lines};
use crate::policy::{Mode, Policy};
use crate::rule::{Effect, File, Hosts, Layer, Origin, Permission, Ports, Rule};
use crate::whitelist::{Loaded, MAX_PROBLEMS, Problem, Problems, Severity};

/// The largest filter file in bytes; places in it are counted in 32 bits.
const MAX_FILE: usize = 64 << 20;
/// The most patterns.
const MAX_PATTERNS: usize = 250_000;

/// What a `tinyproxy.conf` does not say.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether private addresses, loopback and the machine's own are open as they are in Tinyproxy.
    /// Metadata services and the sockets that the proxy listens on stay closed.
    pub private: bool,
    /// Whether tunnels to listed hosts may carry what is not TLS for that host, as they may in Tinyproxy.
    pub raw: bool,
    /// The mode of the policy.
    pub mode: Mode,
}

impl Conf {
    /// The rule book of this configuration. `filter` is the name (for messages) and the text of the
    /// file that [`filter`](Conf::filter) names.
    ///
    /// A request that is refused because of its port has
    /// [`Reason::PortNotListed`](crate::Reason::PortNotListed); one that a pattern refuses
    /// [`RuleDenied`](crate::Reason::RuleDenied); one that no pattern allows
    /// [`NotListed`](crate::Reason::NotListed).
    ///
    /// # Errors
    /// Every line of the filter file that is no pattern, at most a hundred, and the warnings.
    pub fn policy(
        &self,
        filter: Option<(&str, &str)>,
        options: Options,
    ) -> Result<Loaded, Problems> {
        let (name, text) = match (filter, &self.filter) {
            (None, Some(named)) => {
                let path = named.value.display();
                return Err(Problems::new(vec![Problem {
                    file: self.name.clone(),
                    line: named.line,
                    word: Some(path.to_string()),
                    what: "is the filter file, and was not read".to_owned(),
                    fix: None,
                    severity: Severity::Error,
                }]));
            }
            (Some(filter), Some(_)) => filter,
            (_, None) => (self.name.as_str(), ""),
        };
        let mut reader = Reader {
            name,
            problems: Vec::new(),
        };
        let syntax = self.syntax();
        let (rules, hirs) = reader.read(text, syntax, self.listed());
        let regex = if reader.has_errors() || hirs.is_empty() {
            None
        } else {
            let regex = Automaton::new(&hirs);
            if regex.is_none() {
                let what = "the patterns are too many or too large for one automaton of 64 MiB; use a whitelist for long lists of names";
                reader.error(0, None, what);
            }
            regex
        };
        if reader.has_errors() {
            return Err(Problems::new(reader.problems));
        }
        let filter = Filter {
            regex,
            syntax,
            subject: if self.filter_urls {
                Subject::Url
            } else {
                Subject::Host
            },
            listed: self.listed(),
            connect_ports: self.connect_ports.iter().map(|port| port.value).collect(),
            private: options.private,
            raw: options.raw,
        };
        Ok(Loaded {
            policy: Policy::filtered(rules, filter, options.mode),
            warnings: reader.problems,
        })
    }

    /// The filter file, if there is one.
    pub fn filter_path(&self) -> Option<&Path> {
        self.filter.as_ref().map(|filter| filter.value.as_path())
    }

    pub(super) fn syntax(&self) -> Syntax {
        Syntax {
            kind: self.filter_type,
            case_sensitive: self.filter_case_sensitive,
        }
    }

    fn listed(&self) -> Listed {
        if self.filter_default_deny {
            Listed::Allowed
        } else {
            Listed::Refused
        }
    }
}

struct Reader<'n> {
    name: &'n str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read(&mut self, text: &str, syntax: Syntax, listed: Listed) -> (Vec<Rule>, Vec<Hir>) {
        if text.len() > MAX_FILE {
            self.error(0, None, "the file is larger than 64 MiB");
            return Default::default();
        }
        let all = lines(text.as_bytes());
        if all.len() > MAX_PATTERNS {
            self.error(0, None, "there are more than 250000 patterns");
            return Default::default();
        }
        let file = Arc::new(File {
            name: self.name.to_owned(),
            layer: Layer::Project,
            text: text.to_owned(),
        });
        let mut rules = Vec::with_capacity(all.len());
        let mut hirs = Vec::with_capacity(all.len());
        for line in all {
            let bytes = text.as_bytes().get(line.text.clone()).unwrap_or_default();
            let word = String::from_utf8_lossy(bytes);
            match syntax.read(bytes) {
                Err(fault) => self.error(line.number, Some(&word), fault),
                Ok(pattern) if !is_small(&pattern.hir) => {
                    let what = "repeats so much that it takes more than a mebibyte; write it with smaller counts";
                    self.error(line.number, Some(&word), what);
                }
                Ok(pattern) => {
                    if let Some(letter) = pattern.dead_letter {
                        let what = format!(
                            "can never match: `\\{letter}` means nothing, and when case is ignored glibc compares it with capitals; write `{letter}`"
                        );
                        self.warn(line.number, &word, &what);
                    }
                    self.odd(&line, &word);
                    rules.push(rule(&file, &line, listed));
                    hirs.push(pattern.hir);
                }
            }
        }
        (rules, hirs)
    }

    fn odd(&mut self, line: &Line, word: &str) {
        let what = match line.odd {
            None => return,
            Some(Odd::MoreWords) => {
                "is the pattern; the words behind it are not read, as in Tinyproxy"
            }
            Some(Odd::CutOff) => {
                "is longer than 511 bytes; what follows is read as another pattern, as in Tinyproxy"
            }
        };
        self.warn(line.number, word, what);
    }

    fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    fn error(&mut self, line: u32, word: Option<&str>, what: &str) {
        self.problem(line, word, what, Severity::Error);
    }

    fn warn(&mut self, line: u32, word: &str, what: &str) {
        self.problem(line, Some(word), what, Severity::Warning);
    }

    fn problem(&mut self, line: u32, word: Option<&str>, what: &str, severity: Severity) {
        let same = |problem: &&Problem| problem.severity == severity;
        if self.problems.iter().filter(same).count() < MAX_PROBLEMS {
            self.problems.push(Problem {
                file: self.name.to_owned(),
                line,
                word: word.map(str::to_owned),
                what: what.to_owned(),
                fix: None,
                severity,
            });
        }
    }
}

fn rule(file: &Arc<File>, line: &Line, listed: Listed) -> Rule {
    let place = |range: &std::ops::Range<usize>| {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        place(range.start)..place(range.end)
    };
    let effect = match listed {
        Listed::Allowed => Effect::Allow {
            raw: false,
            private: false,
            host: false,
            up: None,
        },
        Listed::Refused => Effect::Deny { quiet: false },
    };
    Rule {
        origin: Origin {
            file: Arc::clone(file),
            line: line.number,
            text: place(&line.text),
            comment: place(&line.comment),
        },
        permission: Permission {
            hosts: Hosts::Filtered,
            ports: Ports::All,
            http: None,
            effect,
            until: None,
        },
    }
}
