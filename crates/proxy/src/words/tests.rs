use agentnet_policy::event::{Moment, Version, Word};
use jiff::Timestamp;

use super::*;

fn event(protocol: Protocol, host: &str, port: u16, reason: Reason) -> Event {
    Event {
        v: Version,
        time: Timestamp::UNIX_EPOCH,
        id: Text::new("1"),
        event: Moment::Decision,
        listener: Text::new("default"),
        client: Text::new("127.0.0.1:40000"),
        protocol,
        method: Text::new("GET"),
        path: None,
        host: Text::new(host),
        port,
        verdict: Word::Deny,
        reason,
        rule: None,
        address: None,
        route: Some(Text::new("direct")),
        status: None,
        up: 0,
        down: 0,
        ms: 0,
        sentence: None,
        quiet: false,
        transparent: false,
        agent: None,
    }
}

fn asked() -> Asked {
    Asked {
        url: "http://evil.example/abc?x=y".into(),
        client: 4,
        remote: Some(5),
        ..Asked::default()
    }
}

/// As in the log of the packaged program, without time and process.
fn text(lines: &[Line]) -> String {
    let line = |(level, text): &Line| format!("{}|{text}\n", level.word());
    lines.iter().map(line).collect()
}

fn refused(reason: Reason, filter: Filtered) -> String {
    let event = event(Protocol::Http, "evil.example", 80, reason);
    let asked = Asked { filter, ..asked() };
    text(&asked.refused(&event))
}

#[test]
fn tells_a_request_as_it_was_sent() {
    let request = http::Request::get("http://a.example:81/x?q=1").body(());
    let (parts, ()) = request.unwrap().into_parts();
    let (asked, line) = Asked::new(&parts, 4);
    assert_eq!(
        text(&[line]),
        "Connect|Request (file descriptor 4): GET http://a.example:81/x?q=1 HTTP/1.1\n"
    );
    assert_eq!(&*asked.url, "http://a.example:81/x?q=1");
    let request = http::Request::connect("a.example:443").body(());
    let (parts, ()) = request.unwrap().into_parts();
    assert_eq!(
        text(&[Asked::new(&parts, 4).1]),
        "Connect|Request (file descriptor 4): CONNECT a.example:443 HTTP/1.1\n"
    );
}

#[test]
fn tells_of_the_connection_itself() {
    assert_eq!(
        text(&[
            arrived("127.0.0.1:40000", 4, None),
            arrived("[::1]:40000", 5, "::1".parse().ok()),
            unauthorized("127.0.0.1:40000"),
            left(4),
            bad_request(4),
            too_many(),
            statistics(),
        ]),
        "Connect|Connect (file descriptor 4): 127.0.0.1\n\
         Connect|Connect (file descriptor 5): ::1 at [::1]\n\
         Notice|Unauthorized connection from \"127.0.0.1\".\n\
         Error|read_request_line: Client (file descriptor: 4) closed socket before read.\n\
         Error|process_request: Bad Request on file descriptor 4\n\
         Warning|Maximum number of connections reached. Refusing new connections.\n\
         Notice|Request for the stathost.\n"
    );
}

#[test]
fn tells_a_tunnel_from_its_start_to_its_end() {
    let event = event(Protocol::Connect, "a.example", 443, Reason::Allowed);
    assert_eq!(
        text(&asked().reached(&event)),
        "Info|No upstream proxy for a.example\n\
         Info|opensock: opening connection to a.example:443\n\
         Info|opensock: getaddrinfo returned for a.example:443\n\
         Connect|Established connection to host \"a.example\" using file descriptor 5.\n\
         Info|Not sending client headers to remote machine\n"
    );
    assert_eq!(
        text(&asked().closed(Reason::Allowed)),
        "Info|Closed connection between local client (fd:4) and remote client (fd:5)\n"
    );
    assert_eq!(
        text(&asked().closed(Reason::TimedOut)),
        "Info|Idle Timeout (after poll)\n\
         Info|Closed connection between local client (fd:4) and remote client (fd:5)\n"
    );
}

#[test]
fn tells_the_parent_that_was_used() {
    let mut event = event(Protocol::Http, "a.b", 80, Reason::Allowed);
    event.route = Some(Text::new("http://127.0.0.1:41307"));
    assert_eq!(
        text(&asked().reached(&event)),
        "Info|Found upstream proxy http 127.0.0.1:41307 for a.b\n\
         Info|opensock: opening connection to 127.0.0.1:41307\n\
         Info|opensock: getaddrinfo returned for 127.0.0.1:41307\n\
         Connect|Established connection to upstream proxy \"127.0.0.1\" using file descriptor 5.\n"
    );
    event.route = Some(Text::new("socks5://127.0.0.1:41307"));
    let lines = text(&asked().reached(&event));
    let line = "Established connection to socks5 proxy \"127.0.0.1\" using file descriptor 5.\n";
    assert!(lines.ends_with(line), "{lines}");
    event.route = None;
    event.reason = Reason::UpstreamFailed;
    let asked = Asked {
        parent: Some(Text::new("http://127.0.0.1:1")),
        ..asked()
    };
    assert_eq!(
        text(&asked.refused(&event)),
        "Info|Found upstream proxy http 127.0.0.1:1 for a.b\n\
         Info|opensock: opening connection to 127.0.0.1:1\n\
         Error|opensock: Could not establish a connection to 127.0.0.1:1\n\
         Warning|Could not connect to upstream proxy.\n"
    );
}

#[test]
fn tells_refusals_in_the_words_that_scripts_look_for() {
    assert_eq!(
        refused(Reason::RuleDenied, Filtered::Domain),
        "Notice|Proxying refused on filtered domain \"evil.example\"\n"
    );
    assert_eq!(
        refused(Reason::NotListed, Filtered::Url),
        "Notice|Proxying refused on filtered url \"http://evil.example/abc?x=y\"\n"
    );
    assert_eq!(
        refused(Reason::PortNotListed, Filtered::Domain),
        "Info|Refused CONNECT method on port 80\n"
    );
    assert_eq!(
        refused(Reason::ClientNotAllowed, Filtered::Domain),
        "Notice|Unauthorized connection from \"127.0.0.1\".\n"
    );
    assert_eq!(refused(Reason::AuthRequired, Filtered::Domain), "");
    assert_eq!(
        refused(Reason::BadRequest, Filtered::Domain),
        "Error|process_request: Bad Request on file descriptor 4\n"
    );
    assert_eq!(
        refused(Reason::Loop, Filtered::Domain),
        "Connect|Prevented endless loop (file descriptor 4): 127.0.0.1\n\
         Notice|Proxying refused (loop) on \"evil.example:80\": the address is one of the proxy's \
         own\n"
    );
    assert_eq!(
        refused(Reason::PrivateAddress, Filtered::Domain),
        "Notice|Proxying refused (private_address) on \"evil.example:80\": the address is not a \
         public one and no line opens it\n",
        "Tinyproxy has no such case"
    );
}

#[test]
fn tells_why_a_host_was_not_reached() {
    let mut event = event(Protocol::Http, "nosuch.invalid", 80, Reason::ResolveFailed);
    let asked = Asked {
        detail: Some("Name or service not known".into()),
        ..asked()
    };
    assert_eq!(
        text(&asked.refused(&event)),
        "Info|No upstream proxy for nosuch.invalid\n\
         Info|opensock: opening connection to nosuch.invalid:80\n\
         Error|opensock: Could not retrieve address info for nosuch.invalid:80: Name or service \
         not known\n"
    );
    event.reason = Reason::ConnectFailed;
    assert!(
        text(&asked.refused(&event))
            .ends_with("Error|opensock: Could not establish a connection to nosuch.invalid:80\n")
    );
}
