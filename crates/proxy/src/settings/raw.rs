//! What was typed: flags, variables and the file have the same names because they are one struct.

use std::path::PathBuf;

use agentnet_policy::toml_words;
use clap::{Args, Command, FromArgMatches};
use serde::Deserialize;

use super::{Problem, RawUpstream};
use crate::environment::{Environment, PREFIX};

/// Settings as they were written, not yet checked. `None` and empty mean "not said here".
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Settings")]
pub struct Raw {
    /// Where clients come in; repeats [default: port 8888 of every address, both families]
    #[arg(long, value_name = "IP:PORT|unix:PATH", value_delimiter = ',')]
    pub listen: Vec<String>,
    /// Where questions to the DNS are answered: permitted names are here, no others exist; repeats
    #[arg(long, value_name = "IP:PORT|unix:PATH", value_delimiter = ',')]
    pub dns: Vec<String>,
    /// The address that permitted names are given, one a family [default: the address that was asked]
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub dns_address: Vec<String>,
    /// Where programs speak TLS that take the proxy for their host; PORT is the hosts'; repeats
    #[arg(
        long,
        value_name = "IP:PORT[=PORT]|unix:PATH[=PORT]",
        value_delimiter = ','
    )]
    pub transparent_tls: Vec<String>,
    /// The same for plain HTTP
    #[arg(
        long,
        value_name = "IP:PORT[=PORT]|unix:PATH[=PORT]",
        value_delimiter = ','
    )]
    pub transparent_http: Vec<String>,
    /// Where a relay brings connections to the doors that names with `raw` have; repeats
    #[arg(long, value_name = "unix:PATH", value_delimiter = ',')]
    pub raw_doors: Vec<String>,
    /// A whitelist file; repeats, in layer order. A file named task.txt holds task grants
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub whitelist: Vec<PathBuf>,
    /// A whitelist file of the task layer, whatever its name; may appear later
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub task_whitelist: Vec<PathBuf>,
    /// A directory of presets: NAME.txt there replaces @NAME or adds it
    #[arg(long, value_name = "DIR", global = true)]
    pub presets: Option<PathBuf>,
    /// A client that may use the proxy, and nobody else; repeats [default: everybody]
    #[arg(
        long,
        value_name = "IP|IP/BITS|NAME|.DOMAIN|unix",
        value_delimiter = ','
    )]
    #[serde(alias = "clients")]
    pub client: Option<Vec<String>>,
    /// Ask clients for credentials: a file of user:password lines, read again like a whitelist
    #[arg(long, value_name = "FILE")]
    pub credentials_file: Option<PathBuf>,
    /// Where /metrics, /live, /ready, /policy, /events and /reload are [default: 127.0.0.1:9100]
    #[arg(long, value_name = "IP:PORT|egress:PORT|unix:PATH|off", global = true)]
    pub admin: Option<String>,
    /// What may be sent in all under each line of the whitelist without up=, as 20MB [default: no limit]
    #[arg(long, value_name = "BYTES", global = true)]
    pub default_up: Option<String>,
    /// A directory in which what was spent of budgets survives a restart
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// enforce refuses what is not allowed; observe lets public destinations pass and reports
    #[arg(long, value_name = "enforce|observe")]
    pub mode: Option<String>,
    /// How decisions are written to stdout [default: json]
    #[arg(long, value_name = "json|text")]
    pub log: Option<String>,
    /// Whether to start in a container that would route packets past the proxy [default: ignore]
    #[arg(long, value_name = "refuse|ignore")]
    pub forwarding: Option<String>,
    /// An address of the machine itself, opened only by a `host` rule; repeats
    /// [default: the gateway of the default route]
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub host_address: Vec<String>,
    /// With a tinyproxy.conf: whether names may lead to private addresses, as they may in Tinyproxy
    /// [default: refuse]
    #[arg(long, value_name = "allow|refuse")]
    pub private_destinations: Option<String>,
    /// With a tinyproxy.conf: whether tunnels to the hosts of its filter may carry what is not TLS for
    /// that host, as they may in Tinyproxy [default: refuse]
    #[arg(long, value_name = "allow|refuse")]
    pub raw_tunnels: Option<String>,
    /// Whether another proxy of the same user may listen at the same addresses [default: no]
    #[arg(long, value_name = "yes|no")]
    pub reuse_port: Option<String>,
    /// Client connections at once [default: 4096]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u32>,
    /// Largest request head, in bytes [default: 32768]
    #[arg(long, value_name = "BYTES")]
    pub max_head_bytes: Option<u32>,
    /// Whether a ClientHello with an encrypted part (ECH, or its grease) passes [default: allow]
    #[arg(long, value_name = "allow|refuse")]
    pub ech: Option<String>,
    /// Time for a request head, and for the next request on an idle connection [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub head_timeout_seconds: Option<u32>,
    /// Time for the addresses of a name [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub resolve_timeout_seconds: Option<u32>,
    /// Time for each address to answer [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub connect_timeout_seconds: Option<u32>,
    /// A parent proxy that everything goes through, or `none`; repeats, tried in this order
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        value_parser = RawUpstream::typed,
        global = true
    )]
    pub upstream: Vec<RawUpstream>,
    /// Parents are sent names and resolve them: no address is checked then [default: false]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub upstream_remote_dns: Option<bool>,
    /// A file with one line `user:password` for parents that are named without
    #[arg(long, value_name = "FILE")]
    pub upstream_credentials_file: Option<PathBuf>,
    /// Certificate authorities for https:// parents, in PEM form [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub upstream_ca_file: Option<PathBuf>,
    /// Time for a parent, once connected, to answer for a target [default: 15]
    #[arg(long, value_name = "SECONDS")]
    pub upstream_timeout_seconds: Option<u32>,
    /// Longest silence in a tunnel or an exchange [default: 900]
    #[arg(long, value_name = "SECONDS")]
    pub idle_timeout_seconds: Option<u32>,
    /// Longest silence after one side of a tunnel has ended [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub half_close_timeout_seconds: Option<u32>,
    /// Time that open connections get after SIGTERM [default: 8]
    #[arg(long, value_name = "SECONDS")]
    pub drain_timeout_seconds: Option<u32>,
    /// Idle upstream connections kept for plain HTTP [default: 256]
    #[arg(long, value_name = "N")]
    pub pool_connections: Option<u32>,
    /// How long an idle upstream connection is kept [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub pool_idle_seconds: Option<u32>,
    /// How often the whitelist files are read again, whatever the watcher says [default: 2]
    #[arg(long, value_name = "SECONDS")]
    pub rescan_seconds: Option<u32>,
    /// Hosts with a label of their own in blocked_hosts_total; 0 turns the metric off [default: 200]
    #[arg(long, value_name = "N")]
    pub blocked_hosts_labels: Option<u32>,
    /// Threads that serve [default: one per core]
    #[arg(long, value_name = "N")]
    pub worker_threads: Option<u32>,
    /// Listeners with a policy each; only in the file.
    #[arg(skip)]
    pub listener: Vec<RawListener>,
}

/// One `[[listener]]` of the file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct RawListener {
    /// Its name in metrics and events.
    pub name: String,
    /// Where its clients come in.
    pub listen: Vec<String>,
    /// Where it answers questions to the DNS.
    pub dns: Vec<String>,
    /// What it answers.
    pub dns_address: Vec<String>,
    /// Its transparent doors for TLS.
    pub transparent_tls: Vec<String>,
    /// Its transparent doors for plain HTTP.
    pub transparent_http: Vec<String>,
    /// Where a relay brings connections to the doors of its names.
    pub raw_doors: Vec<String>,
    /// Its whitelist files.
    pub whitelist: Vec<PathBuf>,
    /// Its whitelist files of the task layer.
    pub task_whitelist: Vec<PathBuf>,
    /// Its clients, if not the file's.
    #[serde(alias = "clients")]
    pub client: Option<Vec<String>>,
    /// Its credentials, if not the file's.
    pub credentials_file: Option<PathBuf>,
    /// Its mode, if not the file's.
    pub mode: Option<String>,
    /// Its limit for lines without up=, if not the file's.
    pub default_up: Option<String>,
    /// Its parents and routes, if not the file's.
    pub upstream: Vec<RawUpstream>,
}

impl Raw {
    /// The settings of a TOML file. `name` is the file's name in problems.
    ///
    /// # Errors
    /// On what is not TOML, on unknown keys and wrong types, with the line.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, Problem> {
        let mut raw: Self = toml::from_str(text).map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let line = before.matches('\n').count();
            let words = toml_words(error.message(), text.lines().nth(line).unwrap_or_default());
            Problem::new(format!("{name}:{}", line + 1), words)
        })?;
        let listeners = raw.listener.iter_mut();
        let theirs = listeners.flat_map(|listener| listener.upstream.iter_mut());
        for upstream in raw.upstream.iter_mut().chain(theirs) {
            upstream.stand(name, text);
        }
        Ok(raw)
    }

    /// The settings of the environment: `AGENTNET_MAX_CONNECTIONS` is `--max-connections`; lists are
    /// separated by commas. Also returns the names that are no setting, which are not ours to
    /// refuse: the controller and the tests have variables with the same prefix.
    ///
    /// # Errors
    /// On a value that the flag would not take either.
    pub fn from_environment(environment: &dyn Environment) -> Result<(Self, Vec<String>), Problem> {
        let command = Self::augment_args(Command::new("environment").no_binary_name(true));
        let mut line: Vec<String> = Vec::new();
        let mut known: Vec<String> = Vec::new();
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let Some(flag) = argument.get_long() else {
                continue;
            };
            let variable = format!("{PREFIX}{}", id.to_ascii_uppercase());
            let value = environment.get(&variable).filter(|value| !value.is_empty());
            known.push(variable.clone());
            if let Some(value) = value {
                let words = vec![format!("--{flag}={value}")];
                if let Err(error) = command.clone().try_get_matches_from(&words) {
                    return Err(Problem::new(variable, first_line(&error.to_string())));
                }
                line.extend(words);
            }
        }
        let mut read = command
            .try_get_matches_from(line)
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| Problem::new("environment", first_line(&error.to_string())))?;
        if read.upstream.is_empty() {
            read.upstream = RawUpstream::from_compose(environment);
        }
        let strangers = environment
            .names()
            .into_iter()
            .filter(|name| !known.contains(name));
        Ok((read, strangers.collect()))
    }

    /// These settings, and what they leave unsaid from `weaker`.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        fn list<T>(strong: Vec<T>, weak: Vec<T>) -> Vec<T> {
            if strong.is_empty() { weak } else { strong }
        }
        Self {
            listen: list(self.listen, weaker.listen),
            dns: list(self.dns, weaker.dns),
            dns_address: list(self.dns_address, weaker.dns_address),
            transparent_tls: list(self.transparent_tls, weaker.transparent_tls),
            transparent_http: list(self.transparent_http, weaker.transparent_http),
            raw_doors: list(self.raw_doors, weaker.raw_doors),
            whitelist: list(self.whitelist, weaker.whitelist),
            task_whitelist: list(self.task_whitelist, weaker.task_whitelist),
            presets: self.presets.or(weaker.presets),
            client: self.client.or(weaker.client),
            credentials_file: self.credentials_file.or(weaker.credentials_file),
            admin: self.admin.or(weaker.admin),
            default_up: self.default_up.or(weaker.default_up),
            state: self.state.or(weaker.state),
            mode: self.mode.or(weaker.mode),
            log: self.log.or(weaker.log),
            forwarding: self.forwarding.or(weaker.forwarding),
            host_address: list(self.host_address, weaker.host_address),
            private_destinations: self.private_destinations.or(weaker.private_destinations),
            raw_tunnels: self.raw_tunnels.or(weaker.raw_tunnels),
            reuse_port: self.reuse_port.or(weaker.reuse_port),
            max_connections: self.max_connections.or(weaker.max_connections),
            max_head_bytes: self.max_head_bytes.or(weaker.max_head_bytes),
            ech: self.ech.or(weaker.ech),
            head_timeout_seconds: self.head_timeout_seconds.or(weaker.head_timeout_seconds),
            resolve_timeout_seconds: self
                .resolve_timeout_seconds
                .or(weaker.resolve_timeout_seconds),
            connect_timeout_seconds: self
                .connect_timeout_seconds
                .or(weaker.connect_timeout_seconds),
            upstream: list(self.upstream, weaker.upstream),
            upstream_remote_dns: self.upstream_remote_dns.or(weaker.upstream_remote_dns),
            upstream_credentials_file: self
                .upstream_credentials_file
                .or(weaker.upstream_credentials_file),
            upstream_ca_file: self.upstream_ca_file.or(weaker.upstream_ca_file),
            upstream_timeout_seconds: self
                .upstream_timeout_seconds
                .or(weaker.upstream_timeout_seconds),
            idle_timeout_seconds: self.idle_timeout_seconds.or(weaker.idle_timeout_seconds),
            half_close_timeout_seconds: self
                .half_close_timeout_seconds
                .or(weaker.half_close_timeout_seconds),
            drain_timeout_seconds: self.drain_timeout_seconds.or(weaker.drain_timeout_seconds),
            pool_connections: self.pool_connections.or(weaker.pool_connections),
            pool_idle_seconds: self.pool_idle_seconds.or(weaker.pool_idle_seconds),
            rescan_seconds: self.rescan_seconds.or(weaker.rescan_seconds),
            blocked_hosts_labels: self.blocked_hosts_labels.or(weaker.blocked_hosts_labels),
            worker_threads: self.worker_threads.or(weaker.worker_threads),
            listener: list(self.listener, weaker.listener),
        }
    }
}

/// clap's message without its prefix and its usage lines.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
