//! Which header fields pass, and what is written anew. Pure.

use std::net::IpAddr;

use agentnet_policy::{Host, Target};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::manners::fields::Fields;

/// Fields of one hop (RFC 9110 §7.6.1), those meant for us, and those of an upgrade.
/// `Expect` is met here: the body is passed on as soon as it is there.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::HOST,
];
const HOP_BY_HOP_UNREGISTERED: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];

/// The reason of a refusal.
pub const X_AGENTNET_REASON: HeaderName = HeaderName::from_static("x-agentnet-reason");

/// True if the message has no transfer coding, or exactly `chunked`: the only one that is read here,
/// and the only one that everybody reads the same.
#[must_use]
pub fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| {
        coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none()
    })
}

/// True if the field belongs to this hop whatever `Connection` says.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || HOP_BY_HOP_UNREGISTERED.contains(&name.as_str())
}

/// The fields that `Connection` names. Framing and routing fields cannot be named away: a request
/// whose Content-Length is gone is another request to the next parser.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for word in value.as_bytes().split(|byte| *byte == b',') {
            let Ok(name) = HeaderName::from_bytes(word.trim_ascii()) else {
                continue;
            };
            let kept = [
                header::HOST,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
            ];
            if !kept.contains(&name) && !is_hop_by_hop(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn copy_end_to_end(from: &HeaderMap, to: &mut HeaderMap) {
    let nominated = nominated(from);
    for (name, value) in from {
        if !is_hop_by_hop(name) && !nominated.contains(name) {
            to.append(name.clone(), value.clone());
        }
    }
}

/// The header of the request that goes upstream: `Host` from the target that was judged, the
/// client's end-to-end fields as the listener's manners would have them, `Via`. With `upgrade`, that
/// one and its `Connection` as well.
#[must_use]
pub fn upstream_request(
    from: &HeaderMap,
    host: HeaderValue,
    via: Option<&HeaderValue>,
    upgrade: Option<&HeaderValue>,
    manners: Option<(&Fields, Option<IpAddr>)>,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 2);
    headers.insert(header::HOST, host);
    copy_end_to_end(from, &mut headers);
    if let Some((fields, client)) = manners {
        fields.apply(&mut headers, client);
    }
    if let Some(via) = via {
        headers.append(header::VIA, via.clone());
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    headers
}

/// The header of the response that goes to the client.
#[must_use]
pub fn client_response(from: &HeaderMap, via: Option<&HeaderValue>, upgraded: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 1);
    copy_end_to_end(from, &mut headers);
    // Ours to say: a server must not pass for the proxy.
    headers.remove(X_AGENTNET_REASON);
    if from.contains_key(header::TRANSFER_ENCODING) {
        // The chunks said where it ends, whatever stands here (RFC 9112 §6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    if let Some(via) = via {
        headers.append(header::VIA, via.clone());
    }
    if upgraded && let Some(protocol) = from.get(header::UPGRADE) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    headers
}

/// `Host` of a plain request: without the port where it is 80, as browsers write it.
#[must_use]
pub fn host_of(target: &Target) -> HeaderValue {
    let text = match (target.host(), target.port()) {
        (Host::Ip(IpAddr::V6(six)), 80) => format!("[{six}]"),
        (host, 80) => host.to_string(),
        (_, _) => target.to_string(),
    };
    // A target has only letters, digits and `.-_:[]`, all of which a header value may have.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}

/// True if the message has been through the proxy whose `Via` name is `pseudonym` (RFC 9110 §7.6.3).
#[must_use]
pub fn has_passed(headers: &HeaderMap, pseudonym: &str) -> bool {
    headers.get_all(header::VIA).iter().any(|value| {
        value
            .as_bytes()
            .windows(pseudonym.len())
            .any(|window| window == pseudonym.as_bytes())
    })
}

/// True if the request logs its connection in, and not itself alone (RFC 4559 §6): whatever else goes
/// over that connection is then taken for this client's.
#[must_use]
pub fn logs_connection_in(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).iter().any(|value| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
        scheme.is_some_and(|scheme| {
            scheme.eq_ignore_ascii_case(b"negotiate") || scheme.eq_ignore_ascii_case(b"ntlm")
        })
    })
}

/// The protocol a client wants to upgrade to, if `Connection` says that it means it.
#[must_use]
pub fn wanted_upgrade(headers: &HeaderMap) -> Option<&HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let meant = headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut words = value.as_bytes().split(|byte| *byte == b',');
        words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    meant.then_some(protocol)
}

/// True for an upgrade that a client only offers and does well without (RFC 9110 §7.8): Java's and
/// some other clients put `h2c` on every plain request. It is left out, never refused.
#[must_use]
pub fn is_optional_upgrade(protocol: &HeaderValue) -> bool {
    let mut words = protocol
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii);
    words.all(|word| {
        word.eq_ignore_ascii_case(b"h2c") || word.to_ascii_lowercase().starts_with(b"tls/")
    })
}

#[cfg(test)]
mod tests;
