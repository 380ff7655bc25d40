//! The controls over TCP: faults in real time, sending again, starting again, and the end of the program.

#![allow(missing_docs, unreachable_pub)]

#[path = "client/mod.rs"]
mod client;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use client::Jira;
use jira_simulator::Config;
use serde_json::{Value, json};

const MYSELF: &str = "/rest/api/3/myself";

fn bug(summary: &str) -> Value {
    json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Bug"}, "summary": summary}})
}

/// Asks for the own account, and answers with the body and how long it took.
fn timed(jira: &Jira) -> (String, Duration) {
    let access = jira.account("admin");
    let started = Instant::now();
    let answer = jira.send("GET", &jira.url(MYSELF), &Jira::basic(&access.email, &access.token), None);
    (answer.expect("an answer").into_body(), started.elapsed())
}

#[test]
fn a_delayed_answer_comes_that_much_later_in_real_time_whatever_virtual_time_does() {
    let jira = Jira::start(Config::default());
    let (plain, _) = timed(&jira);
    jira.control("POST", "/faults", Some(json!({"match": {"path": MYSELF}, "times": 2, "delay_ms": 300})));
    let (late, took) = timed(&jira);
    assert!((300..5_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(late, plain, "late, but whole and right");
    jira.control("POST", "/time/advance", Some(json!({"ms": 3_600_000})));
    assert!(timed(&jira).1 >= Duration::from_millis(300), "an hour of virtual time does not shorten it");
    assert!(timed(&jira).1 < Duration::from_millis(300), "and twice is twice");
    // A fault of another kind may be late as well.
    jira.control("POST", "/faults", Some(json!({"match": {"path": MYSELF}, "delay_ms": 200, "status": 503})));
    assert!(timed(&jira).1 >= Duration::from_millis(200));
}

#[test]
fn a_slow_body_comes_whole_but_in_pieces() {
    let jira = Jira::start(Config::default());
    let (plain, _) = timed(&jira);
    let pieces = plain.len().div_ceil(64) as u64;
    jira.control("POST", "/faults", Some(json!({"match": {"path": MYSELF}, "slow_ms_per_chunk": 20})));
    let (slow, took) = timed(&jira);
    assert_eq!(slow, plain);
    assert!(pieces > 3 && took >= Duration::from_millis(20 * (pieces - 1)), "{pieces} pieces in {took:?}");
}

#[test]
fn a_truncated_body_is_framed_well_and_ends_where_it_was_told_to() {
    let jira = Jira::start(Config::default());
    let (plain, _) = timed(&jira);
    jira.control("POST", "/faults", Some(json!({"match": {"path": MYSELF}, "truncate_body_to": 40})));
    let (short, _) = timed(&jira);
    assert_eq!(short, plain[..40]);
    assert_eq!(timed(&jira).0, plain, "once is once");
}

#[test]
fn a_body_is_repeated_to_any_size_and_may_be_no_text() {
    let jira = Jira::start(Config::default());
    let send = || {
        let answer = jira.send("GET", &jira.url(MYSELF), "", None).expect("an answer");
        (answer.status().as_u16(), answer.into_body())
    };
    let fault =
        json!({"match": {"path": MYSELF, "host": "127.0.0.1"}, "status": 200, "body": "abc", "repeat": 300_001});
    jira.control("POST", "/faults", Some(fault));
    assert_eq!(send(), (200, "abc".repeat(300_001)));
    let fault = json!({"match": {"path": MYSELF, "host": "other.test"}, "status": 200, "body": "abc"});
    jira.control("POST", "/faults", Some(fault));
    assert_eq!(send().0, 401, "another host's fault");
    jira.control("DELETE", "/faults", None);
    jira.control("POST", "/faults", Some(json!({"status": 200, "body": "AAEC", "base64": true})));
    assert_eq!(send().1.as_bytes(), [0, 1, 2]);
    assert_eq!(jira.control("POST", "/faults", Some(json!({"body": "no base64!", "base64": true}))).0, 400);
}

#[test]
fn a_delivery_is_sent_again_with_the_same_identifier_and_body() {
    let jira = Jira::start(Config::default());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = sender.send(request(&mut stream));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let hook = json!({"name": "test", "url": url, "events": ["jira:issue_created"], "secret": "fake-signing-secret"});
    assert_eq!(jira.call("admin", "POST", "/rest/webhooks/1.0/webhook", Some(hook)).0, 201);
    jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("told twice")));
    let (first_head, first_body) = received.recv_timeout(Duration::from_secs(10)).expect("a delivery");
    let identifier = jira.control("GET", "/webhooks/deliveries", None).1[0]["identifier"].clone();
    let identifier = identifier.as_str().expect("an identifier");
    let (status, again) = jira.control("POST", &format!("/webhooks/deliveries/{identifier}/redeliver"), None);
    assert_eq!(status, 200);
    let attempts = again["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.last().expect("an attempt")["status"], 200, "{again}");
    let (second_head, second_body) = received.recv_timeout(Duration::from_secs(10)).expect("the same again");
    assert_eq!(first_body, second_body);
    for head in [&first_head, &second_head] {
        assert!(head.contains(&format!("x-atlassian-webhook-identifier: {identifier}")), "{head}");
    }
    assert!(!first_head.contains("x-atlassian-webhook-retry") && second_head.contains("x-atlassian-webhook-retry: 1"));
    assert_eq!(jira.control("POST", "/webhooks/deliveries/no-such/redeliver", None).0, 404);
}

/// Reads one request with a `Content-Length`: its head in small letters, and its body.
fn request(stream: &mut TcpStream) -> (String, String) {
    let mut source = BufReader::new(stream);
    let mut head = String::new();
    while source.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    let _ = source.read_exact(&mut body);
    (head, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn a_reset_is_the_start_again_with_the_same_tokens() {
    let jira = Jira::start(Config::default());
    jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("forgotten")));
    jira.control("POST", "/webhooks/seed", Some(json!({"count": 3})));
    jira.control("POST", "/time/advance", Some(json!({"ms": 60_000})));
    jira.control("PATCH", "/settings", Some(json!({"index_lag_ms": 5_000})));
    jira.control("POST", "/accounts/admin/revoke-token", None);
    jira.control("POST", "/faults", Some(json!({"times": 0, "status": 503})));
    assert_eq!(jira.call("admin", "GET", MYSELF, None).0, 503);
    assert_eq!(jira.control("POST", "/reset", None).0, 204);
    assert_eq!(jira.control("GET", "/wire", None).1["entries"], json!([]));
    assert_eq!(jira.control("GET", "/faults", None).1, json!([]));
    assert_eq!(jira.control("GET", "/time", None).1["offset_ms"], 0);
    assert_eq!(jira.control("GET", "/webhooks/deliveries", None).1, json!([]));
    assert_eq!(jira.call("admin", "GET", MYSELF, None).0, 200, "the token works, as at the start");
    assert_eq!(jira.call("admin", "GET", "/rest/webhooks/1.0/webhook", None).1, json!([]));
    assert_eq!(jira.call("admin", "GET", "/rest/api/3/issue/DEMO-1", None).0, 404);
    let created = jira.call("admin", "POST", "/rest/api/3/issue", Some(bug("first again"))).1;
    assert_eq!(created["key"], "DEMO-1");
}

#[cfg(unix)]
#[test]
fn the_program_ends_well_when_it_is_told_to_even_at_once_and_with_a_client_that_waits() {
    for waits in [false, true] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_jira-simulator"))
            .arg("--json")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(program.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("the first line is JSON");
        let base = told["base_url"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address");
        let _client = waits.then(|| {
            let mut client = TcpStream::connect(base).expect("Jira listens");
            client.write_all(b"GET /rest/api/3/serverInfo HTTP/1.1\r\nhost: x\r\n").expect("half a request");
            client
        });
        let asked = Instant::now();
        let killed = Command::new("kill").arg("-TERM").arg(program.id().to_string()).status().expect("kill is there");
        assert!(killed.success());
        assert_eq!(program.wait().expect("it ends").code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    }
}
