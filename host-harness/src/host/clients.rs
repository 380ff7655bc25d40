//! OAuth clients: what an operator registers at a service once, for many connections.

use std::path::PathBuf;

use serde_json::{Map, Value};
use url::{Host as UrlHost, Url};

use super::adding::check_name;
use super::forms::{self, Entries, Form, ReadForm};
use super::{Host, HostError, off_thread};
use crate::authorize::{OauthScope, Scheme, Value as SchemeValue, key_pair};
use crate::clock::new_id;
use crate::plugin::AuthMethod;
use crate::store::StoredOauthClient;
use crate::vault::{Secret, Space};

/// Where the browser comes back to, where nothing else is said.
pub const USUAL_CALLBACK: &str = "http://127.0.0.1:8091/callback";

/// What a person asks for with `oauth-client add`.
#[derive(Debug, Clone, Default)]
pub struct NewClient {
    /// The name it shall have.
    pub name: String,
    /// The component.
    pub component: PathBuf,
    /// The auth method, by id.
    pub method: String,
    /// The app form's fields that are not secret.
    pub fields: Vec<(String, String)>,
    /// The app form's secrets.
    pub secrets: Vec<(String, Secret)>,
    /// Where the browser comes back to; [`USUAL_CALLBACK`] where nothing is said.
    pub callback: Option<String>,
    /// The scopes to ask for; the default ones where none is given. Required ones are always asked for.
    pub scopes: Vec<String>,
}

/// What a person changes of an OAuth client. Another client id is another client.
#[derive(Debug, Default)]
pub struct ClientEdit {
    /// Its name.
    pub name: String,
    /// The component; the one of the connections where nothing is said.
    pub component: Option<PathBuf>,
    /// The app form's secrets that change.
    pub secrets: Vec<(String, Secret)>,
    /// Where the browser comes back to from now on.
    pub callback: Option<String>,
    /// The scopes to ask for from now on; the usual ones where none is given.
    pub scopes: Option<Vec<String>>,
}

/// An OAuth client that was changed.
#[derive(Debug)]
pub struct EditedClient {
    /// As it is now.
    pub client: StoredOauthClient,
    /// What was put right in the form.
    pub corrections: Vec<String>,
    /// The connections that were authorized for it, by name.
    pub connections: Vec<String>,
}

/// An OAuth client that was made.
#[derive(Debug)]
pub struct AddedClient {
    /// The client.
    pub client: StoredOauthClient,
    /// What was put right in the form.
    pub corrections: Vec<String>,
}

impl Host {
    /// Makes an OAuth client: reads its form, chooses scopes, seals its secrets; for OAuth 1.0a makes the key pair.
    pub async fn add_client(&self, new: NewClient) -> Result<AddedClient, HostError> {
        self.check_free_client(&new.name)?;
        let plugin = self.load(&new.component).await?;
        let method = forms::method_of(plugin.manifest(), &new.method)?;
        let Some(schema) = method.app.as_ref().filter(|_| method.needs_client()) else {
            return Err(HostError::bad_input(
                "client-not-needed",
                format!("`{}` needs no OAuth client", method.id),
                "Make the connection itself with `harness connection add`.",
            ));
        };
        let scopes = chosen_scopes(method, &new.scopes)?;
        let callback = new.callback.as_deref().unwrap_or(USUAL_CALLBACK);
        let callback = check_callback(callback)?.to_string();
        let id = new_id(&*self.clock);
        let form = Form {
            schema,
            what: format!("the app form of `{}`", method.id),
            remedy: "Give fields with --set key=value and secrets with --secret key=@FILE.".into(),
        };
        let known = chosen_for(method, &new.fields, &id);
        let given = Entries { fields: new.fields, secrets: new.secrets };
        let ReadForm { fields, mut secrets, notes } = form.read(known, given)?;
        let public_key = match &method.scheme {
            Scheme::Oauth1(_) => {
                let clock = self.clock.clone();
                let made = tokio::task::spawn_blocking(move || key_pair(&clock)).await;
                let (private, public) = made.map_err(|error| {
                    HostError::other("key-pair", format!("no key pair could be made: {error}"), "Try again.")
                })?;
                secrets.push((crate::authorize::PRIVATE_KEY.to_owned(), private));
                Some(public)
            }
            _ => None,
        };
        let client = StoredOauthClient {
            id,
            name: new.name,
            connector: plugin.manifest().connector.id.clone(),
            method: method.id.clone(),
            form: Value::Object(fields),
            callback,
            scopes,
            public_key,
            created_at_ms: self.clock.now_ms(),
        };
        off_thread(|| {
            self.store.write(|transaction| {
                for (name, secret) in &secrets {
                    self.vault.put_in(transaction, Space::App, &client.id, name, secret)?;
                }
                match crate::store::oauth_clients::insert(transaction, &client)? {
                    true => Ok(()),
                    // Nothing of it is kept.
                    false => Err(client_taken(&client.name)),
                }
            })
        })?;
        Ok(AddedClient { client, corrections: notes })
    }

    /// Changes an OAuth client: its secrets, its callback URL, the scopes that it asks for. What could not be renewed
    /// for it is tried again, and what alarms told of that is taken back.
    pub async fn edit_client(&self, edit: ClientEdit) -> Result<EditedClient, HostError> {
        let mut client = self.client(&edit.name)?;
        let component = match edit.component {
            Some(component) => component,
            None => self.component_of(&client)?,
        };
        let plugin = self.load(&component).await?;
        let connector = &plugin.manifest().connector.id;
        if *connector != client.connector {
            return Err(HostError::bad_input(
                "client-other",
                format!(
                    "`{}` is an OAuth client for the connector `{}`, and not for `{connector}`",
                    client.name, client.connector
                ),
                "Name that connector's component file with --connector.",
            ));
        }
        let method = forms::method_of(plugin.manifest(), &client.method)?;
        if let Some(callback) = &edit.callback {
            client.callback = check_callback(callback)?.to_string();
        }
        if let Some(scopes) = &edit.scopes {
            client.scopes = chosen_scopes(method, scopes)?;
        }
        let (mut secrets, mut corrections) = (vec![], vec![]);
        if let (false, Some(schema)) = (edit.secrets.is_empty(), &method.app) {
            let known = method.app_secrets();
            if let Some((key, _)) = edit.secrets.iter().find(|(key, _)| !known.contains(&key.as_str())) {
                let message = format!("`{key}` is not a secret of the app form of `{}`", method.id);
                let remedy = match known.as_slice() {
                    [] => "It has none that could be given.".to_owned(),
                    known => format!("Its secrets: {}.", known.join(", ")),
                };
                return Err(HostError::bad_input("not-a-secret", message, remedy));
            }
            // Those that are not given stay as they are.
            let kept: Vec<&str> = method
                .app_secrets()
                .into_iter()
                .filter(|name| edit.secrets.iter().all(|(given, _)| given != name))
                .collect();
            let form = Form {
                schema: &forms::without(schema, &kept),
                what: format!("the app form of `{}`", method.id),
                remedy: "Give secrets with --secret key=@FILE.".into(),
            };
            let given = Entries { fields: vec![], secrets: edit.secrets };
            let read = form.read(forms::members(&client.form), given)?;
            (secrets, corrections) = (read.secrets, read.notes);
        }
        let users = off_thread(|| self.store.connections())?;
        let names = self.users_of_client(&client)?;
        let users: Vec<_> = users.into_iter().filter(|one| names.contains(&one.name)).collect();
        off_thread(|| {
            self.store.write(|transaction| {
                for (name, secret) in &secrets {
                    self.vault.put_in(transaction, Space::App, &client.id, name, secret)?;
                }
                match crate::store::oauth_clients::change(transaction, &client)? {
                    true => Ok(()),
                    false => Err(HostError::bad_input(
                        "client-unknown",
                        format!("the OAuth client `{}` was removed meanwhile", client.name),
                        "Make it again with `harness oauth-client add`.",
                    )),
                }
            })?;
            let ids: Vec<&str> = users.iter().map(|one| one.id.as_str()).collect();
            self.store.clear_alarms(&ids, &["host.grant-not-renewed"])?;
            Ok::<_, HostError>(())
        })?;
        for one in &users {
            self.sessions.forget(&one.name, &one.id);
        }
        self.let_held_go_on()?;
        Ok(EditedClient { client, corrections, connections: names })
    }

    /// The component of an OAuth client's connector: the one of the connections.
    pub fn component_of(&self, client: &StoredOauthClient) -> Result<PathBuf, HostError> {
        let connections = off_thread(|| self.store.connections())?;
        let of_it = connections.into_iter().find(|one| one.connector == client.connector);
        of_it.map(|one| PathBuf::from(one.component)).ok_or_else(|| {
            HostError::bad_input(
                "input-missing",
                format!("no connection says where the component of `{}` is", client.connector),
                "Name the connector's component file with --connector.",
            )
        })
    }

    /// Refuses a name that cannot be an OAuth client's, or is one's already.
    pub(crate) fn check_free_client(&self, name: &str) -> Result<(), HostError> {
        check_name(name, "an OAuth client's name")?;
        match off_thread(|| self.store.oauth_client_by_name(name))? {
            Some(_) => Err(client_taken(name)),
            None => Ok(()),
        }
    }

    /// The OAuth client of a name.
    pub fn client(&self, name: &str) -> Result<StoredOauthClient, HostError> {
        off_thread(|| self.store.oauth_client_by_name(name))?.ok_or_else(|| {
            let known: Vec<_> =
                self.store.oauth_clients().unwrap_or_default().into_iter().map(|one| one.name).collect();
            let remedy = match known.as_slice() {
                [] => "Make one with `harness oauth-client add`.".to_owned(),
                names => format!("Known here: {}.", names.join(", ")),
            };
            HostError::bad_input("client-unknown", format!("there is no OAuth client `{name}` in this home"), remedy)
        })
    }

    /// The OAuth clients that serve one method of a connector, by name.
    pub fn clients_for(&self, connector: &str, method: &str) -> Result<Vec<StoredOauthClient>, HostError> {
        let mut clients = off_thread(|| self.store.oauth_clients())?;
        clients.retain(|one| one.connector == connector && one.method == method);
        Ok(clients)
    }

    /// The names of the connections that were authorized for an OAuth client.
    pub fn users_of_client(&self, client: &StoredOauthClient) -> Result<Vec<String>, HostError> {
        Ok(off_thread(|| self.store.connections_of_client(&client.id))?)
    }

    /// Forgets an OAuth client and its secrets, unless connections use it.
    pub fn remove_client(&self, name: &str) -> Result<(), HostError> {
        let client = self.client(name)?;
        if off_thread(|| self.store.delete_oauth_client(&client.id))? {
            return Ok(());
        }
        let users = self.users_of_client(&client)?.join(", ");
        Err(HostError::bad_input(
            "client-in-use",
            format!("the OAuth client `{name}` is used by: {users}"),
            "Remove these connections first: without it they could not renew what they were granted.",
        ))
    }
}

impl AuthMethod {
    /// Whether its connections are authorized for an OAuth client that an operator registered.
    pub fn needs_client(&self) -> bool {
        self.scheme.is_grant() && self.app.is_some()
    }

    /// The field of the app form whose value is ours to choose: the consumer key of OAuth 1.0a.
    pub fn chosen_here(&self) -> Option<&str> {
        match &self.scheme {
            Scheme::Oauth1(oauth1) => match &oauth1.consumer_key {
                SchemeValue::App(name) => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// The scopes that a client of it may ask for.
    pub fn scopes(&self) -> &[OauthScope] {
        match &self.scheme {
            Scheme::Oauth2(oauth2) => &oauth2.scopes,
            _ => &[],
        }
    }
}

/// The scopes that were chosen, or the usual ones, and those without which nothing goes; in the manifest's order.
fn chosen_scopes(method: &AuthMethod, given: &[String]) -> Result<Vec<String>, HostError> {
    let known = method.scopes();
    let unknown: Vec<&str> =
        given.iter().filter(|id| known.iter().all(|scope| scope.id != **id)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let remedy = match known {
            [] => format!("`{}` has no scopes: leave --scope out.", method.id),
            _ => format!(
                "`harness oauth-client add --list-scopes --connector COMPONENT --method {}` shows them.",
                method.id
            ),
        };
        let message = format!("`{}` has no such scope: {}", method.id, unknown.join(", "));
        return Err(HostError::bad_input("scope-unknown", message, remedy));
    }
    let is_wanted =
        |scope: &OauthScope| scope.required || if given.is_empty() { scope.default } else { given.contains(&scope.id) };
    Ok(known.iter().filter(|scope| is_wanted(scope)).map(|scope| scope.id.clone()).collect())
}

/// The address that the browser comes back to: on this machine, or over TLS.
pub(crate) fn check_callback(text: &str) -> Result<Url, HostError> {
    let refuse = |reason: &str| {
        HostError::bad_input(
            "callback",
            format!("the browser cannot come back to `{text}`: {reason}"),
            format!(
                "Give --callback an address on this machine such as {USUAL_CALLBACK}, or one that begins with https://."
            ),
        )
    };
    let url = Url::parse(text).map_err(|_| refuse("it is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() || url.query().is_some() {
        return Err(refuse("it must be an address with a path and nothing else"));
    }
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(refuse("over plain http only this machine itself may be named")),
        _ => Err(refuse("its scheme is neither https nor http")),
    }
}

/// Whether a URL names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(UrlHost::Ipv4(address)) => address.is_loopback(),
        Some(UrlHost::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What is chosen here where the person gave nothing.
fn chosen_for(method: &AuthMethod, given: &[(String, String)], id: &str) -> Map<String, Value> {
    let name = method.chosen_here().filter(|name| given.iter().all(|(key, _)| key != name));
    name.map(|name| (name.to_owned(), Value::from(format!("workflow-{id}")))).into_iter().collect()
}

fn client_taken(name: &str) -> HostError {
    HostError::bad_input(
        "client-exists",
        format!("there is an OAuth client `{name}` already"),
        format!("Choose another name, or remove it with `harness oauth-client remove {name}`."),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn method() -> AuthMethod {
        serde_json::from_value(json!({
            "id": "oauth", "title": "OAuth", "form": {"type": "object"}, "app": {"type": "object"},
            "scheme": {
                "type": "oauth2", "grant": "authorization-code", "token-url": "https://id.example.test/token",
                "authorization-url": "https://id.example.test/authorize", "client-id": {"app": "client-id"},
                "scopes": [
                    {"id": "read", "description": "Reads", "default": true},
                    {"id": "write", "description": "Writes"},
                    {"id": "offline", "description": "Lasts", "required": true},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn chosen_scopes_go_with_the_required_ones_and_unknown_ones_are_named() {
        let chosen =
            |given: &[&str]| chosen_scopes(&method(), &given.iter().map(|id| (*id).into()).collect::<Vec<_>>());
        assert_eq!(chosen(&[]).unwrap(), ["read", "offline"]);
        assert_eq!(chosen(&["write"]).unwrap(), ["write", "offline"]);
        let error = chosen(&["read", "wrte"]).unwrap_err().to_string();
        assert!(error.contains("wrte") && !error.contains("read"), "{error}");
    }

    #[test]
    fn the_browser_comes_back_to_this_machine_or_over_tls() {
        for good in [USUAL_CALLBACK, "http://localhost:9/x", "http://[::1]:8091/", "https://hooks.example.test/oauth"] {
            assert!(check_callback(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1/callback",
            "http://example.test/",
            "http://127.0.0.1.example.test/",
            "callback",
            "ftp://127.0.0.1/",
            "https://user@example.test/",
            "https://example.test/#x",
            "https://example.test/?a=b",
        ] {
            assert!(check_callback(bad).is_err(), "{bad}");
        }
    }
}
