//! Doors of names: in a namespace of its own, a name with `raw` has an address of its own, so that a
//! program that speaks neither TLS nor HTTP can be led to it without knowing of a proxy (ADR 8).
//!
//! The [`book`] says which name has which address; the [`answerer`](crate::answerer) gives it. A relay
//! listens there. It knows no policy: it is told by the `server` where to listen, and says of each
//! connection at which door it came in, in the few bytes of [`wire`]. What that means, and whether it
//! may be, is decided here: the address is a name, and name and port are judged as a CONNECT to them.

pub mod book;
mod server;
pub mod wire;

pub use self::book::Book;
pub(crate) use self::server::serve;
