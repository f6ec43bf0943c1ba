//! The way to a granted target: directly, or through parents that the settings name.
//!
//! Nothing here opens a socket or resolves a name: [`reach`](crate::reach) asks [`Routes`] for the way,
//! [`dial`](crate::dial) connects to a parent, and the handshakes below run on what it gives. A route
//! that has parents never becomes a direct one: when all of them fail, the request fails.

mod credentials;
mod health;
mod http;
mod parent;
mod route;
mod socks;
mod tls;
mod trouble;

pub use self::credentials::Credentials;
pub use self::parent::{Parent, ParentError, Scheme};
pub use self::route::{Route, Routes, To, Via};
pub use self::tls::{Trust, TrustError};
pub(crate) use self::trouble::{Sent, Trouble};

use tokio::io::{AsyncRead, AsyncWrite};

/// The name of the way without a parent, in events and metrics.
pub const DIRECT: &str = "direct";

/// What a handshake runs on.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for S {}

/// How a plain request is written on a connection.
#[derive(Clone, Debug, Default)]
pub enum Form {
    /// The connection ends at the target.
    #[default]
    Origin,
    /// It ends at an HTTP parent, which gets the absolute URL and these credentials.
    Absolute(Option<::http::HeaderValue>),
}

#[cfg(test)]
mod tests;
