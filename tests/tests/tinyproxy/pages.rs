//! The pages that the proxy itself answers with.

use crate::observation::Observation;
use crate::play::Stage;
use crate::scenario::{Scenario, Sights};

const ERRORS: &[&str] = &[
    "GET http://bad.example/",
    "GET http://bad.example/a?b=<script>&c=\"d\"",
    "CONNECT bad.example:443",
    "GET http://$DEAD/",
    "CONNECT good.example:81",
    "RAW GARBAGE\r\n\r\n",
];

const STATISTICS: &[&str] = &[
    "GET http://tinyproxy.stats/",
    "GET http://$ORIGIN/",
    "GET http://bad.example/",
    "RAW GARBAGE\r\n\r\n",
    "GET http://tinyproxy.stats/",
    "GET http://tinyproxy.stats/a/path",
    "GET http://TinyProxy.Stats/",
    "HEAD http://tinyproxy.stats/",
    "CONNECT tinyproxy.stats:80",
];

const PACKAGED: &[&str] = &["GET http://tinyproxy.stats/", "GET http://$DEAD/"];

const TEMPLATE: &str = "{errno}|{cause}|{detail}|{clientip}|{clienthost}|{package}|{request}|{url}|{website}|{nothing}|{|}|{ cause }|{{cause}}\n";

pub(crate) fn scenarios() -> Vec<Scenario> {
    // What is not on this machine is the parent's: no name is looked up.
    let parent = "Upstream http $PARENT\nUpstream none \"127.0.0.0/8\"\nFilter \"$DIR/filter\"\n";
    let errors = |name, conf: &str| {
        let scenario = Scenario::asks(name, &format!("{parent}ConnectPort 443\n{conf}"), ERRORS);
        scenario
            .file("filter", "bad\n")
            .file("template", TEMPLATE)
            .file("other", "the other page: {cause}\n")
    };
    let statistics = |name, conf: &str| {
        let scenario = Scenario::asks(name, &format!("{parent}{conf}"), STATISTICS);
        scenario.file("filter", "bad\n").file(
            "stats",
            "{reqs}|{badconns}|{deniedconns}|{refusedconns}|{package}|{nothing}\n",
        )
    };
    vec![
        errors("no template", ""),
        errors("a default template", "DefaultErrorFile \"$DIR/template\"\n"),
        errors("a template for 403", "ErrorFile 403 \"$DIR/template\"\n"),
        errors(
            "a template for 403 and a default",
            "ErrorFile 403 \"$DIR/other\"\nDefaultErrorFile \"$DIR/template\"\n",
        ),
        errors(
            "a template that is not there",
            "DefaultErrorFile \"$DIR/none\"\n",
        ),
        errors("an empty template", "DefaultErrorFile \"$DIR/empty\"\n").file("empty", ""),
        statistics("statistics", ""),
        statistics("statistics with a template", "StatFile \"$DIR/stats\"\n"),
        statistics(
            "statistics with a template that is not there",
            "StatFile \"$DIR/none\"\n",
        ),
        Scenario::asks(
            "the packaged pages",
            "DefaultErrorFile \"$PACKAGE/default.html\"\nStatFile \"$PACKAGE/stats.html\"\n",
            PACKAGED,
        ),
        Scenario::asks(
            "the packaged page for finding faults",
            "DefaultErrorFile \"$PACKAGE/debug.html\"\n",
            PACKAGED,
        ),
        Scenario::script(
            "what exporters read",
            "Upstream http $PARENT\nFilter \"$DIR/filter\"\n",
            scraped,
        )
        .file("filter", "bad\n"),
        statistics("another host for statistics", "StatHost \"bad.example\"\n"),
        statistics("no host for statistics", "StatHost \"\"\n"),
    ]
}

/// The numbers of the built-in page, read as tinyproxy_exporter reads them: a name, a colon, a number.
fn scraped(stage: &mut Stage) -> Sights {
    let numbers = |stage: &Stage| {
        let page = stage.ask("GET http://tinyproxy.stats/");
        let body = page.get("body").cloned().unwrap_or_default();
        let lines = body
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Number of ")?.split_once(": "));
        let number = |text: &str| {
            text.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        };
        lines
            // How many are open is a matter of how fast the last one was seen to close.
            .filter(|(name, _)| *name != "open connections")
            .map(|(name, value)| (name.to_owned(), number(value)))
            .collect::<Observation>()
    };
    let before = numbers(stage);
    for ask in [
        "GET http://bad.example/",
        "GET http://good.example/",
        "RAW GARBAGE\r\n\r\n",
        "CONNECT bad.example:443",
    ] {
        stage.ask(ask);
    }
    vec![
        ("before".to_owned(), before),
        ("after".to_owned(), numbers(stage)),
    ]
}
