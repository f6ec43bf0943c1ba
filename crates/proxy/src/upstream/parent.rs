//! One parent: where it is, what it speaks, and who we are to it.

use std::fmt;

use ::http::HeaderValue;
use agentnet_policy::event::Text;
use agentnet_policy::{Target, TargetError};
use bytes::Bytes;

use super::health::Health;
use super::{Credentials, Sent, Trouble, Trust, Wire, http, socks};
use crate::stream::Stream;

/// What a parent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTP in TLS.
    Https,
    /// SOCKS5.
    Socks5,
    /// SOCKS4, and 4a for names. Only a `tinyproxy.conf` has it.
    Socks4,
}

impl Scheme {
    /// As it stands before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks4 => "socks4",
        }
    }
}

/// Why a text is no parent. Says nothing of its user and password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParentError {
    /// No scheme that is known.
    #[error("is not a parent: write http://, https://, socks5:// or socks5h:// before HOST:PORT")]
    Scheme,
    /// A path, a query or a fragment.
    #[error("has something behind its port; a parent is SCHEME://HOST:PORT")]
    Path,
    /// The host or the port.
    #[error("is not SCHEME://HOST:PORT: {0}")]
    Address(TargetError),
    /// An address that stands for every address.
    #[error("is not an address that can be connected to")]
    Unspecified,
    /// The user and the password.
    #[error("{0}")]
    Credentials(&'static str),
    /// A `%` that is not followed by two hexadecimal digits of UTF-8.
    #[error("has a user name or password whose %-escapes are not UTF-8: write a % as %25")]
    Escape,
}

/// A parent.
#[derive(Clone)]
pub struct Parent {
    scheme: Scheme,
    at: Target,
    credentials: Option<Credentials>,
    authorization: Option<HeaderValue>,
    remote_dns: bool,
    trust: Option<Trust>,
    health: Health,
    label: Text,
}

impl Parent {
    /// A parent at `at`.
    #[must_use]
    pub fn new(scheme: Scheme, at: Target) -> Self {
        let label = Text::new(&format!("{}://{at}", scheme.as_str()));
        Self {
            scheme,
            at,
            credentials: None,
            authorization: None,
            remote_dns: false,
            trust: None,
            health: Health::default(),
            label,
        }
    }

    /// Reads `SCHEME://[USER:PASSWORD@]HOST:PORT`, user and password with `%`-escapes.
    ///
    /// # Errors
    /// See [`ParentError`].
    pub fn parse(text: &str) -> Result<Self, ParentError> {
        let (scheme, rest) = text.split_once("://").ok_or(ParentError::Scheme)?;
        let (scheme, remote_dns) = match scheme {
            "http" => (Scheme::Http, false),
            "https" => (Scheme::Https, false),
            "socks5" => (Scheme::Socks5, false),
            "socks5h" => (Scheme::Socks5, true),
            _ => return Err(ParentError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (userinfo, at) = match rest.rsplit_once('@') {
            Some((userinfo, at)) => (Some(userinfo), at),
            None => (None, rest),
        };
        if at.contains(['/', '?', '#']) {
            return Err(ParentError::Path);
        }
        let at = Target::parse(at, None).map_err(ParentError::Address)?;
        if at
            .host()
            .ip()
            .is_some_and(|address| address.is_unspecified())
        {
            return Err(ParentError::Unspecified);
        }
        let mut parent = Self::new(scheme, at).with_remote_dns(remote_dns);
        if remote_dns {
            parent.label = Text::new(&format!("socks5h://{}", parent.at));
        }
        match userinfo {
            None => Ok(parent),
            Some(userinfo) => Ok(parent.with_credentials(read_userinfo(userinfo)?)),
        }
    }

    /// The same parent with credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.authorization = credentials.basic();
        self.credentials = Some(credentials);
        self
    }

    /// The same parent, which is sent names if `remote_dns`.
    #[must_use]
    pub fn with_remote_dns(mut self, remote_dns: bool) -> Self {
        self.remote_dns = remote_dns;
        self
    }

    /// The same parent, whose certificate must be good by `trust`.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// What it speaks.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it is.
    #[must_use]
    pub fn at(&self) -> &Target {
        &self.at
    }

    /// Its name in events and metrics: `scheme://host:port`, without credentials.
    #[must_use]
    pub fn label(&self) -> &Text {
        &self.label
    }

    /// Whether it resolves names.
    #[must_use]
    pub fn remote_dns(&self) -> bool {
        self.remote_dns
    }

    /// Whether credentials are known for it.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// `Proxy-Authorization`, for requests that it gets in the absolute form.
    #[must_use]
    pub fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.clone()
    }

    pub(crate) fn in_turn(&self) -> bool {
        self.health.in_turn()
    }

    pub(crate) fn failed(&self) {
        self.health.failed();
    }

    pub(crate) fn worked(&self) {
        self.health.worked();
    }

    /// Whether plain requests may be given to it as such, instead of through a tunnel.
    pub(crate) fn takes_absolute_form(&self) -> bool {
        match self.scheme {
            Scheme::Http | Scheme::Https => true,
            Scheme::Socks5 | Scheme::Socks4 => false,
        }
    }

    /// Puts TLS on a connection to it, where it speaks that.
    pub(crate) async fn secure(&self, stream: Stream) -> Result<Stream, Trouble> {
        match (self.scheme, &self.trust, stream) {
            (Scheme::Https, Some(trust), Stream::Tcp(tcp)) => {
                let tls = trust.wrap(tcp, self.at.host()).await?;
                Ok(Stream::Tls(Box::new(tls)))
            }
            // Never in the clear to a parent that was to get TLS.
            (Scheme::Https, _, _) => Err(Trouble::Down("has no TLS set up for it".to_owned())),
            (Scheme::Http | Scheme::Socks5 | Scheme::Socks4, _, stream) => Ok(stream),
        }
    }

    /// Asks it, on a connection to it, to connect to `sent`. Gives back the stream, and what the
    /// target has already said.
    pub(crate) async fn ask<S: Wire>(
        &self,
        stream: S,
        sent: &Sent,
        via: &HeaderValue,
    ) -> Result<(S, Bytes), Trouble> {
        let credentials = self.credentials.as_ref();
        match self.scheme {
            Scheme::Http | Scheme::Https => {
                http::connect(stream, sent, self.authorization.as_ref(), via).await
            }
            Scheme::Socks5 => Ok((socks::five(stream, sent, credentials).await?, Bytes::new())),
            Scheme::Socks4 => Ok((socks::four(stream, sent, credentials).await?, Bytes::new())),
        }
    }
}

/// What is in the settings; what was seen of it is not compared.
impl PartialEq for Parent {
    fn eq(&self, other: &Self) -> bool {
        (
            self.scheme,
            &self.at,
            &self.credentials,
            self.remote_dns,
            &self.trust,
        ) == (
            other.scheme,
            &other.at,
            &other.credentials,
            other.remote_dns,
            &other.trust,
        )
    }
}

impl Eq for Parent {}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.label)
    }
}

fn read_userinfo(text: &str) -> Result<Credentials, ParentError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (unescape(user)?, unescape(password)?);
    Credentials::new(user, password).map_err(ParentError::Credentials)
}

fn unescape(text: &str) -> Result<String, ParentError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(ParentError::Escape);
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| ParentError::Escape)?);
    }
    String::from_utf8(bytes).map_err(|_| ParentError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_shows_no_password() {
        let parent = Parent::parse("socks5://me:p%40ss%3A%25@Tor.example:9050/").unwrap();
        assert_eq!(parent.label().as_str(), "socks5://tor.example:9050");
        assert_eq!(format!("{parent:?}"), "socks5://tor.example:9050");
        let credentials = parent.credentials.as_ref().unwrap();
        assert_eq!(
            (credentials.user(), credentials.password()),
            ("me", "p@ss:%")
        );
        assert!(!parent.remote_dns());
        let parent = Parent::parse("socks5h://127.0.0.1:1080").unwrap();
        assert!(parent.remote_dns() && !parent.has_credentials());
        assert_eq!(parent.label().as_str(), "socks5h://127.0.0.1:1080");
        assert_eq!(
            Parent::parse("https://[::1]:3129")
                .unwrap()
                .label()
                .as_str(),
            "https://[::1]:3129"
        );
        let at = Parent::parse("http://a:b@c:d@squid:3128").unwrap();
        assert_eq!(at.credentials.as_ref().unwrap().password(), "b@c:d");
    }

    #[test]
    fn says_what_is_wrong_without_the_password() {
        for bad in [
            "",
            "tor:9050",
            "ftp://a:1",
            "socks4://a:1",
            "http://a",
            "http://a:0",
            "http://a:80/x",
            "http://a b:80",
            "http://0.0.0.0:80",
            "http://[::]:80",
            "http://:hunter2@a:80",
            "http://u:hunter2%@a:80",
            "http://u:hunter2%ff@a:80",
            "http://u:hunter2@:80",
            "http://u:hunter2@0x7f.1:80",
        ] {
            let error = Parent::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{bad}: {error}");
        }
    }
}
