//! The one table of reasons: response, log line, metric label and alert all read it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! reasons {
    ($($variant:ident $word:literal $status:literal $clause:literal),+ $(,)?) => {
        /// Why a request was answered as it was. The word is stable: it stands in responses,
        /// logs, metrics and alerts, and is never typed a second time anywhere.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Reason {
            $(#[doc = $clause] $variant),+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),+];

            /// The stable `snake_case` word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $word),+ }
            }

            /// The HTTP status of an answer with this reason. The reasons that close a running
            /// tunnel have the status they would have had if it could still be sent.
            pub const fn status(self) -> u16 {
                match self { $(Reason::$variant => $status),+ }
            }

            /// What happened, as a clause that can follow "because": lower case, no full stop.
            pub const fn clause(self) -> &'static str {
                match self { $(Reason::$variant => $clause),+ }
            }
        }

        impl Reason {
    /// True for what closes a tunnel because of its first bytes: its request was allowed.
    pub const fn is_of_greeting(self) -> bool {
        matches!(
            self,
            Self::SniMismatch | Self::SniMissing | Self::EchRefused | Self::NotTls
        )
    }
}

impl FromStr for Reason {
            type Err = UnknownReason;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Reason::$variant),)+
                    _ => Err(UnknownReason),
                }
            }
        }
    };
}

reasons! {
    Allowed "allowed" 200 "a line of the whitelist allows it",
    NotListed "not_listed" 403 "no line of the whitelist allows this host",
    RuleDenied "rule_denied" 403 "a line of the whitelist refuses it",
    PortNotListed "port_not_listed" 403 "the whitelist allows this host, but not on this port",
    MethodNotListed "method_not_listed" 403 "the whitelist allows this host, but not with this method",
    PathNotListed "path_not_listed" 403 "the whitelist allows this host, but not this path",
    PrivateAddress "private_address" 403 "the address is not a public one and no line opens it",
    HostMismatch "host_mismatch" 403 "the Host header names another host than the request",
    UpgradeNotListed "upgrade_not_listed" 403 "upgrading the connection to another protocol is not allowed here",
    BudgetSpent "budget_spent" 403 "the bytes that may be sent to this host are spent",
    ClientNotAllowed "client_not_allowed" 403 "this client may not use the proxy",
    Loop "loop" 403 "the address is one of the proxy's own",
    SniMismatch "sni_mismatch" 403 "the TLS handshake names another host than the tunnel",
    SniMissing "sni_missing" 403 "the TLS handshake names no host",
    EchRefused "ech_refused" 403 "the TLS handshake hides the host's name",
    NotTls "not_tls" 403 "the bytes in the tunnel are not TLS and the line does not say `raw`",
    PolicyChanged "policy_changed" 403 "the whitelist changed and no longer allows this tunnel",
    BadRequest "bad_request" 400 "the request is malformed or ambiguous",
    AuthRequired "auth_required" 407 "the proxy wants credentials",
    ResolveFailed "resolve_failed" 502 "the name could not be resolved",
    ConnectFailed "connect_failed" 502 "the host could not be reached",
    UpstreamFailed "upstream_failed" 502 "the other side, or a parent proxy on the way there, broke off or did not answer as it should",
    TooManyConnections "too_many_connections" 503 "this task has too many connections open",
    TimedOut "timed_out" 504 "the host took too long to answer",
}

/// The text is none of the words of [`Reason`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a reason word")]
pub struct UnknownReason;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_its_reason_and_is_a_metric_label() {
        for &reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            assert!(
                reason
                    .as_str()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
        assert_eq!("NotListed".parse::<Reason>(), Err(UnknownReason));
    }

    #[test]
    fn the_documentation_has_every_reason_as_it_is() {
        let document = include_str!("../../../docs/policy.md");
        let table = document.split("## Reasons").nth(1).unwrap();
        let rows: Vec<&str> = table
            .lines()
            .take_while(|line| !line.starts_with("## "))
            .filter(|line| line.starts_with("| `"))
            .collect();
        let expected: Vec<String> = Reason::ALL
            .iter()
            .map(|r| format!("| `{r}` | {} | {} |", r.status(), r.clause()))
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn only_allowed_has_a_status_of_success() {
        for &reason in Reason::ALL {
            let success = reason.status() < 400;
            assert_eq!(success, reason == Reason::Allowed, "{reason}");
        }
    }

    #[test]
    fn missing_credentials_alone_ask_for_credentials() {
        let asking: Vec<_> = Reason::ALL.iter().filter(|r| r.status() == 407).collect();
        assert_eq!(asking, [&Reason::AuthRequired]);
    }
}
