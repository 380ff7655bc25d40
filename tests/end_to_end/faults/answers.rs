//! A11: what a browser brings back from an authorization page counts only if it belongs to the attempt that waits for it.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::cell::LeapClock;
use super::granted::Granted;
use super::renewal_races::host;
use crate::beacon::service::Beacon;
use crate::beacon::sign_in::{CLIENT, CLIENT_SECRET};
use crate::built;
use crate::connections::browser::address;
use crate::figure::{exceptions, figure};
use crate::harness::{Harness, Outcome, free_address};
use crate::http;
use crate::runtime::wait_for;
use crate::simulator::text;

/// A parameter of an address.
fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).expect("an address");
    let found = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    found.unwrap_or_else(|| panic!("no {name} in {url}"))
}

/// An address with other parameters than it has.
fn with(url: &str, change: impl Fn(&str, String) -> Option<String>) -> String {
    let url = Url::parse(url).expect("an address");
    let pairs =
        url.query_pairs().filter_map(|(name, value)| Some((name.to_string(), change(&name, value.into_owned())?)));
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    changed.into()
}

/// What was tried, and what of it was taken.
#[derive(Default)]
struct Tried {
    attempts: usize,
    wrong: Vec<String>,
}

impl Tried {
    fn refused(&mut self, what: &str, refused: bool, seen: impl std::fmt::Debug) {
        self.attempts += 1;
        if !refused {
            self.wrong.push(format!("{what}: {seen:?}"));
        }
    }

    /// An attempt that came to its end, and to no tokens.
    fn ended(&mut self, what: &str, outcome: &Outcome) {
        let error = &outcome.json()["error"];
        let said = text(&error["message"]);
        let told =
            outcome.code != 0 && ["not authorized", "keeps the authorization"].iter().any(|it| said.contains(it));
        self.refused(what, told, error);
    }
}

/// How often codes were exchanged, and how often that was refused, by the service's own count.
fn exchanges(granted: &Granted) -> (u64, u64) {
    let calls = granted.stage.jira.control("GET", "/token-endpoint", &Value::Null)["calls"].clone();
    let of = calls["authorization_code"].as_object().cloned().unwrap_or_default();
    let count = |ok: bool| of.iter().filter(|(is, _)| (*is == "ok") == ok).filter_map(|(_, n)| n.as_u64()).sum();
    (count(true), count(false))
}

/// Answers that do not carry the attempt's own state, or say something twice: they are told so, and the attempt goes on to the right one.
fn strangers(granted: &Granted, tried: &mut Tried) -> String {
    let (earlier, abandoned) = granted.begin();
    earlier.kill();
    let (command, opened) = granted.begin();
    let back = http::leads_to(&opened);
    let (code, state) = (parameter(&back, "code"), parameter(&opened, "state"));
    let answer = |query: String| format!("{}?{query}", granted.callback);
    for (what, url) in [
        ("no state", answer(format!("code={code}"))),
        ("an empty state", answer(format!("code={code}&state="))),
        ("a made-up state", answer(format!("code={code}&state=made-up"))),
        ("more than the state", answer(format!("code={code}&state={state}x"))),
        ("the state in other letters", answer(format!("code={code}&state={}", state.to_uppercase()))),
        ("the state of another session", answer(format!("code={code}&state={}", parameter(&abandoned, "state")))),
        ("the state twice", answer(format!("code={code}&state={state}&state={state}"))),
        ("the code twice", answer(format!("code={code}&code={code}&state={state}"))),
        ("another place", back.replace("/callback", "/elsewhere")),
    ] {
        let page = http::browse(&url);
        tried.refused(what, matches!(page.status, 400 | 404), page);
    }
    let by_form = http::send("POST", &back, &[], b"");
    tried.refused("sent as a form", by_form.status == 404, by_form);
    assert_eq!(exchanges(granted), (0, 0), "so far nobody asked for tokens");
    assert_eq!(http::browse(&back).status, 200);
    command.finish().expect(0);
    // Once more: nobody listens, and who listens later waits for another one.
    tried.refused("the answer again", http::try_send("GET", &back, &[], b"").is_err(), "somebody listens");
    let (command, _) = granted.begin();
    let page = http::browse(&back);
    tried.refused("the answer again, to another attempt", page.status == 400, page);
    command.kill();
    back
}

/// Answers that carry the state, and are none: the attempt ends.
fn unfit(granted: &Granted, tried: &mut Tried) {
    let elsewhere = format!("{}/elsewhere", granted.callback);
    for (what, answer) in [
        ("no code", None),
        ("refused, with a code", None),
        ("a code for another verifier", Some("code_challenge")),
        ("a code for another place", Some("redirect_uri")),
        ("the callback URL changed meanwhile", None),
    ] {
        let (command, opened) = granted.begin();
        let state = parameter(&opened, "state");
        // An attacker's own authorization for the same app, of which only the code is used.
        let opens = match answer {
            Some("code_challenge") => {
                with(&opened, |name, value| Some(if name == "code_challenge" { "A".repeat(43) } else { value }))
            }
            Some(_) => {
                with(&opened, |name, value| Some(if name == "redirect_uri" { elsewhere.clone() } else { value }))
            }
            None => opened.clone(),
        };
        let code = parameter(&http::leads_to(&opens), "code");
        let query = match what {
            "no code" => format!("state={state}"),
            "refused, with a code" => format!("error=access_denied&code={code}&state={state}"),
            _ => format!("code={code}&state={state}"),
        };
        let other = (what == "the callback URL changed meanwhile").then_some(elsewhere.as_str());
        if let Some(callback) = other {
            granted.database().execute("UPDATE oauth_client SET callback = ?1", [callback]).expect("changed");
        }
        http::browse(&format!("{}?{query}", granted.callback));
        tried.ended(what, &command.finish());
        granted.database().execute("UPDATE oauth_client SET callback = ?1", [&granted.callback]).expect("changed");
    }
    // A place that is not registered: the service itself gives no code.
    let (command, opened) = granted.begin();
    let opens = with(&opened, |name, value| {
        Some(if name == "redirect_uri" { "http://127.0.0.1:1/".to_owned() } else { value })
    });
    let page = http::browse(&opens);
    tried.refused("a place that is not registered", page.status == 403, page);
    command.kill();
}

/// An answer that comes eleven minutes after the attempt began.
fn late(granted: &Granted, tried: &mut Tried) {
    let clock = LeapClock::new();
    let host = host(&granted.stage.host.home(), &granted.detours(), clock.clone());
    let authorizing = wait_for(host.begin_authorizing("demo")).expect("it begins");
    let back = http::leads_to(authorizing.url.as_str());
    clock.leap(Duration::from_secs(11 * 60));
    let query = Url::parse(&back).expect("an address").query().unwrap_or_default().to_owned();
    let told = wait_for(host.finish_authorizing(authorizing, &query)).map_err(|error| error.to_string());
    tried.refused(
        "the right answer after eleven minutes",
        told.as_ref().is_err_and(|error| error.contains("ten minutes")),
        told,
    );
}

/// An answer that another service gave, as it says itself (RFC 9207). Jira's do not say who they are.
fn other_issuer(tried: &mut Tried) -> usize {
    let (beacon, host) = (Beacon::start(), Harness::new());
    beacon.sign_in().reaches(&[("north", "North")]);
    let component = built::component("guest_beacon");
    let (component, callback) = (component.to_string_lossy(), format!("http://{}/callback", free_address()));
    let secret = format!("client-secret=@{}", host.file("client-secret", CLIENT_SECRET).display());
    let client = format!("client-id={CLIENT}");
    let add = ["oauth-client", "add", "app", "--connector", &component, "--method", "sign-in", "--callback", &callback];
    host.run(&[&add[..], &["--set", &client, "--secret", &secret]].concat()).expect(0);
    let login = format!("login-url={}", beacon.url());
    let add = ["connection", "add", "demo", "--connector", &component, "--method", "sign-in", "--set", &login];
    host.run(&[&add[..], &["--allow-private", "--no-check"]].concat());
    let begin = || {
        let (command, told) = host.start_telling(&["connection", "reauthorize", "demo"]);
        (command, http::leads_to(&address(&told)))
    };
    let (command, back) = begin();
    http::browse(&format!("{back}&iss=https://other.example.test/"));
    tried.ended("another issuer", &command.finish());
    let issued = beacon.sign_in().given();
    let (command, back) = begin();
    http::browse(&format!("{back}&iss={}", beacon.url()));
    command.finish().expect(0);
    issued
}

#[test]
fn a11_what_a_browser_brings_back_counts_only_for_the_attempt_that_waits_for_it() {
    let granted = Granted::cloud(&["demo"]);
    let registered = json!({"callback_urls": [granted.callback, format!("{}/elsewhere", granted.callback)]});
    let client = granted.stage.jira.control("GET", "/apps", &Value::Null)[0]["client_id"].clone();
    granted.stage.jira.control("PATCH", &format!("/apps/{}", text(&client)), &registered);
    let connector = built::connector();
    let add =
        ["connection", "add", "demo", "--connector", &connector.to_string_lossy(), "--method", "oauth", "--no-check"];
    granted.stage.host.run(&add);
    let mut tried = Tried::default();
    strangers(&granted, &mut tried);
    unfit(&granted, &mut tried);
    late(&granted, &mut tried);
    let elsewhere = other_issuer(&mut tried);
    let (accepted, refused) = exchanges(&granted);
    figure(
        "A11",
        "a browser brings back: a state that is reused, missing, another session's or late; another code, verifier, \
         place, issuer",
        "0 accepted of ≥ 12; no token call but for codes that only the service can judge",
        format!(
            "{} of {} accepted; token calls: {accepted} for the one right answer, {refused} for codes of another verifier \
             or place, which the service refused, {elsewhere} after another issuer's{}",
            tried.wrong.len(),
            tried.attempts,
            exceptions(&tried.wrong[..tried.wrong.len().min(3)])
        ),
        tried.wrong.is_empty() && tried.attempts >= 12 && (accepted, refused, elsewhere) == (1, 2, 0),
    );
}
