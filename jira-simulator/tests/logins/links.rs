//! OAuth 1.0a: the whole dance, and every way a signed request can be wrong.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::center::center;
use crate::client::Jira;
use crate::raw::raw;

fn keys() -> &'static [RsaPrivateKey; 2] {
    static KEYS: OnceLock<[RsaPrivateKey; 2]> = OnceLock::new();
    // Small for speed: what is tested is not the strength of RSA.
    KEYS.get_or_init(|| std::array::from_fn(|_| RsaPrivateKey::new(&mut rand_core(), 1024).expect("a key")))
}

fn rand_core() -> impl rsa::rand_core::CryptoRngCore {
    rsa::rand_core::OsRng
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A client with a link, signing with one of the keys.
struct Client<'a> {
    jira: &'a Jira,
    key: usize,
}

const SERVLET: &str = "/plugins/servlet/oauth";

impl<'a> Client<'a> {
    fn new(jira: &'a Jira) -> Self {
        let public = keys()[0].to_public_key().to_public_key_pem(LineEnding::LF).expect("PEM");
        let link = json!({"consumer_key": "flow", "name": "A flow", "public_key": public});
        assert_eq!(jira.control("POST", "/links", Some(link)).0, 204);
        Self { jira, key: 0 }
    }

    /// The parameters of a signed request now, before its signature.
    fn parameters(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        static NONCE: AtomicU64 = AtomicU64::new(1);
        let now = self.jira.control("GET", "/time", None).1["now_ms"].as_i64().expect("a time") / 1_000;
        let mut all = vec![
            ("oauth_consumer_key".to_owned(), "flow".to_owned()),
            ("oauth_signature_method".to_owned(), "RSA-SHA1".to_owned()),
            ("oauth_timestamp".to_owned(), now.to_string()),
            ("oauth_nonce".to_owned(), format!("nonce-{}", NONCE.fetch_add(1, Ordering::Relaxed))),
            ("oauth_version".to_owned(), "1.0".to_owned()),
        ];
        for (name, value) in more {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        all
    }

    fn send(&self, method: &str, path: &str, more: &[(&str, &str)]) -> (u16, String) {
        self.send_signed(method, path, &self.parameters(more))
    }

    fn send_signed(&self, method: &str, path: &str, parameters: &[(String, String)]) -> (u16, String) {
        let url = self.jira.url(path);
        let (address, query) = url.split_once('?').unwrap_or((&url, ""));
        let mut signed: Vec<(String, String)> =
            parameters.iter().map(|(name, value)| (encode(name), encode(value))).collect();
        signed
            .extend(url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (encode(&name), encode(&value))));
        signed.sort();
        let pairs: Vec<String> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let base = format!("{method}&{}&{}", encode(address), encode(&pairs.join("&")));
        let signature = keys()[self.key].sign(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(base)).expect("a signature");
        let mut header = format!("OAuth oauth_signature=\"{}\"", encode(&STANDARD.encode(signature)));
        for (name, value) in parameters {
            header.push_str(&format!(", {}=\"{}\"", encode(name), encode(value)));
        }
        let answer = raw(method, &url, &[("authorization", &header)], "");
        if answer.status() == 401 && answer.body().starts_with("oauth_problem") {
            let challenge = answer.headers()["www-authenticate"].to_str().expect("a text");
            assert!(challenge.starts_with("OAuth realm=") && challenge.contains("oauth_problem="), "{challenge}");
        }
        (answer.status().as_u16(), answer.body().clone())
    }

    fn request_token(&self, callback: &str) -> String {
        let (status, body) = self.send("POST", &format!("{SERVLET}/request-token"), &[("oauth_callback", callback)]);
        assert_eq!(status, 200, "{body}");
        assert_eq!(value(&body, "oauth_callback_confirmed"), "true");
        value(&body, "oauth_token")
    }

    /// Where the person is sent on to, or the page that is shown.
    fn authorize(&self, token: &str) -> http::Response<String> {
        raw("GET", &format!("{}?oauth_token={token}", self.jira.url(&format!("{SERVLET}/authorize"))), &[], "")
    }

    fn access_token(&self, token: &str, verifier: &str) -> (u16, String) {
        let more = [("oauth_token", token), ("oauth_verifier", verifier)];
        self.send("POST", &format!("{SERVLET}/access-token"), &more)
    }
}

fn value(form: &str, name: &str) -> String {
    let found = url::form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {form}")).1.into_owned()
}

fn problem((status, body): &(u16, String)) -> (u16, String) {
    (*status, value(body, "oauth_problem"))
}

fn consent(jira: &Jira, how: &str) {
    jira.control("PATCH", "/settings", Some(json!({"consent": how})));
}

const CALLBACK: &str = "http://127.0.0.1:1/back?kept=1";

fn verifier(answer: &http::Response<String>) -> String {
    assert_eq!(answer.status(), 302, "{}", answer.body());
    let location = answer.headers()["location"].to_str().expect("a text");
    assert!(location.starts_with(CALLBACK), "{location}");
    value(location.split_once('?').expect("a query").1, "oauth_verifier")
}

#[test]
fn the_dance_ends_with_a_token_of_five_years_that_signs_every_request() {
    let jira = center("7.13");
    let client = Client::new(&jira);
    consent(&jira, "auto");
    let request = client.request_token(CALLBACK);
    assert_eq!(problem(&client.access_token(&request, "x")), (401, "permission_unknown".to_owned()));
    let verifier = verifier(&client.authorize(&request));
    assert_eq!(problem(&client.access_token(&request, "wrong")), (401, "token_rejected".to_owned()));
    let (status, body) = client.access_token(&request, &verifier);
    assert_eq!((status, value(&body, "oauth_expires_in")), (200, "157680000".to_owned()));
    assert_eq!(problem(&client.access_token(&request, &verifier)), (401, "token_rejected".to_owned()), "used twice");
    let token = value(&body, "oauth_token");
    let myself = || client.send("GET", "/rest/api/2/myself", &[("oauth_token", &token)]);
    let (status, account) = myself();
    assert_eq!((status, serde_json::from_str::<Value>(&account).expect("JSON")["name"].clone()), (200, json!("admin")));
    let odd = "/rest/api/2/search?jql=summary%20~%20%22a%2Bb+%26%3D%C3%BC%22&fields=a&fields=b&maxResults=";
    assert_eq!(client.send("GET", odd, &[("oauth_token", &token)]).0, 200, "every character is signed");
    assert_eq!(problem(&client.send("GET", "/rest/api/2/myself", &[("oauth_token", "other")])).1, "token_rejected");
    jira.control("POST", "/links/flow/revoke", None);
    assert_eq!(problem(&myself()), (401, "token_rejected".to_owned()));
    let calls = jira.control("GET", "/token-endpoint", None).1["calls"]["oauth1"].clone();
    assert_eq!(calls, json!({"ok": 1, "permission_unknown": 1, "token_rejected": 2}));
}

#[test]
fn what_is_wrong_with_a_signed_request_is_told_by_name() {
    let jira = center("9.12");
    let client = Client::new(&jira);
    let path = format!("{SERVLET}/request-token");
    let ask = |more: &[(&str, &str)]| {
        let mut all = vec![("oauth_callback", "oob")];
        all.extend_from_slice(more);
        problem(&client.send("POST", &path, &all))
    };
    let now = jira.control("GET", "/time", None).1["now_ms"].as_i64().expect("a time") / 1_000;
    let named = |name: &str| {
        (if name.starts_with("parameter") || name == "timestamp_refused" { 400 } else { 401 }, name.to_owned())
    };
    assert_eq!(ask(&[("oauth_consumer_key", "other")]), named("consumer_key_unknown"));
    assert_eq!(ask(&[("oauth_timestamp", &(now - 400).to_string())]), named("timestamp_refused"));
    assert_eq!(ask(&[("oauth_timestamp", &(now + 400).to_string())]), named("timestamp_refused"));
    assert_eq!(ask(&[("oauth_timestamp", "noon")]), named("parameter_rejected"));
    assert_eq!(ask(&[("oauth_nonce", "")]), named("parameter_absent"));
    assert_eq!(ask(&[("oauth_callback", "not an address")]), named("parameter_rejected"));
    assert_eq!(ask(&[("oauth_signature_method", "HMAC-SHA1")]).1, "signature_method_rejected");
    assert_eq!(ask(&[("oauth_signature_method", "PLAINTEXT")]).1, "signature_method_rejected");
    assert_eq!(ask(&[("oauth_version", "2.0")]).1, "version_rejected");
    let forger = Client { jira: &jira, key: 1 };
    let forged = forger.send("POST", &path, &[("oauth_callback", "oob")]);
    assert_eq!(problem(&forged), named("signature_invalid"));
    assert!(value(&forged.1, "oauth_signature_base_string").starts_with("POST&http%3A%2F%2F127.0.0.1%3A"));
    let same = client.parameters(&[("oauth_callback", "oob")]);
    assert_eq!(client.send_signed("POST", &path, &same).0, 200);
    assert_eq!(problem(&client.send_signed("POST", &path, &same)), named("nonce_used"));
    assert_eq!(jira.control("POST", "/links", Some(json!({"consumer_key": "n", "public_key": "no key"}))).0, 400);
}

#[test]
fn a_person_allows_denies_or_reads_a_verifier_and_may_be_too_late() {
    let jira = center("8.4");
    let client = Client::new(&jira);
    consent(&jira, "refuse");
    let denied = client.request_token(CALLBACK);
    assert_eq!(verifier(&client.authorize(&denied)), "denied");
    assert_eq!(problem(&client.access_token(&denied, "denied")), (401, "permission_denied".to_owned()));
    consent(&jira, "auto");
    let page = client.authorize(&client.request_token("oob"));
    assert!(page.status() == 200 && page.body().contains("verification code"), "{}", page.body());
    let late = client.request_token(CALLBACK);
    let verifier = verifier(&client.authorize(&late));
    jira.control("POST", "/time/advance", Some(json!({"ms": 600_001})));
    assert_eq!(problem(&client.access_token(&late, &verifier)), (401, "token_expired".to_owned()));
    consent(&jira, "ask");
    let page = client.authorize(&client.request_token(CALLBACK));
    assert!(page.status() == 200 && page.body().contains("A flow") && page.body().contains("Allow"), "{}", page.body());
    assert_eq!(client.authorize("no-such-token").status(), 401);
}
