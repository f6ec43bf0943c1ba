//! A webhook: one POST a notice, JSON as ntfy reads it (and any receiver can). The host, its name and
//! the path come from the configuration alone.
//!
//! What certainly did not arrive (no connection, 429, 500, 502, 503) is sent again by the bridge, at
//! growing intervals. What perhaps arrived (no answer, 504) is not. Redirects are not followed.

mod request;
mod trust;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{StatusCode, Uri};
use serde::Serialize;

use self::request::{Failure, Request};
use self::trust::Trust;
use super::line::Record;
use crate::notice::{Notice, NoticeId, NoticeKind, Urgency};
use crate::outlet::{Handle, Outlet, OutletError};

/// The longest wait for a connection, and then for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longer is no token.
const LONGEST_TOKEN: u64 = 4096;

/// `type = "webhook"`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookConfig {
    pub(crate) url: Url,
    topic: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

/// Where to, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_tls: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `Host`, as the URL has it.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text
            .parse()
            .map_err(|e| format!("url {text:?} is none: {e}"))?;
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or_else(|| {
                format!("url {text:?} must be https://HOST/PATH; a token goes into token_file")
            })?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let here = host == "localhost"
            || host
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if here => false,
            _ => return Err(format!("url {text:?} must begin with https://")),
        };
        let usual = if is_tls { 443 } else { 80 };
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(usual),
            authority: authority.to_string(),
            path: uri
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str)
                .to_owned(),
        })
    }
}

impl WebhookConfig {
    /// Checks what the configuration says; files are read when the outlet is made.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn new(
        url: &str,
        topic: Option<String>,
        token_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, String> {
        Ok(Self {
            url: Url::parse(url)?,
            topic,
            token_file,
            ca_file,
        })
    }
}

/// A token, which nothing prints.
struct Token(http::HeaderValue);

/// Posts to a webhook.
pub(crate) struct Webhook {
    name: String,
    url: Url,
    topic: Option<String>,
    token: Option<Token>,
    trust: Option<Trust>,
}

/// What is posted: ntfy's words first, and the notice's own after them, which ntfy skips.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    message: &'a str,
    /// ntfy: 1 to 5.
    priority: u8,
    tags: [&'a str; 1],
    #[serde(flatten)]
    record: Record<'a>,
}

impl Webhook {
    /// Reads the token and the certificate authorities.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn new(name: String, config: &WebhookConfig) -> Result<Self, String> {
        let trust = if config.url.is_tls {
            Some(Trust::load(config.ca_file.as_deref())?)
        } else {
            None
        };
        Ok(Self {
            name,
            url: config.url.clone(),
            topic: config.topic.clone(),
            token: config.token_file.as_deref().map(token).transpose()?,
            trust,
        })
    }

    fn body(&self, notice: &Notice) -> Vec<u8> {
        let priority = match notice.urgency {
            Urgency::Low => 2,
            Urgency::Normal => 3,
            Urgency::Critical => 5,
        };
        // One of ntfy's short codes for a picture.
        let tag = match notice.kind {
            NoticeKind::Complete => "white_check_mark",
            NoticeKind::Error => "x",
            NoticeKind::Clarification => "question",
            NoticeKind::Info => "speech_balloon",
            NoticeKind::Test => "wrench",
            NoticeKind::Blocked => "no_entry",
        };
        let body = Body {
            topic: self.topic.as_deref(),
            message: notice.body.as_str(),
            priority,
            tags: [tag],
            record: Record::of(notice),
        };
        // A struct of texts and numbers always serialises.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    async fn post(&self, notice: &Notice) -> Result<Option<Handle>, OutletError> {
        let host = &self.url.authority;
        let request = Request {
            url: &self.url,
            token: self.token.as_ref().map(|token| &token.0),
            trust: self.trust.as_ref(),
            body: self.body(notice),
        };
        let status = match request.send(PATIENCE).await {
            Ok(status) => status,
            Err(Failure::NotSent(why)) => {
                return Err(OutletError::Unavailable(format!("{host}: {why}")));
            }
            Err(Failure::Unanswered(why)) => {
                return Err(OutletError::Unknown(format!("{host}: {why}")));
            }
        };
        let text = format!("{host} answered {status}");
        match status {
            _ if status.is_success() => Ok(None),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE => Err(OutletError::Unavailable(text)),
            _ if status.is_server_error() => Err(OutletError::Unknown(text)),
            _ => Err(OutletError::Refused(text)),
        }
    }
}

fn token(path: &Path) -> Result<Token, String> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text));
    read.map_err(|e| format!("token_file {}: {e}", path.display()))?;
    let mut value = http::HeaderValue::try_from(format!("Bearer {}", text.trim()))
        .map_err(|_| format!("token_file {} holds no token", path.display()))?;
    value.set_sensitive(true);
    Ok(Token(value))
}

impl Outlet for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn show<'a>(
        &'a self,
        notice: &'a Notice,
        _: Option<Handle>,
    ) -> BoxFuture<'a, Result<Option<Handle>, OutletError>> {
        Box::pin(self.post(notice))
    }

    fn withdraw<'a>(&'a self, _: &'a NoticeId, _: Option<Handle>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests;
