//! The grants in use: credentials whose tokens are got, kept and renewed.
//!
//! All connections of this process that share a grant share what is known of it here. Tokens are renewed by one task
//! at a time for each grant ([`super::renewal`]), which goes on when the call that wanted it ends: an answer that
//! nobody waits for any more holds the only refresh token there is. What another process renewed is adopted from the
//! store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value as Json;
use tokio::sync::watch;

use super::access::Access;
use super::oauth1;
use super::registration::Registration;
use super::renewal::{self, Keeper};
use super::scheme::{Oauth2, Scheme};
use super::signature::Signer;
use super::tokens::KeptTokens;
use crate::clock::EpochMs;
use crate::store::{StoredCredential, StoredOauthClient, off_thread};
use crate::vault::VaultError;

/// Tokens are renewed so long before their time is up, or a tenth of their time, whichever is shorter.
const EARLY_MS: u64 = 5 * 60_000;
/// Tokens of which nobody knows how long they last are not renewed sooner than so after they came.
const UNKNOWN_LASTS_MS: u64 = 5 * 60_000;

/// Why there is no token to send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    /// Only a person can help.
    #[error("the connection has to be authorized again: {0}")]
    Dead(String),
    /// It may pass by itself.
    #[error("the access token could not be renewed now: {0}")]
    Later(String),
}

/// The grants of a process.
#[derive(Clone)]
pub(crate) struct Grants {
    keeper: Arc<Keeper>,
    known: Arc<Mutex<HashMap<String, Weak<Grant>>>>,
}

impl Grants {
    pub(crate) fn new(keeper: Keeper) -> Self {
        Self { keeper: Arc::new(keeper), known: Arc::default() }
    }

    /// A grant as it stands in the store. What is newer there than here is adopted.
    pub(crate) fn open(&self, stored: &StoredCredential) -> Result<Arc<Grant>, VaultError> {
        let grant = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, grant| grant.strong_count() > 0);
            match known.get(&stored.id).and_then(Weak::upgrade) {
                Some(grant) => grant,
                None => {
                    let grant = Arc::new(Grant {
                        id: stored.id.clone(),
                        keeper: Arc::clone(&self.keeper),
                        state: Mutex::new(State::default()),
                    });
                    known.insert(stored.id.clone(), Arc::downgrade(&grant));
                    grant
                }
            }
        };
        grant.adopt(stored)?;
        Ok(grant)
    }

    /// Waits until nothing is being renewed: whoever ends this process first loses tokens that are on their way.
    pub(crate) async fn settled(&self) {
        self.keeper.settled().await;
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grants")
    }
}

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
}

/// The tokens to send with, and when they came.
pub(crate) struct Current {
    /// That of the store; 0: none yet.
    pub(crate) version: u64,
    pub(super) tokens: Option<KeptTokens>,
    pub(super) until_ms: Option<EpochMs>,
    pub(super) renewed_at_ms: EpochMs,
    /// Who signs, for OAuth 1.0a; made when it is first needed.
    signer: Mutex<Option<Arc<Signer>>>,
}

impl Current {
    /// Whether their time is up; not where nobody knows.
    fn is_over(&self, now: EpochMs) -> bool {
        self.tokens.is_none() || self.until_ms.is_some_and(|until| now >= until)
    }

    /// Whether they are to be renewed, so that they last for `lasting` yet.
    fn is_due(&self, now: EpochMs, lasting: Duration) -> bool {
        let Some(until) = self.until_ms else { return self.tokens.is_none() };
        let life = until.saturating_sub(self.renewed_at_ms);
        let lasting = u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX).min(life / 2);
        self.is_over(now) || now.saturating_add(lasting.max(EARLY_MS.min(life / 10))) >= until
    }
}

/// One grant.
pub(crate) struct Grant {
    pub(super) id: String,
    pub(super) keeper: Arc<Keeper>,
    pub(super) state: Mutex<State>,
}

/// What is known of a grant.
#[derive(Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Current>>,
    pub(super) generation: u64,
    /// Why only a person can help.
    pub(super) dead: Option<String>,
    /// The task that renews it, or looks whether another process did.
    pub(super) flight: Option<Flight>,
}

impl State {
    /// Which tokens they are: of which version and generation.
    pub(super) fn of(&self) -> (u64, u64) {
        (self.current.as_ref().map_or(0, |current| current.version), self.generation)
    }
}

pub(super) type Outcome = Result<Arc<Current>, GrantError>;

/// A task that is under way for a grant.
#[derive(Clone)]
pub(super) struct Flight {
    ended: watch::Receiver<Option<Outcome>>,
}

impl Flight {
    async fn outcome(mut self) -> Outcome {
        match self.ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(crashed())),
            Err(_) => Err(crashed()),
        }
    }
}

fn crashed() -> GrantError {
    GrantError::Later("the host could not go on with it".into())
}

impl Grant {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the store has, where that is newer.
    fn adopt(&self, stored: &StoredCredential) -> Result<(), VaultError> {
        let known = {
            let state = self.lock();
            let version = state.current.as_ref().map(|current| current.version);
            version == Some(stored.version) && state.generation == stored.generation && state.dead == stored.dead
        };
        if known { Ok(()) } else { self.look().map(drop) }
    }

    /// Reads the grant from the store, and takes it over where it is newer.
    pub(super) fn look(&self) -> Result<Arc<Current>, VaultError> {
        let (stored, tokens) = self.keeper.read(&self.id)?;
        let mut state = self.lock();
        match &state.current {
            // Never an older one: another task of this process may have been faster.
            Some(current) if current.version > stored.version => return Ok(Arc::clone(current)),
            Some(current) if current.version == stored.version && state.generation == stored.generation => {
                let current = Arc::clone(current);
                state.dead = stored.dead;
                return Ok(current);
            }
            _ => {}
        }
        let current = Arc::new(Current {
            version: stored.version,
            tokens,
            until_ms: stored.access_until_ms,
            renewed_at_ms: stored.renewed_at_ms.unwrap_or(0),
            signer: Mutex::default(),
        });
        state.current = Some(Arc::clone(&current));
        (state.generation, state.dead) = (stored.generation, stored.dead);
        Ok(current)
    }

    /// Why only a person can help, where that is so.
    pub(super) fn dead(&self) -> Option<String> {
        self.lock().dead.clone()
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

    /// Why only a person can help, where that is known already.
    pub(crate) fn dead(&self) -> Option<GrantError> {
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
                if let Some(error) = self.grant.keeper.trouble(&self.grant.id, state.of()).and_then(|one| one.pause) {
                    return usable.ok_or(error);
                }
                (self.fly(&mut state, access, current.version, true), usable)
            };
            // While the tokens last, nobody waits for new ones; where those end the old ones, everybody does.
            let ends_access = self.context.oauth2().is_some_and(|scheme| scheme.refresh_ends_access);
            let waits = ends_access || !lasting.is_zero();
            if let Some(usable) = usable.clone().filter(|_| !waits) {
                return Ok(usable);
            }
            match flight.outcome().await {
                Ok(current) if !current.is_over(self.grant.keeper.clock.now_ms()) => return Ok(current),
                // Tokens that were over as they came: asking again would not help.
                Ok(current) if current.until_ms.is_some_and(|until| until <= current.renewed_at_ms) => {
                    return Err(GrantError::Later("the service's tokens last no time at all".into()));
                }
                Ok(_) => {}
                Err(error @ GrantError::Dead(_)) => return Err(error),
                Err(error) => return usable.ok_or(error),
            }
        }
    }

    /// The newest tokens that this process knows of.
    pub(crate) fn newest(&self, known: Arc<Current>) -> Arc<Current> {
        self.grant.lock().current.clone().filter(|current| current.version > known.version).unwrap_or(known)
    }

    /// The tokens to send once more with, after an answer with this status to a request with `used`; none where the
    /// answer stands. Tokens are renewed only if their time was up: a service refuses for other reasons too.
    pub(crate) async fn after(
        &self,
        access: &Access,
        used: &Current,
        status: StatusCode,
    ) -> Result<Option<Arc<Current>>, GrantError> {
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
        loop {
            let flight = {
                let mut state = self.grant.lock();
                if let Some(current) = state.current.as_ref().filter(|current| current.version > used.version) {
                    return Ok(Some(Arc::clone(current)));
                }
                if let Some(reason) = &state.dead {
                    return Err(GrantError::Dead(reason.clone()));
                }
                let trouble = self.grant.keeper.trouble(&self.grant.id, state.of());
                // A renewal whose answer was lost may have ended these tokens.
                let may_renew = renewable && (over || unknown || (trouble.is_some() && ends_access));
                if let Some(error) = trouble.and_then(|one| one.pause).filter(|_| may_renew) {
                    return Err(error);
                }
                let joins = state.flight.is_some();
                let flight = self.fly(&mut state, access, used.version, may_renew);
                // One that was under way already may have looked before this answer came.
                own |= !joins;
                flight
            };
            match flight.outcome().await {
                Ok(current) if current.version > used.version => return Ok(Some(current)),
                Ok(_) if own => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Renews the tokens now, whatever is left of their time.
    pub(crate) async fn renew(&self, access: &Access) -> Outcome {
        let flight = {
            let mut state = self.grant.lock();
            let version = state.current.as_ref().map_or(0, |current| current.version);
            self.fly(&mut state, access, version, true)
        };
        flight.outcome().await
    }

    /// The task that is under way for the grant, or a new one.
    fn fly(&self, state: &mut State, access: &Access, seen: u64, may_renew: bool) -> Flight {
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
                let bearer = zeroize::Zeroizing::new(format!("Bearer {}", tokens.access.expose()));
                let mut value = HeaderValue::from_str(&bearer).map_err(|_| unfit())?;
                value.set_sensitive(true);
                value
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
#[path = "grant_test.rs"]
mod tests;
