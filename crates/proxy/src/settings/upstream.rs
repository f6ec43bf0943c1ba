//! Parents and routes, as they are written in settings.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentnet_policy::TargetPattern;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::Problem;
use crate::environment::Environment;
use crate::text_file;
use crate::upstream::{Credentials, Parent, Route, Routes, Scheme, To, Trust, Via};

/// The variables of compose files that are read beside `AGENTNET_*`, in the order of failover, and the
/// scheme of a value that has none.
pub(super) const COMPOSE: [(&str, &str); 2] =
    [("UPSTREAM_SOCKS5", "socks5"), ("UPSTREAM_HTTP", "http")];

/// Parents of one route; each that is down costs a request its time limit.
const MAX_PARENTS: usize = 8;

/// Routes of one listener; each is looked at for each request.
const MAX_ROUTES: usize = 256;

/// More is no file with one line of credentials.
const MAX_CREDENTIALS_FILE: u64 = 1024;

/// The word for no parent.
const NONE: &str = "none";

/// One parent for everything, or one route. Not shown by `Debug`: a URL can hold a password.
#[derive(Clone, PartialEq)]
pub struct RawUpstream {
    place: Place,
    said: Said,
}

#[derive(Clone, PartialEq)]
enum Place {
    /// A flag, or the variable of that name.
    Setting,
    /// Another variable.
    Variable(&'static str),
    /// A byte of a file that was not counted into lines yet.
    Offset(usize),
    /// `file:line`.
    Line(String),
}

#[derive(Clone, PartialEq)]
enum Said {
    Url(String),
    Table(RawRoute),
}

/// One `[[upstream]]` of the file.
#[derive(Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct RawRoute {
    to: Vec<String>,
    via: Vias,
    remote_dns: Option<bool>,
    credentials_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

#[derive(Clone, Deserialize, PartialEq)]
#[serde(untagged, expecting = "a list of parents as URLs, or \"none\"")]
enum Vias {
    One(String),
    Many(Vec<String>),
}

impl Default for Vias {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Vias {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl fmt::Debug for RawUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawUpstream(…)")
    }
}

impl RawUpstream {
    /// As a flag has it. Takes everything: what is wrong is said later, without the password.
    pub(super) fn typed(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(Self {
            place: Place::Setting,
            said: Said::Url(text.to_owned()),
        })
    }

    /// The parents of [`COMPOSE`].
    pub(super) fn from_compose(environment: &dyn Environment) -> Vec<Self> {
        let set = |(variable, scheme): (&'static str, &str)| {
            let value = environment
                .get(variable)
                .filter(|value| !value.is_empty())?;
            let url = match value.split_once("://") {
                Some((said, _)) if said.starts_with(scheme) => value,
                // Not a URL of this kind: left without one that is known, so that it is refused.
                Some(_) => String::new(),
                None => format!("{scheme}://{value}"),
            };
            Some(Self {
                place: Place::Variable(variable),
                said: Said::Url(url),
            })
        };
        COMPOSE.into_iter().filter_map(set).collect()
    }

    /// Counts the lines of the file that it came from.
    pub(super) fn stand(&mut self, name: &str, text: &str) {
        if let Place::Offset(offset) = self.place {
            let before = text.get(..offset).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            self.place = Place::Line(format!("{name}:{line}"));
        }
    }

    fn place(&self) -> &str {
        match &self.place {
            Place::Setting | Place::Offset(_) => "upstream",
            Place::Variable(variable) => variable,
            Place::Line(line) => line,
        }
    }
}

impl<'de> Deserialize<'de> for RawUpstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = Spanned::<Said>::deserialize(deserializer)?;
        Ok(Self {
            place: Place::Offset(said.span().start),
            said: said.into_inner(),
        })
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a parent as a URL, or a table with `to` and `via`")
            }

            fn visit_str<E: Error>(self, url: &str) -> Result<Said, E> {
                Ok(Said::Url(url.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Said, A::Error> {
                RawRoute::deserialize(MapAccessDeserializer::new(map)).map(Said::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What holds for every route that does not say otherwise.
#[derive(Debug)]
pub(super) struct Common<'a> {
    pub(super) remote_dns: Option<bool>,
    pub(super) credentials_file: Option<&'a Path>,
    pub(super) ca_file: Option<&'a Path>,
}

/// The routes that were written. Tables come first, in their order; all bare URLs together are one
/// route for the rest, with failover in their order.
pub(super) fn routes(
    raw: &[RawUpstream],
    common: &Common<'_>,
    problems: &mut Vec<Problem>,
) -> Routes {
    let mut routes: Vec<Route> = Vec::new();
    let mut urls: Vec<(&str, &str)> = Vec::new();
    for one in raw {
        let place = one.place();
        let table = match &one.said {
            Said::Url(url) => {
                urls.push((place, url));
                continue;
            }
            Said::Table(table) => table,
        };
        let result = table.read(common, place);
        match result {
            Ok(_) if routes.iter().any(|route| route.to.is_empty()) => problems.push(Problem::new(
                place,
                "can never be taken, because a route before it has no `to` and takes everything: \
                 write that one last",
            )),
            Ok(route) => routes.push(route),
            Err(found) => problems.extend(found),
        }
    }
    if let Some((place, _)) = urls.first().copied() {
        let defaults = RawRoute::default();
        match (
            defaults.via(&urls, common),
            routes.iter().any(|r| r.to.is_empty()),
        ) {
            (Ok(_), true) => problems.push(Problem::new(
                place,
                "can never be taken, because a route without `to` takes everything",
            )),
            (Ok(via), false) => routes.push(Route {
                to: Vec::new(),
                via,
            }),
            (Err(found), _) => problems.extend(found),
        }
    }
    if routes.len() > MAX_ROUTES {
        let what = format!("there are more than {MAX_ROUTES} routes");
        problems.push(Problem::new("upstream", what));
    }
    Routes::new(routes)
}

impl RawRoute {
    fn read(&self, common: &Common<'_>, place: &str) -> Result<Route, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut to = Vec::new();
        for text in &self.to {
            match TargetPattern::parse(text) {
                Ok(pattern) => to.push(To::Pattern(pattern)),
                Err(what) => problems.push(Problem::new(place, what)),
            }
        }
        let urls: Vec<(&str, &str)> = self.via.all().iter().map(|url| (place, &**url)).collect();
        if urls.is_empty() {
            let what = "has no `via`: write via = [\"socks5://HOST:PORT\"], or via = \"none\"";
            problems.push(Problem::new(place, what));
            return Err(problems);
        }
        match self.via(&urls, common) {
            Ok(via) if problems.is_empty() => Ok(Route { to, via }),
            Ok(_) => Err(problems),
            Err(found) => {
                problems.extend(found);
                Err(problems)
            }
        }
    }

    fn via(&self, urls: &[(&str, &str)], common: &Common<'_>) -> Result<Via, Vec<Problem>> {
        let place = urls.first().map_or("upstream", |(place, _)| place);
        let problem = |what: String| vec![Problem::new(place, what)];
        if urls.iter().any(|(_, url)| *url == NONE) {
            if urls.len() > 1 {
                let what = "`none` stands beside parents: nothing that has parents is ever dialled \
                            directly, so write the one or the other";
                return Err(problem(what.to_owned()));
            }
            return Ok(Via::Direct);
        }
        if urls.len() > MAX_PARENTS {
            return Err(problem(format!("has more than {MAX_PARENTS} parents")));
        }
        let file = self.credentials_file.as_deref().or(common.credentials_file);
        let credentials = file.map(read_credentials).transpose().map_err(problem)?;
        let mut trust = None;
        let mut parents = Vec::new();
        let mut problems = Vec::new();
        for (position, (place, url)) in urls.iter().enumerate() {
            // With an `@` any part of it can be a password, above all where it is written wrongly.
            let which = || match url.contains('@') || url.is_empty() {
                false => format!("`{url}`"),
                true => format!("parent {}", position + 1),
            };
            let mut parent = match Parent::parse(url) {
                Ok(parent) => parent,
                Err(error) => {
                    let what = format!("{} {error}", which());
                    problems.push(Problem::new(*place, what));
                    continue;
                }
            };
            match self.remote_dns.or(common.remote_dns) {
                Some(false) if parent.remote_dns() => {
                    let what =
                        "socks5h:// is remote DNS and remote_dns = false is not: write socks5://";
                    problems.push(Problem::new(*place, what));
                }
                Some(true) => parent = parent.with_remote_dns(true),
                Some(false) | None => {}
            }
            if let Some(credentials) = credentials.as_ref().filter(|_| !parent.has_credentials()) {
                parent = parent.with_credentials(credentials.clone());
            }
            if parent.scheme() == Scheme::Https {
                let file = self.ca_file.as_deref().or(common.ca_file);
                let known = match trust.take() {
                    Some(known) => known,
                    None => Trust::load(file).map_err(|error| problem(error.to_string()))?,
                };
                trust = Some(known.clone());
                parent = parent.with_trust(known);
            }
            parents.push(parent);
        }
        if problems.is_empty() {
            Ok(Via::Parents(Arc::from(parents)))
        } else {
            Err(problems)
        }
    }
}

/// One line `user:password`; what stands in the file is in no problem.
fn read_credentials(path: &Path) -> Result<Credentials, String> {
    let file = path.display();
    let text = text_file::text(path, MAX_CREDENTIALS_FILE)
        .map_err(|error| format!("{file} cannot be read: {error}"))?;
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        return Err(format!("{file} is not one line `user:password`"));
    }
    Credentials::parse(line).map_err(|what| format!("{file} {what}"))
}

#[cfg(test)]
mod tests;
