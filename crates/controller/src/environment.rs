//! What clients in a container are told of the proxy. A convenience only: the network is the fence.
//!
//! Both cases of every name: curl reads only lower-case `http_proxy` (httpoxy), others only the
//! upper-case one. No `ALL_PROXY`: clients take it for SOCKS, which we do not speak. pip, uv, npm,
//! cargo, Go and apt take the same variables; the rest has its own:
//!
//! - Node ignores all of them unless `NODE_USE_ENV_PROXY` is set, and Yarn has its own pair. Yarn 2
//!   stops at a `YARN_` variable that it does not know, so there is no `YARN_NO_PROXY`.
//! - A JVM reads system properties only. Maven's resolver 1.9 asks for them only when it is told to.
//! - SSH has no variable at all: it reads [`ssh_config`], a file. git has one for SSH, for an image
//!   whose `ssh` does not read that directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What every client goes to directly: itself.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// The same in the JVM's notation, as it has it when nobody sets the property.
const LOCAL_JVM: [&str; 3] = ["localhost", "127.*", "[::1]"];
/// Options that every JVM reads, and says so on standard error.
const JVM: &str = "JAVA_TOOL_OPTIONS";

/// Where [`ssh_config`] is in a container: OpenSSH as Debian, Fedora and Alpine have it reads all of
/// this directory.
pub const SSH_CONFIG: &str = "/etc/ssh/ssh_config.d/00-agentnet.conf";

/// What `ssh`, `scp` and `rsync` are told of the proxy. What the user's own `~/.ssh/config` says of a
/// host comes first (ssh_config(5)); services and the container itself are reached without the proxy.
#[must_use]
pub fn ssh_config(gate: &str) -> String {
    format!("Host *\n    ProxyCommand {gate} connect -- '%h' %p\n")
}

/// The variables for a proxy at this address and services of these names. `gate` is the path of the
/// gate in the container, `image` the variables that the image sets: its options for the JVM stay.
#[must_use]
pub fn client_wiring(
    proxy: SocketAddr,
    services: &[String],
    gate: &str,
    image: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let url = format!("http://{proxy}");
    let direct = joined(&LOCAL, services, ",");
    let mut env = BTreeMap::new();
    for (name, value) in [
        ("HTTP_PROXY", &url),
        ("HTTPS_PROXY", &url),
        ("NO_PROXY", &direct),
    ] {
        env.insert(name.to_owned(), value.clone());
        env.insert(name.to_ascii_lowercase(), value.clone());
    }
    let own = image.get(JVM).map(|own| format!(" {own}"));
    let jvm = format!(
        "{}{}",
        jvm_options(proxy, services),
        own.unwrap_or_default()
    );
    // The quotes: git has a shell take the words apart, ssh another one for its command (ssh_config(5)).
    let ssh = format!("ssh -o \"ProxyCommand={gate} connect -- '%h' %p\"");
    for (name, value) in [
        ("NODE_USE_ENV_PROXY", "1"),
        ("YARN_HTTP_PROXY", &url),
        ("YARN_HTTPS_PROXY", &url),
        (JVM, &jvm),
        ("GIT_SSH_COMMAND", &ssh),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    env
}

/// What a build is told of the proxy: arguments that every Dockerfile has without declaring them, and
/// that stay out of the image (docs.docker.com, "Predefined ARGs").
#[must_use]
pub fn build_wiring(proxy: SocketAddr) -> BTreeMap<String, String> {
    let mut args = client_wiring(proxy, &[], "", &BTreeMap::new());
    args.retain(|name, _| {
        ["http_proxy", "https_proxy", "no_proxy"].contains(&name.to_ascii_lowercase().as_str())
    });
    args
}

fn jvm_options(proxy: SocketAddr, services: &[String]) -> String {
    let mut options = Vec::new();
    for scheme in ["http", "https"] {
        options.push(format!("-D{scheme}.proxyHost={}", proxy.ip()));
        options.push(format!("-D{scheme}.proxyPort={}", proxy.port()));
    }
    // One property for both schemes.
    let direct = joined(&LOCAL_JVM, services, "|");
    options.push(format!("-Dhttp.nonProxyHosts={direct}"));
    options.push("-Daether.connector.http.useSystemProperties=true".to_owned());
    options.join(" ")
}

fn joined(local: &[&str], services: &[String], between: &str) -> String {
    let services = services.iter().map(String::as_str);
    let all: Vec<_> = local.iter().copied().chain(services).collect();
    all.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: &str = "/agentnet/bin/agentnet-gate";

    fn wiring(proxy: &str, image: &[(&str, &str)]) -> BTreeMap<String, String> {
        let image = image.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let services = ["db".to_owned(), "web".to_owned()];
        client_wiring(proxy.parse().unwrap(), &services, GATE, &image.collect())
    }

    #[test]
    fn every_client_is_told_of_the_proxy_and_of_what_is_direct() {
        let env = wiring("10.213.0.1:8888", &[("PATH", "/bin")]);
        let lines: Vec<_> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            lines,
            [
                "GIT_SSH_COMMAND=ssh -o \"ProxyCommand=/agentnet/bin/agentnet-gate connect -- '%h' %p\"",
                "HTTPS_PROXY=http://10.213.0.1:8888",
                "HTTP_PROXY=http://10.213.0.1:8888",
                "JAVA_TOOL_OPTIONS=-Dhttp.proxyHost=10.213.0.1 -Dhttp.proxyPort=8888 \
                 -Dhttps.proxyHost=10.213.0.1 -Dhttps.proxyPort=8888 \
                 -Dhttp.nonProxyHosts=localhost|127.*|[::1]|db|web \
                 -Daether.connector.http.useSystemProperties=true",
                "NODE_USE_ENV_PROXY=1",
                "NO_PROXY=localhost,127.0.0.1,::1,db,web",
                "YARN_HTTPS_PROXY=http://10.213.0.1:8888",
                "YARN_HTTP_PROXY=http://10.213.0.1:8888",
                "http_proxy=http://10.213.0.1:8888",
                "https_proxy=http://10.213.0.1:8888",
                "no_proxy=localhost,127.0.0.1,::1,db,web",
            ]
        );
    }

    #[test]
    fn a_build_is_told_only_what_every_dockerfile_has() {
        let args = build_wiring("127.128.0.1:8888".parse().unwrap());
        let names: Vec<_> = args.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "HTTPS_PROXY",
                "HTTP_PROXY",
                "NO_PROXY",
                "http_proxy",
                "https_proxy",
                "no_proxy"
            ]
        );
    }

    #[test]
    fn the_images_options_for_the_jvm_stay_and_come_last() {
        let env = wiring("10.213.0.1:8888", &[(JVM, "-Xmx1g -Dhttp.proxyPort=1")]);
        assert!(env[JVM].starts_with("-Dhttp.proxyHost=10.213.0.1 "));
        assert!(env[JVM].ends_with(" -Xmx1g -Dhttp.proxyPort=1"));
    }

    #[test]
    fn ssh_is_told_for_every_host_in_words_that_no_shell_takes_apart() {
        let config = ssh_config(GATE);
        assert_eq!(
            config,
            "Host *\n    ProxyCommand /agentnet/bin/agentnet-gate connect -- '%h' %p\n"
        );
    }

    #[test]
    fn a_v6_proxy_is_bracketed_in_addresses_and_bare_where_it_stands_alone() {
        let env = wiring("[fd00::1]:8888", &[]);
        assert_eq!(env["http_proxy"], "http://[fd00::1]:8888");
        assert!(env[JVM].contains("-Dhttps.proxyHost=fd00::1 "));
    }
}
