//! Who may use the proxy: Basic credentials (RFC 7617), compared in constant time.

use std::fmt;

use agentnet_policy::{Problem, Secret, Severity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// Most users of one listener: each is compared with every request.
const MAX_USERS: usize = 1000;

/// Longest `user:password` in bytes; the head of a request bounds what can be sent anyway.
const MAX_LENGTH: usize = 512;

/// The realm where none is set.
pub const DEFAULT_REALM: &str = "agentnet";

/// User names with their passwords, as they will come over the wire. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `Basic realm="…"`.
    challenge: HeaderValue,
    /// The Base64 of `user:password`, of each.
    tokens: Vec<Secret>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = self.tokens.len();
        write!(f, "Credentials({users} users)")
    }
}

/// Why a pair of user and password cannot be used. Says nothing of the password itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPair {
    /// RFC 7617 §2.
    #[error("the user name is empty: write user:password")]
    NoUser,
    /// RFC 7617 §2: the first colon ends the name.
    #[error("the user name has a colon in it, which no client can send")]
    ColonInUser,
    /// RFC 7617 §2.
    #[error("there is a control character in it, which no client can send")]
    Control,
    /// Ours.
    #[error("user name and password are longer than 512 bytes together")]
    TooLong,
}

/// Why a realm cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the realm has a character that is not printable ASCII, or more than 255 of them")]
pub struct BadRealm;

impl Credentials {
    /// Nobody yet, asked for in the name of `realm`.
    ///
    /// # Errors
    /// When the realm cannot stand in a header.
    pub fn new(realm: &str) -> Result<Self, BadRealm> {
        if realm.len() > 255 || !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(BadRealm);
        }
        // A quoted-string (RFC 9110 §5.6.4).
        let mut quoted = String::new();
        for c in realm.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        let challenge =
            HeaderValue::try_from(format!("Basic realm=\"{quoted}\"")).map_err(|_| BadRealm)?;
        Ok(Self {
            challenge,
            tokens: Vec::new(),
        })
    }

    /// Lets a user in.
    ///
    /// # Errors
    /// When no client could ever send it.
    pub fn add(&mut self, user: &str, password: &str) -> Result<(), BadPair> {
        if user.is_empty() {
            return Err(BadPair::NoUser);
        }
        if user.contains(':') {
            return Err(BadPair::ColonInUser);
        }
        if user.chars().chain(password.chars()).any(char::is_control) {
            return Err(BadPair::Control);
        }
        if user.len() + 1 + password.len() > MAX_LENGTH {
            return Err(BadPair::TooLong);
        }
        let token = STANDARD.encode(format!("{user}:{password}"));
        self.tokens.push(Secret::new(&token));
        Ok(())
    }

    /// Reads a file of `user:password` lines; `#` begins a comment line. `name` is the file's in
    /// problems, which never show what a line says.
    ///
    /// # Errors
    /// With every line that cannot be used; and when there is none, because then nobody could come in.
    pub fn parse(name: &str, realm: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let wrong = |line: usize, what: String| Problem {
            file: name.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            word: None,
            what,
            fix: None,
            severity: Severity::Error,
        };
        let mut credentials = Self::new(realm).map_err(|bad| vec![wrong(0, bad.to_string())])?;
        let mut problems = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = match line.split_once(':') {
                Some((user, password)) => credentials.add(user, password),
                None => {
                    let what = "has no colon: write user:password";
                    problems.push(wrong(place + 1, what.to_owned()));
                    continue;
                }
            };
            if let Err(bad) = added {
                problems.push(wrong(place + 1, bad.to_string()));
            }
        }
        if problems.is_empty() && credentials.tokens.is_empty() {
            let what = "has no user, and nobody could come in: write a line user:password";
            problems.push(wrong(0, what.to_owned()));
        }
        if credentials.tokens.len() > MAX_USERS {
            let what = format!("has more than {MAX_USERS} users");
            problems.push(wrong(0, what));
        }
        if problems.is_empty() {
            Ok(credentials)
        } else {
            Err(problems)
        }
    }

    /// True if these fields of a request are exactly one, and it is `Basic` with a pair that is let
    /// in. Every pair is compared, to its end, whatever the ones before said.
    pub fn accept<'a>(&self, fields: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
        let mut fields = fields.into_iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return false;
        };
        let Some((scheme, token)) = field.as_bytes().split_at_checked("Basic ".len()) else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return false;
        }
        let token = token.trim_ascii();
        let compared = self.tokens.iter().map(|expected| expected.is(token));
        // Without a short circuit: how long it takes must not say which user was right.
        compared.fold(false, |known, this| known | this)
    }

    /// The challenge for those who are not let in.
    #[must_use]
    pub fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }

    /// True if nobody is let in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> HeaderValue {
        HeaderValue::try_from(text).unwrap()
    }

    fn basic(pair: &str) -> HeaderValue {
        field(&format!("Basic {}", STANDARD.encode(pair)))
    }

    #[test]
    fn lets_in_who_is_listed_and_nobody_else() {
        let text = "# people\nalice:secret\r\n\nbob:pa:ss word\n";
        let credentials = Credentials::parse("users", "r", text).unwrap();
        assert!(credentials.accept([&basic("alice:secret")]));
        assert!(credentials.accept([&basic("bob:pa:ss word")]));
        let scheme = basic("alice:secret").to_str().unwrap().replace('B', "b");
        assert!(credentials.accept([&field(&scheme)]), "any case of Basic");
        for wrong in [
            "alice:secre",
            "alice:secrett",
            "Alice:secret",
            "alice:",
            ":",
            "",
        ] {
            assert!(!credentials.accept([&basic(wrong)]), "{wrong}");
        }
        for wrong in ["", "Basic", "Basic ", "Digest x", "Basic !!!"] {
            assert!(!credentials.accept([&field(wrong)]), "{wrong}");
        }
        assert!(!credentials.accept([]));
        let right = basic("alice:secret");
        assert!(!credentials.accept([&right, &right]), "one field only");
    }

    #[test]
    fn says_what_is_wrong_with_a_file_and_not_what_it_says() {
        let bad = "hunter2\n:pw\nok:ok\nbell:\u{7}\n";
        let problems = Credentials::parse("users", "r", bad).unwrap_err();
        let lines: Vec<u32> = problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [1, 2, 4]);
        let said = format!("{problems:?}");
        assert!(!said.contains("hunter2"), "{said}");
        let nobody = Credentials::parse("users", "r", "# nobody\n").unwrap_err();
        assert!(
            nobody[0].to_string().starts_with("users: has no user"),
            "{}",
            nobody[0]
        );
        let many = "a:b\n".repeat(MAX_USERS + 1);
        assert!(Credentials::parse("users", "r", &many).is_err());
    }

    #[test]
    fn never_shows_a_password() {
        let mut credentials = Credentials::new("r").unwrap();
        credentials.add("alice", "hunter2").unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(1 users)");
    }

    #[test]
    fn quotes_the_realm_and_takes_no_second_header() {
        let challenge = |realm| Credentials::new(realm).map(|found| found.challenge.clone());
        let quoted = "Basic realm=\"a \\\"b\\\" \\\\\"";
        assert_eq!(challenge("a \"b\" \\").unwrap(), quoted);
        assert_eq!(challenge("a\r\nX: y"), Err(BadRealm));
        assert_eq!(challenge("é"), Err(BadRealm));
        assert_eq!(challenge(&"r".repeat(256)), Err(BadRealm));
    }
}
