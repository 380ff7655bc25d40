//! S11: what a guest says, the host takes for a stranger's word: no byte of it is passed on unchecked.

use host_harness::egress::Network;
use host_harness::plugin::CallError;
use serde_json::{Value, json};

use super::cell::{call, hostile, patient, pinned, run, run_with, with_token};
use crate::figure::figure;
use crate::runtime::wait_for;
use crate::service::{Reply, Service};

/// Bytes that are no UTF-8: lone, overlong, surrogate, too high, cut off.
const NO_TEXT: [&str; 6] = ["hex:ff", "hex:2f62617365c3", "hex:c080", "hex:eda080", "hex:f4908080", "hex:2f62ff617365"];

/// Requests that must not leave, each with what is wrong with it. `port` is the service's, whose only pinned path is `/base/`.
fn requests(port: u16) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut add = |what: String, request: Value| all.push((what, request));
    for bad in NO_TEXT {
        for place in ["path", "authority", "method"] {
            add(format!("{place} {bad}"), json!({"path": "/base/", place: bad}));
        }
        add(format!("header name {bad}"), json!({"path": "/base/", "headers": [[bad, "v"]]}));
    }
    for value in
        ["a\r\nx-more: 1", "a\nb", "a\rb", "\r\n\r\nGET /evil HTTP/1.1", "a\u{0}b", "\u{1b}[2J", "\u{7f}", "\u{1}"]
    {
        add(format!("header value {value:?}"), json!({"path": "/base/", "headers": [["x-a", value]]}));
    }
    let names = ["", " ", "a b", "a:b", "a\r\nb", "a\nb", "a\u{0}", "(a)", "a,b", "a/b", "ä", "a\t"];
    let taken = [
        "authorization",
        "Authorization",
        "cookie",
        "host",
        "Host",
        "connection",
        "transfer-encoding",
        "te",
        "upgrade",
        "proxy-authorization",
        "keep-alive",
        "http2-settings",
        "trailer",
    ];
    for name in names.into_iter().chain(taken) {
        add(format!("header name {name:?}"), json!({"path": "/base/", "headers": [[name, "v"]]}));
    }
    let paths = [
        "//evil.test/base/",
        "//evil.test",
        "/base//../../evil",
        "/base/../evil",
        "/base/./../evil",
        "/base/%2e%2e/evil",
        "/base/%252e%252e/evil",
        "/base/..%2fevil",
        "/base/..\\evil",
        "/base/..;/evil",
        "/base/ evil",
        "/base/\u{0}",
        "/base/%00",
        "/base/a\r\nx: y",
        "/base/a\nb",
        "/base/ä",
        "/other",
        "/",
        "/base",
        "base/",
        "*",
        "http://evil.test/base/",
        "@evil.test/base/",
        "\\\\evil.test\\base",
        "/base/\u{202e}",
        " /base/",
    ];
    for path in paths {
        add(format!("path {path:?}"), json!({"path": path}));
    }
    let authorities = [
        "user@127.0.0.1:PORT",
        "user:password@127.0.0.1:PORT",
        "@127.0.0.1:PORT",
        "127.0.0.1:PORT@evil.test",
        "127.0.0.1:0",
        "127.0.0.1:",
        "127.0.0.1",
        "127.0.0.1:0PORT",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:PORT:PORT",
        "127.0.0.1.:PORT",
        "127.1:PORT",
        "0x7f.1:PORT",
        "0177.0.0.1:PORT",
        "2130706433:PORT",
        "localhost:PORT",
        "[::1]:PORT",
        "[::ffff:127.0.0.1]:PORT",
        "[::1:PORT",
        "127.0.0.1:PORT\r\nx: y",
        "127.0.0.1:PORT ",
        " 127.0.0.1:PORT",
        "127.0.0.1:PORT/base",
        "127.0.0.1:PORT#",
        "127.0.0.1:PORT?",
        "127.0.0.1%00:PORT",
        "１２７.0.0.1:PORT",
        "evil.test",
        "",
    ];
    for authority in authorities {
        let authority = authority.replace("PORT", &port.to_string());
        add(format!("authority {authority:?}"), json!({"path": "/base/", "authority": authority}));
    }
    for scheme in ["https", "ftp", "file", "javascript", "ws", "http:", "HTTP ", "", "h\r\nttp", "hex:ff"] {
        add(format!("scheme {scheme:?}"), json!({"path": "/base/", "scheme": scheme}));
    }
    for method in ["CONNECT", "TRACE", "GET /evil", "GET\r\nx: y", " ", "G\u{0}T", "GÉT", "GET:"] {
        add(format!("method {method:?}"), json!({"path": "/base/", "method": method}));
    }
    all
}

#[test]
fn s11_nothing_that_a_guest_makes_up_is_passed_on() {
    let service = Service::start(|_| Reply::json(200, &json!({})));
    let base = format!("{}/base/", service.url());
    let plugin = hostile(patient());
    let access = with_token(Network::new().expect("TLS"), vec![pinned(&base)], true, "fake-token");
    let call = call("values", &json!({"base-url": base}));
    let send = |request: &Value| wait_for(run_with(&plugin, &access, &call, "send", &json!({"request": request})));
    let good = send(&json!({"path": "/base/x", "headers": [["x-a", "b"]]})).expect("a plain request is sent");
    assert_eq!(good["answers"][0]["status"], 200, "{good}");

    let (mut tried, mut let_through) = (0, Vec::new());
    for (what, request) in requests(service.port()) {
        let before = service.requests().len();
        let refused = match send(&request) {
            Ok(answer) => answer["answers"][0]["refused"].is_string(),
            Err(error) => matches!(error, CallError::Host(_)),
        };
        tried += 1;
        if !refused || service.requests().len() != before {
            let_through.push(what);
        }
    }
    // The same words in a result.
    let places = ["output", "memo", "extra", "state", "notice-code", "notice-message"];
    let failures = ["failure-message", "failure-code", "failure-field"];
    for at in places.into_iter().chain(failures) {
        for bad in NO_TEXT {
            tried += 1;
            if !matches!(run(&plugin, "values", "bad-text", &json!({"at": at, "text": bad})), Err(CallError::Host(_))) {
                let_through.push(format!("{at} {bad}"));
            }
        }
    }
    figure(
        "S11",
        "a guest makes up bytes for requests and results: no UTF-8, line ends, `//evil`, user information, port 0",
        "100 % of ≥ 100 rejected",
        format!("{} of {tried} rejected{}", tried - let_through.len(), listed(&let_through)),
        tried >= 100 && let_through.is_empty(),
    );
}

fn listed(let_through: &[String]) -> String {
    if let_through.is_empty() { String::new() } else { format!("; let through: {let_through:?}") }
}
