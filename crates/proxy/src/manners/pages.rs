//! Pages in place of our own words: Tinyproxy's ErrorFile, DefaultErrorFile and StatFile.

use std::borrow::Cow;
use std::collections::BTreeMap;

use agentnet_policy::Reason;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cause::Cause;
use super::template::{Template, Variable};

/// Our name on pages.
pub const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// Our version on pages.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The statistics as Tinyproxy's own page has them: programs look for `: NUMBER`, five times, in
/// this order.
const STATISTICS: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>{package} version {version} run-time statistics</title></head>
<body>
<h1>{package} version {version} run-time statistics</h1>
<p>
Number of open connections: {opens}<br />
Number of requests: {reqs}<br />
Number of bad connections: {badconns}<br />
Number of denied connections: {deniedconns}<br />
Number of refused connections due to high load: {refusedconns}
</p>
</body>
</html>
";

/// The pages of one listener, read when its configuration was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    by_status: BTreeMap<u16, Template>,
    default: Option<Template>,
    statistics: Option<Template>,
}

/// What is known of a request, for its page.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The request line; unknown where the client was refused before it had sent one.
    pub request: Option<&'a str>,
    /// What was asked for.
    pub url: Option<&'a str>,
    /// The client's address; empty for one that has none.
    pub client: &'a str,
}

/// What Tinyproxy counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open.
    pub opens: u64,
    /// Requests, and connections that sent none.
    pub requests: u64,
    /// Malformed and filtered requests, and connections that sent none.
    pub bad: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Connections that were refused because there were too many.
    pub refused: u64,
}

impl Pages {
    /// The page for a status.
    pub fn set_error(&mut self, status: u16, page: Template) {
        self.by_status.insert(status, page);
    }

    /// The page for every other status.
    pub fn set_default(&mut self, page: Template) {
        self.default = Some(page);
    }

    /// The page of the statistics.
    pub fn set_statistics(&mut self, page: Template) {
        self.statistics = Some(page);
    }

    /// True if a refusal may have a page.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.default.is_some() || !self.by_status.is_empty()
    }

    /// The page of a refusal with `status`, if there is one: that of the status, that of the status
    /// which Tinyproxy would have sent, or the one for all.
    #[must_use]
    pub fn error(
        &self,
        status: u16,
        reason: Reason,
        cause: Cause,
        sentence: &str,
        occasion: Occasion<'_>,
    ) -> Option<String> {
        let own = self.by_status.get(&status);
        let theirs = || self.by_status.get(&cause.status);
        let page = own.or_else(theirs).or(self.default.as_ref())?;
        let rendered = page.render(|variable| match variable {
            Variable::Cause => Some(cause.title.into()),
            Variable::Detail => Some(format!("{} {sentence}", cause.detail).into()),
            Variable::Reason => Some(reason.as_str().into()),
            Variable::Errno => Some(status.to_string().into()),
            Variable::Opens
            | Variable::Requests
            | Variable::Bad
            | Variable::Denied
            | Variable::Refused => None,
            Variable::Request
            | Variable::Url
            | Variable::ClientIp
            | Variable::ClientHost
            | Variable::Version
            | Variable::Package
            | Variable::Website
            | Variable::Date => common(variable, occasion),
        });
        Some(rendered)
    }

    /// The page of the statistics: the configured one, or ours.
    #[must_use]
    pub fn statistics(&self, counts: Counts, occasion: Occasion<'_>) -> String {
        let ours;
        let page = match &self.statistics {
            Some(page) => page,
            None => {
                ours = Template::parse(STATISTICS).unwrap_or_default();
                &ours
            }
        };
        page.render(|variable| match variable {
            Variable::Opens => Some(counts.opens.to_string().into()),
            Variable::Requests => Some(counts.requests.to_string().into()),
            Variable::Bad => Some(counts.bad.to_string().into()),
            Variable::Denied => Some(counts.denied.to_string().into()),
            Variable::Refused => Some(counts.refused.to_string().into()),
            Variable::Cause | Variable::Detail | Variable::Reason | Variable::Errno => None,
            Variable::Request
            | Variable::Url
            | Variable::ClientIp
            | Variable::ClientHost
            | Variable::Version
            | Variable::Package
            | Variable::Website
            | Variable::Date => common(variable, occasion),
        })
    }
}

/// What every page can name.
fn common(variable: Variable, occasion: Occasion<'_>) -> Option<Cow<'_, str>> {
    match variable {
        Variable::Request => occasion.request.map(Cow::Borrowed),
        Variable::Url => occasion.url.map(Cow::Borrowed),
        Variable::ClientIp | Variable::ClientHost => Some(occasion.client.into()),
        Variable::Version => Some(VERSION.into()),
        Variable::Package => Some(PACKAGE.into()),
        // Templates put it into a link. We have no site of our own: it leads to the page itself.
        Variable::Website => Some("#".into()),
        Variable::Date => Some(date(Timestamp::now()).into()),
        Variable::Cause
        | Variable::Detail
        | Variable::Reason
        | Variable::Errno
        | Variable::Opens
        | Variable::Requests
        | Variable::Bad
        | Variable::Denied
        | Variable::Refused => None,
    }
}

/// RFC 9110 §5.6.7.
fn date(now: Timestamp) -> String {
    let now = now.to_zoned(TimeZone::UTC);
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Occasion<'_> = Occasion {
        request: None,
        url: None,
        client: "192.0.2.7",
    };

    #[test]
    fn has_the_numbers_where_programs_look_for_them() {
        let counts = Counts {
            opens: 1,
            requests: 22,
            bad: 3,
            denied: 44,
            refused: 5,
        };
        let page = Pages::default().statistics(counts, NOWHERE);
        // What an exporter in use does: the numbers behind a colon and a blank, in order.
        let numbers: Vec<&str> = page
            .split(": ")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap())
            .collect();
        assert_eq!(numbers, ["1", "22", "3", "44", "5"]);
        let mut pages = Pages::default();
        pages.set_statistics(Template::parse("{opens} {reqs} {cause}").unwrap());
        assert_eq!(pages.statistics(counts, NOWHERE), "1 22 {cause}");
    }

    #[test]
    fn takes_the_page_of_the_status_then_tinyproxys_then_the_one_for_all() {
        let page = |pages: &Pages, reason: Reason| {
            let cause = Cause::of(reason);
            pages.error(reason.status(), reason, cause, "s.", NOWHERE)
        };
        let mut pages = Pages::default();
        assert_eq!(page(&pages, Reason::ConnectFailed), None);
        pages.set_default(Template::parse("all {cause} {errno} {opens}").unwrap());
        let all = "all Unable to connect 502 {opens}";
        assert_eq!(page(&pages, Reason::ConnectFailed).unwrap(), all);
        pages.set_error(500, Template::parse("five hundred").unwrap());
        assert_eq!(page(&pages, Reason::ConnectFailed).unwrap(), "five hundred");
        pages.set_error(502, Template::parse("{detail}|{reason}|{request}").unwrap());
        let own =
            "Tinyproxy was unable to connect to the remote web server. s.|connect_failed|{request}";
        assert_eq!(page(&pages, Reason::ConnectFailed).unwrap(), own);
    }

    #[test]
    fn writes_the_date_as_http_does() {
        let moment = "1994-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
