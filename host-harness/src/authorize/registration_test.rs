use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::authorize::bench::{Bench, CLIENT_SECRET};

fn query(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_authorizes_with_state_and_pkce_and_the_code_becomes_tokens() {
    let bench = Bench::start().await;
    let process = bench.process();
    let (scheme, settings) = (Bench::scheme(&json!({})), bench.settings());
    let registration = process.registration(&scheme, &settings, Some(&bench.app));
    let (url, pending) = registration.begin().await.unwrap();
    assert!(url.as_str().starts_with(&format!("{}authorize?", bench.url)));
    let asked = query(&url);
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["client_id"], "fake-client");
    assert_eq!(asked["redirect_uri"], bench.app.callback);
    assert_eq!(asked["scope"], "read offline extra");
    assert_eq!(asked["audience"], "fake-audience");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked["state"].len() >= 43 && !url.as_str().contains(CLIENT_SECRET));
    assert_eq!(format!("{pending:?}"), "Pending([secret])");
    bench.world().challenge = Some(asked["code_challenge"].clone());
    let tokens = registration.finish(pending, &format!("code=fake-code&state={}", asked["state"])).await.unwrap();
    assert_eq!(tokens.access.expose(), "fake-access-1");
    assert_eq!(tokens.scopes().unwrap(), ["read", "write"]);
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(3600)));
    assert!(!format!("{tokens:?}").contains("fake-"), "{tokens:?}");
    let (form, headers) = bench.world().asked[0].clone();
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("fake-client", CLIENT_SECRET));
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_no_answer_of_another_attempt_or_a_changed_one_is_accepted() {
    let bench = Bench::start().await;
    let process = bench.process();
    let (scheme, settings) = (Bench::scheme(&json!({"issuer": "{site}issuer"})), bench.settings());
    let ours = process.registration(&scheme, &settings, Some(&bench.app));
    let mut elsewhere = bench.app.clone();
    elsewhere.callback = "http://127.0.0.1:7778/callback".into();
    let mut another = bench.app.clone();
    another.id = "client-2".into();
    let (other_state, issuer) = ("x".repeat(43), format!("{}issuer", bench.url));
    let mut accepted = vec![];
    let (first, used) = ours.begin().await.unwrap();
    let spent = query(&first)["state"].clone();
    bench.world().challenge = Some(query(&first)["code_challenge"].clone());
    let good = format!("code=fake-code&state={spent}&iss={issuer}");
    ours.finish(used, &good).await.unwrap();
    assert_eq!(bench.asked(), 1);
    let state = "STATE";
    let cases = [
        ("reused state", format!("code=fake-code&state={spent}")),
        ("missing state", "code=fake-code".into()),
        ("empty state", "code=fake-code&state=".into()),
        ("another session's state", format!("code=fake-code&state={other_state}")),
        ("more than the state", format!("code=fake-code&state={state}x")),
        ("state twice", format!("code=fake-code&state={state}&state={state}")),
        ("code twice", format!("code=fake-code&code=other&state={state}")),
        ("other issuer", format!("code=fake-code&state={state}&iss=https://evil.test")),
        ("no code", format!("state={state}")),
        ("refused by the person", format!("error=access_denied&state={state}")),
        ("refused with a code of its own", format!("error=canary-code&code=fake-code&state={state}")),
        ("too long", format!("code=fake-code&state={state}&x={}", "x".repeat(LONGEST_ANSWER))),
        ("too much", format!("code=fake-code&state={state}{}", (0..99).map(|n| format!("&{n}=")).collect::<String>())),
    ];
    let mut all = 0;
    for (name, answer) in &cases {
        let (url, pending) = ours.begin().await.unwrap();
        let told = ours.finish(pending, &answer.replace(state, &query(&url)["state"])).await;
        let error = told.map(drop).expect_err(name).to_string();
        assert!(error.contains("begin again") && !error.contains("canary"), "{name}: {error}");
        all += 1;
    }
    for (name, app) in [("callback changed", &elsewhere), ("another client", &another)] {
        let (url, pending) = ours.begin().await.unwrap();
        let other = process.registration(&scheme, &settings, Some(app));
        let told = other.finish(pending, &format!("code=fake-code&state={}", query(&url)["state"])).await;
        assert!(matches!(told, Err(AuthorizeError::Answer(AnswerFault::Changed))), "{name}: {told:?}");
        all += 1;
    }
    let (url, pending) = ours.begin().await.unwrap();
    bench.clock.advance(PATIENCE + Duration::from_millis(1));
    let late = ours.finish(pending, &format!("code=fake-code&state={}", query(&url)["state"])).await;
    assert!(matches!(late, Err(AuthorizeError::Answer(AnswerFault::Late))), "{late:?}");
    assert_eq!(bench.asked(), 1, "none of these asked for tokens");
    // The service itself refuses these: a verifier that belongs to another challenge, and another place to come back to.
    for wrong in ["verifier", "redirect"] {
        let (url, pending) = ours.begin().await.unwrap();
        let (state, challenge) = (query(&url)["state"].clone(), query(&url)["code_challenge"].clone());
        {
            let mut world = bench.world();
            world.challenge = Some(if wrong == "verifier" { "A".repeat(43) } else { challenge });
            world.redirect = if wrong == "redirect" { elsewhere.callback.clone() } else { world.redirect.clone() };
        }
        match ours.finish(pending, &format!("code=fake-code&state={state}")).await {
            Err(AuthorizeError::Token(TokenError::Dead(_))) => {}
            other => accepted.push(format!("{wrong}: {other:?}")),
        }
        all += 1;
    }
    println!("FIGURE A11 {} attempts, {} accepted", all + 1, accepted.len());
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_tokens_of_its_own_and_shows_itself_as_the_scheme_says() {
    let bench = Bench::start().await;
    let process = bench.process();
    let more = json!({"grant": "client-credentials", "client-authentication": "basic",
                      "token-parameters": {"audience": "fake-audience"}});
    let (scheme, settings) = (Bench::scheme(&more), bench.settings());
    let registration = process.registration(&scheme, &settings, Some(&bench.app));
    assert_eq!(registration.obtain().await.unwrap().access.expose(), "fake-access-1");
    let (form, headers) = bench.world().asked[0].clone();
    assert_eq!((form["grant_type"].as_str(), form["audience"].as_str()), ("client_credentials", "fake-audience"));
    assert!(!form.contains_key("client_secret"));
    assert_eq!(headers["authorization"], "Basic ZmFrZS1jbGllbnQ6ZmFrZS1jbGllbnQtc2VjcmV0");
    assert!(matches!(registration.begin().await, Err(AuthorizeError::NotThisWay(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let bench = Bench::start().await;
    let process = bench.process();
    let settings = bench.settings();
    let scheme = Bench::scheme(&json!({"client-secret": {"app": "other"}}));
    let of = |app| process.registration(&scheme, &settings, app);
    // Begun only with all that finishing needs.
    let error = of(Some(&bench.app)).begin().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("`other`"), "{error}");
    assert!(matches!(of(None).begin().await, Err(AuthorizeError::ClientMissing)));
    let mut odd = bench.app.clone();
    odd.callback = "not a url".into();
    assert!(matches!(of(Some(&odd)).begin().await, Err(AuthorizeError::Callback(_))));
    let outside = Bench::scheme(&json!({"token-url": "https://elsewhere.test/token"}));
    let told = process.registration(&outside, &settings, Some(&bench.app)).begin().await;
    assert!(matches!(told, Err(AuthorizeError::Template(_))), "{told:?}");
    assert_eq!(bench.asked(), 0);
}

/// The parameters of an `OAuth` header.
fn signed(header: &str) -> Vec<(String, String)> {
    let pairs = header.strip_prefix("OAuth ").unwrap().split(", ");
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(n, v)| (decoded(n), decoded(v.trim_matches('"')))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_link_goes_from_request_token_to_access_token() {
    let bench = Bench::start().await;
    let process = bench.process();
    let (private, _) = crate::authorize::key_pair(process.clock());
    process.vault.put(Space::App, &bench.app.id, PRIVATE_KEY, &private).unwrap();
    let scheme: Scheme = serde_json::from_value(json!({
        "type": "oauth1", "request-token-url": "{site}request", "authorization-url": "{site}authorize?x=y",
        "access-token-url": "{site}access", "consumer-key": {"app": "client-id"}
    }))
    .unwrap();
    let settings = bench.settings();
    let registration = process.registration(&scheme, &settings, Some(&bench.app));
    let refused = registration.begin().await.map(drop).unwrap_err();
    assert!(matches!(refused, AuthorizeError::Token(TokenError::Client(_))), "{refused}");
    // The service answers form-encoded, whatever it is asked for with.
    let token = "oauth_token=fake%2Ftoken&oauth_token_secret=fake-secret&oauth_callback_confirmed=true";
    bench.world().fixed = vec![token.into(), "oauth_token=fake-access&oauth_expires_in=60".into()].into();
    let (url, pending) = registration.begin().await.unwrap();
    assert_eq!(url.as_str(), format!("{}authorize?x=y&oauth_token=fake%2Ftoken", bench.url));
    for wrong in ["oauth_token=other&oauth_verifier=v", "oauth_verifier=v", "oauth_token=fake%2Ftoken"] {
        let kind = Kind::Oauth1 { token: Secret::new("fake/token") };
        let pending = Pending {
            credential: pending.credential.clone(),
            app: pending.app.clone(),
            redirect: pending.redirect.clone(),
            until: pending.until,
            kind,
        };
        assert!(matches!(registration.finish(pending, wrong).await, Err(AuthorizeError::Answer(_))), "{wrong}");
    }
    let tokens = registration.finish(pending, "oauth_token=fake%2Ftoken&oauth_verifier=fake%26v").await.unwrap();
    assert_eq!((tokens.access.expose(), tokens.expires_in), ("fake-access", Some(Duration::from_secs(60))));
    let calls = bench.world().calls.clone();
    let last = signed(&calls.last().unwrap().2);
    assert!(last.contains(&("oauth_token".into(), "fake/token".into())));
    assert!(last.contains(&("oauth_verifier".into(), "fake&v".into())));
    let places: Vec<_> = calls.iter().map(|call| call.1.as_str()).collect();
    assert_eq!(places, ["/request", "/request", "/access"], "what is refused here asks for nothing");
    assert!(signed(&calls[1].2).contains(&("oauth_callback".into(), bench.app.callback.clone())));
}
