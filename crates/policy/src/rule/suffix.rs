//! Who gives out the names below a name.

/// How a name stands to the public suffix list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Suffix {
    /// One owner registered it, or a name above it.
    Registrable,
    /// A single label that the list does not know.
    Top,
    /// A registry gives out the names below it: `com`, `co.uk`.
    Registry,
    /// A company gives them to its customers: `github.io`, `s3.amazonaws.com`.
    Platform,
}

/// Platforms of the list whose owner alone makes the names, whoever fills them.
const OWN_NAMES_ONLY: &[&str] = &["githubusercontent.com"];

/// Shared by many owners although the list has only names below them, or none.
const SHARED: &[&str] = &[
    "amazonaws.com",
    "aliyuncs.com",
    "azure.com",
    "azureedge.net",
    "cloudflarestorage.com",
    "core.windows.net",
    "digitaloceanspaces.com",
    "githubusercontent.com",
    "googleapis.com",
    "googleusercontent.com",
    "oraclecloud.com",
    "trafficmanager.net",
    "windows.net",
];

pub(crate) fn of(name: &str) -> Suffix {
    let Some(suffix) = psl::suffix(name.as_bytes()) else {
        return Suffix::Top;
    };
    if suffix.as_bytes().len() < name.len() || OWN_NAMES_ONLY.contains(&name) {
        return Suffix::Registrable;
    }
    match suffix.typ() {
        Some(psl::Type::Icann) => Suffix::Registry,
        Some(psl::Type::Private) => Suffix::Platform,
        None => Suffix::Top,
    }
}

/// The name whose owner gives out this one and its neighbours: the platform, or the registered
/// name; the name itself where neither is known.
pub(crate) fn owner(name: &str) -> &str {
    let suffix = psl::suffix(name.as_bytes())
        .filter(|suffix| suffix.typ() == Some(psl::Type::Private))
        .map(|suffix| suffix.as_bytes().len());
    let length = suffix.or_else(|| Some(psl::domain(name.as_bytes())?.as_bytes().len()));
    length
        .and_then(|length| name.get(name.len().checked_sub(length)?..))
        .unwrap_or(name)
}

/// Whether this is exactly the name that an owner registered: one label below a public suffix.
pub(crate) fn is_registered(name: &str) -> bool {
    psl::domain(name.as_bytes()).is_some_and(|domain| domain.as_bytes().len() == name.len())
}

/// Whether many owners have names below this one.
pub(crate) fn is_shared(name: &str) -> bool {
    SHARED.contains(&name)
}

/// Names that no line opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reserved {
    /// The machine itself: RFC 6761 §6.3, and what container engines put into `hosts`.
    Machine,
    /// A cloud's metadata service.
    Metadata,
}

/// Judged without a look-up, so that no resolver has a say.
pub(crate) fn reserved(name: &str) -> Option<Reserved> {
    match name {
        "localhost"
        | "localhost.localdomain"
        | "host.docker.internal"
        | "gateway.docker.internal"
        | "kubernetes.docker.internal"
        | "host.containers.internal"
        | "host.lima.internal" => Some(Reserved::Machine),
        "metadata.google.internal" | "metadata.goog" | "instance-data.ec2.internal" => {
            Some(Reserved::Metadata)
        }
        _ if name.ends_with(".localhost") => Some(Reserved::Machine),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_have_one_owner() {
        for (name, who) in [
            ("a.b.example.com", "example.com"),
            ("example.co.uk", "example.co.uk"),
            ("x.y.github.io", "github.io"),
            ("bucket.s3.amazonaws.com", "s3.amazonaws.com"),
            ("com", "com"),
            ("printer", "printer"),
            ("db.corp", "db.corp"),
        ] {
            assert_eq!(owner(name), who, "{name}");
        }
    }

    #[test]
    fn the_list_knows_registries_and_platforms() {
        for (name, suffix) in [
            ("com", Suffix::Registry),
            ("co.uk", Suffix::Registry),
            ("github.io", Suffix::Platform),
            ("s3.amazonaws.com", Suffix::Platform),
            ("blob.core.windows.net", Suffix::Platform),
            ("corp", Suffix::Top),
            ("github.com", Suffix::Registrable),
            ("a.github.io", Suffix::Registrable),
            ("corp.example", Suffix::Registrable),
            ("githubusercontent.com", Suffix::Registrable),
        ] {
            assert_eq!(of(name), suffix, "{name}");
        }
    }
}
