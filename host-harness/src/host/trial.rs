//! Credentials that are tried before they take the place of one that works: whose they are, and whether they reach what
//! the connection was made for.

use serde_json::Value;

use super::forms::Secrets;
use super::session::{account_key, app_of, tenant_of};
use super::{Host, HostError, Session};
use crate::authorize::{Context, Credential, GrantUse, Registration, Scheme, Tokens};
use crate::clock::new_id;
use crate::plugin::{AuthMethod, Plugin};
use crate::store::{StoredConnection, StoredCredential, StoredIdentity, StoredOauthClient};

/// What is tried: a credential that is not kept yet, at a connection as it would be with it.
pub(super) struct Trial<'a> {
    pub(super) plugin: &'a Plugin,
    pub(super) method: &'a AuthMethod,
    /// Its identity is whose it was until now.
    pub(super) connection: &'a StoredConnection,
    /// The credential that is there.
    pub(super) before: &'a StoredCredential,
    /// The whole form, without its secrets.
    pub(super) form: Value,
    pub(super) credential: Credential,
    /// The scopes that were granted, where the service said so.
    pub(super) scopes: Option<Vec<String>>,
    /// By what the lockout guard counts.
    pub(super) account: String,
}

/// What a trial found.
pub(super) struct Tried {
    /// Whose the connection was and whose it would be, where these are two.
    pub(super) other: Option<(String, String)>,
    /// The connection's settings from then on.
    pub(super) settings: String,
}

impl Host {
    /// Tokens as the credential that they would be.
    pub(super) fn on_trial(
        &self,
        tokens: &Tokens,
        scheme: &Scheme,
        connection: &StoredConnection,
        form: &Value,
        app: Option<&StoredOauthClient>,
    ) -> Credential {
        let settings = serde_json::from_str(&connection.settings).unwrap_or_default();
        let context = Context { scheme: scheme.clone(), settings, form: form.clone(), app: app.cloned() };
        let id = new_id(&*self.clock);
        let grant = GrantUse::new(self.grants.on_trial(&id, tokens), context);
        Credential::of_grant(grant, &self.vault, &id, 0)
    }

    /// Tries secrets before they are kept, at a connection as it would be with them. What is refused counts for its
    /// account as any login does.
    pub(super) async fn try_secrets(
        &self,
        plugin: &Plugin,
        method: &AuthMethod,
        connection: &StoredConnection,
        before: &StoredCredential,
        of_credential: &Value,
        secrets: &Secrets,
    ) -> Result<Tried, HostError> {
        self.doing(format!("trying the new credential of `{}`", connection.name));
        let mut form = connection.form.clone();
        if let (Value::Object(form), Value::Object(of_credential)) = (&mut form, of_credential) {
            form.extend(of_credential.clone());
        }
        let (credential, scopes) = match method.scheme.is_grant() {
            false => {
                let typed = |name: &str| Ok(secrets.iter().find(|(key, _)| key == name).map(|(_, one)| one.clone()));
                (Credential::of_secrets(&method.scheme, &form, &self.vault, typed)?, None)
            }
            true => {
                let settings = serde_json::from_str(&connection.settings).unwrap_or_default();
                let registration = Registration {
                    scheme: &method.scheme,
                    settings: &settings,
                    form: &form,
                    form_secrets_of: &before.id,
                    typed: secrets,
                    app: None,
                    access: &self.access_without_credential(connection)?,
                    vault: &self.vault,
                    clock: &self.clock,
                };
                let tokens = registration.obtain().await?;
                let scopes = tokens.scopes().map(<[String]>::to_vec);
                (self.on_trial(&tokens, &method.scheme, connection, &form, None), scopes)
            }
        };
        let account = account_key(connection, &form, &method.scheme, credential.fingerprint());
        self.try_out(Trial { plugin, method, connection, before, form, credential, scopes, account }).await
    }

    /// Asks with a credential who it is, at the tenant that the connection was made for. An error where that could not
    /// be proved: it says why, and nothing is kept of the answer but holds.
    pub(super) async fn try_out(&self, trial: Trial<'_>) -> Result<Tried, HostError> {
        let known: Option<&StoredIdentity> = trial.connection.identity.as_ref();
        let name = &trial.connection.name;
        let rejections = trial.method.rejections.clone();
        // Under names of its own: notes and grants of the connection are nothing of the trial's.
        let id = new_id(&*self.clock);
        let connection = StoredConnection {
            credential: id.clone(),
            identity: None,
            memo: None,
            ..StoredConnection { id, ..trial.connection.clone() }
        };
        let access = self.access_without_credential(&connection)?;
        let access = access.with_credential(trial.credential, rejections, self.guard.clone(), trial.account.clone());
        let session = Session {
            tenant: tenant_of(trial.connection),
            app: app_of(trial.connection, Some(trial.before)),
            connection,
            form: trial.form,
            granted_scopes: trial.scopes,
            // As it will be: the connector finds out by it that the credential is another one.
            generation: Some(trial.before.generation + 1),
            plugin: trial.plugin.clone(),
            access,
            account: trial.account,
        };
        let (checked, settings) = self.health_as(&session, known).await?;
        let Some(found) = &checked.identity else { return Err(checked.first_failure(name)) };
        let other = known.filter(|known| known.account != found.account);
        Ok(Tried { other: other.map(|known| (known.label.clone(), found.label.clone())), settings })
    }
}
