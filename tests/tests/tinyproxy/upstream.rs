//! Which parent is asked for what, and in which words.

use crate::scenario::Scenario;

const TARGETS: &[&str] = &[
    "GET http://www.example/",
    "GET http://www.example:8080/a?b",
    "GET http://sub.www.example/",
    "GET http://other.test/",
    "GET http://WWW.Example/",
    "GET http://plain/",
    "GET http://192.0.2.7/",
    "GET http://198.51.100.7/",
    "CONNECT www.example:443",
    "CONNECT sub.www.example:443",
    "CONNECT other.test:443",
    "CONNECT 192.0.2.7:443",
    "CONNECT [2001:db8::7]:443",
    "POST http://www.example/\nContent-Length: 3\n\nabc",
];

/// Where some go past the parent.
const EXCEPTIONS: &[&str] = &[
    "GET http://www.example/",
    "GET http://$ORIGIN/",
    "GET http://localhost:$ORIGINPORT/",
    "CONNECT $ORIGIN",
    "CONNECT localhost:$ORIGINPORT",
    "CONNECT www.example:443",
];

fn targets(name: &'static str, conf: &str) -> Scenario {
    Scenario::asks(name, &format!("ViaProxyName \"gateway\"\n{conf}"), TARGETS)
}

fn exceptions(name: &'static str, conf: &str) -> Scenario {
    Scenario::asks(
        name,
        &format!("ViaProxyName \"gateway\"\n{conf}"),
        EXCEPTIONS,
    )
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let all_and = "Upstream http $PARENT\nUpstream socks5 $SOCKS";
    vec![
        targets("http", "Upstream http $PARENT\n"),
        targets(
            "http, with a password",
            "Upstream http user:secret@$PARENT\n",
        ),
        targets("socks5", "Upstream socks5 $SOCKS\n"),
        targets(
            "socks5, with a password",
            "Upstream socks5 user:secret@$SOCKS\n",
        ),
        targets("socks4", "Upstream socks4 $SOCKS\n"),
        targets("a name", &format!("{all_and} \"www.example\"\n")),
        targets("a domain", &format!("{all_and} \".example\"\n")),
        targets("names without a domain", &format!("{all_and} \".\"\n")),
        targets(
            "a network in bits",
            &format!("{all_and} \"192.0.2.0/24\"\n"),
        ),
        targets(
            "a network with a mask",
            &format!("{all_and} \"192.0.2.0/255.255.255.0\"\n"),
        ),
        targets(
            "the last one wins",
            "Upstream http $DEAD\nUpstream socks5 $SOCKS \".example\"\nUpstream http $PARENT \"www.example\"\nUpstream http $PARENT \".test\"\nUpstream socks5 $SOCKS \"192.0.2.7/32\"\nUpstream http $PARENT \".\"\nUpstream http $PARENT \"198.51.100.0/24\"\n",
        ),
        targets(
            "a general one last does not win",
            "Upstream socks5 $SOCKS \".example\"\nUpstream http $PARENT\n",
        ),
        targets(
            "a null route",
            "Upstream http $PARENT\nUpstream http 0.0.0.0:0 \".example\"\n",
        ),
        targets("a parent that is down", "Upstream http $DEAD\n"),
        targets("a SOCKS parent that is down", "Upstream socks5 $DEAD\n"),
        Scenario::asks(
            "a parent that wants a password",
            "Upstream http $PARENT\n",
            &["CONNECT refused.example:443"],
        ),
        exceptions(
            "none for an address",
            "Upstream http $PARENT\nUpstream none \"127.0.0.0/8\"\n",
        ),
        exceptions(
            "none for a name",
            "Upstream http $PARENT\nUpstream none \"localhost\"\n",
        ),
        exceptions(
            "none for names without a domain",
            "Upstream http $PARENT\nUpstream none \".\"\n",
        ),
        exceptions(
            "none without a site",
            "Upstream http $PARENT \"www.example\"\n",
        ),
    ]
}
