//! What a directive's values are, and which field of [`Conf`](super::Conf) they become.

use std::path::PathBuf;
use std::time::Duration;

use super::Reader;
use crate::clients::{Access, Client, ClientRule};
use crate::host::Host;
use crate::secret::Secret;
use crate::tinyproxy::argument::{Word, field_name, is_visible, visible};
use crate::tinyproxy::conf::{AddedHeader, Credentials, ErrorFile, FilterType, LogLevel, Said};
use crate::tinyproxy::directive::Directive;
use crate::whitelist::wrong::{Wrong, nearest};

impl Reader {
    /// Takes a directive of two values.
    pub(super) fn pair(
        &mut self,
        directive: Directive,
        first: Word<'_>,
        second: Word<'_>,
        line: u32,
    ) -> Result<(), Wrong> {
        if directive == Directive::AddHeader {
            let (name, value) = (field_name(first.string()?)?, visible(second.string()?)?);
            self.conf
                .add_headers
                .push(AddedHeader { name, value, line });
        } else if directive == Directive::ErrorFile {
            let status = first.number(599).map_err(|wrong| wrong.write("404"))?;
            let Some(status) = u16::try_from(status).ok().filter(|status| *status >= 400) else {
                return Err(Wrong::word(
                    first.text,
                    "is no status of an error: 400 to 599",
                ));
            };
            let path = PathBuf::from(second.string()?);
            self.conf.error_files.push(ErrorFile { status, path, line });
        } else {
            let user = first.text;
            if user.is_empty() || user.contains(':') || !is_visible(user) {
                let what = "is no user: visible ASCII letters without a colon (RFC 7617 §2)";
                return Err(Wrong::word(user, what));
            }
            // Not quoted: it would be in a log.
            if second.text.is_empty() || !is_visible(second.text) {
                return Err(Wrong::line(
                    "has a password with a letter that is not visible ASCII",
                ));
            }
            let value = Credentials {
                user: user.to_owned(),
                password: Secret::new(second.text),
            };
            self.conf.basic_auth.push(Said { value, line });
        }
        Ok(())
    }

    /// Takes a directive of one value.
    pub(super) fn single(
        &mut self,
        directive: Directive,
        word: Word<'_>,
        line: u32,
    ) -> Result<(), Wrong> {
        let path = || {
            let value = PathBuf::from(word.string()?);
            Ok(Some(Said { value, line }))
        };
        let conf = &mut self.conf;
        match directive {
            Directive::Port => conf.port = word.port()?,
            Directive::Listen => conf.listen.push(Said {
                value: word.address()?,
                line,
            }),
            Directive::Bind => conf.bind.push(Said {
                value: word.address()?,
                line,
            }),
            Directive::BindSame => conf.bind_same = word.switch()?,
            Directive::Timeout => {
                // A year; what is longer is a slip of the hand, and would overflow a clock.
                let seconds = match word.number(31_536_000)? {
                    0 => {
                        self.warn(
                            line,
                            Wrong::word(
                                "0",
                                "is no time to wait; 600 seconds count, as in Tinyproxy",
                            ),
                        );
                        600
                    }
                    seconds => seconds,
                };
                self.conf.timeout = Duration::from_secs(u64::from(seconds));
            }
            Directive::MaxClients => match word.number(1_000_000)? {
                0 => return Err(Wrong::word("0", "lets no client in").write("100")),
                most => conf.max_clients = most,
            },
            Directive::Allow => self.client(Access::Allow, word)?,
            Directive::Deny => self.client(Access::Deny, word)?,
            Directive::ConnectPort => conf.connect_ports.push(Said {
                value: word.port()?,
                line,
            }),
            Directive::Filter => conf.filter = path()?,
            Directive::FilterType => {
                let text = word.bare()?;
                let types = [FilterType::Bre, FilterType::Ere, FilterType::Fnmatch];
                let found = types
                    .iter()
                    .find(|kind| kind.word().eq_ignore_ascii_case(text));
                conf.filter_type = *found.ok_or_else(|| {
                    let near = nearest(text, types.iter().map(|kind| kind.word()));
                    let what = "is no type of pattern: the types are bre, ere and fnmatch";
                    Wrong::word(text, what).write(near.unwrap_or("bre"))
                })?;
            }
            Directive::FilterExtended => {
                if word.switch()? {
                    conf.filter_type = FilterType::Ere;
                }
                let what = "is an old name of `FilterType ere`";
                self.warn(
                    line,
                    Wrong::word(directive.name(), what).write("FilterType ere"),
                );
            }
            Directive::FilterUrls => conf.filter_urls = word.switch()?,
            Directive::FilterDefaultDeny => conf.filter_default_deny = word.switch()?,
            Directive::FilterCaseSensitive => conf.filter_case_sensitive = word.switch()?,
            Directive::BasicAuthRealm => conf.basic_auth_realm = Some(visible(word.string()?)?),
            Directive::LogFile => conf.log_file = path()?,
            Directive::PidFile => conf.pid_file = path()?,
            Directive::StatFile => conf.stat_file = path()?,
            Directive::DefaultErrorFile => conf.default_error_file = path()?,
            Directive::Syslog => conf.syslog = word.switch()?,
            Directive::LogLevel => {
                let text = word.bare()?;
                let mut levels = LogLevel::ALL.into_iter();
                let found = levels.find(|level| level.word().eq_ignore_ascii_case(text));
                conf.log_level = found.ok_or_else(|| {
                    let near = nearest(text, LogLevel::ALL.iter().map(|level| level.word()));
                    let what = "is no level: Critical, Error, Warning, Notice, Connect or Info";
                    Wrong::word(text, what).write(near.unwrap_or("Info"))
                })?;
            }
            Directive::User => {
                conf.user = Some(Said {
                    value: word.bare()?.to_owned(),
                    line,
                });
                self.ignored(directive, line);
            }
            Directive::Group => {
                conf.group = Some(Said {
                    value: word.bare()?.to_owned(),
                    line,
                });
                self.ignored(directive, line);
            }
            Directive::MaxSpareServers
            | Directive::MinSpareServers
            | Directive::StartServers
            | Directive::MaxRequestsPerChild => {
                word.number(u32::MAX)?;
                self.ignored(directive, line);
            }
            Directive::ViaProxyName => conf.via_proxy_name = Some(visible(word.string()?)?),
            Directive::DisableViaHeader => conf.disable_via_header = word.switch()?,
            Directive::StatHost => {
                let text = word.string()?;
                conf.stat_host = match Host::parse(text) {
                    Ok(host) => host.to_string(),
                    Err(error) => return Err(Wrong::word(text, format!("is no host: {error}"))),
                };
            }
            Directive::Anonymous => conf.anonymous.push(Said {
                value: field_name(word.string()?)?,
                line,
            }),
            Directive::XTinyproxy => conf.x_tinyproxy = word.switch()?,
            // Read elsewhere.
            Directive::AddHeader
            | Directive::BasicAuth
            | Directive::ErrorFile
            | Directive::Upstream
            | Directive::ReverseBaseUrl
            | Directive::ReverseMagic
            | Directive::ReverseOnly
            | Directive::ReversePath => {}
        }
        Ok(())
    }

    fn client(&mut self, access: Access, word: Word<'_>) -> Result<(), Wrong> {
        let client = Client::parse(word.bare()?)
            .map_err(|error| Wrong::word(word.text, format!("is no client: {error}")))?;
        self.clients.push(ClientRule { access, client });
        Ok(())
    }
}
