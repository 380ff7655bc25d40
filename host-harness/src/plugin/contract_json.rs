//! The records of the contract as JSON, for command lines and for what a store keeps: every record
//! as an object whose members have the contract's own names in kebab case, every JSON text as the
//! value it holds, what is absent as `null`.

use serde_json::{Map, Value, json};

use super::contract::types::{Aside, Error, Failure, FailureClass, Responsible, Scope, Severity};
use super::contract::{action, catalog, connection, event};

/// The JSON value that a JSON text holds. Texts of a connector were checked when they came.
pub fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The name of a failure's class.
pub fn class_name(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Credential => "credential",
        FailureClass::Scope => "scope",
        FailureClass::Permission => "permission",
        FailureClass::Input => "input",
        FailureClass::NotFound => "not-found",
        FailureClass::Conflict => "conflict",
        FailureClass::Limit => "limit",
        FailureClass::Unavailable => "unavailable",
        FailureClass::Protocol => "protocol",
    }
}

/// The name of who can apply a remedy.
pub fn who_name(who: Responsible) -> &'static str {
    match who {
        Responsible::User => "user",
        Responsible::ServiceAdmin => "service-admin",
        Responsible::Operator => "operator",
        Responsible::Developer => "developer",
    }
}

/// The name of how a finding came out.
pub fn outcome_name(outcome: connection::Outcome) -> &'static str {
    match outcome {
        connection::Outcome::Passed => "passed",
        connection::Outcome::Warning => "warning",
        connection::Outcome::Failed => "failed",
        connection::Outcome::Unknown => "unknown",
    }
}

/// The name of a change.
pub fn change_name(change: event::Change) -> &'static str {
    match change {
        event::Change::Created => "created",
        event::Change::Updated => "updated",
        event::Change::Adopted => "adopted",
        event::Change::Removed => "removed",
        event::Change::Kept => "kept",
    }
}

/// What must wait: `{"kind": "endpoint|object|tenant|app", "name": …}`.
pub fn scope(scope: &Scope) -> Value {
    match scope {
        Scope::Endpoint(name) => json!({"kind": "endpoint", "name": name}),
        Scope::Object(name) => json!({"kind": "object", "name": name}),
        Scope::Tenant => json!({"kind": "tenant"}),
        Scope::App => json!({"kind": "app"}),
    }
}

/// A failure.
pub fn failure(failure: &Failure) -> Value {
    let fields: Vec<Value> = failure
        .fields
        .iter()
        .map(|field| json!({"pointer": field.pointer, "name": field.name, "message": field.message}))
        .collect();
    json!({
        "class": class_name(failure.class),
        "code": failure.code,
        "message": failure.message,
        "remedy": failure.remedy,
        "who": who_name(failure.who),
        "repeatable": failure.repeatable,
        "fields": fields,
        "status": failure.status,
        "request-id": failure.request_id,
        "extra": value_of(&failure.extra),
    })
}

/// An error: the failure with `kind` (`permanent`, `transient`, `uncertain` or `other`), and for one
/// that passes `retry-after-ms` and `scope`.
pub fn error(error: &Error) -> Value {
    let mut object = Map::new();
    let (kind, failed) = match error {
        Error::Permanent(failed) => ("permanent", Some(failed)),
        Error::PermanentUncertain(failed) => ("uncertain", Some(failed)),
        Error::Transient(backoff) => {
            object.insert("retry-after-ms".into(), backoff.retry_after_ms.into());
            object.insert("scope".into(), scope(&backoff.scope));
            ("transient", Some(&backoff.failure))
        }
        Error::ExecutionFailed => ("other", None),
    };
    object.insert("kind".into(), kind.into());
    if let Some(Value::Object(members)) = failed.map(failure) {
        object.extend(members);
    }
    Value::Object(object)
}

/// The notices of a result.
pub fn notices(aside: &Aside) -> Value {
    let severity = |severity| match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
    };
    aside
        .notices
        .iter()
        .map(|notice| json!({"severity": severity(notice.severity), "code": notice.code, "message": notice.message}))
        .collect()
}

/// A health report.
pub fn health(health: &connection::Health) -> Value {
    let findings: Vec<Value> = health
        .findings
        .iter()
        .map(|finding| {
            json!({
                "outcome": outcome_name(finding.outcome),
                "code": finding.code,
                "message": finding.message,
                "remedy": finding.remedy,
                "who": who_name(finding.who),
                "class": finding.class.map(class_name),
            })
        })
        .collect();
    let identity = health
        .identity
        .as_ref()
        .map(|identity| json!({"tenant": identity.tenant, "account": identity.account, "label": identity.label}));
    json!({
        "findings": findings,
        "identity": identity,
        "settings": value_of(&health.settings),
        "notices": notices(&health.aside),
    })
}

/// What a form was understood to mean.
pub fn prepared(prepared: &connection::Prepared) -> Value {
    let origins: Vec<Value> = prepared
        .origins
        .iter()
        .map(|origin| json!({"url": origin.url, "credential": origin.credential, "purpose": origin.purpose}))
        .collect();
    json!({
        "settings": value_of(&prepared.settings),
        "form": value_of(&prepared.form),
        "origins": origins,
        "corrections": prepared.corrections,
    })
}

/// A page of values that a field may take.
pub fn choices(choices: &catalog::Choices) -> Value {
    let items: Vec<Value> = choices
        .items
        .iter()
        .map(|item| json!({"value": value_of(&item.value), "label": item.label, "detail": item.detail}))
        .collect();
    json!({"items": items, "next": choices.next, "notices": notices(&choices.aside)})
}

/// One step of an action: `{"done": output}` or `{"more": {…}}`.
pub fn step(step: &action::Step) -> Value {
    match step {
        action::Step::Done(output) => json!({"done": value_of(output)}),
        action::Step::More(more) => json!({"more": {
            "state": value_of(&more.state),
            "after-ms": more.after_ms,
            "progress": {
                "done": more.progress.done,
                "total": more.progress.total,
                "message": more.progress.message,
            },
        }}),
    }
}

/// Something that happened.
pub fn occurrence(occurrence: &event::Occurrence) -> Value {
    json!({
        "id": occurrence.id,
        "card": occurrence.card,
        "subscriptions": occurrence.subscriptions,
        "time-ms": occurrence.time_ms,
        "payload": value_of(&occurrence.payload),
    })
}

/// What is registered now, or would be.
pub fn ensured(ensured: &event::Ensured) -> Value {
    let changes: Vec<Value> = ensured
        .changes
        .iter()
        .map(|change| {
            json!({
                "change": change_name(change.change),
                "registration": change.registration,
                "reason": change.reason,
            })
        })
        .collect();
    let foreign: Vec<Value> = ensured
        .foreign
        .iter()
        .map(|foreign| {
            json!({
                "id": foreign.id,
                "name": foreign.name,
                "host": foreign.host,
                "active": foreign.active,
                "updated-at-ms": foreign.updated_at_ms,
                "hint": foreign.hint,
            })
        })
        .collect();
    json!({
        "registrations": ensured.registrations.iter().map(shown_registration).collect::<Vec<_>>(),
        "changes": changes,
        "foreign": foreign,
        "allowances": ensured.allowances.iter().map(allowance).collect::<Vec<_>>(),
        "notices": notices(&ensured.aside),
    })
}

/// A limit on registrations.
pub fn allowance(allowance: &event::Allowance) -> Value {
    json!({
        "name": allowance.name,
        "used": allowance.used,
        "ours": allowance.ours,
        "limit": allowance.limit,
        "warn-from": allowance.warn_from,
        "reason": allowance.reason,
    })
}

/// A registration to show to people: without its callback URL, which is a capability.
pub fn shown_registration(registration: &event::Registration) -> Value {
    json!({
        "id": registration.id,
        "covers": registration.covers,
        "proof": proof_name(&registration.proof),
        "expires-at-ms": registration.expires_at_ms,
    })
}

/// The kind of a proof, as the manifest names it.
pub fn proof_name(proof: &event::Proof) -> &'static str {
    match proof {
        event::Proof::Mac(_) => "mac",
        event::Proof::Jwt(_) => "jwt",
        event::Proof::Token(_) => "token",
        event::Proof::Signature(_) => "signature",
        event::Proof::Authenticate => "authenticate",
        event::Proof::None => "none",
    }
}

pub use super::registration_json::{RegistrationError, registration_from_json, registration_to_json};
