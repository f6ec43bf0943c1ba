//! The keywords.

/// A keyword of `tinyproxy.conf`. Written in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(
    missing_docs,
    reason = "the names are Tinyproxy's; docs/tinyproxy.md says what each does"
)]
pub enum Directive {
    AddHeader,
    Allow,
    Anonymous,
    BasicAuth,
    BasicAuthRealm,
    Bind,
    BindSame,
    ConnectPort,
    DefaultErrorFile,
    Deny,
    DisableViaHeader,
    ErrorFile,
    Filter,
    FilterCaseSensitive,
    FilterDefaultDeny,
    FilterExtended,
    FilterType,
    FilterUrls,
    Group,
    Listen,
    LogFile,
    LogLevel,
    MaxClients,
    MaxRequestsPerChild,
    MaxSpareServers,
    MinSpareServers,
    PidFile,
    Port,
    ReverseBaseUrl,
    ReverseMagic,
    ReverseOnly,
    ReversePath,
    StartServers,
    StatFile,
    StatHost,
    Syslog,
    Timeout,
    Upstream,
    User,
    ViaProxyName,
    XTinyproxy,
}

impl Directive {
    /// All of them.
    pub const ALL: &'static [Directive] = &[
        Directive::AddHeader,
        Directive::Allow,
        Directive::Anonymous,
        Directive::BasicAuth,
        Directive::BasicAuthRealm,
        Directive::Bind,
        Directive::BindSame,
        Directive::ConnectPort,
        Directive::DefaultErrorFile,
        Directive::Deny,
        Directive::DisableViaHeader,
        Directive::ErrorFile,
        Directive::Filter,
        Directive::FilterCaseSensitive,
        Directive::FilterDefaultDeny,
        Directive::FilterExtended,
        Directive::FilterType,
        Directive::FilterUrls,
        Directive::Group,
        Directive::Listen,
        Directive::LogFile,
        Directive::LogLevel,
        Directive::MaxClients,
        Directive::MaxRequestsPerChild,
        Directive::MaxSpareServers,
        Directive::MinSpareServers,
        Directive::PidFile,
        Directive::Port,
        Directive::ReverseBaseUrl,
        Directive::ReverseMagic,
        Directive::ReverseOnly,
        Directive::ReversePath,
        Directive::StartServers,
        Directive::StatFile,
        Directive::StatHost,
        Directive::Syslog,
        Directive::Timeout,
        Directive::Upstream,
        Directive::User,
        Directive::ViaProxyName,
        Directive::XTinyproxy,
    ];

    /// The keyword in the manual's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Directive::AddHeader => "AddHeader",
            Directive::Allow => "Allow",
            Directive::Anonymous => "Anonymous",
            Directive::BasicAuth => "BasicAuth",
            Directive::BasicAuthRealm => "BasicAuthRealm",
            Directive::Bind => "Bind",
            Directive::BindSame => "BindSame",
            Directive::ConnectPort => "ConnectPort",
            Directive::DefaultErrorFile => "DefaultErrorFile",
            Directive::Deny => "Deny",
            Directive::DisableViaHeader => "DisableViaHeader",
            Directive::ErrorFile => "ErrorFile",
            Directive::Filter => "Filter",
            Directive::FilterCaseSensitive => "FilterCaseSensitive",
            Directive::FilterDefaultDeny => "FilterDefaultDeny",
            Directive::FilterExtended => "FilterExtended",
            Directive::FilterType => "FilterType",
            Directive::FilterUrls => "FilterURLs",
            Directive::Group => "Group",
            Directive::Listen => "Listen",
            Directive::LogFile => "LogFile",
            Directive::LogLevel => "LogLevel",
            Directive::MaxClients => "MaxClients",
            Directive::MaxRequestsPerChild => "MaxRequestsPerChild",
            Directive::MaxSpareServers => "MaxSpareServers",
            Directive::MinSpareServers => "MinSpareServers",
            Directive::PidFile => "PidFile",
            Directive::Port => "Port",
            Directive::ReverseBaseUrl => "ReverseBaseURL",
            Directive::ReverseMagic => "ReverseMagic",
            Directive::ReverseOnly => "ReverseOnly",
            Directive::ReversePath => "ReversePath",
            Directive::StartServers => "StartServers",
            Directive::StatFile => "StatFile",
            Directive::StatHost => "StatHost",
            Directive::Syslog => "Syslog",
            Directive::Timeout => "Timeout",
            Directive::Upstream => "Upstream",
            Directive::User => "User",
            Directive::ViaProxyName => "ViaProxyName",
            Directive::XTinyproxy => "XTinyproxy",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|directive| directive.name().eq_ignore_ascii_case(word))
    }

    /// Whether lines of it add up; of the others the last one counts.
    pub(super) fn adds_up(self) -> bool {
        matches!(
            self,
            Directive::AddHeader
                | Directive::Allow
                | Directive::Anonymous
                | Directive::BasicAuth
                | Directive::Bind
                | Directive::ConnectPort
                | Directive::Deny
                | Directive::ErrorFile
                | Directive::Listen
                | Directive::Upstream
        )
    }

    /// Whether two values follow it.
    pub(super) fn takes_two(self) -> bool {
        matches!(
            self,
            Directive::AddHeader | Directive::BasicAuth | Directive::ErrorFile
        )
    }

    /// Whether a word follows it that says what the proxy lets through. Said twice with different
    /// words these are an error, because Tinyproxy itself does not take the last one.
    pub(super) fn filters(self) -> bool {
        matches!(
            self,
            Directive::Filter
                | Directive::FilterCaseSensitive
                | Directive::FilterDefaultDeny
                | Directive::FilterExtended
                | Directive::FilterType
                | Directive::FilterUrls
        )
    }
}
