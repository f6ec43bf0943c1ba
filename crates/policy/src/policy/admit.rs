//! The decision about addresses, after a name is resolved and before anything is dialled.

use std::net::{IpAddr, SocketAddr};

use crate::address::{self, Opener, classify};
use crate::host::Host;
use crate::policy::{Admitted, Ask, Denial, Grant, Outcome, Policy};
use crate::reason::Reason;
use crate::rule::{Effect, RuleId};

/// The addresses around the proxy that a name must never lead to. Read again when interfaces
/// change; [`Policy::admit`] takes them as they are now.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// The addresses of the proxy's own interfaces.
    pub own: Vec<IpAddr>,
    /// The sockets the proxy listens on: proxy, admin, everything. An unspecified address stands
    /// for every address of `own` and for loopback.
    pub listening: Vec<SocketAddr>,
    /// The addresses of the machine around the container (the gateway, say). Only a `host` line
    /// opens them.
    pub machine: Vec<IpAddr>,
}

impl Surroundings {
    fn is_own_socket(&self, ip: IpAddr, port: u16) -> bool {
        self.listening.iter().any(|socket| {
            let own = socket.ip() == ip
                || socket.ip().is_unspecified()
                    && (ip.is_loopback() || ip.is_unspecified() || self.own.contains(&ip));
            own && socket.port() == port
        })
    }
}

impl Policy {
    /// Decides whether the answers of the resolver may be dialled under a grant. One bad answer
    /// spoils the set. For an address literal, pass that address.
    ///
    /// # Errors
    /// The refusal: [`Reason::Loop`], [`Reason::PrivateAddress`], [`Reason::RuleDenied`] for an
    /// address that a `deny` line names, [`Reason::ResolveFailed`] when there are no answers or
    /// one that is not the literal.
    pub fn admit(
        &self,
        grant: &Grant,
        answers: &[IpAddr],
        around: &Surroundings,
    ) -> Result<Vec<Admitted>, Denial> {
        let target = grant.target();
        if answers.is_empty() {
            return Err(Denial::new(target.clone(), Reason::ResolveFailed));
        }
        answers
            .iter()
            .map(|&ip| {
                self.check(grant, ip, around)?;
                Ok(Admitted {
                    address: SocketAddr::new(ip, target.port()),
                })
            })
            .collect()
    }

    fn check(&self, grant: &Grant, ip: IpAddr, around: &Surroundings) -> Result<(), Denial> {
        let target = grant.target();
        let no = |reason| Err(Denial::by_rule(target.clone(), reason, grant.rule(), false));
        if target.host().ip().is_some_and(|literal| literal != ip) {
            return no(Reason::ResolveFailed);
        }
        // What an address stands for counts as much as what it is.
        let faces = || address::faces(ip);
        if faces().any(|face| around.is_own_socket(face, target.port())) {
            return no(Reason::Loop);
        }
        if let Some((rule, quiet)) = faces().find_map(|face| self.denying(face, grant)) {
            let reason = Reason::RuleDenied;
            return Err(Denial::by_rule(target.clone(), reason, Some(rule), quiet));
        }
        let opener = classify(ip).opener();
        if opener == Opener::Nothing {
            return no(Reason::PrivateAddress);
        }
        if grant.opens.machine {
            return Ok(());
        }
        if faces().any(|face| around.own.contains(&face)) {
            return no(Reason::Loop);
        }
        let machine = opener == Opener::Host || faces().any(|face| around.machine.contains(&face));
        let private = opener == Opener::Private && !grant.opens.private;
        if machine || private {
            no(Reason::PrivateAddress)
        } else {
            Ok(())
        }
    }

    /// A line that refuses the address, whatever name led there. One with a method or path is for
    /// requests that name the address; `judge` has looked at it.
    fn denying(&self, ip: IpAddr, grant: &Grant) -> Option<(RuleId, bool)> {
        let mut found = None;
        self.index.lines(&self.rules, &Host::Ip(ip), |id, rule, _| {
            let permission = &rule.permission;
            let port = grant.target().port();
            if let Effect::Deny { quiet } = permission.effect
                && permission.http.is_none()
                && permission.outcome(port, Ask::Tunnel, grant.judged) == Outcome::Denies
            {
                found = found.or(Some((id, quiet)));
            }
        });
        found
    }
}
