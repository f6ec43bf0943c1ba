//! What can be wrong with a head, and the sentence for it.

use http::StatusCode;

/// Why a head is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first byte begins no method: TLS, SOCKS, or nothing known.
    #[error(
        "this port speaks plain HTTP/1.1 and no TLS or SOCKS: write the proxy's address as http://"
    )]
    NotHttp,
    /// Longer than `max_head_bytes`.
    #[error("the request head is longer than this proxy takes")]
    TooLarge,
    /// More than hyper takes.
    #[error("the request has more than 100 header lines")]
    TooManyFields,
    /// A bare line feed (RFC 9112 §2.2 lets a server refuse it).
    #[error("a line of the head does not end with CR LF")]
    LineEnd,
    /// Not three words with single spaces.
    #[error("the request line is not METHOD, target and version with one space between")]
    RequestLine,
    /// No URL and no authority, bytes that neither has, or a fragment.
    #[error(
        "the request target is no URL and no HOST:PORT, or has a fragment or a byte that neither has"
    )]
    Target,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    #[error("the version is not HTTP/1.1 or HTTP/1.0; the proxy speaks no other")]
    Version,
    /// Not a token, or a space before the colon.
    #[error("a header line is not NAME: VALUE, or has a space before the colon")]
    FieldName,
    /// Control bytes.
    #[error("a header value has a control byte")]
    FieldValue,
    /// obs-fold.
    #[error("a header line begins with a space: folded lines are not read")]
    Folded,
    /// Not one number given once.
    #[error("Content-Length is not one number, given once")]
    ContentLength,
    /// Not `chunked`, given once.
    #[error("Transfer-Encoding is not exactly `chunked`, given once")]
    TransferEncoding,
    /// Both of them: the classic of request smuggling (RFC 9112 §6.1).
    #[error("both Content-Length and Transfer-Encoding are given: send one of them")]
    TwoFramings,
    /// RFC 9112 §6.1: treat as faulty.
    #[error("Transfer-Encoding does not exist in HTTP/1.0")]
    ChunkedInHttp10,
}

impl Fault {
    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NotHttp
            | Self::LineEnd
            | Self::RequestLine
            | Self::Target
            | Self::FieldName
            | Self::FieldValue
            | Self::Folded
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::TwoFramings
            | Self::ChunkedInHttp10 => StatusCode::BAD_REQUEST,
        }
    }
}
