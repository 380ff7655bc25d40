//! W: deliveries are proved by their exact bytes, and each starts its flow once.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use host_harness::plugin::contract::event::{Digest, Encoding, Mac, Proof, SecretRef, SignedPart};
use host_harness::webhook::proof::{Incoming, prove};
use serde_json::Value;
use sha2::Sha256;

use super::tee::Tee;
use crate::draw::Draw;
use crate::figure::figure;
use crate::harness::{Serving, free_address};
use crate::http;
use crate::main_job::{one_bug, triage, webhooks};
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// The digest of a body, as hexadecimal.
fn code(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key will do");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// What an admin webhook's registration says of its proof.
fn proof() -> Proof {
    Proof::Mac(Mac {
        algorithm: Digest::Sha256,
        header: "x-hub-signature".to_owned(),
        element: None,
        prefix: "sha256=".to_owned(),
        encoding: Encoding::Hex,
        signed: vec![SignedPart::RawBody],
        timestamp: None,
        secret: SecretRef::Registration,
    })
}

fn proves(secret: &[u8], body: &[u8], signature: &str) -> bool {
    let headers = [("x-hub-signature".to_owned(), signature.as_bytes().to_vec())];
    let url = "https://hooks.example.test/hooks/t";
    let incoming = Incoming { url, last_segment: "t", query: "", headers: &headers, body };
    prove(&proof(), &incoming, Some(secret), 0).is_ok()
}

/// A host that serves, and what is needed to sign for it.
struct Receiver {
    stage: Stage,
    _serving: Serving,
    callback: String,
    secret: String,
}

impl Receiver {
    fn new() -> Self {
        let stage = Stage::new();
        let tee = Tee::before(&stage);
        let added = tee.connect(&stage);
        assert_eq!(added.code, 0, "{added:#?}");
        let address = free_address();
        let url = format!("http://{address}");
        stage.host.run(&["subscribe", "issue-created", "--connection", "demo", "--public-url", &url]).expect(0);
        let serving = stage.host.serve_at(&address, &[]);
        let callback = text(&webhooks(&stage)[0]["url"]);
        let secret = tee.secret();
        Self { stage, _serving: serving, callback, secret }
    }

    fn deliver(&self, body: &[u8], headers: &[(&str, &str)]) -> u16 {
        let headers: Vec<_> = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        http::send("POST", &self.callback, &headers, body).status
    }

    fn deliver_signed(&self, identifier: &str, body: &[u8], signature: &str) -> u16 {
        self.deliver(body, &[("x-atlassian-webhook-identifier", identifier), ("x-hub-signature", signature)])
    }
}

#[test]
fn w1_every_right_signature_is_accepted_and_every_changed_bit_is_refused() {
    let vector = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    let published = proves(b"It's a Secret to Everybody", b"Hello World!", vector);
    let seed = 20_261_122;
    let mut draw = Draw(seed);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..10_000 {
        let secret = [draw.bytes(64), vec![1]].concat();
        let mut body = [draw.bytes(400), vec![2]].concat();
        let mut signature = code(&secret, &body).into_bytes();
        let signed = |code: &[u8]| format!("sha256={}", String::from_utf8_lossy(code));
        accepted += u32::from(proves(&secret, &body, &signed(&signature)));
        if draw.next().is_multiple_of(2) {
            let at = draw.next() as usize % body.len();
            body[at] ^= 1 << (draw.next() % 8);
        } else {
            let at = draw.next() as usize % signature.len();
            signature[at] ^= 1;
        }
        refused += u32::from(!proves(&secret, &body, &signed(&signature)));
    }

    let receiver = Receiver::new();
    let (mut taken, mut thrown_out) = (0, 0);
    for number in 0..100 {
        let body = format!("{{\"webhookEvent\":\"none\",\"number\":{number}}}").into_bytes();
        let right = format!("sha256={}", code(receiver.secret.as_bytes(), &body));
        let mut changed = body.clone();
        let at = draw.next() as usize % changed.len();
        changed[at] ^= 1;
        thrown_out += u32::from(receiver.deliver_signed(&format!("w1-{number}"), &changed, &right) == 401);
        taken += u32::from(receiver.deliver_signed(&format!("w1-{number}"), &body, &right) == 200);
    }
    figure(
        "W1",
        &format!("the published vector, 10,000 random ones (seed {seed}), 100 over HTTP"),
        "100 % accepted / 100 % with one bit changed refused",
        format!("vector {published}; {accepted}/{refused} of 10000; over HTTP {taken}/{thrown_out} of 100"),
        published && accepted == 10_000 && refused == 10_000 && taken == 100 && thrown_out == 100,
    );
}

#[test]
fn w2_only_the_exact_signature_over_the_exact_bytes_is_accepted() {
    let receiver = Receiver::new();
    let body = br#"{"webhookEvent": "none",  "b": 2, "a": 1}"#;
    let code_of = |body: &[u8]| code(receiver.secret.as_bytes(), body);
    let right = code_of(body);
    let upper = right.to_uppercase();
    let swapped: String = right.chars().rev().collect();
    let signatures = [
        String::new(),
        " ".into(),
        "=".into(),
        "sha256".into(),
        "sha256=".into(),
        "sha256= ".into(),
        right.clone(),
        format!("={right}"),
        format!("sha1={right}"),
        format!("sha512={right}"),
        format!("md5={right}"),
        format!("none={right}"),
        format!("SHA256={right}"),
        format!("Sha256={right}"),
        format!("sha256:{right}"),
        format!("sha256 ={right}"),
        format!("sha256= {right}"),
        format!("sha-256={right}"),
        format!("hmac-sha256={right}"),
        format!("sha256={upper}"),
        format!("sha256={}{}", &upper[..32], &right[32..]),
        format!("sha256={swapped}"),
        format!("sha256={}", &right[..63]),
        format!("sha256={}", &right[..62]),
        format!("sha256={right}0"),
        format!("sha256={right}00"),
        format!("sha256={right}{right}"),
        format!("sha256=0x{right}"),
        format!("sha256=\"{right}\""),
        format!("\"sha256={right}\""),
        format!("sha256={right},"),
        format!("sha256={right};"),
        format!("sha256={right}, sha256={right}"),
        format!("sha256={},sha256={right}", "0".repeat(64)),
        format!("v1={right}"),
        format!("sha256={}", "0".repeat(64)),
        format!("sha256={}", "f".repeat(64)),
        format!("sha256={}", "g".repeat(64)),
        "sha256=null".into(),
        "sha256=undefined".into(),
        format!("sha256=%61{}", &right[1..]),
        format!("Bearer {right}"),
        format!("sha256={}", code(b"", body)),
        format!("sha256={}", code(b"another secret", body)),
        format!("sha256={}", code_of(b"")),
        format!("sha256={}", code_of(br#"{"webhookEvent":"none","b":2,"a":1}"#)),
        format!("sha256={}", code_of(br#"{"a":1,"b":2,"webhookEvent":"none"}"#)),
    ];
    let (mut cases, mut accepted) = (0, Vec::new());
    let mut judge = |what: &str, status: u16| {
        cases += 1;
        if status != 401 {
            accepted.push(format!("{what:?}: {status}"));
        }
    };
    let id = ("x-atlassian-webhook-identifier", "w2");
    for signature in &signatures {
        judge(signature, receiver.deliver_signed("w2", body, signature));
    }
    let good = format!("sha256={right}");
    let zero = format!("sha256={}", "0".repeat(64));
    judge("no header", receiver.deliver(body, &[id]));
    judge("another header", receiver.deliver(body, &[id, ("x-hub-signature-256", &good)]));
    judge("twice the same", receiver.deliver(body, &[id, ("x-hub-signature", &good), ("x-hub-signature", &good)]));
    judge("right, then wrong", receiver.deliver(body, &[id, ("x-hub-signature", &good), ("x-hub-signature", &zero)]));
    judge("wrong, then right", receiver.deliver(body, &[id, ("x-hub-signature", &zero), ("x-hub-signature", &good)]));
    for changed in [
        &br#"{"webhookEvent":"none","b":2,"a":1}"#[..],
        b"",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe\x00",
        &body[..body.len() - 1],
    ] {
        judge("another body", receiver.deliver_signed("w2", changed, &good));
    }
    judge("one blank more", receiver.deliver_signed("w2", &[body, &b" "[..]].concat(), &good));
    judge("one line end more", receiver.deliver_signed("w2", &[body, &b"\n"[..]].concat(), &good));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, body).expect("memory takes all");
    let packed = packed.finish().expect("memory takes all");
    let gzip = ("content-encoding", "gzip");
    judge("packed, signed unpacked", receiver.deliver(&packed, &[id, gzip, ("x-hub-signature", &good)]));
    let not_text = [b"\xff\xfe", &body[..]].concat();
    let accepted_exact = receiver.deliver_signed("w2", body, &good) == 200;
    let accepted_bytes =
        matches!(receiver.deliver_signed("w2-bytes", &not_text, &format!("sha256={}", code_of(&not_text))), 200);
    figure(
        "W2",
        "signatures and bodies that are almost right",
        "0 false accepts of ≥ 40",
        format!(
            "{} false accepts of {cases}; the exact one accepted: {accepted_exact}, also over bytes that are no text: {accepted_bytes}{}",
            accepted.len(),
            accepted.iter().take(3).map(|one| format!("; {one}")).collect::<String>()
        ),
        accepted.is_empty() && cases >= 40 && accepted_exact && accepted_bytes,
    );
    assert!(receiver.stage.host.run(&["events", "list"]).list().is_empty(), "nothing refused left a trace as an event");
}

#[test]
fn w6_one_delivery_that_comes_six_times_starts_its_flow_once() {
    let (stage, _serving) = triage();
    let (_, _, delivery) = one_bug(&stage);
    let identifier = text(&delivery["identifier"]);
    let original = stage.jira.captured(&identifier).body;
    let attempts = |count: usize| {
        eventually("the attempt", || {
            let all = stage.jira.deliveries();
            let same = all.into_iter().find(|other| other["identifier"] == *identifier)?;
            same["attempts"].as_array().filter(|attempts| attempts.len() >= count).cloned()
        })
    };
    for attempt in 2..=6 {
        stage.jira.advance(Duration::from_secs(15 * 60));
        stage.jira.control("POST", &format!("/webhooks/deliveries/{identifier}/redeliver"), &Value::Null);
        attempts(attempt);
    }
    let all = attempts(6);
    let acknowledged = all.iter().skip(1).filter(|attempt| attempt["status"] == 200).count();
    let span = all[5]["at_ms"].as_i64().unwrap_or(0) - all[0]["at_ms"].as_i64().unwrap_or(0);
    std::thread::sleep(Duration::from_millis(600));
    // Of any state: a second one that hangs is a second one.
    let starts = stage.host.run(&["runs", "list"]).list().len();
    assert_eq!(stage.jira.captured(&identifier).body, original, "the bodies are equal");
    figure(
        "W6",
        "the same delivery six times over 75 minutes",
        "1 start; 5 × 200",
        format!("{starts} start; {acknowledged} × 200 after the first; {} virtual minutes", span / 60_000),
        starts == 1 && acknowledged == 5 && all[0]["status"] == 200 && span >= 74 * 60_000,
    );
}
