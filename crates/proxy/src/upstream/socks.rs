//! SOCKS 5 and 4, spoken by tokio-socks on a socket that the door opened.
//!
//! It reads exactly the replies, so what the target says at once stays in the stream.

use tokio_socks::tcp::{Socks4Stream, Socks5Stream};
use tokio_socks::{Error, IntoTargetAddr, TargetAddr};

use super::{Credentials, Sent, Trouble, Wire};

/// Asks a SOCKS5 parent.
pub(super) async fn five<S: Wire>(
    stream: S,
    sent: &Sent,
    credentials: Option<&Credentials>,
) -> Result<S, Trouble> {
    let stream = match credentials {
        None => Socks5Stream::connect_with_socket(stream, Wanted(sent)).await,
        Some(credentials) => {
            let (user, password) = (credentials.user(), credentials.password());
            Socks5Stream::connect_with_password_and_socket(stream, Wanted(sent), user, password)
                .await
        }
    };
    Ok(stream.map_err(trouble)?.into_inner())
}

/// Asks a SOCKS4 parent, 4a for names. It has no password.
pub(super) async fn four<S: Wire>(
    stream: S,
    sent: &Sent,
    credentials: Option<&Credentials>,
) -> Result<S, Trouble> {
    if let Sent::Address(address) = sent
        && address.is_ipv6()
    {
        let what = "cannot be asked for an IPv6 address, which SOCKS4 does not have";
        return Err(Trouble::Unreachable(what.to_owned()));
    }
    let stream = match credentials {
        None => Socks4Stream::connect_with_socket(stream, Wanted(sent)).await,
        Some(credentials) => {
            Socks4Stream::connect_with_userid_and_socket(stream, Wanted(sent), credentials.user())
                .await
        }
    };
    Ok(stream.map_err(trouble)?.into_inner())
}

struct Wanted<'a>(&'a Sent);

impl<'a> IntoTargetAddr<'a> for Wanted<'a> {
    fn into_target_addr(self) -> tokio_socks::Result<TargetAddr<'a>> {
        Ok(match self.0 {
            Sent::Address(address) => TargetAddr::Ip(*address),
            // At most 253 bytes, so the length byte holds it (CVE-2023-38545).
            Sent::Name(name, port) => TargetAddr::Domain(name.as_str().into(), *port),
        })
    }
}

/// What the reply means (RFC 1928 §6, RFC 1929 §2).
fn trouble(error: Error) -> Trouble {
    let unreachable = |what: &str| Trouble::Unreachable(format!("answered: {what}"));
    match error {
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired => {
            Trouble::Credentials("wants credentials, or others than user and password".to_owned())
        }
        Error::PasswordAuthFailure(_)
        | Error::IdentdAuthFailure
        | Error::InvalidUserIdAuthFailure => {
            Trouble::Credentials("refused the credentials".to_owned())
        }
        Error::ConnectionNotAllowedByRuleset => {
            Trouble::Refused("refused: not allowed by its rules".to_owned())
        }
        Error::GeneralSocksServerFailure => unreachable("general failure"),
        Error::NetworkUnreachable => unreachable("network unreachable"),
        Error::HostUnreachable => unreachable("host unreachable"),
        Error::ConnectionRefused => unreachable("connection refused"),
        Error::TtlExpired => unreachable("the way is too long"),
        Error::CommandNotSupported => unreachable("it does not connect"),
        Error::AddressTypeNotSupported => unreachable("it does not know this kind of address"),
        Error::Io(error) => Trouble::Down(format!("broke off: {error}")),
        Error::ProxyServerUnreachable => Trouble::Down("cannot be reached".to_owned()),
        // A wrong version, method, reserved byte or address type, or a reply code of nobody's.
        Error::InvalidResponseVersion
        | Error::UnknownAuthMethod
        | Error::UnknownError
        | Error::InvalidReservedByte
        | Error::UnknownAddressType
        | Error::ParseError(_)
        | Error::InvalidTargetAddress(_)
        | Error::InvalidAuthValues(_) => {
            Trouble::Down("did not answer as a SOCKS server does".to_owned())
        }
    }
}
