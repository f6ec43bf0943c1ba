//! Handshakes against scripted parents, without a socket.

use ::http::HeaderValue;
use agentnet_policy::{Host, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const VIA: HeaderValue = HeaderValue::from_static("1.1 us");

fn address(text: &str) -> Sent {
    Sent::Address(text.parse().unwrap())
}

fn name(text: &str) -> Sent {
    let target = Target::parse(text, None).unwrap();
    match target.host() {
        Host::Name(name) => Sent::Name(name.clone(), target.port()),
        Host::Ip(_) => panic!("a name"),
    }
}

/// Asks `parent`, which says `answer` in pieces and ends; also what it was sent.
async fn asked(
    parent: &str,
    sent: Sent,
    answer: Vec<Vec<u8>>,
) -> (Result<(DuplexStream, Vec<u8>), Trouble>, Vec<u8>) {
    let parent = Parent::parse(parent).unwrap();
    let (ours, mut theirs) = duplex(64 * 1024);
    let script = async move {
        let mut got = Vec::new();
        for piece in answer {
            let mut buffer = vec![0; 4096];
            if !piece.starts_with(b"+") {
                let count = theirs.read(&mut buffer).await.unwrap();
                got.extend_from_slice(&buffer[..count]);
            }
            let piece = piece.strip_prefix(b"+").unwrap_or(&piece);
            if theirs.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        theirs.shutdown().await.ok();
        theirs.read_to_end(&mut got).await.ok();
        got
    };
    let ask = async {
        match parent.ask(ours, &sent, &VIA).await {
            Ok((mut stream, early)) => {
                let mut all = early.to_vec();
                stream.read_to_end(&mut all).await.unwrap();
                Ok((stream, all))
            }
            Err(trouble) => Err(trouble),
        }
    };
    // The stream is dropped with the result, which is what ends the script's reading.
    let (result, got) = tokio::join!(
        async {
            let result = ask.await;
            result.map(|(stream, all)| {
                drop(stream);
                (duplex(1).0, all)
            })
        },
        script
    );
    (result, got)
}

async fn said(parent: &str, sent: Sent, answer: Vec<Vec<u8>>) -> Result<Vec<u8>, Trouble> {
    asked(parent, sent, answer).await.0.map(|(_, all)| all)
}

fn pieces(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    pieces.iter().map(|piece| piece.to_vec()).collect()
}

#[tokio::test]
async fn connect_sends_one_head_and_keeps_the_bytes_glued_to_the_answer() {
    let answer = pieces(&[b"HTTP/1.1 200 Connection established\r\n\r\nSSH-2.0-glued\r\n"]);
    let (result, got) = asked("http://me:pw@p:3128", address("[2001:db8::1]:22"), answer).await;
    assert_eq!(result.unwrap().1, b"SSH-2.0-glued\r\n");
    let text = String::from_utf8(got).unwrap();
    assert_eq!(
        text,
        "CONNECT [2001:db8::1]:22 HTTP/1.1\r\nhost: [2001:db8::1]:22\r\nvia: 1.1 us\r\n\
         proxy-authorization: Basic bWU6cHc=\r\n\r\n"
    );
}

#[tokio::test]
async fn connect_takes_every_success_however_it_is_cut_and_no_matter_what_it_says_of_a_body() {
    for answer in [
        pieces(&[b"HTTP/1.0 200 OK\r\n\r\nx"]),
        pieces(&[
            b"HTTP/1.1 2",
            b"+00 Connect",
            b"+ion\r\nA: b\r",
            b"+\n\r\nx",
        ]),
        pieces(&[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\nx"]),
        pieces(&[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx"]),
        pieces(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx"]),
    ] {
        let shown = format!("{answer:?}");
        let said = said("http://p:3128", name("a.example:443"), answer).await;
        assert_eq!(said, Ok(b"x".to_vec()), "{shown}");
    }
}

#[tokio::test]
async fn connect_tells_refusals_apart_and_repeats_no_word_of_the_parent() {
    let of = async |parent: &str, status: &str| {
        let answer = format!("HTTP/1.1 {status} hunter2\r\nContent-Length: 0\r\n\r\n");
        said(parent, address("192.0.2.1:443"), vec![answer.into_bytes()]).await
    };
    let wants = Trouble::Credentials("wants credentials (407)".to_owned());
    assert_eq!(of("http://p:1", "407").await, Err(wants));
    let refused = Trouble::Credentials("refused the credentials (407)".to_owned());
    assert_eq!(of("http://a:b@p:1", "407").await, Err(refused));
    let tinyproxy = Trouble::Credentials("refused the credentials (401)".to_owned());
    assert_eq!(of("http://a:b@p:1", "401").await, Err(tinyproxy));
    let forbidden = Trouble::Refused("answered 403 Forbidden".to_owned());
    assert_eq!(of("http://p:1", "403").await, Err(forbidden));
    let bad = Trouble::Unreachable("answered 502 Bad Gateway".to_owned());
    assert_eq!(of("http://p:1", "502").await, Err(bad));
    assert!(matches!(
        of("http://p:1", "302").await,
        Err(Trouble::Refused(_))
    ));
}

#[tokio::test]
async fn connect_counts_junk_and_half_a_head_and_an_endless_one_as_down() {
    let endless = {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        head.extend(b"X: y\r\n".repeat(8192));
        vec![head]
    };
    for answer in [
        pieces(&[b"HTTP/1.1 200 OK\r\nA: "]),
        pieces(&[b""]),
        pieces(&[b"SSH-2.0-x\r\n"]),
        pieces(&[b"\x05\x00"]),
        endless,
    ] {
        let said = said("http://p:3128", address("192.0.2.1:443"), answer).await;
        assert!(matches!(said, Err(Trouble::Down(_))), "{said:?}");
    }
}

#[tokio::test]
async fn socks5_sends_addresses_as_addresses_and_names_as_names() {
    let ok = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00SSH-glued";
    let answer = pieces(&[b"\x05\x00", ok]);
    let (result, got) = asked("socks5://p:1080", address("192.0.2.7:22"), answer.clone()).await;
    assert_eq!(result.unwrap().1, b"SSH-glued");
    assert_eq!(got, b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x16");
    let (_, got) = asked("socks5h://p:1080", name("a.example:443"), answer).await;
    assert_eq!(got, b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x01\xbb");
}

#[tokio::test]
async fn socks5_takes_a_reply_with_a_long_bound_name_and_one_byte_at_a_time() {
    let mut reply = b"\x05\x00\x00\x03\xff".to_vec();
    reply.extend([b'n'; 255]);
    reply.extend(b"\x00\x50x");
    let mut answer = pieces(&[b"\x05\x00"]);
    for (at, byte) in reply.into_iter().enumerate() {
        answer.push(if at == 0 {
            vec![byte]
        } else {
            vec![b'+', byte]
        });
    }
    let said = said("socks5://p:1080", address("192.0.2.7:22"), answer).await;
    assert_eq!(said, Ok(b"x".to_vec()));
}

#[tokio::test]
async fn socks5_sends_credentials_only_when_asked_and_tells_refusals_apart() {
    let ok: &[u8] = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let parent = "socks5://me:pw@p:1080";
    let answer = pieces(&[b"\x05\x02", b"\x01\x00", ok]);
    let (result, got) = asked(parent, address("192.0.2.7:22"), answer).await;
    assert!(result.is_ok());
    assert!(got.starts_with(b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x01"));
    let of = async |parent: &str, answer: &[&[u8]]| {
        said(parent, address("192.0.2.7:22"), pieces(answer)).await
    };
    let wrong = Trouble::Credentials("refused the credentials".to_owned());
    assert_eq!(of(parent, &[b"\x05\x02", b"\x01\x01"]).await, Err(wrong));
    let none = of("socks5://p:1080", &[b"\x05\xff"]).await;
    assert!(matches!(none, Err(Trouble::Credentials(_))), "{none:?}");
    let forced = of("socks5://p:1080", &[b"\x05\x02"]).await;
    assert!(matches!(forced, Err(Trouble::Credentials(_))), "{forced:?}");
    for (code, refused) in [
        (1, false),
        (2, true),
        (3, false),
        (4, false),
        (5, false),
        (8, false),
    ] {
        let reply = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        let said = of("socks5://p:1080", &[b"\x05\x00", &reply]).await;
        match said {
            Err(Trouble::Refused(_)) => assert!(refused, "{code}"),
            Err(Trouble::Unreachable(_)) => assert!(!refused, "{code}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn socks5_counts_junk_and_half_a_reply_as_down() {
    for answer in [
        pieces(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
        pieces(&[b"\x05"]),
        pieces(&[b"\x05\x07"]),
        pieces(&[b"\x05\x00", b"\x05\x00\x00\x01\x00"]),
        pieces(&[b"\x05\x00", b"\x05\x00\x00\x09\x00\x00\x00\x00\x00\x00"]),
        pieces(&[b"\x05\x00", b"\x05\x63\x00\x01\x00\x00\x00\x00\x00\x00"]),
    ] {
        let said = said("socks5://p:1080", address("192.0.2.7:22"), answer).await;
        assert!(matches!(said, Err(Trouble::Down(_))), "{said:?}");
    }
}

#[tokio::test]
async fn socks4_sends_names_by_4a_and_has_no_ipv6() {
    let at = Target::parse("p:1080", None).unwrap();
    let parent = Parent::new(Scheme::Socks4, at);
    let (ours, mut theirs) = duplex(1024);
    let wanted = name("a.example:80");
    let via = VIA;
    let ask = parent.ask(ours, &wanted, &via);
    let script = async {
        let mut got = vec![0; 64];
        let count = theirs.read(&mut got).await.unwrap();
        theirs
            .write_all(b"\x00\x5a\x00\x00\x00\x00\x00\x00x")
            .await
            .unwrap();
        got.truncate(count);
        got
    };
    let (result, got) = tokio::join!(ask, script);
    assert!(got.starts_with(b"\x04\x01\x00\x50\x00\x00\x00"), "{got:?}");
    assert!(got.ends_with(b"a.example\x00"), "{got:?}");
    let (mut stream, _) = result.unwrap();
    let mut glued = [0];
    stream.read_exact(&mut glued).await.unwrap();
    assert_eq!(&glued, b"x");
    let (ours, _theirs) = duplex(1024);
    let six = parent.ask(ours, &address("[::1]:80"), &VIA).await;
    assert!(matches!(six, Err(Trouble::Unreachable(_))), "{six:?}");
}
