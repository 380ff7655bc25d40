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

use tokio::sync::watch;

use super::renewal::Keeper;
use super::signature::Signer;
use super::tokens::{KeptTokens, Tokens};
use super::traces::Traces;
use crate::clock::EpochMs;
use crate::store::{Edition, Pause, StoredCredential};
use crate::vault::VaultError;

/// Tokens are renewed so long before their time is up, or a tenth of their time, whichever is shorter.
const EARLY_MS: u64 = 5 * 60_000;

/// Why there is no token to send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    /// Only a person can help.
    #[error("the connection's authorization is over: {0}")]
    Dead(String),
    /// It may pass by itself.
    #[error("the access token could not be renewed now: {reason}")]
    Later {
        /// What happened.
        reason: String,
        /// After how long it is tried again; zero: whenever somebody asks.
        again: Duration,
    },
    /// The service refuses the OAuth client, or what it asks for: an operator has to do something first.
    #[error("the access token could not be renewed: {0}")]
    Client(String),
}

impl GrantError {
    /// It may pass, and is tried again whenever somebody asks.
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), again: Duration::ZERO }
    }

    /// Nobody asks for so long.
    pub(super) fn paused(pause: &Pause, again: Duration) -> Self {
        let reason = pause.reason.clone();
        if pause.client { Self::Client(reason) } else { Self::Later { reason, again } }
    }
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
                        is_trial: false,
                    });
                    known.insert(stored.id.clone(), Arc::downgrade(&grant));
                    grant
                }
            }
        };
        grant.adopt(stored)?;
        Ok(grant)
    }

    /// Tokens that are tried before they are kept, under an id of their own: they are sent as they are, and not renewed.
    pub(crate) fn on_trial(&self, id: &str, tokens: &Tokens) -> Arc<Grant> {
        let Tokens { access, refresh, token_secret, .. } = tokens.clone();
        let tokens = KeptTokens { access, refresh, token_secret };
        let current = Current {
            of: Edition { version: 1, generation: 0 },
            traces: tokens.traces(),
            tokens: Some(tokens),
            until_ms: None,
            renewed_at_ms: self.keeper.clock.now_ms(),
            signer: Mutex::default(),
        };
        let state = State { current: Some(Arc::new(current)), ..State::default() };
        Arc::new(Grant {
            id: id.to_owned(),
            keeper: Arc::clone(&self.keeper),
            state: Mutex::new(state),
            is_trial: true,
        })
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

/// The tokens to send with, and when they came.
pub(crate) struct Current {
    /// That of the store; version 0: none yet.
    pub(crate) of: Edition,
    pub(super) tokens: Option<KeptTokens>,
    pub(super) until_ms: Option<EpochMs>,
    pub(super) renewed_at_ms: EpochMs,
    /// What gives them away in an answer.
    traces: Traces,
    /// Who signs, for OAuth 1.0a; made when it is first needed.
    pub(super) signer: Mutex<Option<Arc<Signer>>>,
}

impl Current {
    /// What gives them away in an answer.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Whether their time is up; not where nobody knows.
    pub(super) fn is_over(&self, now: EpochMs) -> bool {
        self.tokens.is_none() || self.until_ms.is_some_and(|until| now >= until)
    }

    /// Whether they are to be renewed, so that they last for `lasting` yet.
    pub(super) fn is_due(&self, now: EpochMs, lasting: Duration) -> bool {
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
    /// Whether its tokens are tried before they are kept: the store knows nothing of it.
    pub(super) is_trial: bool,
}

/// What is known of a grant.
#[derive(Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Current>>,
    /// Why only a person can help.
    pub(super) dead: Option<String>,
    /// How these tokens could not be renewed, where that may pass.
    pub(super) paused: Option<Pause>,
    /// The tokens that were renewed, or are, because they were refused before their time.
    pub(super) hastened: Option<Edition>,
    /// The task that renews it, or looks whether another process did.
    pub(super) flight: Option<Flight>,
}

impl State {
    /// Why nobody asks for tokens now, where that is so.
    pub(super) fn pause(&self, now: EpochMs) -> Option<GrantError> {
        let pause = self.paused.as_ref()?;
        let again = pause.left(now);
        (!again.is_zero()).then(|| GrantError::paused(pause, again))
    }
}

pub(super) type Outcome = Result<Arc<Current>, GrantError>;

/// A task that is under way for a grant.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) ended: watch::Receiver<Option<Outcome>>,
}

impl Flight {
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(crashed())),
            Err(_) => Err(crashed()),
        }
    }
}

pub(super) fn crashed() -> GrantError {
    GrantError::later("the host could not go on with it")
}

impl Grant {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the store has, where that is newer.
    fn adopt(&self, stored: &StoredCredential) -> Result<(), VaultError> {
        let known = {
            let state = self.lock();
            state.current.as_ref().map(|current| current.of) == Some(stored.edition())
                && state.dead == stored.dead
                && state.paused == stored.paused
        };
        if known { Ok(()) } else { self.look().map(drop) }
    }

    /// Reads the grant from the store, and takes it over where it is newer.
    pub(super) fn look(&self) -> Result<Arc<Current>, VaultError> {
        let (stored, tokens) = self.keeper.read(&self.id)?;
        let mut state = self.lock();
        match &state.current {
            // Never an older one: another task of this process may have been faster.
            Some(current) if current.of.is_newer_than(stored.edition()) => return Ok(Arc::clone(current)),
            Some(current) if current.of == stored.edition() => {
                let current = Arc::clone(current);
                (state.dead, state.paused) = (stored.dead, stored.paused);
                return Ok(current);
            }
            _ => {}
        }
        let current = Arc::new(Current {
            of: stored.edition(),
            traces: tokens.as_ref().map(KeptTokens::traces).unwrap_or_default(),
            tokens,
            until_ms: stored.access_until_ms,
            renewed_at_ms: stored.renewed_at_ms.unwrap_or(0),
            signer: Mutex::default(),
        });
        state.current = Some(Arc::clone(&current));
        (state.dead, state.paused) = (stored.dead, stored.paused);
        Ok(current)
    }

    /// Why only a person can help, where that is so.
    pub(super) fn dead(&self) -> Option<String> {
        self.lock().dead.clone()
    }
}
