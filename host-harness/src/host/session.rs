//! One connection made ready for calls, and what is kept of each call.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Host, HostError, off_thread};
use crate::authorize::{Access, Context, Credential, CredentialError, GrantUse, Scheme};
use crate::egress::{Origin, PinnedOrigin, Policy};
use crate::plugin::contract::types;
use crate::plugin::{CallError, Plugin};
use crate::store::{StoredConnection, StoredCredential};

/// The longest hold that is kept: a service that asks for more is asked again after a day.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

/// One connection made ready for calls.
#[derive(Debug)]
pub struct Session {
    /// The connection as it is kept.
    pub connection: StoredConnection,
    /// The form as it was filled in, without its secrets: the connection's part and the credential's.
    pub form: Value,
    /// The scopes that were granted to its credential, where the service said so.
    pub(crate) granted_scopes: Option<Vec<String>>,
    /// The generation of its credential, which changes when a person replaces it.
    pub(crate) generation: Option<u64>,
    /// Its connector.
    pub plugin: Plugin,
    /// What its calls may use.
    pub access: Access,
    /// The account by which the lockout guard counts.
    pub account: String,
    /// Who its tenant's holds belong to.
    pub(crate) tenant: String,
    /// Who the holds of its app belong to.
    pub(crate) app: String,
}

impl Session {
    /// By what the lockout guard knows its credential.
    pub(super) fn fingerprint(&self) -> &str {
        self.access.authority.as_ref().map_or("", |authority| authority.credential.fingerprint())
    }
}

impl Host {
    /// Makes a connection ready for calls.
    pub async fn session(&self, connection: StoredConnection) -> Result<Arc<Session>, HostError> {
        match self.session_of(&connection.name).await {
            Ok(session) if session.connection.id == connection.id => Ok(session),
            _ => self.make_session(connection).await,
        }
    }

    pub(super) async fn make_session(&self, connection: StoredConnection) -> Result<Arc<Session>, HostError> {
        let plugin = self.plugin_of(&connection).await?;
        let method = plugin.manifest().auth_method(&connection.method).ok_or_else(|| {
            HostError::other(
                "method-gone",
                format!("the connector no longer offers the auth method `{}`", connection.method),
                "Remove the connection and add it again with a method that it offers.",
            )
        })?;
        let stored = self.credential_of(&connection)?;
        let form = join_forms(&connection, Some(&stored));
        let credential = match method.scheme.is_grant() {
            true => off_thread(|| self.grant_of(&stored, &connection, &form, &method.scheme))
                .map_err(|error| error.of_connection(&connection.name))?,
            false => off_thread(|| Credential::from_vault(&method.scheme, &form, &self.vault, &connection.credential))?,
        };
        let generation = Some(stored.generation);
        let account = account_key(&connection, &form, &method.scheme, credential.fingerprint());
        off_thread(|| self.store.save_account(&connection.id, &account, credential.fingerprint()))?;
        let app = app_of(&connection, Some(&stored));
        let granted_scopes = stored.scopes;
        let access = self.access_without_credential(&connection)?.with_credential(
            credential,
            method.rejections.clone(),
            self.guard.clone(),
            account.clone(),
        );
        let tenant = tenant_of(&connection);
        Ok(Arc::new(Session { tenant, app, connection, form, granted_scopes, generation, plugin, access, account }))
    }

    /// What a connection may reach, without a credential.
    pub(super) fn access_without_credential(&self, connection: &StoredConnection) -> Result<Access, HostError> {
        let mut origins = Vec::new();
        for stored in &connection.origins {
            let origin = Origin::parse(&stored.url).map_err(|error| {
                HostError::other("origin", error.to_string(), "Remove the connection and add it again.")
            })?;
            origins.push(PinnedOrigin { origin, credential: stored.credential });
        }
        let policy = Policy::new(origins, connection.allow_private).trusting(connection.authorities.as_deref());
        Ok(Access::new(self.network.clone(), policy, connection.id.clone()))
    }

    /// The credential of a connection whose tokens have to be got first.
    fn grant_of(
        &self,
        stored: &StoredCredential,
        connection: &StoredConnection,
        form: &Value,
        scheme: &Scheme,
    ) -> Result<Credential, HostError> {
        if stored.version == 0 && scheme.is_authorized_by_a_person() {
            return Err(CredentialError::NotAuthorized.into());
        }
        let app = match &stored.client {
            Some(client) => self.store.oauth_client(client)?,
            None => None,
        };
        let settings = serde_json::from_str(&connection.settings).unwrap_or_default();
        let context = Context { scheme: scheme.clone(), settings, form: form.clone(), app };
        let grant = GrantUse::new(self.grants.open(stored)?, context);
        Ok(Credential::of_grant(grant, &self.vault, &stored.id, stored.generation))
    }

    /// Waits until no tokens are on their way: whoever ends the process before loses them.
    pub async fn settle_grants(&self) {
        self.grants.settled().await;
    }

    /// The form of a connection, without its secrets: its own part and its credential's.
    pub(crate) fn whole_form(&self, connection: &StoredConnection) -> Result<Value, HostError> {
        let credential = off_thread(|| self.store.credential(&connection.credential))?;
        Ok(join_forms(connection, credential.as_ref()))
    }

    /// The session of the connection of a name.
    pub async fn session_of(&self, name: &str) -> Result<Arc<Session>, HostError> {
        if let Some(session) = self.sessions.get(name) {
            return Ok(session);
        }
        let mark = self.sessions.mark();
        let session = self.make_session(self.connection(name)?).await?;
        self.sessions.keep(&session, mark);
        Ok(session)
    }

    /// What comes with a call.
    pub(crate) fn call(&self, session: &Session, key: Option<String>) -> Result<types::Call, HostError> {
        let now = self.clock.now_ms();
        let connection = &session.connection;
        let mut held = Vec::new();
        for owner in [&session.tenant, &session.app] {
            let read = || off_thread(|| self.store.holds(&[owner], now));
            held.extend(self.sessions.holds(owner, now, read)?);
        }
        // Another call may have left a memo since the session was made.
        let read =
            || off_thread(|| self.store.connection_by_id(&connection.id)).map(|kept| kept.and_then(|one| one.memo));
        let memo = self.sessions.memo(&connection.id, read)?;
        Ok(types::Call {
            connection: contract_connection(connection, session.generation),
            deadline_ms: u64::try_from(self.limits.time.as_millis()).unwrap_or(u64::MAX),
            idempotency_key: key,
            held,
            granted_scopes: session.granted_scopes.clone(),
            memo: memo.map(|(data, at)| types::Memo { data, age_ms: now.saturating_sub(at) }),
            extra: "{}".into(),
        })
    }

    /// Keeps what a call left: memo, notices, holds.
    pub(crate) fn settle<T>(
        &self,
        session: &Session,
        result: Result<T, CallError>,
        aside: impl FnOnce(&T) -> &types::Aside,
    ) -> Result<T, HostError> {
        let connection = &session.connection;
        match result {
            Ok(value) => {
                let aside = aside(&value);
                for notice in &aside.notices {
                    let (code, message) = (&notice.code, &notice.message);
                    match notice.severity {
                        types::Severity::Info => tracing::info!(connection = connection.name, code, "{message}"),
                        types::Severity::Warning => tracing::warn!(connection = connection.name, code, "{message}"),
                    }
                }
                if let Some(memo) = &aside.memo {
                    // What the call did is done, whether or not the memo is kept.
                    match off_thread(|| self.store.save_memo(&connection.id, memo, self.clock.now_ms())) {
                        Ok(()) => self.sessions.forget_memo(&connection.id),
                        Err(error) => {
                            tracing::warn!(connection = connection.name, %error, "a memo could not be kept");
                        }
                    }
                }
                Ok(value)
            }
            Err(error) => {
                if let CallError::Connector(told) = &error
                    && let types::Error::Transient(backoff) = &**told
                {
                    // The answer counts for more than the hold.
                    if let Err(error) = self.hold(session, backoff) {
                        tracing::warn!(connection = connection.name, %error, "a hold could not be kept");
                    }
                }
                Err(HostError::of_call(&error, &connection.name))
            }
        }
    }

    fn hold(&self, session: &Session, backoff: &types::Backoff) -> Result<(), HostError> {
        if backoff.retry_after_ms == 0 {
            return Ok(());
        }
        let longest = u64::try_from(LONGEST_HOLD.as_millis()).unwrap_or(u64::MAX);
        let until = self.clock.now_ms().saturating_add(backoff.retry_after_ms.min(longest));
        let app = matches!(backoff.scope, types::Scope::App);
        let owner = if app { &session.app } else { &session.tenant };
        off_thread(|| self.store.hold(owner, &backoff.scope, until))?;
        self.sessions.forget_holds(owner);
        Ok(())
    }
}

/// The whole form: the connection's part and the credential's.
fn join_forms(connection: &StoredConnection, credential: Option<&StoredCredential>) -> Value {
    let mut form = connection.form.clone();
    if let (Value::Object(form), Some(Value::Object(credentials))) = (&mut form, credential.map(|one| &one.form)) {
        form.extend(credentials.clone());
    }
    form
}

/// Who holds of the whole app belong to: the OAuth client; the credential where there is none.
pub(super) fn app_of(connection: &StoredConnection, credential: Option<&StoredCredential>) -> String {
    match credential.and_then(|credential| credential.client.as_ref()) {
        Some(client) => format!("client/{client}"),
        None => format!("credential/{}", connection.credential),
    }
}

/// Who holds belong to that are not the whole app's: the tenant, the connection itself until that is known.
pub(super) fn tenant_of(connection: &StoredConnection) -> String {
    match &connection.identity {
        Some(identity) => format!("{}/{}", connection.connector, identity.tenant),
        None => connection.id.clone(),
    }
}

/// The key of the account for the lockout guard: the sites that the credential goes to, and the name that the person gave
/// it; the credential itself (its fingerprint) where it has no name. However a site was typed, and whatever part of it
/// is pinned once it is known, it is one site; and a name that was mistyped is another account.
pub(crate) fn account_key(connection: &StoredConnection, form: &Value, scheme: &Scheme, fingerprint: &str) -> String {
    let name = scheme.account_name().and_then(|field| form[field].as_str());
    let (kind, who) = match name {
        Some(name) => ("account", name.trim().to_lowercase()),
        None => ("credential", fingerprint.to_owned()),
    };
    // Whoever answers there with encryption and without is one.
    let site = |url: &String| Origin::parse(url).map_or_else(|_| url.clone(), |origin| origin.authority());
    let credentialed = connection.origins.iter().filter(|origin| origin.credential);
    let mut sites: Vec<String> = credentialed.map(|origin| site(&origin.url)).collect();
    sites.sort_unstable();
    sites.dedup();
    let known = json!([connection.connector, sites, who]).to_string();
    format!("{kind}/{}", &hashed(known.as_bytes())[..32])
}

/// SHA-256, hexadecimal.
pub(crate) fn hashed(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) fn contract_connection(connection: &StoredConnection, generation: Option<u64>) -> types::Connection {
    let extra = generation.map_or_else(|| json!({}), |generation| json!({ "generation": generation }));
    types::Connection {
        id: connection.id.clone(),
        settings: connection.settings.clone(),
        authorization: None,
        extra: extra.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoredOrigin;

    fn connection(urls: &[&str]) -> StoredConnection {
        let origin = |url: &&str| StoredOrigin { url: (*url).into(), credential: true, purpose: String::new() };
        StoredConnection {
            id: "c1".into(),
            name: "demo".into(),
            component: "connector.wasm".into(),
            connector: "beacon".into(),
            method: "token".into(),
            form: json!({}),
            credential: "k1".into(),
            settings: "{}".into(),
            origins: urls.iter().map(origin).collect(),
            site_open: false,
            allow_private: false,
            authorities: None,
            proven: false,
            identity: None,
            health: None,
            memo: None,
            created_at_ms: 0,
            revision: 0,
        }
    }

    fn scheme(text: Value) -> Scheme {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn an_account_is_a_user_name_at_a_place_whatever_its_secret_is() {
        let basic = scheme(json!({"type": "basic", "username": {"field": "user"}, "password": {"secret": "p"}}));
        let key = |url: &str, user: &str, secret: &str| {
            account_key(&connection(&[url]), &json!({"user": user}), &basic, secret)
        };
        let account = key("https://a.example.test/", "Ada", "one");
        assert_eq!(account, key("https://a.example.test/", " ada", "two"));
        assert_ne!(account, key("https://a.example.test/", "adah", "one"));
        assert_ne!(account, key("https://b.example.test/", "Ada", "one"));
    }

    #[test]
    fn an_account_is_the_same_one_when_less_of_its_site_is_pinned() {
        let basic = scheme(json!({"type": "basic", "username": {"field": "user"}, "password": {"secret": "p"}}));
        let key = |urls: &[&str]| account_key(&connection(urls), &json!({"user": "ada"}), &basic, "one");
        let account = key(&["https://a.example.test/ex/"]);
        assert_eq!(account, key(&["https://a.example.test/ex/cloud-1/"]), "as it is once it is proven");
        assert_eq!(account, key(&["https://a.example.test:443/ex/cloud-1/", "https://a.example.test/sites"]));
        assert_ne!(account, key(&["https://a.example.test:8443/ex/"]));
        assert_eq!(account, key(&["http://a.example.test/ex/"]), "it locks the account there too");
    }

    #[test]
    fn where_nothing_names_the_account_its_credential_does_at_one_site() {
        let bearer = scheme(json!({"type": "bearer", "token": {"secret": "t"}}));
        let key = |url: &str, secret: &str| account_key(&connection(&[url]), &json!({}), &bearer, secret);
        let account = key("https://a.example.test/", "one");
        assert_eq!(account, key("https://a.example.test/north/", "one"));
        assert_ne!(account, key("https://a.example.test/", "two"));
        assert_ne!(account, key("https://b.example.test/", "one"));
    }

    #[test]
    fn an_apps_quota_is_that_of_its_oauth_client_and_of_nobody_else() {
        let credential = |id: &str, client: Option<&str>| StoredCredential {
            id: id.into(),
            connector: "beacon".into(),
            method: "sign-in".into(),
            form: json!({}),
            client: client.map(str::to_owned),
            generation: 1,
            created_at_ms: 0,
            version: 1,
            scopes: None,
            access_until_ms: None,
            renewed_at_ms: None,
            dead: None,
            paused: None,
        };
        let one = connection(&[]);
        let other = StoredConnection { credential: "k2".into(), ..one.clone() };
        let app = app_of(&one, Some(&credential("k1", Some("app"))));
        assert_eq!(app, app_of(&other, Some(&credential("k2", Some("app")))));
        assert_ne!(app, app_of(&other, Some(&credential("k2", Some("another")))));
        assert_ne!(app_of(&one, Some(&credential("k1", None))), app_of(&other, Some(&credential("k2", None))));
    }
}
