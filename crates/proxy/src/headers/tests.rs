use super::*;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn target(text: &str) -> Target {
    Target::parse(text, None).unwrap()
}

#[test]
fn writes_the_host_as_browsers_do() {
    let host = |text: &str| host_of(&target(text)).to_str().unwrap().to_owned();
    assert_eq!(host("example.com:80"), "example.com");
    assert_eq!(host("example.com:8080"), "example.com:8080");
    assert_eq!(host("[2600::1]:80"), "[2600::1]");
    assert_eq!(host("[2600::1]:81"), "[2600::1]:81");
}

#[test]
fn takes_out_nominated_fields_but_never_framing_or_routing() {
    let from = headers(&[
        ("connection", "close, x-one , Content-Length, HOST"),
        ("connection", "X-Two,,bad name,transfer-encoding,connection"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("content-length", "9"),
        ("host", "evil"),
    ]);
    let via = HeaderValue::from_static("1.1 me");
    let out = upstream_request(
        &from,
        HeaderValue::from_static("good"),
        Some(&via),
        None,
        None,
    );
    let expected = headers(&[
        ("host", "good"),
        ("x-three", "3"),
        ("content-length", "9"),
        ("via", "1.1 me"),
    ]);
    assert_eq!(out, expected);
}

#[test]
fn finds_its_own_name_in_any_via() {
    let passed = headers(&[("via", "1.0 fred"), ("via", "1.1 a, 1.1 agentnet-0123 (x)")]);
    assert!(has_passed(&passed, "agentnet-0123"));
    assert!(!has_passed(&passed, "agentnet-9999"));
    assert!(!has_passed(&HeaderMap::new(), "agentnet-0123"));
}

#[test]
fn tells_an_upgrade_that_is_meant_from_one_that_is_offered() {
    let wanted = |fields: &[(&str, &str)]| wanted_upgrade(&headers(fields)).cloned();
    assert_eq!(
        wanted(&[("upgrade", "websocket")]),
        None,
        "not named by Connection"
    );
    let meant = wanted(&[
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
    ])
    .unwrap();
    assert!(!is_optional_upgrade(&meant));
    for offer in ["h2c", "H2C", "TLS/1.2, h2c"] {
        assert!(
            is_optional_upgrade(&HeaderValue::from_str(offer).unwrap()),
            "{offer}"
        );
    }
    assert!(!is_optional_upgrade(&HeaderValue::from_static(
        "h2c, websocket"
    )));
}
