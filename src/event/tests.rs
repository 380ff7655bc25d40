use super::{ensure, receive};
use crate::contract::Error;
use crate::contract::event::{Change, Delivery, EnsureRequest, Occurrence, Registration, Subscription};
use crate::fake::{Script, Scripted, call, empty_answer, json_answer, raw_answer};
use proptest::prelude::*;
use serde_json::{Value, json};

const CALLBACK: &str = "https://hooks.example.test/hooks/0123456789abcdef";

fn subscription(card: &str, filter: Value) -> Subscription {
    Subscription { id: format!("sub-{card}"), card: card.to_owned(), filter }
}

fn payload(occurrence: &Occurrence) -> Value {
    serde_json::from_str(&occurrence.payload).expect("a payload is JSON")
}

fn delivery(body: &Value) -> Delivery {
    Delivery { id: "1".to_owned(), headers: Vec::new(), body: body.to_string().into_bytes(), received_at_ms: 0 }
}

fn updated() -> Value {
    json!({
        "timestamp": 1_792_007_200_123_u64,
        "webhookEvent": "jira:issue_updated",
        "issue_event_type_name": "issue_generic",
        "user": { "accountId": "acc-1", "displayName": "Administrator" },
        "issue": { "id": "10001", "key": "DEMO-1", "fields": {
            "summary": "S", "project": { "id": "10000", "key": "DEMO" }, "issuetype": { "id": "1", "name": "Bug" }
        } },
        "changelog": { "id": "77", "items": [
            { "field": "status", "fieldId": "status", "from": "1", "fromString": "To Do", "to": "3", "toString": "Done" }
        ] }
    })
}

#[test]
fn an_update_says_each_field_with_before_and_after() {
    let subscriptions = [subscription("issue-updated", json!({}))];
    let received = receive(&delivery(&updated()), &subscriptions).expect("read");
    let occurrence = &received.occurrences[0];
    assert_eq!(occurrence.id, "10001:changelog:77");
    assert_eq!(occurrence.time_ms, Some(1_792_007_200_123));
    assert_eq!(occurrence.subscriptions, ["sub-issue-updated"]);
    assert_eq!(payload(occurrence)["actor"], json!({ "account-id": "acc-1", "name": "Administrator" }));
    assert_eq!(payload(occurrence)["issue"]["key"], "DEMO-1");
    assert_eq!(payload(occurrence)["time"], "2026-10-14T19:46:40.123Z");
    assert_eq!(
        payload(occurrence)["changes"],
        json!([{ "field": "status", "field-id": "status", "from": { "value": "1", "text": "To Do" }, "to": { "value": "3", "text": "Done" } }])
    );
}

#[test]
fn filters_let_through_what_they_name_and_nothing_else() {
    let passes = |filter: Value| {
        let received = receive(&delivery(&updated()), &[subscription("issue-updated", filter)]).expect("read");
        received.occurrences.len() == 1
    };
    assert!(passes(json!({ "projects": ["demo"], "issue-types": ["Bug"], "changed-fields": ["Status"] })));
    assert!(passes(json!({ "projects": ["10000"] })));
    assert!(passes(json!({ "projects": [] })));
    assert!(!passes(json!({ "projects": ["OTHER"] })));
    assert!(!passes(json!({ "issue-types": ["Task"] })));
    assert!(!passes(json!({ "changed-fields": ["assignee"] })));
    let other = [subscription("issue-created", json!({}))];
    assert!(receive(&delivery(&updated()), &other).expect("read").occurrences.is_empty());
    let bad = [subscription("issue-updated", json!({ "project": "DEMO" }))];
    assert!(receive(&delivery(&updated()), &bad).is_err());
}

#[test]
fn a_delivery_that_is_only_looked_at_shows_what_it_holds() {
    assert_eq!(receive(&delivery(&updated()), &[]).expect("read").occurrences.len(), 1);
}

#[test]
fn ids_stay_the_same_and_tell_changes_apart() {
    let id = |body: &Value| receive(&delivery(body), &[]).expect("read").occurrences.first().map(|o| o.id.clone());
    let mut created = updated();
    created["webhookEvent"] = json!("jira:issue_created");
    assert_eq!(id(&created).as_deref(), Some("10001:created"));
    created["webhookEvent"] = json!("jira:issue_deleted");
    assert_eq!(id(&created).as_deref(), Some("10001:deleted"));
    let mut bare = updated();
    bare["changelog"].as_object_mut().expect("object").remove("id");
    let first = id(&bare);
    assert_eq!(first, id(&bare));
    bare["timestamp"] = json!(1_792_007_200_124_u64);
    assert_ne!(first, id(&bare));
}

#[test]
fn what_is_missing_or_strange_is_borne() {
    let mut body = updated();
    body["user"] = json!({ "accoundId": "99:x" });
    let received = receive(&delivery(&body), &[]).expect("read");
    assert_eq!(payload(&received.occurrences[0])["actor"]["account-id"], "99:x");
    for (name, value) in [("user", json!(null)), ("changelog", json!([])), ("timestamp", json!("x"))] {
        let mut body = updated();
        body[name] = value;
        assert_eq!(receive(&delivery(&body), &[]).expect("read").occurrences.len(), 1, "{name}");
    }
    let mut body = updated();
    body["issue"] = json!({ "key": "DEMO-1" });
    let received = receive(&delivery(&body), &[]).expect("read");
    assert!(received.occurrences.is_empty());
    assert_eq!(received.aside.notices[0].code, "jira.delivery-incomplete");
    let unknown = json!({ "webhookEvent": "sprint_started" });
    assert!(receive(&delivery(&unknown), &[]).expect("read").occurrences.is_empty());
    let mut broken = delivery(&updated());
    broken.body.truncate(20);
    assert_eq!(receive(&broken, &[]).expect_err("broken").failure().code, "jira.delivery-invalid");
}

#[test]
fn every_captured_delivery_is_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/jira/webhooks");
    if !folder.is_dir() {
        eprintln!("skipped: no captured deliveries at ../shared/data/jira/webhooks");
        return;
    }
    let manifest: Value = serde_json::from_str(crate::catalog::describe(None).manifest).expect("JSON");
    let schema = |id: &str| {
        let card = manifest["cards"].as_array().and_then(|cards| cards.iter().find(|card| card["id"] == id));
        jsonschema::validator_for(&card.expect("a card")["output"]).expect("a schema")
    };
    let mut seen = 0;
    for kind in ["cloud", "server"] {
        for entry in std::fs::read_dir(folder.join(kind)).expect("a folder").flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let body = std::fs::read(&path).expect("a file");
            let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
            let name = parsed["webhookEvent"].as_str().unwrap_or_default().to_owned();
            let captured = Delivery { id: String::new(), headers: Vec::new(), body, received_at_ms: 0 };
            let Ok(received) = receive(&captured, &[]) else { continue };
            let known = ["jira:issue_created", "jira:issue_updated", "jira:issue_deleted"].contains(&name.as_str());
            let expected = usize::from(known);
            assert_eq!(received.occurrences.len(), expected, "{}", path.display());
            for occurrence in &received.occurrences {
                let faults: Vec<String> =
                    schema(&occurrence.card).iter_errors(&payload(occurrence)).map(|e| e.to_string()).collect();
                assert_eq!(faults, Vec::<String>::new(), "{}", path.display());
            }
            seen += expected;
        }
    }
    assert!(seen >= 30, "only {seen} issue events among the captured deliveries");
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(text in "\\PC{0,200}", name in "(created|updated|deleted)", issue in "[0-9\\[\\]{}\",:a-z]{0,30}") {
        let raw = |body: String| Delivery { id: String::new(), headers: Vec::new(), body: body.into_bytes(), received_at_ms: 0 };
        let _ = receive(&raw(text), &[]);
        let _ = receive(&raw(format!("{{\"webhookEvent\":\"jira:issue_{name}\",\"issue\":{issue}}}")), &[]);
    }
}

fn request(cards: &[&str], known: &[&str], plan: bool) -> EnsureRequest {
    EnsureRequest {
        wanted: cards.iter().map(|card| subscription(card, json!({}))).collect(),
        known: known
            .iter()
            .map(|id| Registration {
                id: (*id).to_owned(),
                callback: CALLBACK.to_owned(),
                covers: Vec::new(),
                state: json!({}),
            })
            .collect(),
        callback: CALLBACK.to_owned(),
        owner: "host1/demo".to_owned(),
        signing_secret: "{{placeholder}}".to_owned(),
        plan,
    }
}

fn hook(id: u32, changes: Value) -> Value {
    let mut hook = json!({
        "self": format!("https://demo.atlassian.net/rest/webhooks/1.0/webhook/{id}"),
        "name": "Workflow connector [host1/demo]", "url": CALLBACK, "events": ["jira:issue_created"],
        "filters": {}, "excludeBody": false, "enabled": true, "isSigned": true
    });
    for (name, value) in changes.as_object().expect("object") {
        hook[name] = value.clone();
    }
    hook
}

fn foreign(id: u32) -> Value {
    hook(
        id,
        json!({ "name": format!("Other {id}"), "url": format!("https://other{id}.example.test/x?secret=1"), "lastUpdated": 1_792_000_000_000_u64 }),
    )
}

fn list(hooks: Vec<Value>) -> Scripted {
    json_answer(200, &Value::Array(hooks))
}

#[test]
fn the_first_subscription_registers_one_webhook_for_all() {
    let mut host = Script::new([list(vec![foreign(1)]), json_answer(201, &hook(2, json!({})))]);
    let ensured =
        ensure(&mut host, &call(), &request(&["issue-created", "issue-updated"], &[], false)).expect("ensured");
    assert_eq!(host.lines(), ["GET /rest/webhooks/1.0/webhook", "POST /rest/webhooks/1.0/webhook"]);
    let body = host.body(1);
    assert_eq!(body["secret"], "{{placeholder}}");
    assert_eq!(body["url"], CALLBACK);
    assert_eq!(body["events"], json!(["jira:issue_created", "jira:issue_updated"]));
    assert_eq!(body["excludeBody"], false);
    assert_eq!(ensured.registrations[0].id, "2");
    assert_eq!(ensured.registrations[0].covers, ["sub-issue-created", "sub-issue-updated"]);
    assert_eq!(ensured.changes[0].change, Change::Created);
    assert_eq!((ensured.allowances[0].used, ensured.allowances[0].ours), (Some(2), 1));
    assert_eq!(ensured.foreign[0].host, "other1.example.test");
}

#[test]
fn data_center_10_has_the_secret_in_the_configuration_and_says_active() {
    let mut center = call();
    center.connection.settings = json!({
        "site": "https://jira.example.test/", "deployment": "data-center", "version": "10.3.0"
    });
    let made = |changes: Value| {
        let mut hook = json!({
            "id": 7, "name": "Workflow connector [host1/demo]", "url": CALLBACK, "events": ["jira:issue_created"],
            "configuration": { "EXCLUDE_BODY": "false" }, "active": true, "scopeType": "global", "updatedDate": 1
        });
        for (name, value) in changes.as_object().expect("object") {
            hook[name] = value.clone();
        }
        hook
    };
    let mut host = Script::new([list(vec![]), json_answer(201, &made(json!({})))]);
    let ensured = ensure(&mut host, &center, &request(&["issue-created"], &[], false)).expect("ensured");
    assert_eq!(host.lines()[1], "POST https://jira.example.test/rest/jira-webhook/1.0/webhooks");
    let body = host.body(1);
    assert_eq!(body["configuration"], json!({ "SECRET": "{{placeholder}}", "EXCLUDE_BODY": "false" }));
    assert_eq!((&body["active"], body.get("secret")), (&json!(true), None), "beside it, it would be ignored");
    assert_eq!(ensured.registrations[0].id, "7");

    let mut host = Script::new([list(vec![made(json!({}))])]);
    let kept = ensure(&mut host, &center, &request(&["issue-created"], &["7"], false)).expect("ensured");
    assert_eq!(kept.changes[0].change, Change::Kept);
    for changed in [
        json!({ "active": false }),
        json!({ "configuration": { "EXCLUDE_BODY": "true" } }),
        json!({ "configuration": { "FILTERS": "project = X" } }),
    ] {
        let mut host = Script::new([list(vec![made(changed.clone())]), json_answer(200, &made(json!({})))]);
        let ensured = ensure(&mut host, &center, &request(&["issue-created"], &["7"], false)).expect("ensured");
        assert_eq!(ensured.changes[0].change, Change::Updated, "{changed}");
        assert_eq!(host.lines()[1], "PUT https://jira.example.test/rest/jira-webhook/1.0/webhooks/7");
    }
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let mut host = Script::new([list(vec![hook(2, json!({}))])]);
    let ensured = ensure(&mut host, &call(), &request(&["issue-created"], &["2"], false)).expect("ensured");
    assert_eq!(ensured.changes[0].change, Change::Kept);
    assert_eq!(host.asked.len(), 1);
}

#[test]
fn a_stray_is_adopted_and_doubles_are_removed() {
    let mut host = Script::new([
        list(vec![hook(2, json!({})), hook(3, json!({})), foreign(4)]),
        json_answer(200, &hook(2, json!({}))),
        empty_answer(202),
    ]);
    let ensured = ensure(&mut host, &call(), &request(&["issue-created"], &[], false)).expect("ensured");
    assert_eq!(
        host.lines(),
        ["GET /rest/webhooks/1.0/webhook", "PUT /rest/webhooks/1.0/webhook/2", "DELETE /rest/webhooks/1.0/webhook/3"]
    );
    assert_eq!(host.body(1)["secret"], "{{placeholder}}");
    let changes: Vec<Change> = ensured.changes.iter().map(|change| change.change).collect();
    assert_eq!(changes, [Change::Adopted, Change::Removed]);
    assert_eq!((ensured.allowances[0].used, ensured.allowances[0].ours), (Some(2), 1));
}

#[test]
fn drift_is_repaired_in_place() {
    for changed in [
        json!({ "enabled": false }),
        json!({ "url": "https://elsewhere.example.test/" }),
        json!({ "events": ["jira:issue_deleted"] }),
        json!({ "excludeBody": true }),
        json!({ "filters": { "issue-related-events-section": "project = X" } }),
        json!({ "isSigned": false }),
        json!({ "name": "renamed" }),
    ] {
        let mut host = Script::new([list(vec![hook(2, changed.clone())]), json_answer(200, &hook(2, json!({})))]);
        let ensured = ensure(&mut host, &call(), &request(&["issue-created"], &["2"], false)).expect("ensured");
        assert_eq!(ensured.changes[0].change, Change::Updated, "{changed}");
        assert_eq!(host.lines()[1], "PUT /rest/webhooks/1.0/webhook/2");
    }
}

#[test]
fn wanting_nothing_removes_ours_and_only_ours() {
    let mut host = Script::new([list(vec![hook(2, json!({})), foreign(4)]), empty_answer(404)]);
    let ensured = ensure(&mut host, &call(), &request(&[], &["2"], false)).expect("ensured");
    assert_eq!(host.lines()[1..], ["DELETE /rest/webhooks/1.0/webhook/2"]);
    assert!(ensured.registrations.is_empty());
    assert_eq!((ensured.allowances[0].used, ensured.allowances[0].ours), (Some(1), 0));
}

#[test]
fn active_webhooks_are_counted_exactly_and_a_plan_changes_nothing() {
    for active in [0_u32, 1, 79, 80, 99, 100, 101] {
        let mut hooks: Vec<Value> = (0..active).map(|id| foreign(id + 10)).collect();
        hooks.push(hook(5000, json!({ "name": "x", "url": "https://x.example.test/", "enabled": false })));
        let mut host = Script::new([list(hooks)]);
        let ensured = ensure(&mut host, &call(), &request(&["issue-created"], &[], true)).expect("a plan");
        assert_eq!(ensured.allowances[0].used, Some(active));
        assert_eq!((ensured.allowances[0].limit, ensured.allowances[0].warn_from), (100, 80));
        assert_eq!(ensured.changes[0].change, Change::Created);
        assert_eq!(host.asked.len(), 1);
    }
}

#[test]
fn at_the_limit_nothing_is_registered_and_the_advice_names_candidates() {
    let mut hooks: Vec<Value> = (0..99).map(|id| foreign(id + 10)).collect();
    hooks.push(hook(900, json!({ "name": "Idle", "url": "https://idle.example.test/", "lastUpdated": 1 })));
    let mut host = Script::new([list(hooks)]);
    let error = ensure(&mut host, &call(), &request(&["issue-created"], &[], false)).expect_err("full");
    assert_eq!(error.failure().code, "jira.webhook-limit");
    assert!(error.failure().remedy.contains("Idle (900)"), "{}", error.failure().remedy);
    assert_eq!(host.asked.len(), 1);
    assert!(matches!(error, Error::Permanent(_)));
}

#[test]
fn a_webhook_that_cannot_be_read_spoils_the_count() {
    let mut host = Script::new([list(vec![foreign(1), json!({ "name": "no id", "enabled": true })])]);
    let ensured = ensure(&mut host, &call(), &request(&[], &[], true)).expect("a plan");
    assert_eq!(ensured.allowances[0].used, None);
}

#[test]
fn what_cannot_be_counted_is_never_none_used() {
    let refusals: Vec<Scripted> = vec![
        json_answer(401, &json!({ "errorMessages": ["No."] })),
        json_answer(403, &json!({ "errorMessages": ["No."] })),
        json_answer(404, &json!({ "errorMessages": ["No."] })),
        json_answer(401, &json!({ "code": 401, "message": "Unauthorized; scope does not match" })),
        raw_answer(200, &[("content-type", "text/html")], b"<html>login</html>"),
        json_answer(200, &json!({ "values": [] })),
        empty_answer(500),
    ];
    for refusal in refusals {
        let mut host = Script::new([refusal.clone()]);
        let planned = ensure(&mut host, &call(), &request(&["issue-created"], &["2"], true)).expect("a plan answers");
        assert_eq!(planned.allowances[0].used, None);
        assert!(!planned.allowances[0].reason.is_empty());
        let mut host = Script::new([refusal]);
        assert!(ensure(&mut host, &call(), &request(&["issue-created"], &["2"], false)).is_err());
        assert_eq!(host.asked.len(), 1);
    }
}

#[test]
fn a_registration_that_fails_has_removed_nothing() {
    let doubled = || list(vec![hook(2, json!({ "events": [] })), hook(3, json!({}))]);
    for refusal in [empty_answer(500), json_answer(400, &json!({ "errorMessages": ["Bad."] })), empty_answer(429)] {
        let mut host = Script::new([doubled(), refusal]);
        ensure(&mut host, &call(), &request(&["issue-created"], &["2"], false)).expect_err("refused");
        assert_eq!(host.lines()[1..], ["PUT /rest/webhooks/1.0/webhook/2"]);
    }
}

#[test]
fn a_double_that_stays_is_told_and_the_registration_is_kept() {
    let hooks = list(vec![hook(2, json!({})), hook(3, json!({})), foreign(4)]);
    let mut host = Script::new([hooks, empty_answer(503)]);
    let ensured = ensure(&mut host, &call(), &request(&["issue-created"], &["2"], false)).expect("ensured");
    assert_eq!(ensured.registrations[0].id, "2");
    assert_eq!(ensured.aside.notices[0].code, "jira.webhook-doubled");
    assert_eq!((ensured.allowances[0].used, ensured.allowances[0].ours), (Some(3), 2));
}

#[test]
fn an_active_stray_is_taken_before_a_disabled_one_so_that_the_limit_is_never_passed() {
    let mut hooks: Vec<Value> = (0..99).map(|id| foreign(id + 10)).collect();
    hooks.push(hook(2, json!({ "enabled": false })));
    hooks.push(hook(3, json!({})));
    let mut host = Script::new([list(hooks), json_answer(200, &hook(3, json!({}))), empty_answer(204)]);
    let ensured = ensure(&mut host, &call(), &request(&["issue-created"], &["2"], false)).expect("ensured");
    assert_eq!(host.lines()[1..], ["PUT /rest/webhooks/1.0/webhook/3", "DELETE /rest/webhooks/1.0/webhook/2"]);
    assert_eq!((ensured.allowances[0].used, ensured.allowances[0].ours), (Some(100), 1));
}

#[test]
fn who_loses_the_race_for_the_last_place_gets_the_same_advice() {
    let mut hooks: Vec<Value> = (0..98).map(|id| foreign(id + 10)).collect();
    hooks.push(hook(900, json!({ "name": "Idle", "url": "https://idle.example.test/", "lastUpdated": 1 })));
    let words = "The maximum number of active webhooks (100) has been reached.";
    for status in [400, 403, 409] {
        let refusal = json_answer(status, &json!({ "errorMessages": [words] }));
        let mut host = Script::new([list(hooks.clone()), refusal]);
        let error = ensure(&mut host, &call(), &request(&["issue-created"], &[], false)).expect_err("full");
        assert_eq!(error.failure().code, "jira.webhook-limit");
        assert!(error.failure().remedy.contains("Idle (900)"), "{}", error.failure().remedy);
    }
}

#[test]
fn a_revoked_token_is_told_from_a_missing_permission_and_a_missing_scope() {
    use crate::contract::FailureClass::{Credential, Permission, Scope};
    for (refusal, class) in [
        (json_answer(401, &json!({ "errorMessages": ["Client must be authenticated."] })), Credential),
        (empty_answer(401), Credential),
        (raw_answer(403, &[("x-seraph-loginreason", "AUTHENTICATED_FAILED")], b""), Credential),
        (raw_answer(403, &[("x-authentication-denied-reason", "CAPTCHA_CHALLENGE")], b""), Credential),
        (json_answer(401, &json!({ "code": 401, "message": "Unauthorized; scope does not match" })), Scope),
        (json_answer(403, &json!({ "errorMessages": ["No."] })), Permission),
        (empty_answer(404), Permission),
    ] {
        let mut host = Script::new([refusal]);
        let error = ensure(&mut host, &call(), &request(&["issue-created"], &[], false)).expect_err("refused");
        assert_eq!(error.failure().class, class);
    }
}
