//! W3, W4, W5: each delivery is proved by what was registered, and by nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use host_harness::plugin::contract::event::{Jwt, Proof, Registration, SecretRef, Token, TokenPlace};
use serde_json::{Value, json};
use sha2::Sha256;

use super::sender::{Sender, all_read, created, now_ms, starts, store, watching};
use crate::figure::figure;
use crate::harness::Harness;
use crate::http;
use crate::stage::Stage;

/// Has what is registered prove its deliveries in another way.
fn reprove(stage: &Stage, sender: &Sender, proof: &Proof) {
    let store = store(stage);
    let known = store.registrations(&sender.connection).expect("the store reads");
    let changed: Vec<_> = known.into_iter().map(|one| Registration { proof: proof.clone(), ..one }).collect();
    store.put_registrations(&sender.connection, &changed).expect("the store writes");
}

fn jwt_proof() -> Proof {
    Proof::Jwt(Jwt {
        algorithms: vec!["HS256".into()],
        header: "authorization".into(),
        prefix: "JWT ".into(),
        secret: SecretRef::Registration,
        leeway_s: 60,
    })
}

fn token(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn w3_only_a_valid_token_of_the_registered_kind_is_accepted() {
    let (stage, _serving, sender) = watching();
    reprove(&stage, &sender, &jwt_proof());
    let now = now_ms() / 1000;
    let hs256 = json!({"alg": "HS256", "typ": "JWT"});
    let claims = |iat: u64, exp: u64| json!({"iss": "jira", "iat": iat, "exp": exp});
    let good = token(&hs256, &claims(now, now + 180), &sender.secret);
    let unsigned = {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims(now, now + 180)))
    };
    let signature = good.rsplit('.').next().expect("three parts").to_owned();
    let forged = [
        unsigned.clone(),
        format!("{unsigned}{signature}"),
        token(&json!({"alg": "none"}), &claims(now, now + 180), &sender.secret),
        token(&json!({"alg": "RS256"}), &claims(now, now + 180), &sender.secret),
        token(&json!({"alg": "HS512"}), &claims(now, now + 180), &sender.secret),
        token(&json!({"alg": "hs256"}), &claims(now, now + 180), &sender.secret),
        token(&hs256, &claims(now, now + 180), "another-tenants-secret"),
        token(&hs256, &claims(now, now + 180), ""),
        token(&hs256, &claims(now - 600, now - 300), &sender.secret),
        token(&hs256, &claims(now - 600, now - 90), &sender.secret),
        token(&hs256, &claims(now + 300, now + 600), &sender.secret),
        token(&hs256, &json!({"iss": "jira", "nbf": now + 300, "exp": now + 600}), &sender.secret),
        token(&hs256, &json!({"iss": "jira", "exp": "never"}), &sender.secret),
        format!("{}.{signature}", good.rsplit_once('.').expect("three parts").0.replacen('e', "f", 1)),
        good[..good.len() - 1].to_owned(),
        String::new(),
        "..".into(),
    ];
    let send = |id: &str, header: &str| {
        let body = created(1, now_ms(), 0);
        sender.deliver_with(&body, &[("x-atlassian-webhook-identifier", id), ("authorization", header)])
    };
    let mut accepted: Vec<_> = forged.iter().filter(|one| send("w3", &format!("JWT {one}")) != 401).collect();
    let bearer = format!("Bearer {good}");
    let no_header = sender.deliver_with(b"{}", &[("x-atlassian-webhook-identifier", "w3")]);
    accepted.extend((send("w3", &bearer) != 401).then_some(&bearer));
    accepted.extend((no_header != 401).then_some(&bearer));
    let right = send("w3-good", &format!("JWT {good}"));
    let skewed = [claims(now + 50, now + 200), claims(now - 300, now - 50)];
    let skewed = skewed.iter().enumerate().all(|(number, claims)| {
        send(&format!("w3-skew-{number}"), &format!("JWT {}", token(&hs256, claims, &sender.secret))) == 200
    });
    all_read(&stage);
    figure(
        "W3",
        "tokens that are almost right, at a callback registered with HS256",
        "0 false accepts; the valid one accepted, and within ± 60 s",
        format!(
            "{} false accepts of {}; the valid one {right}; within the leeway {skewed}; {} start",
            accepted.len(),
            forged.len() + 2,
            starts(&stage)
        ),
        accepted.is_empty() && right == 200 && skewed && starts(&stage) == 1,
    );
}

#[test]
fn w4_a_delivery_is_never_proved_by_less_than_what_was_registered() {
    let (stage, _serving, sender) = watching();
    let body = created(1, now_ms(), 0);
    let (id, right) = (("x-atlassian-webhook-identifier", "w4"), sender.signature(&body));
    let now = now_ms() / 1000;
    let claims = json!({"iat": now, "exp": now + 180});
    let jwt = format!("JWT {}", token(&json!({"alg": "HS256"}), &claims, &sender.secret));
    let mut statuses = vec![
        sender.deliver_with(&body, &[id]),
        sender.deliver_with(&body, &[id, ("authorization", &jwt)]),
        sender.deliver_with(&body, &[id, ("x-hub-signature", "")]),
        sender.deliver_with(&body, &[id, ("x-token", &sender.secret)]),
    ];
    reprove(&stage, &sender, &jwt_proof());
    statuses.extend([
        sender.deliver_with(&body, &[id]),
        sender.deliver_with(&body, &[id, ("x-hub-signature", &right)]),
        sender.deliver_with(&body, &[id, ("authorization", &right)]),
    ]);
    // They are counted in memory, and kept a second later at the latest.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let listed = stage.host.run(&["subscriptions"]).list();
    let counted = listed[0]["deliveries"]["refused"].as_u64().unwrap_or(0) as usize;
    let refused = statuses.iter().filter(|status| **status == 401).count();
    figure(
        "W4",
        "unsigned and otherwise signed deliveries at signed callbacks",
        "0 accepted; 401, and counted",
        format!("{} accepted of {}; {counted} counted", statuses.len() - refused, statuses.len()),
        refused == statuses.len() && counted == refused && starts(&stage) == 0,
    );
}

#[test]
fn w5_without_a_signature_only_the_right_path_is_accepted_and_its_token_stays_out_of_logs() {
    let stage = Stage { jira: crate::simulator::Jira::start(), host: Harness::new().loud() };
    assert_eq!(stage.connect("demo", "admin", &[]).code, 0);
    stage.host.file("flows/watch.yaml", super::sender::WATCH);
    let _serving = stage.host.serve(&["--flows", "flows"]);
    let sender = Sender::of(&stage, "demo", &stage.jira);
    let place = TokenPlace::Path;
    reprove(&stage, &sender, &Proof::Token(Token { place, secret: SecretRef::Registration }));
    let (base, right) = sender.callback.rsplit_once('/').expect("a path");
    assert!(right.bytes().all(|byte| byte.is_ascii_hexdigit()), "the token is hexadecimal: 4 bits in each digit");
    let bits = right.len() * 4;
    let mut wrong = vec![String::new(), "0".repeat(right.len()), right.to_uppercase(), format!("{right}0")];
    wrong.extend((0..right.len()).map(|at| {
        let other = if &right[at..=at] == "0" { "1" } else { "0" };
        format!("{}{other}{}", &right[..at], &right[at + 1..])
    }));
    wrong.extend((0..right.len()).map(|length| right[..length].to_owned()));
    let body = created(1, now_ms(), 0);
    let send = |url: &str| http::send("POST", url, &[], &body).status;
    let mut accepted = wrong.iter().filter(|token| send(&format!("{base}/{token}")) == 200).count();
    accepted += usize::from(send(&format!("{base}/{right}/other")) == 200);
    let taken = send(&sender.callback);
    all_read(&stage);
    let listed = stage.host.run_plain(&["subscriptions"], "").stdout;
    let shown = listed.contains("(token)");
    // What the test printed itself is not in it: only what the host said.
    let leaked = stage.host.said().matches(right).count();
    figure(
        "W5",
        "a callback that is proved by its path alone",
        "0 accepts of a wrong token; ≥ 128 bits; the token in no log; shown as not signed",
        format!(
            "{accepted} accepts of {}; the right one {taken}; {bits} bits; {leaked} times in logs; shown {shown}",
            wrong.len() + 1
        ),
        accepted == 0 && taken == 200 && bits >= 128 && leaked == 0 && shown,
    );
}
