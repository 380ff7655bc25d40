//! What the connector reads: deliveries, filters, answers' headers, texts, addresses.

use jira_connector::contract::event::{Delivery, Subscription};
use jira_connector::document::{DEEPEST, from_markdown, from_plain, to_markdown};
use jira_connector::event::receive;
use jira_connector::host::Response;
use jira_connector::jira::{site, timestamp, wait};
use serde_json::{Value, json};

use super::Target;

pub(super) const TARGETS: &[Target] = &[
    ("webhook-json", webhook_json),
    ("event-filter", event_filter),
    ("retry-after", retry_after),
    ("rate-limit", rate_limit),
    ("markdown", markdown),
    ("adf", adf),
    ("site", site_typed),
];

const CARDS: [&str; 3] = ["issue-created", "issue-updated", "issue-deleted"];

fn delivery(body: &[u8]) -> Delivery {
    Delivery { id: "d".to_owned(), headers: Vec::new(), body: body.to_vec(), received_at_ms: 1_700_000_000_000 }
}

fn subscriptions(filter: &Value) -> Vec<Subscription> {
    CARDS
        .iter()
        .map(|card| Subscription { id: format!("to-{card}"), card: (*card).to_owned(), filter: filter.clone() })
        .collect()
}

fn webhook_json(input: &[u8]) {
    let all = receive(&delivery(input), &[]);
    let wanted = receive(&delivery(input), &subscriptions(&Value::Null));
    if let (Ok(all), Ok(wanted)) = (all, wanted) {
        // Without a filter everything is wanted, and the id does not depend on who asks.
        assert_eq!(all.occurrences.len(), wanted.occurrences.len());
        assert!(all.occurrences.iter().zip(&wanted.occurrences).all(|(one, other)| one.id == other.id));
    }
}

fn event_filter(input: &[u8]) {
    let Ok(filter) = serde_json::from_slice(input) else { return };
    let body = json!({
        "webhookEvent": "jira:issue_created", "timestamp": 1_700_000_000_000_u64,
        "issue": {"id": "1", "key": "DEMO-1", "fields": {
            "summary": "s", "project": {"key": "DEMO", "id": "10"}, "issuetype": {"name": "Bug", "id": "1"},
        }},
    });
    if let Ok(received) = receive(&delivery(body.to_string().as_bytes()), &subscriptions(&filter)) {
        assert!(received.occurrences.len() <= 1);
    }
}

/// The lines of the input as headers `name: value`.
fn response(input: &[u8]) -> Response {
    let text = String::from_utf8_lossy(input);
    let headers =
        text.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned()));
    Response { status: 429, headers: headers.collect(), body: Vec::new() }
}

fn retry_after(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for at_ms in [0, 1_700_000_000_000, u64::MAX] {
        assert!(wait::retry_after(&text, at_ms).is_none_or(|wait| wait <= wait::LONGEST_MS));
    }
    if let Some(moment) = timestamp::parse(&text) {
        let _ = timestamp::format(moment);
    }
}

fn rate_limit(input: &[u8]) {
    let response = response(input);
    for at_ms in [0, 1_700_000_000_000, u64::MAX] {
        assert!(wait::asked(&response, at_ms).is_none_or(|wait| (1..=wait::LONGEST_MS).contains(&wait)));
    }
    let _ = wait::scope(&response, "GET /x", Some("DEMO-1"));
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn markdown(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let document = from_markdown(&text);
    // A node holds its marks and their attributes, each an object of its own.
    assert!(depth(&document) <= DEEPEST + 4, "{} deep", depth(&document));
    let _ = from_markdown(&to_markdown(&document));
    let _ = to_markdown(&from_plain(&text));
}

fn adf(input: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<Value>(input) {
        let _ = from_markdown(&to_markdown(&document));
    }
}

fn site_typed(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for understand in [site::understand, site::understand_cloud] {
        let Ok(typed) = understand(&text) else { continue };
        // What was understood once is understood again, with nothing left to put right.
        let again = understand(typed.site.base()).expect("a base is a site");
        assert_eq!((again.site.base(), again.corrections.len()), (typed.site.base(), 0), "{text:?}");
    }
}
