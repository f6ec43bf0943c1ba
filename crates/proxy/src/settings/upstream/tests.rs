use std::collections::BTreeMap;
use std::io::Write;

use agentnet_policy::Target;

use super::super::{Raw, Settings};
use crate::upstream::Routes;

fn routes_of(raw: Raw) -> Result<Vec<Routes>, Vec<String>> {
    match Settings::check(raw) {
        Ok(settings) => Ok(settings
            .listeners
            .into_iter()
            .map(|listener| listener.source.routes())
            .collect()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn toml(text: &str) -> Result<Vec<Routes>, Vec<String>> {
    routes_of(Raw::from_toml("f.toml", text).map_err(|problem| vec![problem.to_string()])?)
}

fn way(routes: &Routes, target: &str) -> String {
    routes.take(&Target::parse(target, None).unwrap()).1.words()
}

fn environment(variables: &[(&str, &str)]) -> Raw {
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Raw::from_environment(&variables).unwrap().0
}

#[test]
fn bare_urls_are_one_route_with_failover() {
    let routes = toml("upstream = [\"http://a:1\", \"socks5://b:2\"]\n").unwrap();
    assert_eq!(
        way(&routes[0], "x.example:443"),
        "through http://a:1, else socks5://b:2"
    );
    let raw = environment(&[("AGENTNET_UPSTREAM", "http://a:1,socks5h://b:2")]);
    let routes = routes_of(raw).unwrap();
    assert_eq!(
        way(&routes[0], "x.example:443"),
        "through http://a:1, else socks5h://b:2, which resolves names"
    );
}

#[test]
fn tables_are_routes_in_order_and_a_listener_can_have_its_own() {
    let routes = toml(
        "[[upstream]]\nto = [\"**.corp.example\", \"10.0.0.0/8\"]\nvia = \"none\"\n\
         [[upstream]]\nto = [\"*.onion.example:443\"]\nvia = [\"socks5://tor:9050\"]\nremote_dns = true\n\
         [[upstream]]\nvia = [\"http://squid:3128\", \"http://spare:3128\"]\n\
         [[listener]]\nname = \"a\"\nlisten = [\"127.0.0.1:0\"]\n\
         [[listener]]\nname = \"b\"\nlisten = [\"127.0.0.1:0\"]\nupstream = [\"http://other:1\"]\n\
         [[listener]]\nname = \"c\"\nlisten = [\"127.0.0.1:0\"]\nupstream = [\"none\"]\n",
    )
    .unwrap();
    assert_eq!(way(&routes[0], "git.corp.example:443"), "directly");
    assert_eq!(
        way(&routes[0], "a.onion.example:443"),
        "through socks5://tor:9050, which resolves names"
    );
    assert_eq!(
        way(&routes[0], "x.example:443"),
        "through http://squid:3128, else http://spare:3128"
    );
    assert_eq!(way(&routes[1], "x.example:443"), "through http://other:1");
    assert_eq!(way(&routes[2], "x.example:443"), "directly");
}

#[test]
fn the_names_of_compose_files_are_read_and_everything_of_ours_wins_over_them() {
    let both = [
        ("UPSTREAM_HTTP", "squid:3128"),
        ("UPSTREAM_SOCKS5", "tor:9050"),
        ("HTTP_PROXY", "http://evil:1"),
        ("ALL_PROXY", "http://evil:1"),
    ];
    let of = |raw: Raw| way(&routes_of(raw).unwrap()[0], "x.example:443");
    assert_eq!(
        of(environment(&both)),
        "through socks5://tor:9050, else http://squid:3128"
    );
    let url = [("UPSTREAM_SOCKS5", "socks5h://u:p@tor:9050")];
    assert_eq!(
        of(environment(&url)),
        "through socks5h://tor:9050, which resolves names"
    );
    assert_eq!(of(environment(&[("UPSTREAM_HTTP", "")])), "directly");
    assert_eq!(
        of(environment(&[("HTTP_PROXY", "http://evil:1")])),
        "directly"
    );
    let ours = [
        ("AGENTNET_UPSTREAM", "none"),
        ("UPSTREAM_HTTP", "squid:3128"),
    ];
    assert_eq!(of(environment(&ours)), "directly");
    let file = Raw::from_toml("f.toml", "upstream = [\"http://file:1\"]").unwrap();
    assert_eq!(
        of(environment(&both).over(file)),
        "through socks5://tor:9050, else http://squid:3128"
    );
    let wrong = routes_of(environment(&[(
        "UPSTREAM_SOCKS5",
        "http://u:hunter2@squid:3128",
    )]));
    let said = wrong.unwrap_err().join("\n");
    assert!(
        said.starts_with("UPSTREAM_SOCKS5: parent 1 is not a parent"),
        "{said}"
    );
    assert!(!said.contains("hunter2"));
}

#[test]
fn credentials_come_from_the_url_or_a_file_and_are_never_shown() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "me:hunter2").unwrap();
    let text = format!(
        "upstream_credentials_file = \"{}\"\nupstream = [\"http://a:1\", \"http://u:hunter2@b:1\"]\n",
        file.path().display()
    );
    let raw = Raw::from_toml("f.toml", &text).unwrap();
    assert!(!format!("{raw:?}").contains("hunter2"), "{raw:?}");
    let routes = routes_of(raw).unwrap();
    assert!(
        routes[0]
            .parents()
            .all(crate::upstream::Parent::has_credentials)
    );
    assert!(!format!("{routes:?}").contains("hunter2"), "{routes:?}");
    for bad in ["no colon hunter2", "a:hunter2\nb:c", ""] {
        std::fs::write(file.path(), bad).unwrap();
        let said = toml(&text).unwrap_err().join("\n");
        assert!(
            said.contains("user:password") && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn says_the_line_and_what_to_write() {
    for (text, said) in [
        (
            "mode = \"enforce\"\n\n[[upstream]]\nvia = [\"tor:9050\"]\n",
            "f.toml:3: `tor:9050` is not a parent: write http://, https://, socks5:// or socks5h:// before HOST:PORT",
        ),
        (
            "[[upstream]]\nto = [\"x.example\"]\n",
            "f.toml:1: has no `via`: write via = [\"socks5://HOST:PORT\"], or via = \"none\"",
        ),
        (
            "upstream = [\n  \"http://a:1\",\n  \"ftp://u:hunter2@b:1\",\n]\n",
            "f.toml:3: parent 2 is not a parent: write http://, https://, socks5:// or socks5h:// before HOST:PORT",
        ),
        (
            "[[upstream]]\nto = [\".x.example\"]\nvia = \"none\"\n",
            "f.toml:1: `.x.example` begins with a dot; the name and everything below it is written `**.`; write: **.x.example",
        ),
        (
            "[[upstream]]\nvia = \"none\"\n[[upstream]]\nto = [\"x.example\"]\nvia = \"none\"\n",
            "f.toml:3: can never be taken, because a route before it has no `to` and takes everything: write that one last",
        ),
        (
            "[[upstream]]\nvia = [\"none\", \"http://a:1\"]\n",
            "f.toml:1: `none` stands beside parents: nothing that has parents is ever dialled directly, so write the one or the other",
        ),
        (
            "[[upstream]]\nvia = \"socks5h://a:1\"\nremote_dns = false\n",
            "f.toml:1: socks5h:// is remote DNS and remote_dns = false is not: write socks5://",
        ),
    ] {
        assert_eq!(toml(text), Err(vec![said.to_owned()]), "{text}");
    }
    let unknown = toml("[[upstream]]\nvia = \"none\"\npassword = \"hunter2\"\n").unwrap_err();
    assert!(
        unknown[0].starts_with("f.toml:3: `password` is no key here; the keys are to, via"),
        "{unknown:?}"
    );
    let kind = toml("[[upstream]]\nvia = 5\n").unwrap_err();
    assert!(
        kind[0].contains("a list of parents as URLs, or \"none\""),
        "{kind:?}"
    );
    let ca =
        toml("upstream_ca_file = \"/nowhere.pem\"\nupstream = [\"https://a:1\"]\n").unwrap_err();
    assert!(ca[0].contains("/nowhere.pem cannot be read"), "{ca:?}");
}
