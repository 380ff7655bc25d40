//! What is left alone, because a service asked for it: for whoever plans calls, and for a person who knows better.

use serde_json::{Value, json};

use super::session::{Session, app_of, tenant_of};
use super::{Host, HostError, off_thread};
use crate::authorize::GrantUse;
use crate::clock::EpochMs;
use crate::plugin::contract::types::{Hold, Scope};
use crate::plugin::{FaultKind, HostFault, contract_json};
use crate::store::{StoreError, StoredConnection};
use crate::vault::HeldConnection;

/// A scope that is left alone for a while.
#[derive(Debug, Clone)]
pub struct HeldScope {
    /// The scope, and for how long.
    pub hold: Hold,
    /// Until when.
    pub until_ms: EpochMs,
}

impl HeldScope {
    /// Whether it concerns every call of its connections.
    pub fn is_for_all(&self) -> bool {
        matches!(self.hold.scope, Scope::Tenant | Scope::App)
    }

    /// Whether it is this scope.
    pub fn is(&self, scope: &Scope) -> bool {
        match (&self.hold.scope, scope) {
            (Scope::Endpoint(one), Scope::Endpoint(other)) | (Scope::Object(one), Scope::Object(other)) => one == other,
            (Scope::Tenant, Scope::Tenant) | (Scope::App, Scope::App) => true,
            _ => false,
        }
    }

    /// `{scope, until-ms, for-ms}`.
    pub fn to_json(&self) -> Value {
        json!({
            "scope": contract_json::scope(&self.hold.scope),
            "until-ms": self.until_ms,
            "for-ms": self.hold.for_ms,
        })
    }

    /// Why a call on a connection waits.
    pub(crate) fn to_failure(&self, connection: &str) -> Value {
        json!({
            "kind": "transient", "class": "limit", "code": "host.scope-held",
            "message": "the service asked to be left alone for a while, and nothing is sent before that is over",
            "remedy": format!(
                "It goes on by itself. If the time is absurd: `harness holds lift --connection {connection}`."
            ),
            "who": "operator", "repeatable": true,
            "retry-after-ms": self.hold.for_ms, "scope": contract_json::scope(&self.hold.scope),
        })
    }
}

impl Host {
    /// Why nothing may be sent on a connection until a person acts, as a run's failure: its account is held, or its
    /// grant is over.
    pub(crate) fn account_held(&self, session: &Session) -> Result<Option<Value>, HostError> {
        let Some(authority) = &session.access.authority else { return Ok(None) };
        let credential = &authority.credential;
        let fault = match credential.grant().and_then(GrantUse::dead) {
            Some(dead) => Some(HostFault::grant_dead(dead.to_string(), credential.is_granted_by_a_person())),
            None => {
                let held = off_thread(|| self.guard.held(&session.account, credential.fingerprint()))?;
                held.map(|held| HostFault::account_held(held, credential.is_granted_by_a_person()))
            }
        };
        Ok(fault.map(|fault| HostError::of_call(&fault.into(), &session.connection.name).to_json()))
    }

    /// Lets the runs go on that wait until a person acts. Those of connections for which nobody did wait again.
    pub(crate) fn let_held_go_on(&self) -> Result<(), HostError> {
        let (codes, now) =
            ([FaultKind::AccountHeld, FaultKind::GrantDead, FaultKind::ClientRefused], self.clock.now_ms());
        off_thread(|| codes.iter().try_for_each(|one| self.store.let_waiting_go_on(one.code(), now).map(drop)))?;
        Ok(())
    }

    /// Finds out the accounts of connections that were not used yet, or not since they were changed.
    pub(crate) async fn know_accounts(&self) -> Result<(), HostError> {
        for name in off_thread(|| self.store.without_account())? {
            // One that cannot be used tells what is wrong with it where it is used.
            let _ = self.session_of(&name).await;
        }
        Ok(())
    }

    /// The connections with which nothing is sent, because of their accounts.
    pub(crate) fn held_connections(&self) -> Result<Vec<HeldConnection>, StoreError> {
        self.guard.held_connections()
    }

    /// What is left alone now for a connection.
    pub fn held(&self, connection: &StoredConnection) -> Result<Vec<HeldScope>, HostError> {
        let now = self.clock.now_ms();
        let [tenant, app] = self.owners_of(connection)?;
        let holds = off_thread(|| self.store.holds(&[&tenant, &app], now))?;
        Ok(holds.into_iter().map(|hold| HeldScope { until_ms: now.saturating_add(hold.for_ms), hold }).collect())
    }

    /// Lifts what is left alone for a connection and for those that share its tenant or app, and lets what waits go on.
    /// Answers how many holds were lifted.
    pub fn lift_holds(&self, connection: &StoredConnection) -> Result<usize, HostError> {
        let owners = self.owners_of(connection)?;
        let mut names = Vec::new();
        for other in off_thread(|| self.store.connections())? {
            let [tenant, app] = self.owners_of(&other)?;
            if tenant == owners[0] || app == owners[1] {
                names.push(other.name);
            }
        }
        let lifted =
            off_thread(|| self.store.lift_holds(&owners.each_ref().map(String::as_str), &names, self.clock.now_ms()))?;
        owners.iter().for_each(|owner| self.sessions.forget_holds(owner));
        Ok(lifted)
    }

    /// Who the holds of a connection's tenant and of its app belong to.
    fn owners_of(&self, connection: &StoredConnection) -> Result<[String; 2], HostError> {
        let credential = off_thread(|| self.store.credential(&connection.credential))?;
        Ok([tenant_of(connection), app_of(connection, credential.as_ref())])
    }
}
