//! The one thing the check is for: hyper and [`Inlet`] never disagree about where a message ends.
//!
//! Random pieces of requests, cut, mutated and delivered in pieces, go through an inlet into a real
//! hyper connection. What hyper's handler sees must be what the inlet framed, in the same order.
//! `PROPTEST_CASES` says how many are tried; `make fuzz` tries many.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::inlet::Place;
use super::*;

/// As the proxy has it by default.
const MAX_HEAD: usize = 32 * 1024;

/// What requests are made of, good and bad.
const PIECES: &[&str] = &[
    "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n",
    "GET http://a.example/old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD http://a.example/h HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST http://a.example/p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
    "PUT http://a.example/e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "POST http://a.example/c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST http://a.example/l HTTP/1.1\r\nHost: a.example\r\nContent-Length: 38\r\n\r\n",
    "POST http://a.example/o HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
    "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
    "CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 7\r\n\r\n",
    "GET http://a.example/w HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET http://a%00.example:81:80/<>?`{|}~ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "CONNECT a.example:443/x@[b] HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST http://a.example/m HTTP/1.1\r\n",
    "GET /smuggled HTTP/1.1\r\nHost: b.example\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 05\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length:5,5\r\n",
    "Content-Length : 5\r\n",
    "content-length:\t7 \t\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: CHUNKED \r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Connection: close\r\n",
    "Connection: content-length\r\n",
    "Upgrade: h2c\r\n",
    "Trailer: Content-Length\r\n",
    "X: \u{fc}\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "00000005\r\nhello\r\n",
    "a;x=\"y\"\r\n0123456789\r\n0\r\nContent-Length: 5\r\n\r\n",
    "5 \r\nhello\r\n",
    "5;\r\nhello\r\n",
    "5;a\nhello\r\n",
    "FFFFFFFFFFFFFFFF\r\n",
    "0\r\nHost: b.example\r\nX\r\n\r\n",
    "0000000000000000\r\n\r\n",
    "hello",
    "\0",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u{16}\u{3}\u{1}",
];

/// A request as one side understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    method: String,
    target: String,
    body: Vec<u8>,
    /// Its end was seen.
    whole: bool,
}

/// What a connection may do with its requests.
#[derive(Clone, Copy, Debug)]
struct Handling {
    /// Bodies are read before the answer.
    reads: bool,
    /// CONNECT and upgrades are let through.
    switches: bool,
}

/// What the inlet passes on, and how it framed it.
fn framed(bytes: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Vec<Message>) {
    let mut inlet = Inlet::new(MAX_HEAD);
    let mut alone = Inlet::new(MAX_HEAD);
    let mut passed = Vec::new();
    for piece in pieces(bytes, cuts) {
        let passage = inlet.admit(piece);
        let mut through = passage.held;
        through.extend_from_slice(piece.get(..passage.fresh).unwrap());
        if !through.is_empty() {
            passed.push(through);
        }
    }
    // Byte by byte, so that every byte belongs to the place that the inlet was in.
    let mut messages: Vec<Message> = Vec::new();
    for byte in bytes {
        let before = alone.place;
        let passage = alone.admit(&[*byte]);
        let mut through = passage.held;
        through.extend(std::iter::repeat_n(*byte, passage.fresh));
        if through.is_empty() {
            continue;
        }
        match before {
            Place::Head if through == b"\r\n" => {}
            Place::Head => {
                let line = through.split(|byte| *byte == b'\r').next().unwrap();
                let line = String::from_utf8_lossy(line);
                let mut words = line.split(' ').map(str::to_owned);
                messages.push(Message {
                    method: words.next().unwrap(),
                    target: words.next().unwrap(),
                    body: Vec::new(),
                    whole: matches!(alone.place, Place::Head | Place::Tunnel),
                });
            }
            Place::Content(_) => {
                let message = messages.last_mut().unwrap();
                message.body.extend(through);
                message.whole = alone.place == Place::Head;
            }
            Place::Chunks(place) => {
                let message = messages.last_mut().unwrap();
                if matches!(place, chunks::Chunks::Data { .. }) {
                    message.body.extend(through);
                }
                message.whole = alone.place == Place::Head;
            }
            Place::Tunnel | Place::Over => {}
        }
    }
    let length: usize = passed.iter().map(Vec::len).sum();
    assert!(length <= bytes.len());
    (passed, messages)
}

/// The same bytes in pieces that end at `cuts`.
fn pieces<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// What a handler behind hyper sees of `passed`.
async fn seen(passed: Vec<Vec<u8>>, handling: Handling) -> Vec<Message> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let heard = Arc::clone(&heard);
        async move {
            let (parts, mut body) = request.into_parts();
            let place = {
                let mut heard = heard.lock().unwrap();
                heard.push(Message {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    body: Vec::new(),
                    whole: hyper::body::Body::is_end_stream(&body),
                });
                heard.len() - 1
            };
            loop {
                if !handling.reads {
                    break;
                }
                let frame = body.frame().await;
                let message = &mut heard.lock().unwrap()[place];
                match frame {
                    None => message.whole = true,
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            message.body.extend(data);
                        }
                        continue;
                    }
                    Some(Err(_)) => {}
                }
                break;
            }
            let mut response = http::Response::new(Empty::<bytes::Bytes>::new());
            if !handling.switches && parts.method == http::Method::CONNECT {
                *response.status_mut() = http::StatusCode::FORBIDDEN;
                // As every refusal of a CONNECT has it: the inlet looks at nothing behind one, and
                // without this hyper would take what follows for a request.
                let close = http::HeaderValue::from_static("close");
                response.headers_mut().insert("connection", close);
            } else if handling.switches && parts.headers.contains_key("upgrade") {
                *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
                let upgrade = http::HeaderValue::from_static("x");
                response.headers_mut().insert("upgrade", upgrade);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = async move {
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(5))
            .max_header_size(MAX_HEAD)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(server), service)
            .with_upgrades();
        // A bad request is an error, and ends it.
        served.await.ok();
    };
    let asking = async move {
        for piece in passed {
            if client.write_all(&piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // The clock moves when both sides have done what they can: hyper lets go of a request whose client
        // has left before it was looked at.
        tokio::time::sleep(Duration::from_millis(1)).await;
        client.shutdown().await.ok();
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.ok();
    };
    tokio::join!(serving, asking);
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// hyper adds the slash of an empty path; the authority has no case.
fn same_target(framed: &str, seen: &str) -> bool {
    let lower = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    lower(framed) == lower(seen)
        || lower(&framed.replace("/?", "?")) == lower(&seen.replace("/?", "?"))
}

fn check_agreement(bytes: &[u8], cuts: &[usize], handling: Handling) -> Result<(), TestCaseError> {
    let (passed, framed) = framed(bytes, cuts);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let seen = runtime.block_on(seen(passed, handling));
    // hyper may stop earlier: it closes, or refuses what passed here.
    prop_assert!(seen.len() <= framed.len(), "{seen:#?}\nbeside {framed:#?}");
    // But not at the first: what it refuses by itself has no reason and no record.
    prop_assert!(framed.is_empty() || !seen.is_empty(), "beside {framed:#?}");
    for (seen, framed) in seen.iter().zip(&framed) {
        prop_assert_eq!(&seen.method, &framed.method);
        prop_assert!(
            same_target(&framed.target, &seen.target),
            "{} beside {}",
            seen.target,
            framed.target
        );
        if !handling.reads || seen.method == "CONNECT" {
            continue;
        }
        if seen.whole {
            prop_assert!(framed.whole, "{seen:?} beside {framed:?}");
            prop_assert_eq!(&seen.body, &framed.body);
        } else {
            prop_assert!(framed.body.starts_with(&seen.body));
        }
    }
    Ok(())
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..6),
    ];
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let some = prop::collection::vec(mutation, 0..4);
    (prop::collection::vec(piece, 1..8), some).prop_map(|(pieces, mutations)| {
        let mut bytes = pieces.concat();
        for (place, byte, kind) in mutations {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n \t:;,0"[usize::from(byte % 8)]),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sees_the_same_requests_as_hyper(
        bytes in requests(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        (reads, switches) in any::<(bool, bool)>(),
    ) {
        check_agreement(&bytes, &cuts, Handling { reads, switches }).map_err(|error| {
            TestCaseError::fail(format!("{error}\nfor {}", bytes.escape_ascii()))
        })?;
    }
}

#[test]
fn sees_every_request_of_a_good_pipeline() {
    let good = PIECES[..6].concat();
    let handling = Handling {
        reads: true,
        switches: false,
    };
    let (passed, framed) = framed(good.as_bytes(), &[]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let seen = runtime.block_on(seen(passed, handling));
    assert_eq!((seen.len(), framed.len()), (6, 6));
    check_agreement(good.as_bytes(), &[1, 7, 200], handling).unwrap();
}
