//! What a plain request carries upstream beside what the client sent: Tinyproxy's ViaProxyName,
//! DisableViaHeader, AddHeader, Anonymous and XTinyproxy.
//!
//! Which fields belong to the hop, what `Host` says and how a body is framed are never configured:
//! [`headers`](crate::headers) decides those, and this comes behind it.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::headers::is_hop_by_hop;

/// The field that XTinyproxy adds.
pub const X_TINYPROXY: HeaderName = HeaderName::from_static("x-tinyproxy");

/// Longest name in `Via`.
const MAX_VIA: usize = 255;

/// How the fields of plain requests are changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    via: Via,
    add: Vec<(HeaderName, HeaderValue)>,
    /// Anonymous: no other passes. Empty lets all pass.
    keep: Vec<HeaderName>,
    tell_client: bool,
}

/// The name in `Via`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Via {
    /// Our pseudonym.
    #[default]
    Own,
    /// This one, with the pseudonym as its comment.
    Named(String),
    /// None at all.
    Off,
}

/// Why a field cannot be added, or not named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// RFC 9110 §5.1.
    #[error("`{0}` is not the name of a header field")]
    Name(String),
    /// RFC 9110 §5.5. A line feed would begin another field.
    #[error("the value has a character that no header field may have")]
    Value,
    /// Ours to say.
    #[error("`{0}` is said by the proxy itself, and cannot be added: leave the line out")]
    Reserved(HeaderName),
    /// `Via` has its own directives.
    #[error(
        "`via` is said by the proxy itself: write ViaProxyName \"NAME\" or DisableViaHeader Yes"
    )]
    Via,
    /// The name in `Via`.
    #[error("the name in Via is 1 to 255 characters of printable ASCII")]
    ViaName,
}

impl Fields {
    /// Calls itself `name` in `Via`.
    ///
    /// # Errors
    /// When that cannot stand in a header.
    pub fn set_via(&mut self, name: &str) -> Result<(), BadField> {
        let printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if name.trim().is_empty() || name.len() > MAX_VIA || !printable {
            return Err(BadField::ViaName);
        }
        // The comment of a Via entry is our pseudonym, so no bracket before it may open another.
        self.via = Via::Named(name.trim().replace(['(', ')'], "-"));
        Ok(())
    }

    /// Adds no `Via`.
    pub fn hide_via(&mut self) {
        self.via = Via::Off;
    }

    /// Adds a field. The first of a name counts, as in Tinyproxy.
    ///
    /// # Errors
    /// When it is none, or not to be added.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), BadField> {
        let bytes = name.as_bytes();
        let parsed = HeaderName::from_bytes(bytes).map_err(|_| BadField::Name(name.to_owned()))?;
        let value = HeaderValue::try_from(value).map_err(|_| BadField::Value)?;
        if parsed == header::VIA {
            return Err(BadField::Via);
        }
        if is_hop_by_hop(&parsed) || parsed == header::CONTENT_LENGTH || parsed == X_TINYPROXY {
            return Err(BadField::Reserved(parsed));
        }
        if !self.add.iter().any(|(known, _)| *known == parsed) {
            self.add.push((parsed, value));
        }
        Ok(())
    }

    /// Lets a field of the client pass, and no other that is not let pass as well.
    ///
    /// # Errors
    /// When it is none.
    pub fn keep(&mut self, name: &str) -> Result<(), BadField> {
        let bytes = name.as_bytes();
        let parsed = HeaderName::from_bytes(bytes).map_err(|_| BadField::Name(name.to_owned()))?;
        if self.keep.is_empty() {
            // What Tinyproxy lets pass whatever the list says: a body without these is another body.
            self.keep.extend([
                header::HOST,
                header::CONTENT_LENGTH,
                header::CONTENT_TYPE,
                header::VIA,
            ]);
        }
        self.keep.push(parsed);
        Ok(())
    }

    /// Tells the server the client's address.
    pub fn tell_client(&mut self) {
        self.tell_client = true;
    }

    /// True if nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The `Via` field of both directions, if there is one. It always holds the pseudonym, by which
    /// a request that comes back is known.
    #[must_use]
    pub fn via(&self, pseudonym: &str) -> Option<HeaderValue> {
        let text = match &self.via {
            Via::Own => format!("1.1 {pseudonym}"),
            Via::Named(name) => format!("1.1 {name} ({pseudonym})"),
            Via::Off => return None,
        };
        HeaderValue::try_from(text).ok()
    }

    /// Changes the fields that a request takes upstream. What the operator adds takes the place of
    /// what the client says under that name: a field by which a server knows whom the proxy let
    /// through is worth nothing if the agent can write it.
    pub fn apply(&self, headers: &mut HeaderMap, client: Option<IpAddr>) {
        if !self.keep.is_empty() {
            let others: Vec<HeaderName> = headers
                .keys()
                .filter(|name| !self.keep.contains(name))
                .cloned()
                .collect();
            for name in others {
                headers.remove(name);
            }
        }
        for (name, value) in &self.add {
            headers.insert(name.clone(), value.clone());
        }
        if self.tell_client {
            headers.remove(X_TINYPROXY);
            let said = client.map(|client| HeaderValue::try_from(client.to_string()));
            if let Some(Ok(value)) = said {
                headers.insert(X_TINYPROXY, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn lets_only_listed_fields_pass_and_what_a_body_needs() {
        let mut fields = Fields::default();
        fields.keep("Cookie").unwrap();
        let sent = [
            ("host", "a"),
            ("cookie", "c"),
            ("content-type", "t"),
            ("content-length", "3"),
            ("via", "1.0 x"),
            ("user-agent", "u"),
            ("x-a", "1"),
            ("authorization", "Basic x"),
        ];
        let mut headers = headers(&sent);
        fields.apply(&mut headers, None);
        let expected = ["content-length", "content-type", "cookie", "host", "via"];
        assert_eq!(names(&headers), expected);
    }

    #[test]
    fn says_itself_what_it_adds() {
        let mut fields = Fields::default();
        fields.add("X-Zone", "agents").unwrap();
        fields.add("x-zone", "later").unwrap();
        fields.keep("X-Other").unwrap();
        fields.tell_client();
        let mut headers = headers(&[("x-zone", "forged"), ("x-tinyproxy", "6.6.6.6")]);
        fields.apply(&mut headers, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(headers["x-zone"], "agents");
        assert_eq!(headers["x-tinyproxy"], "192.0.2.7");
        assert_eq!(headers.len(), 2);
        fields.apply(&mut headers, None);
        assert!(
            !headers.contains_key("x-tinyproxy"),
            "a unix client has none"
        );
    }

    #[test]
    fn adds_nothing_that_would_change_the_request() {
        let mut fields = Fields::default();
        for name in [
            "Host",
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "Upgrade",
            "TE",
            "X-Tinyproxy",
        ] {
            let refused = fields.add(name, "x");
            assert!(matches!(refused, Err(BadField::Reserved(_))), "{name}");
        }
        assert_eq!(fields.add("Via", "x"), Err(BadField::Via));
        assert_eq!(fields.add("X-A", "a\r\nX-B: b"), Err(BadField::Value));
        assert_eq!(fields.add("X-A", "a\nb"), Err(BadField::Value));
        assert!(matches!(fields.add("X A", "a"), Err(BadField::Name(_))));
        assert!(matches!(fields.keep(""), Err(BadField::Name(_))));
        assert!(fields.is_empty());
    }

    #[test]
    fn keeps_its_pseudonym_in_a_named_via() {
        let via = |fields: &Fields| fields.via("agentnet-1");
        let mut fields = Fields::default();
        assert_eq!(via(&fields).unwrap(), "1.1 agentnet-1");
        fields.set_via("my (proxy").unwrap();
        assert_eq!(via(&fields).unwrap(), "1.1 my -proxy (agentnet-1)");
        for bad in ["", " ", "a\r\nb", "é", &"n".repeat(256)] {
            assert_eq!(fields.set_via(bad), Err(BadField::ViaName), "{bad:?}");
        }
        fields.hide_via();
        assert_eq!(via(&fields), None);
    }
}
