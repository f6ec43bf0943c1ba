use super::*;
use std::collections::HashMap;

fn conf(text: &str) -> Conf {
    let (conf, _) = Conf::parse("tinyproxy.conf", text).unwrap();
    conf
}

/// With pages by their paths.
fn manners(text: &str, pages: &[(&str, &str)]) -> Result<(Manners, Vec<Problem>), Vec<Problem>> {
    let pages: HashMap<&Path, &str> = pages
        .iter()
        .map(|(path, text)| (Path::new(*path), *text))
        .collect();
    Manners::from_tinyproxy(&conf(text), |path| match pages.get(path) {
        Some(text) => Ok((*text).to_owned()),
        None => Err(io::ErrorKind::NotFound.into()),
    })
}

fn parts(head: &str) -> Parts {
    let mut lines = head.lines();
    let mut line = lines.next().unwrap().split(' ');
    let mut request = http::Request::builder()
        .method(line.next().unwrap())
        .uri(line.next().unwrap());
    for field in lines {
        let (name, value) = field.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn an_empty_configuration_asks_nobody_and_shows_the_statistics() {
    let (found, warnings) = manners("", &[]).unwrap();
    assert!(warnings.is_empty());
    assert!(found.credentials.is_none() && found.fields.is_empty());
    assert!(found.knows(&HeaderMap::new()));
    for head in [
        "GET http://tinyproxy.stats/",
        "GET http://TINYPROXY.stats:8888/x?y",
        "GET /\nHost: tinyproxy.stats",
        "GET /\nHost: tinyproxy.stats:8888",
    ] {
        assert!(found.is_for_statistics(&parts(head)), "{head}");
    }
    for head in [
        "GET http://tinyproxy.stats.example/",
        "GET http://example.com/\nHost: tinyproxy.stats",
        "CONNECT tinyproxy.stats:80",
        "GET /\nHost: tinyproxy.stats\nHost: tinyproxy.stats",
        "GET /",
    ] {
        assert!(!found.is_for_statistics(&parts(head)), "{head}");
    }
}

#[test]
fn reads_every_directive_of_its_kind() {
    let text = "BasicAuth alice secret\nBasicAuth bob pass\nViaProxyName \"box\"\n\
                AddHeader \"X-A\" \"1\"\nAnonymous \"Cookie\"\nXTinyproxy Yes\n\
                StatHost \"10.9.8.7\"\nStatFile \"/s\"\nErrorFile 403 \"/e\"\nDefaultErrorFile \"/d\"\n";
    let pages = [("/s", "{opens}"), ("/e", "{cause}"), ("/d", "x")];
    let (found, warnings) = manners(text, &pages).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(!found.knows(&HeaderMap::new()));
    let mut headers = HeaderMap::new();
    // alice:secret
    headers.insert("authorization", "Basic YWxpY2U6c2VjcmV0".parse().unwrap());
    assert!(found.knows_reader(&headers), "as a web server");
    assert!(!found.knows(&headers), "not as a proxy");
    assert_eq!(found.fields.via("p").unwrap(), "1.1 box (p)");
    assert!(found.is_for_statistics(&parts("GET http://10.9.8.7/")));
    assert!(found.pages.has_errors());
    let conf = conf(text);
    let paths: Vec<&Path> = Manners::files(&conf).collect();
    assert_eq!(paths, [Path::new("/e"), Path::new("/d"), Path::new("/s")]);
}

#[test]
fn warns_of_a_page_that_is_not_there_and_refuses_one_that_is_no_page() {
    let text = "\nDefaultErrorFile \"/usr/share/tinyproxy/default.html\"\n";
    let (found, warnings) = manners(text, &[]).unwrap();
    assert!(!found.pages.has_errors());
    let said = warnings[0].to_string();
    let begin = "tinyproxy.conf:2: warning: /usr/share/tinyproxy/default.html cannot be read";
    assert!(said.starts_with(begin), "{said}");
    let large = "x".repeat(template::MAX_BYTES + 1);
    let wrong = manners("StatFile \"/s\"\n", &[("/s", &large)]).unwrap_err();
    assert!(
        wrong[0]
            .to_string()
            .starts_with("tinyproxy.conf:1: /s is larger"),
        "{}",
        wrong[0]
    );
}

#[test]
fn says_on_which_line_a_field_cannot_be_added() {
    let text =
        "Port 8888\nAddHeader \"Host\" \"evil.example\"\nAddHeader \"Content-Length\" \"7\"\n";
    let wrong = manners(text, &[]).unwrap_err();
    let lines: Vec<u32> = wrong.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3], "{wrong:?}");
}

#[test]
fn the_documentation_has_every_reason_with_tinyproxys_words() {
    let document = include_str!("../../../../docs/proxy.md");
    let table = document
        .split("| reason | Tinyproxy's status and words |")
        .nth(1)
        .unwrap();
    let rows: Vec<&str> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let inside_a_tunnel = [
        Reason::SniMismatch,
        Reason::SniMissing,
        Reason::EchRefused,
        Reason::NotTls,
        Reason::PolicyChanged,
    ];
    for reason in Reason::ALL {
        let unseen = [Reason::Allowed, Reason::TooManyConnections].contains(reason);
        if unseen || inside_a_tunnel.contains(reason) {
            continue;
        }
        let cause = Cause::of(*reason);
        let words = format!("{} {}", cause.status, cause.title);
        let word = format!("`{reason}`");
        let said = |row: &&&str| row.contains(&word) && row.contains(&words);
        assert!(rows.iter().any(|row| said(&row)), "{reason}: {words}");
    }
    let parent = Cause::PARENT;
    let words = format!("| {} {} |", parent.status, parent.title);
    assert!(rows.iter().any(|row| row.ends_with(&words)), "{words}");
}
