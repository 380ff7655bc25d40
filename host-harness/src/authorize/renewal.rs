//! How the tokens of a grant are renewed: one task at a time in a process, one process at a time for a home, and new
//! tokens on disk before anybody sends them.
//!
//! The order is what keeps a grant alive: take the lock that all processes share; read the store again, for what
//! another one renewed meanwhile counts; ask; write in the place of exactly the version that was read. Who finds
//! another version there has lost a race and takes the winner's tokens. Nothing older is ever written over something
//! newer, and a refusal counts only if the store still has what was refused.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::access::Access;
use super::credential::CredentialError;
use super::grant::{Current, Grant, GrantError, Outcome};
use super::grant_use::{Context, GrantUse};
use super::registration::AuthorizeError;
use super::tokens::{self, KeptTokens, TokenError, Tokens};
use crate::clock::{EpochMs, SharedClock};
use crate::host::Home;
use crate::store::{Alarm, Edition, Pause, Store, StoredCredential, StoredOauthClient, off_thread};
use crate::vault::{Vault, VaultError};

/// How long another process may hold the lock: longer than it takes to ask.
const LOCK_PATIENCE: Duration = Duration::from_secs(40);
/// How often it is looked whether the lock is free.
const LOCK_LOOK: Duration = Duration::from_millis(10);
/// How long nobody asks again after the first failure that may pass; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause, whatever a service says.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long nobody asks again after the service refused the client: an operator has to do something first.
const CLIENT_PAUSE: Duration = Duration::from_secs(300);
/// How often it is tried to write new tokens down, and how long after each failure.
const WRITES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// What the grants of a process share.
pub(crate) struct Keeper {
    pub(super) vault: Arc<Vault>,
    pub(super) store: Arc<Store>,
    pub(super) clock: SharedClock,
    home: Home,
    /// How many tasks are under way.
    tasks: watch::Sender<usize>,
}

/// A task that is under way; it ends when this is dropped.
pub(super) struct UnderWay(watch::Sender<usize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| *tasks -= 1);
    }
}

impl Keeper {
    pub(crate) fn new(vault: Arc<Vault>, store: Arc<Store>, clock: SharedClock, home: Home) -> Self {
        Self { vault, store, clock, home, tasks: watch::Sender::new(0) }
    }

    pub(super) fn under_way(&self) -> UnderWay {
        self.tasks.send_modify(|tasks| *tasks += 1);
        UnderWay(self.tasks.clone())
    }

    /// Waits until no task is under way.
    pub(super) async fn settled(&self) {
        // Cannot fail: the sender is our own.
        let _ = self.tasks.subscribe().wait_for(|tasks| *tasks == 0).await;
    }

    /// A credential and its tokens, of one version.
    pub(super) fn read(&self, id: &str) -> Result<(StoredCredential, Option<KeptTokens>), VaultError> {
        let gone = || VaultError::Damaged { name: format!("credential {id}") };
        off_thread(|| {
            let mut stored = self.store.credential(id)?.ok_or_else(gone)?;
            loop {
                let tokens = tokens::kept(&self.vault, id)?;
                let again = self.store.credential(id)?.ok_or_else(gone)?;
                // Row and secret are read one after the other; others may have written in between.
                if again.edition() == stored.edition() {
                    return Ok((again, tokens));
                }
                stored = again;
            }
        })
    }

    /// What tokens are asked for with: a credential's form and its OAuth client, as they are now.
    fn registered(&self, id: &str) -> Result<(StoredCredential, Option<StoredOauthClient>), VaultError> {
        let stored = self.store.credential(id)?;
        let stored = stored.ok_or_else(|| VaultError::Damaged { name: format!("credential {id}") })?;
        let app = stored.client.as_ref().map(|client| self.store.oauth_client(client)).transpose()?.flatten();
        Ok((stored, app))
    }

    /// Waits for the lock of this grant, which all processes of the home share.
    async fn lock(&self, id: &str) -> Result<File, GrantError> {
        let path = self.home.renewing_lock(id);
        let trouble = |error: std::io::Error| {
            GrantError::later(format!("{}: {error}; check the rights of the home folder", path.display()))
        };
        let file = off_thread(|| File::options().create(true).append(true).open(&path)).map_err(trouble)?;
        let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOCK_LOOK).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(GrantError::later(format!(
                        "another process renews it since {} s and has not ended",
                        LOCK_PATIENCE.as_secs()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(trouble(error)),
            }
        }
    }
}

/// Renews the tokens of a grant, unless others than those of the edition `seen` are there already; without `may_renew`
/// only looks whether there are.
pub(super) async fn go(
    grant: &Arc<Grant>,
    context: &Context,
    access: &Access,
    seen: Edition,
    may_renew: bool,
) -> Outcome {
    let _alone = grant.keeper.lock(&grant.id).await?;
    let current = look(grant)?;
    // A credential that was replaced has no tokens yet: then they are asked for.
    if current.of.is_newer_than(seen) && current.tokens.is_some() {
        return Ok(current);
    }
    if let Some(reason) = grant.dead() {
        return Err(GrantError::Dead(reason));
    }
    if !may_renew {
        return Ok(current);
    }
    let asked_at = grant.keeper.clock.now_ms();
    // Another process may have been told so while this one waited for the lock.
    if let Some(error) = grant.lock().pause(asked_at) {
        return Err(error);
    }
    let (stored, app) = off_thread(|| grant.keeper.registered(&grant.id)).map_err(unread)?;
    let context = context.as_of(&stored, app);
    let registration = GrantUse::registration(&context, grant, access);
    match registration.renew(current.tokens.as_ref()).await {
        Ok(tokens) => {
            tracing::debug!(credential = grant.id, "tokens renewed");
            keep(grant, current.of, &tokens, asked_at).await
        }
        Err(AuthorizeError::Token(TokenError::Dead(reason))) => {
            let command = match context.scheme.is_authorized_by_a_person() {
                true => "reauthorize",
                false => "replace-credential",
            };
            bury(grant, &current, &reason, command)
        }
        Err(error) => Err(pause(grant, current.of, &error)),
    }
}

fn look(grant: &Grant) -> Outcome {
    grant.look().map_err(unread)
}

fn unread(error: VaultError) -> GrantError {
    GrantError::later(error.to_string())
}

/// New tokens, on disk. The service may have forgotten the old ones by now, so it is tried for a while.
async fn keep(grant: &Grant, of: Edition, tokens: &Tokens, asked_at: EpochMs) -> Outcome {
    let keeper = &grant.keeper;
    let mut waits = WRITES.iter();
    loop {
        let kept = off_thread(|| tokens::replace(&keeper.vault, &keeper.store, &grant.id, of, tokens, asked_at));
        match (kept, waits.next()) {
            (Ok(true), _) => return look(grant).and_then(|current| lasting(grant, current)),
            // Where others came first, theirs are taken: that is what looking does.
            (Ok(false), _) => return look(grant),
            (Err(error), Some(wait)) => {
                tracing::warn!(%error, credential = grant.id, "new tokens could not be written down; tried again");
                tokio::time::sleep(*wait).await;
            }
            (Err(error), None) => {
                tracing::error!(%error, credential = grant.id, "new tokens could not be written down and are lost");
                return Err(pause(grant, of, &TokenError::transient(error.to_string()).into()));
            }
        }
    }
}

/// The service says that the grant is over. It may say so to the loser of a race.
fn bury(grant: &Grant, used: &Current, reason: &str, command: &str) -> Outcome {
    let current = look(grant)?;
    if current.of.is_newer_than(used.of) {
        return Ok(current);
    }
    let keeper = &grant.keeper;
    let buried = off_thread(|| {
        let sharing = keeper.store.connections_sharing(&grant.id)?;
        let names: Vec<_> = sharing.iter().map(|connection| format!("`{}`", connection.name)).collect();
        let alarm = Alarm {
            at_ms: keeper.clock.now_ms(),
            connection: sharing.first().map(|connection| connection.id.clone()),
            code: "host.grant-dead".into(),
            message: format!(
                "the authorization of {} is over ({reason}); nothing more is sent with it until somebody reconnects it \
                 with `harness connection {command}`",
                if names.is_empty() { "a credential".to_owned() } else { names.join(", ") }
            ),
        };
        keeper.store.bury_grant(&grant.id, used.of, reason, &alarm)
    });
    if let Err(error) = buried {
        return Err(GrantError::later(error.to_string()));
    }
    let current = look(grant)?;
    match grant.dead() {
        Some(reason) => Err(GrantError::Dead(reason)),
        // Others came first after all.
        None => Ok(current),
    }
}

/// The tokens that came, unless they were over as they came: then asking again would not help.
fn lasting(grant: &Grant, current: Arc<Current>) -> Outcome {
    if current.tokens.is_none() || !current.is_over(grant.keeper.clock.now_ms()) {
        return Ok(current);
    }
    let reason = "the service's tokens are over as they come: they last no time at all";
    tracing::warn!(credential = grant.id, "{reason}");
    Err(note(grant, current.of, 1, reason.to_owned(), LONGEST_PAUSE, false))
}

/// Notes for all processes that nobody asks for a while.
fn note(grant: &Grant, of: Edition, times: u32, reason: String, pause: Duration, client: bool) -> GrantError {
    let keeper = &grant.keeper;
    let for_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let paused = Pause { at_ms: keeper.clock.now_ms(), for_ms, times, reason, client };
    let told = GrantError::paused(&paused, pause);
    match off_thread(|| keeper.store.pause_grant(&grant.id, of, &paused)) {
        Ok(true) => {}
        // A person put something else in its place meanwhile: that may be asked with at once.
        Ok(false) => return told,
        Err(error) => {
            tracing::warn!(%error, credential = grant.id, "other processes do not know that tokens were not renewed");
        }
    }
    let mut state = grant.lock();
    if state.current.as_ref().is_some_and(|current| current.of == of) {
        state.paused = Some(paused);
    }
    told
}

/// Leaves the service alone for a while; the old tokens stay.
fn pause(grant: &Grant, of: Edition, error: &AuthorizeError) -> GrantError {
    let keeper = &grant.keeper;
    // The service does not answer well now, or the host cannot read its own store; else somebody has to do something.
    let passes = matches!(
        error,
        AuthorizeError::Token(TokenError::Transient { .. }) | AuthorizeError::Credential(CredentialError::Vault(_))
    );
    let times = grant.lock().paused.as_ref().map_or(0, |one| one.times);
    let grown = (FIRST_PAUSE * 2_u32.pow(times.min(8))).min(LONGEST_PAUSE);
    let pause = match error {
        AuthorizeError::Token(TokenError::Transient { after: Some(after), .. }) => grown.max(*after).min(LONGEST_PAUSE),
        _ if passes => grown,
        _ => CLIENT_PAUSE,
    };
    let client = matches!(error, AuthorizeError::Token(TokenError::Client(_)));
    let told = note(grant, of, times.saturating_add(1), error.to_string(), pause, client);
    tracing::warn!(%error, credential = grant.id, pause_s = pause.as_secs(), "tokens could not be renewed");
    if !passes {
        let alarm = Alarm {
            at_ms: keeper.clock.now_ms(),
            connection: off_thread(|| keeper.store.connections_sharing(&grant.id))
                .ok()
                .and_then(|sharing| sharing.first().map(|connection| connection.id.clone())),
            code: "host.grant-not-renewed".into(),
            message: format!("tokens could not be renewed: {error}"),
        };
        if let Err(error) = off_thread(|| keeper.store.raise_once(&alarm)) {
            tracing::error!(%error, "an alarm could not be kept");
        }
    }
    told
}
