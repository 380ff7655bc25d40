//! Calling a connector: a fresh instance for each call, under the limits, and every way it can end
//! told apart.

mod kept;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::time::Instant;
use tracing::Instrument as _;
use wasmtime::{Store, UpdateDeadline};

use super::answer::Answer;
use super::contract::types::{self, Error, FailureClass};
use super::contract::{action, catalog, connection, event};
use super::fault::{CallError, FaultKind, HostFault};
use super::guest::Guest;
use super::inspect::Inspection;
use super::linked::{Connector, Linked};
use super::manifest::Manifest;
use super::plugins::Shared;
use super::trap::fault_of;
use crate::authorize::{Access, GrantUse, SigningSecret};
use crate::egress::{CallRecord, Sender, Substitution};
use crate::observe::{call_span, metrics};
use crate::vault::Refused;

pub use kept::KeptInstance;

/// A loaded connector. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    shared: Arc<Shared>,
    linked: Linked,
    digest: String,
    inspection: Inspection,
    manifest: Manifest,
}

/// Who is calling for whom.
struct Caller<'a> {
    shared: &'a Shared,
    linked: &'a Linked,
    digest: &'a str,
    /// What results are held to, once it is known, and the card that is run.
    manifest: Option<&'a Manifest>,
    card: &'a str,
    /// The function of the contract.
    function: &'static str,
    /// Whether the call makes sense while the account is held. Its requests are refused all the same.
    even_if_held: bool,
    /// What an unsafe request of the call means.
    writes: Writes,
}

/// What it means that a call sent a request with an unsafe method, or that it sent none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// Something may have changed at the service.
    InThisCall,
    /// The same, and an earlier call of the same run may have changed something too.
    InEarlierCalls,
    /// Nothing: the card only reads (`behaviour.read-only`), and searches by POST.
    Never,
}

impl Writes {
    /// Whether something may have changed at the service.
    fn may_have_happened(self, record: &CallRecord) -> bool {
        self != Self::Never && record.unsafe_requests_sent > 0
    }
}

impl Plugin {
    pub(crate) fn new(
        shared: Arc<Shared>,
        linked: Linked,
        digest: String,
        inspection: Inspection,
        manifest: Manifest,
    ) -> Self {
        Self(Arc::new(Loaded { shared, linked, digest, inspection, manifest }))
    }

    /// Asks a component that is being loaded for its manifest.
    pub(crate) async fn manifest_text(shared: &Shared, linked: &Linked, digest: &str) -> Result<String, CallError> {
        let (manifest, writes) = (None, Writes::InThisCall);
        let caller =
            Caller { shared, linked, digest, manifest, card: "", function: "describe", even_if_held: false, writes };
        let description = caller
            .run(None, None, async |store, connector| connector.catalog(store)?.call_describe(store, None).await)
            .await?;
        Ok(description.manifest)
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The SHA-256 of the component, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// What it imports and exports, and how large it is.
    pub fn inspection(&self) -> &Inspection {
        &self.0.inspection
    }

    fn caller(&self, function: &'static str) -> Caller<'_> {
        Caller {
            shared: &self.0.shared,
            linked: &self.0.linked,
            digest: &self.0.digest,
            manifest: Some(&self.0.manifest),
            card: "",
            function,
            even_if_held: false,
            writes: Writes::InThisCall,
        }
    }

    /// What the connector can do; for a connection also what its deployment lacks.
    pub async fn describe(&self, connection: Option<&types::Connection>) -> Result<catalog::Description, CallError> {
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.catalog(store)?.call_describe(store, connection).await
        };
        self.caller("describe").run(None, None, run).await
    }

    /// The values a field may hold.
    pub async fn options(
        &self,
        access: &Access,
        call: &types::Call,
        query: &catalog::ChoiceQuery,
    ) -> Result<catalog::Choices, CallError> {
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.catalog(store)?.call_options(store, call, query).await
        };
        self.caller("options").run(Some(access), None, run).await
    }

    /// The schema of a card, with these inputs known.
    pub async fn schema(
        &self,
        access: &Access,
        call: &types::Call,
        card: &str,
        input: &str,
    ) -> Result<catalog::CardSchema, CallError> {
        let input = input.to_owned();
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.catalog(store)?.call_schema(store, call, card, &input).await
        };
        self.caller("schema").run(Some(access), None, run).await
    }

    /// What a form means. `form` is a JSON object without the secret fields.
    pub async fn prepare(&self, method: &str, form: &str) -> Result<connection::Prepared, CallError> {
        let form = form.to_owned();
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.connection(store)?.call_prepare(store, method, &form).await
        };
        self.caller("prepare").run(None, None, run).await
    }

    /// The sites that a credential reaches.
    pub async fn discover(&self, access: &Access, call: &types::Call) -> Result<connection::Sites, CallError> {
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.connection(store)?.call_discover(store, call).await
        };
        self.caller("discover").run(Some(access), None, run).await
    }

    /// The health of a connection.
    pub async fn check(&self, access: &Access, call: &types::Call) -> Result<connection::Health, CallError> {
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.connection(store)?.call_check(store, call).await
        };
        // Where the account is held, what anybody may ask is looked at all the same.
        Caller { even_if_held: true, ..self.caller("check") }.run(Some(access), None, run).await
    }

    /// Runs an action card. The output is JSON that obeys the card's schema.
    pub async fn invoke(
        &self,
        access: &Access,
        call: &types::Call,
        card: &str,
        input: &str,
        state: Option<&str>,
    ) -> Result<action::Invoked, CallError> {
        let behaviour = self.0.manifest.card(card).and_then(|card| card.behaviour);
        let writes = match state {
            _ if behaviour.is_some_and(|behaviour| behaviour.read_only) => Writes::Never,
            Some(_) => Writes::InEarlierCalls,
            None => Writes::InThisCall,
        };
        let (input, state) = (input.to_owned(), state.map(str::to_owned));
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.action(store)?.call_invoke(store, call, card, &input, state.as_ref()).await
        };
        let caller = Caller { card, writes, ..self.caller("invoke") };
        caller.run(Some(access), None, run).await
    }

    /// Makes what is registered equal to what is wanted. Where `signing_secret` is given, its
    /// placeholder (which `request.signing-secret` holds) is replaced once, at the manifest's
    /// `deliveries.secret-pointer`, in a request to an origin that takes the credential.
    pub async fn ensure(
        &self,
        access: &Access,
        call: &types::Call,
        request: &event::EnsureRequest,
        signing_secret: Option<SigningSecret>,
    ) -> Result<event::Ensured, CallError> {
        let pointers = &self.0.manifest.deliveries.secret_pointer;
        let substitution = signing_secret.filter(|_| !pointers.is_empty()).map(|secret| Substitution {
            secret,
            pointers: pointers.clone(),
            done: AtomicBool::new(false),
        });
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.event(store)?.call_ensure(store, call, request).await
        };
        self.caller("ensure").run(Some(access), substitution, run).await
    }

    /// Whether a delivery is genuine, for registrations whose proof is `authenticate`.
    pub async fn authenticate(
        &self,
        delivery: &event::Delivery,
        registration: &event::Registration,
    ) -> Result<event::Verdict, CallError> {
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.event(store)?.call_authenticate(store, delivery, registration).await
        };
        self.caller("authenticate").run(None, None, run).await
    }

    /// The reply to a handshake; none for any other delivery.
    pub async fn answer(&self, delivery: &event::Delivery) -> Result<Option<event::Reply>, CallError> {
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.event(store)?.call_answer(store, delivery).await
        };
        self.caller("answer").run(None, None, run).await
    }

    /// What a proved delivery brought. Without `access` and `call` nothing is fetched.
    pub async fn receive(
        &self,
        access: Option<&Access>,
        call: Option<&types::Call>,
        delivery: &event::Delivery,
        subscriptions: &[event::Subscription],
    ) -> Result<event::Received, CallError> {
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.event(store)?.call_receive(store, call, delivery, subscriptions).await
        };
        // Most deliveries hold all that is needed: what was acknowledged is read even while nothing may be sent.
        Caller { even_if_held: true, ..self.caller("receive") }.run(access, None, run).await
    }

    /// What happened since the cursor.
    pub async fn poll(
        &self,
        access: &Access,
        call: &types::Call,
        subscriptions: &[event::Subscription],
        cursor: Option<&str>,
    ) -> Result<event::Polled, CallError> {
        let cursor = cursor.map(str::to_owned);
        let run = async |store: &mut Store<Guest>, connector: &Connector<'_>| {
            connector.event(store)?.call_poll(store, call, subscriptions, cursor.as_ref()).await
        };
        self.caller("poll").run(Some(access), None, run).await
    }
}

impl Caller<'_> {
    /// Runs one function in a fresh instance.
    async fn run<T, F>(
        &self,
        access: Option<&Access>,
        substitution: Option<Substitution>,
        function: F,
    ) -> Result<T, CallError>
    where
        T: Answer,
        F: AsyncFnOnce(&mut Store<Guest>, &Connector<'_>) -> wasmtime::Result<Result<T, Error>>,
    {
        let limits = &self.shared.limits;
        // What a stranger's bytes do to `authenticate` says nothing about the other functions.
        let connection = access.map_or(self.function, |access| &*access.connection);
        self.may_run(access, connection)?;
        let Ok(_turn) = self.shared.calls.acquire().await else {
            return Err(HostFault::new(FaultKind::Internal, "the host is shutting down").into());
        };
        let _running = self.shared.ticker.running();
        let deadline = Instant::now() + limits.time;
        let observed = metrics().call(self.function);
        let span = call_span(self.function, self.card, connection);
        let sender = span.in_scope(|| Sender::new(access.cloned(), substitution, deadline));
        let mut store = self.store(sender.clone());
        let calling = async {
            let connector = self.linked.instantiate(&mut store).await?;
            function(&mut store, &connector).await
        };
        let ended = tokio::time::timeout_at(deadline, calling.instrument(span.clone())).await;
        let memory_refused = store.data().meter.refused;
        let fuel = limits.fuel.zip(store.get_fuel().ok()).map(|(had, left)| had - left);
        // Requests that are still under way end here, before anyone asks what was sent.
        drop(store);
        let record = CallRecord { fuel, ..sender.recorder().take() };
        if let Some(sink) = access.and_then(|access| access.recorder.as_ref()) {
            sink.absorb(&record);
        }
        let result = match ended {
            Err(_) => Err(HostFault::new(FaultKind::TimedOut, "the connector did not end in time").into()),
            Ok(Err(error)) => Err(fault_of(&error, memory_refused).into()),
            Ok(Ok(Err(error))) => error
                .checked(limits)
                .map_or_else(|fault| Err(fault.into()), |error| Err(CallError::Connector(error.into()))),
            Ok(Ok(Ok(value))) => value
                .checked(limits)
                .and_then(|value| match self.manifest {
                    Some(manifest) => value.obeys(manifest, self.card).map(|()| value),
                    None => Ok(value),
                })
                .map_err(CallError::Host),
        };
        let faulty = matches!(&result, Err(CallError::Host(fault)) if fault.kind.counts());
        let until = self.shared.clock.monotonic() + limits.quarantine;
        self.shared.quarantine.note(self.digest, connection, faulty, limits.faults_until_quarantine, until);
        if let Some(access) = access {
            tell_guard(access, &record, &result, sender.refused());
        }
        let result = settle(result, &record, self.writes);
        span.in_scope(|| observed.ended(&result));
        result
    }

    /// Refuses at once what cannot go well.
    fn may_run(&self, access: Option<&Access>, connection: &str) -> Result<(), HostFault> {
        let now = self.shared.clock.monotonic();
        if self.shared.quarantine.remaining(self.digest, connection, now).is_some() {
            let detail = "the connector failed several times in a row and is set aside for a while";
            return Err(HostFault::new(FaultKind::Quarantined, detail));
        }
        let authority = access.and_then(|access| access.authority.as_ref()).filter(|_| !self.even_if_held);
        let Some(authority) = authority else { return Ok(()) };
        if let Some(dead) = authority.credential.grant().and_then(GrantUse::dead) {
            let granted = authority.credential.is_granted_by_a_person();
            return Err(HostFault::grant_dead(dead.to_string(), granted));
        }
        match authority.guard.held(&authority.account, authority.credential.fingerprint()) {
            Ok(None) => Ok(()),
            Ok(Some(held)) => Err(HostFault::account_held(held, authority.credential.is_granted_by_a_person())),
            Err(error) => Err(HostFault::new(FaultKind::Internal, error.to_string())),
        }
    }

    fn store(&self, sender: Sender) -> Store<Guest> {
        let limits = &self.shared.limits;
        let mut store = Store::new(&self.shared.engine, Guest::new(limits, &self.shared.clock, sender));
        store.limiter(|guest| &mut guest.meter);
        if let Some(fuel) = limits.fuel {
            // Cannot fail: the engine counts fuel where the limits name some.
            let _ = store.set_fuel(fuel);
        }
        store.set_hostcall_fuel(limits.host_call_bytes);
        store.set_max_component_handles(limits.handles);
        // At every tick the guest steps aside, so that others run and the deadline is seen.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        store
    }
}

/// Tells the guard what the connector made of the service's answers: a refusal that was about a
/// scope or a permission does not speak against the credential; one that only the connector could
/// see does.
fn tell_guard<T: Answer>(access: &Access, record: &CallRecord, result: &Result<T, CallError>, refused: Vec<Refused>) {
    let Some(authority) = &access.authority else { return };
    let class = match result {
        Ok(value) => value.failed_class(),
        Err(CallError::Connector(error)) => match &**error {
            Error::Permanent(failure) | Error::PermanentUncertain(failure) => Some(failure.class),
            Error::Transient(backoff) => Some(backoff.failure.class),
            Error::ExecutionFailed => None,
        },
        Err(CallError::Host(_)) => None,
    };
    let taken_back = matches!(class, Some(FailureClass::Scope | FailureClass::Permission));
    let mut told = refused.into_iter().try_for_each(|one| one.settle(taken_back));
    if class == Some(FailureClass::Credential) && record.refusals == 0 && record.credential_sent {
        told = authority.guard.confirm(access.guarded(authority), "the connector found the credential refused");
    }
    if let Err(error) = told {
        tracing::warn!(%error, "the lockout guard could not be told how a call ended");
    }
}

/// Whether a connector may report so that it could not reach something.
fn may_come_of_denial(error: &Error) -> bool {
    match error {
        Error::Permanent(failure) | Error::PermanentUncertain(failure) => {
            matches!(failure.class, FailureClass::Unavailable | FailureClass::Protocol)
        }
        Error::Transient(_) | Error::ExecutionFailed => true,
    }
}

/// Why nothing is sent until a person acts, where that is so. The denial is the whole sentence already.
fn shut(record: &CallRecord) -> Option<HostFault> {
    if let Some(held) = record.held.as_ref().filter(|_| record.account_held) {
        return Some(HostFault::account_held(held.clone(), record.granted));
    }
    let kind = match record {
        CallRecord { grant_dead: true, granted: true, .. } => FaultKind::GrantDead,
        CallRecord { grant_dead: true, .. } => FaultKind::ClientDead,
        CallRecord { client_refused: Some((reason, remedy)), .. } => {
            return Some(HostFault::client_refused(reason, remedy));
        }
        _ => return None,
    };
    Some(HostFault::new(kind, record.denial().unwrap_or_default()))
}

/// Why the account is left alone for a while, where it is.
fn paused(record: &CallRecord) -> Option<HostFault> {
    record.account_paused.as_ref().map(|(detail, after_ms)| HostFault::account_paused(detail, *after_ms))
}

/// Why a request did not leave that will later, where that is so: the connector saw a server that it could not reach.
fn put_off(record: &CallRecord) -> Option<HostFault> {
    match &record.not_renewed {
        Some((reason, after_ms)) => Some(HostFault::not_renewed(reason, *after_ms)),
        None => paused(record).or_else(|| record.account_busy.then(HostFault::account_busy)),
    }
}

/// Whether a connector reports so that a server was not there.
fn is_unavailable(error: &Error) -> bool {
    match error {
        Error::Permanent(failure)
        | Error::PermanentUncertain(failure)
        | Error::Transient(types::Backoff { failure, .. }) => failure.class == FailureClass::Unavailable,
        Error::ExecutionFailed => false,
    }
}

/// The last word on a call: what the host held back explains a failure better than what the
/// connector could see of it, and a fault remembers whether a write may have left.
fn settle<T: Answer>(result: Result<T, CallError>, record: &CallRecord, writes: Writes) -> Result<T, CallError> {
    let may_have_happened = writes.may_have_happened(record);
    match result {
        Ok(mut value) => {
            if let Some(fault) = shut(record) {
                if value.tell_shut(&fault) {
                    return Ok(value);
                }
                if value.failed_class().is_some() {
                    return Err(fault.into());
                }
            }
            if let Some(fault) = paused(record)
                && value.tell_shut(&fault)
            {
                return Ok(value);
            }
            if let Some(fault) = put_off(record).filter(|_| value.failed_class() == Some(FailureClass::Unavailable)) {
                return Err(fault.into());
            }
            if let Some(reason) = record.denial() {
                value.explain_denial(reason);
            }
            Ok(value)
        }
        Err(CallError::Connector(error)) if may_have_happened => Err(CallError::Connector(error)),
        Err(CallError::Connector(error)) => match (shut(record), record.denial(), *error) {
            // What an earlier call began may still have happened, whatever this one could not find out.
            (_, _, error @ Error::PermanentUncertain(_)) if writes == Writes::InEarlierCalls => {
                Err(CallError::Connector(error.into()))
            }
            (Some(fault), ..) => Err(fault.into()),
            // The connector saw a server that it could not reach.
            (None, _, error) if is_unavailable(&error) && put_off(record).is_some() => {
                Err(put_off(record).map_or_else(|| error.into(), Into::into))
            }
            (None, Some(reason), error) if may_come_of_denial(&error) => {
                let detail = format!("the host refused to send a request of the connector: {reason}");
                Err(HostFault::new(FaultKind::EgressDenied, detail).into())
            }
            (_, _, Error::PermanentUncertain(failure)) => Err(CallError::Connector(never_left(failure).into())),
            (_, _, error) => Err(CallError::Connector(error.into())),
        },
        Err(CallError::Host(mut fault)) => {
            fault.unsafe_request_sent = may_have_happened;
            Err(CallError::Host(fault))
        }
    }
}

/// A connector that cannot tell whether its request left says that it may have. The host knows that
/// none did which could have changed anything.
fn never_left(failure: types::Failure) -> Error {
    let message = format!("{} Nothing was sent that could have changed anything.", failure.message);
    let failure = types::Failure {
        class: FailureClass::Unavailable,
        message,
        remedy: "Try again.".into(),
        repeatable: true,
        ..failure
    };
    Error::Transient(types::Backoff { failure, retry_after_ms: 0, scope: types::Scope::Tenant })
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({:?})", self.0.manifest)
    }
}

#[cfg(test)]
#[path = "call_test.rs"]
mod tests;
