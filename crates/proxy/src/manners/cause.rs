//! Tinyproxy's words for our reasons: scripts look for them in its pages.

use agentnet_policy::Reason;

/// What Tinyproxy calls a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The status that Tinyproxy sends, which is not always ours.
    pub status: u16,
    /// Its short words, the title of its page.
    pub title: &'static str,
    /// Its long words.
    pub detail: &'static str,
}

impl Cause {
    const fn new(status: u16, title: &'static str, detail: &'static str) -> Self {
        Self {
            status,
            title,
            detail,
        }
    }

    /// Tinyproxy's words for a reason. Where it has none, they are those of the status.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        match reason {
            Reason::NotListed
            | Reason::RuleDenied
            | Reason::MethodNotListed
            | Reason::PathNotListed => {
                Self::new(403, "Filtered", "The request you made has been filtered")
            }
            Reason::PortNotListed => Self::new(
                403,
                "Access violation",
                "The CONNECT method not allowed with the port you tried to use.",
            ),
            Reason::ClientNotAllowed => Self::new(
                403,
                "Access denied",
                "The administrator of this proxy has not configured it to service requests from \
                 your host.",
            ),
            Reason::AuthRequired => Self::new(
                407,
                "Proxy Authentication Required",
                "This proxy requires authentication.",
            ),
            Reason::BadRequest => Self::new(400, "Bad Request", "Request has an invalid format"),
            Reason::ResolveFailed | Reason::ConnectFailed => Self::new(
                500,
                "Unable to connect",
                "Tinyproxy was unable to connect to the remote web server.",
            ),
            // Tinyproxy has none of these; the words are those of the status.
            Reason::PrivateAddress
            | Reason::HostMismatch
            | Reason::UpgradeNotListed
            | Reason::BudgetSpent
            | Reason::Loop
            | Reason::SniMismatch
            | Reason::SniMissing
            | Reason::EchRefused
            | Reason::NotTls
            | Reason::PolicyChanged => Self::new(
                reason.status(),
                "Access denied",
                "The proxy's policy does not allow this request.",
            ),
            Reason::UpstreamFailed => Self::new(
                reason.status(),
                "Bad Gateway",
                "The remote web server broke off, or did not answer in HTTP.",
            ),
            Reason::TimedOut => Self::new(
                reason.status(),
                "Gateway Timeout",
                "The remote web server took too long to answer.",
            ),
            Reason::TooManyConnections => Self::new(
                reason.status(),
                "Service Unavailable",
                "Too many connections are open.",
            ),
            Reason::Allowed => Self::new(200, "OK", ""),
        }
    }

    /// What Tinyproxy says where no parent could be reached.
    pub const PARENT: Self = Self::new(
        502,
        "Unable to connect to upstream proxy",
        "A network error occurred while trying to connect to the upstream web proxy.",
    );

    /// What Tinyproxy says to somebody who may not see its statistics.
    pub const UNAUTHORIZED: Self = Self::new(
        401,
        "Unauthorized",
        "The administrator of this proxy has not configured it to service requests from you.",
    );
}
