//! Pattern by pattern.

use std::collections::HashSet;

use regex_automata::meta;
use regex_syntax::hir::Hir;

use super::asked::{is_let_through, is_meant, loads, request};
use super::meaning::{Meant, Piece, Spread, meant, spread};
use super::superfluous::{Superfluous, superfluous};
use super::{Fault, Finding, hostile, reach};
use crate::policy::{Ask, Policy};
use crate::rule::Rule;
use crate::tinyproxy::conf::{Conf, FilterType};
use crate::tinyproxy::filter::{Syntax, alone};

/// The findings and the whitelist.
pub(super) fn examine(conf: &Conf, file: Option<&str>, policy: &Policy) -> (Vec<Finding>, String) {
    let mut linter = Linter {
        conf,
        findings: Vec::new(),
        whitelist: String::new(),
        written: HashSet::new(),
    };
    linter.whole_file(file);
    let rules = policy.rules();
    let examined: Vec<Examined<'_>> = rules.filter_map(|rule| linter.examine(rule)).collect();
    let superfluous = superfluous(conf, &examined);
    for (place, one) in examined.iter().enumerate() {
        linter.pattern(policy, one, superfluous.get(&place).copied());
    }
    (linter.findings, linter.whitelist)
}

/// A pattern that can be looked into.
pub(super) struct Examined<'p> {
    pub(super) rule: &'p Rule,
    pub(super) hir: Hir,
    pub(super) regex: meta::Regex,
    dead_letter: Option<char>,
    /// `None` if the pattern stands for too many texts.
    pub(super) texts: Option<Vec<Spread>>,
}

struct Linter<'c> {
    conf: &'c Conf,
    findings: Vec<Finding>,
    whitelist: String,
    /// The lines of the whitelist.
    written: HashSet<String>,
}

impl Linter<'_> {
    fn whole_file(&mut self, filter: Option<&str>) {
        let conf = self.conf;
        let mut say = |line: &str| {
            self.whitelist.push_str("# ");
            self.whitelist.push_str(line);
            self.whitelist.push('\n');
        };
        let name: String = filter.unwrap_or(&conf.name).escape_default().collect();
        let name: String = name.chars().take(200).collect();
        say(&format!(
            "What {name} evidently means. Whatever no line allows is refused."
        ));
        if conf.connect_ports.is_empty() {
            say(
                "Tinyproxy lets every port through; these lines are for 443 and 80. Write others behind the host: example.com:8443",
            );
        }
        let fault = match (&conf.filter, conf.filter_default_deny) {
            (None, _) => Some(Fault::NoFilter),
            (Some(_), false) => Some(Fault::RestIsOpen),
            (Some(_), true) => None,
        };
        if fault.is_some() {
            say(
                "Everything that is not listed was open. Here it is not: add a line for each host that is needed.",
            );
        }
        let file = filter.unwrap_or(&conf.name).to_owned();
        self.findings.extend(fault.map(|fault| Finding {
            file,
            line: 0,
            pattern: String::new(),
            fault,
        }));
    }

    fn examine<'p>(&self, rule: &'p Rule) -> Option<Examined<'p>> {
        let syntax = self.conf.syntax();
        let bytes = rule.text().as_bytes();
        let pattern = syntax.read(bytes).ok()?;
        Some(Examined {
            rule,
            regex: alone(&pattern.hir)?,
            hir: pattern.hir,
            dead_letter: pattern.dead_letter,
            texts: spread(bytes, syntax),
        })
    }

    fn pattern(&mut self, policy: &Policy, one: &Examined<'_>, superfluous: Option<Superfluous>) {
        let dead = self.dead(one);
        let is_dead = dead.is_some();
        if let Some(why) = dead {
            self.find(one.rule, Fault::Dead(why));
        }
        let urls = self.conf.filter_urls;
        if urls && !is_dead && one.rule.text().to_ascii_lowercase().contains("https://") {
            self.find(one.rule, Fault::NeverHttps);
        }
        match superfluous.filter(|_| !is_dead) {
            Some(Superfluous::Duplicate(line)) => self.find(one.rule, Fault::Duplicate(line)),
            Some(Superfluous::Covered(line)) => self.find(one.rule, Fault::Covered(line)),
            None => {}
        }
        let duplicate = matches!(superfluous, Some(Superfluous::Duplicate(_)));
        if is_dead || duplicate {
            let what = if is_dead {
                "can never match"
            } else {
                "is written twice"
            };
            return self.comment(one.rule, what);
        }
        let all = one.texts.iter().flatten();
        let meanings = joined(all.filter_map(|text| meant(text, urls)).collect());
        let lines: Vec<(Meant, String)> = meanings
            .into_iter()
            .filter_map(|meant| {
                let line = self.line(&meant);
                loads(&line).map(|_| (meant, line))
            })
            .collect();
        if self.conf.filter_default_deny {
            let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
            let intended = loads(&text);
            if let Some(hostile) = self.hostile(policy, one, intended.as_ref()) {
                self.find(one.rule, Fault::LetsThrough(hostile));
            }
        }
        if lines.is_empty() {
            return self.comment(
                one.rule,
                "names no domain that a line could be for; write the hosts that are meant",
            );
        }
        for (meant, line) in lines {
            let note = if meant.exact {
                ""
            } else {
                ", narrowed to what is evidently meant"
            };
            self.write(&line, &format!("{}{note}", quoted(one.rule)));
        }
    }

    /// The line of a whitelist, with the ports of CONNECT and 80.
    fn line(&self, meant: &Meant) -> String {
        let mut ports: Vec<u16> = self
            .conf
            .connect_ports
            .iter()
            .map(|port| port.value)
            .collect();
        let usual = ports.is_empty()
            || ports.iter().all(|port| matches!(port, 80 | 443)) && ports.contains(&443);
        ports.push(80);
        ports.retain(|&port| port > 0);
        ports.sort_unstable();
        ports.dedup();
        let host = match meant.host.parse::<std::net::Ipv6Addr>() {
            Ok(ip) => format!("[{ip}]"),
            Err(_) => meant.host.clone(),
        };
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let ports = if usual {
            String::new()
        } else {
            format!(":{}", ports.join(","))
        };
        let deny = if self.conf.filter_default_deny {
            ""
        } else {
            " deny"
        };
        // A refused host is refused on every port, as in Tinyproxy.
        if deny.is_empty() {
            format!("{host}{ports}")
        } else {
            format!("{host}{deny}")
        }
    }

    /// Why nothing can match.
    fn dead(&self, one: &Examined<'_>) -> Option<String> {
        if let Some(letter) = one.dead_letter {
            return Some(format!(
                "`\\{letter}` means nothing, and matches nothing when case is ignored"
            ));
        }
        let urls = self.conf.filter_urls;
        let alphabets: &[reach::Alphabet] = if urls {
            &[reach::URLS]
        } else {
            &[reach::NAMES, reach::ADDRESSES]
        };
        if !alphabets
            .iter()
            .any(|alphabet| reach::is_possible(&one.hir, *alphabet))
        {
            let texts = one.texts.as_deref().unwrap_or_default();
            let alphabet = if urls { reach::URLS } else { reach::NAMES };
            return Some(match reach::culprit(texts, alphabet) {
                Some('/') => {
                    "it has a slash, and is compared with the host alone, without FilterURLs"
                        .to_owned()
                }
                Some(':') => "it has a port, and is compared with the host alone".to_owned(),
                Some(letter) if letter.is_ascii_uppercase() => {
                    format!("it has a capital {letter}, and hosts are compared in small letters")
                }
                Some(letter) => {
                    let other = self.other_type(one.rule.text());
                    format!("it has a {letter:?}, which no host has{other}")
                }
                None => "no host has such characters".to_owned(),
            });
        }
        let texts = one.texts.as_ref()?;
        if texts.iter().any(|text| reach::is_in_order(text, urls)) {
            let https: Vec<Piece> = std::iter::once(Piece::Start)
                .chain(b"https://".iter().map(|&byte| Piece::Letter(byte)))
                .collect();
            let all_https = urls && texts.iter().all(|text| text.starts_with(&https));
            return all_https.then(|| "no URL that the proxy sees begins with https://, of a CONNECT it sees host:port".to_owned());
        }
        Some("an anchor stands where it cannot be, or the host would end in a dot".to_owned())
    }

    /// What to write if the pattern is one of another `FilterType`, under which it fits a host.
    fn other_type(&self, pattern: &str) -> String {
        let own = self.conf.syntax();
        let names = [reach::NAMES, reach::ADDRESSES];
        let fits = |kind: &FilterType| {
            let syntax = Syntax { kind: *kind, ..own };
            *kind != own.kind
                && syntax.read(pattern.as_bytes()).is_ok_and(|read| {
                    let mut names = names.iter();
                    names.any(|alphabet| reach::is_possible(&read.hir, *alphabet))
                })
        };
        let kinds = [FilterType::Ere, FilterType::Fnmatch];
        match kinds.iter().find(|kind| fits(kind)) {
            Some(kind) => {
                let (own, kind) = (own.kind.word(), kind.word());
                format!("; lines are read as {own}: for {kind}, write FilterType {kind}")
            }
            None => String::new(),
        }
    }

    /// The first name that this pattern lets through and that is not what was meant. The proof is
    /// the decision itself, and that no line of the equivalent whitelist allows it.
    fn hostile(
        &self,
        policy: &Policy,
        one: &Examined<'_>,
        intended: Option<&Policy>,
    ) -> Option<String> {
        let urls = self.conf.filter_urls;
        let nothing = Vec::new();
        let texts = one
            .texts
            .as_deref()
            .unwrap_or(std::slice::from_ref(&nothing));
        let tried = texts.iter().flat_map(|text| {
            if urls {
                hostile::urls(text)
            } else {
                hostile::names(text)
            }
        });
        tried.into_iter().find(|candidate| {
            let Some((target, path)) = request(candidate) else {
                return false;
            };
            let method = "GET";
            let ask = match &path {
                Some(path) => Ask::Http { method, path },
                None if urls => Ask::Tunnel,
                // The port of a tunnel is not what is asked about.
                None => Ask::Http { method, path: "/" },
            };
            let host = target.host().to_string();
            let own = if urls {
                one.regex.is_match(candidate.as_str())
            } else {
                one.regex.is_match(host.as_str())
            };
            own && is_let_through(policy, &target, ask)
                && !intended.is_some_and(|meant| is_meant(meant, &target))
        })
    }

    fn find(&mut self, rule: &Rule, fault: Fault) {
        self.findings.push(Finding {
            file: rule.file().to_owned(),
            line: rule.line(),
            pattern: rule.text().to_owned(),
            fault,
        });
    }

    fn write(&mut self, line: &str, comment: &str) {
        if self.written.insert(line.to_owned()) {
            self.whitelist.push_str(&format!("{line} # {comment}\n"));
        }
    }

    fn comment(&mut self, rule: &Rule, what: &str) {
        let line = format!("# {} {what}\n", quoted(rule));
        self.whitelist.push_str(&line);
    }
}

/// A name and what is below it, in one line.
fn joined(all: Vec<Meant>) -> Vec<Meant> {
    let below: HashSet<String> = all
        .iter()
        .filter_map(|meant| Some(meant.host.strip_prefix("*.")?.to_owned()))
        .collect();
    let whole: HashSet<String> = all
        .iter()
        .filter(|meant| below.contains(&meant.host))
        .map(|meant| meant.host.clone())
        .collect();
    let name = |host: &str| host.strip_prefix("*.").unwrap_or(host).to_owned();
    let mut joined: Vec<Meant> = Vec::new();
    for meant in all {
        let name = name(&meant.host);
        let host = if whole.contains(&name) {
            format!("**.{name}")
        } else {
            meant.host
        };
        match joined.iter_mut().find(|other| other.host == host) {
            Some(other) => other.exact &= meant.exact,
            None => joined.push(Meant { host, ..meant }),
        }
    }
    joined
}

/// The pattern and its place, fit for a comment of a whitelist.
fn quoted(rule: &Rule) -> String {
    let shown = |text: &str| -> String {
        let shown = text.escape_default().to_string().replace("\\\\", "\\");
        shown.chars().take(600).collect()
    };
    format!(
        "{}:{}: {}",
        shown(rule.file()),
        rule.line(),
        shown(rule.text())
    )
}
