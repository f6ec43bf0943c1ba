//! The fields of a ClientHello (RFC 8446 §4.1.2), read strictly and to the last byte.

use agentnet_policy::{Host, Name};

use super::{Fault, Hello};

/// RFC 6066 §3.
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// RFC 9849 §5.
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Reads a whole message, its four bytes of header included.
pub(super) fn parse(message: &[u8]) -> Result<Hello, Fault> {
    let mut fields = Fields(message.get(4..).unwrap_or_default());
    fields.take(2 + 32)?;
    let session = fields.short()?;
    let suites = fields.long()?;
    let compression = fields.short()?;
    if session.0.len() > 32
        || suites.0.is_empty()
        || suites.0.len() % 2 != 0
        || compression.0.is_empty()
    {
        return Err(Fault::Malformed);
    }
    let mut hello = Hello {
        server_name: None,
        ech: false,
    };
    if fields.0.is_empty() {
        // TLS 1.2 without extensions.
        return Ok(hello);
    }
    let mut extensions = fields.long()?;
    fields.end()?;
    let mut kinds = Vec::with_capacity(32);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.long()?;
        kinds.push(kind);
        match kind {
            SERVER_NAME if hello.server_name.is_some() => return Err(Fault::BadName),
            SERVER_NAME => hello.server_name = Some(server_name(content)?),
            ENCRYPTED_CLIENT_HELLO => hello.ech = true,
            _ => {}
        }
    }
    // Two parsers could each believe another one of two (RFC 8446 §4.2 forbids them).
    kinds.sort_unstable();
    if kinds.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(Fault::Malformed);
    }
    Ok(hello)
}

/// Exactly one name of the one kind there is.
fn server_name(mut content: Fields<'_>) -> Result<Name, Fault> {
    let mut list = content.long()?;
    content.end()?;
    let kind = list.take(1)?.first().copied();
    let name = list.long()?;
    if kind != Some(HOST_NAME) || !list.0.is_empty() {
        return Err(Fault::BadName);
    }
    let text = std::str::from_utf8(name.0).map_err(|_| Fault::BadName)?;
    match Host::parse(text) {
        Ok(Host::Name(name)) => Ok(name),
        Ok(Host::Ip(_)) | Err(_) => Err(Fault::BadName),
    }
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, Fault> {
        match *self.take(2)? {
            [high, low] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(Fault::Malformed),
        }
    }

    /// A vector with one byte of length.
    fn short(&mut self) -> Result<Fields<'a>, Fault> {
        let length = self.take(1)?.first().copied().unwrap_or_default();
        self.take(length.into()).map(Fields)
    }

    /// A vector with two bytes of length.
    fn long(&mut self) -> Result<Fields<'a>, Fault> {
        let length = self.number()?;
        self.take(length.into()).map(Fields)
    }

    fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Fault::Malformed)
        }
    }
}
