//! Documents shaped and sized as Jira Cloud sends them.

use serde_json::{Value, json};

/// Bytes of an issue.
const ISSUE: usize = 6 * 1024;
/// Bytes of a page of a search.
const PAGE: usize = 175 * 1024;
/// Issues on that page.
const ON_PAGE: usize = 50;
/// Bytes of a delivery.
const DELIVERY: usize = 5 * 1024;

const SITE: &str = "https://demo.example.test";

/// The answer to a creation.
pub(crate) fn created() -> Value {
    json!({ "id": "10001", "key": "DEMO-1", "self": format!("{SITE}/rest/api/3/issue/10001") })
}

/// An issue of 6 KB.
pub(crate) fn issue() -> Value {
    sized(ISSUE, |filler| issue_with(1, filler))
}

/// A page of 50 issues, 175 KB.
pub(crate) fn page() -> Value {
    sized(PAGE / ON_PAGE * ON_PAGE, |filler| {
        let each = filler / ON_PAGE;
        let issues: Vec<_> = (1..=ON_PAGE).map(|number| issue_with(number, each)).collect();
        json!({ "issues": issues, "isLast": true, "maxResults": ON_PAGE, "startAt": 0, "total": ON_PAGE })
    })
}

/// A delivery of 5 KB: an issue was created.
pub(crate) fn delivery() -> Value {
    sized(DELIVERY, |filler| {
        let mut issue = issue_with(1, filler);
        // Deliveries carry the description as text.
        issue["fields"]["description"] = json!(prose(filler));
        json!({
            "timestamp": 1_795_342_800_000_u64,
            "webhookEvent": "jira:issue_created",
            "issue_event_type_name": "issue_created",
            "user": user("Administrator"),
            "issue": issue,
            "changelog": { "id": "10124", "items": [
                { "field": "status", "fieldtype": "jira", "fieldId": "status", "from": null, "fromString": null,
                  "to": "10000", "toString": "To Do" }
            ] }
        })
    })
}

/// Lengthens the filler until the document has as many bytes as it should.
fn sized(bytes: usize, make: impl Fn(usize) -> Value) -> Value {
    let bare = make(0).to_string().len();
    let mut filler = bytes.saturating_sub(bare);
    let mut best = make(filler);
    // Escapes and paragraphs take some of it: a few steps come close.
    for _ in 0..8 {
        let excess = best.to_string().len() as i64 - bytes as i64;
        if excess.unsigned_abs() < 128 {
            break;
        }
        filler = usize::try_from(filler as i64 - excess).unwrap_or(0);
        best = make(filler);
    }
    best
}

fn issue_with(number: usize, filler: usize) -> Value {
    let named = |kind: &str, id: &str, name: &str| {
        json!({
            "self": format!("{SITE}/rest/api/3/{kind}/{id}"), "id": id, "name": name,
            "description": "", "iconUrl": format!("{SITE}/images/icons/{kind}/{id}.svg")
        })
    };
    let mut status = named("status", "10000", "To Do");
    status["statusCategory"] = json!({
        "self": format!("{SITE}/rest/api/3/statuscategory/2"), "id": 2, "key": "new", "colorName": "blue-gray", "name": "To Do"
    });
    json!({
        "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
        "id": (10_000 + number).to_string(),
        "self": format!("{SITE}/rest/api/3/issue/{}", 10_000 + number),
        "key": format!("DEMO-{number}"),
        "fields": {
            "summary": format!("The door number {number} does not close"),
            "issuetype": named("issuetype", "10004", "Bug"),
            "project": { "self": format!("{SITE}/rest/api/3/project/10000"), "id": "10000", "key": "DEMO",
                         "name": "Demo", "projectTypeKey": "software", "simplified": false },
            "status": status,
            "priority": named("priority", "3", "Medium"),
            "reporter": user("Administrator"),
            "assignee": user("Somebody Else"),
            "labels": ["door", "winter"],
            "created": "2026-11-22T08:00:00.000+0000",
            "updated": "2026-11-22T08:30:00.000+0000",
            "duedate": null,
            "resolution": null,
            "customfield_10010": null,
            "customfield_10016": 3.5,
            "customfield_10020": null,
            "description": document(filler),
        }
    })
}

fn user(name: &str) -> Value {
    json!({
        "self": format!("{SITE}/rest/api/3/user?accountId=712020:00000000-0000-4000-8000-000000000001"),
        "accountId": "712020:00000000-0000-4000-8000-000000000001", "accountType": "atlassian",
        "displayName": name, "active": true, "timeZone": "Europe/Berlin",
        "avatarUrls": { "48x48": format!("{SITE}/avatar/48"), "24x24": format!("{SITE}/avatar/24") }
    })
}

/// A rich text of about so many bytes of words.
fn document(bytes: usize) -> Value {
    let text = prose(bytes.saturating_sub(bytes / 4));
    let paragraphs: Vec<Value> = text
        .as_bytes()
        .chunks(240)
        .map(|words| {
            let text = String::from_utf8_lossy(words);
            json!({ "type": "paragraph", "content": [{ "type": "text", "text": text }] })
        })
        .collect();
    json!({ "type": "doc", "version": 1, "content": paragraphs })
}

fn prose(bytes: usize) -> String {
    "It was seen twice this week, and \"nobody\" knows why; the hinge is fine. ".chars().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_size_they_are_named_by() {
        for (document, bytes) in [(issue(), 6 * 1024), (page(), 175 * 1024), (delivery(), 5 * 1024)] {
            let size = document.to_string().len();
            assert!(size.abs_diff(bytes) * 50 < bytes, "{size} bytes instead of {bytes}");
        }
    }
}
