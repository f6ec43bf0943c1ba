//! A `tinyproxy.conf` in place of a TOML file: what it says becomes settings, a policy and a conduct.
//!
//! The policy and the conduct can change at a reload; what is bound or opened once cannot, and a
//! reload that finds it changed says so.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentnet_policy::tinyproxy::{Conf, Directive, Options};
use agentnet_policy::{Layer, Loaded, Mode, Policy, Severity, Source};

use super::{
    Destination, ListenerSettings, LogFormat, PolicySource, Problem, Process, Raw, Settings,
};
use crate::clients::Clients;
use crate::conduct::{Bind, Conduct};
use crate::journal::Style;
use crate::manners::Manners;
use crate::syslog;
use crate::upstream::Routes;
use crate::words::Filtered;

/// Where Tinyproxy looks when no file is named.
pub const DEFAULT_PATH: &str = "/etc/tinyproxy/tinyproxy.conf";

/// The largest file that is read for a configuration; each kind has a lower limit of its own.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A configuration to be read, at the start and at each reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TinyproxyFile {
    /// Where it is; `None` is an empty one.
    pub path: Option<PathBuf>,
    /// Clients from the command line, in place of the file's.
    pub clients: Option<Clients>,
    /// Parents from flags or variables, in place of the file's.
    pub upstream: Option<Routes>,
    /// Whether private destinations are open, as they are in Tinyproxy.
    pub private: bool,
    /// Whether tunnels to listed hosts may carry what is not TLS.
    pub raw: bool,
    /// Whether its policy is enforced.
    pub mode: Mode,
    /// What a reload does not change; empty until the first load.
    fixed: Vec<(Directive, String)>,
}

/// What the texts of a configuration mean.
#[derive(Debug)]
pub struct Understood {
    /// What passes.
    pub policy: Policy,
    /// What happens beside.
    pub conduct: Arc<Conduct>,
    /// What is odd.
    pub warnings: Vec<agentnet_policy::Problem>,
}

type Wrong = Vec<agentnet_policy::Problem>;

/// True for the text of a `tinyproxy.conf`, false for TOML. A file with mistakes in it is of the
/// kind that more of its lines look like: the message is then about the file that was meant.
#[must_use]
pub fn is_tinyproxy(text: &str) -> bool {
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

impl TinyproxyFile {
    /// A file that has not been read.
    #[must_use]
    pub fn new(path: Option<PathBuf>, clients: Option<Clients>) -> Self {
        Self {
            path,
            clients,
            upstream: None,
            private: false,
            raw: false,
            mode: Mode::Enforce,
            fixed: Vec::new(),
        }
    }

    fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "the built-in configuration".to_owned(),
        }
    }

    /// The files that it was read from last, to be watched.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.path.iter().cloned().collect();
        if let Ok(text) = self.text()
            && let Ok((conf, _)) = Conf::parse(&self.name(), &text)
        {
            files.extend(conf.filter.iter().map(|filter| filter.value.clone()));
            files.extend(Manners::files(&conf).map(Path::to_owned));
        }
        files
    }

    /// The routes, as the file has them now.
    #[must_use]
    pub fn routes(&self) -> Routes {
        if let Some(routes) = &self.upstream {
            return routes.clone();
        }
        let conf = self.text().ok();
        let conf = conf.and_then(|text| Conf::parse(&self.name(), &text).ok());
        conf.map_or_else(Routes::default, |(conf, _)| {
            Routes::from_tinyproxy(&conf.upstreams)
        })
    }

    fn text(&self) -> std::io::Result<String> {
        self.path.as_deref().map_or(Ok(String::new()), read)
    }

    /// The texts as they are now: its own first, then those of the files that it names. A page may
    /// be missing, a filter may not.
    ///
    /// # Errors
    /// When it or its filter cannot be read.
    pub fn read(&self) -> Result<Vec<Source>, Wrong> {
        let name = self.name();
        let text = self
            .text()
            .map_err(|error| vec![unreadable(&name, 0, &error)])?;
        let parsed = Conf::parse(&name, &text);
        let mut texts = vec![source(name.clone(), text)];
        // What is wrong with it is told when it is understood.
        let Ok((conf, _)) = parsed else {
            return Ok(texts);
        };
        if let Some(filter) = &conf.filter {
            let text = read(&filter.value).map_err(|error| {
                let what = format!("the filter file {}", filter.value.display());
                vec![unreadable_as(&name, filter.line, &what, &error)]
            })?;
            texts.push(source(filter.value.display().to_string(), text));
        }
        for page in Manners::files(&conf) {
            if let Ok(text) = read(page) {
                texts.push(source(page.display().to_string(), text));
            }
        }
        Ok(texts)
    }

    /// What the texts mean.
    ///
    /// # Errors
    /// With every line that cannot be followed.
    pub fn understand(&self, texts: &[Source]) -> Result<Understood, Wrong> {
        let text = texts.first().map_or("", |source| source.text.as_str());
        let (conf, mut warnings) = Conf::parse(&self.name(), text)?;
        let find = |path: &Path| {
            let name = path.display().to_string();
            let mut others = texts.iter().skip(1);
            others.find(|source| source.name == name)
        };
        let filter = conf.filter.as_ref().and_then(|named| find(&named.value));
        let filter = filter.map(|source| (source.name.as_str(), source.text.as_str()));
        let options = Options {
            private: self.private,
            raw: self.raw,
            mode: self.mode,
        };
        let Loaded {
            policy,
            warnings: odd,
        } = conf
            .policy(filter, options)
            .map_err(|problems| problems.iter().cloned().collect::<Wrong>())?;
        warnings.extend(odd);
        let (manners, odd) = Manners::from_tinyproxy(&conf, |path| match find(path) {
            Some(source) => Ok(source.text.clone()),
            None => read(path),
        })?;
        warnings.extend(odd);
        let fixed = fixed(&conf);
        for ((directive, before), (_, after)) in self.fixed.iter().zip(&fixed) {
            if before != after {
                let name = directive.name();
                warnings.push(agentnet_policy::Problem {
                    file: self.name(),
                    line: 0,
                    word: Some(name.to_owned()),
                    what: format!(
                        "was changed ({before} became {after}): that needs a restart, and the old \
                         one stays until then"
                    ),
                    fix: None,
                    severity: Severity::Warning,
                });
            }
        }
        let filtered = conf.filter.as_ref().map(|_| {
            if conf.filter_urls {
                Filtered::Url
            } else {
                Filtered::Domain
            }
        });
        let clients = match &self.clients {
            Some(clients) => clients.clone(),
            None => Clients::new(conf.clients.clone(), false),
        };
        let routes = match &self.upstream {
            Some(routes) => routes.clone(),
            None => Routes::from_tinyproxy(&conf.upstreams),
        };
        let conduct = Conduct {
            clients,
            routes,
            bind: Bind {
                addresses: conf.bind.iter().map(|bind| bind.value).collect(),
                same: conf.bind_same,
            },
            manners: Some(Box::new(manners)),
            filtered,
            log_level: Some(conf.log_level),
        };
        Ok(Understood {
            policy,
            conduct: Arc::new(conduct),
            warnings,
        })
    }
}

/// What is bound or opened once, each as one text that can be compared and shown.
fn fixed(conf: &Conf) -> Vec<(Directive, String)> {
    fn said<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
    }
    fn path(said: &Option<agentnet_policy::tinyproxy::Said<PathBuf>>) -> Option<String> {
        said.as_ref().map(|said| said.value.display().to_string())
    }
    let listen: Vec<String> = conf
        .listen
        .iter()
        .map(|listen| listen.value.to_string())
        .collect();
    let user = conf.user.as_ref().map(|user| &user.value);
    let group = conf.group.as_ref().map(|group| &group.value);
    vec![
        (Directive::Port, conf.port.to_string()),
        (
            Directive::Listen,
            said((!listen.is_empty()).then(|| listen.join(", "))),
        ),
        (Directive::Timeout, conf.timeout.as_secs().to_string()),
        (Directive::MaxClients, conf.max_clients.to_string()),
        (Directive::User, said(user)),
        (Directive::Group, said(group)),
        (Directive::LogFile, said(path(&conf.log_file))),
        (Directive::Syslog, conf.syslog.to_string()),
        (Directive::PidFile, said(path(&conf.pid_file))),
    ]
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

fn source(name: String, text: String) -> Source {
    Source {
        name,
        layer: Layer::Project,
        text,
    }
}

/// Comments may be in whatever was the machine's character set; directives and patterns are ASCII.
fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(name: &str, line: u32, error: &std::io::Error) -> agentnet_policy::Problem {
    unreadable_as(name, line, "the file", error)
}

fn unreadable_as(
    name: &str,
    line: u32,
    what: &str,
    error: &std::io::Error,
) -> agentnet_policy::Problem {
    agentnet_policy::Problem {
        file: name.to_owned(),
        line,
        word: None,
        what: format!("{what} cannot be read: {error}"),
        fix: None,
        severity: Severity::Error,
    }
}

#[cfg(test)]
mod tests;
