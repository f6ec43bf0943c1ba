//! What a `tinyproxy.conf` says.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clients::ClientList;
use crate::secret::Secret;
use crate::tinyproxy::upstream::Upstream;

/// A value and the line it stands on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// The line's number, from 1.
    pub line: u32,
}

/// The directives of one `tinyproxy.conf`, checked. A path in it is as it was written: relative to
/// the directory that the program was started in, as in Tinyproxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conf {
    /// The file's name, as it was given to [`parse`](Self::parse).
    pub name: String,
    /// `Port`; 0 lets the system choose. 8888 without a line.
    pub port: u16,
    /// `Listen`, in order; empty: every address of the machine.
    pub listen: Vec<Said<IpAddr>>,
    /// `Timeout`: how long nothing may move on a connection. Ten minutes without a line.
    pub timeout: Duration,
    /// `MaxClients`: connections at once, from 1. 100 without a line.
    pub max_clients: u32,
    /// `Allow` and `Deny`.
    pub clients: ClientList,
    /// `ConnectPort`, in order. Empty: every port. 0 stands for none, so a single 0 turns CONNECT
    /// off.
    pub connect_ports: Vec<Said<u16>>,
    /// `Filter`: the file with the patterns.
    pub filter: Option<Said<PathBuf>>,
    /// `FilterType`, or `FilterExtended`.
    pub filter_type: FilterType,
    /// `FilterURLs`: patterns are compared with the URL and not with the host.
    pub filter_urls: bool,
    /// `FilterDefaultDeny`: the patterns say what is allowed, and not what is refused.
    pub filter_default_deny: bool,
    /// `FilterCaseSensitive`; means nothing for [`FilterType::Fnmatch`].
    pub filter_case_sensitive: bool,
    /// `Upstream`, in order. Which one is meant for a host: [`Upstream`].
    pub upstreams: Vec<Upstream>,
    /// `BasicAuth`, in order; empty: nobody is asked.
    pub basic_auth: Vec<Said<Credentials>>,
    /// `BasicAuthRealm`; Tinyproxy's own name without a line.
    pub basic_auth_realm: Option<String>,
    /// `LogFile`.
    pub log_file: Option<Said<PathBuf>>,
    /// `Syslog`.
    pub syslog: bool,
    /// `LogLevel`; [`LogLevel::Info`] without a line.
    pub log_level: LogLevel,
    /// `PidFile`.
    pub pid_file: Option<Said<PathBuf>>,
    /// `User`: not used, and warned of.
    pub user: Option<Said<String>>,
    /// `Group`: not used, and warned of.
    pub group: Option<Said<String>>,
    /// `ViaProxyName`: the name in `Via` instead of the machine's.
    pub via_proxy_name: Option<String>,
    /// `DisableViaHeader`.
    pub disable_via_header: bool,
    /// `StatHost`; `tinyproxy.stats` without a line.
    pub stat_host: String,
    /// `StatFile`.
    pub stat_file: Option<Said<PathBuf>>,
    /// `ErrorFile`, in order; the last one for a status counts.
    pub error_files: Vec<ErrorFile>,
    /// `DefaultErrorFile`.
    pub default_error_file: Option<Said<PathBuf>>,
    /// `AddHeader`, in order.
    pub add_headers: Vec<AddedHeader>,
    /// `Anonymous`, in order: the fields that are let through. Empty: all.
    pub anonymous: Vec<Said<String>>,
    /// `XTinyproxy`: tell the origin the client's address in the field `X-Tinyproxy`.
    pub x_tinyproxy: bool,
    /// `Bind`, in order: the addresses to dial from. Tinyproxy tries one after the other.
    pub bind: Vec<Said<IpAddr>>,
    /// `BindSame`: dial from the address that the client connected to.
    pub bind_same: bool,
}

/// How the lines of a filter file are read.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterType {
    /// POSIX basic regular expressions.
    #[default]
    Bre,
    /// POSIX extended regular expressions.
    Ere,
    /// The shell's file name patterns, over the whole text; `*` crosses dots and slashes.
    Fnmatch,
}

/// The least important kind of line that is logged. Ordered from few to many.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// `Critical`
    Critical,
    /// `Error`
    Error,
    /// `Warning`
    Warning,
    /// `Notice`
    Notice,
    /// `Connect`: one line a connection.
    Connect,
    /// `Info`
    #[default]
    Info,
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// Has no colon.
    pub user: String,
    /// Never printed.
    pub password: Secret,
}

/// The page for one status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorFile {
    /// 400 to 599.
    pub status: u16,
    /// The template.
    pub path: PathBuf,
    /// The line's number, from 1.
    pub line: u32,
}

/// A field that plain HTTP requests get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddedHeader {
    /// A field name (RFC 9110 §5.1).
    pub name: String,
    /// Visible text, without control characters.
    pub value: String,
    /// The line's number, from 1.
    pub line: u32,
}

impl FilterType {
    /// The word of `FilterType`.
    pub fn word(self) -> &'static str {
        match self {
            FilterType::Bre => "bre",
            FilterType::Ere => "ere",
            FilterType::Fnmatch => "fnmatch",
        }
    }
}

impl LogLevel {
    /// All of them, the fewest lines first.
    pub const ALL: [LogLevel; 6] = [
        LogLevel::Critical,
        LogLevel::Error,
        LogLevel::Warning,
        LogLevel::Notice,
        LogLevel::Connect,
        LogLevel::Info,
    ];

    /// The word of `LogLevel`.
    pub fn word(self) -> &'static str {
        match self {
            LogLevel::Critical => "Critical",
            LogLevel::Error => "Error",
            LogLevel::Warning => "Warning",
            LogLevel::Notice => "Notice",
            LogLevel::Connect => "Connect",
            LogLevel::Info => "Info",
        }
    }
}

impl Conf {
    /// What an empty file says.
    pub(super) fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            port: 8888,
            listen: Vec::new(),
            timeout: Duration::from_secs(600),
            max_clients: 100,
            clients: ClientList::default(),
            connect_ports: Vec::new(),
            filter: None,
            filter_type: FilterType::default(),
            filter_urls: false,
            filter_default_deny: false,
            filter_case_sensitive: false,
            upstreams: Vec::new(),
            basic_auth: Vec::new(),
            basic_auth_realm: None,
            log_file: None,
            syslog: false,
            log_level: LogLevel::default(),
            pid_file: None,
            user: None,
            group: None,
            via_proxy_name: None,
            disable_via_header: false,
            stat_host: "tinyproxy.stats".to_owned(),
            stat_file: None,
            error_files: Vec::new(),
            default_error_file: None,
            add_headers: Vec::new(),
            anonymous: Vec::new(),
            x_tinyproxy: false,
            bind: Vec::new(),
            bind_same: false,
        }
    }
}
