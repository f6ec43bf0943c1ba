//! Which clients may use a listener: decided before a byte of theirs is read as a request.
//!
//! A client's address is enough for most lists. An entry with a name needs look-ups, which go through
//! the one door for names, are remembered, and have a deadline. What cannot be found out counts
//! against the client.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::event::Protocol;
use agentnet_policy::{Access, Client, ClientList, ClientRule, Host, Name};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::active::Active;
use crate::connection::read_away;
use crate::listener::Session;
use crate::record::Record;
use crate::refusal;
use crate::resolve::Resolver;
use crate::stream::Stream;

/// How long all look-ups for one client may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long a client that is turned away may take to send what it wanted, and to take the answer.
const COURTESY: Duration = Duration::from_millis(50);

/// The entry that lets clients of unix sockets in.
pub const UNIX: &str = "unix";

/// Who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    list: ClientList,
    /// A client of a unix socket has no address that an entry could fit.
    unix: bool,
}

impl Clients {
    /// Those that `list` permits; with `unix`, also who comes by a unix socket. Where the list has
    /// no entry everybody may.
    #[must_use]
    pub fn new(list: ClientList, unix: bool) -> Self {
        Self { list, unix }
    }

    /// Those that are listed, and nobody else.
    ///
    /// # Errors
    /// Says which entry is none, and what to write.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let mut rules = Vec::new();
        let mut unix = false;
        for entry in entries {
            if entry == UNIX {
                unix = true;
                continue;
            }
            let client = Client::parse(entry).map_err(|error| {
                let write = "write an address, a network like 10.0.0.0/8, a name, .domain or unix";
                format!("`{entry}` is no client: {error}; {write}")
            })?;
            let access = Access::Allow;
            rules.push(ClientRule { access, client });
        }
        if entries.is_empty() {
            let what = "the list of clients is empty and nobody could come in";
            return Err(format!("{what}: name them, or leave it out for everybody"));
        }
        Ok(Self::new(ClientList::new(rules), unix))
    }

    /// True if everybody may.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.list.is_empty() && !self.unix
    }

    /// Whether a client may use the listener. `None` is a client without an address.
    pub async fn permits(&self, client: Option<IpAddr>, resolver: &Resolver) -> bool {
        match self.permits_at_once(client) {
            Some(permitted) => permitted,
            None => match client {
                Some(address) => self.permits_by_name(address, resolver).await,
                None => false,
            },
        }
    }

    /// The same where it needs no look-up.
    #[must_use]
    pub fn permits_at_once(&self, client: Option<IpAddr>) -> Option<bool> {
        match client {
            _ if self.is_open() => Some(true),
            None => Some(self.unix),
            Some(_) if self.list.is_empty() => Some(false),
            Some(address) if !self.list.needs_names() => Some(self.list.permits(address, &[])),
            Some(_) => None,
        }
    }

    async fn permits_by_name(&self, address: IpAddr, resolver: &Resolver) -> bool {
        let names = timeout(DEADLINE, self.names(address, resolver)).await;
        let names = names.unwrap_or_else(|_| Names {
            known: Vec::new(),
            doubtful: self.all(),
        });
        let known: Vec<&str> = names.known.iter().map(String::as_str).collect();
        let doubtful = names.doubtful.iter().map(String::as_str);
        let worst: Vec<&str> = known.iter().copied().chain(doubtful).collect();
        // A name that could not be looked up must neither let in nor keep a `Deny` from deciding.
        self.list.permits(address, &known) && self.list.permits(address, &worst)
    }

    async fn names(&self, address: IpAddr, resolver: &Resolver) -> Names {
        let listed = self.list.hosts().map(|host| async move {
            let found = has_address(host, address, resolver).await;
            (host.to_owned(), found)
        });
        let (listed, own) = tokio::join!(join_all(listed), resolver.name_of(address));
        let mut names = Names::default();
        for (host, found) in listed {
            names.note(host, found);
        }
        match own {
            // Whoever holds an address says what its name is; only the name's own zone can prove it.
            Ok(Some(name)) => {
                // An unproved name lets nobody in, and gets nobody past a `Deny` for it either.
                let found = has_address(name.as_str(), address, resolver).await;
                let proved = found.filter(|found| *found);
                names.note(name.as_str().to_owned(), proved);
            }
            Ok(None) => {}
            Err(_) => names.doubtful.extend(self.all()),
        }
        names
    }

    /// A name for every entry that has one, such that it fits.
    fn all(&self) -> Vec<String> {
        let names = self
            .list
            .rules()
            .iter()
            .filter_map(|rule| match &rule.client {
                Client::Network(_) => None,
                Client::Host(host) => Some(host.to_string()),
                Client::Below(domain) => Some(format!("any.{domain}")),
            });
        names.collect()
    }
}

/// The names of a client.
#[derive(Debug, Default)]
struct Names {
    /// Proved by a look-up forwards.
    known: Vec<String>,
    /// Which it may have.
    doubtful: Vec<String>,
}

impl Names {
    fn note(&mut self, name: String, found: Option<bool>) {
        match found {
            Some(true) => self.known.push(name),
            Some(false) => {}
            None => self.doubtful.push(name),
        }
    }
}

/// Whether `address` is one of the addresses of `host`; `None` if that could not be found out.
async fn has_address(host: &str, address: IpAddr, resolver: &Resolver) -> Option<bool> {
    let name: Name = match Host::parse(host) {
        Ok(Host::Name(name)) => name,
        Ok(Host::Ip(_)) | Err(_) => return Some(false),
    };
    let answers = resolver.resolve(&name).await.ok()?;
    Some(
        answers
            .iter()
            .any(|answer| answer.to_canonical() == address),
    )
}

/// Lets a client in, or tells it that it may not come in and closes. Takes the time of the look-ups,
/// or half a second.
pub async fn meet(mut stream: Stream, session: &Arc<Session>) -> Option<Stream> {
    let active = session.listener.policy.now_full();
    if session.is_permitted(&active).await {
        return Some(stream);
    }
    // Closing over unread bytes would reset the connection, and the answer with it.
    let mut begin = [0; 1024];
    let read = timeout(COURTESY, stream.read(&mut begin)).await;
    let count = read.unwrap_or(Ok(0)).unwrap_or(0);
    let protocol = match begin.get(..count) {
        Some(begin) if begin.starts_with(b"CONNECT ") => Protocol::Connect,
        Some(_) | None => Protocol::Http,
    };
    let response = Record::nameless(session, protocol).turned_away(&active);
    session.note_request();
    let text = refusal::text_of(&response);
    let told = async {
        stream.write_all(&text).await?;
        stream.shutdown().await
    };
    if matches!(timeout(COURTESY, told).await, Ok(Ok(()))) {
        read_away(stream).await;
    }
    None
}

impl Session {
    /// Whether its client may use the listener. Asked once for each load of the list.
    pub async fn is_permitted(&self, active: &Active) -> bool {
        let clients = &active.conduct.clients;
        if clients.is_open() || self.permitted_in() == active.generation {
            return true;
        }
        let permitted = clients.permits(self.address, &self.shared().resolver).await;
        if permitted {
            self.set_permitted_in(active.generation);
        }
        permitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[&str]) -> Result<Clients, String> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Clients::parse(&entries)
    }

    #[test]
    fn permits_who_is_listed_and_nobody_else() {
        let clients = parse(&["10.0.0.0/8", "2001:db8::1"]).unwrap();
        let permits = |client: &str| clients.permits_at_once(Some(client.parse().unwrap()));
        assert_eq!(permits("10.1.2.3"), Some(true));
        assert_eq!(permits("2001:db8::1"), Some(true));
        assert_eq!(permits("11.1.2.3"), Some(false));
        assert_eq!(
            clients.permits_at_once(None),
            Some(false),
            "no address, no entry"
        );
        let unix = parse(&["10.0.0.0/8", "unix"]).unwrap();
        assert_eq!(unix.permits_at_once(None), Some(true));
        let only_unix = parse(&["unix"]).unwrap();
        assert!(!only_unix.is_open());
        let somebody = Some("10.1.2.3".parse().unwrap());
        assert_eq!(only_unix.permits_at_once(somebody), Some(false));
        let named = parse(&["host.example"]).unwrap();
        assert_eq!(named.permits_at_once(somebody), None, "a look-up decides");
        assert_eq!(Clients::default().permits_at_once(None), Some(true));
    }

    #[test]
    fn takes_no_list_that_says_nothing_or_something_else() {
        for wrong in [&[][..], &["10.0.0.0/33"], &[""], &["10.0.0.1:80"], &["*"]] {
            let said = parse(wrong).unwrap_err();
            assert!(
                said.contains("write") || said.contains("name them"),
                "{said}"
            );
        }
    }
}
