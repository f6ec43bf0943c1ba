use agentnet_policy::{Reason, Target};
use domain::base::iana::Rcode;
use proptest::prelude::*;

use super::*;

const OWN: Own = Own {
    v4: Some(Ipv4Addr::new(10, 0, 0, 1)),
    v6: None,
};

/// `example.com` and what is below it; nothing else.
fn decide(name: &Name) -> NameVerdict {
    if name.as_str() == "example.com" || name.as_str().ends_with(".example.com") {
        return NameVerdict::Allow;
    }
    let target = Target::new(Host::Name(name.clone()), 443.try_into().unwrap());
    NameVerdict::Deny(Denial::new(target, Reason::NotListed))
}

/// The same in mode observe.
fn observe(name: &Name) -> NameVerdict {
    match decide(name) {
        NameVerdict::Deny(denial) => NameVerdict::Report(denial),
        NameVerdict::Allow | NameVerdict::Report(_) => NameVerdict::Allow,
    }
}

fn ask(query: &[u8]) -> Option<Reply> {
    answer(query, |name| (decide(name), OWN))
}

fn wire(labels: &[&[u8]]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(u8::try_from(label.len()).unwrap());
        name.extend_from_slice(label);
    }
    name.push(0);
    name
}

fn name(text: &str) -> Vec<u8> {
    let labels: Vec<&[u8]> = text.split('.').map(str::as_bytes).collect();
    wire(&labels)
}

/// Header with RD and one question.
fn query(name: &[u8], kind: u16) -> Vec<u8> {
    let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(name);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

fn with_opt(mut query: Vec<u8>, version: u8, data: &[u8]) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, version, 0x80, 0]);
    query.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    query.extend_from_slice(data);
    query
}

fn rcode(reply: &Reply) -> Rcode {
    message(reply).header().rcode()
}

fn message(reply: &Reply) -> &Message<[u8]> {
    Message::from_slice(&reply.bytes).unwrap()
}

/// Answers and authority records.
fn counts(reply: &Reply) -> (u16, u16) {
    let counts = message(reply).header_counts();
    (counts.ancount(), counts.nscount())
}

#[test]
fn a_permitted_name_has_the_proxys_address() {
    let reply = ask(&query(&name("api.example.com"), 1)).unwrap();
    assert_eq!(reply.finding, Finding::Permitted);
    let mut expected = vec![0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    expected.extend_from_slice(&name("api.example.com"));
    expected.extend_from_slice(&[0, 1, 0, 1]);
    expected.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1]);
    assert_eq!(reply.bytes, expected);

    let both = Own {
        v6: Some("fd00::1".parse().unwrap()),
        ..OWN
    };
    let reply = answer(&query(&name("example.com"), 28), |name| {
        (decide(name), both)
    })
    .unwrap();
    assert_eq!((rcode(&reply), counts(&reply)), (Rcode::NOERROR, (1, 0)));
    let address = Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]).octets();
    assert!(reply.bytes.ends_with(&address));
}

#[test]
fn a_permitted_name_has_no_other_data_and_exists_all_the_same() {
    // AAAA without an IPv6 address, NS, CNAME, SOA, PTR, MX, TXT, SRV, SVCB, HTTPS, AXFR, ANY, and one
    // that nobody has named.
    for kind in [28, 2, 5, 6, 12, 15, 16, 33, 64, 65, 252, 255, 65_400] {
        let reply = ask(&query(&name("example.com"), kind)).unwrap();
        assert_eq!(rcode(&reply), Rcode::NOERROR, "{kind}");
        assert_eq!(counts(&reply), (0, 1), "{kind}");
        assert_eq!(reply.finding, Finding::Permitted);
    }
}

#[test]
fn what_is_only_reported_is_there() {
    let reply = answer(&query(&name("other.example"), 1), |name| {
        (observe(name), OWN)
    })
    .unwrap();
    assert_eq!((rcode(&reply), counts(&reply)), (Rcode::NOERROR, (1, 0)));
    assert!(matches!(reply.finding, Finding::Reported(_)));
    let reply = answer(&query(&name("other.example"), 12), |name| {
        (observe(name), OWN)
    })
    .unwrap();
    assert_eq!(reply.finding, Finding::Unjudged);
}

#[test]
fn every_other_name_does_not_exist_for_a_short_time() {
    for kind in [1, 28, 16, 65, 255] {
        let reply = ask(&query(&name("secret.evil.example"), kind)).unwrap();
        assert_eq!((rcode(&reply), counts(&reply)), (Rcode::NXDOMAIN, (0, 1)));
        let Finding::Denied(denial) = &reply.finding else {
            panic!("{:?}", reply.finding);
        };
        assert_eq!(denial.target().to_string(), "secret.evil.example:443");
        let soa = [0, 0, 6, 0, 1, 0, 0, 0, 5, 0, 22, 0, 0, 0, 0, 0, 1];
        let tail = &reply.bytes[reply.bytes.len() - 33..];
        assert_eq!(&tail[..17], &soa);
        assert_eq!(&tail[29..], &[0, 0, 0, 5]);
    }
}

#[test]
fn the_question_comes_back_as_it_was_written() {
    let reply = ask(&query(&name("aPi.ExAmPlE.cOm"), 1)).unwrap();
    assert_eq!(reply.finding, Finding::Permitted);
    let at = 12..12 + name("aPi.ExAmPlE.cOm").len();
    assert_eq!(&reply.bytes[at], name("aPi.ExAmPlE.cOm"));
}

#[test]
fn what_no_host_is_called_does_not_exist() {
    for labels in [
        vec![b"example\0".as_slice(), b"com"],
        vec![b"a.example.com"],
        vec![b"evil.example\0", b"example", b"com"],
        vec![b"evil.test.example", b"com"],
        vec![b"a b", b"example", b"com"],
        vec![b"\xc3\xbc", b"example", b"com"],
        vec![b"*", b"example", b"com"],
        vec![b"\n\x1b[2J", b"example", b"com"],
        vec![b"127", b"0", b"0", b"1"],
        vec![b"2130706433"],
        vec![b"0x7f000001"],
        vec![],
    ] {
        let reply = ask(&query(&wire(&labels), 1)).unwrap();
        assert_eq!(rcode(&reply), Rcode::NXDOMAIN, "{labels:?}");
        let Finding::NotAHost(shown) = &reply.finding else {
            panic!("{labels:?}: {:?}", reply.finding);
        };
        assert!(
            shown
                .as_str()
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~')),
            "{shown}"
        );
    }
    let long = [b'a'; 63];
    let of = |last: usize| query(&wire(&[&long, &long, &long, &long[..last]]), 1);
    assert!(matches!(ask(&of(61)).unwrap().finding, Finding::Denied(_)));
    // One byte more than a name can have on the wire (RFC 1035 §2.3.4).
    assert_eq!(ask(&of(62)), None);
}

#[test]
fn a_name_without_a_dot_is_judged_as_it_is() {
    let reply = ask(&query(&name("intranet"), 1)).unwrap();
    assert!(matches!(reply.finding, Finding::Denied(_)));
    let searched = ask(&query(&name("evil.test.corp.example"), 1)).unwrap();
    assert!(matches!(searched.finding, Finding::Denied(_)));
}

#[test]
fn a_reverse_look_up_finds_nothing_and_troubles_nobody() {
    for asked in ["1.0.0.10.in-addr.arpa", "evil.example", "a b.ip6.arpa"] {
        let reply = ask(&query(&name(asked), 12)).unwrap();
        assert_eq!(rcode(&reply), Rcode::NXDOMAIN);
        assert_eq!(reply.finding, Finding::Unjudged);
    }
}

#[test]
fn other_classes_and_operations_are_refused() {
    let mut chaos = query(&name("example.com"), 16);
    let end = chaos.len();
    chaos[end - 1] = 3;
    let reply = ask(&chaos).unwrap();
    assert_eq!((rcode(&reply), counts(&reply)), (Rcode::REFUSED, (0, 0)));
    chaos[end - 1] = 255;
    assert_eq!(rcode(&ask(&chaos).unwrap()), Rcode::REFUSED);
    for opcode in [1, 2, 3, 4, 5, 6, 15] {
        let mut other = query(&name("example.com"), 1);
        other[2] = opcode << 3;
        let reply = ask(&other).unwrap();
        assert_eq!((rcode(&reply), counts(&reply)), (Rcode::NOTIMP, (0, 0)));
        assert_eq!(reply.finding, Finding::Unjudged);
    }
}

#[test]
fn whoever_sends_edns_gets_edns_and_no_more() {
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let plain = query(&name("example.com"), 1);
    let reply = ask(&with_opt(plain.clone(), 0, &cookie)).unwrap();
    assert_eq!(message(&reply).header_counts().arcount(), 1);
    assert!(
        reply
            .bytes
            .ends_with(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0])
    );
    let later = ask(&with_opt(plain.clone(), 1, &[])).unwrap();
    assert_eq!(message(&later).opt_rcode(), OptRcode::BADVERS);
    assert_eq!(counts(&later), (0, 0));
    assert_eq!(ask(&with_opt(with_opt(plain, 0, &[]), 0, &[])), None);
}

#[test]
fn what_is_not_one_whole_question_gets_no_answer() {
    let whole = with_opt(query(&name("api.example.com"), 1), 0, &[0, 10, 0, 2, 1, 2]);
    assert!(ask(&whole).is_some());
    for cut in 0..whole.len() {
        assert_eq!(ask(&whole[..cut]), None, "cut at {cut}");
    }
    let mut longer = whole;
    longer.push(0);
    assert_eq!(ask(&longer), None);

    let good = query(&name("example.com"), 1);
    for (at, byte) in [(2, 0x81), (5, 0), (5, 2), (4, 1), (7, 1), (9, 1), (11, 1)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(ask(&bad), None, "byte {at} is {byte}");
    }
    assert_eq!(ask(&[0; 12]), None);
    assert_eq!(ask(&[0xff; 512]), None);
    assert_eq!(ask(&[0; 65_535]), None);
}

#[test]
fn names_that_point_elsewhere_get_no_answer() {
    for name in [
        // To itself, forwards, into the header, behind a label, and labels of kinds that are none.
        vec![0xc0, 12],
        vec![0xc0, 14, 0],
        vec![0xc0, 0],
        vec![0xc0, 4],
        vec![1, b'a', 0xc0, 12],
        vec![1, b'a', 0xc0, 10],
        vec![0x40, b'a', 0],
        vec![0x80, b'a', 0],
        vec![63, b'a', 0],
    ] {
        assert_eq!(ask(&query(&name, 1)), None, "{name:?}");
    }
    let loops = [query(&[0xc0, 12], 1), vec![0xc0, 12, 0, 1, 0, 1]].concat();
    assert_eq!(ask(&loops), None);
}

#[test]
fn who_may_not_ask_is_refused_without_a_look_at_the_name() {
    let refused = refuse(&query(&name("example.com"), 1)).unwrap();
    let header = Message::from_slice(&refused).unwrap().header();
    assert_eq!(header.rcode(), Rcode::REFUSED);
    assert_eq!(refuse(&[1, 2, 3]), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_it_and_no_answer_is_much_longer_than_its_question(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..6),
        kind in any::<u16>(),
        edns in any::<bool>(),
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
        let plain = query(&wire(&labels), kind);
        let mut query = if edns { with_opt(plain, 0, &[]) } else { plain };
        for (at, byte) in spoilt {
            let at = at.index(query.len());
            query[at] = byte;
        }
        if let Some(reply) = ask(&query) {
            prop_assert!(reply.bytes.len() <= query.len() + 40);
            prop_assert_eq!(&reply.bytes[..2], &query[..2]);
            prop_assert!(reply.bytes[2] & 0x82 == 0x80, "an answer, never cut");
            prop_assert!(message(&reply).sole_question().is_ok());
        }
    }

    #[test]
    fn any_bytes_are_an_answerable_question_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Some(reply) = ask(&bytes) {
            prop_assert!(reply.bytes.len() <= bytes.len() + 40);
        }
    }
}
