//! ClientHellos as a real client sends them.

use std::sync::Arc;

use agentnet_policy::Reason;
use rustls::client::ClientConnection;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

/// The first flight of a TLS client for `name`, which may be an address.
pub fn hello(name: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    first_flight(config, name)
}

fn first_flight(config: ClientConfig, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same handshake message in records of `size` bytes (RFC 8446 §5.1).
pub fn fragmented(flight: &[u8], size: usize) -> Vec<u8> {
    let message = &flight[5..];
    let record = |part: &[u8]| {
        let length = (part.len() as u16).to_be_bytes();
        [&[22, 3, 1], &length[..], part].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&length[4 - bytes..], content].concat()
}

/// An extension of this kind.
pub fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vector(2, content)].concat()
}

/// `server_name` with these names, each with its kind, of which there is one: 0 (RFC 6066 §3).
pub fn server_name(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names = names.iter();
    let list: Vec<u8> = names
        .flat_map(|(kind, name)| [vec![*kind], vector(2, name)].concat())
        .collect();
    extension(0, &vector(2, &list))
}

/// A ClientHello with these extensions, in as few records as it takes.
pub fn hello_of(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        vec![3, 3],
        vec![7; 32],
        vector(1, &[9; 32]),
        vector(2, &[0x13, 0x01]),
        vector(1, &[0]),
        vector(2, &extensions.concat()),
    ];
    let message = [vec![1], vector(3, &body.concat())].concat();
    let flight = [vec![22, 3, 1, 0, 0], message].concat();
    fragmented(&flight, 1 << 14)
}

/// Encrypted ClientHello, in earnest or as grease: the two look alike (RFC 9849 §6.2).
pub fn ech() -> Vec<u8> {
    let key = vector(2, &[5; 32]);
    let payload = vector(2, &[6; 144]);
    extension(0xfe0d, &[vec![0, 0, 1, 0, 1, 17], key, payload].concat())
}

/// A key share as large as a post-quantum one.
pub fn large_key_share() -> Vec<u8> {
    let share = [vec![0x11, 0xec], vector(2, &[8; 1216])].concat();
    extension(51, &vector(2, &share))
}

/// An alert, fatal.
const fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// A ClientHello that does not name exactly one host, and what it is closed with.
pub struct Nameless {
    pub what: &'static str,
    pub bytes: Vec<u8>,
    pub answer: &'static [u8],
    pub reason: Reason,
}

/// Every way in which a ClientHello can leave it open which host is meant, `name` being the one that is
/// permitted (THREATS W82, W83 and W85).
pub fn nameless(name: &'static str) -> Vec<Nameless> {
    const UNRECOGNIZED_NAME: &[u8] = &alert(112);
    const DECODE_ERROR: &[u8] = &alert(50);
    let ours = name.as_bytes();
    let one = || server_name(&[(0, ours)]);
    let evil: &[u8] = b"evil.example";
    let named = |bytes: &[u8]| vec![server_name(&[(0, bytes)])];
    let nul = |front: &str, back: &str| named(format!("{front}\0{back}").as_bytes());
    let padding = |length: usize| extension(21, &vec![0; length]);
    #[rustfmt::skip]
    let rows = [
        ("no name", vec![extension(10, &[0, 2, 0, 29])], UNRECOGNIZED_NAME, Reason::SniMissing),
        ("two server_name, ours first", vec![one(), server_name(&[(0, evil)])], UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("two server_name, ours last", vec![server_name(&[(0, evil)]), one()], UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("server_name twice", vec![one(), one()], UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("two names in one", vec![server_name(&[(0, ours), (0, evil)])], UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("two names in one, ours last", vec![server_name(&[(0, evil), (0, ours)])], UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("another kind of name", vec![server_name(&[(1, ours)])], UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("another kind beside", vec![server_name(&[(0, ours), (1, evil)])], UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("NUL before ours", nul("evil.example.", name), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("NUL behind ours", nul(name, ".evil.example"), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("empty name", named(b""), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("empty list", vec![server_name(&[])], DECODE_ERROR, Reason::NotTls),
        ("empty extension", vec![extension(0, &[])], DECODE_ERROR, Reason::NotTls),
        ("bytes behind the list", vec![extension(0, &[&one()[4..], &[0]].concat())], DECODE_ERROR, Reason::NotTls),
        ("address", named(b"9.9.9.9"), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("address in disguise", named(b"0x7f.1"), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("another alphabet", named("ex\u{e4}mple.com".as_bytes()), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("no text", named(&[0xff, 0xfe]), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("two dots at the end", named(format!("{name}..").as_bytes()), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("port", named(format!("{name}:443").as_bytes()), UNRECOGNIZED_NAME, Reason::SniMismatch),
        ("another extension twice", vec![one(), padding(1), padding(1)], DECODE_ERROR, Reason::NotTls),
        ("name behind 64 KB", vec![padding(60_000), padding(5_000), one()], DECODE_ERROR, Reason::NotTls),
    ];
    let rows = rows
        .into_iter()
        .map(|(what, extensions, answer, reason)| Nameless {
            what,
            bytes: hello_of(&extensions),
            answer,
            reason,
        });
    #[rustfmt::skip]
    let others: [(&str, &[u8], &[u8]); 8] = [
        ("SSL 2", &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10], &[]),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", &[]),
        ("SOCKS", &[5, 1, 0], &[]),
        ("an alert", &[21, 3, 1, 0, 2, 1, 0], &[]),
        ("an empty record", &[22, 3, 1, 0, 0], &[]),
        ("a ServerHello", &[22, 3, 1, 0, 4, 2, 0, 0, 0], &[]),
        ("a long hello", &[22, 3, 1, 0, 4, 1, 0, 0x40, 1], DECODE_ERROR),
        ("zero bytes", &[0; 64], &[]),
    ];
    let others = others.map(|(what, bytes, answer)| Nameless {
        what,
        bytes: bytes.to_vec(),
        answer,
        reason: Reason::NotTls,
    });
    rows.chain(others).collect()
}
