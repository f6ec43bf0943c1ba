//! Which hosts and URLs a filter lets through. Everything goes to a parent, so that no name is looked up.

use crate::scenario::Scenario;

/// Upper and lower case, with and without a port, a name around the pattern, the pattern in the path.
const HOSTS: &[&str] = &[
    "GET http://bad.example/",
    "GET http://notbad.example.org/",
    "GET http://badxexample/",
    "GET http://BAD.EXAMPLE/",
    "GET http://good.example/",
    "GET http://good.example/bad.example?bad.example",
    "GET http://bad.example:8080/",
    "GET http://192.0.2.7/",
    "CONNECT bad.example:443",
    "CONNECT Bad.Example:443",
    "CONNECT good.example:443",
    "CONNECT good.example:8080",
    "CONNECT 192.0.2.7:443",
    "CONNECT [2001:db8::7]:443",
];

const PARENT: &str = "Upstream http $PARENT\nFilter \"$DIR/filter\"\n";

fn scenario(name: &'static str, conf: &str, filter: &str) -> Scenario {
    Scenario::asks(name, &format!("{PARENT}{conf}"), HOSTS).file("filter", filter)
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = vec![
        scenario("bre", "", "bad\\.example\n"),
        scenario("bre, anchored", "", "^bad\\.example$\n"),
        scenario("bre, a dot is anything", "", "^bad.example$\n"),
        scenario("bre, alternatives", "", "^\\(bad\\|good\\)\\.example$\n"),
        scenario(
            "bre, signs of ere are letters",
            "",
            "^(bad|good)\\.example$\ngood+\n",
        ),
        scenario(
            "bre, repetitions",
            "",
            "^bad\\.exa\\{1,2\\}mple$\ngo*d\\?\\.example\n",
        ),
        scenario("bre, classes", "", "^[[:alpha:]]*\\.[e]xample$\n"),
        scenario("bre, back reference", "", "\\(o\\)\\1d\\.\n"),
        scenario("bre, deny", "FilterDefaultDeny Yes\n", "bad\\.example\n"),
        scenario("bre, case", "FilterCaseSensitive On\n", "bad\\.example\n"),
        scenario(
            "bre, case, upper",
            "FilterCaseSensitive On\n",
            "BAD\\.EXAMPLE\n",
        ),
        scenario(
            "bre, case, deny",
            "FilterCaseSensitive Yes\nFilterDefaultDeny Yes\n",
            "bad\\.example\n",
        ),
        scenario("bre, urls", "FilterURLs On\n", "bad\\.example\n"),
        scenario(
            "bre, urls, anchored",
            "FilterURLs On\n",
            "good.example:443\n^http://bad\n/bad\n",
        ),
        scenario(
            "bre, urls, deny",
            "FilterURLs On\nFilterDefaultDeny Yes\n",
            "^http://good\n:443$\n",
        ),
        scenario(
            "bre, urls, case",
            "FilterURLs On\nFilterCaseSensitive On\n",
            "^http://bad\n",
        ),
        scenario(
            "bre, type named",
            "FilterType bre\n",
            "^\\(bad\\|good\\)\\.example$\n",
        ),
        scenario("ere", "FilterType ere\n", "^(bad|good)\\.example$\n"),
        scenario(
            "ere, deny",
            "FilterType ere\nFilterDefaultDeny Yes\n",
            "^(.+\\.)?bad\\.example$\n",
        ),
        scenario(
            "ere, urls",
            "FilterType ere\nFilterURLs On\n",
            "^https?://(bad|x)\n:80(80)?$\n",
        ),
        scenario(
            "ere, urls, deny",
            "FilterType ere\nFilterURLs On\nFilterDefaultDeny On\n",
            "^http://good|:443$\n",
        ),
        scenario(
            "ere, case",
            "FilterType ere\nFilterCaseSensitive On\n",
            "^(bad|good)\\.example$\n",
        ),
        scenario(
            "ere, extended",
            "FilterExtended On\n",
            "^(bad|good)\\.example$\n",
        ),
        scenario(
            "ere, extended off",
            "FilterExtended Off\n",
            "^(bad|good)\\.example$\n",
        ),
        scenario("fnmatch", "FilterType fnmatch\n", "*.example\n"),
        scenario(
            "fnmatch, whole name only",
            "FilterType fnmatch\n",
            "bad\n.example\ngood.exampl?\n",
        ),
        scenario(
            "fnmatch, deny",
            "FilterType fnmatch\nFilterDefaultDeny Yes\n",
            "bad.example\n*.org\n",
        ),
        scenario(
            "fnmatch, brackets",
            "FilterType fnmatch\n",
            "[a-c]ad.*\n[!b]ood.example\n",
        ),
        scenario(
            "fnmatch, case is never ignored",
            "FilterType fnmatch\nFilterCaseSensitive Off\n",
            "BAD.*\n",
        ),
        scenario(
            "fnmatch, urls",
            "FilterType fnmatch\nFilterURLs On\n",
            "http://*/bad*\n*:443\n",
        ),
        scenario(
            "fnmatch, urls, deny",
            "FilterType fnmatch\nFilterURLs On\nFilterDefaultDeny Yes\n",
            "http://good*\n",
        ),
        scenario("an empty filter", "", ""),
        scenario("an empty filter, deny", "FilterDefaultDeny Yes\n", ""),
        scenario(
            "only a comment, deny",
            "FilterDefaultDeny Yes\n",
            "# nothing\n\n   \n",
        ),
        scenario(
            "comments and blanks",
            "",
            "  bad\\.ex # trailing\n\tgood words\nnot\\#bad\n",
        ),
        scenario("a comment glued on", "", "^good#comment\n"),
        scenario("no newline at the end", "", "bad\\.example"),
        scenario(
            "lines of windows",
            "",
            "bad\\.example\r\n^good\\.example$\r\n",
        ),
        scenario(
            "two filters, deny wins nowhere",
            "",
            "bad\nbad\\.example\n^good\n",
        ),
        scenario("a filter that is only a sign of ere", "", "(\n"),
        Scenario::asks(
            "deny without a filter",
            "Upstream http $PARENT\nFilterDefaultDeny Yes\n",
            HOSTS,
        ),
    ];
    let in_capitals = "FILTERTYPE ";
    scenarios.extend([
        scenario(
            "bre, in capitals",
            &format!("{in_capitals}BRE\n"),
            "^\\(bad\\|good\\)\\.example$\n",
        ),
        scenario(
            "ere, in capitals",
            &format!("{in_capitals}ERE\n"),
            "^(bad|good)\\.example$\n",
        ),
        scenario(
            "fnmatch, in capitals",
            &format!("{in_capitals}FNMATCH\n"),
            "*.example\n",
        ),
    ]);
    scenarios
}
