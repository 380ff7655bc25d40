//! A grant as the calls of one connection use it: current tokens for a request, others after a refusal.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value as Json;
use tokio::sync::watch;

use super::access::Access;
use super::credential::secret_value;
use super::grant::{Current, Flight, Grant, GrantError, Outcome, State, crashed};
use super::oauth1;
use super::registration::Registration;
use super::renewal;
use super::scheme::{Oauth2, Scheme, Value};
use crate::clock::EpochMs;
use crate::store::{Edition, StoredCredential, StoredOauthClient, off_thread};
use crate::vault::Secret;

/// What a service says (RFC 6749) that does not give a client a scope.
pub(crate) const INVALID_SCOPE: &str = "invalid_scope";
/// Tokens of which nobody knows how long they last are not renewed sooner than so after they came.
const UNKNOWN_LASTS_MS: u64 = 5 * 60_000;
/// For how long tokens are not renewed before their time after that did not help: the refusal is about something else.
const IN_VAIN_MS: u64 = 5 * 60_000;

/// What a grant's tokens are asked for with, besides what is secret.
pub(crate) struct Context {
    pub(crate) scheme: Scheme,
    pub(crate) settings: Json,
    pub(crate) form: Json,
    pub(crate) app: Option<StoredOauthClient>,
}

impl Context {
    fn oauth2(&self) -> Option<&Oauth2> {
        match &self.scheme {
            Scheme::Oauth2(scheme) => Some(scheme),
            _ => None,
        }
    }

    /// The same with what a credential's form and its OAuth client are now: a call may have begun before they were
    /// changed.
    pub(super) fn as_of(&self, stored: &StoredCredential, app: Option<StoredOauthClient>) -> Self {
        let mut form = self.form.clone();
        if let (Json::Object(form), Json::Object(of_credential)) = (&mut form, &stored.form) {
            form.extend(of_credential.clone());
        }
        let (scheme, settings) = (self.scheme.clone(), self.settings.clone());
        Self { scheme, settings, form, app: app.or_else(|| self.app.clone()) }
    }

    /// Whether others can be got in the place of these tokens, without a person.
    fn is_renewable(&self, used: &Current) -> bool {
        let refreshes = used.tokens.as_ref().is_some_and(|tokens| tokens.refresh.is_some());
        self.oauth2().is_some_and(|scheme| refreshes || scheme.grant != super::scheme::Grant::AuthorizationCode)
    }
}

/// What an operator can do where a service refuses an OAuth client or what it asks for, as it said.
pub(crate) fn client_remedy(scheme: &Scheme, app: Option<&StoredOauthClient>, said: &str) -> String {
    let client = app.map_or("CLIENT", |app| app.name.as_str());
    let secret = match scheme {
        Scheme::Oauth2(oauth2) => oauth2.client_secret.as_ref(),
        _ => None,
    };
    match scheme {
        Scheme::Oauth1(_) => format!(
            "Register the application link at the service, or correct it there: `harness oauth-client show {client}` \
             shows the consumer key and the public key that belong there."
        ),
        _ if said.contains(INVALID_SCOPE) => format!(
            "The client asks for a scope that the app has not at the service: give the app that permission there, or ask \
             for fewer with `harness oauth-client edit {client} --scope SCOPE …` (`harness oauth-client show {client}` \
             shows those it asks for)."
        ),
        _ => match secret {
            Some(Value::App(secret)) => format!(
                "Compare the client's id and its callback URL with those at the service, and give its present secret: \
                 `harness oauth-client edit {client} --secret {secret}=@FILE`."
            ),
            Some(Value::Secret(_)) => {
                "Give the client id and secret that count now: `harness connection replace-credential NAME`.".to_owned()
            }
            _ => format!(
                "Compare what `harness oauth-client show {client}` shows with what is registered at the service."
            ),
        },
    }
}

/// A grant as one connection uses it.
#[derive(Clone)]
pub(crate) struct GrantUse {
    grant: Arc<Grant>,
    context: Arc<Context>,
}

impl GrantUse {
    pub(crate) fn new(grant: Arc<Grant>, context: Context) -> Self {
        Self { grant, context: Arc::new(context) }
    }

    /// Whether a person grants it.
    pub(crate) fn is_persons(&self) -> bool {
        self.context.scheme.is_authorized_by_a_person()
    }

    /// What an operator can do where the service refuses the OAuth client, as it said.
    pub(crate) fn client_remedy(&self, said: &str) -> String {
        client_remedy(&self.context.scheme, self.context.app.as_ref(), said)
    }

    /// Why only a person can help, where that is known already.
    pub(crate) fn dead(&self) -> Option<GrantError> {
        self.grant.dead()?;
        // Somebody may have helped since, in another process.
        if let Err(error) = self.grant.look() {
            tracing::warn!(%error, credential = self.grant.id, "a grant could not be read");
        }
        self.grant.dead().map(GrantError::Dead)
    }

    /// The tokens to send with now, renewed where they would not last for `lasting`.
    pub(crate) async fn current(&self, access: &Access, lasting: Duration) -> Outcome {
        loop {
            let now = self.grant.keeper.clock.now_ms();
            let (flight, usable) = {
                let mut state = self.grant.lock();
                if let Some(reason) = &state.dead {
                    return Err(GrantError::Dead(reason.clone()));
                }
                let Some(current) = state.current.clone() else { return Err(crashed()) };
                if !current.is_due(now, lasting) {
                    return Ok(current);
                }
                let usable = if current.is_over(now) { None } else { Some(Arc::clone(&current)) };
                if let Some(error) = state.pause(now) {
                    return usable.ok_or(error);
                }
                (self.fly(&mut state, access, current.of, true), usable)
            };
            // While the tokens last, nobody waits for new ones; where those end the old ones, everybody does.
            let ends_access = self.context.oauth2().is_some_and(|scheme| scheme.refresh_ends_access);
            let waits = ends_access || !lasting.is_zero();
            if let Some(usable) = usable.clone().filter(|_| !waits) {
                return Ok(usable);
            }
            match flight.outcome().await {
                Ok(current) if !current.is_over(self.grant.keeper.clock.now_ms()) => return Ok(current),
                // Those of another process, whose time was up as well.
                Ok(_) => {}
                Err(error @ GrantError::Dead(_)) => return Err(error),
                Err(error) => return usable.ok_or(error),
            }
        }
    }

    /// The newest tokens that this process knows of.
    pub(crate) fn newest(&self, known: Arc<Current>) -> Arc<Current> {
        let newest = self.grant.lock().current.clone();
        newest.filter(|newest| newest.of.is_newer_than(known.of) && newest.tokens.is_some()).unwrap_or(known)
    }

    /// The tokens to send once more with, after an answer with this status to a request with `used`; none where the
    /// answer stands. Tokens are renewed only if their time was up: a service refuses for other reasons too.
    pub(crate) async fn after(
        &self,
        access: &Access,
        used: &Current,
        status: StatusCode,
    ) -> Result<Option<Arc<Current>>, GrantError> {
        if self.grant.is_trial {
            return Ok(None);
        }
        let now = self.grant.keeper.clock.now_ms();
        let over = used.is_over(now);
        let unknown = used.until_ms.is_none() && now >= used.renewed_at_ms.saturating_add(UNKNOWN_LASTS_MS);
        let worth = match status {
            StatusCode::UNAUTHORIZED => true,
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => over,
            _ => false,
        };
        if !worth {
            return Ok(None);
        }
        let renewable = self.context.oauth2().is_some();
        let ends_access = self.context.oauth2().is_some_and(|scheme| scheme.refresh_ends_access);
        let mut own = false;
        let newer = loop {
            let flight = {
                let mut state = self.grant.lock();
                if let Some(current) = state.current.as_ref().filter(|current| current.of.is_newer_than(used.of)) {
                    break Arc::clone(current);
                }
                if let Some(reason) = &state.dead {
                    return Err(GrantError::Dead(reason.clone()));
                }
                // A renewal whose answer was lost may have ended these tokens.
                let may_renew = renewable
                    && (over
                        || unknown
                        || (state.paused.is_some() && ends_access)
                        || self.hastens(&mut state, used, status, now));
                if let Some(error) = state.pause(now).filter(|_| may_renew) {
                    return Err(error);
                }
                let joins = state.flight.is_some();
                let flight = self.fly(&mut state, access, used.of, may_renew);
                // One that was under way already may have looked before this answer came.
                own |= !joins;
                flight
            };
            match flight.outcome().await {
                Ok(current) if current.of.is_newer_than(used.of) => break current,
                Ok(_) if own => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        };
        // A credential that was replaced has none until somebody asks for them.
        match newer.tokens.is_some() {
            true => Ok(Some(newer)),
            false => self.current(access, Duration::ZERO).await.map(Some),
        }
    }

    /// Whether tokens that were refused before their time are renewed: once for an edition, and not again soon after that
    /// did not help.
    fn hastens(&self, state: &mut State, used: &Current, status: StatusCode, now: EpochMs) -> bool {
        if status != StatusCode::UNAUTHORIZED || !self.context.is_renewable(used) {
            return false;
        }
        if state.hastened != Some(used.of) {
            match off_thread(|| self.grant.keeper.store.in_vain_at_ms(&self.grant.id)) {
                Ok(Some(at)) if now.saturating_sub(at) < IN_VAIN_MS => {}
                Ok(_) => state.hastened = Some(used.of),
                Err(error) => tracing::warn!(%error, credential = self.grant.id, "a grant could not be read"),
            }
        }
        state.hastened == Some(used.of)
    }

    /// Newer tokens were refused as well.
    pub(crate) fn renewed_in_vain(&self) {
        let (store, now) = (&self.grant.keeper.store, self.grant.keeper.clock.now_ms());
        if let Err(error) = off_thread(|| store.renewed_in_vain(&self.grant.id, now)) {
            tracing::warn!(%error, credential = self.grant.id, "it could not be noted that a renewal did not help");
        }
    }

    /// Renews the tokens now, whatever is left of their time.
    pub(crate) async fn renew(&self, access: &Access) -> Outcome {
        let flight = {
            let mut state = self.grant.lock();
            let Some(current) = state.current.clone() else { return Err(crashed()) };
            self.fly(&mut state, access, current.of, true)
        };
        flight.outcome().await
    }

    /// The task that is under way for the grant, or a new one.
    fn fly(&self, state: &mut State, access: &Access, seen: Edition, may_renew: bool) -> Flight {
        if let Some(flight) = &state.flight {
            return flight.clone();
        }
        let (tell, ended) = watch::channel(None);
        let flight = Flight { ended };
        state.flight = Some(flight.clone());
        let (this, access) = (self.clone(), access.clone());
        let under_way = self.grant.keeper.under_way();
        tokio::spawn(async move {
            let landing = Landing { grant: Arc::clone(&this.grant), tell };
            let outcome = renewal::go(&this.grant, &this.context, &access, seen, may_renew).await;
            landing.land(outcome);
            drop(under_way);
        });
        flight
    }

    /// What the tokens are asked for with.
    pub(super) fn registration<'a>(context: &'a Context, grant: &'a Grant, access: &'a Access) -> Registration<'a> {
        Registration {
            scheme: &context.scheme,
            settings: &context.settings,
            form: &context.form,
            form_secrets_of: &grant.id,
            typed: &[],
            app: context.app.as_ref(),
            access,
            vault: &grant.keeper.vault,
            clock: &grant.keeper.clock,
        }
    }

    /// Attaches the tokens. The caller has made sure that the request goes where they belong.
    pub(crate) fn attach(
        &self,
        access: &Access,
        current: &Current,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
    ) -> Result<(), String> {
        let unfit = || "the access token cannot stand in a header".to_owned();
        let tokens = current.tokens.as_ref().ok_or_else(unfit)?;
        let value = match &self.context.scheme {
            Scheme::Oauth1(scheme) => {
                let signer = {
                    let mut kept = current.signer.lock().unwrap_or_else(PoisonError::into_inner);
                    match &*kept {
                        Some(signer) => Arc::clone(signer),
                        None => {
                            let registration = Self::registration(&self.context, &self.grant, access);
                            let signer =
                                off_thread(|| registration.signer(scheme)).map_err(|error| error.to_string())?;
                            Arc::clone(kept.insert(Arc::new(signer)))
                        }
                    }
                };
                let own = [("oauth_token", tokens.access.expose())];
                oauth1::header(&signer, method, uri, &own, &self.grant.keeper.clock)
                    .map_err(|error| error.to_string())?
            }
            _ => {
                let bearer = Secret::new(format!("Bearer {}", tokens.access.expose()));
                secret_value(&bearer).map_err(|_| unfit())?
            }
        };
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Whether what a form-encoded body says would have to be signed too, which the host does not do.
    pub(crate) fn signs_bodies(&self) -> bool {
        matches!(self.context.scheme, Scheme::Oauth1(_))
    }

    /// Keeps the service from forgetting the grant, where it does that: once two thirds of the time are over, it is
    /// renewed. Answers with the time that is left until then; none where the service forgets nothing.
    pub(crate) async fn keep_alive(&self, access: &Access) -> Result<Option<Duration>, GrantError> {
        let idle = || {
            let days = self.context.oauth2()?.idle_days?;
            let state = self.grant.lock();
            let current = state.current.as_ref()?;
            // Without one, there is nothing to forget.
            current.tokens.as_ref()?.refresh.as_ref()?;
            let idle = Duration::from_secs(u64::from(days) * 24 * 3600) * 2 / 3;
            let unused = self.grant.keeper.clock.now_ms().saturating_sub(current.renewed_at_ms);
            Some(idle.saturating_sub(Duration::from_millis(unused)))
        };
        match idle() {
            Some(left) if left.is_zero() => {
                self.renew(access).await?;
                Ok(idle())
            }
            left => Ok(left),
        }
    }
}

/// Takes a task from its grant and tells its outcome, also where it crashed.
struct Landing {
    grant: Arc<Grant>,
    tell: watch::Sender<Option<Outcome>>,
}

impl Landing {
    fn land(self, outcome: Outcome) {
        self.leave();
        self.tell.send_replace(Some(outcome));
    }

    fn leave(&self) {
        let (mut state, own) = (self.grant.lock(), self.tell.subscribe());
        if state.flight.as_ref().is_some_and(|flight| flight.ended.same_channel(&own)) {
            state.flight = None;
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for GrantUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantUse([secret])")
    }
}

#[cfg(test)]
#[path = "grant_use_test.rs"]
mod tests;
