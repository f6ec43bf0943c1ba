//! From text to [`Conf`].

mod values;

use std::collections::HashMap;

use super::argument::Arguments;
use super::conf::Conf;
use super::directive::Directive;
use super::upstream::{self, Site};
use super::wording::{cut, example, finish, respelt};
use crate::clients::{ClientList, ClientRule};
use crate::whitelist::wrong::{Wrong, nearest};
use crate::whitelist::{MAX_PROBLEMS, Problem, Severity};

/// The largest file in bytes.
const MAX_FILE: usize = 1 << 20;

impl Conf {
    /// Reads a `tinyproxy.conf`. `name` is for messages. No file is opened.
    ///
    /// # Errors
    /// Every line that is wrong, and the warnings beside them, at most a hundred of each. Otherwise
    /// the configuration and the warnings.
    pub fn parse(name: &str, text: &str) -> Result<(Conf, Vec<Problem>), Vec<Problem>> {
        let mut reader = Reader {
            conf: Conf::empty(name),
            clients: Vec::new(),
            said: HashMap::new(),
            problems: Vec::new(),
        };
        if text.len() > MAX_FILE {
            let what = format!("the file is larger than {} MiB", MAX_FILE >> 20);
            reader.problem(0, Wrong::line(what), Severity::Error);
            return Err(reader.problems);
        }
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        for (index, line) in text.split('\n').enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            reader.line(number, line.strip_suffix('\r').unwrap_or(line));
        }
        reader.whole();
        let Reader {
            mut conf,
            clients,
            problems,
            ..
        } = reader;
        conf.clients = ClientList::new(clients);
        if problems.iter().any(|p| p.severity == Severity::Error) {
            return Err(problems);
        }
        Ok((conf, problems))
    }
}

struct Reader {
    conf: Conf,
    clients: Vec<ClientRule>,
    /// Where a directive was said first, and with which words.
    said: HashMap<Directive, (u32, String)>,
    problems: Vec<Problem>,
}

impl Reader {
    fn line(&mut self, number: u32, text: &str) {
        let line = text.trim_matches([' ', '\t', '\x0b', '\x0c', '\r']);
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let end = line.find([' ', '\t']).unwrap_or(line.len());
        let (keyword, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        if let Some((before, value)) = line.split_once('=')
            && let Some(directive) = Directive::parse(before.trim_end())
        {
            let what = "stands before a `=`, where Tinyproxy has a space";
            let wrong = Wrong::word(directive.name(), what).write(respelt(directive, value));
            return self.problem(number, wrong, Severity::Error);
        }
        let Some(directive) = Directive::parse(keyword) else {
            let small = keyword.to_ascii_lowercase();
            let names: Vec<String> = Directive::ALL
                .iter()
                .map(|directive| directive.name().to_ascii_lowercase())
                .collect();
            let near = nearest(&small, names.iter().map(String::as_str)).and_then(Directive::parse);
            let what = match small.as_str() {
                "acl" | "http_access" | "http_port" | "cache_peer" | "cache_dir" => {
                    "is a line of Squid's: docs/squid.md says what becomes of its lists"
                }
                _ => "is no directive of Tinyproxy",
            };
            let mut wrong = Wrong::word(&cut(keyword), what);
            wrong.fix = near.map(|near| respelt(near, rest));
            return self.problem(number, wrong, Severity::Error);
        };
        let arguments = Arguments::new(rest);
        let result = self
            .once(directive, arguments.rest(), number)
            .and_then(|()| self.directive(directive, arguments, number));
        if let Err(wrong) = result {
            let wrong = finish(wrong, directive, arguments.rest());
            self.problem(number, wrong, Severity::Error);
        }
    }

    /// A directive that counts once and is said again.
    fn once(&mut self, directive: Directive, rest: &str, line: u32) -> Result<(), Wrong> {
        if directive.adds_up() {
            return Ok(());
        }
        let Some((first, words)) = self.said.get(&directive) else {
            self.said.insert(directive, (line, rest.to_owned()));
            return Ok(());
        };
        let is_path = directive == Directive::Filter;
        let same = words == rest || !is_path && words.eq_ignore_ascii_case(rest);
        let what = format!("was said on line {first} already");
        if directive.filters() && !same {
            let what = format!("{what}, with other words; one of the two lines must go");
            return Err(Wrong::word(directive.name(), what));
        }
        let what = format!("{what}; this line counts");
        self.warn(line, Wrong::word(directive.name(), what));
        Ok(())
    }

    fn directive(
        &mut self,
        directive: Directive,
        mut arguments: Arguments<'_>,
        line: u32,
    ) -> Result<(), Wrong> {
        if directive == Directive::Upstream {
            return self.upstream(arguments, line);
        }
        if is_reverse(directive) {
            let what = "makes a reverse proxy, which this is not: put one in front of the site, and take the line out";
            return Err(Wrong::word(directive.name(), what));
        }
        let Some(first) = arguments.word()? else {
            return Err(Wrong::line("has no value").write(example(directive)));
        };
        if directive.takes_two() {
            let Some(second) = arguments.word()? else {
                return Err(Wrong::line("takes two values").write(example(directive)));
            };
            // What is behind a password may be a part of it, and is not told.
            let end = arguments.end();
            if end.is_err() && directive == Directive::BasicAuth {
                return Err(Wrong::line("takes two values").write(example(directive)));
            }
            end?;
            self.pair(directive, first, second, line)
        } else {
            arguments.end()?;
            self.single(directive, first, line)
        }
    }

    fn upstream(&mut self, arguments: Arguments<'_>, line: u32) -> Result<(), Wrong> {
        let upstream = upstream::parse(arguments, line)?;
        let upstreams = &mut self.conf.upstreams;
        let default = upstreams.iter().find(|old| old.site == Site::All);
        match default.filter(|_| upstream.site == Site::All) {
            None => upstreams.push(upstream),
            Some(first) => {
                let first = first.line;
                let what =
                    format!("for all hosts stands on line {first} already, and that one counts");
                self.warn(line, Wrong::word(Directive::Upstream.name(), what));
            }
        }
        Ok(())
    }

    /// What only the whole file shows.
    fn whole(&mut self) {
        let line = |directive| self.said.get(&directive).map(|(line, _)| *line);
        let kind = (line(Directive::FilterType), line(Directive::FilterExtended));
        if let (Some(first), Some(second)) = kind {
            let what = "and FilterType say the same thing; one of the two lines must go";
            let wrong = Wrong::word(Directive::FilterExtended.name(), what);
            self.problem(first.max(second), wrong, Severity::Error);
        }
        if self.conf.filter.is_none() && self.conf.filter_default_deny {
            let at = self.said.get(&Directive::FilterDefaultDeny);
            let what = "stands without a Filter: Tinyproxy then lets everything through, which nobody means by it";
            let wrong = Wrong::word(Directive::FilterDefaultDeny.name(), what);
            let wrong = wrong.write("Filter \"/etc/tinyproxy/filter\"");
            let at = at.map_or(0, |(line, _)| *line);
            self.problem(at, wrong, Severity::Error);
        }
        if !self.said.contains_key(&Directive::Port) {
            let wrong = Wrong::line("there is no Port line; 8888 counts");
            self.problem(0, wrong.write("Port 8888"), Severity::Warning);
        }
        if let Some(file) = self.conf.log_file.as_ref().filter(|_| self.conf.syslog) {
            let (at, what) = (file.line, "is not used, because Syslog is on");
            self.warn(at, Wrong::word(Directive::LogFile.name(), what));
        }
    }

    fn ignored(&mut self, directive: Directive, line: u32) {
        let what = if matches!(directive, Directive::User | Directive::Group) {
            "is not used: start the program as the user it should have"
        } else {
            "is not used: there are no servers to start or to spare"
        };
        self.warn(line, Wrong::word(directive.name(), what));
    }

    fn warn(&mut self, line: u32, wrong: Wrong) {
        self.problem(line, wrong, Severity::Warning);
    }

    fn problem(&mut self, line: u32, wrong: Wrong, severity: Severity) {
        let same = |problem: &&Problem| problem.severity == severity;
        if self.problems.iter().filter(same).count() == MAX_PROBLEMS {
            return;
        }
        let Wrong { word, what, fix } = wrong;
        self.problems.push(Problem {
            file: self.conf.name.clone(),
            line,
            word,
            what,
            fix,
            severity,
        });
    }
}

fn is_reverse(directive: Directive) -> bool {
    matches!(
        directive,
        Directive::ReverseBaseUrl
            | Directive::ReverseMagic
            | Directive::ReverseOnly
            | Directive::ReversePath
    )
}
