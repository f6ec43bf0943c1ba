use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::notice::TaskName;

fn notice() -> Notice {
    let task = TaskName::new("shop", "fix-42").unwrap();
    Notice::new(
        NoticeId("a".into()),
        task,
        NoticeKind::Error,
        "\"}\r\nX: <b>",
    )
}

fn webhook(url: &str) -> Webhook {
    let config = WebhookConfig::new(url, Some("agents".into()), None, None).unwrap();
    Webhook::new("webhook".into(), &config).unwrap()
}

/// Reads a whole request and answers it.
async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), with: &str) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let length = text.split_once("content-length: ").map(|(_, rest)| {
            let (figure, _) = rest.split_once("\r\n").unwrap();
            figure.parse::<usize>().unwrap()
        });
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if read == 0 || (length.is_some() && body == length) {
            break;
        }
    }
    stream.write_all(with.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    String::from_utf8(request).unwrap()
}

/// What a receiver that answers so is sent, and what comes of it.
async fn sent(path: &str, with: &str) -> (String, Result<Option<Handle>, OutletError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    let webhook = webhook(&url);
    let receiver = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, with).await
    };
    let notice = notice();
    tokio::join!(receiver, webhook.show(&notice, None))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn it_posts_what_ntfy_reads_and_text_stays_inside_json() {
    let (request, result) = sent("/hook?x=1", OK).await;
    assert_eq!(result, Ok(None));
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(
        !head.contains("X: <b>") && !head.contains("authorization"),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    for (field, value) in [
        ("topic", "agents"),
        ("title", "fix-42: failed"),
        ("message", "\"}\nX: <b>"),
        ("kind", "error"),
        ("task", "fix-42"),
        ("project", "shop"),
    ] {
        assert_eq!(body[field], value, "{body}");
    }
    assert_eq!(
        (&body["priority"], &body["tags"][0]),
        (&3.into(), &"x".into())
    );
}

#[tokio::test]
async fn what_did_not_arrive_is_tried_again_and_what_perhaps_did_is_not() {
    let with = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    for status in ["429 x", "500 x", "502 x", "503 x"] {
        let (_, result) = sent("/", &with(status)).await;
        assert!(
            matches!(result, Err(OutletError::Unavailable(_))),
            "{status}: {result:?}"
        );
    }
    for status in [
        "400 x",
        "404 x",
        "302 Found\r\nLocation: http://127.0.0.1:1/",
    ] {
        let (_, result) = sent("/", &with(status)).await;
        assert!(
            matches!(result, Err(OutletError::Refused(_))),
            "{status}: {result:?}"
        );
    }
    for answer in [with("504 x"), String::new(), "nonsense\r\n\r\n".to_owned()] {
        let (_, result) = sent("/", &answer).await;
        assert!(
            matches!(result, Err(OutletError::Unknown(_))),
            "{answer}: {result:?}"
        );
    }
    // Nobody listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let result = webhook(&url).show(&notice(), None).await;
    assert!(
        matches!(result, Err(OutletError::Unavailable(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn an_answer_without_an_end_is_left_when_its_status_is_known_or_cannot_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    for (begins, expected) in [
        // A body that never ends is not read.
        ("HTTP/1.1 200 OK\r\n\r\n", Ok(())),
        // A head that never ends is cut off long before it is a burden.
        ("HTTP/1.1 200 OK\r\nX: ", Err(())),
    ] {
        let receiver = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(begins.as_bytes()).await.unwrap();
            let mut sent = 0_u64;
            while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {
                sent += 64 << 10;
            }
            sent
        };
        let notice = notice();
        let (outlet, patience) = (webhook(&url), Duration::from_secs(30));
        let shown = tokio::time::timeout(patience, outlet.show(&notice, None));
        let (sent, result) = tokio::join!(receiver, shown);
        let result = result.unwrap();
        assert_eq!(result.is_ok(), expected.is_ok(), "{result:?}");
        assert!(sent < 64 << 20, "{sent} bytes were taken");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_says_nothing_is_left_after_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let webhook = webhook(&url);
    let notice = notice();
    let receiver = async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
        drop(stream);
    };
    let ((), result) = tokio::join!(receiver, webhook.show(&notice, None));
    // The paused clock may pass before the connection is there.
    let late = matches!(
        result,
        Err(OutletError::Unknown(_) | OutletError::Unavailable(_))
    );
    assert!(late, "{result:?}");
}

#[test]
fn only_https_or_this_machine_and_no_credentials_in_the_url() {
    for good in [
        "https://ntfy.example/x",
        "http://127.0.0.1:8080",
        "http://[::1]/",
        "http://localhost",
    ] {
        assert!(Url::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "http://ntfy.example/",
        "ftp://x",
        "https://user:pw@x/",
        "/path",
        "",
        "http://127.0.0.1.evil.example/",
    ] {
        assert!(Url::parse(bad).is_err(), "{bad}");
    }
    let url = Url::parse("https://[2001:db8::1]:8443").unwrap();
    assert_eq!(
        (url.host.as_str(), url.port, url.path.as_str()),
        ("2001:db8::1", 8443, "/")
    );
}

/// A certificate for 127.0.0.1, made for this test by whatever `openssl` is there.
fn certificate(dir: &Path) -> bool {
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .output();
    made.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn over_tls_the_certificate_must_be_of_an_authority_that_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    assert!(certificate(dir.path()), "this test needs openssl");
    let certs = CertificateDer::from_pem_file(dir.path().join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.path().join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certs], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "tk_secret\n").unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let receiver = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let request = answer(&mut stream, OK).await;
        let (stream, _) = listener.accept().await.unwrap();
        assert!(acceptor.accept(stream).await.is_err());
        request
    };
    let ours = WebhookConfig::new(
        &url,
        None,
        Some(token_file),
        Some(dir.path().join("cert.pem")),
    );
    let ours = Webhook::new("a".into(), &ours.unwrap()).unwrap();
    // Another authority: one more certificate of the same kind.
    let other = tempfile::tempdir().unwrap();
    assert!(certificate(other.path()));
    let others = WebhookConfig::new(&url, None, None, Some(other.path().join("cert.pem")));
    let others = Webhook::new("b".into(), &others.unwrap()).unwrap();
    let notice = notice();
    let sender = async {
        let first = ours.show(&notice, None).await;
        (first, others.show(&notice, None).await)
    };
    let (request, (first, second)) = tokio::join!(receiver, sender);
    assert_eq!(first, Ok(None));
    assert!(
        request.contains("authorization: Bearer tk_secret\r\n"),
        "{request}"
    );
    assert!(
        matches!(second, Err(OutletError::Unavailable(_))),
        "{second:?}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let missing = Some("/nonexistent/file".into());
    for config in [
        WebhookConfig::new("https://x.example", None, missing.clone(), None),
        WebhookConfig::new("https://x.example", None, None, missing.clone()),
    ] {
        let error = Webhook::new("a".into(), &config.unwrap()).err().unwrap();
        assert!(error.contains("/nonexistent/file"), "{error}");
    }
}
