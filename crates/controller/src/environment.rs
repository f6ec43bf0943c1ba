//! The proxy variables a container gets. A convenience only: the network is the fence.
//!
//! Both cases of every name: curl reads only lower-case `http_proxy` (httpoxy), others only the
//! upper-case one. No `ALL_PROXY`: clients take it for SOCKS, which we do not speak. Node ignores
//! all of them unless `NODE_USE_ENV_PROXY` is set.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What every client goes to directly: itself.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The variables for a proxy at this address and services of these names.
#[must_use]
pub fn proxy_variables(proxy: SocketAddr, services: &[String]) -> BTreeMap<String, String> {
    let url = format!("http://{proxy}");
    let direct = LOCAL
        .iter()
        .copied()
        .chain(services.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(",");
    let mut env = BTreeMap::from([("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned())]);
    for (name, value) in [
        ("HTTP_PROXY", &url),
        ("HTTPS_PROXY", &url),
        ("NO_PROXY", &direct),
    ] {
        env.insert(name.to_owned(), value.clone());
        env.insert(name.to_ascii_lowercase(), value.clone());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_both_cases_to_one_value_and_names_the_services() {
        let env = proxy_variables(
            "10.213.0.1:8888".parse().unwrap(),
            &["db".into(), "web".into()],
        );
        let lines: Vec<_> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            lines,
            [
                "HTTPS_PROXY=http://10.213.0.1:8888",
                "HTTP_PROXY=http://10.213.0.1:8888",
                "NODE_USE_ENV_PROXY=1",
                "NO_PROXY=localhost,127.0.0.1,::1,db,web",
                "http_proxy=http://10.213.0.1:8888",
                "https_proxy=http://10.213.0.1:8888",
                "no_proxy=localhost,127.0.0.1,::1,db,web",
            ]
        );
    }

    #[test]
    fn a_v6_proxy_is_bracketed() {
        let env = proxy_variables("[fd00::1]:8888".parse().unwrap(), &[]);
        assert_eq!(env["http_proxy"], "http://[fd00::1]:8888");
    }
}
