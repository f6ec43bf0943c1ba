//! The internet as the tests make it: names with addresses, and addresses that lead to loopback.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agentnet_policy::{Host, Name};
use agentnet_proxy::dial::{Connect, Connecting};
use agentnet_proxy::resolve::{Answer, Naming, Resolve, ResolveError};
use tokio::net::TcpStream;

/// Shared between a test and its proxy.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: Mutex<HashMap<String, Vec<IpAddr>>>,
    next: Mutex<HashMap<String, Vec<IpAddr>>>,
    addresses: Mutex<HashMap<IpAddr, String>>,
    asked: Mutex<Vec<String>>,
    roads: Mutex<HashMap<SocketAddr, Road>>,
    dialled: AtomicUsize,
    to: Mutex<Vec<SocketAddr>>,
}

#[derive(Clone, Copy, Debug)]
enum Road {
    To(SocketAddr),
    Nowhere,
}

impl World {
    /// `name` has these addresses.
    pub fn name(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        self.0
            .names
            .lock()
            .unwrap()
            .insert(name.to_owned(), addresses);
    }

    /// Who holds `address` says that its name is `name`.
    pub fn address(&self, address: &str, name: &str) {
        let address = address.parse().unwrap();
        let mut addresses = self.0.addresses.lock().unwrap();
        addresses.insert(address, name.to_owned());
    }

    /// A connection to `public` arrives at `local`.
    pub fn road(&self, public: &str, local: SocketAddr) {
        self.0
            .roads
            .lock()
            .unwrap()
            .insert(public.parse().unwrap(), Road::To(local));
    }

    /// A connection to `public` is never answered.
    pub fn black_hole(&self, public: &str) {
        self.0
            .roads
            .lock()
            .unwrap()
            .insert(public.parse().unwrap(), Road::Nowhere);
    }

    /// `example.com` at a public address, with `port` leading to `local`.
    pub fn site(&self, name: &str, port: u16, local: SocketAddr) {
        let mut names = self.0.names.lock().unwrap();
        let next = IpAddr::from([9, 9, 9, u8::try_from(names.len() + 10).unwrap()]);
        let address = names.entry(name.to_owned()).or_insert_with(|| vec![next])[0];
        self.0
            .roads
            .lock()
            .unwrap()
            .insert(SocketAddr::new(address, port), Road::To(local));
    }

    /// Every name that the resolver was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }

    /// Where `host:port` leads, for somebody else than the proxy.
    pub fn find(&self, target: &str) -> Option<SocketAddr> {
        let address = match target.parse() {
            Ok(address) => address,
            Err(_) => {
                let (name, port) = target.rsplit_once(':')?;
                let names = self.0.names.lock().unwrap();
                SocketAddr::new(*names.get(name)?.first()?, port.parse().ok()?)
            }
        };
        match self.0.roads.lock().unwrap().get(&address)? {
            Road::To(local) => Some(*local),
            Road::Nowhere => None,
        }
    }

    /// Every address that a connection was attempted to.
    pub fn dialled_to(&self) -> Vec<SocketAddr> {
        self.0.to.lock().unwrap().clone()
    }

    /// Forgets what was dialled so far.
    pub fn forget(&self) {
        self.0.dialled.store(0, Ordering::SeqCst);
        self.0.to.lock().unwrap().clear();
    }

    /// After the next question for `name` it has these addresses.
    pub fn rebind(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        let mut next = self.0.next.lock().unwrap();
        next.insert(name.to_owned(), addresses.collect());
    }

    /// How often a connection was attempted.
    pub fn dialled(&self) -> usize {
        self.0.dialled.load(Ordering::SeqCst)
    }
}

impl Resolve for World {
    fn resolve(&self, name: Name) -> Answer<'_> {
        self.0.asked.lock().unwrap().push(name.as_str().to_owned());
        let mut names = self.0.names.lock().unwrap();
        let found = names.get(name.as_str()).cloned();
        if let Some(next) = self.0.next.lock().unwrap().remove(name.as_str()) {
            names.insert(name.as_str().to_owned(), next);
        }
        drop(names);
        Box::pin(async move {
            found.ok_or_else(|| ResolveError::Failed("Name or service not known".to_owned()))
        })
    }

    fn name_of(&self, address: IpAddr) -> Naming<'_> {
        let found = self.0.addresses.lock().unwrap().get(&address).cloned();
        let name = |text: String| Host::parse(&text).unwrap().name().unwrap().clone();
        Box::pin(async move { Ok(found.map(name)) })
    }
}

impl Connect for World {
    fn connect(&self, address: SocketAddr, _: Option<IpAddr>) -> Connecting<'_> {
        self.0.dialled.fetch_add(1, Ordering::SeqCst);
        self.0.to.lock().unwrap().push(address);
        let road = self.0.roads.lock().unwrap().get(&address).copied();
        Box::pin(async move {
            match road {
                Some(Road::To(local)) => TcpStream::connect(local).await,
                Some(Road::Nowhere) => std::future::pending().await,
                None => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }
}
