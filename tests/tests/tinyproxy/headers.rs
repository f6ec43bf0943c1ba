//! What reaches the origin, and what comes back.

use crate::scenario::Scenario;

const FIELDS: &[&str] = &[
    "GET http://$ORIGIN/\nUser-Agent: me\nCookie: a=b\nAccept: */*\nReferer: http://x.example/\nX-Custom: 1\nAuthorization: Basic eDp5",
    "GET http://$ORIGIN/\nConnection: X-Gone, keep-alive\nX-Gone: 1\nKeep-Alive: 5\nProxy-Connection: keep-alive\nTE: trailers\nUpgrade: h2c",
    "GET http://$ORIGIN/\nVia: 1.0 before\nX-Forwarded-For: 192.0.2.1\nX-Tinyproxy: 192.0.2.1",
    "GET http://$ORIGIN/\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=",
    "GET http://$ORIGIN/hop",
    "POST http://$ORIGIN/\nContent-Type: text/plain\nContent-Length: 3\n\nabc",
    "CONNECT $ORIGIN",
];

fn fields(name: &'static str, conf: &str) -> Scenario {
    Scenario::asks(name, conf, FIELDS)
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        fields("a name for Via", "ViaProxyName \"a name\"\n"),
        fields("a plain name for Via", "ViaProxyName \"gateway\"\n"),
        fields("no Via", "DisableViaHeader Yes\n"),
        fields(
            "no Via beside a name",
            "ViaProxyName \"gateway\"\nDisableViaHeader Yes\n",
        ),
        fields("Via of the machine", ""),
        fields(
            "added",
            "ViaProxyName \"gateway\"\nAddHeader \"X-My-Header\" \"one two\"\nAddHeader \"X-Custom\" \"2\"\n",
        ),
        fields(
            "anonymous",
            "ViaProxyName \"gateway\"\nAnonymous \"Host\"\nAnonymous \"Authorization\"\n",
        ),
        fields(
            "anonymous, with a cookie",
            "ViaProxyName \"gateway\"\nAnonymous \"cookie\"\nAnonymous \"User-Agent\"\n",
        ),
        fields(
            "anonymous, and added",
            "ViaProxyName \"gateway\"\nAnonymous \"Host\"\nAddHeader \"X-Mine\" \"1\"\n",
        ),
        fields(
            "the client told",
            "ViaProxyName \"gateway\"\nXTinyproxy Yes\n",
        ),
        fields(
            "the client not told",
            "ViaProxyName \"gateway\"\nXTinyproxy No\n",
        ),
        fields("bound", "ViaProxyName \"gateway\"\nBind 127.0.0.2\n"),
        fields(
            "bound to another family",
            "ViaProxyName \"gateway\"\nBind ::1\n",
        ),
        fields(
            "bound to where the client came",
            "ViaProxyName \"gateway\"\nBindSame Yes\n",
        ),
    ]
}
