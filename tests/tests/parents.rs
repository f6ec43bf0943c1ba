//! The proxy behind real parents: Squid, Tinyproxy and a SOCKS5 server from packages, with credentials, going down and
//! coming back in the middle.
//!
//! Each test runs in a network namespace of its own, where 10.9.0.0/16 leads back to the machine without being one of
//! its addresses: what the proxy may be sent to is never its own address nor loopback, and nothing leaves the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agentnet_e2e::command::run_with;
use agentnet_e2e::daemon::{Daemon, free_port};
use agentnet_e2e::recorder::Recorder;
use agentnet_e2e::wire::{Answer, Wire};
use agentnet_e2e::{bed, peers};
use fs_err as fs;
use tempfile::TempDir;

/// Set in a process that is in its namespace already.
const INSIDE: &str = "AGENTNET_TEST_INSIDE";

/// Squid asks it for every name and password, a line each. Squid's own helper would be run as another user, who can not
/// enter every checkout.
const LOGIN: &str =
    "while read -r login; do [ \"$login\" = 'me hunter2' ] && echo OK || echo ERR; done\n";

/// Runs `test` in a namespace of its own: this program again, with that one test.
fn inside(name: &str, needed: &[&'static str], test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    for peer in needed {
        if let Err(reason) = peers::peer(peer) {
            return bed::skip(&reason);
        }
    }
    bed::proxy();
    // A Squid that is killed leaves shared memory behind, which the next one of another user trips over.
    let ready = "mount -t tmpfs tmpfs /dev/shm && ip link set lo up && ip route add local 10.9.0.0/16 dev lo";
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    let script = if root {
        command.args(["--net", "--mount"]);
        format!("{ready} && exec \"$@\"")
    } else {
        // Root of the namespace for its routes, and then oneself again: Squid is not to think that it is root.
        command.args(["--user", "--map-root-user", "--net", "--mount"]);
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let (user, group) = (user.as_raw(), group.as_raw());
        format!("{ready} && exec unshare --user --map-user={user} --map-group={group} -- \"$@\"")
    };
    let mut probe = Command::new("unshare");
    probe.args(command.get_args()).args(["sh", "-c", ready]);
    let probed = run_with(&mut probe, "", Duration::from_secs(20));
    if !probed.ok() {
        return bed::skip(&format!("no network namespace: {}", probed.stderr.trim()));
    }
    let program = std::env::current_exe().unwrap();
    command.args(["sh", "-c", &script, "sh"]).arg(program);
    command
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1");
    let outcome = run_with(&mut command, "", Duration::from_secs(300));
    assert!(outcome.ok(), "{outcome}");
    assert!(outcome.stdout.contains("1 passed"), "{outcome}");
}

/// An origin that is at no address of the machine.
fn origin() -> Recorder {
    Recorder::at(SocketAddr::from((Ipv4Addr::new(10, 9, 0, 1), 0)))
}

/// A directory that a daemon of another user can use.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
    directory
}

fn start(command: &mut Command, address: SocketAddr, directory: &Path, name: &str) -> Daemon {
    Daemon::start(command, address, &directory.join(name))
        .unwrap_or_else(|ended| panic!("{name} does not start ({}): {}", ended.status, ended.said))
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

fn socks(address: SocketAddr, directory: &Path) -> Daemon {
    let mut command = Command::new(peers::peer("microsocks").unwrap().join("bin/microsocks"));
    let port = address.port().to_string();
    command.args(["-i", "127.0.0.1", "-p", &port, "-u", "me", "-P", "hunter2"]);
    start(&mut command, address, directory, "microsocks")
}

/// A Squid that wants credentials and permits CONNECT to `tunnels` only, as it does to 443 when it is installed.
fn squid(address: SocketAddr, directory: &Path, tunnels: u16) -> Daemon {
    let root = peers::peer("squid").unwrap();
    fs::write(directory.join("login"), LOGIN).unwrap();
    fs::write(directory.join("hosts"), "10.9.0.1 origin.test\n").unwrap();
    let mut conf = String::new();
    let [root_at, at] = [&root, &PathBuf::from(directory)].map(|path| path.display().to_string());
    writeln!(
        conf,
        "http_port {address}\n\
         auth_param basic program /bin/sh {at}/login\n\
         auth_param basic children 1\nacl SSL_ports port {tunnels}\nacl CONNECT method CONNECT\n\
         acl known proxy_auth REQUIRED\nhttp_access deny CONNECT !SSL_ports\nhttp_access allow known\n\
         http_access deny all\nhosts_file {at}/hosts\ncache deny all\npid_filename {at}/pid\naccess_log none\n\
         cache_log {at}/cache.log\ncache_store_log none\nnetdb_filename none\ncoredump_dir {at}\npinger_enable off\n\
         dns_nameservers 127.0.0.1\nshutdown_lifetime 0 seconds\nvisible_hostname squid.test\n\
         error_directory {root_at}/usr/share/squid-langpack/English\nicon_directory {root_at}/usr/share/squid/icons\n\
         mime_table {root_at}/usr/share/squid/mime.conf\nunlinkd_program {root_at}/usr/lib/squid/unlinkd\n\
         logfile_daemon {root_at}/usr/lib/squid/log_file_daemon"
    )
    .unwrap();
    fs::write(directory.join("squid.conf"), conf).unwrap();
    let mut command = Command::new(root.join("bin/squid"));
    command
        .arg("-N")
        .arg("-f")
        .arg(directory.join("squid.conf"));
    start(&mut command, address, directory, "squid")
}

fn tinyproxy(address: SocketAddr, directory: &Path) -> Daemon {
    let conf = directory.join("tinyproxy.conf");
    let (ip, port) = (address.ip(), address.port());
    let text =
        format!("Port {port}\nListen {ip}\nTimeout 60\nBasicAuth me hunter2\nAllow 127.0.0.1\n");
    fs::write(&conf, text).unwrap();
    let mut command = Command::new(peers::peer("tinyproxy").unwrap().join("bin/tinyproxy"));
    command.arg("-d").arg("-c").arg(&conf);
    start(&mut command, address, directory, "tinyproxy")
}

/// The proxy of this checkout, with these settings.
struct Proxy {
    daemon: Daemon,
}

impl Proxy {
    fn start(directory: &Path, origin: SocketAddr, arguments: &[&str]) -> Self {
        Self::start_in(directory, origin, arguments, &[])
    }

    /// With these variables as well.
    fn start_in(
        directory: &Path,
        origin: SocketAddr,
        arguments: &[&str],
        variables: &[(&str, String)],
    ) -> Self {
        let list = directory.join("list.txt");
        let port = origin.port();
        fs::write(&list, format!("{origin} raw\norigin.test:{port} raw\n")).unwrap();
        let address = loopback();
        let mut command = Command::new(bed::proxy());
        command.args([
            "--listen",
            &address.to_string(),
            "--admin",
            "off",
            "--whitelist",
        ]);
        command.arg(list).args(arguments);
        // The names of the environment that are no settings of ours lead nowhere.
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "https_proxy"] {
            command.env(name, "http://127.0.0.1:1");
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let daemon = start(&mut command, address, directory, "proxy");
        Self { daemon }
    }

    /// A page by a request inside a tunnel; or the refusal of the tunnel.
    fn tunnelled(&self, target: &str) -> Answer {
        let mut wire = Wire::to(self.daemon.address);
        wire.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes());
        let answer = wire.answer("CONNECT");
        if answer.status != 200 {
            return answer;
        }
        wire.send(format!("GET /in HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes());
        wire.answer("GET")
    }

    fn plain(&self, target: &str) -> Answer {
        let mut wire = Wire::to(self.daemon.address);
        wire.send(
            format!("GET http://{target}/plain HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes(),
        );
        wire.answer("GET")
    }
}

#[track_caller]
fn served(answer: &Answer, origin: &Recorder) {
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "hello"),
        "{answer:?}"
    );
    let seen = origin.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let leaked = |(name, _): &(String, String)| name.eq_ignore_ascii_case("proxy-authorization");
    assert!(
        !seen.iter().any(|seen| seen.fields.iter().any(leaked)),
        "{seen:?}"
    );
}

#[track_caller]
fn refused(answer: &Answer, says: &str, origin: &Recorder) {
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(answer.field("x-agentnet-reason"), Some("upstream_failed"));
    assert!(answer.body.contains(says), "{answer:?}");
    assert!(!answer.body.contains("hunter"), "{answer:?}");
    assert!(origin.take().is_empty(), "reached without the parent");
}

/// A tunnel, a plain request, the parent goes and comes back, and then both again.
fn comes_and_goes(scheme: &str, start: impl Fn(SocketAddr, &Path, u16) -> Daemon) {
    let (directory, origin) = (directory(), origin());
    let target = origin.address.to_string();
    let at = loopback();
    let mut parent = start(at, directory.path(), origin.address.port());
    let url = format!("{scheme}://me:hunter2@{at}");
    let proxy = Proxy::start(directory.path(), origin.address, &["--upstream", &url]);
    served(&proxy.tunnelled(&target), &origin);
    served(&proxy.plain(&target), &origin);
    let mut open = Wire::to(proxy.daemon.address);
    open.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes());
    assert_eq!(open.answer("CONNECT").status, 200);
    // At once, as a parent that breaks goes.
    parent.signal(rustix::process::Signal::KILL);
    parent.end();
    assert_ne!(open.rest().1, "silence", "the tunnel has ended as well");
    let named = format!("{scheme}://{at} cannot be reached");
    refused(&proxy.tunnelled(&target), &named, &origin);
    refused(&proxy.plain(&target), &named, &origin);
    let _back = start(at, directory.path(), origin.address.port());
    served(&proxy.tunnelled(&target), &origin);
    served(&proxy.plain(&target), &origin);
    // Its credentials are in nothing that it said.
    assert!(!proxy.daemon.said().contains("hunter2"));
    for wrong in [
        format!("{scheme}://me:hunter3@{at}"),
        format!("{scheme}://{at}"),
    ] {
        let proxy = Proxy::start(directory.path(), origin.address, &["--upstream", &wrong]);
        refused(&proxy.tunnelled(&target), "credentials", &origin);
    }
}

#[test]
fn a_socks5_server_comes_and_goes() {
    inside("a_socks5_server_comes_and_goes", &["microsocks"], || {
        comes_and_goes("socks5", |at, directory, _| socks(at, directory));
    });
}

#[test]
fn a_squid_comes_and_goes() {
    inside("a_squid_comes_and_goes", &["squid"], || {
        comes_and_goes("http", squid);
    });
}

#[test]
fn a_tinyproxy_comes_and_goes() {
    inside("a_tinyproxy_comes_and_goes", &["tinyproxy"], || {
        comes_and_goes("http", |at, directory, _| tinyproxy(at, directory));
    });
}

#[test]
fn a_squid_that_tunnels_to_443_only_takes_plain_requests_where_it_resolves() {
    let name = "a_squid_that_tunnels_to_443_only_takes_plain_requests_where_it_resolves";
    inside(name, &["squid"], || {
        let (directory, origin) = (directory(), origin());
        let at = loopback();
        let _squid = squid(at, directory.path(), 443);
        let credentials = directory.path().join("credentials");
        fs::write(&credentials, "me:hunter2\n").unwrap();
        let url = format!("http://{at}");
        let file = credentials.to_string_lossy();
        let mut arguments = vec!["--upstream", &url, "--upstream-credentials-file", &file];
        arguments.push("--upstream-remote-dns=true");
        let proxy = Proxy::start(directory.path(), origin.address, &arguments);
        let target = format!("origin.test:{}", origin.address.port());
        served(&proxy.plain(&target), &origin);
        let answer = proxy.tunnelled(&target);
        refused(&answer, "answered 403 Forbidden", &origin);
    });
}

#[test]
fn a_squid_that_is_gone_is_replaced_by_a_socks5_server_until_it_is_back() {
    let name = "a_squid_that_is_gone_is_replaced_by_a_socks5_server_until_it_is_back";
    inside(name, &["squid", "microsocks"], || {
        let (directory, origin) = (directory(), origin());
        let target = origin.address.to_string();
        let (first, second) = (loopback(), loopback());
        let mut squid_there = squid(first, directory.path(), origin.address.port());
        let _socks = socks(second, directory.path());
        let urls = [
            format!("http://me:hunter2@{first}"),
            format!("socks5://me:hunter2@{second}"),
        ];
        let proxy = Proxy::start(
            directory.path(),
            origin.address,
            &["--upstream", &urls[0], "--upstream", &urls[1]],
        );
        let through = |label: &str| {
            let events = proxy.daemon.said();
            events.matches(&format!("\"route\":\"{label}\"")).count()
        };
        served(&proxy.tunnelled(&target), &origin);
        squid_there.signal(rustix::process::Signal::KILL);
        squid_there.end();
        for _ in 0..5 {
            served(&proxy.tunnelled(&target), &origin);
        }
        let _back = squid(first, directory.path(), origin.address.port());
        // It is tried again by itself, after a while.
        let before = through(&format!("http://{first}"));
        agentnet_e2e::wait::until("Squid to be used again", Duration::from_secs(30), || {
            served(&proxy.tunnelled(&target), &origin);
            (through(&format!("http://{first}")) > before).then_some(())
        });
        assert!(through(&format!("socks5://{second}")) >= 5);
        assert_eq!(through("direct"), 0);
    });
}

#[test]
fn the_variables_of_compose_files_name_a_socks5_server_and_its_replacement() {
    let name = "the_variables_of_compose_files_name_a_socks5_server_and_its_replacement";
    inside(name, &["squid", "microsocks"], || {
        let (directory, origin) = (directory(), origin());
        let target = origin.address.to_string();
        let (first, second) = (loopback(), loopback());
        let mut socks_there = socks(first, directory.path());
        let _squid = squid(second, directory.path(), origin.address.port());
        let variables = [
            ("UPSTREAM_SOCKS5", format!("me:hunter2@{first}")),
            ("UPSTREAM_HTTP", format!("http://me:hunter2@{second}")),
        ];
        let proxy = Proxy::start_in(directory.path(), origin.address, &[], &variables);
        served(&proxy.tunnelled(&target), &origin);
        socks_there.end();
        served(&proxy.tunnelled(&target), &origin);
        // Events are written after the answers.
        for label in [format!("socks5://{first}"), format!("http://{second}")] {
            agentnet_e2e::wait::until(&label, Duration::from_secs(5), || {
                let route = format!("\"route\":\"{label}\"");
                proxy.daemon.said().contains(&route).then_some(())
            });
        }
    });
}
