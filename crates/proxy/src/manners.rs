//! How a listener treats its clients beside what it lets through: whom it asks for a password, what
//! it adds to plain requests, which pages it shows.
//!
//! A listener without any of this holds `None` in its conduct, and a request looks at that once.

pub mod cause;
pub mod credentials;
pub mod fields;
pub mod pages;
pub mod template;

use std::io;
use std::path::Path;

use agentnet_policy::tinyproxy::Conf;
use agentnet_policy::{Host, Problem, Reason, Severity, Target};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use self::cause::Cause;
use self::credentials::Credentials;
use self::fields::Fields;
pub use self::pages::Occasion;
use self::pages::Pages;
use self::template::Template;

/// The realm of Tinyproxy where none is set.
const TINYPROXY_REALM: &str = "Tinyproxy";

/// How a listener treats its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// Who may use it; `None` asks nobody.
    pub credentials: Option<Credentials>,
    /// What plain requests carry.
    pub fields: Fields,
    /// Pages in place of our own words.
    pub pages: Pages,
    /// The host that is answered with the statistics.
    pub statistics: Option<Host>,
    /// Whether refusals also say what Tinyproxy would have said.
    pub tinyproxy: bool,
}

impl Manners {
    /// The manners that a `tinyproxy.conf` asks for, and what is odd about them. `read` gives the
    /// text of a page; one that cannot be read is a warning, because Tinyproxy then shows its own
    /// page, and Debian's configuration names pages that a container need not have.
    ///
    /// # Errors
    /// With every line that cannot be followed.
    pub fn from_tinyproxy(
        conf: &Conf,
        mut read: impl FnMut(&Path) -> io::Result<String>,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut found = Found {
            name: &conf.name,
            problems: Vec::new(),
        };
        let mut manners = Self {
            credentials: found.credentials(conf),
            fields: found.fields(conf),
            pages: Pages::default(),
            statistics: None,
            tinyproxy: true,
        };
        match Host::parse(&conf.stat_host) {
            Ok(host) => manners.statistics = Some(host),
            Err(error) => {
                let what = format!("StatHost is no host: {error}");
                found.say(0, Severity::Error, what);
            }
        }
        let mut page = |found: &mut Found<'_>, line: u32, path: &Path| {
            let shown = path.display();
            match read(path) {
                Ok(text) => Template::parse(&text)
                    .map_err(|error| found.say(line, Severity::Error, format!("{shown} {error}")))
                    .ok(),
                Err(error) => {
                    let what = format!("{shown} cannot be read, our own page is shown: {error}");
                    found.say(line, Severity::Warning, what);
                    None
                }
            }
        };
        for file in &conf.error_files {
            if let Some(template) = page(&mut found, file.line, &file.path) {
                manners.pages.set_error(file.status, template);
            }
        }
        if let Some(file) = &conf.default_error_file
            && let Some(template) = page(&mut found, file.line, &file.value)
        {
            manners.pages.set_default(template);
        }
        if let Some(file) = &conf.stat_file
            && let Some(template) = page(&mut found, file.line, &file.value)
        {
            manners.pages.set_statistics(template);
        }
        let stops = |problem: &Problem| problem.severity == Severity::Error;
        if found.problems.iter().any(stops) {
            Err(found.problems)
        } else {
            Ok((manners, found.problems))
        }
    }

    /// The pages that a `tinyproxy.conf` names: to be read at each load, and watched.
    pub fn files(conf: &Conf) -> impl Iterator<Item = &Path> {
        let errors = conf.error_files.iter().map(|file| &file.path);
        let others = [&conf.default_error_file, &conf.stat_file];
        let others = others.into_iter().flatten().map(|said| &said.value);
        errors.chain(others).map(AsRef::as_ref)
    }

    /// True for a request that is answered with the statistics: a plain one for their host, on any
    /// port, whether it was sent to a proxy or to a web server.
    #[must_use]
    pub fn is_for_statistics(&self, parts: &Parts) -> bool {
        let Some(host) = &self.statistics else {
            return false;
        };
        if parts.method == Method::CONNECT {
            return false;
        }
        let plain = parts
            .uri
            .scheme()
            .is_none_or(|scheme| *scheme == Scheme::HTTP);
        let named = match parts.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => host_field(&parts.headers),
        };
        let port = std::num::NonZeroU16::new(80);
        let target = named.and_then(|named| Target::parse(named, port).ok());
        plain && target.is_some_and(|target| target.host() == host)
    }

    /// What is added to a refusal that Tinyproxy would call `cause`.
    #[must_use]
    pub fn dress(
        &self,
        reason: Reason,
        cause: Cause,
        status: StatusCode,
        sentence: &str,
        occasion: Occasion<'_>,
    ) -> Dress {
        let reader = cause == Cause::UNAUTHORIZED;
        let challenge = self
            .credentials
            .as_ref()
            .filter(|_| reason == Reason::AuthRequired);
        let challenge = challenge.map(|credentials| {
            let name = match reader {
                true => header::WWW_AUTHENTICATE,
                false => header::PROXY_AUTHENTICATE,
            };
            (name, credentials.challenge().clone())
        });
        Dress {
            challenge,
            cause: self.tinyproxy.then_some(cause),
            page: self
                .pages
                .error(status.as_u16(), reason, cause, sentence, occasion),
        }
    }

    /// True if the request may go on: nobody is asked, or it holds credentials that are right.
    #[must_use]
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        self.credentials.as_ref().is_none_or(|credentials| {
            credentials.accept(headers.get_all(header::PROXY_AUTHORIZATION))
        })
    }

    /// The same for the statistics, which a browser also asks for as from a web server.
    #[must_use]
    pub fn knows_reader(&self, headers: &HeaderMap) -> bool {
        self.knows(headers)
            || self.credentials.as_ref().is_some_and(|credentials| {
                credentials.accept(headers.get_all(header::AUTHORIZATION))
            })
    }
}

/// What the manners of a listener add to a refusal.
#[derive(Clone, Debug, Default)]
pub struct Dress {
    /// The field that asks for credentials.
    pub challenge: Option<(HeaderName, HeaderValue)>,
    /// What Tinyproxy would have said.
    pub cause: Option<Cause>,
    /// The page in the place of our words.
    pub page: Option<String>,
}

/// The `Host` of a request that has exactly one.
fn host_field(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (_, _) => None,
    }
}

/// What was wrong so far.
struct Found<'a> {
    name: &'a str,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn say(&mut self, line: u32, severity: Severity, what: String) {
        self.problems.push(Problem {
            file: self.name.to_owned(),
            line,
            word: None,
            what,
            fix: None,
            severity,
        });
    }

    fn error(&mut self, line: u32, what: impl ToString) {
        self.say(line, Severity::Error, what.to_string());
    }

    fn credentials(&mut self, conf: &Conf) -> Option<Credentials> {
        let realm = conf.basic_auth_realm.as_deref().unwrap_or(TINYPROXY_REALM);
        let mut credentials = match Credentials::new(realm) {
            Ok(credentials) => credentials,
            Err(bad) => {
                self.error(0, format!("BasicAuthRealm: {bad}"));
                return None;
            }
        };
        for pair in &conf.basic_auth {
            let (user, password) = (&pair.value.user, pair.value.password.expose());
            if let Err(bad) = credentials.add(user, password) {
                self.error(pair.line, bad);
            }
        }
        (!credentials.is_empty()).then_some(credentials)
    }

    fn fields(&mut self, conf: &Conf) -> Fields {
        let mut fields = Fields::default();
        if let Some(name) = &conf.via_proxy_name
            && let Err(bad) = fields.set_via(name)
        {
            self.error(0, bad);
        }
        if conf.disable_via_header {
            fields.hide_via();
        }
        for added in &conf.add_headers {
            if let Err(bad) = fields.add(&added.name, &added.value) {
                self.error(added.line, bad);
            }
        }
        for kept in &conf.anonymous {
            if let Err(bad) = fields.keep(&kept.value) {
                self.error(kept.line, bad);
            }
        }
        if conf.x_tinyproxy {
            fields.tell_client();
        }
        fields
    }
}

#[cfg(test)]
mod tests;
