//! N9: answers made to fill a host's memory are cut off, and end in an error that says what came.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::figure::{exceptions, figure};
use crate::harness::Started;
use crate::http;
use crate::service::read;
use crate::stage::Stage;

/// The most that may be resident beyond what an ordinary call takes.
const MOST_MEMORY: u64 = 64 << 20;

/// What is answered in place of the real thing.
#[derive(Clone)]
struct Bomb {
    /// What the path of the request contains.
    place: &'static str,
    head: Vec<u8>,
    /// Sent again and again after the head and `start`, this often.
    piece: Arc<Vec<u8>>,
    times: u64,
    start: Vec<u8>,
}

/// A Jira that can be told to blow up.
struct Bomber {
    port: u16,
    armed: Arc<Mutex<Option<Bomb>>>,
    /// How many bytes of the body somebody took.
    sent: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Bomber {
    fn before(jira: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port on loopback");
        let port = listener.local_addr().expect("it has an address").port();
        let bomber = Self { port, armed: Arc::default(), sent: Arc::default(), ended: Arc::default() };
        let (armed, sent, ended) = (Arc::clone(&bomber.armed), Arc::clone(&bomber.sent), Arc::clone(&bomber.ended));
        let jira = jira.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (armed, sent, jira) = (Arc::clone(&armed), Arc::clone(&sent), jira.clone());
                thread::spawn(move || answer(stream, &armed, &sent, &jira));
            }
        });
        bomber
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn arm(&self, bomb: Option<Bomb>) {
        *self.armed.lock().expect("no answer panicked") = bomb;
        self.sent.store(0, Ordering::Relaxed);
    }
}

impl Drop for Bomber {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Passes on what comes, but for what a bomb is armed for.
fn answer(stream: TcpStream, armed: &Mutex<Option<Bomb>>, sent: &AtomicU64, jira: &str) {
    let Ok(mut sink) = stream.try_clone() else { return };
    let mut source = BufReader::new(stream);
    while let Some(request) = read(&mut source) {
        let bomb = armed.lock().expect("no answer panicked").clone();
        if let Some(bomb) = bomb.filter(|bomb| request.target.contains(bomb.place)) {
            // Whoever has enough hangs up.
            let _ = explode(&mut sink, &bomb, sent);
            return;
        }
        let framing = ["host", "content-length", "connection", "transfer-encoding"];
        let headers: Vec<_> =
            request.headers.into_iter().filter(|(name, _)| !framing.contains(&&*name.to_lowercase())).collect();
        let answer = http::send(&request.method, &format!("{jira}{}", request.target), &headers, &request.body);
        let head = format!(
            "HTTP/1.1 {} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.status,
            answer.body.len()
        );
        if sink.write_all(head.as_bytes()).and_then(|()| sink.write_all(answer.body.as_bytes())).is_err() {
            return;
        }
    }
}

fn explode(sink: &mut TcpStream, bomb: &Bomb, sent: &AtomicU64) -> std::io::Result<()> {
    sink.write_all(&bomb.head)?;
    sink.write_all(&bomb.start)?;
    sent.fetch_add((bomb.head.len() + bomb.start.len()) as u64, Ordering::Relaxed);
    for _ in 0..bomb.times {
        sink.write_all(&bomb.piece)?;
        sent.fetch_add(bomb.piece.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// The head of an answer that goes on until the connection ends, or for as long as it says.
fn head(more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n{more}\r\n").into_bytes()
}

/// So much of nothing, with gzip.
fn compressed(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..bytes >> 20 {
        encoder.write_all(&[b' '; 1 << 20]).expect("memory takes it");
    }
    encoder.finish().expect("memory takes it")
}

/// What is sent, the card that asks for it, and the code that its error may have.
struct Case {
    name: &'static str,
    bomb: Bomb,
    codes: &'static [&'static str],
}

fn cases() -> Vec<Case> {
    let megabyte = Arc::new(vec![b' '; 1 << 20]);
    let bomb = |head: Vec<u8>, start: &[u8], piece: &Arc<Vec<u8>>, times| Bomb {
        place: "/issue/DEMO-1",
        head,
        start: start.to_vec(),
        piece: Arc::clone(piece),
        times,
    };
    let chunk = Arc::new([b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat());
    let gzip = compressed(1 << 30);
    let length = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", gzip.len());
    let case = |name, bomb, codes| Case { name, bomb, codes };
    let too_large: &[&str] = &["jira.answer-too-large"];
    let unread: &[&str] = &["jira.connection-broken", "jira.answer-too-large"];
    let invalid: &[&str] = &["jira.answer-invalid"];
    let field = br#"{"id":"10000","key":"DEMO-1","fields":{"summary":"#;
    vec![
        case("10 GB, announced", bomb(head("content-length: 10737418240\r\n"), b"", &megabyte, 10_240), too_large),
        case("10 GB in chunks", bomb(head("transfer-encoding: chunked\r\n"), b"", &chunk, 10_240), too_large),
        case("10 GB until the end", bomb(head(""), field, &megabyte, 10_240), too_large),
        case("1 GB of gzip 1:1000", bomb(head(&length), &gzip, &megabyte, 0), invalid),
        case("JSON 10⁶ deep", bomb(head(""), field, &Arc::new(vec![b'['; 1 << 20]), 1), invalid),
        case(
            "JSON 10⁶ deep, whole",
            bomb(head(""), &[&vec![b'['; 1 << 20][..], &vec![b']'; 1 << 20]].concat(), &megabyte, 0),
            invalid,
        ),
        case(
            "10⁵ headers",
            bomb(b"HTTP/1.1 200 OK\r\n".to_vec(), b"", &Arc::new(b"x-padding: of no use\r\n".to_vec()), 100_000),
            unread,
        ),
        case(
            "one header of 1 GB",
            bomb(b"HTTP/1.1 200 OK\r\nx-padding: ".to_vec(), b"", &Arc::new(vec![b'x'; 1 << 20]), 1024),
            unread,
        ),
        case(
            "a login page with 200",
            bomb(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n".to_vec(),
                b"<!DOCTYPE html><html><head><title>Log in</title></head><body><form method=post></form></body></html>",
                &megabyte,
                0,
            ),
            &["jira.login-page"],
        ),
        case(
            "500 MB of createmeta",
            Bomb {
                place: "/createmeta/",
                head: head(""),
                start: br#"{"issueTypes":["#.to_vec(),
                piece: Arc::new(br#"{"id":"1","name":"Task","subtask":false},"#.repeat(25_000)),
                times: 500,
            },
            too_large,
        ),
    ]
}

/// The most memory that a process had resident, in bytes, as far as it was seen.
fn watch(started: &Started) -> u64 {
    let mut most = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", started.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        match line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) {
            Some(kilobytes) => most = most.max(kilobytes << 10),
            // It ended, and waits for its parent.
            None => return most,
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn n9_an_answer_that_is_a_bomb_is_cut_off() {
    let stage = Stage::new();
    let bomber = Bomber::before(stage.jira.url());
    let account = stage.jira.account("admin");
    let added = stage.connect_at("demo", &bomber.url(), &account.email, &account.token, &[]);
    assert_eq!(added.code, 0, "{added:#?}");
    assert_eq!(stage.task("To be read"), "DEMO-1");
    let read = json!({"issue": "DEMO-1"});
    let create =
        |project: &str| json!({"project": project, "issue-type": "Task", "summary": "x", "fields": {"Labels": ["a"]}});
    let run = |card: &str, input: &Value| {
        let input = input.to_string();
        let started = stage.host.start(&["run", card, "--connection", "demo", "--input", &input]);
        let most = watch(&started);
        (started.finish(), most)
    };
    let cases = cases();
    let mut ordinary = 0;
    for (card, input) in [("get-issue", &read), ("create-issue", &create("DEMO"))] {
        let (outcome, most) = run(card, input);
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        ordinary = ordinary.max(most);
    }
    assert!(ordinary > 1 << 20, "the memory of a process can be seen");
    let (mut wrong, mut worst, mut carried) = (Vec::new(), 0, 0);
    for Case { name, bomb, codes } in &cases {
        // Of one project it is known by now what its issues have: that is not asked again.
        let (card, input) =
            if bomb.place == "/createmeta/" { ("create-issue", create("OPS")) } else { ("get-issue", read.clone()) };
        bomber.arm(Some(bomb.clone()));
        let (outcome, most) = run(card, &input);
        let sent = bomber.sent.load(Ordering::Relaxed);
        bomber.arm(None);
        let error = serde_json::from_str::<Value>(&outcome.stdout).unwrap_or_default()["error"].clone();
        let code = error["code"].as_str().unwrap_or_default();
        let more = most.saturating_sub(ordinary);
        println!("{name}: {code}, {} MB more, {} MB sent", more >> 20, sent >> 20);
        if outcome.code == 0 || sent == 0 || !codes.contains(&code) || more > MOST_MEMORY {
            wrong.push(format!("{name}: exit {}, {code}, {} MB more", outcome.code, more >> 20));
        }
        (worst, carried) = (worst.max(more), carried.max(sent));
    }
    let after = run("get-issue", &read).0.code == 0;
    figure(
        "N9",
        "bodies of 10 GB in three framings, gzip 1:1000, JSON 10⁶ deep, 10⁵ headers, one of 1 GB, a login page with 200, 500 MB createmeta",
        "all end in an error with its code; resident memory + ≤ 64 MB",
        format!(
            "{} of {} end so; + {} MB at most (an ordinary call has {} MB); of each at most {} MB left the service{}",
            cases.len() - wrong.len(),
            cases.len(),
            worst >> 20,
            ordinary >> 20,
            carried >> 20,
            exceptions(&wrong)
        ),
        wrong.is_empty() && after,
    );
}
