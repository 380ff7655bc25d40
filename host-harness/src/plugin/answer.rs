//! What a connector answered, checked before anyone relies on it: texts that must be JSON are, lists
//! and texts are not larger than allowed, ids are not empty.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::contract::types::{Aside, Error, Failure, FailureClass, Responsible};
use super::contract::{action, catalog, connection, event};
use super::fault::{FaultKind, HostFault};
use super::limits::Limits;
use super::manifest::{BadOutput, Manifest, check_schema};
use crate::clock::{EpochMs, bounded_ms};

/// How many times its limit a list of notices must have to be refused instead of cut.
const FLOOD: usize = 10;

/// The latest time that a thing may have: the last millisecond of the year 9999.
const LATEST: EpochMs = 253_402_300_799_999;

/// A result of a contract function.
pub(crate) trait Answer: Sized {
    /// The result, if the contract allows it; shortened where the contract lets the host forget.
    fn checked(self, limits: &Limits) -> Result<Self, HostFault>;

    /// The class of the failure that a result reports though the call went well.
    fn failed_class(&self) -> Option<FailureClass> {
        None
    }

    /// Whether the result is JSON that obeys the schemas of its cards. `card` is the one that was run.
    fn obeys(&self, _manifest: &Manifest, _card: &str) -> Result<(), HostFault> {
        Ok(())
    }

    /// Tells why nothing more is sent until a person acts, or for a while, where the result has a place for it; else `false`.
    fn tell_shut(&mut self, _fault: &HostFault) -> bool {
        false
    }

    /// Adds that the host refused to send something, where the result has a place for it.
    fn explain_denial(&mut self, _reason: &str) {}
}

fn bad(what: &str, why: impl std::fmt::Display) -> HostFault {
    HostFault::new(
        FaultKind::BadAnswer,
        format!("the connector answered something the contract does not allow: {what} {why}"),
    )
}

fn sized(what: &str, text: &str, limits: &Limits) -> Result<(), HostFault> {
    if text.len() > limits.output_bytes {
        return Err(bad(what, format_args!("has {} bytes; at most {} are allowed", text.len(), limits.output_bytes)));
    }
    Ok(())
}

/// A JSON text of bounded size, which only its author reads again.
fn is_json(what: &str, text: &str, limits: &Limits) -> Result<(), HostFault> {
    sized(what, text, limits)?;
    let read: Result<IgnoredAny, _> = serde_json::from_str(text);
    read.map(drop).map_err(|error| bad(what, format_args!("is not JSON ({error})")))
}

/// A JSON text of bounded size.
fn json(what: &str, text: &str, limits: &Limits) -> Result<Value, HostFault> {
    sized(what, text, limits)?;
    serde_json::from_str(text).map_err(|error| bad(what, format_args!("is not JSON ({error})")))
}

fn object(what: &str, text: &str, limits: &Limits) -> Result<(), HostFault> {
    if text == "{}" {
        return Ok(());
    }
    if json(what, text, limits)?.is_object() { Ok(()) } else { Err(bad(what, "is not a JSON object")) }
}

fn schema(what: &str, text: &str, limits: &Limits) -> Result<(), HostFault> {
    let schema = json(what, text, limits)?;
    check_schema(&schema).map_err(|reason| bad(what, format_args!("is not a usable JSON Schema ({reason})")))
}

fn few<T>(what: &str, items: &[T], limits: &Limits) -> Result<(), HostFault> {
    if items.len() <= limits.items {
        return Ok(());
    }
    Err(bad(what, format_args!("has {} items; at most {} are allowed", items.len(), limits.items)))
}

fn filled(what: &str, text: &str) -> Result<(), HostFault> {
    if text.is_empty() { Err(bad(what, "is empty")) } else { Ok(()) }
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

/// Notices beyond the limit are dropped, long ones shortened; a memo that is too large is forgotten,
/// as the contract lets a host do. Far more notices than a person reads are no slip but a flood.
fn aside(aside: &mut Aside, limits: &Limits) -> Result<(), HostFault> {
    object("`extra`", &aside.extra, limits)?;
    let length: usize = aside.notices.iter().map(|notice| notice.message.len() + notice.code.len()).sum();
    if aside.notices.len() > limits.notices * FLOOD || length > limits.notices * limits.notice_length * FLOOD {
        let detail = format!("the connector flooded the host with {} notices of {length} bytes", aside.notices.len());
        return Err(HostFault::new(FaultKind::FloodedHost, detail));
    }
    aside.notices.truncate(limits.notices);
    for notice in &mut aside.notices {
        shorten(&mut notice.message, limits.notice_length);
        shorten(&mut notice.code, limits.notice_length);
    }
    if aside.memo.as_ref().is_some_and(|memo| memo.len() > limits.memo_bytes) {
        aside.memo = None;
    }
    aside.memo.as_deref().map_or(Ok(()), |memo| is_json("the memo", memo, limits))
}

fn failure(failure: &mut Failure, limits: &Limits) -> Result<(), HostFault> {
    object("`extra` of the failure", &failure.extra, limits)?;
    filled("the failure's code", &failure.code)?;
    for text in [&mut failure.code, &mut failure.message, &mut failure.remedy] {
        shorten(text, 4 * limits.notice_length);
    }
    failure.fields.truncate(limits.notices);
    for field in &mut failure.fields {
        for text in [&mut field.pointer, &mut field.name, &mut field.message] {
            shorten(text, limits.notice_length);
        }
    }
    if let Some(id) = &mut failure.request_id {
        shorten(id, limits.notice_length);
    }
    Ok(())
}

impl Answer for Error {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        match &mut self {
            Self::Permanent(inner) | Self::PermanentUncertain(inner) => failure(inner, limits)?,
            Self::Transient(backoff) => failure(&mut backoff.failure, limits)?,
            Self::ExecutionFailed => return Err(bad("`execution-failed`", "is reserved for hosts")),
        }
        Ok(self)
    }
}

impl Answer for catalog::Description {
    fn checked(self, limits: &Limits) -> Result<Self, HostFault> {
        object("the manifest", &self.manifest, limits)?;
        object("`extra`", &self.extra, limits)?;
        few("`lacking`", &self.lacking, limits)?;
        Ok(self)
    }
}

impl Answer for catalog::Choices {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        few("the list of choices", &self.items, limits)?;
        for choice in &self.items {
            json("the value of a choice", &choice.value, limits)?;
        }
        aside(&mut self.aside, limits)?;
        Ok(self)
    }
}

impl Answer for catalog::CardSchema {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        schema("the card's input", &self.input, limits)?;
        schema("the card's output", &self.output, limits)?;
        aside(&mut self.aside, limits)?;
        Ok(self)
    }
}

impl Answer for connection::Prepared {
    fn checked(self, limits: &Limits) -> Result<Self, HostFault> {
        object("the settings", &self.settings, limits)?;
        object("the form", &self.form, limits)?;
        object("`extra`", &self.extra, limits)?;
        origins(&self.origins, limits)?;
        Ok(self)
    }
}

fn origins(origins: &[connection::Origin], limits: &Limits) -> Result<(), HostFault> {
    few("the list of origins", origins, limits)?;
    for origin in origins {
        crate::egress::Origin::parse(&origin.url).map_err(|error| bad("an origin:", error))?;
    }
    Ok(())
}

impl Answer for connection::Sites {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        few("the list of sites", &self.items, limits)?;
        let items = std::mem::take(&mut self.items);
        for site in items {
            filled("a site's id", &site.id)?;
            let prepared = site.prepared.checked(limits)?;
            self.items.push(connection::Site { prepared, ..site });
        }
        aside(&mut self.aside, limits)?;
        Ok(self)
    }
}

impl Answer for connection::Health {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        object("the settings", &self.settings, limits)?;
        few("the list of findings", &self.findings, limits)?;
        origins(self.origins.as_deref().unwrap_or_default(), limits)?;
        if let Some(identity) = &self.identity {
            filled("the identity's tenant", &identity.tenant)?;
            filled("the identity's account", &identity.account)?;
        }
        for finding in &mut self.findings {
            for text in [&mut finding.code, &mut finding.message, &mut finding.remedy] {
                shorten(text, 4 * limits.notice_length);
            }
        }
        aside(&mut self.aside, limits)?;
        Ok(self)
    }

    fn failed_class(&self) -> Option<FailureClass> {
        let failed = self.findings.iter().filter(|finding| finding.outcome == connection::Outcome::Failed);
        let classes: Vec<FailureClass> = failed.filter_map(|finding| finding.class).collect();
        let credential = classes.iter().find(|class| **class == FailureClass::Credential);
        credential.or(classes.first()).copied()
    }

    fn tell_shut(&mut self, fault: &HostFault) -> bool {
        // What the connector made of requests that never left says nothing: what it found out before stays.
        self.findings.retain(|finding| {
            let bad = matches!(finding.outcome, connection::Outcome::Failed | connection::Outcome::Unknown);
            !bad || matches!(finding.class, None | Some(FailureClass::Input | FailureClass::Limit))
        });
        let failure = fault.to_failure();
        self.findings.push(connection::Finding {
            outcome: match fault.kind {
                // It passes, and nothing is known of the credential.
                FaultKind::AccountPaused => connection::Outcome::Unknown,
                _ => connection::Outcome::Failed,
            },
            code: failure.code,
            message: failure.message,
            remedy: failure.remedy,
            who: failure.who,
            class: Some(failure.class),
        });
        self.identity = None;
        true
    }

    fn explain_denial(&mut self, reason: &str) {
        let trouble = |finding: &connection::Finding| {
            matches!(finding.outcome, connection::Outcome::Failed | connection::Outcome::Unknown)
        };
        if !self.findings.iter().any(trouble) {
            return;
        }
        self.findings.push(connection::Finding {
            outcome: connection::Outcome::Failed,
            code: "host.egress-denied".into(),
            message: format!("The host refused to send a request of the connector: {reason}."),
            remedy: "Check the address of the connection; if it is meant to lie in a private network or to use plain http, allow that with `harness connection edit NAME --allow-private`.".into(),
            who: Responsible::Operator,
            class: Some(FailureClass::Permission),
        });
    }
}

impl Answer for action::Invoked {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        match &mut self.step {
            action::Step::Done(output) => sized("the output", output, limits)?,
            action::Step::More(more) => {
                is_json("the state", &more.state, limits)?;
                more.after_ms = bounded_ms(more.after_ms);
                shorten(&mut more.progress.message, limits.notice_length);
            }
        }
        aside(&mut self.aside, limits)?;
        Ok(self)
    }

    fn obeys(&self, manifest: &Manifest, card: &str) -> Result<(), HostFault> {
        match &self.step {
            action::Step::Done(text) => output(manifest, card, "the output", text),
            action::Step::More(_) => Ok(()),
        }
    }
}

fn output(manifest: &Manifest, card: &str, what: &str, text: &str) -> Result<(), HostFault> {
    manifest.check_output_text(card, text).map_err(|fault| match fault {
        BadOutput::NotJson(error) => bad(what, format_args!("is not JSON ({error})")),
        BadOutput::Breaks(reason) => {
            bad(&format!("the output of `{card}`"), format_args!("breaks its own schema: {reason}"))
        }
    })
}

fn registration(registration: &event::Registration, limits: &Limits) -> Result<(), HostFault> {
    filled("a registration's id", &registration.id)?;
    object("a registration's state", &registration.state, limits)?;
    few("`covers`", &registration.covers, limits)
}

impl Answer for event::Ensured {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        few("the list of registrations", &self.registrations, limits)?;
        few("the list of changes", &self.changes, limits)?;
        few("the list of foreign registrations", &self.foreign, limits)?;
        few("the list of allowances", &self.allowances, limits)?;
        self.registrations.iter().try_for_each(|one| registration(one, limits))?;
        aside(&mut self.aside, limits)?;
        Ok(self)
    }
}

impl Answer for event::Verdict {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        if let Self::Forged(reason) = &mut self {
            shorten(reason, limits.notice_length);
        }
        Ok(self)
    }
}

impl Answer for Option<event::Reply> {
    fn checked(self, limits: &Limits) -> Result<Self, HostFault> {
        let Some(reply) = &self else { return Ok(self) };
        if !(200..=599).contains(&reply.status) {
            return Err(bad("the reply's status", format_args!("is {}", reply.status)));
        }
        if reply.body.len() > limits.output_bytes {
            return Err(bad("the reply's body", "is too large"));
        }
        few("the list of the reply's headers", &reply.headers, limits)?;
        for header in &reply.headers {
            let name = http::HeaderName::from_bytes(header.name.as_bytes()).is_ok();
            if !name || http::HeaderValue::from_str(&header.value).is_err() {
                return Err(bad("a header of the reply", "cannot be sent"));
            }
        }
        Ok(self)
    }
}

fn occurrences(occurrences: &[event::Occurrence], limits: &Limits) -> Result<(), HostFault> {
    few("the list of occurrences", occurrences, limits)?;
    for occurrence in occurrences {
        filled("an occurrence's id", &occurrence.id)?;
        sized("an occurrence's payload", &occurrence.payload, limits)?;
        if let Some(time) = occurrence.time_ms.filter(|time| *time > LATEST) {
            return Err(bad("an occurrence's time", format_args!("is {time}, beyond the year 9999")));
        }
    }
    Ok(())
}

fn payloads(manifest: &Manifest, occurrences: &[event::Occurrence]) -> Result<(), HostFault> {
    let what = "an occurrence's payload";
    occurrences.iter().try_for_each(|one| output(manifest, &one.card, what, &one.payload))
}

impl Answer for event::Received {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        occurrences(&self.occurrences, limits)?;
        aside(&mut self.aside, limits)?;
        Ok(self)
    }

    fn obeys(&self, manifest: &Manifest, _: &str) -> Result<(), HostFault> {
        payloads(manifest, &self.occurrences)
    }
}

impl Answer for event::Polled {
    fn checked(mut self, limits: &Limits) -> Result<Self, HostFault> {
        occurrences(&self.occurrences, limits)?;
        json("the cursor", &self.cursor, limits)?;
        self.after_ms = bounded_ms(self.after_ms);
        aside(&mut self.aside, limits)?;
        Ok(self)
    }

    fn obeys(&self, manifest: &Manifest, _: &str) -> Result<(), HostFault> {
        payloads(manifest, &self.occurrences)
    }
}
