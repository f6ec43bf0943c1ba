//! The strict check of a request head: one pure function over its bytes.
//!
//! hyper is lenient where a filter must not be: it takes a Content-Length beside a Transfer-Encoding,
//! lists of codings, two equal lengths, bare line feeds and fragments, and hides that from its
//! handler (hyper 1.12; THREATS §1.4 has the measured table). Whatever two parsers could read
//! differently is refused here, before hyper sees a byte of it. What hyper does hand over is judged
//! in [`request`](crate::request).

mod chunks;
mod fault;
mod inlet;

pub use self::fault::Fault;
pub use self::inlet::{Inlet, Passage, Stop};

use http::Uri;

/// Header lines in a head, as hyper has it.
const MAX_FIELDS: usize = 100;
/// The greatest length that hyper takes; the two above it stand for something else there.
const MAX_LENGTH: u64 = u64::MAX - 2;

/// How the bytes after a head are framed (RFC 9112 §6.3, for requests).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The next message follows at once.
    None,
    /// So many bytes of content.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// CONNECT: whatever comes belongs to the tunnel.
    Tunnel,
}

/// Checks one whole head, from the first byte of its request line to the end of its empty line.
///
/// # Errors
/// On everything that is not exactly the grammar of RFC 9112 with CR LF line ends and one framing.
pub fn check(head: &[u8]) -> Result<Framing, Fault> {
    let mut lines = Lines(head);
    let request = lines.next().ok_or(Fault::RequestLine)??;
    let (method, version) = request_line(request)?;
    let mut length = None;
    let mut chunked = false;
    let mut fields = 0;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(Fault::TooManyFields);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Fault::ContentLength);
            }
            length = Some(number(value).ok_or(Fault::ContentLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::TransferEncoding);
            }
            chunked = true;
        }
    }
    if method == b"CONNECT" {
        // A length here is refused by name in `request`, which knows the target.
        return Ok(Framing::Tunnel);
    }
    match (chunked, length) {
        (true, Some(_)) => Err(Fault::TwoFramings),
        (true, None) if version == Version::Http10 => Err(Fault::ChunkedInHttp10),
        (true, None) => Ok(Framing::Chunked),
        (false, None | Some(0)) => Ok(Framing::None),
        (false, Some(length)) => Ok(Framing::Length(length)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// `METHOD SP TARGET SP VERSION`, single spaces, nothing else (RFC 9112 §3).
fn request_line(line: &[u8]) -> Result<(&[u8], Version), Fault> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Fault::RequestLine);
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(Fault::RequestLine);
    }
    // A fragment is never sent (RFC 9112 §3.2); hyper cuts it off, others take it for a path. A
    // backslash is a slash to browsers' parsers.
    let is_of_url = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\');
    if target.is_empty() || !target.iter().all(is_of_url) || !is_read_by_hyper(target) {
        return Err(Fault::Target);
    }
    match version {
        b"HTTP/1.1" => Ok((method, Version::Http11)),
        b"HTTP/1.0" => Ok((method, Version::Http10)),
        _ => Err(Fault::Version),
    }
}

/// True for what hyper's URL parser takes. What it does not take it would answer itself: refused as
/// well, but without a reason, a record and a count.
fn is_read_by_hyper(target: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    // Most of them, at no cost.
    let is_host_and_port = target.iter().rposition(|byte| *byte == b':').is_some_and(|colon| {
        let (host, port) = target.split_at(colon);
        !host.is_empty()
            && host.iter().all(is_of_name)
            && matches!(port, [_, digits @ ..] if digits.iter().all(u8::is_ascii_digit) && (1..=5).contains(&digits.len()))
    });
    is_host_and_port || Uri::try_from(target).is_ok()
}

/// `NAME ":" OWS VALUE OWS`, no space before the colon, no folding (RFC 9112 §5).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(Fault::FieldName)?;
    let (name, rest) = line.split_at_checked(colon).ok_or(Fault::FieldName)?;
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Fault::FieldName);
    }
    let value = rest.get(1..).unwrap_or_default();
    // Bytes above ASCII are opaque text (RFC 9110 §5.5).
    let is_of_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !value.iter().all(is_of_value) {
        return Err(Fault::FieldValue);
    }
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    Ok((name, value))
}

/// Digits and nothing else; no sign, no list (RFC 9110 §8.6).
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (length <= MAX_LENGTH).then_some(length)
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Lines without their CR LF; a line that ends otherwise is a fault.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some(end) = memchr::memchr(b'\n', self.0) else {
            self.0 = &[];
            return Some(Err(Fault::LineEnd));
        };
        let (line, rest) = self.0.split_at_checked(end + 1)?;
        self.0 = rest;
        Some(line.strip_suffix(b"\r\n").ok_or(Fault::LineEnd))
    }
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
