//! A proxy in this process.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet_policy::Event;
use agentnet_policy::event::Moment;
use agentnet_policy::tinyproxy::Conf;
use agentnet_proxy::app::{Prepared, Running, Seams};
use agentnet_proxy::clients::Clients;
use agentnet_proxy::conduct::Conduct;
use agentnet_proxy::inherited::Inherited;
use agentnet_proxy::manners::Manners;
use agentnet_proxy::settings::{
    Address, PolicySource, Raw, Settings, TinyproxyFile, TransparentKind,
};
use agentnet_proxy::surroundings::{DefaultRoute, InterfaceAddress, Machine};
use agentnet_proxy::upstream::Routes;
use tempfile::TempDir;

use super::{Client, World, eventually, within};

/// How a proxy is to be.
pub struct Builder {
    whitelist: String,
    presets: Vec<(&'static str, &'static str)>,
    raw: Raw,
    world: World,
    conduct: Conduct,
    conf: Option<String>,
}

/// A running proxy.
pub struct Proxy {
    pub world: World,
    pub address: SocketAddr,
    pub socket: PathBuf,
    pub admin: SocketAddr,
    /// Where questions to the DNS are answered, if anywhere.
    dns: Option<SocketAddr>,
    /// Where programs come that take it for their host.
    transparent: Vec<(TransparentKind, SocketAddr)>,
    running: Option<Running>,
    written: Written,
    directory: TempDir,
}

/// Captures stdout's lines.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One interface with a public address, and a gateway.
#[expect(clippy::unnecessary_wraps, reason = "the seam's type")]
fn look() -> io::Result<Machine> {
    let address = |interface: &str, address: &str| InterfaceAddress {
        interface: interface.to_owned(),
        address: address.parse().unwrap(),
    };
    Ok(Machine {
        addresses: vec![address("lo", "127.0.0.1"), address("eth0", "8.7.6.5")],
        default_routes: vec![DefaultRoute {
            interface: "eth0".to_owned(),
            gateway: Some("8.7.6.1".parse().unwrap()),
        }],
    })
}

impl Builder {
    /// In this world instead of one of its own.
    pub fn world(mut self, world: &World) -> Self {
        self.world = world.clone();
        self
    }

    /// With these settings of a TOML file.
    pub fn toml(mut self, text: &str) -> Self {
        self.raw = Raw::from_toml("settings.toml", text)
            .unwrap()
            .over(self.raw);
        self
    }

    pub fn settings(mut self, change: impl FnOnce(&mut Raw)) -> Self {
        change(&mut self.raw);
        self
    }

    /// A file of a directory of presets, below the proxy's own: `presets/NAME`.
    pub fn preset(mut self, name: &'static str, text: &'static str) -> Self {
        self.presets.push((name, text));
        self
    }

    /// Treats its clients as this `tinyproxy.conf` says.
    pub fn tinyproxy(mut self, conf: &str) -> Self {
        let (conf, _) = Conf::parse("tinyproxy.conf", conf).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path);
        let (manners, _) = Manners::from_tinyproxy(&conf, read).unwrap();
        self.conduct.clients = Clients::new(conf.clients.clone(), false);
        self.conduct.manners = Some(Box::new(manners));
        self.conduct.routes = Routes::from_tinyproxy(&conf.upstreams);
        self
    }

    /// Reads policy and conduct from a `tinyproxy.conf` with this text, which can be reloaded.
    pub fn conf(mut self, text: &str) -> Self {
        self.conf = Some(text.to_owned());
        self
    }

    pub async fn start(self) -> Proxy {
        let directory = tempfile::tempdir().unwrap();
        let whitelist = directory.path().join("project.txt");
        std::fs::write(&whitelist, &self.whitelist).unwrap();
        let socket = directory.path().join("proxy.sock");
        let presets = directory.path().join("presets");
        for (name, text) in &self.presets {
            std::fs::create_dir_all(&presets).unwrap();
            std::fs::write(presets.join(name), text).unwrap();
        }
        let ours = Raw {
            listen: vec![
                "127.0.0.1:0".to_owned(),
                format!("unix:{}", socket.display()),
            ],
            whitelist: vec![whitelist, directory.path().join("task.txt")],
            admin: Some("127.0.0.1:0".to_owned()),
            presets: (!self.presets.is_empty()).then_some(presets),
            ..Raw::default()
        };
        let mut settings = Settings::check(self.raw.over(ours)).unwrap();
        if self.conduct != Conduct::default() {
            let PolicySource::Whitelist { conduct, .. } = &mut settings.listeners[0].source else {
                panic!("the settings name a whitelist");
            };
            *conduct = Arc::new(self.conduct);
        }
        if let Some(text) = self.conf {
            let path = directory.path().join("tinyproxy.conf");
            std::fs::write(&path, text).unwrap();
            let file = TinyproxyFile::new(Some(path), None);
            settings.listeners[0].source = PolicySource::Tinyproxy(Box::new(file));
        }
        let written = Written::default();
        let seams = Seams {
            resolve: Arc::new(self.world.clone()),
            connect: Arc::new(self.world.clone()),
            sink: Box::new(written.clone()),
            inherited: Inherited::default(),
            look,
        };
        let app = Prepared::new(settings, seams).unwrap().bind().unwrap();
        let tcp = |address: &Address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        };
        let address = app
            .addresses()
            .iter()
            .find_map(|(_, address)| tcp(address))
            .unwrap();
        let admin = app.admin_addresses().iter().find_map(tcp).unwrap();
        let dns = app.dns_addresses();
        let dns = dns.iter().find_map(|(_, address)| tcp(address));
        let transparent = app.transparent_addresses().into_iter();
        let transparent = transparent.filter_map(|(kind, address)| Some((kind, tcp(&address)?)));
        let transparent = transparent.collect();
        let running = Some(app.spawn());
        Proxy {
            world: self.world,
            address,
            socket,
            admin,
            dns,
            transparent,
            running,
            written,
            directory,
        }
    }
}

impl Proxy {
    pub fn with(whitelist: &str) -> Builder {
        Builder {
            whitelist: whitelist.to_owned(),
            presets: Vec::new(),
            raw: Raw::default(),
            world: World::default(),
            conduct: Conduct::default(),
            conf: None,
        }
    }

    pub async fn start(whitelist: &str) -> Self {
        Self::with(whitelist).start().await
    }

    /// Where questions to the DNS are answered.
    pub fn dns(&self) -> SocketAddr {
        self.dns.unwrap()
    }

    /// The transparent door for TLS.
    pub fn transparent_tls(&self) -> SocketAddr {
        self.transparent(TransparentKind::Tls)
    }

    /// The transparent door for plain HTTP.
    pub fn transparent_http(&self) -> SocketAddr {
        self.transparent(TransparentKind::Http)
    }

    fn transparent(&self, kind: TransparentKind) -> SocketAddr {
        let mut doors = self.transparent.iter();
        doors.find(|(other, _)| *other == kind).unwrap().1
    }

    pub async fn client(&self) -> Client {
        Client::tcp(self.address).await
    }

    /// A client whose tunnel to `target` is open.
    pub async fn tunnel(&self, target: &str) -> Client {
        let mut client = self.client().await;
        let answer = client.connect(target).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        client
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a whitelist file as an editor does: beside it, then renamed over it.
    pub fn write(&self, name: &str, text: &str) {
        let beside = self.path(".beside");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, self.path(name)).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(Path::new(&self.path(name))).unwrap();
    }

    pub async fn reload(&self) {
        self.running.as_ref().unwrap().reload().await;
    }

    pub async fn drain(&mut self, grace: Duration) -> bool {
        within("the drain", self.running.take().unwrap().drain(grace)).await
    }

    /// The drain as a task, to look at what happens meanwhile.
    pub fn draining(&mut self, grace: Duration) -> tokio::task::JoinHandle<bool> {
        tokio::spawn(self.running.take().unwrap().drain(grace))
    }

    pub fn log(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }

    pub fn events(&self) -> Vec<Event> {
        self.log()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The `nth` decision, from 0.
    pub async fn decision(&self, nth: usize) -> Event {
        self.event("a decision", Moment::Decision, nth).await
    }

    /// The `nth` end, from 0.
    pub async fn closed(&self, nth: usize) -> Event {
        self.event("an end", Moment::Closed, nth).await
    }

    async fn event(&self, what: &str, moment: Moment, nth: usize) -> Event {
        let of = |event: &Event| event.event == moment;
        eventually(what, || self.events().into_iter().filter(of).nth(nth)).await
    }

    /// GET from the admin listener.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let mut client = Client::tcp(self.admin).await;
        let answer = client.get_from("admin", path).await;
        (answer.status, answer.text())
    }

    /// The value of one series, labels in the order of the exposition.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let (status, text) = self.admin("/metrics").await;
        assert_eq!(status, 200);
        let prefix = format!("agentnet_proxy_{series} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map(|value| value.parse().unwrap())
    }
}
