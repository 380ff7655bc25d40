//! Signatures of OAuth 1.0a, made by our host for somebody else's library to judge: `cargo xtask test --hosts` hands
//! what is printed here to `tests/hosts/oauth1_signatures.py`.

use std::collections::HashSet;

use host_harness::authorize::key_pair;
use host_harness::authorize::signature::{Signer, Stamp};
use host_harness::clock::SystemClock;
use serde_json::json;

use crate::draw::Draw;

/// Addresses in which encodings are odd, parameters come twice, or hosts and ports are written in another way.
const URLS: [&str; 28] = [
    "https://jira.example.test/rest/api/2/myself",
    "https://jira.example.test:443/rest/api/2/myself",
    "https://JIRA.Example.TEST/rest/api/2/myself",
    "http://jira.example.test:80/",
    "http://jira.example.test:443/",
    "https://jira.example.test:8443/context/rest/api/2/search?jql=project%20%3D%20DEMO&maxResults=50",
    "https://jira.example.test/search?jql=project+%3D+DEMO",
    "https://jira.example.test/search?a=1&a=2&a=0&a=10",
    "https://jira.example.test/search?b=2&a=1&c=3",
    "https://jira.example.test/search?a%20b=c%20d&a+b=c+d",
    "https://jira.example.test/search?empty=&also=",
    "https://jira.example.test/search?a=%3D&b=%26&c=%25&d=%2B",
    "https://jira.example.test/search?a=%253D&b=%2526",
    "https://jira.example.test/search?%C3%A4=%F0%9F%94%91&%E4%B8%AD=%E6%96%87",
    "https://jira.example.test/search?a=%7E-._~&b=!*'()",
    "https://jira.example.test/search?a=%21%2A%27%28%29",
    "https://jira.example.test/search?A=1&a=2&B=3",
    "https://jira.example.test/search?a.b=1&a-b=2&a_b=3&a%7Eb=4",
    "https://jira.example.test/search?a=b=c",
    "https://jira.example.test/search?q=a/b:c?d@e,f;g",
    "https://jira.example.test/path%20with%20blanks/and%2Fslash",
    "https://jira.example.test/path/%C3%A4/x",
    "https://jira.example.test/path;a=b;c/d",
    "https://jira.example.test/~tilde/-._/",
    "https://jira.example.test/path//twice/",
    "https://192.0.2.7:8443/rest?x=y",
    "https://jira.example.test/search?oauth=1&z=%0A%09",
    "https://jira.example.test/search?aa=1&a=1&aaa=1&a%00=1",
];

/// A text as it may stand in a query: blanks in one of two ways, and digits of either case.
fn encoded(text: &str, way: usize) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b' ' if way.is_multiple_of(2) => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte if way.is_multiple_of(3) => format!("%{byte:02x}"),
        byte => format!("%{byte:02X}"),
    });
    bytes.collect()
}

#[test]
fn signatures_for_another_library_to_judge() {
    let clock = SystemClock::shared();
    let (private, public) = key_pair(&clock);
    let signer = Signer::new("consumer key/ö", &private).expect("a key of ours");
    let mut draw = Draw(5849);
    let letters: Vec<char> = "abcAB01 +%&=/?#'\"!*()~-._äß中🔑\n".chars().collect();
    let mut text = |most| (0..draw.below(most)).map(|_| letters[draw.below(letters.len() as u64) as usize]).collect();
    let mut urls: Vec<String> = URLS.map(str::to_owned).to_vec();
    for number in 0..22 {
        let pairs: Vec<String> = (0..6)
            .map(|_| {
                let (name, value): (String, String) = (text(6), text(12));
                format!("n{}={}", encoded(&name, number), encoded(&value, number))
            })
            .collect();
        urls.push(format!("https://jira.example.test/rest?{}", pairs.join("&")));
    }
    let own: [&[(&str, &str)]; 4] = [
        &[("oauth_token", "token")],
        &[("oauth_token", "to/ken+ö %"), ("oauth_verifier", "ver&ifier=")],
        &[("oauth_callback", "http://127.0.0.1:7777/callback?a=b&c=d")],
        &[("oauth_callback", "oob")],
    ];
    let mut headers = HashSet::new();
    for (number, url) in urls.iter().enumerate() {
        let method = ["GET", "POST", "PUT", "DELETE"][number % 4];
        let own = own[number % own.len()];
        let stamp = Stamp { nonce: format!("nonce{number}"), timestamp: 1_767_225_600 + number as u64 };
        let sign = || {
            let (method, uri) = (method.parse().expect("a method"), url.parse().expect("a URI"));
            signer.authorization(&method, &uri, own, &stamp, &clock).expect("a signature").expose().to_owned()
        };
        let header = sign();
        assert_eq!(header, sign(), "blinding changes nothing of the signature");
        let case = json!({
            "method": method, "url": url, "consumer": "consumer key/ö", "own": own,
            "nonce": stamp.nonce, "timestamp": stamp.timestamp.to_string(),
            "private": private.expose(), "public": public, "authorization": header,
        });
        println!("{}", json!({ "signed": case }));
        assert!(headers.insert(header), "{url}: each request has a signature of its own");
    }
    assert_eq!(headers.len(), 50);
}
