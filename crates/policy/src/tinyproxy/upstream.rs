//! `Upstream` lines: which parent proxy for which host.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::host::Host;
use crate::secret::Secret;
use crate::tinyproxy::argument::Arguments;
use crate::tinyproxy::conf::Credentials;
use crate::whitelist::wrong::Wrong;

/// One `Upstream` line.
///
/// For a host, the **last** line whose site is not [`Site::All`] and fits decides; if none fits, the
/// line for [`Site::All`], wherever it stands (there is at most one in a
/// [`Conf`](crate::tinyproxy::Conf)); if there is none, the connection is direct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Where the connection goes.
    pub parent: Parent,
    /// For which hosts.
    pub site: Site,
    /// The line's number, from 1.
    pub line: u32,
}

/// Where the connections for a site go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parent {
    /// `none`: to the host itself.
    Direct,
    /// `0.0.0.0:0`: nowhere; the request fails.
    NullRoute,
    /// To a proxy.
    Proxy {
        /// What it speaks.
        scheme: Scheme,
        /// Its host.
        host: Host,
        /// Its port, from 1.
        port: u16,
        /// Who we are there.
        credentials: Option<Credentials>,
    },
}

/// What a parent speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `http`
    Http,
    /// `socks4`
    Socks4,
    /// `socks5`
    Socks5,
}

/// Which hosts an `Upstream` line is for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Site {
    /// No site was given: every host that no other line is for.
    All,
    /// `name`: this host.
    Exactly(Host),
    /// `.name`: every name below it, and not the name itself. Kept without the dot.
    Below(Box<str>),
    /// `.`: every name without a dot.
    Dotless,
    /// `IP/bits`, `IP/mask`: every address of the network that is named as an address.
    Network(IpNet),
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 3] = [Scheme::Http, Scheme::Socks4, Scheme::Socks5];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Socks4 => "socks4",
            Scheme::Socks5 => "socks5",
        }
    }
}

impl Site {
    /// Whether the line is for this host.
    pub fn fits(&self, host: &Host) -> bool {
        match (self, host) {
            (Site::All, _) => true,
            (Site::Exactly(site), host) => site == host,
            (Site::Below(domain), Host::Name(name)) => name
                .as_str()
                .strip_suffix(&**domain)
                .is_some_and(|labels| labels.ends_with('.')),
            (Site::Dotless, Host::Name(name)) => !name.as_str().contains('.'),
            (Site::Network(network), Host::Ip(ip)) => network.contains(ip),
            (Site::Below(_) | Site::Dotless, Host::Ip(_)) | (Site::Network(_), Host::Name(_)) => {
                false
            }
        }
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "." {
            return Ok(Site::Dotless);
        }
        if let Some((address, mask)) = text.split_once('/') {
            return network(address, mask).map(Site::Network).ok_or_else(|| {
                let what = "is no network: write an address and its bits or its mask";
                Wrong::word(text, what).write("10.0.0.0/8")
            });
        }
        if let Ok(ip) = text.parse() {
            return Ok(Site::Exactly(Host::Ip(ip)));
        }
        let (name, below) = match text.strip_prefix('.') {
            Some(name) => (name, true),
            None => (text, false),
        };
        match Host::parse(name) {
            Ok(Host::Name(name)) if below => Ok(Site::Below(name.as_str().into())),
            Ok(host) if !below => Ok(Site::Exactly(host)),
            Ok(_) => Err(Wrong::word(text, "has a dot in front of an address").write(name)),
            Err(error) => Err(Wrong::word(text, format!("is no site: {error}"))),
        }
    }
}

fn network(address: &str, mask: &str) -> Option<IpNet> {
    let address: IpAddr = address.parse().ok()?;
    let network = if mask.bytes().all(|b| b.is_ascii_digit()) {
        IpNet::new(address, mask.parse().ok()?).ok()?
    } else {
        IpNet::with_netmask(address, mask.parse().ok()?).ok()?
    };
    Some(network.trunc())
}

/// Reads what stands behind `Upstream`.
pub(super) fn parse(mut arguments: Arguments<'_>, line: u32) -> Result<Upstream, Wrong> {
    const FORMS: &str = "http PARENT:PORT";
    let Some(kind) = arguments.word()? else {
        return Err(Wrong::line("has neither a kind nor a parent").write(FORMS));
    };
    let kind = kind.bare()?;
    if kind.eq_ignore_ascii_case("none") {
        let Some(site) = arguments.word()? else {
            let what = "needs a site: without one nothing is excepted";
            return Err(Wrong::word(kind, what).write("none \".example\""));
        };
        let site = Site::parse(site.string()?)?;
        arguments.end()?;
        let parent = Parent::Direct;
        return Ok(Upstream { parent, site, line });
    }
    let scheme = Scheme::ALL
        .into_iter()
        .find(|scheme| scheme.word().eq_ignore_ascii_case(kind));
    let Some(scheme) = scheme else {
        let what = "is no kind of parent: the kinds are http, socks4, socks5 and none";
        let wrong = Wrong::word(kind, what);
        // The form of releases before 1.10; 1.11 refuses it as well.
        let old = (kind.contains(':') || kind.contains('.')) && !kind.contains('@');
        return Err(if old {
            wrong.write(format!("http {kind}"))
        } else {
            wrong
        });
    };
    let (credentials, mut arguments) = credentials(arguments)?;
    let Some(parent) = arguments.word()? else {
        return Err(Wrong::word(kind, "is followed by no parent").write(FORMS));
    };
    let (host, port) = host_and_port(parent.bare()?)?;
    let site = match arguments.word()? {
        None => Site::All,
        Some(site) => Site::parse(site.string()?)?,
    };
    arguments.end()?;
    let nowhere = host == Host::Ip(Ipv4Addr::UNSPECIFIED.into());
    let parent = match (port, nowhere) {
        (0, true) if site == Site::All => {
            let what = "leads nowhere, so it needs a site: nothing could be reached otherwise";
            return Err(Wrong::word("0.0.0.0:0", what).write("0.0.0.0:0 \".example\""));
        }
        (0, true) => Parent::NullRoute,
        (0, false) | (_, true) => {
            let what = "is no place to connect to; `0.0.0.0:0` leads a site nowhere on purpose";
            return Err(Wrong::word(parent.text, what).write("0.0.0.0:0"));
        }
        (port, false) => Parent::Proxy {
            scheme,
            host,
            port,
            credentials,
        },
    };
    Ok(Upstream { parent, site, line })
}

/// The user ends at the first colon and the password at the first `@` behind it, so a password may
/// have anything else, and neither is quoted in a message.
fn credentials(arguments: Arguments<'_>) -> Result<(Option<Credentials>, Arguments<'_>), Wrong> {
    let rest = arguments.rest();
    let Some((user, behind)) = rest.split_once(':') else {
        return Ok((None, arguments));
    };
    let Some((password, parent)) = behind.split_once('@') else {
        if user.contains('@') {
            let what = "has a user without a password before the `@`";
            return Err(Wrong::line(what).write("http USER:PASSWORD@PARENT:PORT"));
        }
        return Ok((None, arguments));
    };
    if user.is_empty() || user.chars().chain(password.chars()).any(char::is_control) {
        let what = "has no user before the first colon, or a control character there";
        return Err(Wrong::line(what).write("http USER:PASSWORD@PARENT:PORT"));
    }
    // RFC 1929 §2; Tinyproxy has 256 bytes for both.
    if user.len() > 255 || password.len() > 255 {
        return Err(Wrong::line(
            "has a user or a password of more than 255 bytes",
        ));
    }
    let credentials = Credentials {
        user: user.to_owned(),
        password: Secret::new(password),
    };
    Ok((Some(credentials), Arguments::new(parent)))
}

fn host_and_port(text: &str) -> Result<(Host, u16), Wrong> {
    let what = "is no parent";
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Wrong::word(text, "has no port").write(format!("{text}:3128")));
    };
    let host = Host::parse(host).map_err(|error| Wrong::word(text, format!("{what}: {error}")))?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let canonical = port == "0" || !port.starts_with('0');
    match port.parse() {
        Ok(port) if digits && canonical => Ok((host, port)),
        _ => Err(Wrong::word(
            text,
            format!("{what}: the port is a number up to 65535"),
        )),
    }
}
