//! Authorizing a connection: a person says yes in a browser, or the client itself asks for tokens; then the site is
//! chosen where the form names none.

use serde_json::{Value, json};
use url::Url;

use super::adding::pinned;
use super::error::naming;
use super::forms;
use super::narrowing::{lies_within, opened};
use super::session::{app_of, tenant_of};
use super::trial::Trial;
use super::{Host, HostError, Session, off_thread};
use crate::authorize::{
    Access, AnswerFault, AuthorizeError, INVALID_SCOPE, Pending, Registration, Scheme, TokenError, Tokens,
    client_remedy, keep,
};
use crate::clock::new_id;
use crate::plugin::contract::connection as contract;
use crate::plugin::contract::types::{self, FailureClass};
use crate::plugin::{AuthMethod, FaultKind, Plugin};
use crate::store::{StoredConnection, StoredCredential, StoredOauthClient, StoredOrigin};

/// An authorization that waits for a person.
#[derive(Debug)]
pub struct Authorizing {
    /// The address that the person opens.
    pub url: Url,
    /// Where the browser comes back to.
    pub callback: Url,
    /// The connection, by name.
    connection: String,
    pending: Pending,
}

/// What was granted and is not kept yet.
pub struct Granted {
    parts: Parts,
    tokens: Tokens,
    other: Option<(String, String)>,
}

impl Granted {
    /// Whose the connection was and whose it would be, where these are two.
    pub fn other_account(&self) -> Option<(&str, &str)> {
        self.other.as_ref().map(|(before, now)| (before.as_str(), now.as_str()))
    }
}

impl std::fmt::Debug for Granted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Granted([secret])")
    }
}

/// A site that a credential reaches.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its lasting id.
    pub id: String,
    /// What a person reads. It decides nothing: two sites may have the same.
    pub label: String,
    /// Where it is.
    pub url: String,
    prepared: contract::Prepared,
}

impl Site {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({ "id": self.id, "label": self.label, "url": self.url })
    }

    /// Whether a person meant it: by its exact address or its id, never by its name.
    pub fn is(&self, text: &str) -> bool {
        let plain = |text: &str| Url::parse(text).map(|url| url.as_str().trim_end_matches('/').to_owned());
        self.id == text || plain(text).is_ok_and(|wanted| plain(&self.url).is_ok_and(|url| url == wanted))
    }
}

/// All that authorizing a connection takes.
struct Parts {
    connection: StoredConnection,
    plugin: Plugin,
    credential: StoredCredential,
    client: Option<StoredOauthClient>,
    settings: Value,
    form: Value,
    access: Access,
}

impl Parts {
    fn method(&self) -> &AuthMethod {
        self.plugin.manifest().auth_method(&self.connection.method).expect("it was looked up when they were gathered")
    }

    /// How the service refused, with commands in the remedy that name the OAuth client.
    fn told(&self, error: AuthorizeError) -> HostError {
        let remedy = |said: &str| {
            let remedy = client_remedy(&self.method().scheme, self.client.as_ref(), said);
            remedy.replace(" NAME", &format!(" {}", self.connection.name))
        };
        match &error {
            AuthorizeError::Token(TokenError::Client(said)) => HostError::of_client(error.to_string(), &remedy(said)),
            AuthorizeError::Answer(AnswerFault::Refused(said @ INVALID_SCOPE)) => {
                HostError::bad_input("authorization-scope", error.to_string(), remedy(said))
            }
            _ => error.into(),
        }
    }

    fn registration<'a>(&'a self, host: &'a Host) -> Registration<'a> {
        Registration {
            scheme: &self.method().scheme,
            settings: &self.settings,
            form: &self.form,
            form_secrets_of: &self.credential.id,
            typed: &[],
            app: self.client.as_ref(),
            access: &self.access,
            vault: &host.vault,
            clock: &host.clock,
        }
    }
}

impl Host {
    /// Whether a connection has to be authorized, and was not yet or has to be anew.
    pub async fn lacks_authorization(&self, name: &str) -> Result<bool, HostError> {
        let connection = self.connection(name)?;
        let plugin = self.plugin_of(&connection).await?;
        let method = forms::method_of(plugin.manifest(), &connection.method)?;
        let credential = self.credential_of(&connection)?;
        let is_persons = method.scheme.is_authorized_by_a_person();
        Ok(method.scheme.is_grant() && (credential.version == 0 && is_persons || credential.dead.is_some()))
    }

    /// Whether a person has to authorize it in a browser.
    pub async fn is_authorized_by_a_person(&self, name: &str) -> Result<bool, HostError> {
        Ok(self.authorizing_parts(name).await?.method().scheme.is_authorized_by_a_person())
    }

    /// Looks without a credential whether there is anything to authorize for: a person who goes to a browser shall not
    /// find a dead address there. Nothing is looked at where the site is chosen after the authorization.
    pub async fn look_before_authorizing(&self, name: &str) -> Result<(), HostError> {
        if self.lacks_site(name)? {
            return Ok(());
        }
        let Parts { connection, plugin, form, access, credential, .. } = self.authorizing_parts(name).await?;
        self.doing(format!("looking whether `{name}` is there"));
        let (tenant, app) = (tenant_of(&connection), app_of(&connection, Some(&credential)));
        let (account, granted_scopes, generation) = (String::new(), None, None);
        let session = Session { connection, form, granted_scopes, generation, plugin, access, account, app, tenant };
        let call = self.call(&session, None)?;
        let health = session.plugin.check(&session.access, &call).await;
        let health = self.settle(&session, health, |health| &health.aside)?;
        // From there on it misses the credential.
        // What this host keeps it from is said last, and is why all else could not be told.
        if let Some(denied) = health.findings.iter().find(|one| one.code == FaultKind::EgressDenied.code()) {
            return Err(in_the_way_of(denied, name));
        }
        let before = health.findings.iter().take_while(|one| {
            !matches!(one.class, Some(FailureClass::Credential | FailureClass::Scope | FailureClass::Permission))
        });
        let in_the_way = |one: &&contract::Finding| match one.outcome {
            contract::Outcome::Failed => true,
            contract::Outcome::Unknown => one.class == Some(FailureClass::Unavailable),
            contract::Outcome::Passed | contract::Outcome::Warning => false,
        };
        match before.into_iter().find(in_the_way) {
            None => Ok(()),
            Some(found) => Err(in_the_way_of(found, name)),
        }
    }

    /// Begins an authorization. The person opens its URL; what the browser comes back with finishes it.
    pub async fn begin_authorizing(&self, name: &str) -> Result<Authorizing, HostError> {
        let parts = self.authorizing_parts(name).await?;
        let callback = parts.client.as_ref().map(|client| super::clients::check_callback(&client.callback));
        let callback = callback.transpose()?.ok_or_else(|| no_client(&parts.connection))?;
        self.doing(format!("preparing the authorization of `{name}`"));
        let (url, pending) = parts.registration(self).begin().await.map_err(|error| parts.told(error))?;
        // The browser is on this machine: it goes where requests go.
        let url = self.network.detours().shown(&url);
        Ok(Authorizing { url, callback, connection: name.to_owned(), pending })
    }

    /// Finishes an authorization with the query that the browser came back with. Nothing is kept yet: a person may have
    /// to say first that it is meant to be somebody else's from now on. An error where somebody's connection is at stake
    /// and it could not be proved whose it would be.
    pub async fn finish_authorizing(&self, authorizing: Authorizing, query: &str) -> Result<Granted, HostError> {
        let parts = self.authorizing_parts(&authorizing.connection).await?;
        self.doing("exchanging what the browser came back with".to_owned());
        let tokens = parts.registration(self).finish(authorizing.pending, query).await;
        let tokens = tokens.map_err(|error| parts.told(error))?;
        let other = self.whose(&parts, &tokens).await?;
        Ok(Granted { parts, tokens, other })
    }

    /// Keeps what was granted for all connections that share the credential. Answers with their names.
    pub async fn keep_granted(&self, granted: Granted) -> Result<Vec<String>, HostError> {
        self.keep_tokens(&granted.parts, granted.tokens).await
    }

    /// Whose these tokens are, where a connection that they are for was somebody else's until now. An error where one of
    /// them is proved to be somebody's, and it could not be found out: what works is not given up for what may not.
    async fn whose(&self, parts: &Parts, tokens: &Tokens) -> Result<Option<(String, String)>, HostError> {
        let own = Some(parts.connection.clone()).filter(|own| own.identity.is_some());
        let another = || self.sharing(&parts.connection).map(|all| all.into_iter().find(|one| one.identity.is_some()));
        let Some(known) = own.map_or_else(another, |own| Ok(Some(own)))? else { return Ok(None) };
        self.doing("asking who it was that said yes".to_owned());
        let (method, form) = (parts.method(), self.whole_form(&known)?);
        let credential = self.on_trial(tokens, &method.scheme, &known, &form, parts.client.as_ref());
        let trial = Trial {
            plugin: &parts.plugin,
            method,
            connection: &known,
            before: &parts.credential,
            form,
            credential,
            scopes: tokens.scopes().map(<[String]>::to_vec),
            // Not the account of the connection: what is refused here says nothing against that, nor against what a
            // person authorizes next.
            account: format!("authorizing/{}", new_id(&*self.clock)),
        };
        Ok(self.try_out(trial).await?.other)
    }

    /// Asks for tokens where no person has to say yes. Answers with the connections that share them.
    pub async fn obtain_authorization(&self, name: &str) -> Result<Vec<String>, HostError> {
        let parts = self.authorizing_parts(name).await?;
        self.doing(format!("asking for tokens for `{name}`"));
        let tokens = parts.registration(self).obtain().await.map_err(|error| parts.told(error))?;
        self.keep_tokens(&parts, tokens).await
    }

    async fn keep_tokens(&self, parts: &Parts, tokens: Tokens) -> Result<Vec<String>, HostError> {
        let sharing = self.sharing(&parts.connection)?;
        let before = self.guarded(&sharing).await;
        off_thread(|| self.store.uncheck(&parts.credential.id))?;
        off_thread(|| keep(&self.vault, &self.store, &self.clock, &parts.credential.id, &tokens))?;
        for one in &sharing {
            self.sessions.forget(&one.name, &one.id);
        }
        self.put_right(&sharing, &before).await?;
        Ok(sharing.into_iter().map(|one| one.name).collect())
    }

    async fn authorizing_parts(&self, name: &str) -> Result<Parts, HostError> {
        let connection = self.connection(name)?;
        let plugin = self.plugin_of(&connection).await?;
        let method = forms::method_of(plugin.manifest(), &connection.method)?;
        if !method.scheme.is_grant() {
            return Err(HostError::bad_input(
                "nothing-to-authorize",
                format!("`{}` has a credential of its own: there is nothing to authorize", method.id),
                format!("Replace it with `harness connection replace-credential {name}`."),
            ));
        }
        let credential = self.credential_of(&connection)?;
        let client = match &credential.client {
            Some(id) => off_thread(|| self.store.oauth_client(id))?,
            None => None,
        };
        if matches!(method.scheme, Scheme::Oauth1(_)) && client.is_none() {
            return Err(no_client(&connection));
        }
        let settings = serde_json::from_str(&connection.settings).unwrap_or_default();
        let form = self.whole_form(&connection)?;
        let access = self.access_without_credential(&connection)?;
        Ok(Parts { connection, plugin, credential, client, settings, form, access })
    }

    /// Whether the person has not chosen yet which of the sites that the credential reaches it is for.
    pub fn lacks_site(&self, name: &str) -> Result<bool, HostError> {
        Ok(self.connection(name)?.site_open)
    }

    /// The sites that a connection's credential reaches.
    pub async fn sites(&self, name: &str) -> Result<Vec<Site>, HostError> {
        let session = self.session_of(name).await?;
        self.doing(format!("asking which sites `{name}` reaches"));
        let call = self.call(&session, None)?;
        let found = session.plugin.discover(&session.access, &call).await;
        let found = self.settle(&session, found, |found| &found.aside)?;
        let site = |one: contract::Site| Site { id: one.id, label: one.label, url: one.url, prepared: one.prepared };
        Ok(found.items.into_iter().map(site).collect())
    }

    /// Keeps the site that was chosen for a connection: its settings, and its origins, which are pinned now. Each lies
    /// within what the person confirmed when the connection was made, or is of the chosen site and gets no credential.
    /// Tokens are renewed where they were got.
    pub async fn choose_site(&self, name: &str, site: &Site) -> Result<StoredConnection, HostError> {
        let mut connection = self.connection(name)?;
        let outside = |wants: String| {
            let remedy = "Report this to the connector's maintainer. Nothing was changed.";
            HostError::other("site-outside", format!("the connector wants {wants}"), remedy)
        };
        // The site itself may be asked without the credential: it was chosen, and is named before and after.
        let url = format!("{}/", site.url.trim_end_matches('/'));
        let itself = [StoredOrigin { url, credential: false, purpose: String::new() }];
        let is_confirmed = |one: &&contract::Origin| lies_within(&connection.origins, one) || lies_within(&itself, one);
        if let Some(origin) = site.prepared.origins.iter().find(|one| !is_confirmed(one)) {
            let what = if origin.credential { "to send the credential to" } else { "to reach" };
            return Err(outside(format!("{what} {}, which nobody has confirmed", origin.url)));
        }
        if let Some(origin) = opened(&connection.origins, &site.prepared.origins) {
            return Err(outside(format!("to send the credential to {}, which was confirmed without it", origin.url)));
        }
        let plugin = self.plugin_of(&connection).await?;
        let method = forms::method_of(plugin.manifest(), &connection.method)?;
        let settings = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        if method.scheme.is_elsewhere(&settings(&connection.settings), &settings(&site.prepared.settings)) {
            return Err(outside("tokens to be renewed at another address than they were got at".to_owned()));
        }
        connection.origins = pinned(&site.prepared.origins, connection.allow_private)?;
        connection.settings.clone_from(&site.prepared.settings);
        connection.site_open = false;
        self.keep_change(&connection)?;
        self.connection(name)
    }
}

/// A finding that keeps a person from authorizing, as the error of its class.
fn in_the_way_of(found: &contract::Finding, connection: &str) -> HostError {
    let failure = types::Failure {
        class: found.class.unwrap_or(FailureClass::Protocol),
        code: found.code.clone(),
        message: found.message.clone(),
        remedy: naming(&found.remedy, connection),
        who: found.who,
        repeatable: true,
        fields: vec![],
        status: None,
        request_id: None,
        extra: "{}".into(),
    };
    HostError::Answer(Box::new(match failure.class {
        FailureClass::Unavailable => {
            types::Error::Transient(types::Backoff { failure, retry_after_ms: 0, scope: types::Scope::Tenant })
        }
        _ => types::Error::Permanent(failure),
    }))
}

fn no_client(connection: &StoredConnection) -> HostError {
    HostError::other(
        "client-gone",
        format!("`{}` was made for no OAuth client", connection.name),
        "Remove the connection and add it again with --client.",
    )
}
