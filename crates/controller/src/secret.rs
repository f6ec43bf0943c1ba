//! A text that must not be shown: a password made for a task.

use std::fmt;

use serde::{Serialize, Serializer};

/// What stands where a secret would.
const HIDDEN: &str = "[secret]";
/// Bytes of randomness in a made one.
const BYTES: usize = 16;

/// A secret. It can be used, but neither `Debug` nor a serialisation shows it, so that no plan, log or error can.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// 128 bits of the kernel's randomness as 32 hexadecimal digits: nothing in them needs an escape in a URL, a
    /// shell or a settings file.
    pub fn generate() -> std::io::Result<Secret> {
        let mut bytes = [0_u8; BYTES];
        let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        if got != BYTES {
            // Never for so few bytes (getrandom(2)), but a short password must not be.
            return Err(std::io::Error::other(
                "the kernel gave too little randomness",
            ));
        }
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Secret(digits.collect()))
    }

    /// The text itself: for a container's environment and for the task's own file.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_used_but_never_shown() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[secret]\"");
    }

    #[test]
    fn a_made_one_needs_no_escape_and_is_another_every_time() {
        let (one, two) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one, two);
        for secret in [one, two] {
            assert_eq!(secret.expose().len(), 32);
            assert!(secret.expose().bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}
