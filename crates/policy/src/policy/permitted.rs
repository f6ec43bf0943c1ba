//! The decision about a name alone, for who asks before a port is known: a question to the DNS.

use std::num::NonZeroU16;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::host::{Host, Name};
use crate::policy::{Ask, Denial, Mode, NameVerdict, Policy, Request, Verdict};
use crate::reason::Reason;
use crate::rule::{Effect, reserved};
use crate::target::Target;
use crate::tinyproxy::Filter;

/// The port of which a refusal speaks when no line names one: that of a tunnel for the web.
const HTTPS: NonZeroU16 = NonZeroU16::new(443).unwrap();
const HTTP: NonZeroU16 = NonZeroU16::new(80).unwrap();

impl Policy {
    /// Decides whether a name may be asked for at all: whether [`judge`](Self::judge) lets a tunnel
    /// or a plain request to it pass on some port. In `observe` that is every name but those that
    /// nothing opens, and those that no line permits are reported.
    ///
    /// A `deny` line with a method or a path refuses some requests and not the name. A filter over
    /// URLs is asked for tunnels to its ports and for the root of the name. Costs what the lines that
    /// name the host cost, squared, and allocates only for a filter over URLs. A refusal speaks of
    /// the port that comes nearest to being allowed.
    pub fn permitted(&self, name: &Name, now: Timestamp) -> NameVerdict {
        let host = Host::Name(name.clone());
        if let Some(filter) = &self.filter {
            return self.permitted_by_filter(filter, &host, now);
        }
        if reserved(name.as_str()).is_some() {
            let target = Target::new(host, HTTPS);
            return NameVerdict::Deny(Denial::new(target, Reason::PrivateAddress));
        }
        if self.has_open_port(&host, now) {
            return NameVerdict::Allow;
        }
        let target = Target::new(host.clone(), self.nearest_port(&host, now));
        let denial = match self.weigh(target.clone(), Ask::Tunnel, now) {
            Err(denial) => denial,
            Ok(_) => Denial::new(target, Reason::NotListed),
        };
        match self.mode {
            Mode::Enforce => NameVerdict::Deny(denial),
            Mode::Observe => NameVerdict::Report(denial),
        }
    }

    /// Every stretch of ports that are allowed and not refused begins where an allowing line's ports
    /// do, or right behind a refusing line's.
    fn has_open_port(&self, host: &Host, now: Timestamp) -> bool {
        let mut open = false;
        self.naming(host, |_, rule| {
            let permission = &rule.permission;
            if open || permission.is_over(now) {
                return;
            }
            open = permission.ports.ranges().iter().any(|ports| {
                let first = match permission.effect {
                    Effect::Allow { .. } => Some(*ports.start()),
                    Effect::Deny { .. } => ports.end().checked_add(1),
                };
                first.is_some_and(|port| self.is_open(host, port, now))
            });
        });
        open
    }

    fn is_open(&self, host: &Host, port: u16, now: Timestamp) -> bool {
        let (mut allowed, mut denied) = (false, false);
        self.naming(host, |_, rule| {
            let permission = &rule.permission;
            if permission.is_over(now) || !permission.ports.contains(port) {
                return;
            }
            match permission.effect {
                Effect::Allow { .. } => allowed = true,
                Effect::Deny { .. } => denied |= permission.http.is_none(),
            }
        });
        allowed && !denied
    }

    /// The first port of the line that comes nearest: one that allows, and better one that still does.
    fn nearest_port(&self, host: &Host, now: Timestamp) -> NonZeroU16 {
        let mut nearest: Option<(bool, u16)> = None;
        self.naming(host, |_, rule| {
            let permission = &rule.permission;
            let first = permission.ports.ranges().first().map(RangeInclusive::start);
            if let (Effect::Allow { .. }, Some(&port)) = (permission.effect, first) {
                let lasts = !permission.is_over(now);
                if nearest.is_none_or(|(other, _)| lasts && !other) {
                    nearest = Some((lasts, port));
                }
            }
        });
        let port = nearest.and_then(|(_, port)| NonZeroU16::new(port));
        port.unwrap_or(HTTPS)
    }

    fn permitted_by_filter(&self, filter: &Filter, host: &Host, now: Timestamp) -> NameVerdict {
        let judge = |port, ask| {
            let target = Target::new(host.clone(), port);
            self.judge(Request { target, ask }, now)
        };
        let plain = Ask::Http {
            method: "GET",
            path: "/",
        };
        let refused = match judge(HTTP, plain) {
            Verdict::Allow(_) => return NameVerdict::Allow,
            Verdict::Report(_, denial) => NameVerdict::Report(denial),
            Verdict::Deny(denial) => NameVerdict::Deny(denial),
        };
        let passes = |port| matches!(judge(port, Ask::Tunnel), Verdict::Allow(_));
        if filter.judges_urls() && filter.tunnel_ports().any(passes) {
            NameVerdict::Allow
        } else {
            refused
        }
    }
}
