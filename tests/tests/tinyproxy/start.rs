//! Configurations that start, and those that do not.

use crate::scenario::Scenario;

const ASK: &[&str] = &["GET http://$ORIGIN/"];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let conf = |name, conf: &str| Scenario::asks(name, conf, ASK);
    let filter = |name, conf: &str, filter: &str| {
        let conf = format!("Filter \"$DIR/filter\"\n{conf}");
        Scenario::asks(name, &conf, ASK).file("filter", filter)
    };
    vec![
        conf("an unknown directive", "Nonsense Yes\n"),
        conf("a directive without a value", "MaxClients\n"),
        conf("a number that is none", "MaxClients many\n"),
        conf("a bool that is none", "DisableViaHeader Perhaps\n"),
        conf("true is no bool", "DisableViaHeader true\n"),
        conf("a level that is none", "LogLevel Chatty\n"),
        conf("a filter type that is none", "FilterType glob\n"),
        conf("a port beyond the last", "ConnectPort 70000\n"),
        conf("words after the value", "MaxClients 5 and more\n"),
        conf("a comment after the value", "MaxClients 5 # five\n"),
        conf("an open quote", "ViaProxyName \"gateway\n"),
        conf("a name without quotes", "ViaProxyName gateway\n"),
        conf("a path without quotes", "PidFile $DIR/pid\n"),
        conf("blanks before the directive", "   MaxClients   5   \n"),
        conf(
            "lines of windows",
            "MaxClients 5\r\nDisableViaHeader Yes\r\n",
        ),
        conf("a port twice", "MaxClients 5\nMaxClients 6\n"),
        conf("a client that is none", "Allow 300.1.1.1\n"),
        conf("a network that is none", "Allow 127.0.0.1/99\n"),
        conf("a parent of no kind", "Upstream gopher 127.0.0.1:1\n"),
        conf("a parent without a port", "Upstream http 127.0.0.1\n"),
        conf("none without a site", "Upstream none\n"),
        conf(
            "two general parents",
            "Upstream http $PARENT\nUpstream http $SOCKS\n",
        ),
        conf("a user without a password", "BasicAuth user\n"),
        conf(
            "an error number that is none",
            "ErrorFile many \"$DIR/x\"\n",
        ),
        conf(
            "old directives of processes",
            "StartServers 10\nMinSpareServers 5\nMaxSpareServers 20\nMaxRequestsPerChild 0\n",
        ),
        conf("a group and a user by number", "User 0\nGroup 0\n"),
        conf("a user that is not there", "User nobody-has-this-name\n"),
        conf("syslog beside a log file", "Syslog On\n"),
        conf("a pid file", "PidFile \"$DIR/pid\"\n"),
        conf("a pid file in no directory", "PidFile \"$DIR/none/pid\"\n"),
        conf(
            "reverse proxying",
            "ReversePath \"/a/\" \"http://$ORIGIN/\"\n",
        ),
        conf(
            "only reverse proxying",
            "ReverseOnly Yes\nReversePath \"/a/\" \"http://$ORIGIN/\"\n",
        ),
        conf(
            "a realm",
            "BasicAuthRealm \"here\"\nBasicAuth user secret\n",
        ),
        filter("a good filter", "", "bad\n"),
        filter("a bad bre", "", "good\n\\(\n"),
        filter("a bad bracket", "", "[\n"),
        filter("a bad ere", "FilterType ere\n", "good\n(\n"),
        filter("a bad repetition", "FilterType ere\n", "*\n"),
        filter("a bad fnmatch", "FilterType fnmatch\n", "[\n"),
        filter(
            "a line of 600 letters",
            "",
            &format!("{}\nbad\n", "a".repeat(600)),
        ),
        conf("a filter that is not there", "Filter \"$DIR/none\"\n"),
        conf("a filter that is a directory", "Filter \"$DIR\"\n"),
    ]
}
