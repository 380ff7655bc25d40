//! What the host reads: proofs of deliveries, addresses, flows, expressions, manifests, its own store, and what a guest
//! answers.

use std::path::Path;
use std::sync::OnceLock;

use host_harness::egress::Origin;
use host_harness::engine::expression::{Expression, Scope, Template};
use host_harness::engine::flow;
use host_harness::plugin::contract::event::{
    Digest, Encoding, HeaderElement, Jwt, Mac, Proof, SecretRef, SignedPart, Timestamp, Token, TokenPlace,
};
use host_harness::plugin::{Manifest, Plugin};
use host_harness::store::Store;
use host_harness::webhook::proof::{Incoming, Refusal, prove};
use serde_json::{Value, json};

use super::Target;
use crate::faults::cell::{hostile, patient, run};

pub(super) const TARGETS: &[Target] = &[
    ("hmac-header", hmac_header),
    ("jwt", jwt),
    ("headers", headers),
    ("origin", origin),
    ("flow-file", flow_file),
    ("expression", expression),
    ("template", template),
    ("manifest", manifest),
    ("stored-json", stored_json),
    ("answers", answers),
];

const SECRET: &[u8] = b"fake-secret-of-the-fuzz-run";
const NOW: u64 = 1_700_000_000_000;

fn proved(proof: &Proof, headers: &[(String, Vec<u8>)], query: &str, body: &[u8]) -> Result<(), Refusal> {
    let incoming = Incoming { url: "https://hooks.test/hooks/x", last_segment: "x", query, headers, body };
    prove(proof, &incoming, Some(SECRET), NOW).map(drop)
}

/// Nobody guesses a code: whatever the header says, nothing is proved.
fn hmac_header(input: &[u8]) {
    let header = [("x-signature".to_owned(), input.to_vec())];
    for (element, encoding) in
        [(None, Encoding::Hex), (Some("v1"), Encoding::Base64), (Some("v1"), Encoding::Base64url)]
    {
        let time =
            SignedPart::HeaderElement(HeaderElement { header: "x-signature".to_owned(), element: "t".to_owned() });
        let mac = Mac {
            algorithm: Digest::Sha256,
            header: "X-Signature".to_owned(),
            element: element.map(str::to_owned),
            prefix: if element.is_none() { "sha256=".to_owned() } else { String::new() },
            encoding,
            signed: vec![time.clone(), SignedPart::RawBody],
            timestamp: Some(Timestamp { part: time, tolerance_s: 300 }),
            secret: SecretRef::Registration,
        };
        assert!(proved(&Proof::Mac(mac), &header, "", b"{}").is_err());
    }
}

/// The corpus holds no token that was signed with the secret, so none holds.
fn jwt(input: &[u8]) {
    let header = [("authorization".to_owned(), input.to_vec())];
    let jwt = Jwt {
        algorithms: vec!["HS256".to_owned(), "HS512".to_owned()],
        header: "authorization".to_owned(),
        prefix: "Bearer ".to_owned(),
        secret: SecretRef::Registration,
        leeway_s: 60,
    };
    assert!(proved(&Proof::Jwt(jwt), &header, "", b"{}").is_err());
}

/// Lines `name: value`, and the first line as the query.
fn headers(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let headers: Vec<_> = lines
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default().to_vec();
            (String::from_utf8_lossy(&line[..colon]).to_lowercase(), value)
        })
        .collect();
    let places = [TokenPlace::Header("x-token".to_owned()), TokenPlace::Query("token".to_owned()), TokenPlace::Path];
    for place in places {
        let token = Proof::Token(Token { place, secret: SecretRef::Registration });
        assert!(proved(&token, &headers, &query, b"").is_err());
    }
}

/// What can be pinned is written as it is read, and lets no request out to another authority.
fn origin(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let pinned = Origin::parse("https://example.test/base/").expect("an origin");
    if let Ok(uri) = text.parse::<axum::http::Uri>()
        && let Ok(sent) = pinned.admit(&uri)
    {
        assert_eq!((sent.scheme_str(), sent.authority().map(|a| a.as_str())), (Some("https"), Some("example.test")));
        assert!(sent.path().starts_with("/base/"), "{text:?}");
    }
    if let Ok(origin) = Origin::parse(&text) {
        assert_eq!(Origin::parse(&origin.to_string()), Ok(origin), "{text:?}");
    }
}

fn flow_file(input: &[u8]) {
    let _ = flow::parse(Path::new("flow.yaml"), &String::from_utf8_lossy(input));
}

fn scope() -> Scope {
    let mut scope = Scope::default();
    scope.set(
        "event",
        &json!({"issue": {"key": "DEMO-1", "labels": ["a", "b"]}, "count": 7, "ratio": 0.5, "none": null}),
    );
    scope.set("steps", &json!({"first": {"key": "DEMO-2"}}));
    scope
}

fn expression(input: &[u8]) {
    if let Ok(expression) = Expression::parse(&String::from_utf8_lossy(input)) {
        let _ = expression.check_names(&["event", "steps"], &["first"]);
        let _ = expression.evaluate(&scope());
    }
}

fn template(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let value = serde_json::from_slice(input).unwrap_or(Value::String(text.into_owned()));
    if let Ok(template) = Template::parse(&value) {
        let _ = template.fill(&scope());
    }
}

fn manifest(input: &[u8]) {
    if let Ok(manifest) = Manifest::parse(&String::from_utf8_lossy(input)) {
        assert!(manifest.cards.iter().all(|card| manifest.card(&card.id).is_some()));
    }
}

/// What others wrote into the host's own database: each text in turn in every column that holds JSON.
fn stored_json(input: &[u8]) {
    static STORE: OnceLock<(tempfile::TempDir, Store, std::sync::Mutex<rusqlite::Connection>)> = OnceLock::new();
    let (_, store, other) = STORE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let store = Store::open(&path).expect("a store");
        let other = rusqlite::Connection::open(&path).expect("the same database");
        other.pragma_update(None, "synchronous", "OFF").expect("a pragma");
        let rows = "INSERT INTO credential (id, connector, method, form, generation, created_at_ms, version, scopes)
                   VALUES ('k', 'x', 'token', '{}', 1, 0, 1, '[]');
             INSERT INTO connection (id, name, component, connector, method, form, settings, origins, allow_private,
                       proven, created_at_ms, updated_at_ms, credential)
                   VALUES ('c', 'n', 'x.wasm', 'x', 'token', '{}', '{}', '[]', 0, 0, 0, 0, 'k')";
        other.execute_batch(rows).expect("a connection and its credential");
        (folder, store, std::sync::Mutex::new(other))
    });
    let other = other.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let text = String::from_utf8_lossy(input);
    for column in ["form", "settings", "origins", "health"] {
        other.execute(&format!("UPDATE connection SET {column} = ?1"), [&text]).expect("a text fits");
        let _ = store.connections();
        let plain = if column == "origins" { "[]" } else { "{}" };
        other.execute(&format!("UPDATE connection SET {column} = ?1"), [plain]).expect("a text fits");
    }
    for column in ["form", "scopes"] {
        other.execute(&format!("UPDATE credential SET {column} = ?1"), [&text]).expect("a text fits");
        let _ = (store.grants(), store.credential("k"));
        other.execute(&format!("UPDATE credential SET {column} = '{{}}'"), []).expect("a text fits");
    }
    assert!(store.connections().is_ok_and(|all| all.len() == 1));
    assert!(store.grants().is_ok_and(|all| all.len() == 1));
}

/// The first byte says where in a result the rest stands.
fn answers(input: &[u8]) {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    const PLACES: [&str; 9] = [
        "output",
        "memo",
        "extra",
        "state",
        "notice-code",
        "notice-message",
        "failure-message",
        "failure-code",
        "failure-field",
    ];
    let plugin = PLUGIN.get_or_init(|| hostile(patient()));
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    let text = format!("hex:{}", hex::encode(rest));
    // `run` holds the host to its word that what it lets through is JSON.
    let _ = run(plugin, "fuzz", "bad-text", &json!({"at": PLACES[usize::from(*first) % PLACES.len()], "text": text}));
}
