//! The contract's records as JSON, in the contract's own names: what `--json` prints and what run histories keep.

use serde_json::{Value, json};

use crate::plugin::contract::{catalog, connection, event, types};

/// The failure in an error, where it has one.
pub fn failure_of(error: &types::Error) -> Option<&types::Failure> {
    match error {
        types::Error::Permanent(failure) | types::Error::PermanentUncertain(failure) => Some(failure),
        types::Error::Transient(backoff) => Some(&backoff.failure),
        types::Error::ExecutionFailed => None,
    }
}

/// An error: its failure's members, and what must wait how long.
pub fn error(error: &types::Error) -> Value {
    let mut value = match failure_of(error) {
        Some(failure) => self::failure(failure),
        None => json!({
            "code": "host.execution-failed", "message": "no answer came",
            "remedy": "Look into the host's log, and try again.", "who": "operator",
        }),
    };
    if let (types::Error::Transient(backoff), Value::Object(members)) = (error, &mut value) {
        members.insert("retry-after-ms".into(), backoff.retry_after_ms.into());
        members.insert("scope".into(), scope(&backoff.scope));
    }
    value
}

/// A failure.
pub fn failure(failure: &types::Failure) -> Value {
    let fields: Vec<_> = failure
        .fields
        .iter()
        .map(|field| json!({ "pointer": field.pointer, "name": field.name, "message": field.message }))
        .collect();
    json!({
        "class": class(failure.class),
        "code": failure.code,
        "message": failure.message,
        "remedy": failure.remedy,
        "who": who(failure.who),
        "repeatable": failure.repeatable,
        "fields": fields,
        "status": failure.status,
        "request-id": failure.request_id,
        "extra": parsed(&failure.extra),
    })
}

/// A scope: `{"tenant": null}`-like pairs of kind and name.
pub fn scope(scope: &types::Scope) -> Value {
    match scope {
        types::Scope::Endpoint(name) => json!({ "kind": "endpoint", "name": name }),
        types::Scope::Object(name) => json!({ "kind": "object", "name": name }),
        types::Scope::Tenant => json!({ "kind": "tenant" }),
        types::Scope::App => json!({ "kind": "app" }),
    }
}

/// The word for a failure class.
pub fn class(class: types::FailureClass) -> &'static str {
    use types::FailureClass as Class;
    match class {
        Class::Credential => "credential",
        Class::Scope => "scope",
        Class::Permission => "permission",
        Class::Input => "input",
        Class::NotFound => "not-found",
        Class::Conflict => "conflict",
        Class::Limit => "limit",
        Class::Unavailable => "unavailable",
        Class::Protocol => "protocol",
    }
}

/// The word for who can apply a remedy.
pub fn who(who: types::Responsible) -> &'static str {
    match who {
        types::Responsible::User => "user",
        types::Responsible::ServiceAdmin => "service-admin",
        types::Responsible::Operator => "operator",
        types::Responsible::Developer => "developer",
    }
}

/// The word for how a finding came out.
pub fn outcome(outcome: connection::Outcome) -> &'static str {
    match outcome {
        connection::Outcome::Passed => "passed",
        connection::Outcome::Warning => "warning",
        connection::Outcome::Failed => "failed",
        connection::Outcome::Unknown => "unknown",
    }
}

/// One line of a health report.
pub fn finding(finding: &connection::Finding) -> Value {
    json!({
        "outcome": outcome(finding.outcome),
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.remedy,
        "who": who(finding.who),
        "class": finding.class.map(class),
    })
}

/// A page of values for a field.
pub fn choices(choices: &catalog::Choices) -> Value {
    let items: Vec<_> = choices
        .items
        .iter()
        .map(|one| json!({ "value": parsed(&one.value), "label": one.label, "detail": one.detail }))
        .collect();
    json!({ "items": items, "next": choices.next })
}

/// What happened.
pub fn occurrence(one: &event::Occurrence) -> Value {
    json!({
        "id": one.id,
        "card": one.card,
        "time-ms": one.time_ms,
        "payload": parsed(&one.payload),
    })
}

/// What a change of a registration is.
pub fn change(change: &event::PlannedChange) -> Value {
    let word = match change.change {
        event::Change::Created => "created",
        event::Change::Updated => "updated",
        event::Change::Adopted => "adopted",
        event::Change::Removed => "removed",
        event::Change::Kept => "kept",
    };
    json!({ "change": word, "registration": change.registration, "reason": change.reason })
}

/// A registration that is not ours.
pub fn foreign(one: &event::ForeignRegistration) -> Value {
    json!({
        "id": one.id, "name": one.name, "host": one.host, "active": one.active,
        "updated-at-ms": one.updated_at_ms, "hint": one.hint,
    })
}

/// A limit and how much of it is used.
pub fn allowance(one: &event::Allowance) -> Value {
    json!({
        "name": one.name, "used": one.used, "ours": one.ours,
        "foreign": one.used.map(|used| used.saturating_sub(one.ours)),
        "limit": one.limit, "warn-from": one.warn_from, "reason": one.reason,
    })
}

/// A JSON text as a value; one that is no JSON stays a text.
pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()))
}
