//! A user and a password for a parent, which nothing prints.

use agentnet_policy::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// Who we are at a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: Secret,
}

impl Credentials {
    /// The user may not be empty nor have a colon (RFC 7617 §2), and each part has at most 255 bytes
    /// (RFC 1929 §2), so that every kind of parent can be told them.
    ///
    /// # Errors
    /// With what is wrong, and nothing of the text.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Result<Self, &'static str> {
        let (user, password) = (user.into(), password.into());
        if user.is_empty() {
            return Err("has no user name before the colon");
        }
        if user.contains(':') {
            return Err("has a colon in its user name, which no proxy can be told");
        }
        if user.len() > 255 || password.len() > 255 {
            return Err("has a user name or a password of more than 255 bytes");
        }
        if user.chars().chain(password.chars()).any(char::is_control) {
            return Err("has a control character in its user name or password");
        }
        let password = Secret::new(&password);
        Ok(Self { user, password })
    }

    /// Reads `user:password`.
    ///
    /// # Errors
    /// As [`Credentials::new`].
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, password) = text
            .split_once(':')
            .ok_or("is not `user:password` in one line")?;
        Self::new(user, password)
    }

    /// Those of a `tinyproxy.conf`, which were checked where it was read.
    pub(super) fn of(known: &agentnet_policy::tinyproxy::Credentials) -> Self {
        Self {
            user: known.user.clone(),
            password: known.password.clone(),
        }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        self.password.expose()
    }

    /// `Proxy-Authorization` by RFC 7617.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let plain = format!("{}:{}", self.user, self.password.expose());
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_written_as_rfc_7617_has_them_and_never_shown() {
        let credentials = Credentials::parse("Aladdin:open sesame").unwrap();
        let basic = credentials.basic().unwrap();
        assert_eq!(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let shown = format!("{credentials:?} {basic:?}");
        assert!(
            !shown.contains("sesame") && !shown.contains("QWxh"),
            "{shown}"
        );
    }

    #[test]
    fn are_refused_where_a_parent_could_not_be_told_them() {
        for bad in ["", "user", ":password", "a\r\nb:c", "a:b\u{0}"] {
            assert!(Credentials::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Credentials::parse(&format!("{}:x", "u".repeat(256))).is_err());
        assert!(Credentials::parse(&format!("u:{}", "x".repeat(256))).is_err());
        assert!(Credentials::new("a:b", "c").is_err());
        assert!(Credentials::parse("u:").is_ok(), "an empty password is one");
        let colons = Credentials::parse("u:a:b").unwrap();
        assert_eq!(colons.password(), "a:b");
    }
}
