//! A word that must not be shown.

use std::fmt;

/// A password. It prints as `…`, is not serialised, and is compared in time that depends on its
/// length alone.
#[derive(Clone, Default)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the word in.
    pub fn new(word: &str) -> Self {
        Self(word.into())
    }

    /// The word itself, for the one place that sends it or compares with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the word that somebody offers.
    pub fn is(&self, offered: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let pairs = own.iter().zip(offered);
        let different = pairs.fold(0, |different, (a, b)| different | (a ^ b));
        own.len() == offered.len() && std::hint::black_box(different) == 0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let secret = Secret::new("hunter2");
        assert!(secret.is(b"hunter2") && !secret.is(b"hunter3") && !secret.is(b"hunter22"));
        assert!(!secret.is(b"") && Secret::default().is(b""));
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "… Some(\n    …,\n)"
        );
    }
}
