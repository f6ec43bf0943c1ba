//! The rows behind the proxy: it must answer, and it must refuse.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agentnet_policy::Reason;

use crate::attempt::{Attempt, End, Knock, fold, knock};
use crate::conversation::{Answer, Ask, ask, say};
use crate::expectation::{Expectation, Fence};
use crate::names::HOST_NAMES;
use crate::patience;
use crate::refusal;
use crate::report::{Finding, Outcome, Row};
use crate::row_id::RowId;
use crate::shape::OPEN;

/// A name that no whitelist can allow in earnest: the top-level domain is reserved (RFC 2606).
const UNLISTED: &str = "agentnet-verify.invalid:443";
/// The proxy's admin port.
const ADMIN_PORT: u16 = 9100;
/// Nothing useful listens on the discard port, so a rule that opens a subnet for a database does not
/// make these rows cry.
const PRIVATE: [&str; 13] = [
    "127.0.0.1:9",
    "localhost:9",
    "[::1]:9",
    "0.0.0.0:9",
    "10.255.255.1:9",
    "172.17.0.1:9",
    "192.168.0.1:9",
    "100.64.0.1:9",
    "[fd00::1]:9",
    "[fe80::1]:9",
    "[::ffff:127.0.0.1]:9",
    "[64:ff9b::7f00:1]:9",
    "[2002:7f00:1::1]:9",
];
/// Addresses that a resolver reads and a strict parser refuses.
const NUMERIC: [&str; 8] = [
    "2130706433:9",
    "0x7f000001:9",
    "0x7f.1:9",
    "0177.0.0.1:9",
    "127.1:9",
    "127.0.0.01:9",
    "0:9",
    "2852039166:80",
];
const METADATA: [&str; 4] = [
    "169.254.169.254:80",
    "100.100.100.200:80",
    "[fd00:ec2::254]:80",
    "metadata.google.internal:80",
];
/// A name that nobody owns (RFC 2606).
const FRONTED: &str = "agentnet-verify.invalid";
const METADATA_URL: &str = "http://169.254.169.254/latest/meta-data/";

/// Every row that speaks with the proxy.
pub(crate) fn rows(expectation: &Expectation, window: Duration) -> Vec<Row> {
    let Some(proxy) = expectation
        .proxy
        .filter(|_| expectation.fence != Fence::Open)
    else {
        let why = if expectation.fence == Fence::Open {
            OPEN
        } else {
            "this fence has no proxy"
        };
        return ROWS
            .iter()
            .map(|id| now(*id, "", Finding::skipped(why)))
            .collect();
    };
    let start = Instant::now();
    let answers = answers(proxy, window);
    let silent = answers.outcome != Outcome::Sealed;
    let mut rows = vec![Row::since(
        start,
        RowId::ProxyAnswers,
        format!("CONNECT {UNLISTED} to {proxy}"),
        answers,
    )];
    if silent {
        let left = ROWS.iter().filter(|id| **id != RowId::ProxyAnswers);
        rows.extend(left.map(|id| {
            now(
                *id,
                "",
                Finding::skipped("there is no proxy of ours to ask"),
            )
        }));
        return rows;
    }
    let itself = [
        proxy.to_string(),
        SocketAddr::new(proxy.ip(), ADMIN_PORT).to_string(),
        format!("localhost:{}", proxy.port()),
        format!("localhost:{ADMIN_PORT}"),
    ];
    let mut private: Vec<String> = PRIVATE.map(str::to_owned).into();
    private.extend(
        expectation
            .foreign
            .iter()
            .take(8)
            .map(SocketAddr::to_string),
    );
    let owned = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let hosts: Vec<String> = HOST_NAMES.map(|name| format!("{name}:9")).into();
    let talk = Talk {
        proxy,
        window,
        observe: expectation.observe,
    };
    rows.push(talk.connects(RowId::ConnectPrivate, "private addresses", &private, None));
    rows.push(talk.connects(
        RowId::ConnectNumeric,
        "addresses in disguise",
        &owned(&NUMERIC),
        None,
    ));
    let url = Some(METADATA_URL);
    rows.push(talk.connects(
        RowId::ConnectMetadata,
        "metadata addresses",
        &owned(&METADATA),
        url,
    ));
    rows.push(talk.connects(RowId::ConnectItself, "the proxy itself", &itself, None));
    rows.push(talk.connects(RowId::ConnectHostNames, "the host's names", &hosts, None));
    rows.push(talk.unlisted());
    rows.push(talk.admin());
    rows.push(talk.allowed(expectation.allowed_host.as_deref()));
    rows.push(talk.fronting(expectation.allowed_host.as_deref()));
    rows
}

/// The smallest ClientHello of TLS 1.2 that names a host.
fn client_hello(name: &str) -> Vec<u8> {
    fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len())
            .unwrap_or_default()
            .to_be_bytes();
        [length.get(4 - bytes..).unwrap_or_default(), content].concat()
    }
    let host = [vec![0], vector(2, name.as_bytes())].concat();
    let server_name = [vec![0, 0], vector(2, &vector(2, &host))].concat();
    let body = [
        vec![3, 3],
        vec![0; 32],
        vector(1, &[]),
        // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256.
        vector(2, &[0xc0, 0x2f]),
        vector(1, &[0]),
        vector(2, &server_name),
    ];
    let message = [vec![1], vector(3, &body.concat())].concat();
    [vec![22, 3, 1], vector(2, &message)].concat()
}

/// The rows of this module, for when none of them can run.
const ROWS: [RowId; 10] = [
    RowId::ProxyAnswers,
    RowId::AdminPort,
    RowId::ConnectPrivate,
    RowId::ConnectNumeric,
    RowId::ConnectMetadata,
    RowId::ConnectItself,
    RowId::ConnectHostNames,
    RowId::ConnectUnlisted,
    RowId::AllowedHost,
    RowId::Fronting,
];

fn now(id: RowId, what: &str, finding: Finding) -> Row {
    Row::since(Instant::now(), id, what, finding)
}

/// Something answers at the proxy's address, and it is agentnet's proxy.
fn answers(proxy: SocketAddr, window: Duration) -> Finding {
    // It may have been started a moment ago. Whether it is ours the question below tells.
    patience::proxy_answers(proxy, window);
    match ask(proxy, Ask::Connect(UNLISTED), window) {
        Ok(Answer {
            reason: Some(reason),
            status,
        }) => Finding::sealed(format!("answers: {status} {reason}")),
        Ok(Answer {
            reason: None,
            status,
        }) => Finding::broken(format!(
            "something at {proxy} answers with {status} and no X-Agentnet-Reason: it is not agentnet's \
             proxy"
        )),
        Err(error) => Finding::broken(format!(
            "the proxy at {proxy} does not answer ({error}): nothing gets out, and the rows behind it \
             prove nothing"
        )),
    }
}

/// One conversation partner for all rows.
#[derive(Clone, Copy, Debug)]
struct Talk {
    proxy: SocketAddr,
    window: Duration,
    observe: bool,
}

impl Talk {
    fn ask(self, what: Ask<'_>) -> (Outcome, String) {
        match ask(self.proxy, what, self.window) {
            Ok(answer) => refusal::judge(&answer),
            Err(error) => (Outcome::Broken, format!("got no answer ({error})")),
        }
    }

    /// All of these must be refused before anybody is dialled.
    fn connects(self, id: RowId, what: &str, authorities: &[String], url: Option<&str>) -> Row {
        let start = Instant::now();
        let mut tried: Vec<(String, Outcome, String)> = Vec::new();
        for authority in authorities {
            let (outcome, detail) = self.ask(Ask::Connect(authority));
            tried.push((format!("CONNECT {authority}"), outcome, detail));
        }
        if let Some(url) = url {
            let (outcome, detail) = self.ask(Ask::Get(url));
            tried.push((format!("GET {url}"), outcome, detail));
        }
        if self.observe && id == RowId::ConnectHostNames {
            tried.retain(|(_, outcome, _)| *outcome != Outcome::Leak);
        }
        let advice = "a line of the whitelist opens it (`agentnet whitelist` shows which), or the \
             proxy's checks do not work";
        let what = format!(
            "{} requests for {what}",
            authorities.len() + usize::from(url.is_some())
        );
        Row::since(start, id, what, fold(&tried, advice))
    }

    fn unlisted(self) -> Row {
        let start = Instant::now();
        let finding = if self.observe {
            Finding::skipped("the proxy only observes, so names that are not listed pass")
        } else {
            match ask(self.proxy, Ask::Connect(UNLISTED), self.window) {
                Ok(answer) => refusal::unlisted(&answer, UNLISTED),
                Err(error) => Finding::broken(format!("no answer ({error})")),
            }
        };
        Row::since(
            start,
            RowId::ConnectUnlisted,
            format!("CONNECT {UNLISTED}"),
            finding,
        )
    }

    /// The admin side: its port, and its paths on the proxy's own port.
    fn admin(self) -> Row {
        let start = Instant::now();
        let port = SocketAddr::new(self.proxy.ip(), ADMIN_PORT);
        let what = format!("TCP to {port}, GET /metrics at {}", self.proxy);
        let attempt = knock(&[Knock::at(port)], self.window).pop();
        let metrics = ask(self.proxy, Ask::Origin("/metrics"), self.window);
        let finding = match (attempt, metrics) {
            (
                Some(Attempt {
                    end: End::Connected,
                    ..
                }),
                _,
            ) => Finding::leak(format!(
                "{port} answers: the proxy's admin side listens on the task's network; leave \
                 --admin at `egress:{ADMIN_PORT}`"
            )),
            (
                _,
                Ok(Answer {
                    status: 200..=299, ..
                }),
            ) => Finding::leak(format!(
                "{} serves /metrics on the proxy's own port: it is not agentnet's proxy, or it is broken",
                self.proxy
            )),
            _ => Finding::sealed("closed"),
        };
        Row::since(start, RowId::AdminPort, what, finding)
    }

    /// A tunnel to a permitted name must not carry TLS for another.
    fn fronting(self, host: Option<&str>) -> Row {
        let start = Instant::now();
        let what = "CONNECT to one name, TLS for another";
        let skipped = |why| now(RowId::Fronting, what, Finding::skipped(why));
        let Some(host) = host else {
            return skipped("no --allowed-host was named");
        };
        if !host.ends_with(":443") {
            return skipped("the --allowed-host is not at port 443: its line may say `raw`");
        }
        let finding = if self.observe {
            Finding::skipped("the proxy only observes, so any TLS passes")
        } else {
            match say(self.proxy, host, &client_hello(FRONTED), self.window) {
                Ok((_, None)) => {
                    Finding::broken(format!("{host} should be allowed and is refused"))
                }
                // Closed, or an alert of the proxy's, which begins as every TLS record of type 21.
                Ok((_, Some(heard))) if matches!(heard.first(), None | Some(21)) => {
                    Finding::sealed("closed")
                }
                Ok((_, Some(_))) => Finding::leak(format!(
                    "a tunnel to {host} carried TLS for {FRONTED}: any host behind the same front is \
                     open; leave `raw` off its line"
                )),
                Err(error) => {
                    Finding::broken(format!("{host} should be allowed; no answer ({error})"))
                }
            }
        };
        Row::since(start, RowId::Fronting, format!("{what} ({host})"), finding)
    }

    fn allowed(self, host: Option<&str>) -> Row {
        let start = Instant::now();
        let Some(host) = host else {
            return now(
                RowId::AllowedHost,
                "",
                Finding::skipped("no --allowed-host was named"),
            );
        };
        let finding = match ask(self.proxy, Ask::Connect(host), self.window) {
            Ok(Answer {
                status: 200..=299, ..
            }) => Finding::sealed("works"),
            Ok(Answer { status, reason }) => {
                let reason = reason.map_or("no reason", Reason::as_str);
                Finding::broken(format!(
                    "{host} should be allowed and is refused: {status} {reason}"
                ))
            }
            Err(error) => Finding::broken(format!("{host} should be allowed; no answer ({error})")),
        };
        Row::since(
            start,
            RowId::AllowedHost,
            format!("CONNECT {host}"),
            finding,
        )
    }
}
