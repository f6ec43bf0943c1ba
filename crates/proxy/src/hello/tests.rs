use std::sync::Arc;

use proptest::prelude::*;
use rustls::server::Acceptor;

use super::*;

/// A vector with `bytes` bytes of length.
fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&length[4 - bytes..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vector(2, content)].concat()
}

fn name_of(kind: u8, name: &[u8]) -> Vec<u8> {
    [vec![kind], vector(2, name)].concat()
}

fn sni(name: &str) -> Vec<u8> {
    extension(0, &vector(2, &name_of(0, name.as_bytes())))
}

/// A handshake message with these extensions.
fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        vec![3, 3],
        vec![7; 32],
        vector(1, &[9; 32]),
        vector(2, &[0x13, 0x01]),
        vector(1, &[0]),
        vector(2, &extensions.concat()),
    ];
    [vec![1], vector(3, &body.concat())].concat()
}

/// In records of `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [vec![22, 3, 1], vector(2, part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn read(bytes: &[u8]) -> Result<Option<Hello>, Fault> {
    Reader::default().feed(bytes)
}

fn hello(extensions: &[Vec<u8>]) -> Result<Hello, Fault> {
    read(&records(&message(extensions), MAX_RECORD)).map(|hello| hello.expect("it is whole"))
}

fn named(name: &str) -> Hello {
    let Ok(Host::Name(name)) = Host::parse(name) else {
        panic!("a name");
    };
    Hello {
        server_name: Some(name),
        ech: false,
    }
}

fn target(text: &str) -> Target {
    Target::parse(text, None).unwrap()
}

#[test]
fn reads_the_name_however_it_is_cut() {
    let message = message(&[
        extension(10, &[0, 2, 0, 29]),
        sni("API.Example.com"),
        extension(43, &[2, 3, 4]),
    ]);
    for size in [1, 2, 3, 7, 50, MAX_RECORD] {
        let early = [23, 3, 3, 0, 1, 0];
        let bytes = [records(&message, size), early.to_vec()].concat();
        assert_eq!(read(&bytes), Ok(Some(named("api.example.com"))), "{size}");
        let whole = bytes.len() - early.len();
        for cut in 0..whole {
            let mut reader = Reader::default();
            assert_eq!(reader.feed(&bytes[..cut]), Ok(None), "{size}, {cut}");
            assert_eq!(
                reader.feed(&bytes[cut..]),
                Ok(Some(named("api.example.com")))
            );
        }
    }
    let mut reader = Reader::default();
    let bytes = records(&message, 1);
    let last = bytes.len() - 1;
    for (place, byte) in bytes.iter().enumerate() {
        assert_eq!(reader.feed(&[*byte]).unwrap().is_some(), place == last);
    }
}

#[test]
fn compares_canonical_names() {
    let ours = hello(&[sni("API.Example.com.")]).unwrap();
    assert_eq!(ours.check(&target("api.example.com:443"), true), Ok(()));
    for other in [
        "example.com:443",
        "api.example.com.evil.example:443",
        "9.9.9.9:443",
    ] {
        assert_eq!(ours.check(&target(other), true), Err(Fault::OtherName));
    }
    let nameless = hello(&[]).unwrap();
    assert_eq!(
        nameless.check(&target("a.example:443"), true),
        Err(Fault::NoName)
    );
    assert_eq!(nameless.check(&target("9.9.9.9:443"), true), Ok(()));
    assert_eq!(Fault::OtherName.reason(), Reason::SniMismatch);
    assert_eq!(Fault::NoName.reason(), Reason::SniMissing);
}

#[test]
fn sees_an_encrypted_part_and_refuses_it_only_when_told() {
    let ech = hello(&[sni("a.example"), extension(0xfe0d, &[0; 40])]).unwrap();
    assert_eq!(ech.check(&target("a.example:443"), true), Ok(()));
    assert_eq!(ech.check(&target("a.example:443"), false), Err(Fault::Ech));
    assert_eq!(
        ech.check(&target("b.example:443"), true),
        Err(Fault::OtherName)
    );
    assert_eq!(Fault::Ech.reason(), Reason::EchRefused);
}

#[test]
fn refuses_names_that_two_readers_could_take_differently() {
    let one = name_of(0, b"a.example");
    let list = |names: &[Vec<u8>]| extension(0, &vector(2, &names.concat()));
    for extensions in [
        vec![sni("a.example"), sni("b.example")],
        vec![sni("a.example"), sni("a.example")],
        vec![list(&[one.clone(), name_of(0, b"b.example")])],
        vec![list(&[one.clone(), name_of(1, b"x")])],
        vec![list(&[name_of(1, b"a.example")])],
        vec![list(&[name_of(0, b"")])],
        vec![list(&[name_of(0, b"a.example\0.evil")])],
        vec![list(&[name_of(0, "\u{fc}.example".as_bytes())])],
        vec![list(&[name_of(0, &[0xff, 0xfe])])],
        vec![list(&[name_of(0, b"9.9.9.9")])],
        vec![list(&[name_of(0, b"a..example")])],
    ] {
        assert_eq!(hello(&extensions), Err(Fault::BadName), "{extensions:?}");
    }
    for extensions in [
        vec![extension(10, &[]), extension(10, &[])],
        vec![extension(0, &[])],
        vec![list(&[])],
        vec![extension(0, &[vector(2, &one), vec![0]].concat())],
        vec![vec![0, 0, 0, 9, 1]],
    ] {
        assert_eq!(hello(&extensions), Err(Fault::Malformed), "{extensions:?}");
    }
}

#[test]
fn tells_what_is_not_tls_at_the_first_byte_that_shows_it() {
    for (bytes, fault) in [
        (b"SSH-2.0-x\r\n".as_slice(), Fault::NotTls),
        (b"GET / HTTP/1.1\r\n", Fault::NotTls),
        (b"\x16GET", Fault::NotTls),
        (&[0x80, 0x2e, 1, 0, 2], Fault::NotTls),
        (&[21, 3, 1, 0, 2, 1, 0], Fault::NotTls),
        (&[22, 3, 1, 0, 0], Fault::NotTls),
        (&[22, 3, 1, 0x40, 1], Fault::NotTls),
        (&[22, 3, 1, 0, 4, 2, 0, 0, 0], Fault::NotTls),
        (&[22, 3, 1, 0, 4, 1, 0, 0x40, 1], Fault::TooLong),
        (&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0], Fault::Malformed),
        (&[22, 3, 1, 0, 1, 1, 23], Fault::Malformed),
    ] {
        assert_eq!(read(bytes), Err(fault), "{bytes:?}");
    }
    let whole = message(&[sni("a.example")]);
    let two = [whole.clone(), whole.clone()].concat();
    assert_eq!(read(&records(&two, MAX_RECORD)), Err(Fault::Malformed));
    for cut in 1..whole.len() {
        let truncated = &whole[4..cut.max(4)];
        let short = [vec![1], vector(3, truncated)].concat();
        let read = read(&records(&short, MAX_RECORD));
        // A message may end before its extensions: that is TLS 1.2 without any.
        let is_bare = truncated.len() == 2 + 32 + 33 + 4 + 2;
        assert_eq!(read.is_ok(), is_bare, "cut at {cut}: {read:?}");
    }
}

#[test]
fn takes_large_hellos_and_no_endless_ones() {
    let padded = |size: usize| message(&[extension(21, &vec![0; size]), sni("a.example")]);
    assert!(read(&records(&padded(15_000), 16_000)).unwrap().is_some());
    assert_eq!(read(&records(&padded(17_000), 16_000)), Err(Fault::TooLong));
    let dribble = records(&padded(15_000), 1);
    assert_eq!(read(&dribble[..MAX_READ + 1]), Err(Fault::TooLong));
}

/// What rustls takes for the name, whatever it thinks of the rest; `None` where it takes none.
fn name_by_rustls(bytes: &[u8]) -> Option<String> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        acceptor.read_tls(&mut rest).ok()?;
        match acceptor.accept() {
            Ok(Some(accepted)) => return accepted.client_hello().server_name().map(str::to_owned),
            Ok(None) => {}
            Err(_) => return None,
        }
    }
    None
}

/// What rustls sends for a name.
fn flight(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn reads_the_same_name_as_rustls() {
    let bytes = flight("api.example.com");
    assert_eq!(name_by_rustls(&bytes).as_deref(), Some("api.example.com"));
    assert_eq!(read(&bytes), Ok(Some(named("api.example.com"))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    /// ADR 7: whatever rustls takes a name from, ours reads that name or refuses.
    #[test]
    fn never_reads_another_name_than_rustls(
        size in 1_usize..400,
        changes in prop::collection::vec((0_usize..260, any::<u8>()), 0..4),
        twice in any::<bool>(),
    ) {
        let original = flight("api.example.com");
        let mut message = original[5..].to_vec();
        if twice {
            message.extend_from_slice(&sni("evil.example"));
        }
        for (place, byte) in changes {
            let place = place % message.len();
            message[place] = byte;
        }
        let bytes = records(&message, size);
        if let (Some(theirs), Ok(Some(ours))) = (name_by_rustls(&bytes), read(&bytes)) {
            let theirs = Host::parse(&theirs).ok();
            prop_assert_eq!(ours.server_name.map(Host::Name), theirs);
        }
    }
}
