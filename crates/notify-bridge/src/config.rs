//! `notify.toml`: who hears what. Read from the user's own directory and from nowhere that a task
//! could write; what cannot be right is said with its line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::notice::{NoticeKind, Urgency};
use crate::outlet::command::{Argument, CommandConfig};
use crate::outlet::webhook::WebhookConfig;
use crate::rule::{Quiet, Rule};

/// Larger is no configuration.
const LONGEST: u64 = 64 * 1024;

/// Notices of one speaker a minute, where nothing else is said, and at most.
const A_MINUTE: usize = 10;
const MOST_A_MINUTE: usize = 60;

/// Outlets, at most.
const MOST_OUTLETS: usize = 16;

/// What is wrong with a configuration: the file, the line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {what}", .file.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub(crate) struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    what: String,
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Notices of one speaker a minute.
    pub(crate) a_minute: usize,
    /// Where metrics are served, on loopback.
    pub(crate) metrics: Option<SocketAddr>,
    /// Where they are written for a node exporter.
    pub(crate) metrics_file: Option<PathBuf>,
    pub(crate) outlets: Vec<OutletConfig>,
}

/// One outlet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutletConfig {
    pub(crate) name: String,
    pub(crate) rule: Rule,
    pub(crate) kind: OutletKind,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutletKind {
    Desktop,
    Terminal,
    Log(PathBuf),
    Command(CommandConfig),
    Webhook(WebhookConfig),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    per_minute: Option<Spanned<usize>>,
    metrics: Option<Spanned<SocketAddr>>,
    metrics_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    outlet: Vec<RawOutlet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Desktop,
    Terminal,
    Log,
    Command,
    Webhook,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutlet {
    r#type: Spanned<Type>,
    name: Option<String>,
    kinds: Option<Vec<NoticeKind>>,
    tasks: Option<Vec<String>>,
    urgency: Option<Urgency>,
    quiet: Option<Quiet>,
    file: Option<PathBuf>,
    run: Option<Vec<Argument>>,
    timeout: Option<u64>,
    at_once: Option<usize>,
    url: Option<String>,
    topic: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl Config {
    /// Where it is looked for: `$XDG_CONFIG_HOME/agentnet/notify.toml`.
    pub(crate) fn default_path() -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy().ok()?;
        Some(base.config_dir().join("agentnet").join("notify.toml"))
    }

    /// Without a file: the desktop.
    pub(crate) fn without_file() -> Self {
        Self {
            a_minute: A_MINUTE,
            metrics: None,
            metrics_file: None,
            outlets: vec![OutletConfig {
                name: "desktop".to_owned(),
                rule: Rule::default(),
                kind: OutletKind::Desktop,
            }],
        }
    }

    /// Reads the file that was named, or the usual one if it is there.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, ConfigError> {
        let usual = Self::default_path();
        let file = match (named, &usual) {
            (Some(file), _) => file,
            (None, Some(file)) if file.exists() => file,
            (None, _) => return Ok(Self::without_file()),
        };
        let failed = |what: String| ConfigError {
            file: file.to_owned(),
            line: None,
            what,
        };
        let text = read(file).map_err(|e| failed(format!("cannot be read: {e}")))?;
        Self::parse(&text, file)
    }

    /// Reads a text, as the file that it stands in.
    ///
    /// # Errors
    /// [`ConfigError`], the first one.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let wrong = |at: Option<usize>, what: String| ConfigError {
            file: file.to_owned(),
            line: at.map(|at| line_of(text, at)),
            what,
        };
        let raw: RawConfig = toml::from_str(text).map_err(|error| {
            let at = error.span().map(|span| span.start);
            wrong(at, error.message().trim().replace('\n', "; "))
        })?;
        let a_minute = match raw.per_minute {
            None => A_MINUTE,
            Some(given) if (1..=MOST_A_MINUTE).contains(given.get_ref()) => *given.get_ref(),
            Some(given) => {
                let what = format!("per_minute must be 1 to {MOST_A_MINUTE}");
                return Err(wrong(Some(given.span().start), what));
            }
        };
        if let Some(given) = raw
            .metrics
            .as_ref()
            .filter(|m| !m.get_ref().ip().is_loopback())
        {
            let what = "metrics must be an address of this machine alone: 127.0.0.1:9465";
            return Err(wrong(Some(given.span().start), what.to_owned()));
        }
        let mut outlets: Vec<OutletConfig> = Vec::new();
        for raw in raw.outlet {
            let at = raw.r#type.span().start;
            let outlet = raw.check().map_err(|what| wrong(Some(at), what))?;
            if outlets.iter().any(|other| other.name == outlet.name) {
                return Err(wrong(Some(at), outlet.is_a_second()));
            }
            outlets.push(outlet);
        }
        if outlets.is_empty() || outlets.len() > MOST_OUTLETS {
            let what = format!("there must be 1 to {MOST_OUTLETS} [[outlet]] tables");
            return Err(wrong(None, what));
        }
        Ok(Self {
            a_minute,
            metrics: raw.metrics.map(Spanned::into_inner),
            metrics_file: raw.metrics_file.map(Spanned::into_inner),
            outlets,
        })
    }
}

impl OutletConfig {
    /// What to say of it where another one has its name.
    fn is_a_second(&self) -> String {
        match self.kind {
            OutletKind::Desktop => {
                "there is one desktop: put what it shall show into one [[outlet]] table \
                 of type = \"desktop\""
                    .to_owned()
            }
            OutletKind::Terminal
            | OutletKind::Log(_)
            | OutletKind::Command(_)
            | OutletKind::Webhook(_) => {
                format!("two outlets have the name {:?}; give one a name", self.name)
            }
        }
    }
}

impl RawOutlet {
    fn check(self) -> Result<OutletConfig, String> {
        let r#type = *self.r#type.get_ref();
        let given = [
            ("file", self.file.is_some(), Type::Log),
            ("run", self.run.is_some(), Type::Command),
            ("timeout", self.timeout.is_some(), Type::Command),
            ("at_once", self.at_once.is_some(), Type::Command),
            ("url", self.url.is_some(), Type::Webhook),
            ("topic", self.topic.is_some(), Type::Webhook),
            ("token_file", self.token_file.is_some(), Type::Webhook),
            ("ca_file", self.ca_file.is_some(), Type::Webhook),
        ];
        let odd = given.iter().find(|(_, there, of)| *there && *of != r#type);
        if let Some((name, _, of)) = odd {
            let (of, is) = (of.word(), r#type.word());
            return Err(format!(
                "{name} is for type = \"{of}\", and this one is \"{is}\""
            ));
        }
        let missing = |what: &str| format!("type = \"{}\" needs {what}", r#type.word());
        let kind = match r#type {
            Type::Desktop => OutletKind::Desktop,
            Type::Terminal => OutletKind::Terminal,
            Type::Log => OutletKind::Log(self.file.ok_or_else(|| missing("file = \"/PATH\""))?),
            Type::Command => {
                let run = self.run.ok_or_else(|| missing("run = [\"PROGRAM\", …]"))?;
                OutletKind::Command(CommandConfig::new(run, self.timeout, self.at_once)?)
            }
            Type::Webhook => {
                let url = self.url.ok_or_else(|| missing("url = \"https://…\""))?;
                let webhook = WebhookConfig::new(&url, self.topic, self.token_file, self.ca_file)?;
                OutletKind::Webhook(webhook)
            }
        };
        let name = match (self.name, r#type) {
            // Its handles and its state go by this name.
            (Some(name), Type::Desktop) if name != "desktop" => {
                return Err("the desktop's name is \"desktop\"".to_owned());
            }
            (Some(name), _) if is_name(&name) => name,
            (Some(name), _) => {
                return Err(format!(
                    "the name {name:?} must be 1 to 40 of a-z, 0-9, - and _"
                ));
            }
            (None, of) => of.word().to_owned(),
        };
        let rule = Rule {
            kinds: self.kinds,
            tasks: self.tasks,
            urgency: self.urgency,
            quiet: self.quiet,
        };
        Ok(OutletConfig { name, rule, kind })
    }
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Terminal => "terminal",
            Self::Log => "log",
            Self::Command => "command",
            Self::Webhook => "webhook",
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=40).contains(&name.len()) && name.bytes().all(allowed)
}

fn read(file: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(std::io::Error::other("it is larger than 64 KiB"));
    }
    Ok(text)
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.bytes().take(at);
    before.filter(|b| *b == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
