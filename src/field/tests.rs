use super::needs_meta;
use serde_json::json;

#[test]
fn metadata_is_needed_only_where_a_value_could_mean_several_things() {
    for (name, value) in [
        ("labels", json!(["a"])),
        ("priority", json!("High")),
        ("components", json!(["Door"])),
        ("duedate", json!("2026-12-01")),
        ("assignee", json!({ "accountId": "1" })),
        ("customfield_1", json!({ "value": "Red" })),
        ("customfield_1", json!([{ "id": "1" }])),
        ("customfield_1", json!(3)),
        ("customfield_1", json!(null)),
    ] {
        assert!(!needs_meta(name, &value), "{name} {value}");
    }
    for (name, value) in [
        ("Colour", json!({ "value": "Red" })),
        ("assignee", json!("me")),
        ("environment", json!("a machine")),
        ("customfield_1", json!("Red")),
        ("customfield_1", json!(["Red"])),
        ("customfield_1", json!({ "format": "plain", "content": "x" })),
    ] {
        assert!(needs_meta(name, &value), "{name} {value}");
    }
}
