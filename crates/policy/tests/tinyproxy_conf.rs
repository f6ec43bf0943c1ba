//! `tinyproxy.conf`: what is read, what is refused, and in which words.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something else has failed"
)]

use std::time::Duration;

use agentnet_policy::tinyproxy::{Conf, Directive, FilterType, LogLevel, Parent, Scheme, Site};
use agentnet_policy::{Host, Problem, Severity};
use proptest::prelude::*;

fn good(text: &str) -> (Conf, Vec<String>) {
    let (conf, warnings) = Conf::parse("t.conf", text).unwrap();
    assert!(warnings.iter().all(|w| w.severity == Severity::Warning));
    (conf, warnings.iter().map(Problem::to_string).collect())
}

fn bad(text: &str) -> Vec<String> {
    let problems = Conf::parse("t.conf", text).unwrap_err();
    let errors = problems.iter().filter(|p| p.severity == Severity::Error);
    errors.map(Problem::to_string).collect()
}

/// Every directive that is taken, as the manual writes it.
const WHOLE: &str = r#"# a comment
User nobody
Group nogroup
Port 8123
Listen 127.0.0.1
listen ::1
Bind 192.0.2.1
BindSame yes
TIMEOUT 30
ErrorFile 404 "/e/404.html"
ErrorFile 407 "/e/407.html"
DefaultErrorFile "/e/default.html"
StatHost "Tinyproxy.Stats"
StatFile "/e/stats.html"
LogFile "/dev/stdout"
Syslog Off
LogLevel connect
PidFile "/run/tinyproxy.pid"
XTinyproxy Yes
Upstream http parent.example:3128
Upstream socks5 me:pa:ss@[2001:db8::1]:1080 ".corp.example"
upstream socks4 192.0.2.9:1080 "10.0.0.0/255.0.0.0"
Upstream none "."
Upstream none "192.168.0.0/16"
Upstream http 0.0.0.0:0 ".ads.example"
MaxClients 7
MaxSpareServers 20
MinSpareServers 5
StartServers 10
MaxRequestsPerChild 0
Allow 127.0.0.1
Deny 10.0.0.0/8
Allow .example.com
BasicAuth me hunter2
BasicAuthRealm "the realm"
AddHeader "X-My-Header" "Powered by Tinyproxy"
ViaProxyName "a name"
DisableViaHeader no
Filter "/etc/tinyproxy/filter"
FilterType ere
FilterURLs On
FilterCaseSensitive On
FilterDefaultDeny Yes
Anonymous "Host"
Anonymous "Cookie"
ConnectPort 443
ConnectPort 563
"#;

#[test]
fn every_directive_of_the_manual_is_read() {
    let (conf, warnings) = good(WHOLE);
    assert_eq!((conf.port, conf.max_clients), (8123, 7));
    let listen: Vec<String> = conf.listen.iter().map(|l| l.value.to_string()).collect();
    assert_eq!(listen, ["127.0.0.1", "::1"]);
    assert_eq!(conf.listen[1].line, 6);
    assert_eq!(conf.timeout, Duration::from_secs(30));
    assert!(conf.bind_same && conf.x_tinyproxy && !conf.syslog && !conf.disable_via_header);
    assert_eq!(conf.bind[0].value.to_string(), "192.0.2.1");
    assert_eq!(conf.error_files[1].status, 407);
    assert_eq!(conf.error_files[1].line, 11);
    assert_eq!(
        conf.default_error_file.unwrap().value.to_str(),
        Some("/e/default.html")
    );
    assert_eq!(conf.stat_host, "tinyproxy.stats");
    assert_eq!(
        conf.stat_file.unwrap().value.to_str(),
        Some("/e/stats.html")
    );
    assert_eq!(conf.log_file.unwrap().value.to_str(), Some("/dev/stdout"));
    assert_eq!(conf.log_level, LogLevel::Connect);
    assert_eq!(conf.pid_file.unwrap().line, 18);
    assert_eq!(conf.user.unwrap().value, "nobody");
    assert_eq!(conf.group.unwrap().line, 3);
    assert_eq!(conf.clients.rules().len(), 3);
    assert!(conf.clients.permits("127.0.0.1".parse().unwrap(), &[]));
    assert!(
        !conf
            .clients
            .permits("10.0.0.1".parse().unwrap(), &["a.example.com"])
    );
    assert_eq!(conf.basic_auth[0].value.user, "me");
    assert_eq!(conf.basic_auth[0].value.password.expose(), "hunter2");
    assert_eq!(conf.basic_auth_realm.as_deref(), Some("the realm"));
    assert_eq!(conf.add_headers[0].name, "X-My-Header");
    assert_eq!(conf.add_headers[0].value, "Powered by Tinyproxy");
    assert_eq!(conf.via_proxy_name.as_deref(), Some("a name"));
    assert_eq!(
        conf.filter.unwrap().value.to_str(),
        Some("/etc/tinyproxy/filter")
    );
    assert_eq!(conf.filter_type, FilterType::Ere);
    assert!(conf.filter_urls && conf.filter_case_sensitive && conf.filter_default_deny);
    let anonymous: Vec<&str> = conf.anonymous.iter().map(|a| a.value.as_str()).collect();
    assert_eq!(anonymous, ["Host", "Cookie"]);
    let ports: Vec<u16> = conf.connect_ports.iter().map(|p| p.value).collect();
    assert_eq!(ports, [443, 563]);
    // One each for the six that are not used, and no other.
    assert_eq!(warnings.len(), 6, "{warnings:#?}");
    assert!(warnings[0].starts_with("t.conf:2: warning: \"User\" is not used"));
}

#[test]
fn an_empty_file_has_the_defaults_of_tinyproxy() {
    let (conf, warnings) = good("");
    assert_eq!((conf.port, conf.max_clients), (8888, 100));
    assert_eq!(conf.timeout, Duration::from_secs(600));
    assert!(conf.clients.is_empty() && conf.connect_ports.is_empty() && conf.filter.is_none());
    assert_eq!(conf.log_level, LogLevel::Info);
    assert_eq!(
        warnings,
        ["t.conf: warning: there is no Port line; 8888 counts; write: Port 8888"]
    );
}

#[test]
fn upstreams_keep_their_order_kind_and_site() {
    let (conf, _) = good(WHOLE);
    let sites: Vec<&Site> = conf.upstreams.iter().map(|u| &u.site).collect();
    let host = |text: &str| Host::parse(text).unwrap();
    assert_eq!(sites[0], &Site::All);
    assert!(sites[1].fits(&host("a.b.corp.example")) && !sites[1].fits(&host("corp.example")));
    assert!(!sites[1].fits(&host("xcorp.example")));
    assert!(sites[2].fits(&host("10.9.9.9")) && !sites[2].fits(&host("11.9.9.9")));
    assert!(sites[3].fits(&host("intranet")) && !sites[3].fits(&host("a.example")));
    assert!(!sites[4].fits(&host("a.example")) && sites[4].fits(&host("192.168.7.7")));
    assert_eq!(conf.upstreams[4].parent, Parent::Direct);
    assert_eq!(conf.upstreams[5].parent, Parent::NullRoute);
    let Parent::Proxy {
        scheme,
        host,
        port,
        credentials,
    } = &conf.upstreams[1].parent
    else {
        panic!("{:?}", conf.upstreams[1]);
    };
    assert_eq!(
        (*scheme, host.to_string().as_str(), *port),
        (Scheme::Socks5, "2001:db8::1", 1080)
    );
    let credentials = credentials.as_ref().unwrap();
    assert_eq!(
        (credentials.user.as_str(), credentials.password.expose()),
        ("me", "pa:ss")
    );
}

#[test]
fn the_first_default_upstream_counts_as_in_tinyproxy() {
    let (conf, warnings) = good("Port 1\nUpstream http a:1\nUpstream http b:2\n");
    assert_eq!(conf.upstreams.len(), 1);
    assert!(warnings[0].contains("on line 2 already"), "{warnings:?}");
}

/// A line, and what must stand in its error. The packaged program (1.11.1) refuses all of these
/// too, but for those marked.
const BAD: &[(&str, &str)] = &[
    ("Foo 1", "\"Foo\" is no directive of Tinyproxy"),
    ("FilterUrl On", "write: FilterURLs On"),
    ("Port", "Port has no value; write: Port 8888"),
    ("Port 70000", "\"70000\" is larger than 65535"),
    ("Port 8123x", "is not a number"),
    ("Port -1", "is not a number"),
    (
        "Port 8888 # x",
        "\"# x\" stands behind a value: a comment has a line of its own",
    ),
    ("Port 010", "octal; write: Port 10"), // Tinyproxy: 8
    ("Listen localhost", "is not an address"),
    ("Bind 999.1.1.1", "is not an address"), // Tinyproxy: fails at each request
    ("Timeout -1", "is not a number"),
    ("Timeout 99999999999", "is larger than"), // Tinyproxy: wraps
    ("MaxClients 0", "lets no client in"),     // Tinyproxy: lets no client in
    ("Allow 300.1.1.1", "is no client"),       // Tinyproxy: a host of that name
    ("Allow 10.0.0.0/40", "up to 32"),         // Tinyproxy: warns and goes on without the line
    ("Allow 10.0.0.1/255.0.0.0", "up to 32"),
    ("Allow fe80::1/x", "up to 32"),
    ("Allow .", "is no client"),                // Tinyproxy: fits nobody
    ("ConnectPort 99999", "larger than 65535"), // Tinyproxy: never matches
    (
        "Filter foo",
        "\"foo\" is not in quotes; write: Filter \"foo\"",
    ),
    ("Filter \"foo", "has no closing"),
    ("Filter \"foo\"x", "is followed by more"),
    ("FilterType glob", "the types are bre, ere and fnmatch"),
    (
        "FilterURLs maybe",
        "neither yes or on nor no or off; write: FilterURLs Yes",
    ),
    (
        "LogLevel \"Info\"",
        "in quotes, which do not belong here; write: LogLevel Info",
    ),
    ("LogLevel Warn", "write: LogLevel"),
    ("Syslog maybe", "neither yes"),
    ("StatHost \"\"", "is empty"),
    ("ErrorFile 404 x", "is not in quotes"),
    ("ErrorFile 200 \"x\"", "is no status of an error"), // Tinyproxy: never used
    ("ErrorFile 404", "takes two values"),
    ("AddHeader \"X\" \"\"", "is empty"),
    ("AddHeader \"X Y\" \"z\"", "is no name of a header"), // Tinyproxy: sends it
    ("Anonymous Host", "write: Anonymous \"Host\""),
    ("XTinyproxy \"y\"", "in quotes"),
    ("PidFile /x", "is not in quotes"),
    ("BasicAuth u", "takes two values"),
    (
        "BasicAuth u p more",
        "BasicAuth takes two values; write: BasicAuth USER PASSWORD",
    ),
    (
        "Port=8888",
        "\"Port\" stands before a `=`, where Tinyproxy has a space; write: Port 8888",
    ),
    ("Filter = \"f\"", "write: Filter \"f\""),
    ("ConnectPort 443,563", "write: ConnectPort 443"),
    ("Port 88888", "is larger than 65535; write: Port 8888"),
    ("Timeout 10m", "write: Timeout 600"),
    ("ErrorFile x \"y\"", "write: ErrorFile 404 \"y\""),
    ("acl good dstdomain .example.com", "docs/squid.md"),
    ("Group a b", "is more than the directive takes"),
    ("ReversePath \"/a\" \"http://a.example/\"", "reverse proxy"), // Tinyproxy: is one
    ("ReverseOnly Yes", "reverse proxy"),
    ("ReverseMagic Yes", "reverse proxy"),
    ("ReverseBaseURL \"http://a.example/\"", "reverse proxy"),
    ("Upstream", "write: Upstream http PARENT:PORT"),
    (
        "Upstream 127.0.0.1:3128",
        "write: Upstream http 127.0.0.1:3128",
    ),
    ("Upstream http", "is followed by no parent"),
    (
        "Upstream http parent",
        "has no port; write: Upstream http parent:3128",
    ),
    ("Upstream http h:99999", "up to 65535"), // Tinyproxy: wraps
    ("Upstream garbage http h:1", "is no kind of parent"), // Tinyproxy: takes it
    ("Upstream none \"x\" trailing", "is more than"), // Tinyproxy: takes it
    ("Upstream none", "needs a site"),
    ("Upstream none \"\"", "is empty"),
    ("Upstream none \"10.0.0.0/33\"", "is no network"), // Tinyproxy: warns and goes on
    ("Upstream http 0.0.0.0:0", "leads nowhere"),       // Tinyproxy: warns and goes on
    ("Upstream http h:0 \".x\"", "is no place to connect to"),
    ("Upstream http ::1:80", "is no parent"),
    ("FilterDefaultDeny Yes", "stands without a Filter"), // Tinyproxy: lets everything through
    (
        "FilterType ere\nFilterExtended Yes",
        "one of the two lines must go",
    ),
    ("Filter \"a\"\nFilter \"b\"", "was said on line 1 already"),
    (
        "FilterURLs Yes\nFilterURLs No",
        "was said on line 1 already",
    ), // Tinyproxy: Yes
];

#[test]
fn every_bad_line_names_file_line_cause_and_what_to_write() {
    for (line, part) in BAD {
        let errors = bad(line);
        assert_eq!(errors.len(), 1, "{line}: {errors:?}");
        let number = line.lines().count();
        assert!(
            errors[0].starts_with(&format!("t.conf:{number}: ")),
            "{errors:?}"
        );
        assert!(errors[0].contains(part), "{line}: {errors:?}");
    }
    let all: String = BAD
        .iter()
        .filter(|(line, _)| !line.contains('\n') && !line.starts_with("FilterURL"))
        .map(|(line, _)| format!("{line}\n"))
        .collect();
    assert!(bad(&all).len() > 40, "all lines are told of, not the first");
}

#[test]
fn what_is_mended_in_a_message_is_taken() {
    let mended = |line: &str| bad(line)[0].split_once("write: ").unwrap().1.to_owned();
    for (line, message) in BAD
        .iter()
        .filter(|(_, message)| message.contains("write: "))
    {
        let fixed = mended(line).replace("PARENT", "p").replace("PORT", "1");
        assert!(
            Conf::parse("t", &fixed).is_ok(),
            "{line} ({message}): {fixed}"
        );
    }
}

#[test]
fn no_message_and_no_dump_has_a_password_in_it() {
    for line in [
        "BasicAuth me hunter2 more",
        "BasicAuth me:hunter2",
        "BasicAuth me:hunter2 hunter2",
        "BasicAuth \"me hunter2",
        "BasicAuht me hunter2",
        "BasicAuth me hünter2",
        "Upstream me:hunter2@h:1",
        "Upstream http me:hunter2@h",
        "Upstream http me:hunter2@h:1 \"x",
        "Upstream http me:hunter2@h:1 x",
        "Upstream \"http me:hunter2@h:1",
        "Upstrem http me:hunter2@h:1",
        "Upstream http hunter2@h:1",
        "Upstream http :hunter2@h:1",
    ] {
        let errors = bad(line);
        assert!(
            !errors.is_empty() && !errors.iter().any(|e| e.contains("unter2")),
            "{errors:?}"
        );
    }
    let (conf, _) = good("BasicAuth me hunter2\nUpstream http me:hunter2@h:1");
    assert!(!format!("{conf:?}").contains("hunter2"));
}

#[test]
fn lines_may_be_blank_indented_or_end_as_on_windows() {
    let (conf, _) = good("\u{feff}\r\n\r\n \t Port\t 99 \r\n  # indented\r\n#\r\nTimeout 5");
    assert_eq!((conf.port, conf.timeout.as_secs()), (99, 5));
}

#[test]
fn a_hundred_problems_are_told_of_and_a_file_too_large_is_one() {
    assert_eq!(bad(&"x\n".repeat(1_000)).len(), 100);
    assert_eq!(
        bad(&"#".repeat((1 << 20) + 1)),
        ["t.conf: the file is larger than 1 MiB"]
    );
}

#[test]
fn every_keyword_is_told_apart_from_its_neighbours() {
    for directive in Directive::ALL {
        let word = directive.name().to_ascii_uppercase();
        let text = bad(&format!("{word} \"unclosed")).join("\n");
        assert!(
            text.contains("closing")
                || text.contains("reverse proxy")
                || text.contains("BasicAuth"),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*", keyword in 0..Directive::ALL.len()) {
        let keyword = Directive::ALL[keyword].name();
        Conf::parse("t", &text).ok();
        Conf::parse("t", &format!("{keyword} {text}")).ok();
        Conf::parse("t", &format!("{keyword} \"{text}\" \"{text}\"\n{keyword}\t{text}")).ok();
        Conf::parse("t", &format!("Upstream http a:{text}@b:1 \"{text}\"")).ok();
    }
}
