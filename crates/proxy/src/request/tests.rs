use http::Request;

use super::*;

/// Outside any tunnel.
fn read(parts: &Parts) -> Result<Asked, BadRequest> {
    super::read(parts, None)
}

fn parts(method: &str, uri: &str, host: &str) -> Parts {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", host)
        .body(())
        .unwrap();
    request.into_parts().0
}

#[test]
fn reads_a_tunnel_and_a_plain_request() {
    let connect = parts("CONNECT", "Example.COM.:443", "example.com:443");
    let asked = read(&connect).unwrap();
    assert_eq!(
        (asked.target.to_string().as_str(), asked.protocol),
        ("example.com:443", Protocol::Connect)
    );
    assert_eq!(asked.ask(&connect), Ask::Tunnel);
    let get = parts("GET", "http://example.com/a?b", "example.com:80");
    let asked = read(&get).unwrap();
    assert_eq!(
        (asked.target.to_string().as_str(), asked.protocol),
        ("example.com:80", Protocol::Http)
    );
    assert_eq!(
        asked.ask(&get),
        Ask::Http {
            method: "GET",
            path: "/a?b"
        }
    );
}

#[test]
fn takes_a_host_without_port_for_the_same_host() {
    assert!(read(&parts("CONNECT", "example.com:8443", "EXAMPLE.com")).is_ok());
    assert!(read(&parts("GET", "http://example.com/", "example.com.")).is_ok());
    let other = read(&parts("GET", "http://example.com:81/", "example.com")).unwrap_err();
    assert_eq!(
        (other.reason, other.status),
        (Reason::HostMismatch, StatusCode::FORBIDDEN)
    );
}

#[test]
fn takes_ipv6_in_brackets_only() {
    let asked = read(&parts("CONNECT", "[2600::1]:443", "[2600::1]:443")).unwrap();
    assert_eq!(asked.target.to_string(), "[2600::1]:443");
}

#[test]
fn lets_an_old_client_leave_the_host_out() {
    let mut old = parts("CONNECT", "example.com:22", "x");
    old.headers.clear();
    assert!(read(&old).is_err());
    old.version = Version::HTTP_10;
    assert!(read(&old).is_ok());
}

#[test]
fn says_what_would_be_right() {
    let what = |parts: Parts| read(&parts).unwrap_err().what;
    assert!(what(parts("GET", "https://example.com/", "example.com")).contains("use CONNECT"));
    assert!(what(parts("GET", "/", "proxy:8888")).contains("this is a proxy"));
    assert!(what(parts("CONNECT", "example.com", "example.com")).contains("HOST:PORT"));
}

#[test]
fn keeps_health_checks_apart() {
    assert!(is_for_us(&parts("OPTIONS", "*", "x")));
    assert!(!is_for_us(&parts(
        "OPTIONS",
        "http://example.com/*",
        "example.com"
    )));
    assert!(!is_for_us(&parts("GET", "*", "x")));
}

#[test]
fn takes_inside_a_tunnel_only_what_is_for_its_target() {
    let target = Target::parse("example.com:8080", None).unwrap();
    let inside = |method, uri, host| super::read(&parts(method, uri, host), Some(&target));
    let asked = inside("GET", "/x?y", "example.com:8080").unwrap();
    assert_eq!(
        (asked.target, asked.protocol),
        (target.clone(), Protocol::Http)
    );
    assert!(inside("GET", "http://example.com:8080/x", "example.com:8080").is_ok());
    let mismatch = Some(Reason::HostMismatch);
    let reason = |read: Result<Asked, BadRequest>| read.err().map(|bad| bad.reason);
    assert_eq!(reason(inside("GET", "/", "evil.example:8080")), mismatch);
    assert_eq!(reason(inside("GET", "/", "example.com")), mismatch);
    assert_eq!(
        reason(inside("GET", "http://evil.example/", "evil.example")),
        mismatch
    );
    let bad = Some(Reason::BadRequest);
    assert_eq!(
        reason(inside("CONNECT", "example.com:8080", "example.com:8080")),
        bad
    );
    assert_eq!(
        reason(inside(
            "GET",
            "https://example.com:8080/",
            "example.com:8080"
        )),
        bad
    );
}
