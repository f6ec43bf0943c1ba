//! What agentnet-proxy does otherwise than Tinyproxy, on purpose. Each has a line in docs/tinyproxy.md.

use std::collections::BTreeSet;

use agentnet_e2e::bed;
use fs_err as fs;

use crate::comparison::Finding;

/// One word that differs, where, and how.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The anchor of its line in docs/tinyproxy.md.
    pub(crate) id: &'static str,
    /// `area/scenario/what was asked`, with `*` for anything. Each must occur.
    pub(crate) at: &'static [&'static str],
    /// The word; may end in `*`.
    pub(crate) field: &'static str,
    /// What Tinyproxy says, with `*` for anything; `-` for nothing; `?` for either.
    pub(crate) theirs: &'static str,
    /// What we say, the same way.
    pub(crate) ours: &'static str,
}

impl Difference {
    /// Is it this?
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        self.at.iter().any(|at| self.covers_at(at, finding))
    }

    /// Is it this, at that one of its places?
    pub(crate) fn covers_at(&self, at: &str, finding: &Finding) -> bool {
        like(at, &finding.at)
            && like(self.field, &finding.field)
            && said(self.theirs, finding.theirs.as_deref())
            && said(self.ours, finding.ours.as_deref())
    }
}

/// All of them.
pub(crate) fn all() -> &'static [Difference] {
    ALL
}

const fn differs(
    id: &'static str,
    at: &'static [&'static str],
    field: &'static str,
    theirs: &'static str,
    ours: &'static str,
) -> Difference {
    Difference {
        id,
        at,
        field,
        theirs,
        ours,
    }
}

/// The ids that docs/tinyproxy.md has.
pub(crate) fn documented() -> BTreeSet<String> {
    let text =
        fs::read_to_string(bed::root().join("docs/tinyproxy.md")).expect("docs/tinyproxy.md");
    let anchors = text.split("<a id=\"differs-").skip(1);
    anchors
        .filter_map(|rest| rest.split('"').next().map(str::to_owned))
        .collect()
}

/// The ids that are tested.
pub(crate) fn ids() -> BTreeSet<String> {
    let seen = all().iter().map(|difference| difference.id);
    seen.map(str::to_owned).collect()
}

fn said(wanted: &str, value: Option<&str>) -> bool {
    match (wanted, value) {
        ("?", _) | ("-", None) => true,
        ("-", Some(_)) | (_, None) => false,
        (wanted, Some(value)) => like(wanted, value),
    }
}

/// `*` is anything, also nothing.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, rest)) => text.strip_prefix(before).is_some_and(|text| {
            let ends = text
                .char_indices()
                .map(|(index, _)| index)
                .chain([text.len()]);
            ends.into_iter()
                .any(|index| text.get(index..).is_some_and(|text| like(rest, text)))
        }),
    }
}

/// Where an origin or a parent is reached.
const THROUGH: &[&str] = &[
    "filter/*",
    "access/*",
    "requests/*",
    "upstream/*",
    "headers/*",
    "pages/*",
    "life/*",
    "start/*",
];

/// In the order of docs/tinyproxy.md.
const ALL: &[Difference] = &[
    differs(
        "private",
        &["access/private destinations are shut/*"],
        "status",
        "200",
        "403",
    ),
    differs(
        "canonical",
        &["filter/*"],
        "NOTICE: Proxying refused on filtered domain*",
        "?",
        "?",
    ),
    differs(
        "canonical",
        &[
            "filter/*/GET http://BAD.EXAMPLE/",
            "filter/*/CONNECT Bad.Example:443",
        ],
        "status",
        "?",
        "?",
    ),
    differs(
        "canonical",
        &[
            "filter/*BAD.EXAMPLE/",
            "requests/*Good.Example/",
            "requests/*good.example./",
            "upstream/*WWW.Example/",
            "pages/*TinyProxy.Stats/",
        ],
        "parent:host",
        "*",
        "*",
    ),
    differs(
        "canonical",
        &["upstream/*"],
        "socks:host",
        "WWW.Example",
        "www.example",
    ),
    differs(
        "linear",
        &["filter/bre, back reference/start"],
        "started",
        "yes",
        "no",
    ),
    differs(
        "strict",
        &[
            "start/a client that is none/start",
            "start/a network that is none/start",
            "start/a port beyond the last/start",
            "filter/deny without a filter/start",
        ],
        "started",
        "yes",
        "no",
    ),
    differs(
        "strict",
        &["start/lines of windows/start"],
        "started",
        "no",
        "yes",
    ),
    differs(
        "upstream",
        &["upstream/a parent that wants a password/*"],
        "status",
        "407",
        "502",
    ),
    differs(
        "dotless",
        &[
            "upstream/names without a domain/GET http://plain/",
            "upstream/none for names without a domain/*localhost:*",
        ],
        "*",
        "?",
        "?",
    ),
    differs(
        "dotless",
        &[
            "upstream/names without a domain/log",
            "upstream/none for names without a domain/log",
        ],
        "CONNECT: Established*",
        "?",
        "?",
    ),
    differs(
        "dotless",
        &["upstream/the last one wins/GET http://plain/"],
        "status",
        "502",
        "200",
    ),
    differs(
        "refusals",
        &[
            "filter/*",
            "access/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "requests/*",
        ],
        "phrase",
        "*",
        "*_*: *",
    ),
    differs(
        "refusals",
        &[
            "filter/*",
            "access/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "requests/*",
        ],
        "body",
        "<?xml*",
        "{\"v\":1,*",
    ),
    differs(
        "refusals",
        &[
            "filter/*",
            "access/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "requests/*",
        ],
        "field:x-agentnet-reason",
        "-",
        "*",
    ),
    differs(
        "refusals",
        &[
            "filter/*",
            "access/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "requests/*",
        ],
        "field:proxy-status",
        "-",
        "agentnet; *",
    ),
    differs(
        "refusals",
        &[
            "filter/*",
            "access/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "requests/*",
        ],
        "field:cache-control",
        "-",
        "no-store",
    ),
    differs(
        "refusals",
        &[
            "filter/*",
            "access/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "requests/*",
        ],
        "field:content-type",
        "text/html",
        "text/plain; charset=utf-8",
    ),
    differs(
        "refusals",
        &[
            "filter/*",
            "access/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "requests/*",
        ],
        "field:server",
        "tinyproxy/1.11.1",
        "-",
    ),
    differs(
        "refusals",
        &["access/*", "pages/*", "requests/*"],
        "version",
        "HTTP/1.0",
        "HTTP/1.1",
    ),
    differs(
        "refusals",
        &["upstream/*that is down/POST*"],
        "ended",
        "reset",
        "-",
    ),
    differs(
        "refusals",
        &["upstream/a null route/POST*"],
        "ended",
        "reset",
        "-",
    ),
    differs(
        "unable-to-connect",
        &["requests/direct/*$DEAD*", "pages/*/GET http://$DEAD/"],
        "status",
        "500",
        "502",
    ),
    differs(
        "wrong-credentials",
        &["access/*/*Proxy-Authorization: *"],
        "status",
        "401",
        "407",
    ),
    differs(
        "proxy-authorization",
        &["headers/*Proxy-Authorization*"],
        "origin:proxy-authorization",
        "Basic *",
        "-",
    ),
    differs(
        "client-names",
        &["access/the end of a name/*"],
        "status",
        "200",
        "403",
    ),
    differs(
        "via",
        THROUGH,
        "*:via",
        "1.* (tinyproxy/1.11.1)",
        "1.1 agentnet-ID",
    ),
    differs(
        "via",
        &["headers/*", "upstream/*", "life/*"],
        "*:via",
        "*(tinyproxy/1.11.1)",
        "*(agentnet-ID)",
    ),
    differs(
        "via",
        &["headers/*"],
        "*:via",
        "1.0 before, 1.1 * (tinyproxy/1.11.1)",
        "1.0 before, 1.1 agentnet-ID",
    ),
    differs(
        "add-header",
        &["headers/added/*X-Custom: 1*"],
        "origin:x-custom",
        "1",
        "2",
    ),
    differs(
        "anonymous",
        &["headers/anonymous, and added/*"],
        "origin:x-mine",
        "-",
        "1",
    ),
    differs(
        "x-tinyproxy",
        &["headers/the client told/*X-Tinyproxy: *"],
        "origin:x-tinyproxy",
        "192.0.2.1, 127.0.0.1",
        "127.0.0.1",
    ),
    differs(
        "stat-host",
        &[
            "pages/*/CONNECT tinyproxy.stats:80",
            "pages/statistics*/GET http://TinyProxy.Stats/",
        ],
        "*",
        "?",
        "?",
    ),
    differs(
        "stat-host",
        &["access/*tinyproxy.stats*", "pages/statistics*"],
        "phrase",
        "Statistic requested",
        "OK",
    ),
    differs(
        "stat-host",
        &["pages/another host*/GET http://bad.example/"],
        "status",
        "403",
        "200",
    ),
    differs(
        "stat-host",
        &["access/*tinyproxy.stats*", "pages/*"],
        "field:content-type",
        "text/html",
        "text/html; charset=utf-8",
    ),
    differs(
        "stat-host",
        &["pages/statistics*", "pages/the packaged*"],
        "body",
        "*tinyproxy*",
        "*agentnet-proxy*",
    ),
    differs(
        "stat-host",
        &["access/*/log"],
        "CONNECT: Request*tinyproxy.stats*",
        "*",
        "*",
    ),
    differs(
        "stat-host",
        &["access/*/log"],
        "NOTICE: Request for the stathost.",
        "*",
        "*",
    ),
    differs(
        "stat-host",
        &["pages/the packaged pages/*"],
        "phrase",
        "Statistic requested",
        "OK",
    ),
    differs(
        "pages",
        &["pages/a default template/*", "pages/a template for 403*"],
        "body",
        "4*|*|*|127.0.0.1|{clienthost}|tinyproxy|*",
        "4*|*|*|127.0.0.1|127.0.0.1|agentnet-proxy|*",
    ),
    differs(
        "pages",
        &["pages/*/log"],
        "ERROR: Error opening error file*",
        "*",
        "-",
    ),
    differs(
        "strict-requests",
        &["requests/*", "pages/*<script>*"],
        "status",
        "*",
        "400",
    ),
    differs(
        "strict-requests",
        &["requests/direct/*Host: else.example"],
        "status",
        "200",
        "403",
    ),
    differs(
        "strict-requests",
        &["requests/direct/TRACE*", "requests/direct/get*"],
        "status",
        "200",
        "405",
    ),
    differs(
        "strict-requests",
        &["pages/*/log"],
        "CONNECT: Request (file descriptor N): G*",
        "?",
        "?",
    ),
    differs(
        "strict-requests",
        &["pages/*/log"],
        "ERROR: process_request: Bad Request*",
        "*",
        "*",
    ),
    differs(
        "filter-type",
        &["filter/ere, in capitals/*", "filter/fnmatch, in capitals/*"],
        "status",
        "200",
        "403",
    ),
    differs(
        "target",
        &["filter/*", "requests/*", "upstream/*", "pages/*", "life/*"],
        "parent:line",
        "* http://*:80/* HTTP/1.1",
        "* http://*/* HTTP/1.1",
    ),
    differs(
        "target",
        &[
            "filter/*Bad.Example:443",
            "filter/*[2001:db8::7]:443",
            "upstream/*[2001:db8::7]:443",
        ],
        "parent:line",
        "CONNECT *:443 HTTP/1.1",
        "CONNECT *:443 HTTP/1.1",
    ),
    differs(
        "target",
        &["filter/*", "access/*", "upstream/*"],
        "parent:host",
        "*",
        "*:443",
    ),
    differs(
        "target",
        &["access/*", "pages/*"],
        "parent:host",
        "*",
        "*:80",
    ),
    differs(
        "target",
        &[
            "filter/*Bad.Example:443",
            "filter/*[2001:db8::7]:443",
            "upstream/*[2001:db8::7]:443",
        ],
        "parent+1:through",
        "CONNECT *:443",
        "CONNECT *:443",
    ),
    differs(
        "socks",
        &["upstream/socks*", "upstream/*"],
        "socks:through",
        "socks*",
        "socks*",
    ),
    differs(
        "socks",
        &["upstream/socks4/CONNECT [2001:db8::7]:443"],
        "status",
        "200",
        "502",
    ),
    differs(
        "socks",
        &["upstream/http, with a password/CONNECT [2001:db8::7]:443"],
        "parent:proxy-authorization",
        "-",
        "*",
    ),
    differs("kept-connections", THROUGH, "*:connection", "close", "-"),
    differs(
        "kept-connections",
        &["life/two requests on one connection/second"],
        "status",
        "0",
        "404",
    ),
    differs(
        "kept-connections",
        &["requests/direct/GET http://$ORIGIN/until-close"],
        "field:transfer-encoding",
        "-",
        "chunked",
    ),
    differs(
        "kept-connections",
        &[
            "requests/direct/GET http://$ORIGIN/until-close",
            "requests/direct/RAW GET*HTTP/1.0*",
        ],
        "version",
        "*",
        "*",
    ),
    differs(
        "kept-connections",
        &["requests/direct/RAW GET*HTTP/1.0*"],
        "origin:line",
        "GET / HTTP/1.0",
        "GET / HTTP/1.1",
    ),
    differs(
        "connect-answer",
        &[
            "requests/*",
            "headers/*",
            "access/*",
            "upstream/*",
            "life/*",
        ],
        "field:proxy-agent",
        "tinyproxy/1.11.1",
        "-",
    ),
    differs(
        "connect-answer",
        &[
            "requests/*CONNECT*",
            "headers/*",
            "access/*",
            "upstream/*",
            "life/*",
        ],
        "version",
        "HTTP/1.0",
        "HTTP/1.1",
    ),
    differs(
        "connect-answer",
        &["filter/*", "access/*", "upstream/*", "pages/*", "life/*"],
        "phrase",
        "Parent says yes",
        "Connection established",
    ),
    differs(
        "connect-answer",
        &["filter/*", "access/*", "upstream/*", "pages/*", "life/*"],
        "field:x-parent",
        "yes",
        "-",
    ),
    differs(
        "connect-answer",
        &[
            "filter/*CONNECT*",
            "access/*CONNECT*",
            "upstream/*CONNECT*",
            "pages/*CONNECT*",
            "life/*",
        ],
        "field:via",
        "1.1 *",
        "-",
    ),
    differs(
        "silence",
        &["life/a client that says nothing/half a head"],
        "status",
        "400",
        "0",
    ),
    differs(
        "silence",
        &["life/a client that says nothing/nothing"],
        "ended",
        "cut short",
        "reset",
    ),
    differs(
        "silence",
        &["life/an origin that says nothing/silence"],
        "status",
        "0",
        "504",
    ),
    differs(
        "silence",
        &["life/a tunnel that says nothing/closed"],
        "ended",
        "end",
        "reset",
    ),
    differs(
        "reload",
        &["life/SIGHUP*", "life/SIGUSR1 with a filter*"],
        "serves",
        "false",
        "true",
    ),
    differs(
        "reload",
        &["life/SIGUSR1 with a configuration that is broken/log"],
        "NOTICE: Re-reading filter file.",
        "1",
        "-",
    ),
    differs(
        "reload",
        &["life/SIGUSR1 with a configuration that is broken/log"],
        "WARNING: $DIR/tinyproxy.conf: there is no Port line; 8888 counts; write: Port 8888",
        "-",
        "1",
    ),
    differs(
        "reload",
        &["life/a filter that changes by itself/after"],
        "taken without a signal",
        "false",
        "true",
    ),
    differs(
        "reload",
        &["life/a filter that changes by itself/log"],
        "*",
        "?",
        "?",
    ),
    differs(
        "reload",
        &["life/SIGUSR1 with another configuration/a tunnel that was open"],
        "ended",
        "silence",
        "reset",
    ),
    differs(
        "reload",
        &["life/SIGUSR1 with another configuration/log"],
        "NOTICE: Connection ended (policy_changed)*",
        "-",
        "1",
    ),
    differs(
        "log",
        &[
            "filter/*",
            "access/*",
            "requests/*",
            "headers/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "start/*",
        ],
        "WARNING: You SHOULD set a UserName*",
        "*",
        "-",
    ),
    differs(
        "log",
        &[
            "filter/*",
            "access/*",
            "requests/*",
            "headers/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "start/*",
        ],
        "NOTICE: Reloading config file",
        "*",
        "?",
    ),
    differs(
        "log",
        &[
            "filter/*",
            "access/*",
            "requests/*",
            "headers/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "start/*",
        ],
        "NOTICE: draining for *",
        "-",
        "1",
    ),
    differs(
        "log",
        &[
            "filter/*",
            "access/*",
            "requests/*",
            "headers/*",
            "upstream/*",
            "pages/*",
            "life/*",
            "start/*",
        ],
        "NOTICE: listener default*",
        "-",
        "1",
    ),
    differs(
        "log",
        &["filter/*extended*/log"],
        "WARNING: line 7: deprecated option FilterExtended*",
        "1",
        "-",
    ),
    differs(
        "log",
        &["start/two general parents/log"],
        "WARNING: Duplicate default upstream",
        "1",
        "-",
    ),
    differs(
        "log",
        &["life/SIGUSR1 with a configuration that is broken/log"],
        "ERROR: *",
        "-",
        "1",
    ),
    differs(
        "log",
        &["upstream/a null route/log"],
        "ERROR: opensock: *",
        "?",
        "?",
    ),
    differs(
        "log",
        &["upstream/a null route/log"],
        "WARNING: Could not connect to upstream proxy.",
        "7",
        "-",
    ),
    differs(
        "reverse",
        &[
            "start/reverse proxying/start",
            "start/only reverse proxying/start",
        ],
        "started",
        "yes",
        "no",
    ),
    differs(
        "user",
        &["start/a user that is not there/start"],
        "started",
        "no",
        "yes",
    ),
    differs("realm", &["start/a realm/start"], "started", "no", "yes"),
    differs(
        "command-line",
        &["command line/words/-c without a file"],
        "says usage",
        "yes",
        "no",
    ),
    differs(
        "bind",
        &["headers/bound to another family/*"],
        "status",
        "?",
        "?",
    ),
    differs(
        "command-line",
        &[
            "start/*/start",
            "pages/no host for statistics/start",
            "command line/words/*",
        ],
        "exit code",
        "*",
        "2",
    ),
    // The request inside is for another host than the tunnel: ours answers it, the origin never sees it.
    differs(
        "raw",
        &["access/tunnels are held to their host/CONNECT $ORIGIN"],
        "tunnel:status",
        "200",
        "403",
    ),
    differs(
        "raw",
        &["access/tunnels are held to their host/*"],
        "*",
        "?",
        "?",
    ),
    differs(
        "max-clients",
        &["life/more clients than are served/third"],
        "status",
        "0",
        "503",
    ),
];
