//! CONNECT to an HTTP parent, by hyper's own client, so that any 2xx, a split status line and bytes
//! glued to the answer are read as they should be.

use ::http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{Sent, Trouble, Wire};

/// Largest head of a parent's answer in bytes; interim answers count.
const MAX_HEAD: usize = 16 * 1024;

/// Asks the parent behind `stream` for a tunnel. Gives back the stream, and what the target has
/// already said.
pub(super) async fn connect<S: Wire>(
    stream: S,
    sent: &Sent,
    authorization: Option<&HeaderValue>,
    via: &HeaderValue,
) -> Result<(S, Bytes), Trouble> {
    let request = request(sent, authorization, via)
        .map_err(|error| Trouble::Refused(format!("cannot be asked for it: {error}")))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let exchange = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        match response.status() {
            status if status.is_success() => {}
            status => return Err(refused(status, authorization.is_some())),
        }
        hyper::upgrade::on(response)
            .await
            .map_err(|error| broken(&error))
    };
    // Both in this task: whoever gives up waiting drops the connection with it.
    let mut exchange = std::pin::pin!(exchange);
    let driven = connection.with_upgrades();
    let upgraded = tokio::select! {
        biased;
        upgraded = &mut exchange => upgraded?,
        // It ends when it has handed the stream over, or when the parent has gone, which may have
        // answered before. Either way the exchange knows.
        _ = driven => exchange.await?,
    };
    let parts = upgraded
        .downcast::<TokioIo<S>>()
        .map_err(|_| Trouble::Down("broke off".to_owned()))?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

fn request(
    sent: &Sent,
    authorization: Option<&HeaderValue>,
    via: &HeaderValue,
) -> Result<Request<Empty<Bytes>>, ::http::Error> {
    // An address or a canonical name: no byte of it can end the line (THREATS W92).
    let authority = sent.to_string();
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(Uri::try_from(authority.as_str())?)
        .header(header::HOST, authority)
        // A parent that leads back to us is seen by this.
        .header(header::VIA, via.clone());
    if let Some(authorization) = authorization {
        request = request.header(header::PROXY_AUTHORIZATION, authorization.clone());
    }
    request.body(Empty::new())
}

/// What a parent's answer means. Its own words are not repeated: they could be anything.
fn refused(status: StatusCode, told: bool) -> Trouble {
    let words = status.canonical_reason().unwrap_or("an unknown status");
    let said = format!("answered {} {words}", status.as_u16());
    // 401 has no meaning in an answer to CONNECT, and is how Tinyproxy says that a password is wrong.
    let asks = [
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        StatusCode::UNAUTHORIZED,
    ];
    if asks.contains(&status) {
        let what = if told {
            "refused the credentials"
        } else {
            "wants credentials"
        };
        return Trouble::Credentials(format!("{what} ({})", status.as_u16()));
    }
    if status.is_server_error() {
        Trouble::Unreachable(said)
    } else {
        Trouble::Refused(said)
    }
}

fn broken(error: &hyper::Error) -> Trouble {
    Trouble::Down(format!("did not answer as an HTTP proxy does: {error}"))
}
