use super::*;
use crate::clock::SystemClock;
use crate::egress::{Origin, PinnedOrigin};
use crate::store::Store;
use crate::vault::LockoutGuard;

fn policy(allow_private: bool, origins: &[(&str, bool)]) -> Policy {
    let pin = |(url, credential): &(&str, bool)| PinnedOrigin {
        origin: Origin::parse(url).unwrap(),
        credential: *credential,
    };
    Policy::new(origins.iter().map(pin).collect(), allow_private)
}

fn permitted(policy: &Policy, url: &str) -> Option<bool> {
    permit(policy, &Method::GET, &url.parse().unwrap()).ok().map(|(_, credential)| credential)
}

#[test]
fn the_credential_goes_only_where_the_narrowest_pinned_origin_takes_one() {
    let policy =
        policy(false, &[("https://api.test/", true), ("https://api.test/media/", false), ("https://m.test/", false)]);
    assert_eq!(permitted(&policy, "https://api.test/x"), Some(true));
    assert_eq!(permitted(&policy, "https://api.test/media/x"), Some(false));
    assert_eq!(permitted(&policy, "https://m.test/x"), Some(false));
    assert_eq!(permitted(&policy, "https://other.test/x"), None);
}

#[test]
fn plain_http_needs_the_operators_word() {
    let pinned = [("http://api.test/", true)];
    assert_eq!(permitted(&policy(false, &pinned), "http://api.test/x"), None);
    assert_eq!(permitted(&policy(true, &pinned), "http://api.test/x"), Some(true));
}

#[test]
fn connect_and_trace_are_never_sent() {
    let policy = policy(false, &[("https://api.test/", true)]);
    for method in [Method::CONNECT, Method::TRACE] {
        assert!(permit(&policy, &method, &"https://api.test/x".parse().unwrap()).is_err());
    }
}

#[test]
fn an_answer_with_too_many_headers_or_too_long_a_body_is_refused() {
    let policy = policy(false, &[]);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, (policy.max_response_bytes + 1).into());
    assert!(bound_headers(&policy, &headers).is_err());
    let mut headers = HeaderMap::new();
    for number in 0..=policy.max_response_headers {
        headers.append("x-flood", number.into());
    }
    assert!(bound_headers(&policy, &headers).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_not_lost_because_its_good_news_could_not_be_noted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("harness.db");
    let guard = LockoutGuard::new(Arc::new(Store::open(&path).unwrap()), SystemClock::shared());
    let minute = Duration::from_secs(60);
    let mut admissions = Vec::new();
    for account in ["accepted", "refused"] {
        admissions.push(guard.admit(account, "credential", minute, minute).await.unwrap());
    }
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE guard").unwrap();
    let sender = Sender::new(None, None, Instant::now() + minute);
    let answer = |status: u16| Response::builder().status(status).body(()).unwrap();
    let refused = sender.judge(&[], admissions.pop().unwrap(), &answer(401));
    assert!(matches!(refused, Err(Refusal::Lost(..))), "what the guard must know is not passed over");
    let accepted = sender.judge(&[], admissions.pop().unwrap(), &answer(201));
    assert!(accepted.is_ok());
}
