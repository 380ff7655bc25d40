//! One webhook for all subscriptions of a connection.

use super::admin_webhook::{self, Hook, LIMIT, WARN_FROM};
use super::{SCOPES, find};
use crate::action::with_scopes;
use crate::catalog::{refuse_lacking, unknown_card};
use crate::contract::event::{
    Allowance, Change, EnsureRequest, Ensured, ForeignRegistration, PlannedChange, Registration,
};
use crate::contract::{Call, Error, Failure, FailureClass, Responsible, Severity};
use crate::host::Host;
use crate::jira::client::{Ask, Client};
use crate::jira::path;
use crate::sorted;
use serde_json::json;

/// What the limit is called.
const ALLOWANCE: &str = "active admin webhooks of the site";

/// Makes the site's webhooks equal to what is wanted, or says what that would take.
pub fn ensure(host: &mut dyn Host, call: &Call, request: &EnsureRequest) -> Result<Ensured, Error> {
    for subscription in &request.wanted {
        refuse_lacking(&call.connection.settings, &subscription.card)?;
    }
    let mut client = Client::open(host, call)?;
    let events = wanted_events(request)?;
    let hooks = match list(&mut client).map_err(|error| with_scopes(error, call, SCOPES)) {
        Ok(hooks) => hooks,
        Err(error) if request.plan => return Ok(uncounted(client, request, &error)),
        Err(error) => return Err(error),
    };
    let plan = Plan::make(request, events, &hooks);
    let our_host = host_of(&request.callback);
    let now_ms = client.host.now_ms();
    let foreign = hooks
        .iter()
        .filter(|hook| !is_ours(hook, request))
        .map(|hook| hook.foreign(&hooks, our_host, now_ms))
        .collect::<Vec<_>>();
    let ours = || hooks.iter().filter(|hook| is_ours(hook, request));
    let mut allowance = Allowance {
        name: ALLOWANCE.to_owned(),
        used: Some(admin_webhook::active(&hooks)),
        ours: admin_webhook::active(ours()),
        limit: LIMIT,
        warn_from: WARN_FROM,
        reason: String::new(),
    };
    let (registrations, changes) = if request.plan {
        (plan.would_exist(request), plan.changes())
    } else {
        let used = admin_webhook::active(&hooks);
        let new = plan.takes_a_place();
        if new && used >= LIMIT {
            return Err(full(used, &foreign));
        }
        let id = plan.write_ours(&mut client, request).map_err(|error| match admin_webhook::is_full(&error) {
            true => full(used.max(LIMIT), &foreign),
            false => error,
        })?;
        let removed = plan.remove_others(&mut client)?;
        let freed = admin_webhook::active(removed.iter().copied());
        let ours = admin_webhook::active(ours());
        allowance.used = Some((used + u32::from(new)).saturating_sub(freed));
        allowance.ours = (ours + u32::from(new)).saturating_sub(freed);
        let registrations = id.iter().map(|id| plan.registration(id, request)).collect();
        (registrations, plan.done(id.as_deref(), &removed))
    };
    Ok(Ensured { registrations, changes, foreign, allowances: vec![allowance], aside: client.into_aside() })
}

fn list(client: &mut Client<'_>) -> Result<Vec<Hook>, Error> {
    let ask = admin_webhook::list(client);
    admin_webhook::read(client.send(&ask))
}

fn wanted_events(request: &EnsureRequest) -> Result<Vec<String>, Error> {
    let webhook = |card: &String| find(card).map(|card| card.webhook.to_owned()).ok_or_else(|| unknown_card(card));
    let events: Vec<String> = request.wanted.iter().map(|wanted| webhook(&wanted.card)).collect::<Result<_, _>>()?;
    Ok(sorted::names(events))
}

/// The name by which our own hooks are known again.
fn name(owner: &str) -> String {
    format!("Workflow connector [{owner}]")
}

fn is_ours(hook: &Hook, request: &EnsureRequest) -> bool {
    (!request.owner.is_empty() && hook.name.contains(&format!("[{}]", request.owner)))
        || (!request.callback.is_empty() && hook.url == request.callback)
        || is_known(hook, request)
}

fn is_known(hook: &Hook, request: &EnsureRequest) -> bool {
    request.known.iter().any(|known| known.id == hook.id)
}

fn host_of(url: &str) -> &str {
    url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default())
}

/// What is done with our hooks.
struct Plan<'h> {
    events: Vec<String>,
    keep: Option<Keep<'h>>,
    remove: Vec<&'h Hook>,
}

struct Keep<'h> {
    hook: &'h Hook,
    change: Change,
    reason: &'static str,
}

impl<'h> Plan<'h> {
    fn make(request: &EnsureRequest, events: Vec<String>, hooks: &'h [Hook]) -> Self {
        // An active one first, for no other is sure of its place at the limit; then the one we know of, then one that
        // already leads here.
        let rank = |hook: &Hook| (!hook.enabled, !is_known(hook, request), hook.url != request.callback);
        let ours = hooks.iter().filter(|hook| is_ours(hook, request));
        let mut ours = sorted::by(ours, |one, other| rank(one).cmp(&rank(other)).then_with(|| one.id.cmp(&other.id)));
        if events.is_empty() || ours.is_empty() {
            return Self { events, keep: None, remove: ours };
        }
        let hook = ours.remove(0);
        let (change, reason) = if !is_known(hook, request) {
            (Change::Adopted, "It is ours, and the host did not know of it.")
        } else {
            match drift(hook, request, &events) {
                Some(reason) => (Change::Updated, reason),
                None => (Change::Kept, "It is as it should be."),
            }
        };
        Self { events, keep: Some(Keep { hook, change, reason }), remove: ours }
    }

    /// Whether one more hook is active afterwards than the ones we keep now.
    fn takes_a_place(&self) -> bool {
        match &self.keep {
            None => !self.events.is_empty(),
            Some(keep) => !keep.hook.enabled,
        }
    }

    /// What carrying it out would change.
    fn changes(&self) -> Vec<PlannedChange> {
        self.done(self.keep.as_ref().map(|keep| keep.hook.id.as_str()), &self.remove)
    }

    /// What was changed: `id` is our hook's, `removed` are the others of ours.
    fn done(&self, id: Option<&str>, removed: &[&Hook]) -> Vec<PlannedChange> {
        let ours = match &self.keep {
            Some(keep) => Some((keep.change, keep.reason)),
            None if self.events.is_empty() => None,
            None => Some((Change::Created, "There is none of ours yet.")),
        };
        let ours = ours.map(|(change, reason)| PlannedChange {
            change,
            registration: id.unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
        });
        ours.into_iter().chain(removed.iter().map(|hook| self.removal(hook))).collect()
    }

    fn removal(&self, hook: &Hook) -> PlannedChange {
        let reason =
            if self.events.is_empty() { "Nothing is wanted any more." } else { "It doubles another one of ours." };
        PlannedChange { change: Change::Removed, registration: hook.id.clone(), reason: reason.to_owned() }
    }

    fn would_exist(&self, request: &EnsureRequest) -> Vec<Registration> {
        self.keep.iter().map(|keep| self.registration(&keep.hook.id, request)).collect()
    }

    fn registration(&self, id: &str, request: &EnsureRequest) -> Registration {
        Registration {
            id: id.to_owned(),
            callback: request.callback.clone(),
            covers: request.wanted.iter().map(|subscription| subscription.id.clone()).collect(),
            state: json!({ "events": self.events }),
        }
    }

    /// Makes our one hook what it should be, and gives its id; none where nothing is wanted. It comes before any
    /// removal: if it fails, what was there goes on reporting.
    fn write_ours(&self, client: &mut Client<'_>, request: &EnsureRequest) -> Result<Option<String>, Error> {
        if self.events.is_empty() {
            return Ok(None);
        }
        let name = name(&request.owner);
        let body = admin_webhook::body(client, &name, &request.callback, &self.events, &request.signing_secret);
        let Some(keep) = &self.keep else {
            let answer = client.send(&Ask::new("POST", admin_webhook::path(client), "webhook").body(body))?;
            let hook = Hook::read(&answer.value()).ok_or_else(|| unnamed(answer.status))?;
            return Ok(Some(hook.id));
        };
        if keep.change != Change::Kept {
            let path = format!("{}/{}", admin_webhook::path(client), path::encode(&keep.hook.id));
            client.send(&Ask::new("PUT", path, "webhook/{id}").body(body))?;
        }
        Ok(Some(keep.hook.id.clone()))
    }

    /// Removes the rest of ours and says which are gone. Where ours stands, a double that stays is told and is no
    /// error: the host has to learn of the registration, and the next `ensure` tries again.
    fn remove_others(&self, client: &mut Client<'_>) -> Result<Vec<&'h Hook>, Error> {
        let mut removed = Vec::new();
        for hook in &self.remove {
            match remove(client, hook) {
                Ok(()) => removed.push(*hook),
                Err(error) if self.events.is_empty() => return Err(error),
                Err(error) => {
                    let message = format!("The doubled webhook {} could not be removed: {error}", hook.id);
                    client.notice(Severity::Warning, "webhook-doubled", message);
                }
            }
        }
        Ok(removed)
    }
}

/// In what a hook we know of differs from what it should be.
fn drift(hook: &Hook, request: &EnsureRequest, events: &[String]) -> Option<&'static str> {
    if !hook.enabled {
        Some("Somebody disabled it.")
    } else if hook.url != request.callback {
        Some("It leads to another address.")
    } else if hook.events != *events {
        Some("Other events are wanted than it reports.")
    } else if hook.exclude_body || hook.filtered {
        Some("Somebody narrowed what it reports.")
    } else if hook.signed == Some(false) {
        Some("It does not sign its deliveries.")
    } else if hook.name != name(&request.owner) {
        Some("Somebody renamed it.")
    } else {
        None
    }
}

fn remove(client: &mut Client<'_>, hook: &Hook) -> Result<(), Error> {
    let path = format!("{}/{}", admin_webhook::path(client), path::encode(&hook.id));
    match client.send(&Ask::new("DELETE", path, "webhook/{id}")) {
        Ok(_) => Ok(()),
        // Somebody was faster.
        Err(Error::Permanent(failure)) if failure.class == FailureClass::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn unnamed(status: u16) -> Error {
    let message = "Jira answered that it registered a webhook, but not which.";
    let remedy = "Subscribe again: the webhook is then found and taken over.";
    let mut failure = Failure::new(FailureClass::Protocol, "answer-invalid", message, remedy);
    failure.status = Some(status);
    failure.uncertain()
}

/// The plan's answer where the hooks can't be listed: not counted, which is never none.
fn uncounted(client: Client<'_>, request: &EnsureRequest, error: &Error) -> Ensured {
    let failure = error.failure();
    Ensured {
        registrations: request.known.clone(),
        changes: Vec::new(),
        foreign: Vec::new(),
        allowances: vec![Allowance {
            name: ALLOWANCE.to_owned(),
            used: None,
            ours: 0,
            limit: LIMIT,
            warn_from: WARN_FROM,
            reason: format!("{} {}", failure.message, failure.remedy),
        }],
        aside: client.into_aside(),
    }
}

fn full(used: u32, foreign: &[ForeignRegistration]) -> Error {
    let hinted: Vec<String> = foreign
        .iter()
        .filter(|hook| hook.active && !hook.hint.is_empty())
        .take(5)
        .map(|hook| format!("{} ({}): {}", hook.name, hook.id, hook.hint))
        .collect();
    let age = |hook: &ForeignRegistration| hook.updated_at_ms.unwrap_or(u64::MAX);
    let by_age = sorted::by(foreign.iter().filter(|hook| hook.active), |one, other| {
        age(one).cmp(&age(other)).then_with(|| one.id.cmp(&other.id))
    });
    let candidates: Vec<String> = if hinted.is_empty() {
        by_age.iter().take(5).map(|hook| format!("{} ({}) at {}", hook.name, hook.id, hook.host)).collect()
    } else {
        hinted
    };
    let message = format!("The site has {used} active webhooks and may have {LIMIT}; none was registered.");
    let mut remedy = "Remove or disable one that nobody needs, in Jira under System, WebHooks.".to_owned();
    if !candidates.is_empty() {
        remedy.push_str(&format!(" Look first at: {}", candidates.join("; ")));
    }
    let mut failure = Failure::new(FailureClass::Limit, "webhook-limit", message, remedy).by(Responsible::ServiceAdmin);
    failure.extra = json!({ "used": used, "limit": LIMIT, "candidates": by_age.iter().take(20).map(|hook| hook.id.clone()).collect::<Vec<String>>() });
    failure.permanent()
}
