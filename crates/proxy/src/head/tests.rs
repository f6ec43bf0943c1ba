use super::*;

const GET: &str = "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n";

fn checked(rest: &str) -> Result<Framing, Fault> {
    check(format!("{GET}{rest}\r\n").as_bytes())
}

#[test]
fn frames_what_is_written_in_one_way_only() {
    assert_eq!(checked(""), Ok(Framing::None));
    assert_eq!(checked("Content-Length: 0\r\n"), Ok(Framing::None));
    assert_eq!(checked("content-length:\t5 \r\n"), Ok(Framing::Length(5)));
    assert_eq!(
        checked("Transfer-Encoding: Chunked\r\n"),
        Ok(Framing::Chunked)
    );
    assert_eq!(checked("X: \u{fc}, obs text\r\n"), Ok(Framing::None));
    let connect = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n";
    assert_eq!(check(connect.as_bytes()), Ok(Framing::Tunnel));
    assert_eq!(check(b"GET http://a/ HTTP/1.0\r\n\r\n"), Ok(Framing::None));
}

/// THREATS §1.4: what hyper lets through, or hides from its handler.
#[test]
fn refuses_what_two_parsers_could_read_differently() {
    for (rest, fault) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Fault::TwoFramings,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            Fault::TwoFramings,
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Fault::TransferEncoding,
        ),
        ("Transfer-Encoding: chunked,\r\n", Fault::TransferEncoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Fault::TransferEncoding,
        ),
        ("Transfer-Encoding: identity\r\n", Fault::TransferEncoding),
        ("Transfer-Encoding:\r\n", Fault::TransferEncoding),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Fault::ContentLength,
        ),
        ("Content-Length: 5, 5\r\n", Fault::ContentLength),
        ("Content-Length: +5\r\n", Fault::ContentLength),
        ("Content-Length: 0x5\r\n", Fault::ContentLength),
        ("Content-Length: \r\n", Fault::ContentLength),
        (
            "Content-Length: 18446744073709551616\r\n",
            Fault::ContentLength,
        ),
        (
            "Content-Length: 18446744073709551614\r\n",
            Fault::ContentLength,
        ),
        ("Content-Length : 5\r\n", Fault::FieldName),
        (": empty\r\n", Fault::FieldName),
        ("no colon\r\n", Fault::FieldName),
        (" folded: x\r\n", Fault::Folded),
        ("X: a\r\n\tfolded\r\n", Fault::Folded),
        ("X: a\0b\r\n", Fault::FieldValue),
        ("X: a\rb\r\n", Fault::FieldValue),
        ("X: a\u{b}b\r\n", Fault::FieldValue),
        ("X: a\nY: b\r\n", Fault::LineEnd),
    ] {
        assert_eq!(checked(rest), Err(fault), "{rest:?}");
    }
    for (line, fault) in [
        ("GET  http://a/ HTTP/1.1", Fault::RequestLine),
        ("GET http://a/ HTTP/1.1 ", Fault::RequestLine),
        ("GET http://a/", Fault::RequestLine),
        ("GE(T http://a/ HTTP/1.1", Fault::RequestLine),
        (" http://a/ HTTP/1.1", Fault::RequestLine),
        ("GET http://a/#x HTTP/1.1", Fault::Target),
        ("GET http://a\\b/ HTTP/1.1", Fault::Target),
        ("GET http://a\u{fc}/ HTTP/1.1", Fault::Target),
        ("GET http://a/ http/1.1", Fault::Version),
        ("GET http://a/ HTTP/1.2", Fault::Version),
        ("PRI * HTTP/2.0", Fault::Version),
        ("GET http://a/\tb HTTP/1.1", Fault::Target),
        ("GET http:/// HTTP/1.1", Fault::Target),
        ("GET urn:a:b HTTP/1.1", Fault::Target),
        ("GET http://a%00.b/ HTTP/1.1", Fault::Target),
        ("CONNECT a%2eb:443 HTTP/1.1", Fault::Target),
        ("CONNECT a:443:443 HTTP/1.1", Fault::Target),
        ("CONNECT a:443/x HTTP/1.1", Fault::Target),
        ("CONNECT [::1:443 HTTP/1.1", Fault::Target),
    ] {
        assert_eq!(
            check(format!("{line}\r\n\r\n").as_bytes()),
            Err(fault),
            "{line:?}"
        );
    }
    assert_eq!(checked(&"X: y\r\n".repeat(99)), Ok(Framing::None));
    let many = checked(&"X: y\r\n".repeat(100));
    assert_eq!(many, Err(Fault::TooManyFields));
    let chunked = "GET http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(check(chunked.as_bytes()), Err(Fault::ChunkedInHttp10));
    assert_eq!(check(b""), Err(Fault::RequestLine));
    assert_eq!(check(b"GET http://a/ HTTP/1.1"), Err(Fault::LineEnd));
}

/// Feeds `text` in the pieces that `cuts` make; what passed, and what stopped it.
fn fed(text: &[u8], cuts: &[usize], max: usize) -> (Vec<u8>, Option<Stop>) {
    let mut inlet = Inlet::new(max);
    let mut passed = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([text.len()]) {
        let fresh = &text[from..to];
        let Passage {
            held,
            fresh: taken,
            stop,
        } = inlet.admit(fresh);
        passed.extend(held);
        passed.extend(&fresh[..taken]);
        if stop.is_some() {
            assert!(inlet.is_over());
            assert_eq!(
                inlet.admit(b"GET http://a/ HTTP/1.1\r\n\r\n"),
                Passage::default()
            );
            return (passed, stop);
        }
        from = to;
    }
    (passed, None)
}

/// Messages one after the other, each with its kind of framing; the last ends in a tunnel.
const SEQUENCE: &str = "\r\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n\
    POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nGET / \n\n\n\0x!\
    POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;x=y\r\n\r\n\r\n0\r\nA\r\nGET / HTTP\r\n0\r\nT: u\r\n\r\n\r\n\
    CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n\x16\x03\x01 anything\n\n";

#[test]
fn lets_good_messages_through_whole_wherever_they_are_cut() {
    let text = SEQUENCE.as_bytes();
    assert_eq!(fed(text, &[], 1024), (text.to_vec(), None));
    for cut in 0..text.len() {
        assert_eq!(
            fed(text, &[cut], 1024),
            (text.to_vec(), None),
            "cut at {cut}"
        );
    }
    let every: Vec<usize> = (0..text.len()).collect();
    assert_eq!(fed(text, &every, 1024), (text.to_vec(), None));
}

#[test]
fn stops_before_the_first_byte_of_a_faulty_head_wherever_it_is_cut() {
    let good = "POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (bad, fault) in [
        ("GET http://b/ HTTP/1.1\r\nHost: b\n\r\n", Fault::LineEnd),
        ("\nGET http://b/ HTTP/1.1\r\n\r\n", Fault::NotHttp),
        ("\r\n\r\nGET http://b/ HTTP/1.1\r\n\r\n", Fault::RequestLine),
        ("\x16\x03\x01\x02\x00", Fault::NotHttp),
        ("\x05\x01\x00", Fault::NotHttp),
        (
            "POST http://b/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fault::TwoFramings,
        ),
    ] {
        let text = format!("{good}{bad}GET http://c/ HTTP/1.1\r\n\r\n");
        for cut in 0..=text.len() {
            let (passed, stop) = fed(text.as_bytes(), &[cut], 1024);
            let passed = String::from_utf8(passed).unwrap();
            assert_eq!(stop, Some(Stop::Head(fault)), "{bad:?} cut at {cut}");
            assert_eq!(
                passed.trim_end_matches("\r\n"),
                good,
                "{bad:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn breaks_a_body_whose_chunks_are_not_exact() {
    let head = "POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "\r\nhello",
        "5these\r\nhello\r\n",
        "10000000000000000\r\nhello",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\nT: u\n\r\n",
        "0\r\n\rX",
    ] {
        let text = format!("{head}{body}");
        for cut in 0..=text.len() {
            let (passed, stop) = fed(text.as_bytes(), &[cut], 1024);
            assert_eq!(stop, Some(Stop::Body), "{body:?} cut at {cut}");
            assert!(passed.starts_with(head.as_bytes()) || passed.is_empty());
        }
    }
}

#[test]
fn holds_no_more_than_a_head() {
    let endless = "GET http://a/ HTTP/1.1\r\nX: ".to_owned() + &"x".repeat(2000);
    let stop = Some(Stop::Head(Fault::TooLarge));
    assert_eq!(fed(endless.as_bytes(), &[], 1024).1, stop);
    let pieces: Vec<usize> = (0..endless.len()).step_by(100).collect();
    assert_eq!(fed(endless.as_bytes(), &pieces, 1024).1, stop);
    let whole = endless + "\r\n\r\n";
    assert_eq!(fed(whole.as_bytes(), &[], 1024).1, stop);
    assert_eq!(fed(whole.as_bytes(), &[], 4096).1, None);
    let chunk = |extension: usize| {
        let extension = "e".repeat(extension);
        format!("POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\n")
    };
    assert_eq!(fed(chunk(1024).as_bytes(), &[], 4096).1, None);
    assert_eq!(fed(chunk(1025).as_bytes(), &[], 4096).1, Some(Stop::Body));
}
