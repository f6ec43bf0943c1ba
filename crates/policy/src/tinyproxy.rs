//! Tinyproxy's configuration and filter files, read as Tinyproxy reads them.
//!
//! Compared with the source of 1.11.3 and the program of Debian 12 (1.11.1). What is the same, what
//! is refused and what is different on purpose stands in `docs/tinyproxy.md`, directive by
//! directive.

mod argument;
mod conf;
mod directive;
mod filter;
mod lint;
mod parse;
mod policy;
mod upstream;
mod wording;

pub use self::conf::{AddedHeader, Conf, Credentials, ErrorFile, FilterType, LogLevel, Said};
pub use self::directive::Directive;
pub(crate) use self::filter::{Filter, Listed};
pub use self::lint::{Fault, Finding, Lint, lint};
pub use self::policy::Options;
pub use self::upstream::{Parent, Scheme, Site, Upstream};
