//! Reading files line by line, and the presets that they include.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::line::{self, Says};
use super::presets::Presets;
use super::problem::{Problem, Severity};
use super::wrong::{Wrong, nearest};
use super::{MAX_PROBLEMS, Source};
use crate::rule::{File, Layer, Origin, Permission, Rule};

/// The largest file in bytes; places in it are counted in 32 bits.
const MAX_FILE: usize = 64 << 20;
const MAX_RULES: usize = 250_000;
/// How deep presets may include presets.
const MAX_DEPTH: usize = 8;

pub(super) struct Loader<'p> {
    presets: &'p dyn Presets,
    rules: Vec<Rule>,
    problems: Vec<Problem>,
    /// Presets that were read, by name.
    files: HashMap<String, Arc<File>>,
    /// The lines of presets that are in force: including one twice adds nothing.
    included: HashSet<(String, u32)>,
    /// Presets that are in force as a whole.
    whole: HashSet<String>,
    /// What the includes that are being read leave out.
    except: Vec<Except>,
    full: bool,
}

/// A line, or a preset within a preset, that an include leaves out.
struct Except {
    word: String,
    used: bool,
}

/// A line's place for a message.
#[derive(Clone, Copy)]
struct At<'f> {
    file: &'f str,
    line: u32,
}

impl<'p> Loader<'p> {
    pub(super) fn new(presets: &'p dyn Presets) -> Self {
        Self {
            presets,
            rules: Vec::new(),
            problems: Vec::new(),
            files: HashMap::new(),
            included: HashSet::new(),
            whole: HashSet::new(),
            except: Vec::new(),
            full: false,
        }
    }

    pub(super) fn read(&mut self, source: &Source) {
        let Source { name, layer, text } = source;
        self.file(
            &Arc::new(File {
                name: name.clone(),
                layer: *layer,
                text: text.clone(),
            }),
            &mut Vec::new(),
        );
    }

    pub(super) fn finish(self) -> (Vec<Rule>, Vec<Problem>) {
        (self.rules, self.problems)
    }

    /// `stack` has the names of the presets that are being read.
    fn file(&mut self, file: &Arc<File>, stack: &mut Vec<String>) {
        if file.text.len() > MAX_FILE {
            let what = format!("the file is larger than {} MiB", MAX_FILE >> 20);
            self.error(
                At {
                    file: &file.name,
                    line: 0,
                },
                Wrong::line(what),
            );
            return;
        }
        // A byte order mark is how some editors begin a file; elsewhere it is an error.
        let mut start = if file.text.starts_with('\u{FEFF}') {
            '\u{FEFF}'.len_utf8()
        } else {
            0
        };
        let text = file.text.get(start..).unwrap_or_default();
        let lines = text.bytes().filter(|&b| b == b'\n').count() + 1;
        self.rules.reserve(lines.min(MAX_RULES - self.rules.len()));
        for (index, line) in text.split('\n').enumerate() {
            if self.full {
                return;
            }
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            self.line(
                file,
                number,
                start,
                line.strip_suffix('\r').unwrap_or(line),
                stack,
            );
            start += line.len() + 1;
        }
    }

    fn line(
        &mut self,
        file: &Arc<File>,
        number: u32,
        start: usize,
        text: &str,
        stack: &mut Vec<String>,
    ) {
        let at = At {
            file: &file.name,
            line: number,
        };
        let parsed = match line::parse(text) {
            Ok(parsed) => parsed,
            Err(wrong) => return self.error(at, wrong),
        };
        match parsed.says {
            Says::Nothing => {}
            Says::Include { name, except } => self.include(at, text, name, &except, stack),
            Says::Rule {
                permission,
                warning,
            } => {
                let target = text.get(parsed.text.clone()).unwrap_or_default();
                let target = target.split([' ', '\t']).next().unwrap_or_default();
                if self.is_left_out(target) {
                    return;
                }
                if let Some(warning) = warning.filter(|_| file.layer != Layer::Preset) {
                    self.problem(at, warning, Severity::Warning);
                }
                let place = |range: &Range<usize>| {
                    let place = |at: usize| u32::try_from(start + at).unwrap_or(u32::MAX);
                    place(range.start)..place(range.end)
                };
                let origin = Origin {
                    file: Arc::clone(file),
                    line: number,
                    text: place(&parsed.text),
                    comment: place(&parsed.comment),
                };
                self.rule(origin, permission, stack.last());
            }
        }
    }

    /// `preset` is the innermost include, if the line came by one.
    fn rule(&mut self, origin: Origin, permission: Permission, preset: Option<&String>) {
        if let Some(preset) = preset
            && !self.included.insert((preset.clone(), origin.line))
        {
            return;
        }
        if self.rules.len() == MAX_RULES {
            let what = format!("there are more than {MAX_RULES} rules");
            self.error(
                At {
                    file: &origin.file.name,
                    line: origin.line,
                },
                Wrong::line(what),
            );
            self.full = true;
            return;
        }
        self.rules.push(Rule { origin, permission });
    }

    fn include(
        &mut self,
        at: At<'_>,
        text: &str,
        name: &str,
        except: &[&str],
        stack: &mut Vec<String>,
    ) {
        let word = format!("@{name}");
        if self.is_left_out(&word) {
            return;
        }
        if stack.iter().any(|open| open == name) || stack.len() == MAX_DEPTH {
            return self.error(
                at,
                Wrong::word(&word, "includes itself, or is nested too deep"),
            );
        }
        if self.except.is_empty() && except.is_empty() && self.whole.contains(name) {
            return;
        }
        let Some(file) = self.preset(name) else {
            let near = nearest(name, self.presets.names());
            let fix = near.map(|near| text.trim().replacen(&word, &format!("@{near}"), 1));
            return self.error(at, Wrong::word(&word, "is no preset").write_if(fix));
        };
        let outer = self.except.len();
        self.except.extend(except.iter().map(|&word| Except {
            word: word.into(),
            used: false,
        }));
        stack.push(name.to_owned());
        self.file(&file, stack);
        stack.pop();
        for unused in self
            .except
            .split_off(outer)
            .into_iter()
            .filter(|except| !except.used)
        {
            let what = format!("leaves out nothing: no line of @{name} is for exactly that target");
            self.error(at, Wrong::word(&unused.word, what));
        }
        if self.except.is_empty() && except.is_empty() {
            self.whole.insert(name.to_owned());
        }
    }

    fn preset(&mut self, name: &str) -> Option<Arc<File>> {
        if let Some(file) = self.files.get(name) {
            return Some(Arc::clone(file));
        }
        let text = self.presets.get(name)?.into_owned();
        let place = self.presets.place(name);
        let file = Arc::new(File {
            name: place.map_or_else(|| format!("@{name}"), str::to_owned),
            layer: Layer::Preset,
            text,
        });
        self.files.insert(name.to_owned(), Arc::clone(&file));
        Some(file)
    }

    /// Whether an open include leaves out the line with this first word, written with its ports
    /// or without.
    fn is_left_out(&mut self, target: &str) -> bool {
        let end = target.find(']').map_or(0, |end| end + 1);
        let ports = target
            .get(end..)
            .and_then(|rest| rest.find(':'))
            .map(|at| end + at);
        let host = ports.and_then(|at| target.get(..at)).unwrap_or(target);
        let mut left_out = false;
        let hit = |except: &&mut Except| except.word == target || except.word == host;
        for except in self.except.iter_mut().filter(hit) {
            except.used = true;
            left_out = true;
        }
        left_out
    }

    fn error(&mut self, at: At<'_>, wrong: Wrong) {
        self.problem(at, wrong, Severity::Error);
    }

    fn problem(&mut self, at: At<'_>, wrong: Wrong, severity: Severity) {
        let Wrong { word, what, fix } = wrong;
        // Counted apart: warnings must never push out an error, because an error stops the load.
        let told = self
            .problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count();
        if told < MAX_PROBLEMS {
            let file = at.file.to_owned();
            self.problems.push(Problem {
                file,
                line: at.line,
                word,
                what,
                fix,
                severity,
            });
        } else if severity == Severity::Error {
            self.full = true;
        }
    }
}
