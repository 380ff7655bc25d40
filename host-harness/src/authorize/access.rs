//! What one connection's calls may use.

use std::sync::{Arc, OnceLock};

use super::credential::Credential;
use super::scheme::Rejection;
use crate::egress::{Network, Policy, Pool, Recorder};
use crate::vault::{GuardPlace, LockoutGuard, Secret};

/// What the calls of one connection may use of the network: where to, with which credential, under
/// whose guard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) network: Network,
    pub(crate) policy: Arc<Policy>,
    pub(crate) authority: Option<Arc<Authority>>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) connection: Arc<str>,
    /// The pools for requests with the credential and without.
    pools: Arc<[OnceLock<Pool>; 2]>,
}

/// The credential, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) credential: Credential,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) guard: LockoutGuard,
    pub(crate) account: String,
}

impl Access {
    /// Access for the connection of this id, without a credential.
    pub fn new(network: Network, policy: Policy, connection: impl Into<Arc<str>>) -> Self {
        Self {
            network,
            policy: Arc::new(policy),
            authority: None,
            recorder: None,
            connection: connection.into(),
            pools: Arc::default(),
        }
    }

    /// The pool for a request with the credential, or without.
    pub(crate) fn pool(&self, credential: Option<&Credential>) -> &Pool {
        let fingerprint = credential.map_or("", Credential::fingerprint);
        self.pools[usize::from(credential.is_some())].get_or_init(|| self.network.pool(&self.policy, fingerprint))
    }

    /// Where its requests go, for the guard.
    pub(crate) fn guarded<'a>(&'a self, authority: &'a Authority) -> GuardPlace<'a> {
        let credential = authority.credential.fingerprint();
        let granted = authority.credential.grant().is_some();
        GuardPlace { account: &authority.account, credential, connection: &self.connection, granted }
    }

    /// Attaches a credential to what goes to origins that take one. `account` is the key by which
    /// the guard counts; `rejections` are the manifest's.
    #[must_use]
    pub fn with_credential(
        mut self,
        credential: Credential,
        rejections: Vec<Rejection>,
        guard: LockoutGuard,
        account: impl Into<String>,
    ) -> Self {
        self.pools = Arc::default();
        self.authority = Some(Arc::new(Authority { credential, rejections, guard, account: account.into() }));
        self
    }

    /// Takes down what is sent.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }
}

/// The secret that a service will sign deliveries with, and what the connector writes in its place.
#[derive(Debug, Clone)]
pub struct SigningSecret {
    /// The placeholder: what `ensure-request.signing-secret` holds. It cannot be guessed.
    pub placeholder: String,
    /// The secret.
    pub secret: Secret,
}
