//! A `tinyproxy.conf` in place of a TOML file: what it says becomes settings, a policy and a conduct.
//!
//! The policy and the conduct can change at a reload; what is bound or opened once cannot, and a
//! reload that finds it changed says so.

mod file;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use agentnet_policy::tinyproxy::{Conf, Directive};
use agentnet_policy::{Mode, Severity};

use self::file::fixed;
pub use self::file::{TinyproxyFile, Understood};

use super::{
    Destination, ListenerSettings, LogFormat, PolicySource, Problem, Process, Raw, Settings,
};
use crate::clients::Clients;
use crate::journal::Style;
use crate::syslog;

/// Where Tinyproxy looks when no file is named.
pub const DEFAULT_PATH: &str = "/etc/tinyproxy/tinyproxy.conf";

/// True for the text of a `tinyproxy.conf`, false for TOML. A file with mistakes in it is of the
/// kind that more of its lines look like: the message is then about the file that was meant.
#[must_use]
pub fn is_tinyproxy(text: &str) -> bool {
    // No key of ours begins with a capital.
    let with_sign = |line: &str| {
        let word = line.split('=').next().unwrap_or_default().trim();
        Directive::ALL
            .iter()
            .any(|directive| directive.name() == word)
    };
    if text.lines().any(with_sign) {
        return true;
    }
    if text.parse::<toml::Table>().is_ok() {
        return false;
    }
    let mut toml = 0_u32;
    let mut tinyproxy = 0_u32;
    for line in text.lines() {
        let line = line.trim_start_matches('\u{FEFF}').trim();
        let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        let rest = rest.trim_start();
        if word.starts_with('#') || word.is_empty() {
            continue;
        }
        let known = Directive::ALL
            .iter()
            .any(|directive| directive.name().eq_ignore_ascii_case(word));
        if rest.starts_with('=') || word.starts_with('[') {
            toml += 1;
        } else if known {
            tinyproxy += 2;
        } else if word.starts_with(|first: char| first.is_ascii_alphabetic()) {
            tinyproxy += 1;
        }
    }
    tinyproxy > toml
}

/// True where most lines begin with a directive: somebody took a `tinyproxy.conf` for a whitelist.
/// `Allow` and `Deny` say nothing: they are in whitelists too, the one by mistake.
#[must_use]
pub fn has_directives(text: &str) -> bool {
    let mut known = 0_u32;
    let mut other = 0_u32;
    for line in text.lines() {
        let mut words = line.trim_start_matches('\u{FEFF}').split_whitespace();
        let Some(word) = words.next().filter(|word| !word.starts_with('#')) else {
            continue;
        };
        let mut all = Directive::ALL.iter();
        match all.find(|directive| directive.name().eq_ignore_ascii_case(word)) {
            Some(Directive::Allow | Directive::Deny) => {}
            Some(_) if words.next().is_some() => known += 1,
            _ => other += 1,
        }
    }
    known > other
}

impl Settings {
    /// Settings from a `tinyproxy.conf`, with flags and variables over it. Nothing is bound or
    /// opened; the filter is read later, with the policy.
    ///
    /// # Errors
    /// With every problem found.
    pub fn from_tinyproxy(
        mut file: TinyproxyFile,
        flags: Raw,
        environment: Raw,
    ) -> Result<Self, Vec<Problem>> {
        let name = file.name();
        let text = file
            .text()
            .map_err(|error| vec![Problem::new(&name, format!("cannot be read: {error}"))])?;
        let mut problems = strangers(&flags, &environment);
        let conf = match Conf::parse(&name, &text) {
            Ok((conf, _)) => conf,
            Err(wrong) => {
                let errors = wrong
                    .iter()
                    .filter(|problem| problem.severity == Severity::Error);
                problems.extend(errors.map(Problem::from));
                return Err(problems);
            }
        };
        let mut raw = flags.over(environment);
        raw.whitelist.clear();
        raw.task_whitelist.clear();
        raw.presets = None;
        let mut switch = |name: &str, value: Option<String>| match value.as_deref() {
            None | Some("refuse") => false,
            Some("allow") => true,
            Some(other) => {
                let what = format!("`{other}` is not a value for it: write allow or refuse");
                problems.push(Problem::new(name, what));
                false
            }
        };
        file.private = switch("private_destinations", raw.private_destinations.take());
        file.raw = switch("raw_tunnels", raw.raw_tunnels.take());
        if let Some(entries) = raw.client.take() {
            match Clients::parse(&entries) {
                Ok(clients) => file.clients = Some(clients),
                Err(what) => problems.push(Problem::new("client", what)),
            }
        }
        let own_words = raw.log.is_none();
        let by_default = raw.listen.is_empty() && conf.listen.is_empty();
        if raw.listen.is_empty() {
            raw.listen = addresses(&conf);
        }
        raw.max_connections
            .get_or_insert(conf.max_clients.clamp(1, 1_000_000));
        let timeout = u32::try_from(conf.timeout.as_secs()).unwrap_or(u32::MAX);
        raw.idle_timeout_seconds
            .get_or_insert(timeout.clamp(1, 86_400));
        // 9100, where ours is by default, is where a machine's own exporter is.
        raw.admin.get_or_insert_with(|| "off".to_owned());
        let mode = raw.mode.clone();
        let own_parents = !raw.upstream.is_empty();
        let mut settings = match Self::check(raw) {
            Ok(settings) if problems.is_empty() => settings,
            Ok(_) => return Err(problems),
            Err(found) => {
                problems.extend(found);
                return Err(problems);
            }
        };
        if mode.as_deref() == Some("observe") {
            file.mode = Mode::Observe;
        }
        if own_parents {
            file.upstream = settings.listeners.first().map(|one| one.source.routes());
        }
        let log = match (&conf.log_file, conf.syslog) {
            (_, true) => Destination::Syslog(PathBuf::from(syslog::SOCKET)),
            (Some(path), false) => Destination::File(path.value.clone()),
            (None, false) => Destination::Stdout,
        };
        if own_words {
            let style = match log {
                Destination::Syslog(_) => Style::Syslog,
                Destination::File(_) | Destination::Stdout => Style::File,
            };
            settings.log = LogFormat::Tinyproxy {
                style,
                level: conf.log_level,
            };
        }
        settings.process = Process {
            pid_file: conf.pid_file.as_ref().map(|path| path.value.clone()),
            log,
        };
        file.fixed = fixed(&conf);
        for listener in &mut settings.listeners {
            let ListenerSettings {
                source,
                by_default: is_default,
                ..
            } = listener;
            *is_default = by_default;
            *source = PolicySource::Tinyproxy(Box::new(file.clone()));
        }
        Ok(settings)
    }
}

fn addresses(conf: &Conf) -> Vec<String> {
    let any = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
    let said: Vec<IpAddr> = conf.listen.iter().map(|listen| listen.value).collect();
    let all = if said.is_empty() { any.to_vec() } else { said };
    let address = |ip: IpAddr| SocketAddr::new(ip, conf.port).to_string();
    all.into_iter().map(address).collect()
}

/// Settings of a whitelist's listener, which a `tinyproxy.conf` has no place for. A variable is
/// forgiven if its files are not there: the image sets one.
fn strangers(flags: &Raw, environment: &Raw) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |place: &str, said: bool, instead: &str| {
        if said {
            let what = format!("cannot be used beside a tinyproxy.conf: {instead}");
            problems.push(Problem::new(place, what));
        }
    };
    let lines = "its Filter says what passes; `agentnet-proxy lint` prints it as a whitelist";
    let exist = |files: &[PathBuf]| files.iter().any(|file| file.exists());
    refuse("--whitelist", !flags.whitelist.is_empty(), lines);
    refuse("--task-whitelist", !flags.task_whitelist.is_empty(), lines);
    refuse("--presets", flags.presets.is_some(), lines);
    refuse("AGENTNET_WHITELIST", exist(&environment.whitelist), lines);
    let task = exist(&environment.task_whitelist);
    refuse("AGENTNET_TASK_WHITELIST", task, lines);
    let users = flags.credentials_file.is_some() || environment.credentials_file.is_some();
    refuse("credentials_file", users, "write BasicAuth lines");
    problems
}

impl From<&agentnet_policy::Problem> for Problem {
    fn from(problem: &agentnet_policy::Problem) -> Self {
        let place = match problem.line {
            0 => problem.file.clone(),
            line => format!("{}:{line}", problem.file),
        };
        let whole = problem.to_string();
        let rest = whole.strip_prefix(&place).unwrap_or(&whole);
        Self::new(place, rest.strip_prefix(": ").unwrap_or(rest))
    }
}

#[cfg(test)]
mod tests;
