//! A `tinyproxy.conf` and the files that it names: read, and understood as a policy and a conduct.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentnet_policy::tinyproxy::{Conf, Directive, Options};
use agentnet_policy::{Layer, Loaded, Mode, Policy, Severity, Source};

use crate::clients::Clients;
use crate::conduct::{Bind, Conduct};
use crate::manners::Manners;
use crate::text_file;
use crate::upstream::Routes;
use crate::words::Filtered;

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
    pub(super) fixed: Vec<(Directive, String)>,
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

    pub(super) fn name(&self) -> String {
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

    pub(super) fn text(&self) -> std::io::Result<String> {
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
pub(super) fn fixed(conf: &Conf) -> Vec<(Directive, String)> {
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

fn source(name: String, text: String) -> Source {
    Source {
        name,
        layer: Layer::Project,
        text,
    }
}

/// Comments may be in whatever was the machine's character set; directives and patterns are ASCII.
fn read(path: &Path) -> std::io::Result<String> {
    text_file::lossy(path, MAX_BYTES)
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
