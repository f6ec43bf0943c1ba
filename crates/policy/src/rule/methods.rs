//! The methods of a line.

use std::fmt;

/// A set of HTTP methods, out of those that a line may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Methods(u32);

/// RFC 9110, RFC 5789, and WebDAV with its extensions as far as clients use them. CONNECT is ruled
/// by the port; TRACE echoes credentials and is never served.
const NAMES: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MKACTIVITY",
    "CHECKOUT",
    "MERGE",
];

/// Why a text is not a method list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MethodsError<'a> {
    /// CONNECT or TRACE.
    NeverListed(&'a str),
    /// Not among [`NAMES`].
    Unknown(&'a str),
}

impl Methods {
    /// Reads `GET,HEAD`.
    pub(crate) fn parse(text: &str) -> Result<Self, MethodsError<'_>> {
        let mut set = 0;
        for word in text.split(',') {
            set |= match (bit(word), word) {
                (Some(bit), _) => bit,
                (None, "CONNECT" | "TRACE") => return Err(MethodsError::NeverListed(word)),
                (None, _) => return Err(MethodsError::Unknown(word)),
            };
        }
        Ok(Self(set))
    }

    /// Whether a word was meant as methods: capitals, as methods are written.
    pub(crate) fn is_meant(word: &str) -> bool {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b == b',' || b == b'-')
    }

    /// Whether the words would be methods in capitals.
    pub(crate) fn is_meant_in_lower_case(word: &str) -> bool {
        word.split(',')
            .all(|word| bit(&word.to_ascii_uppercase()).is_some())
    }

    pub(crate) fn contains(self, method: &str) -> bool {
        bit(method).is_some_and(|bit| self.0 & bit != 0)
    }

    pub(crate) fn union(self, other: Methods) -> Methods {
        Methods(self.0 | other.0)
    }

    /// Its words, in the order of the table.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let listed = NAMES.iter().enumerate();
        listed.filter_map(move |(at, name)| (self.0 & (1 << at) != 0).then_some(*name))
    }

    pub(crate) fn covers(self, other: Methods) -> bool {
        self.0 & other.0 == other.0
    }
}

/// As a line has them: `GET,HEAD`.
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

fn bit(method: &str) -> Option<u32> {
    NAMES
        .iter()
        .position(|name| *name == method)
        .map(|index| 1 << index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_exact_words() {
        let methods = Methods::parse("GET,HEAD").unwrap();
        assert!(methods.contains("GET") && methods.contains("HEAD"));
        for other in ["POST", "get", "GET ", "", "GET,HEAD", "FOO"] {
            assert!(!methods.contains(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_method_is_named() {
        assert_eq!(Methods::parse("GET,FOO"), Err(MethodsError::Unknown("FOO")));
        assert_eq!(Methods::parse("GET,"), Err(MethodsError::Unknown("")));
        assert_eq!(
            Methods::parse("CONNECT"),
            Err(MethodsError::NeverListed("CONNECT"))
        );
    }

    #[test]
    fn there_is_a_bit_for_every_name() {
        assert!(NAMES.len() <= 32);
        assert!(Methods::parse(&NAMES.join(",")).is_ok());
    }
}
