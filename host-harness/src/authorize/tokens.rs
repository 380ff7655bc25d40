//! Tokens: what a service grants, how they are kept, and how a service refuses them.

use std::time::Duration;

use rusqlite::{Row, Transaction};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::traces::Traces;
use crate::clock::{EpochMs, SharedClock};
use crate::egress::DirectFault;
use crate::store::{Edition, NewTokens, Store, StoreError, supersede};
use crate::vault::{Secret, Space, Vault, VaultError};

/// The one secret of a grant: all its tokens, so that they are replaced together.
const NAME: &str = "grant";
/// The longest time that a token is believed to last.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The tokens of a grant as a service gave them.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) token_secret: Option<Secret>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) scopes: Option<Vec<String>>,
}

impl Tokens {
    /// The scopes that were granted, where the service says so.
    pub fn scopes(&self) -> Option<&[String]> {
        self.scopes.as_deref()
    }
}

/// Why a service gave no tokens. Holds nothing of its answer but what is known by heart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// What was granted is over.
    #[error("the service does not accept the authorization ({0})")]
    Dead(String),
    /// The service refuses the client, or what it asks for.
    #[error("the service refuses the OAuth client or what it asks for ({0})")]
    Client(String),
    /// It may pass by itself.
    #[error("no token could be got now: {reason}")]
    Transient {
        /// What happened.
        reason: String,
        /// How long the service asked to be left alone.
        after: Option<Duration>,
    },
    /// The host did not send it.
    #[error("the host did not ask for a token: {0}")]
    Denied(String),
}

impl TokenError {
    pub(crate) fn transient(reason: impl Into<String>) -> Self {
        Self::Transient { reason: reason.into(), after: None }
    }
}

impl From<DirectFault> for TokenError {
    fn from(fault: DirectFault) -> Self {
        match fault {
            DirectFault::Denied(reason) => Self::Denied(reason),
            DirectFault::Unreached(reason) | DirectFault::Lost(reason) => Self::transient(reason),
        }
    }
}

/// How the tokens stand in the vault.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kept {
    access: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_secret: Option<String>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.access.zeroize();
        self.refresh.zeroize();
        self.token_secret.zeroize();
    }
}

/// The tokens of a grant as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptTokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) token_secret: Option<Secret>,
}

impl KeptTokens {
    /// What gives them away in an answer.
    pub(super) fn traces(&self) -> Traces {
        let others = [&self.refresh, &self.token_secret].into_iter().flatten();
        Traces::of(std::iter::once(&self.access).chain(others).map(Secret::expose))
    }
}

/// The tokens of a credential; none where none are kept.
pub(crate) fn kept(vault: &Vault, credential: &str) -> Result<Option<KeptTokens>, VaultError> {
    let Some(sealed) = vault.get(Space::Connection, credential, NAME)? else { return Ok(None) };
    let mut kept: Kept =
        serde_json::from_str(sealed.expose()).map_err(|_| VaultError::Damaged { name: NAME.to_owned() })?;
    Ok(Some(KeptTokens {
        access: Secret::new(std::mem::take(&mut kept.access)),
        refresh: kept.refresh.take().map(Secret::new),
        token_secret: kept.token_secret.take().map(Secret::new),
    }))
}

/// Keeps the first tokens of a credential, or those after a person authorized it again: then it is of another
/// generation, and whatever else was known of the one before says nothing about it.
pub fn keep(
    vault: &Vault,
    store: &Store,
    clock: &SharedClock,
    credential: &str,
    tokens: &Tokens,
) -> Result<(), VaultError> {
    store.write(|transaction| {
        let sql = "SELECT version, generation FROM credential WHERE id = ?1";
        let read = |row: &Row<'_>| Ok(Edition { version: row.get(0)?, generation: row.get(1)? });
        let mut of = transaction.query_row(sql, [credential], read).map_err(StoreError::from)?;
        if of.version > 0 {
            let sql = "UPDATE credential SET generation = generation + 1, scopes = NULL WHERE id = ?1";
            transaction.execute(sql, [credential]).map_err(StoreError::from)?;
            of.generation += 1;
        }
        put(vault, transaction, credential, of, tokens, clock.now_ms()).map(drop)
    })
}

/// Keeps tokens in the place of those of an edition. `false` where others came first: then nothing is changed.
/// `asked_at`: when they were asked for, which is before their time began to run.
pub(crate) fn replace(
    vault: &Vault,
    store: &Store,
    credential: &str,
    of: Edition,
    tokens: &Tokens,
    asked_at: EpochMs,
) -> Result<bool, VaultError> {
    store.write(|transaction| put(vault, transaction, credential, of, tokens, asked_at))
}

fn put(
    vault: &Vault,
    transaction: &Transaction<'_>,
    credential: &str,
    of: Edition,
    tokens: &Tokens,
    now: EpochMs,
) -> Result<bool, VaultError> {
    let lasts = |time: Duration| now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2));
    let access_until_ms = tokens.expires_in.map(|time| lasts(time.min(LONGEST_LIFE)));
    let beside = NewTokens { scopes: tokens.scopes.clone(), access_until_ms, renewed_at_ms: now };
    if !supersede(transaction, credential, of, &beside)? {
        return Ok(false);
    }
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let kept = Kept {
        access: tokens.access.expose().to_owned(),
        refresh: text(&tokens.refresh),
        token_secret: text(&tokens.token_secret),
    };
    let written = Zeroizing::new(serde_json::to_string(&kept).unwrap_or_default());
    vault.put_in(transaction, Space::Connection, credential, NAME, &Secret::new(written.as_str()))?;
    Ok(true)
}
