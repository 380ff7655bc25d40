//! K2 and K3: what the guest can know of a secret, and where it can have one put.

use host_harness::authorize::SigningSecret;
use host_harness::egress::{Network, PinnedOrigin};
use host_harness::plugin::contract::event::{EnsureRequest, Subscription};
use host_harness::vault::Secret;
use serde_json::{Value, json};

use super::cell::{call, hostile, patient, pinned, run_with, veiled, with_token};
use crate::figure::figure;
use crate::runtime::wait_for;
use crate::service::{Reply, Service};

const TOKEN: &str = "fake-canary-token-7c1f9a";
const SIGNING: &str = "fake-canary-signing-secret-03be";

/// An empty wish for registrations, with one subscription whose filter is given.
fn wish(filter: &Value, placeholder: &str) -> EnsureRequest {
    EnsureRequest {
        wanted: vec![Subscription {
            id: "s".to_owned(),
            card: "rumour".to_owned(),
            filter: filter.to_string(),
            extra: "{}".to_owned(),
        }],
        known: Vec::new(),
        callback: "https://hooks.example.test/hooks/fake".to_owned(),
        owner: "host/c".to_owned(),
        signing_secret: placeholder.to_owned(),
        plan: false,
        extra: "{}".to_owned(),
    }
}

#[test]
fn k2_the_guest_finds_no_secret_in_all_it_can_read() {
    let plugin = hostile(patient());
    // Echoes what came, as a service might: the credential must not come back to the guest either.
    let service = Service::start(|request| {
        let sent = request.header("authorization").unwrap_or_default().to_owned();
        let headers = vec![
            ("www-authenticate".to_owned(), "Bearer".to_owned()),
            ("set-cookie".to_owned(), format!("session={}", "fake-canary-cookie-5d")),
            ("authorization".to_owned(), sent),
        ];
        Reply { status: 200, headers, body: b"{}".to_vec() }
    });
    let base = format!("{}/", service.url());
    let access = with_token(Network::new().expect("TLS"), vec![pinned(&base)], true, TOKEN);
    let secrets = [TOKEN, SIGNING, "fake-canary-cookie-5d"];
    let patterns: Vec<_> = secrets.iter().map(|secret| veiled(secret)).collect();
    let call = call("c", &json!({"base-url": base}));
    let input = json!({"patterns": patterns, "first": [{"path": "/"}, {"method": "POST", "path": "/x", "body": "{}"}]});
    let searched = wait_for(run_with(&plugin, &access, &call, "search", &input)).expect("the card works");
    let read = searched["found"]["bytes-read"].as_u64().unwrap_or(0);

    let signing = SigningSecret { placeholder: "placeholder-91".to_owned(), secret: Secret::new(SIGNING) };
    let filter = json!({"patterns": patterns, "requests": [{"method": "POST", "path": "/hooks", "body": r#"{"secret":"{{secret}}"}"#}]});
    let ensured = wait_for(plugin.ensure(&access, &call, &wish(&filter, "placeholder-91"), Some(signing)));
    let ensured = ensured.expect("the guest registers");
    let told: String = ensured.changes.iter().map(|change| change.reason.clone()).collect();

    let arrived = service.requests();
    assert!(arrived.iter().all(|request| request.header("authorization") == Some(&format!("Bearer {TOKEN}"))));
    assert_eq!(arrived.last().expect("a request").json()["secret"], SIGNING, "the service got the secret");
    let everything = searched.to_string() + &told;
    let count = |answer: &Value| answer["found"]["hits"].as_array().map_or(0, Vec::len);
    let last = ensured.changes.last().map(|change| serde_json::from_str::<Value>(&change.reason).unwrap_or_default());
    let hits = count(&searched) + last.as_ref().map_or(99, count);
    let echoed = secrets.iter().filter(|secret| everything.contains(**secret)).count();
    // A search that cannot find is worth nothing: something that the guest was given must be a hit.
    let known = wait_for(run_with(&plugin, &access, &call, "search", &json!({"patterns": [veiled(&base)]})));
    assert!(count(&known.expect("the card works")) > 0, "the guest finds what it was given");
    figure(
        "K2",
        "the guest echoes all it was given and searches all its memory",
        "0 hits",
        format!("{hits} hits in {} kB of memory, {echoed} in what it was given", read / 1024),
        hits == 0 && echoed == 0 && read > 100_000,
    );
}

#[test]
fn k3_a_placeholder_is_replaced_once_in_its_place_and_nowhere_else() {
    let plugin = hostile(patient());
    let service = Service::start(|_| Reply::json(200, &json!({})));
    let beside = Service::start(|_| Reply::json(200, &json!({})));
    let base = format!("{}/", service.url());
    let plain = PinnedOrigin { credential: false, ..pinned(&format!("{}/", beside.url())) };
    let access = with_token(Network::new().expect("TLS"), vec![pinned(&base), plain], true, TOKEN);
    let call = call("c", &json!({"base-url": base}));
    let right = json!({"method": "POST", "path": "/hooks", "body": r#"{"name":"n","secret":"{{secret}}"}"#});
    let abuses = [
        json!({"method": "POST", "path": "/a", "body": r#"{"name":"{{secret}}"}"#}),
        json!({"method": "POST", "path": "/a", "body": r#"{"deep":{"secret":"{{secret}}"}}"#}),
        json!({"method": "POST", "path": "/a", "body": r#"[{"secret":"{{secret}}"}]"#}),
        json!({"method": "POST", "path": "/a", "body": r#"{"secret":["{{secret}}"]}"#}),
        json!({"method": "POST", "path": "/a", "body": r#"{"{{secret}}":"x"}"#}),
        json!({"method": "POST", "path": "/a", "body": r#"{"secret":"x{{secret}}"}"#}),
        json!({"method": "POST", "path": "/a", "body": r#"{"secret":"{{secret}}{{secret}}"}"#}),
        json!({"method": "POST", "path": "/a", "body": "{{secret}}"}),
        json!({"method": "POST", "path": "/a", "body": "secret={{secret}}", "headers": [["content-type", "application/x-www-form-urlencoded"]]}),
        json!({"method": "POST", "path": "/a/{{secret}}", "body": "{}"}),
        json!({"method": "POST", "path": "/a?secret={{secret}}", "body": "{}"}),
        json!({"method": "POST", "path": "/a", "headers": [["x-secret", "{{secret}}"]], "body": "{}"}),
        json!({"method": "GET", "path": "/a", "headers": [["secret", "{{secret}}"]]}),
        json!({"method": "POST", "authority": format!("127.0.0.1:{}", beside.port()), "path": "/a", "body": r#"{"secret":"{{secret}}"}"#}),
    ];
    let holds = |service: &Service, skip: usize| {
        let all = service.requests();
        let text = |request: &crate::service::Request| format!("{request:?}{}", String::from_utf8_lossy(&request.body));
        all.iter().skip(skip).filter(|request| text(request).contains(SIGNING)).count()
    };
    let ensure = |requests: Vec<Value>| {
        let secret = SigningSecret { placeholder: "placeholder-92".to_owned(), secret: Secret::new(SIGNING) };
        let wish = wish(&json!({"requests": requests}), "placeholder-92");
        // Whether the host refuses the call or only does not substitute is all the same here.
        drop(wait_for(plugin.ensure(&access, &call, &wish, Some(secret))));
    };
    abuses.iter().for_each(|abuse| ensure(vec![abuse.clone()]));
    let abused = holds(&service, 0) + holds(&beside, 0);
    let before = service.requests().len();
    ensure(vec![right.clone()]);
    let once = holds(&service, before);
    let middle = service.requests().len();
    ensure(vec![right.clone(), right.clone(), right.clone()]);
    let repeated = holds(&service, middle);
    // And in a call that does not register there is nothing to replace.
    let end = service.requests().len();
    let card = json!({"request": {"method": "POST", "path": "/hooks", "body": r#"{"secret":"placeholder-92"}"#}});
    wait_for(run_with(&plugin, &access, &call, "send", &card)).expect("the card works");
    let in_a_card = holds(&service, end);
    figure(
        "K3",
        "the guest puts the placeholder into bodies, keys, paths, queries, headers, other hosts, other calls, and in three requests",
        "0 replaced but once at the named place",
        format!(
            "{abused} of {} abuses replaced, {in_a_card} in a card; the right place {once} time, of three requests {repeated}",
            abuses.len()
        ),
        abused == 0 && once == 1 && repeated == 1 && in_a_card == 0,
    );
}
