//! `issue/bulk`: at most 50, and 201 as soon as one succeeds.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal, Routed, issue};

pub(super) fn create(call: &mut Call<'_>) -> Routed {
    let body = call.request.json()?;
    let Some(updates) = body["issueUpdates"].as_array() else {
        return Err(Refusal::new(400, "The 'issueUpdates' list is required."));
    };
    if updates.len() > 50 {
        return Err(Refusal::new(400, "The number of issues exceeds the limit of 50."));
    }
    let mut issues = Vec::new();
    let mut errors: Vec<Value> = Vec::new();
    for (number, update) in updates.iter().enumerate() {
        match issue::draft(call, update) {
            Ok(draft) => issues.push(issue::open(call, draft)),
            Err(refusal) => errors.push(json!({
                "status": refusal.status, "elementErrors": refusal.to_json(), "failedElementNumber": number,
            })),
        }
    }
    let status = if issues.is_empty() { 400 } else { 201 };
    Ok(Answer::json(status, &json!({"issues": issues, "errors": errors})))
}
