//! Records of the bindings to records of the core, and back.

use super::bindings::exports::workflow::connector::{action, catalog, connection, event, types};
use crate::contract::{self, Error, Failure, FailureClass, Outcome, Responsible, Scope, Severity, Step};
use crate::json;
use serde_json::Value;

/// Parses a JSON text that came with a call.
pub(super) fn json_in(what: &str, text: &str) -> Result<Value, Error> {
    json::parse(text).map_err(|fault| {
        Failure::new(
            FailureClass::Input,
            "json-invalid",
            format!("The JSON of {what} is not well formed: {fault}."),
            "Give well-formed JSON.",
        )
        .permanent()
    })
}

pub(super) fn connection_in(connection: types::Connection) -> Result<contract::Connection, Error> {
    Ok(contract::Connection {
        settings: json_in("connection.settings", &connection.settings)?,
        id: connection.id,
        authorization: connection.authorization,
        generation: json::value(&connection.extra).get("generation").and_then(Value::as_u64),
    })
}

pub(super) fn call_in(call: types::Call) -> Result<contract::Call, Error> {
    Ok(contract::Call {
        connection: connection_in(call.connection)?,
        deadline_ms: call.deadline_ms,
        idempotency_key: call.idempotency_key,
        held: call.held.into_iter().map(|h| contract::Hold { scope: scope_in(h.scope), for_ms: h.for_ms }).collect(),
        granted_scopes: call.granted_scopes,
        memo: call.memo.map(|memo| contract::Memo { data: memo.data, age_ms: memo.age_ms }),
    })
}

fn scope_in(scope: types::Scope) -> Scope {
    match scope {
        types::Scope::Endpoint(name) => Scope::Endpoint(name),
        types::Scope::Object(name) => Scope::Object(name),
        types::Scope::Tenant => Scope::Tenant,
        types::Scope::App => Scope::App,
    }
}

fn scope_out(scope: Scope) -> types::Scope {
    match scope {
        Scope::Endpoint(name) => types::Scope::Endpoint(name),
        Scope::Object(name) => types::Scope::Object(name),
        Scope::Tenant => types::Scope::Tenant,
        Scope::App => types::Scope::App,
    }
}

pub(super) fn error_out(error: Error) -> types::Error {
    match error {
        Error::Permanent(failure) => types::Error::Permanent(failure_out(*failure)),
        Error::PermanentUncertain(failure) => types::Error::PermanentUncertain(failure_out(*failure)),
        Error::Transient(backoff) => types::Error::Transient(types::Backoff {
            failure: failure_out(backoff.failure),
            retry_after_ms: backoff.retry_after_ms,
            scope: scope_out(backoff.scope),
        }),
    }
}

fn failure_out(failure: Failure) -> types::Failure {
    types::Failure {
        class: class_out(failure.class),
        code: failure.code,
        message: failure.message,
        remedy: failure.remedy,
        who: responsible_out(failure.who),
        repeatable: failure.repeatable,
        fields: failure
            .fields
            .into_iter()
            .map(|f| types::FieldFailure { pointer: f.pointer, name: f.name, message: f.message })
            .collect(),
        status: failure.status,
        request_id: failure.request_id,
        extra: json::text(&failure.extra),
    }
}

fn class_out(class: FailureClass) -> types::FailureClass {
    match class {
        FailureClass::Credential => types::FailureClass::Credential,
        FailureClass::Scope => types::FailureClass::Scope,
        FailureClass::Permission => types::FailureClass::Permission,
        FailureClass::Input => types::FailureClass::Input,
        FailureClass::NotFound => types::FailureClass::NotFound,
        FailureClass::Conflict => types::FailureClass::Conflict,
        FailureClass::Limit => types::FailureClass::Limit,
        FailureClass::Unavailable => types::FailureClass::Unavailable,
        FailureClass::Protocol => types::FailureClass::Protocol,
    }
}

fn responsible_out(who: Responsible) -> types::Responsible {
    match who {
        Responsible::User => types::Responsible::User,
        Responsible::ServiceAdmin => types::Responsible::ServiceAdmin,
        Responsible::Operator => types::Responsible::Operator,
        Responsible::Developer => types::Responsible::Developer,
    }
}

pub(super) fn aside_out(aside: contract::Aside) -> types::Aside {
    types::Aside {
        notices: aside
            .notices
            .into_iter()
            .map(|notice| types::Notice {
                severity: match notice.severity {
                    Severity::Info => types::Severity::Info,
                    Severity::Warning => types::Severity::Warning,
                },
                code: notice.code,
                message: notice.message,
            })
            .collect(),
        memo: aside.memo,
        extra: "{}".to_owned(),
    }
}

pub(super) fn choices_out(choices: contract::Choices) -> catalog::Choices {
    catalog::Choices {
        items: choices
            .items
            .into_iter()
            .map(|c| catalog::Choice { value: json::text(&c.value), label: c.label, detail: c.detail })
            .collect(),
        next: choices.next,
        aside: aside_out(choices.aside),
    }
}

fn origins_out(origins: Vec<contract::Origin>) -> Vec<connection::Origin> {
    let origin = |o: contract::Origin| connection::Origin { url: o.url, credential: o.credential, purpose: o.purpose };
    origins.into_iter().map(origin).collect()
}

pub(super) fn prepared_out(prepared: contract::Prepared) -> connection::Prepared {
    connection::Prepared {
        settings: json::text(&prepared.settings),
        origins: origins_out(prepared.origins),
        form: json::text(&prepared.form),
        corrections: prepared.corrections,
        extra: "{}".to_owned(),
    }
}

pub(super) fn sites_out(sites: contract::Sites) -> connection::Sites {
    let site = |site: contract::Site| connection::Site {
        id: site.id,
        label: site.label,
        url: site.url,
        prepared: prepared_out(site.prepared),
    };
    connection::Sites { items: sites.items.into_iter().map(site).collect(), aside: aside_out(sites.aside) }
}

pub(super) fn health_out(health: contract::Health) -> connection::Health {
    connection::Health {
        findings: health
            .findings
            .into_iter()
            .map(|finding| connection::Finding {
                outcome: match finding.outcome {
                    Outcome::Passed => connection::Outcome::Passed,
                    Outcome::Warning => connection::Outcome::Warning,
                    Outcome::Failed => connection::Outcome::Failed,
                    Outcome::Unknown => connection::Outcome::Unknown,
                },
                code: finding.code,
                message: finding.message,
                remedy: finding.remedy,
                who: responsible_out(finding.who),
                class: finding.class.map(class_out),
            })
            .collect(),
        identity: health.identity.map(|i| connection::Identity {
            tenant: i.tenant,
            account: i.account,
            label: i.label,
        }),
        settings: json::text(&health.settings),
        origins: health.origins.map(origins_out),
        aside: aside_out(health.aside),
    }
}

pub(super) fn invoked_out(invoked: contract::Invoked) -> action::Invoked {
    action::Invoked {
        step: match invoked.step {
            Step::Done(output) => action::Step::Done(output),
            Step::More(more) => action::Step::More(action::Continuation {
                state: more.state,
                after_ms: more.after_ms,
                progress: action::Progress { done: more.done, total: more.total, message: more.message },
            }),
        },
        aside: aside_out(invoked.aside),
    }
}

pub(super) fn subscription_in(subscription: event::Subscription) -> Result<contract::event::Subscription, Error> {
    Ok(contract::event::Subscription {
        filter: json_in("subscription.filter", &subscription.filter)?,
        id: subscription.id,
        card: subscription.card,
    })
}

pub(super) fn delivery_in(delivery: event::Delivery) -> contract::event::Delivery {
    contract::event::Delivery {
        id: delivery.id,
        headers: delivery.headers.into_iter().map(|h| (h.name, h.value)).collect(),
        body: delivery.body,
        received_at_ms: delivery.received_at_ms,
    }
}

pub(super) fn ensure_in(request: event::EnsureRequest) -> Result<contract::event::EnsureRequest, Error> {
    Ok(contract::event::EnsureRequest {
        wanted: request.wanted.into_iter().map(subscription_in).collect::<Result<_, _>>()?,
        known: request
            .known
            .into_iter()
            .map(|known| {
                Ok(contract::event::Registration {
                    state: json_in("registration.state", &known.state)?,
                    id: known.id,
                    callback: known.callback,
                    covers: known.covers,
                })
            })
            .collect::<Result<_, Error>>()?,
        callback: request.callback,
        owner: request.owner,
        signing_secret: request.signing_secret,
        plan: request.plan,
    })
}

fn proof() -> event::Proof {
    event::Proof::Mac(event::Mac {
        algorithm: event::Digest::Sha256,
        header: crate::event::PROOF_HEADER.to_owned(),
        element: None,
        prefix: crate::event::PROOF_PREFIX.to_owned(),
        encoding: event::Encoding::Hex,
        signed: vec![event::SignedPart::RawBody],
        timestamp: None,
        secret: event::SecretRef::Registration,
    })
}

pub(super) fn ensured_out(ensured: contract::event::Ensured) -> event::Ensured {
    use contract::event::Change;
    event::Ensured {
        registrations: ensured
            .registrations
            .into_iter()
            .map(|registration| event::Registration {
                id: registration.id,
                callback: registration.callback,
                covers: registration.covers,
                proof: proof(),
                expires_at_ms: None,
                state: json::text(&registration.state),
                extra: "{}".to_owned(),
            })
            .collect(),
        changes: ensured
            .changes
            .into_iter()
            .map(|change| event::PlannedChange {
                change: match change.change {
                    Change::Created => event::Change::Created,
                    Change::Updated => event::Change::Updated,
                    Change::Adopted => event::Change::Adopted,
                    Change::Removed => event::Change::Removed,
                    Change::Kept => event::Change::Kept,
                },
                registration: change.registration,
                reason: change.reason,
            })
            .collect(),
        foreign: ensured
            .foreign
            .into_iter()
            .map(|foreign| event::ForeignRegistration {
                id: foreign.id,
                name: foreign.name,
                host: foreign.host,
                active: foreign.active,
                updated_at_ms: foreign.updated_at_ms,
                hint: foreign.hint,
            })
            .collect(),
        allowances: ensured
            .allowances
            .into_iter()
            .map(|allowance| event::Allowance {
                name: allowance.name,
                used: allowance.used,
                ours: allowance.ours,
                limit: allowance.limit,
                warn_from: allowance.warn_from,
                reason: allowance.reason,
            })
            .collect(),
        aside: aside_out(ensured.aside),
    }
}

pub(super) fn occurrence_out(occurrence: contract::event::Occurrence) -> event::Occurrence {
    event::Occurrence {
        id: occurrence.id,
        card: occurrence.card,
        subscriptions: occurrence.subscriptions,
        time_ms: occurrence.time_ms,
        payload: occurrence.payload,
        extra: occurrence.extra,
    }
}
