//! S4: floods.

use host_harness::authorize::Access;
use host_harness::egress::Network;
use host_harness::plugin::contract::types::Call;
use host_harness::plugin::{Limits, Plugin};
use serde_json::{Value, json};

use super::cell::{call, hostile, patient, pinned, run_with, with_token};
use crate::figure::figure;
use crate::harness::free_address;
use crate::runtime::wait_for;
use crate::service::{Reply, Service};

/// Memory resident in this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A card, its input, and whether the host lets it come back with something small instead of failing.
fn floods() -> Vec<(&'static str, Value)> {
    let shot = |more: Value| {
        let mut request = json!({"path": "/"});
        request.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        json!({"request": request})
    };
    vec![
        ("send", shot(json!({"flood-headers": 100_000}))),
        ("send", shot(json!({"long-header": 1 << 20}))),
        ("send", shot(json!({"long-path": 16 << 20}))),
        ("send", shot(json!({"body": "b".repeat(34 << 20)}))),
        ("flood-requests", json!({"request": {"path": "/"}, "times": 100_000})),
        ("flood-random", json!({"bytes": 128 << 20})),
        ("flood-timers", json!({"times": 1_000_000})),
        ("flood-notices", json!({"times": 1_000_000, "bytes": 8})),
        ("flood-notices", json!({"times": 10, "bytes": 1 << 20})),
        ("huge-output", json!({"bytes": 20 << 20})),
        ("huge-state", json!({"bytes": 20 << 20})),
        ("huge-failure", json!({"bytes": 20 << 20})),
    ]
}

/// How many bytes of notices the host lets through.
fn notices(plugin: &Plugin, access: &Access, call: &Call, input: &Value) -> usize {
    let invoked = wait_for(plugin.invoke(access, call, "flood-notices", &input.to_string(), None));
    invoked
        .map_or(0, |invoked| invoked.aside.notices.iter().map(|notice| notice.message.len() + notice.code.len()).sum())
}

#[test]
fn s4_a_flood_is_refused_and_the_hosts_memory_stays_flat() {
    let plugin = hostile(Limits { time: std::time::Duration::from_secs(10), ..patient() });
    let service = Service::start(|_| Reply::json(200, &json!({})));
    let access = with_token(Network::new().expect("TLS"), vec![pinned(&service.url())], true, "fake-token");
    let call = call("flood", &json!({"base-url": service.url()}));
    // Nobody listens there: a flood of requests shall not fall on another test.
    let nowhere = format!("http://{}/", free_address());
    let access_to_nobody = with_token(Network::new().expect("TLS"), vec![pinned(&nowhere)], true, "fake-token");
    let call_to_nobody = super::cell::call("flood", &json!({"base-url": nowhere}));
    let go = |card: &str, input: &Value| match card {
        "flood-requests" => wait_for(run_with(&plugin, &access_to_nobody, &call_to_nobody, card, input)),
        _ => wait_for(run_with(&plugin, &access, &call, card, input)),
    };
    assert!(go("send", &json!({"request": {"path": "/"}})).is_ok(), "one request is no flood");
    // The first calls make the host's own pools and buffers.
    for (card, input) in floods() {
        let _ = go(card, &input);
    }
    let before = resident();
    let mut let_through = Vec::new();
    let all = floods();
    for (card, input) in &all {
        match &go(card, input) {
            Err(_) => {}
            // The host refused the request itself, or handed out far less than was asked for.
            Ok(answer) if answer["answers"][0]["refused"].is_string() => {}
            Ok(answer) if answer["started"].as_u64().is_some_and(|started| started <= 10_000) => {}
            Ok(answer) if card == &"flood-notices" && answer == &json!({}) => {
                // Cut down to what a person can read.
                let kept = notices(&plugin, &access, &call, input);
                if kept > 50 * 1000 {
                    let_through.push(format!("{card}: {kept} bytes of notices"));
                }
            }
            Ok(answer) => {
                let_through.push(format!("{card}: {}", answer.to_string().chars().take(80).collect::<String>()))
            }
        }
    }
    let grown = resident().saturating_sub(before);
    let limit = Limits::default().memory as u64;
    figure(
        "S4",
        "a guest floods the host: headers, paths, bodies, requests, timers, randomness, notices, outputs",
        "all refused; memory flat",
        format!(
            "{} of {} refused{}; memory +{} MiB",
            all.len() - let_through.len(),
            all.len(),
            if let_through.is_empty() { String::new() } else { format!(" (let through: {let_through:?})") },
            grown >> 20
        ),
        let_through.is_empty() && grown <= limit,
    );
    assert!(go("send", &json!({"request": {"path": "/"}})).is_ok(), "and the host still works");
}
