//! Keeps grants alive: a service forgets those that nobody uses for long enough, however well they would still serve.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::rounds::{Pace, Work};
use crate::host::{Host, HostError, Session, off_thread};
use crate::store::StoredConnection;

/// How it is looked for grants that were not used for long.
pub(super) const PACE: Pace = Pace { at_once: 4, look: Duration::from_secs(600) };
/// How often a grant is looked at: another process may have used it.
const LOOK: Duration = Duration::from_secs(24 * 3600);
/// How soon it is tried again after a failure that may pass.
const AGAIN: Duration = Duration::from_secs(600);

/// The grants of a host.
pub(super) struct Renewing(pub(super) Arc<Host>);

impl Renewing {
    async fn see_to(&self, credential: &str) -> Result<Duration, HostError> {
        let host = &self.0;
        let sharing = off_thread(|| host.store().connections_sharing(credential))?;
        let Some(session) = any_of(host, sharing).await? else { return Ok(LOOK) };
        let name = &session.connection.name;
        let grant = session.access.authority.as_ref().and_then(|authority| authority.credential.grant());
        let Some(grant) = grant else { return Ok(LOOK) };
        match grant.keep_alive(&session.access).await {
            Ok(left) => Ok(left.map_or(LOOK, |left| left.clamp(AGAIN, LOOK))),
            Err(error) => {
                tracing::warn!(connection = name, %error, "tokens that nobody had used for long were not renewed");
                // Where only a person can help, an alarm says so already.
                Ok(if grant.dead().is_some() { LOOK } else { AGAIN })
            }
        }
    }
}

/// Whichever of the connections can be used: the grant is the same.
async fn any_of(host: &Host, sharing: Vec<StoredConnection>) -> Result<Option<Arc<Session>>, HostError> {
    let mut failed = None;
    for connection in sharing {
        match host.session(connection).await {
            Ok(session) => return Ok(Some(session)),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), Err)
}

impl Work for Renewing {
    async fn look(&self) -> Option<HashSet<String>> {
        match off_thread(|| self.0.store().grants()) {
            Ok(grants) => Some(grants.into_iter().filter(|grant| grant.dead.is_none()).map(|grant| grant.id).collect()),
            Err(error) => {
                tracing::error!(%error, "the store could not be read");
                None
            }
        }
    }

    async fn once(&self, id: String) -> Duration {
        self.see_to(&id).await.unwrap_or_else(|error| {
            tracing::warn!(%error, credential = id, "a grant could not be looked at; tried again later");
            AGAIN
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;
    use crate::host::NewConnection;

    #[tokio::test(flavor = "multi_thread")]
    async fn whichever_connection_can_be_used_stands_for_those_that_share_its_credential() {
        let bench = Bench::start().await;
        let second = NewConnection {
            name: "second".into(),
            fields: vec![("base-url".into(), bench.url().into())],
            share: Some("harbour".into()),
            allow_private: true,
            ..NewConnection::default()
        };
        let credential = bench.host.add_connection(second).await.unwrap().connection.credential;
        let found = async || {
            let sharing = bench.host.store().connections_sharing(&credential).unwrap();
            assert_eq!(sharing.len(), 2);
            any_of(&bench.host, sharing).await
        };
        let gone = |name: &str| {
            let sql = "UPDATE connection SET component = '/gone.wasm' WHERE name = ?1";
            assert_eq!(bench.disk().execute(sql, [name]).unwrap(), 1);
        };
        gone("harbour");
        assert_eq!(found().await.unwrap().unwrap().connection.name, "second");
        gone("second");
        // What this process keeps of them is read anew by then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(found().await.is_err(), "none can be used: that is told");
    }
}
