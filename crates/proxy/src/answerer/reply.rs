//! From a question to its answer: bytes in, bytes out. No socket, no clock, no allocation but the
//! answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use agentnet_policy::event::Text;
use agentnet_policy::{Denial, Host, Name, NameVerdict};
use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use domain::base::message_builder::{AnswerBuilder, PushError, StaticCompressor};
use domain::base::name::ToLabelIter;
use domain::base::{
    Message, MessageBuilder, Name as WireName, ParsedName, Question, RecordSection, Serial, Ttl,
};
use domain::rdata::{A, Aaaa, Soa};

/// How long an answer may be kept, given or refused: long enough for the A, the AAAA and the
/// connection of one request, so short that a name is there a moment after it was allowed, and gone
/// after it was refused.
pub const TTL: Ttl = Ttl::from_secs(5);

/// The largest datagram that we say we take (DNS flag day 2020). Ours are far smaller.
const PAYLOAD: u16 = 1232;

/// Bytes of a header (RFC 1035 §4.1.1), and of a question behind its name.
const HEADER: usize = 12;
const KIND_AND_CLASS: usize = 4;

/// The addresses that permitted names are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// For A; without one there is no data.
    pub v4: Option<Ipv4Addr>,
    /// For AAAA.
    pub v6: Option<Ipv6Addr>,
}

/// An answer, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message, without the length that stands in front of it on TCP.
    pub bytes: Vec<u8>,
    /// The type that was asked for.
    pub kind: Rtype,
    /// What was decided.
    pub finding: Finding,
}

/// What was decided about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The name is permitted; it may have no data of this type.
    Permitted,
    /// The policy refuses the name, and mode `observe` lets it be.
    Reported(Denial),
    /// The policy refuses the name.
    Denied(Denial),
    /// No host has such a name: the name as it can be shown.
    NotAHost(Text),
    /// Not a question that is decided: a reverse look-up, another class, another operation.
    Unjudged,
}

/// Answers a question; `decide` is what the policy says of a name, and where it is then. `None` is no answer at all: what
/// is not exactly one question, well-formed to its last byte, is not worth a packet to whoever may
/// have been named as its sender. An answer is never more than 40 bytes longer than its question.
pub fn answer(query: &[u8], decide: impl FnOnce(&Name) -> (NameVerdict, Own)) -> Option<Reply> {
    let asked = Asked::read(query)?;
    let kind = asked.question.qtype();
    let rcode = |rcode, finding| (rcode, finding, Data::Nothing);
    let opcode = asked.message.header().opcode();
    let (rcode, finding, data) = if asked.edns == Edns::Unknown {
        rcode(OptRcode::BADVERS, Finding::Unjudged)
    } else if opcode != Opcode::QUERY {
        rcode(OptRcode::NOTIMP, Finding::Unjudged)
    } else if asked.question.qclass() != Class::IN {
        rcode(OptRcode::REFUSED, Finding::Unjudged)
    } else {
        judge(asked.question.qname(), kind, decide)
    };
    let bytes = asked.compose(rcode, data).ok()?;
    Some(Reply {
        bytes,
        kind,
        finding,
    })
}

/// Answers a client that may not ask.
#[must_use]
pub fn refuse(query: &[u8]) -> Option<Vec<u8>> {
    let asked = Asked::read(query)?;
    asked.compose(OptRcode::REFUSED, Data::Nothing).ok()
}

fn judge(
    name: &ParsedName<&[u8]>,
    kind: Rtype,
    decide: impl FnOnce(&Name) -> (NameVerdict, Own),
) -> (OptRcode, Finding, Data) {
    let host = match host(name) {
        Ok(host) => host,
        Err(_) if kind == Rtype::PTR => {
            return (OptRcode::NXDOMAIN, Finding::Unjudged, Data::Authority);
        }
        Err(shown) => {
            let finding = Finding::NotAHost(shown);
            return (OptRcode::NXDOMAIN, finding, Data::Authority);
        }
    };
    let (verdict, own) = decide(&host);
    let finding = match verdict {
        // Whoever prints an address asks for its name; nobody is kept from anything by not knowing it.
        NameVerdict::Report(_) | NameVerdict::Deny(_) if kind == Rtype::PTR => {
            return (OptRcode::NXDOMAIN, Finding::Unjudged, Data::Authority);
        }
        NameVerdict::Deny(denial) => {
            return (OptRcode::NXDOMAIN, Finding::Denied(denial), Data::Authority);
        }
        NameVerdict::Report(denial) => Finding::Reported(denial),
        NameVerdict::Allow => Finding::Permitted,
    };
    let data = match kind {
        Rtype::A => own.v4.map(Data::A),
        Rtype::AAAA => own.v6.map(Data::Aaaa),
        _ => None,
    };
    let data = data.unwrap_or(Data::Authority);
    (OptRcode::NOERROR, finding, data)
}

/// The canonical name, or how to show what is none. A label may hold any byte, a dot as well: such a
/// name would read as another one.
fn host(name: &ParsedName<&[u8]>) -> Result<Name, Text> {
    let mut text = String::with_capacity(256);
    for label in name.iter().filter(|label| !label.is_root()) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.iter().all(plain) {
            return Err(Text::new(&name.to_string()));
        }
        text.extend(label.iter().map(char::from));
        text.push('.');
    }
    match Host::parse(&text) {
        Ok(Host::Name(name)) => Ok(name),
        Ok(Host::Ip(_)) | Err(_) => Err(Text::new(&name.to_string())),
    }
}

/// What stands behind the question of an answer.
#[derive(Clone, Copy, Debug)]
enum Data {
    Nothing,
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// For how long it may be remembered that there is nothing (RFC 2308 §5).
    Authority,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edns {
    Absent,
    Zero,
    /// A version that nobody has defined.
    Unknown,
}

/// A query that was understood.
struct Asked<'q> {
    message: &'q Message<[u8]>,
    question: Question<ParsedName<&'q [u8]>>,
    edns: Edns,
}

impl<'q> Asked<'q> {
    fn read(query: &'q [u8]) -> Option<Self> {
        let message = Message::from_slice(query).ok()?;
        let counts = message.header_counts();
        if message.header().qr()
            || counts.qdcount() != 1
            || counts.ancount() != 0
            || counts.nscount() != 0
        {
            return None;
        }
        let mut questions = message.question();
        let question = questions.next()?.ok()?;
        let name = question.qname();
        // Nothing stands before the first name that it could point back to, but the header.
        let plain = HEADER + usize::from(name.compose_len()) + KIND_AND_CLASS;
        if questions.pos() != plain {
            return None;
        }
        let mut additional = questions
            .answer()
            .and_then(RecordSection::next_section)
            .ok()??
            .next_section()
            .ok()??;
        let mut edns = Edns::Absent;
        for record in additional.by_ref() {
            let record = record.ok()?;
            if record.rtype() != Rtype::OPT {
                continue;
            }
            if edns != Edns::Absent || !record.owner().is_root() {
                return None;
            }
            // RFC 6891 §6.1.3: the second byte of what is the TTL of other records.
            let [_, version, _, _] = record.ttl().as_secs().to_be_bytes();
            edns = if version == 0 {
                Edns::Zero
            } else {
                Edns::Unknown
            };
        }
        (additional.pos() == query.len()).then_some(Self {
            message,
            question,
            edns,
        })
    }

    fn compose(&self, rcode: OptRcode, data: Data) -> Result<Vec<u8>, PushError> {
        let target = StaticCompressor::new(Vec::with_capacity(512));
        let builder = MessageBuilder::from_target(target)
            .map_err(|_| PushError::ShortBuf)?
            .start_answer(self.message, rcode.rcode())?;
        let mut builder: AnswerBuilder<StaticCompressor<Vec<u8>>> = builder;
        let header = builder.header_mut();
        // Stubs take an empty answer that is neither for a server that cannot help.
        header.set_aa(true);
        header.set_ra(true);
        let name = self.question.qname();
        match data {
            Data::A(address) => builder.push((name, Class::IN, TTL, A::new(address)))?,
            Data::Aaaa(address) => builder.push((name, Class::IN, TTL, Aaaa::new(address)))?,
            Data::Nothing | Data::Authority => {}
        }
        let mut builder = builder.authority();
        if matches!(data, Data::Authority) {
            let root = WireName::root_slice();
            let serial = Serial::from(1);
            let soa = Soa::new(root, root, serial, TTL, TTL, TTL, TTL);
            builder.push((root, Class::IN, TTL, soa))?;
        }
        let mut builder = builder.additional();
        // RFC 6891 §6.1.1: whoever sent one gets one.
        if self.edns != Edns::Absent {
            builder.opt(|opt| {
                opt.set_udp_payload_size(PAYLOAD);
                opt.set_rcode(rcode);
                Ok(())
            })?;
        }
        Ok(builder.finish().into_target())
    }
}

#[cfg(test)]
mod tests;
