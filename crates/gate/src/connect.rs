//! Standard input and output, joined to a host through the proxy: ssh's `ProxyCommand`.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::conversation::tunnel;

/// How long the proxy may take to answer: it resolves and dials meanwhile, on deadlines of its own.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest host that is asked for, in bytes (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 253;

/// What the environment says about the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wiring {
    /// A URL.
    proxy: Option<String>,
    /// Names, separated by commas.
    direct: String,
}

impl Wiring {
    /// Reads the variables by name, lower case first, as curl does. An empty one is none.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| variable(name));
            values.find(|value| !value.is_empty())
        };
        Self {
            proxy: first(&["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"]),
            direct: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }

    /// Whether the host is named as one to reach without the proxy. Whole names only: services have no
    /// domains.
    fn is_direct(&self, host: &str) -> bool {
        let mut names = self.direct.split(',').map(str::trim);
        names.any(|name| name.eq_ignore_ascii_case(host))
    }

    /// The address of the proxy to reach this host through; none where it is reached directly. Without a proxy
    /// all are, as with any client that was told of none: the network is the fence, not the variables.
    fn proxy_for(&self, host: &str) -> Result<Option<SocketAddr>, String> {
        let Some(url) = self.proxy.as_ref().filter(|_| !self.is_direct(host)) else {
            return Ok(None);
        };
        let authority = url.strip_prefix("http://").unwrap_or(url);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        authority.parse().map(Some).map_err(|_| {
            format!("{url} is not the proxy of a fence; set https_proxy to http://ADDRESS:PORT")
        })
    }
}

/// Reaches the host and copies bytes both ways until it has closed.
///
/// # Errors
/// One sentence, with the proxy's own words where it refused.
pub(crate) fn through(wiring: &Wiring, host: &str, port: u16) -> Result<(), String> {
    let authority = authority(host, port)?;
    let failed = |error: &dyn Display| format!("cannot reach {authority}: {error}");
    let (stream, behind) = match wiring.proxy_for(host)? {
        Some(proxy) => {
            let answer = tunnel(proxy, &authority, PATIENCE);
            let answer = answer.map_err(|error| format!("the proxy at {proxy} failed: {error}"))?;
            answer.map_err(|line| format!("the proxy refused {authority}: {line}"))?
        }
        None => {
            let stream = direct(host, port).map_err(|error| match wiring.proxy {
                Some(_) => failed(&error),
                None => failed(&format!("{error} (https_proxy names no proxy)")),
            })?;
            (stream, Vec::new())
        }
    };
    let upload = stream.try_clone().map_err(|error| failed(&error))?;
    // Nobody waits for it: when the far side has closed, what is still typed goes nowhere.
    thread::spawn(move || {
        // Where either end has failed, the other direction ends by itself.
        drop(copy(&mut io::stdin().lock(), &mut &upload));
        drop(upload.shutdown(Shutdown::Write));
    });
    let mut out = io::stdout().lock();
    let copied = out
        .write_all(&behind)
        .and_then(|()| copy(&mut &stream, &mut out));
    copied.map_err(|error| format!("the connection to {authority} broke: {error}"))
}

/// A service of the task, the container itself, or a door that the name leads to.
#[expect(
    clippy::disallowed_methods,
    reason = "the container's own client, with the container's own names"
)]
fn direct(host: &str, port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((host, port))
}

/// `host:port`, if no character of the host can be anything but a part of it.
fn authority(host: &str, port: u16) -> Result<String, String> {
    let host = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(IpAddr::V6(address)) = host.parse() {
        return Ok(format!("[{address}]:{port}"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || host.len() > LONGEST_HOST || !host.bytes().all(plain) {
        return Err(format!(
            "{host:?} is no host name; write a name or an address"
        ));
    }
    Ok(format!("{host}:{port}"))
}

/// Copies to the end; each piece is on its way before the next is waited for.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(buffer.get(..length).unwrap_or_default())?;
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wiring(variables: &[(&str, &str)]) -> Wiring {
        Wiring::read(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_proxy_is_read_from_the_usual_variables() {
        let of = |variables: &[(&str, &str)]| wiring(variables).proxy_for("a.example");
        let here = Ok(Some("10.0.0.1:8888".parse().unwrap()));
        assert_eq!(of(&[("https_proxy", "http://10.0.0.1:8888")]), here);
        assert_eq!(of(&[("HTTP_PROXY", "10.0.0.1:8888/")]), here);
        let both = [("HTTPS_PROXY", "http://10.0.0.1:8888"), ("https_proxy", "")];
        assert_eq!(of(&both), here);
        let v6 = of(&[("https_proxy", "http://[fd00::1]:8888/")]);
        assert_eq!(v6, Ok(Some("[fd00::1]:8888".parse().unwrap())));
        for bad in [
            "https://10.0.0.1:8888",
            "http://10.0.0.1",
            "http://u:p@10.0.0.1:8888",
            "socks5://x",
        ] {
            assert!(of(&[("https_proxy", bad)]).is_err(), "{bad}");
        }
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(
            of(&[("https_proxy", ""), ("no_proxy", "b.example")]),
            Ok(None)
        );
    }

    #[test]
    fn only_whole_names_of_no_proxy_are_direct() {
        let wiring = wiring(&[("no_proxy", "localhost, db,web")]);
        for direct in ["localhost", "db", "DB", "web"] {
            assert!(wiring.is_direct(direct), "{direct}");
        }
        for proxied in ["b", "db.example", "x.web", ""] {
            assert!(!wiring.is_direct(proxied), "{proxied}");
        }
    }

    #[test]
    fn a_host_cannot_write_more_than_itself_into_the_request() {
        assert_eq!(
            authority("a-b.example", 22),
            Ok("a-b.example:22".to_owned())
        );
        assert_eq!(authority("192.0.2.1", 22), Ok("192.0.2.1:22".to_owned()));
        assert_eq!(
            authority("2001:db8::1", 22),
            Ok("[2001:db8::1]:22".to_owned())
        );
        assert_eq!(
            authority("[2001:db8::1]", 22),
            Ok("[2001:db8::1]:22".to_owned())
        );
        let long = "a".repeat(254);
        for bad in [
            "",
            "a b",
            "a\r\nX: y",
            "a:1",
            "a/b",
            "u@a",
            "ä",
            "fe80::1%eth0",
            long.as_str(),
        ] {
            assert!(authority(bad, 22).is_err(), "{bad:?}");
        }
    }
}
