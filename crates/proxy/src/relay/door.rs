//! One door of a relay: where it is, what comes in, and where that goes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::settings::Address;

/// A door as it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Doorway {
    pub(super) at: Address,
    pub(super) kind: Kind,
    pub(super) to: PathBuf,
}

/// What clients want there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To have their connection carried.
    Connections,
    /// An answer of the DNS, in datagrams or on a connection.
    Questions,
}

/// What a worker is to do with one of the sockets that it is handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carries {
    pub(super) kind: Kind,
    pub(super) to: PathBuf,
}

impl fmt::Display for Carries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Connections => "connections",
            Kind::Questions => "questions",
        };
        write!(f, "{kind}={}", self.to.display())
    }
}

impl FromStr for Carries {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, to) = text.split_once('=').unwrap_or((text, ""));
        let kind = match kind {
            "connections" => Kind::Connections,
            "questions" => Kind::Questions,
            _ => return Err(format!("`{text}` is not KIND=PATH")),
        };
        Ok(Self {
            kind,
            to: PathBuf::from(to),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_reads_what_the_parent_writes() {
        for kind in [Kind::Connections, Kind::Questions] {
            let to = PathBuf::from("/run/a=b/x.sock");
            let carries = Carries { kind, to };
            assert_eq!(carries.to_string().parse(), Ok(carries));
        }
        assert!("x=/run/x.sock".parse::<Carries>().is_err());
    }
}
