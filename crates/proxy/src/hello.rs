//! The ClientHello of a tunnel: which name a client asks for in TLS, before it is let through.
//!
//! A permitted name means that name *spoken in TLS*; a tunnel that opens with another name, none, or
//! no TLS at all is something else than what the whitelist allowed (THREATS §1.7). This reads the
//! bytes and changes none of them. It is a reader of our own and not a TLS library's acceptor,
//! because it must see what those hide: a second name, an extension given twice, Encrypted ClientHello
//! (`docs/adr/0007`). A property test holds it against rustls.

mod message;

use agentnet_policy::{Host, Name, Reason, Target};

/// The first byte of every ClientHello: the content type of its record (RFC 8446 §5.1).
pub const HANDSHAKE: u8 = 22;

/// Longest ClientHello in bytes. Post-quantum key shares make 2 KiB usual; TLS allows 16 MiB.
const MAX_HELLO: usize = 16 * 1024;
/// Most bytes that are read before it is whole: it may come in many small records.
const MAX_READ: usize = 4 * MAX_HELLO;
/// Largest record (RFC 8446 §5.1).
const MAX_RECORD: usize = 1 << 14;

/// What a ClientHello says that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The one host name of `server_name`, canonical.
    pub server_name: Option<Name>,
    /// `encrypted_client_hello` is there, in earnest or as grease: the two look alike by design
    /// (RFC 9849 §6.2).
    pub ech: bool,
}

/// Why a tunnel's first bytes are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a handshake record.
    #[error("it does not begin with a TLS ClientHello")]
    NotTls,
    /// Not what RFC 8446 §4.1.2 and §5.1 say.
    #[error("its ClientHello is malformed")]
    Malformed,
    /// Larger than any client's.
    #[error("its ClientHello is longer than 16 KiB")]
    TooLong,
    /// More than one name, one of another kind, or none that is a host name.
    #[error("its ClientHello does not name exactly one host")]
    BadName,
    /// A name, and not the target's.
    #[error("its ClientHello names another host")]
    OtherName,
    /// No name.
    #[error("its ClientHello names no host")]
    NoName,
    /// Encrypted ClientHello, where that is refused.
    #[error("its ClientHello has an encrypted part")]
    Ech,
}

impl Fault {
    /// What to do about it, as a clause.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotTls | Self::Malformed | Self::TooLong => {
                "what is not TLS needs a line with `raw` in the whitelist, which the person who runs this task can add"
            }
            Self::BadName | Self::OtherName | Self::NoName => {
                "open a tunnel to the host that is meant and name the same host in the TLS handshake"
            }
            Self::Ech => "turn Encrypted ClientHello off in the client",
        }
    }

    /// The alert that tells a TLS client, where it speaks TLS at all (RFC 8446 §6).
    #[must_use]
    pub fn alert(self) -> Option<[u8; 7]> {
        const DECODE_ERROR: u8 = 50;
        const ACCESS_DENIED: u8 = 49;
        const UNRECOGNIZED_NAME: u8 = 112;
        let description = match self {
            Self::NotTls => return None,
            Self::Malformed | Self::TooLong => DECODE_ERROR,
            Self::BadName | Self::OtherName | Self::NoName => UNRECOGNIZED_NAME,
            Self::Ech => ACCESS_DENIED,
        };
        // An alert record of TLS 1.2, fatal.
        Some([21, 3, 3, 0, 2, 2, description])
    }

    /// The reason word.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::NotTls | Self::Malformed | Self::TooLong => Reason::NotTls,
            Self::BadName | Self::OtherName => Reason::SniMismatch,
            Self::NoName => Reason::SniMissing,
            Self::Ech => Reason::EchRefused,
        }
    }
}

impl Hello {
    /// Whether this is the host of the target. An address has no name to send (RFC 6066 §3), so for
    /// an address none is right.
    ///
    /// # Errors
    /// When it is another, or `allow_ech` is false and there is an encrypted part.
    pub fn check(&self, target: &Target, allow_ech: bool) -> Result<(), Fault> {
        if self.ech && !allow_ech {
            return Err(Fault::Ech);
        }
        match (target.host(), &self.server_name) {
            (Host::Name(wanted), Some(named)) if wanted == named => Ok(()),
            (Host::Ip(_), None) => Ok(()),
            (Host::Name(_), None) => Err(Fault::NoName),
            (Host::Name(_) | Host::Ip(_), Some(_)) => Err(Fault::OtherName),
        }
    }
}

/// Puts a ClientHello together from records and reads, whole or byte by byte.
#[derive(Debug, Default)]
pub struct Reader {
    /// The header of the record at hand, and how many of its bytes are there.
    header: [u8; 5],
    headed: usize,
    /// What is left of the record at hand.
    left: usize,
    /// The handshake message so far.
    message: Vec<u8>,
    read: usize,
}

impl Reader {
    /// Takes the next bytes; the ClientHello once it is whole. Bytes behind it (early data) are not
    /// looked at.
    ///
    /// # Errors
    /// At the first byte that cannot be part of one.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Option<Hello>, Fault> {
        self.read = self.read.saturating_add(bytes.len());
        loop {
            if let Some(length) = self.length()? {
                if self.message.len() > length {
                    // One message a record here: TLS 1.3 forbids more (RFC 8446 §5.1).
                    return Err(Fault::Malformed);
                }
                if self.message.len() == length {
                    if self.left > 0 {
                        return Err(Fault::Malformed);
                    }
                    return message::parse(&self.message).map(Some);
                }
            }
            if bytes.is_empty() {
                let too_long = self.read > MAX_READ;
                return if too_long {
                    Err(Fault::TooLong)
                } else {
                    Ok(None)
                };
            }
            if self.left == 0 {
                bytes = self.head(bytes)?;
            } else {
                let (here, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.message.extend_from_slice(here);
                self.left -= here.len();
                bytes = rest;
            }
        }
    }

    /// Reads of a record's header; returns the bytes behind.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let missing = self.header.len() - self.headed;
        let (here, rest) = bytes.split_at(missing.min(bytes.len()));
        if let Some(place) = self.header.get_mut(self.headed..self.headed + here.len()) {
            place.copy_from_slice(here);
        }
        self.headed += here.len();
        let [kind, major, _, high, low] = self.header;
        let first = self.message.is_empty();
        let fault = if first {
            Fault::NotTls
        } else {
            Fault::Malformed
        };
        if kind != HANDSHAKE || (self.headed > 1 && major != 3) {
            return Err(fault);
        }
        if self.headed == self.header.len() {
            self.headed = 0;
            self.left = usize::from(u16::from_be_bytes([high, low]));
            // Empty handshake records are forbidden (RFC 8446 §5.1).
            if self.left == 0 || self.left > MAX_RECORD {
                return Err(fault);
            }
        }
        Ok(rest)
    }

    /// The length of the whole message with its header, once that is known.
    fn length(&self) -> Result<Option<usize>, Fault> {
        const CLIENT_HELLO: u8 = 1;
        match self.message.as_slice() {
            [] => Ok(None),
            [kind, ..] if *kind != CLIENT_HELLO => Err(Fault::NotTls),
            [_, high, middle, low, ..] => {
                let length = u32::from_be_bytes([0, *high, *middle, *low]);
                match usize::try_from(length) {
                    Ok(length) if length <= MAX_HELLO => Ok(Some(length + 4)),
                    Ok(_) | Err(_) => Err(Fault::TooLong),
                }
            }
            [_, ..] => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
