//! Which targets go which way.

use std::num::NonZeroU16;
use std::sync::Arc;

use agentnet_policy::event::Text;
use agentnet_policy::tinyproxy::{self, Site};
use agentnet_policy::{Target, TargetPattern};

use super::{Credentials, Parent, Scheme};

/// The way for some targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The target itself is dialled.
    Direct,
    /// One of these is, in this order.
    Parents(Arc<[Parent]>),
    /// Nothing is: what Tinyproxy calls a null route.
    Nowhere,
}

/// What a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Targets as a whitelist names them.
    Pattern(TargetPattern),
    /// Hosts as an `Upstream` line of a `tinyproxy.conf` names them.
    Site(Site),
}

impl To {
    fn matches(&self, target: &Target) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.matches(target),
            Self::Site(site) => site.fits(target.host()),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Pattern(pattern) => pattern.to_string(),
            Self::Site(Site::All) => "*".to_owned(),
            Self::Site(Site::Exactly(host)) => host.to_string(),
            Self::Site(Site::Below(name)) => format!(".{name}"),
            Self::Site(Site::Dotless) => ".".to_owned(),
            Self::Site(Site::Network(network)) => network.to_string(),
        }
    }
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The targets it is for; empty is all of them.
    pub to: Vec<To>,
    /// Their way.
    pub via: Via,
}

/// The routes of a listener, in order. Clones are cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(Arc<[Route]>);

impl Routes {
    /// Routes in this order.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        Self(routes.into())
    }

    /// The routes of a `tinyproxy.conf`: the last line that names a host wins, and the one without a
    /// site is for the rest, wherever it stands. Names are sent to the parents, as Tinyproxy does.
    #[must_use]
    pub fn from_tinyproxy(lines: &[tinyproxy::Upstream]) -> Self {
        let route = |line: &tinyproxy::Upstream| Route {
            to: if line.site == Site::All {
                Vec::new()
            } else {
                vec![To::Site(line.site.clone())]
            },
            via: Via::from_tinyproxy(&line.parent),
        };
        let (rest, named): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.site == Site::All);
        let named = named.into_iter().rev();
        // Of several for the rest Tinyproxy keeps the first.
        Self(named.chain(rest.into_iter().take(1)).map(route).collect())
    }

    /// The place and the way of the first route that names the target. What none names is dialled
    /// directly.
    #[must_use]
    pub fn take(&self, target: &Target) -> (Option<usize>, &Via) {
        let named =
            |route: &&Route| route.to.is_empty() || route.to.iter().any(|to| to.matches(target));
        let mut routes = self.0.iter();
        match routes.position(|route| named(&route)) {
            Some(place) => (
                Some(place),
                self.0.get(place).map_or(&Via::Nowhere, |r| &r.via),
            ),
            None => (None, &Via::Direct),
        }
    }

    /// Every route.
    pub fn iter(&self) -> std::slice::Iter<'_, Route> {
        self.0.iter()
    }

    /// Every parent of every route.
    pub fn parents(&self) -> impl Iterator<Item = &Parent> {
        self.0.iter().flat_map(|route| match &route.via {
            Via::Parents(parents) => parents.iter(),
            Via::Direct | Via::Nowhere => [].iter(),
        })
    }
}

impl Via {
    fn from_tinyproxy(parent: &tinyproxy::Parent) -> Self {
        let (scheme, host, port, credentials) = match parent {
            tinyproxy::Parent::Direct => return Self::Direct,
            tinyproxy::Parent::NullRoute => return Self::Nowhere,
            tinyproxy::Parent::Proxy {
                scheme,
                host,
                port,
                credentials,
            } => (scheme, host, port, credentials),
        };
        let scheme = match scheme {
            tinyproxy::Scheme::Http => Scheme::Http,
            tinyproxy::Scheme::Socks4 => Scheme::Socks4,
            tinyproxy::Scheme::Socks5 => Scheme::Socks5,
        };
        let Some(port) = NonZeroU16::new(*port) else {
            return Self::Nowhere;
        };
        let parent = Parent::new(scheme, Target::new(host.clone(), port)).with_remote_dns(true);
        let parent = match credentials {
            None => parent,
            Some(known) => parent.with_credentials(Credentials::of(known)),
        };
        Self::Parents(Arc::new([parent]))
    }

    /// In words that follow "goes".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Direct => "directly".to_owned(),
            Self::Nowhere => "nowhere: its route is closed".to_owned(),
            Self::Parents(parents) => {
                let labels: Vec<&str> = parents.iter().map(|p| p.label().as_str()).collect();
                let remote = parents.iter().any(Parent::remote_dns);
                let names = if remote { ", which resolves names" } else { "" };
                format!("through {}{names}", labels.join(", else "))
            }
        }
    }

    /// The parents' labels; `direct` and `none` where there are none.
    #[must_use]
    pub fn labels(&self) -> Vec<Text> {
        match self {
            Self::Direct => vec![Text::new(super::DIRECT)],
            Self::Nowhere => Vec::new(),
            Self::Parents(parents) => parents.iter().map(|p| p.label().clone()).collect(),
        }
    }
}

impl Route {
    /// The targets it is for, as written.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.to.iter().map(To::words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &[&str], via: Via) -> Route {
        let pattern = |text: &&str| To::Pattern(TargetPattern::parse(text).unwrap());
        Route {
            to: to.iter().map(pattern).collect(),
            via,
        }
    }

    fn parents(labels: &[&str]) -> Via {
        Via::Parents(labels.iter().map(|l| Parent::parse(l).unwrap()).collect())
    }

    #[test]
    fn takes_the_first_route_that_names_the_target() {
        let routes = Routes::new(vec![
            route(&["*.corp.example", "10.0.0.0/8"], Via::Direct),
            route(&["**.onion.example:443"], parents(&["socks5h://tor:9050"])),
            route(&[], parents(&["http://squid:3128", "http://spare:3128"])),
        ]);
        let way = |target: &str| {
            let (place, via) = routes.take(&Target::parse(target, None).unwrap());
            (place, via.words())
        };
        assert_eq!(
            way("git.corp.example:443"),
            (Some(0), "directly".to_owned())
        );
        assert_eq!(way("10.1.1.1:80").0, Some(0));
        assert_eq!(
            way("x.onion.example:443").1,
            "through socks5h://tor:9050, which resolves names"
        );
        assert_eq!(
            way("x.onion.example:80").1,
            "through http://squid:3128, else http://spare:3128"
        );
        assert_eq!(routes.parents().count(), 3);
    }

    #[test]
    fn reads_upstream_lines_as_tinyproxy_does() {
        let conf = "Upstream http fallback:3128\n\
                    Upstream http first:3128 \".example\"\n\
                    Upstream socks5 u:secret@last:1080 \".example\"\n\
                    Upstream socks4 old:1080 \"old.example\"\n\
                    Upstream none \".\"\n\
                    Upstream none \"10.0.0.0/8\"\n\
                    Upstream http 0.0.0.0:0 \".ads.example\"\n";
        let (conf, _) = tinyproxy::Conf::parse("tinyproxy.conf", conf).unwrap();
        let routes = Routes::from_tinyproxy(&conf.upstreams);
        let way = |target: &str| {
            let target = Target::parse(target, None).unwrap();
            routes.take(&target).1.words()
        };
        let remote = ", which resolves names";
        assert_eq!(
            way("a.example:443"),
            format!("through socks5://last:1080{remote}")
        );
        assert_eq!(
            way("old.example:80"),
            format!("through socks4://old:1080{remote}")
        );
        assert_eq!(
            way("example:80"),
            "directly",
            "a name without a dot, and not below itself"
        );
        assert_eq!(way("10.9.8.7:80"), "directly");
        assert_eq!(way("x.ads.example:80"), "nowhere: its route is closed");
        assert_eq!(
            way("else.test:443"),
            format!("through http://fallback:3128{remote}")
        );
        assert!(!format!("{routes:?}").contains("secret"));
    }

    #[test]
    fn dials_directly_what_no_route_names() {
        let routes = Routes::new(vec![route(&["a.example"], parents(&["http://p:1"]))]);
        let target = Target::parse("b.example:443", None).unwrap();
        assert_eq!(routes.take(&target), (None, &Via::Direct));
        assert_eq!(Routes::default().take(&target), (None, &Via::Direct));
    }
}
