//! Who may come in, to which ports, with which password.

use crate::scenario::Scenario;

const PORTS: &[&str] = &[
    "CONNECT $ORIGIN",
    "CONNECT good.example:443",
    "CONNECT good.example:80",
    "CONNECT good.example:563",
    "GET http://good.example:8080/",
];

const PLAIN: &[&str] = &["GET http://$ORIGIN/", "CONNECT $ORIGIN"];

// user:secret, user:wrong, other:two
const PASSWORDS: &[&str] = &[
    "GET http://$ORIGIN/",
    "GET http://$ORIGIN/\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=",
    "GET http://$ORIGIN/\nProxy-Authorization: Basic dXNlcjp3cm9uZw==",
    "GET http://$ORIGIN/\nproxy-authorization: basic dXNlcjpzZWNyZXQ=",
    "GET http://$ORIGIN/\nProxy-Authorization: Bearer dXNlcjpzZWNyZXQ=",
    "GET http://$ORIGIN/\nProxy-Authorization: Basic",
    "GET http://$ORIGIN/\nAuthorization: Basic dXNlcjpzZWNyZXQ=",
    "GET http://$ORIGIN/\nProxy-Authorization: Basic b3RoZXI6dHdv",
    "CONNECT $ORIGIN",
    "CONNECT $ORIGIN\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=",
    "CONNECT $ORIGIN\nProxy-Authorization: Basic dXNlcjp3cm9uZw==",
    "GET http://tinyproxy.stats/",
    "GET http://tinyproxy.stats/\nAuthorization: Basic dXNlcjpzZWNyZXQ=",
    "GET http://tinyproxy.stats/\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=",
    "GET http://tinyproxy.stats/\nAuthorization: Basic dXNlcjp3cm9uZw==",
];

const STATFILE: (&str, &str) = ("stats", "{reqs} denied {deniedconns}\n");

fn ports(name: &'static str, conf: &str) -> Scenario {
    Scenario::asks(name, &format!("Upstream http $PARENT\n{conf}"), PORTS)
}

fn clients(name: &'static str, conf: &str) -> Scenario {
    Scenario::asks(name, conf, PLAIN)
}

fn passwords(name: &'static str, conf: &str) -> Scenario {
    Scenario::asks(name, &format!("StatFile \"$DIR/stats\"\n{conf}"), PASSWORDS)
        .file(STATFILE.0, STATFILE.1)
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        ports("every port", ""),
        ports("two ports", "ConnectPort 443\nConnectPort 563\n"),
        ports("the port of the origin", "ConnectPort $ORIGINPORT\n"),
        ports("no CONNECT at all", "ConnectPort 0\n"),
        ports("0 beside a port", "ConnectPort 0\nConnectPort 443\n"),
        ports(
            "a port and a filter",
            "ConnectPort 443\nFilter \"$DIR/filter\"\n",
        )
        .file("filter", "good\n"),
        clients("nobody is named", ""),
        clients("allowed by address", "Allow 127.0.0.1\n"),
        clients("allowed by network", "Allow 127.0.0.0/8\n"),
        clients("allowed by everything", "Allow 0.0.0.0/0\n"),
        clients("another is allowed", "Allow 192.0.2.1\n"),
        clients("denied by address", "Deny 127.0.0.1\n"),
        clients("another is denied", "Deny 192.0.2.1\n"),
        clients(
            "denied before allowed",
            "Deny 127.0.0.1\nAllow 127.0.0.0/8\n",
        ),
        clients(
            "allowed before denied",
            "Allow 127.0.0.1\nDeny 127.0.0.0/8\n",
        ),
        clients("allowed by IPv6 address", "Allow ::1\n"),
        clients("allowed by name", "Allow localhost\n"),
        clients("denied by name", "Deny localhost\nAllow 127.0.0.1\n"),
        clients("another name is allowed", "Allow host.example\n"),
        clients("the end of a name", "Allow calhost\n"),
        passwords("a password", "BasicAuth user secret\n"),
        passwords("two users", "BasicAuth user secret\nBasicAuth other two\n"),
        passwords(
            "a password, and a client that is denied",
            "BasicAuth user secret\nDeny 127.0.0.1\n",
        ),
        passwords(
            "a password and a port",
            "BasicAuth user secret\nConnectPort 443\n",
        ),
        passwords(
            "a password and a filter",
            "BasicAuth user secret\nFilter \"$DIR/filter\"\n",
        )
        .file("filter", "127\n"),
        clients("private destinations are shut", "").guarded(),
        Scenario::asks(
            "tunnels are held to their host",
            "Filter \"$DIR/filter\"\nFilterDefaultDeny Yes\n",
            &["CONNECT $ORIGIN"],
        )
        .file("filter", "^127\\.0\\.0\\.1$\n")
        .checked(),
    ]
}
