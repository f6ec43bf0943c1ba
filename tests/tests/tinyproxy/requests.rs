//! How requests are read, and what becomes of those that cannot be.

use crate::scenario::Scenario;

const DIRECT: &[&str] = &[
    "GET http://$ORIGIN/",
    "GET http://$ORIGIN",
    "GET http://$ORIGIN/a/b?c=d",
    "GET http://$ORIGIN/a#b",
    "GET HTTP://$ORIGIN/",
    "HEAD http://$ORIGIN/",
    "OPTIONS http://$ORIGIN/",
    "DELETE http://$ORIGIN/",
    "PROPFIND http://$ORIGIN/",
    "TRACE http://$ORIGIN/",
    "get http://$ORIGIN/",
    "POST http://$ORIGIN/\nContent-Length: 5\n\nabcde",
    "PUT http://$ORIGIN/\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n",
    "GET http://$ORIGIN/chunked",
    "GET http://$ORIGIN/missing",
    "GET http://$ORIGIN/elsewhere",
    "GET http://$ORIGIN/until-close",
    "GET http://localhost:$ORIGINPORT/",
    "GET http://user:secret@$ORIGIN/",
    "GET http://$DEAD/",
    "GET https://$ORIGIN/",
    "GET ftp://$ORIGIN/",
    "GET /\nHost: $ORIGIN",
    "GET http://$ORIGIN/\nHost: else.example",
    "CONNECT $ORIGIN",
    "CONNECT localhost:$ORIGINPORT",
    "CONNECT $DEAD",
    "RAW GET http://$ORIGIN/ HTTP/1.0\r\n\r\n",
    "RAW GET http://$ORIGIN/ HTTP/1.1\r\n\r\n",
    "RAW GET http://$ORIGIN/\r\n\r\n",
    "RAW GARBAGE\r\n\r\n",
    "RAW GET http://$ORIGIN/ HTTP/1.1\nHost: $ORIGIN\n\n",
    "RAW \r\n\r\nGET http://$ORIGIN/ HTTP/1.1\r\nHost: $ORIGIN\r\n\r\n",
    "RAW CONNECT $ORIGIN HTTP/1.0\r\n\r\n",
];

/// Names are not looked up here: the parent is asked.
const BY_PARENT: &[&str] = &[
    "CONNECT good.example",
    "GET http://good.example:80/",
    "GET http://Good.Example/",
    "GET http://good.example./",
    "GET http://good_name.example/",
    "GET http://good.example:99999/",
    "GET http:///path",
    "CONNECT good.example:99999",
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::asks("direct", "", DIRECT),
        Scenario::asks("by a parent", "Upstream http $PARENT\n", BY_PARENT),
    ]
}
