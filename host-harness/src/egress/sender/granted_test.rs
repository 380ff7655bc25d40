use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::authorize::bench::{Bench, Process};
use crate::egress::CallRecord;
use crate::vault::GuardStatus;

fn sender(access: &Access) -> Sender {
    Sender::new(Some(access.clone()), None, Instant::now() + Duration::from_secs(30))
}

fn options() -> RequestOptions {
    RequestOptions { connect_timeout: None, first_byte_timeout: None, between_bytes_timeout: None }
}

async fn send(access: &Access, method: Method, url: &str, body: Bytes) -> (u16, CallRecord) {
    let sender = sender(access);
    let request = Request::builder().method(method).uri(url).body(body::whole(body)).unwrap();
    let status = sender.clone().send(request, options()).await.map_or(0, |response| response.status().as_u16());
    for refused in sender.refused() {
        refused.settle(false).unwrap();
    }
    (status, sender.recorder().take())
}

fn is_open(process: &Process) -> bool {
    matches!(process.guard.status("account").unwrap(), GuardStatus::Open { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_a_refusal_that_is_not_about_the_tokens_stands_and_counts_for_nothing() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, Bench::scheme(&json!({})));
    let accepts = json!({"status": 401, "header": "X-Why", "contains": "SCOPE", "accepts": true});
    let access = {
        let authority = access.authority.as_ref().unwrap();
        let rejections = vec![serde_json::from_value(accepts).unwrap()];
        let (credential, guard) = (authority.credential.clone(), authority.guard.clone());
        access.clone().with_credential(credential, rejections, guard, "account")
    };
    bench.world().accepted.clear();
    bench.world().refused_says = Some(("x-why", "SCOPE_CHECK"));
    for _ in 0..3 {
        let (status, record) = send(&access, Method::GET, &format!("{}x", bench.url), Bytes::new()).await;
        assert_eq!((status, record.refusals), (401, 0));
    }
    assert_eq!((bench.called(), bench.asked()), (3, 0));
    assert!(is_open(&process));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_refused_before_their_time_are_renewed_once_and_not_again_and_again() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, Bench::scheme(&json!({})));
    bench.world().accepted.clear();
    let url = format!("{}x", bench.url);
    let (status, record) = send(&access, Method::POST, &url, Bytes::new()).await;
    assert_eq!((status, record.refusals, record.unsafe_requests_sent, bench.asked()), (200, 0, 1, 1));
    assert!(is_open(&process));
    // So it goes whenever that helps.
    bench.world().accepted.clear();
    assert_eq!((send(&access, Method::GET, &url, Bytes::new()).await.0, bench.asked()), (200, 2));
    // New ones that are refused, too, were not refused for their age.
    bench.world().refuses_all = true;
    let (status, record) = send(&access, Method::GET, &url, Bytes::new()).await;
    assert_eq!((status, record.refusals, bench.asked()), (401, 1, 3));
    assert_eq!(process.guard.status("account").unwrap(), GuardStatus::Unsure { failures: 1 });
    let (status, record) = send(&access, Method::GET, &url, Bytes::new()).await;
    assert_eq!((status, record.refusals, bench.asked()), (401, 1, 3));
    assert!(matches!(process.guard.status("account").unwrap(), GuardStatus::Held { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_past_its_time_is_sent_once_more_with_its_body() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, Bench::scheme(&json!({})));
    for status in [401, 403, 404] {
        bench.world().refused_with = status;
        let url = format!("{}x?y={status}", bench.url);
        assert_eq!(send(&access, Method::GET, &url, Bytes::new()).await.0, 200);
        // It expires on its way: the tokens were good when it left.
        let grant = access.authority.as_ref().unwrap().credential.grant().unwrap();
        let used = grant.current(&access, Duration::ZERO).await.unwrap();
        bench.clock.advance(Duration::from_secs(3601));
        bench.world().accepted.clear();
        let before = (bench.called(), bench.asked());
        let body = Bytes::from(format!("body of {status}"));
        let (got, record) = send_with(&access, &used, Method::POST, &url, body.clone()).await;
        let calls = bench.world().calls.clone();
        assert_eq!((got, calls.len() - before.0, bench.asked() - before.1), (200, 2, 1), "{status}");
        assert_eq!((record.unsafe_requests_sent, record.refusals), (1, 0));
        assert!(calls[before.0..].iter().all(|call| call.3 == body && call.0 == "POST"));
        assert!(is_open(&process));
    }
}

/// Sends with tokens that were taken before, as a request does that waits for its turn.
async fn send_with(access: &Access, used: &Arc<Current>, method: Method, url: &str, body: Bytes) -> (u16, CallRecord) {
    let sender = sender(access);
    let authority = access.authority.clone().unwrap();
    let grant = authority.credential.grant().unwrap();
    let (parts, ()) = Request::builder().method(method).uri(url).body(()).unwrap().into_parts();
    let start = Start::Whole(body);
    let sent = sender.exchanged(access, &authority, grant, &parts, start, Arc::clone(used), options()).await;
    (sent.map_or(0, |(response, _)| response.status().as_u16()), sender.recorder().take())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a10_100_requests_on_their_way_while_a_refresh_ends_their_tokens_all_succeed() {
    let bench = Bench::start().await;
    bench.world().ends_access = true;
    let (process, other) = (bench.authorized(), bench.process());
    let scheme = Bench::scheme(&json!({"refresh-ends-access": true}));
    let access = bench.granted(&process, scheme.clone());
    let url = format!("{}x", bench.url);
    assert_eq!(send(&access, Method::GET, &url, Bytes::new()).await.0, 200);
    let grant = access.authority.as_ref().unwrap().credential.grant().unwrap();
    let used = grant.current(&access, Duration::ZERO).await.unwrap();
    // Another process renews, slowly: its refresh has ended the old tokens long before the new ones are on disk.
    bench.world().slow = Duration::from_millis(100);
    let (theirs, theirs_access) = (bench.grant(&other, scheme), other.access.clone());
    let renewing = tokio::spawn(async move { theirs.renew(&theirs_access).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.world().accepted.clear();
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let (access, used, url) = (access.clone(), Arc::clone(&used), url.clone());
        let method = if number % 2 == 0 { Method::GET } else { Method::POST };
        requests.spawn(async move { send_with(&access, &used, method, &url, Bytes::from_static(b"b")).await });
    }
    let sent = requests.join_all().await;
    renewing.await.unwrap().unwrap();
    let failures = sent.iter().filter(|(status, _)| *status != 200).count();
    println!("FIGURE A10 100 requests during a refresh, {} further ones, {failures} failures", bench.asked() - 1);
    assert_eq!((failures, bench.asked()), (0, 1), "{sent:?}");
    assert!(sent.iter().all(|(_, record)| record.refusals == 0 && record.unsafe_requests_sent <= 1));
    assert!(is_open(&process));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_body_is_sent_once_with_tokens_that_last() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, Bench::scheme(&json!({})));
    let body = Bytes::from(vec![b'x'; 3 << 19]);
    // They would last for ten seconds; the call may take thirty.
    bench.clock.advance(Duration::from_secs(3590));
    let (status, record) = send(&access, Method::POST, &format!("{}x", bench.url), body.clone()).await;
    assert_eq!((status, record.unsafe_requests_sent, bench.asked()), (200, 1, 1));
    assert_eq!(bench.world().calls[0].3, body);
    bench.world().accepted.clear();
    let (status, record) = send(&access, Method::POST, &format!("{}x", bench.url), body).await;
    assert_eq!((status, bench.called(), bench.asked()), (0, 2, 2), "it cannot be sent once more");
    assert!(record.not_renewed.is_some() && record.unsafe_requests_sent == 0 && record.refusals == 0, "{record:?}");
    assert!(is_open(&process));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_body_whose_tokens_ended_on_its_way_passes_and_is_no_bad_login() {
    let bench = Bench::start().await;
    let (process, other) = (bench.authorized(), bench.process());
    let access = bench.granted(&process, Bench::scheme(&json!({"refresh-ends-access": true})));
    let authority = access.authority.clone().unwrap();
    let grant = authority.credential.grant().unwrap();
    let used = grant.current(&access, Duration::ZERO).await.unwrap();
    bench.world().accepted.clear();
    other.keep(&bench.mint());
    let sender = sender(&access);
    let url = format!("{}x", bench.url);
    let (parts, ()) = Request::builder().method(Method::POST).uri(url).body(()).unwrap().into_parts();
    let start = Start::Larger(body::whole(Bytes::from(vec![b'x'; 3 << 19])));
    let sent = sender.exchanged(&access, &authority, grant, &parts, start, used, options()).await;
    assert!(matches!(sent, Err(Refusal::Unreached(..))));
    let record = sender.recorder().take();
    assert!(record.not_renewed.is_some(), "it is tried again");
    assert_eq!((record.unsafe_requests_sent, record.refusals, bench.called(), bench.asked()), (0, 0, 1, 0));
    assert!(matches!(
        process.guard.status("account").unwrap(),
        GuardStatus::Unsure { failures: 0 } | GuardStatus::Open { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_over_lets_nothing_out() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, Bench::scheme(&json!({})));
    bench.clock.advance(Duration::from_secs(3601));
    bench.world().refresh = "another".into();
    let (status, record) = send(&access, Method::POST, &format!("{}x", bench.url), Bytes::new()).await;
    assert_eq!((status, record.grant_dead, record.unsafe_requests_sent), (0, true, 0));
    assert!(bench.world().calls.is_empty() && is_open(&process));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_gives_no_tokens_now_is_like_one_that_cannot_be_reached() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, Bench::scheme(&json!({})));
    bench.clock.advance(Duration::from_secs(3601));
    bench.world().answers = vec![(503, String::new())].into();
    let (status, record) = send(&access, Method::POST, &format!("{}x", bench.url), Bytes::new()).await;
    assert_eq!((status, record.grant_dead, record.unsafe_requests_sent), (0, false, 0));
    let outcome = format!("{:?}", record.requests[0].outcome);
    assert!(outcome.starts_with("Unreached") && outcome.contains("status 503"), "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_back_of_the_tokens_is_hidden() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, Bench::scheme(&json!({})));
    for renewed in [false, true] {
        if renewed {
            bench.clock.advance(Duration::from_secs(3601));
        }
        bench.world().fixed = vec!["you sent {authorization}; fake-refresh-1, fake-refresh-2".into()].into();
        let request = Request::builder().uri(format!("{}x", bench.url)).body(body::whole(Bytes::new())).unwrap();
        let answer = sender(&access).send(request, options()).await.unwrap();
        let said = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        // What was before is no secret any more.
        let hidden = if renewed { "fake-refresh-1, **************" } else { "**************, fake-refresh-2" };
        assert_eq!(said, format!("you sent Bearer *************; {hidden}"));
        assert_eq!(bench.world().calls.last().unwrap().2, format!("Bearer fake-access-{}", 1 + u8::from(renewed)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_carries_no_form() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let scheme = serde_json::from_value(json!({
        "type": "oauth1", "request-token-url": "{site}r", "authorization-url": "{site}a",
        "access-token-url": "{site}t", "consumer-key": {"app": "client-id"}
    }))
    .unwrap();
    let (private, _) = crate::authorize::key_pair(process.clock());
    let place = (crate::vault::Space::App, crate::authorize::PRIVATE_KEY);
    process.vault.put(place.0, &bench.app.id, place.1, &private).unwrap();
    let access = bench.granted(&process, scheme);
    let sent = |kind: &'static str| {
        let request = Request::builder().method(Method::POST).uri(format!("{}x?a=b", bench.url));
        let request = request.header(CONTENT_TYPE, kind).body(body::whole(Bytes::from_static(b"a=b"))).unwrap();
        let sender = sender(&access);
        async move {
            let _ = sender.clone().send(request, options()).await;
            sender.recorder().take()
        }
    };
    let record = sent("application/x-www-form-urlencoded; charset=utf-8").await;
    assert!(record.denial().unwrap().contains("OAuth 1.0a") && bench.world().calls.is_empty());
    sent("application/json").await;
    let header = bench.world().calls[0].2.clone();
    assert!(header.starts_with("OAuth oauth_consumer_key=\"fake-client\", oauth_nonce="), "{header}");
    assert!(header.contains("oauth_token=\"fake-access-1\"") && header.contains("oauth_signature=\""), "{header}");
}
