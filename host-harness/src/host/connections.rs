//! Making, checking and removing connections.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::events::connection_gone;
use super::session::account_key;
use super::{Host, HostError, Session, input, off_thread};
use crate::clock::new_id;
use crate::egress::Origin;
use crate::plugin::Plugin;
use crate::plugin::contract::{connection as contract, types};
use crate::plugin::contract_json;
use crate::store::{StoredConnection, StoredIdentity, StoredOrigin};
use crate::vault::{Secret, Space};

/// What a person asks for with `connection add`.
#[derive(Debug)]
pub struct NewConnection {
    /// The name it shall have.
    pub name: String,
    /// The component.
    pub component: PathBuf,
    /// The auth method, by id.
    pub method: String,
    /// The form's fields that are not secret.
    pub fields: Vec<(String, String)>,
    /// The form's secrets.
    pub secrets: Vec<(String, Secret)>,
    /// Whether private addresses and plain `http` are allowed.
    pub allow_private: bool,
}

/// A connection that was made, before it is checked.
#[derive(Debug)]
pub struct Added {
    /// The connection.
    pub connection: StoredConnection,
    /// What was put right in the form.
    pub corrections: Vec<String>,
}

/// The health of a connection.
#[derive(Debug)]
pub struct Checked {
    /// What was found.
    pub findings: Vec<Value>,
    /// Whose it is.
    pub identity: Option<StoredIdentity>,
    /// Whether nothing failed and the identity is proved.
    pub proven: bool,
    /// Whether all that failed may pass by itself.
    pub transient: bool,
}

impl Checked {
    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "proven": self.proven, "identity": self.identity, "findings": self.findings })
    }
}

/// What came of removing a connection.
#[derive(Debug)]
pub struct Removed {
    /// Registrations that were left at the service, by the service's id.
    pub left_over: Vec<String>,
    /// Why they could not be removed.
    pub reason: Option<HostError>,
    /// How many deliveries were given up that had not been read.
    pub unread: usize,
}

/// What to do with a connection whose registrations at the service cannot be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// Keep the connection: without its credential nobody here could remove them any more.
    Refuse,
    /// Leave them, and say which they are.
    Leave,
}

impl Host {
    /// Makes a connection: reads the form, pins the origins, seals the secrets. Nothing is sent.
    pub async fn add_connection(&self, new: NewConnection) -> Result<Added, HostError> {
        check_name(&new.name)?;
        if off_thread(|| self.store.connection_by_name(&new.name))?.is_some() {
            return Err(name_taken(&new.name));
        }
        let plugin = self.load(&new.component).await?;
        let (form, secrets) = self.read_form(&plugin, &new)?;
        let prepared = plugin.prepare(&new.method, &form.to_string()).await.map_err(|error| {
            match error.to_error() {
                // What a person typed makes no sense to the connector: nothing was sent.
                types::Error::Permanent(failure) => HostError::BadInput(super::Problem {
                    code: failure.code.clone(),
                    message: failure.message.clone(),
                    remedy: failure.remedy.clone(),
                    who: contract_json::who_name(failure.who),
                    fields: failure
                        .fields
                        .iter()
                        .map(|one| super::FieldProblem { pointer: one.pointer.clone(), message: one.message.clone() })
                        .collect(),
                }),
                other => HostError::Answer(Box::new(other)),
            }
        })?;
        let origins = pinned(&prepared.origins, new.allow_private)?;
        let component = std::path::absolute(&new.component).unwrap_or(new.component);
        let connection = StoredConnection {
            id: new_id(&*self.clock),
            name: new.name.clone(),
            component: component.display().to_string(),
            connector: plugin.manifest().connector.id.clone(),
            method: new.method,
            form,
            settings: prepared.settings,
            origins,
            allow_private: new.allow_private,
            proven: false,
            identity: None,
            health: None,
            memo: None,
            created_at_ms: self.clock.now_ms(),
        };
        // Secrets first: a connection is never there without them.
        off_thread(|| {
            for (name, secret) in &secrets {
                self.vault.put(Space::Connection, &connection.id, name, secret)?;
            }
            if self.store.insert_connection(&connection)? {
                return Ok(());
            }
            self.vault.remove_all(Space::Connection, &connection.id)?;
            Err(name_taken(&new.name))
        })?;
        Ok(Added { connection, corrections: prepared.corrections })
    }

    fn read_form(&self, plugin: &Plugin, new: &NewConnection) -> Result<(Value, Vec<(String, Secret)>), HostError> {
        let manifest = plugin.manifest();
        let method = manifest.auth_method(&new.method).ok_or_else(|| {
            let known: Vec<_> = manifest.auth_methods.iter().map(|method| method.id.as_str()).collect();
            HostError::bad_input(
                "method-unknown",
                format!("{} has no auth method `{}`", manifest.connector.name, new.method),
                format!("It has: {}.", known.join(", ")),
            )
        })?;
        let names = method.secrets();
        if let Some((key, _)) = new.fields.iter().find(|(key, _)| names.contains(&key.as_str())) {
            return Err(HostError::bad_input(
                "secret-in-arguments",
                format!("`{key}` is a secret and must not stand among the arguments, where others can read it"),
                format!(
                    "Put it into a file and give --secret {key}=@FILE, or pipe it in with --secret {key}=-. Replace the one that was shown."
                ),
            ));
        }
        if let Some((key, _)) = new.secrets.iter().find(|(key, _)| !names.contains(&key.as_str())) {
            return Err(HostError::bad_input(
                "not-a-secret",
                format!("`{key}` is not a secret of the method `{}`", method.id),
                format!("Its secrets: {}. Other fields are given with --set {key}=….", names.join(", ")),
            ));
        }
        if let Some((key, _)) = new.secrets.iter().find(|(_, secret)| secret.expose().chars().any(char::is_control)) {
            return Err(HostError::bad_input(
                "secret-unfit",
                format!("`{key}` holds a line break or another control character"),
                format!("Give the secret alone, on one line: --secret {key}=@FILE."),
            ));
        }
        let form = input::form(&method.form, &new.fields)?;
        let whole = input::Filled::new(&form, &new.secrets)?;
        let remedy = format!(
            "Give fields with --set key=value and secrets with --secret key=@FILE; `harness inspect {}` shows the form.",
            new.component.display()
        );
        input::check(&method.form, whole.value(), &format!("the form of `{}`", method.id), &remedy, &names)?;
        Ok((Value::Object(form), new.secrets.iter().map(|(key, secret)| (key.clone(), secret.clone())).collect()))
    }

    /// Makes a health report and keeps it. With `release`, a hold of the lockout guard is lifted first: a person has
    /// put right what was wrong.
    pub async fn check_connection(&self, name: &str, release: bool) -> Result<Checked, HostError> {
        let session = self.session_of(name).await?;
        if release {
            let credential = session.access.authority.as_ref().map_or("", |one| one.credential.fingerprint());
            off_thread(|| self.guard.release(&session.account, credential))?;
            self.let_held_go_on()?;
        }
        self.doing(format!("checking `{name}`"));
        let call = self.call(&session, None)?;
        let health = session.plugin.check(&session.access, &call).await;
        let health = match self.settle(&session, health, |health| &health.aside) {
            Ok(health) => health,
            Err(error) => {
                let report = json!({ "proven": false, "error": error.to_json() });
                let (id, settings) = (&session.connection.id, &session.connection.settings);
                off_thread(|| self.store.save_health(id, settings, None, &report, false, self.clock.now_ms()))?;
                self.sessions.forget(name, id);
                return Err(error);
            }
        };
        self.keep_health(&session, &health)
    }

    fn keep_health(&self, session: &Session, health: &contract::Health) -> Result<Checked, HostError> {
        let bad: Vec<_> =
            health.findings.iter().filter(|finding| matches!(finding.outcome, contract::Outcome::Failed)).collect();
        let unavailable = |finding: &contract::Finding| finding.class == Some(types::FailureClass::Unavailable);
        let proven = bad.is_empty() && health.identity.is_some();
        let transient = !proven
            && bad.iter().all(|finding| unavailable(finding))
            && health.findings.iter().any(|finding| {
                !matches!(finding.outcome, contract::Outcome::Passed | contract::Outcome::Warning)
                    && unavailable(finding)
            });
        let identity = health.identity.as_ref().map(|identity| StoredIdentity {
            tenant: identity.tenant.clone(),
            account: identity.account.clone(),
            label: identity.label.clone(),
        });
        let findings = match contract_json::health(health)["findings"].take() {
            Value::Array(findings) => findings,
            _ => vec![],
        };
        let checked = Checked { findings, identity, proven, transient };
        let connection = &session.connection;
        let settings = match serde_json::from_str::<Value>(&health.settings) {
            Ok(Value::Object(_)) => &health.settings,
            _ => &connection.settings,
        };
        let report = checked.to_json();
        let now = self.clock.now_ms();
        off_thread(|| {
            self.store.save_health(&connection.id, settings, checked.identity.as_ref(), &report, proven, now)?;
            self.sessions.forget(&connection.name, &connection.id);
            // What the guard knows of the account goes along when its name becomes known.
            match self.store.connection_by_id(&connection.id)? {
                Some(now_known) => {
                    let method = session.plugin.manifest().auth_method(&now_known.method);
                    method.map_or(Ok(()), |method| {
                        self.guard.rename(&session.account, &account_key(&now_known, &method.scheme))
                    })
                }
                None => Ok(()),
            }
        })?;
        Ok(checked)
    }

    /// Removes a connection: what it registered at the service as far as that can be reached, its subscriptions and
    /// its secrets. Events and runs stay.
    pub async fn remove_connection(&self, name: &str, leftovers: Leftovers) -> Result<Removed, HostError> {
        let connection = self.connection(name)?;
        let registered = off_thread(|| self.store.registrations(&connection.id))?;
        let endpoint = off_thread(|| self.store.endpoint(&connection.id))?;
        let mut removed = Removed { left_over: vec![], reason: None, unread: 0 };
        if endpoint.is_some() || !registered.is_empty() {
            match self.unregister(&connection).await {
                Ok(left) => removed.left_over = left,
                Err(error) => {
                    removed.left_over = registered.into_iter().map(|one| one.id).collect();
                    removed.reason = Some(error);
                }
            }
        }
        if leftovers == Leftovers::Refuse && (removed.reason.is_some() || !removed.left_over.is_empty()) {
            return Err(not_removed(name, removed));
        }
        let gone = connection_gone().to_json();
        removed.unread = off_thread(|| self.store.delete_connection(&connection.id, &gone))?;
        self.sessions.forget(name, &connection.id);
        Ok(removed)
    }
}

/// Says why a connection was kept, and how to be rid of it all the same.
fn not_removed(name: &str, removed: Removed) -> HostError {
    // Where a registration failed half-way none is known, and there may be one.
    let left = match removed.left_over.as_slice() {
        [] => "perhaps one of which no more is known".to_owned(),
        known => known.join(", "),
    };
    let kept = format!("`{name}` is kept, because its registrations at the service could not be removed: {left}");
    let advice = format!("Or remove `{name}` here alone with --leave-registrations.");
    match removed.reason {
        Some(reason) => reason.amid(&kept, &advice),
        None => HostError::other("registrations-left", kept, format!("Remove them at the service. {advice}")),
    }
}

fn pinned(origins: &[contract::Origin], allow_private: bool) -> Result<Vec<StoredOrigin>, HostError> {
    let mut pinned = Vec::new();
    for origin in origins {
        let parsed = Origin::parse(&origin.url)
            .map_err(|error| HostError::bad_input("origin", error.to_string(), "Check the address that was typed."))?;
        if !parsed.is_secure() && !allow_private {
            return Err(HostError::bad_input(
                "plain-http",
                format!(
                    "{} would be reached over plain http, where everybody on the way reads the credential",
                    origin.url
                ),
                "Use https, or add --allow-private if it is meant to be so (a test on this machine).",
            ));
        }
        pinned.push(StoredOrigin {
            url: origin.url.clone(),
            credential: origin.credential,
            purpose: origin.purpose.clone(),
        });
    }
    Ok(pinned)
}

fn check_name(name: &str) -> Result<(), HostError> {
    let good = (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if good {
        return Ok(());
    }
    Err(HostError::bad_input(
        "connection-name",
        format!("`{name}` cannot be a connection's name"),
        "Use letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 64.",
    ))
}

fn name_taken(name: &str) -> HostError {
    HostError::bad_input(
        "connection-exists",
        format!("there is a connection `{name}` already"),
        format!("Choose another name, or remove it with `harness connection remove {name}`."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_and_never_by_an_empty_name() {
        let message = |left: &[&str]| {
            let left_over = left.iter().map(|id| (*id).to_owned()).collect();
            not_removed("demo", Removed { left_over, reason: None, unread: 0 }).to_string()
        };
        assert!(message(&["7", "8"]).ends_with("could not be removed: 7, 8"));
        assert!(message(&[]).ends_with("perhaps one of which no more is known"), "{}", message(&[]));
    }
}
