//! Making connections: what a person filled in becomes a draft, which shows what would be reached before anything is
//! kept or sent.

use std::path::PathBuf;

use super::forms::{self, Entries, Form, ReadForm, Secrets};
use super::{Host, HostError, Problem, off_thread};
use crate::authorize::{Credential, CredentialError};
use crate::clock::new_id;
use crate::egress::Origin;
use crate::plugin::contract::{connection as contract, types};
use crate::plugin::{AuthMethod, Plugin, contract_json};
use crate::store::credentials::{Kept, is_in};
use crate::store::{StoredConnection, StoredCredential, StoredOauthClient, StoredOrigin};
use crate::vault::{Secret, Space};

/// What a person asks for with `connection add`.
#[derive(Debug, Clone, Default)]
pub struct NewConnection {
    /// The name it shall have.
    pub name: String,
    /// The component; of the shared connection where it is empty.
    pub component: PathBuf,
    /// The auth method, by id; of the shared connection where it is empty.
    pub method: String,
    /// The form's fields that are not secret.
    pub fields: Vec<(String, String)>,
    /// The form's secrets.
    pub secrets: Vec<(String, Secret)>,
    /// Whether private addresses and plain `http` are allowed.
    pub allow_private: bool,
    /// The OAuth client, by name, for methods that need one.
    pub client: Option<String>,
    /// The connection, by name, whose credential it shall share.
    pub share: Option<String>,
    /// The certificate authorities (PEM) that it trusts instead of the system's.
    pub authorities: Option<String>,
}

/// A connection that is not kept yet.
#[derive(Debug)]
pub struct Draft {
    /// As it would be kept.
    pub connection: StoredConnection,
    /// What was put right in the form.
    pub corrections: Vec<String>,
    /// Its credential, where it shares none.
    credential: Option<(StoredCredential, Secrets)>,
}

/// A connection that was made, before it is checked.
#[derive(Debug)]
pub struct Added {
    /// The connection.
    pub connection: StoredConnection,
    /// What was put right in the form.
    pub corrections: Vec<String>,
}

impl Host {
    /// Makes a connection: reads the form, pins the origins, seals the secrets. Nothing is sent.
    pub async fn add_connection(&self, new: NewConnection) -> Result<Added, HostError> {
        let draft = self.draft_connection(new).await?;
        self.keep_connection(draft)
    }

    /// Reads what a person filled in. Nothing is kept or sent.
    pub async fn draft_connection(&self, new: NewConnection) -> Result<Draft, HostError> {
        self.check_free_name(&new.name)?;
        let shared = new.share.as_deref().map(|name| self.connection(name)).transpose()?;
        let component = match &shared {
            Some(shared) if new.component.as_os_str().is_empty() => PathBuf::from(&shared.component),
            _ => std::path::absolute(&new.component).unwrap_or(new.component),
        };
        let plugin = self.load(&component).await?;
        let connector = plugin.manifest().connector.id.clone();
        let method = match &shared {
            Some(shared) if new.method.is_empty() => forms::method_of(plugin.manifest(), &shared.method)?,
            _ => forms::method_of(plugin.manifest(), &new.method)?,
        };
        if let Some(authorities) = &new.authorities {
            check_authorities(authorities)?;
        }
        let client = self.client_for(&connector, method, new.client.as_deref(), shared.is_some())?;
        let what = format!("the form of `{}`", method.id);
        let remedy = format!(
            "Give fields with --set key=value and secrets with --secret key=@FILE; `harness inspect {}` shows the form.",
            component.display()
        );
        let mut given = Entries { fields: new.fields, secrets: new.secrets };
        let mut typed = Secrets::new();
        let (read, credential) = match &shared {
            None => {
                let read = Form { schema: &method.form, what, remedy }.read(Default::default(), given)?;
                (read, None)
            }
            Some(shared) => {
                typed.append(&mut given.secrets);
                let read = self.read_shared(&connector, method, shared, given, what, remedy)?;
                (read, Some(shared.credential.clone()))
            }
        };
        if shared.is_none() {
            self.check_fits(method, &read)?;
        }
        let prepared = prepare(&plugin, &method.id, &read.fields).await?;
        let origins = pinned(&prepared.origins, new.allow_private)?;
        if let Some(shared) = &shared {
            self.may_go(&plugin, method, &shared.credential, &prepared.origins, typed).await?;
        }
        let (own, credentials_form) = forms::split(forms::spelled(method, &prepared), &method.scheme);
        let now = self.clock.now_ms();
        let (credential, kept) = match credential {
            Some(shared) => (shared, None),
            None => {
                let stored = StoredCredential {
                    id: new_id(&*self.clock),
                    connector: connector.clone(),
                    method: method.id.clone(),
                    form: credentials_form,
                    client: client.map(|client| client.id),
                    generation: 1,
                    created_at_ms: now,
                    version: 0,
                    scopes: None,
                    access_until_ms: None,
                    renewed_at_ms: None,
                    dead: None,
                    paused: None,
                };
                (stored.id.clone(), Some((stored, read.secrets)))
            }
        };
        let connection = StoredConnection {
            id: new_id(&*self.clock),
            name: new.name,
            component: component.display().to_string(),
            connector,
            method: method.id.clone(),
            credential,
            form: own,
            settings: prepared.settings,
            origins,
            site_open: method.discovers_sites,
            allow_private: new.allow_private,
            authorities: new.authorities,
            proven: false,
            identity: None,
            health: None,
            memo: None,
            created_at_ms: now,
            revision: 0,
        };
        let corrections = read.notes.into_iter().chain(prepared.corrections).collect();
        Ok(Draft { connection, corrections, credential: kept })
    }

    /// Keeps a connection, with its credential where it shares none.
    pub fn keep_connection(&self, draft: Draft) -> Result<Added, HostError> {
        let Draft { connection, corrections, credential } = draft;
        off_thread(|| {
            // All of it, or nothing.
            self.store.write(|transaction| {
                match &credential {
                    Some((credential, secrets)) => {
                        let client = credential.client.as_deref();
                        if !client.map_or(Ok(true), |id| is_in(transaction, Kept::Client, id))? {
                            return Err(gone_meanwhile("the OAuth client that it was to be authorized for"));
                        }
                        for (name, secret) in secrets {
                            self.vault.put_in(transaction, Space::Connection, &credential.id, name, secret)?;
                        }
                        crate::store::credentials::insert(transaction, credential)?;
                    }
                    None if !is_in(transaction, Kept::Credential, &connection.credential)? => {
                        return Err(gone_meanwhile("the credential that it was to share"));
                    }
                    None => {}
                }
                match crate::store::connections::insert(transaction, &connection)? {
                    true => Ok(()),
                    false => Err(name_taken(&connection.name, OTHER_NAME)),
                }
            })
        })?;
        Ok(Added { connection, corrections })
    }

    /// Refuses a credential that could not be sent: better before anything is kept.
    pub(super) fn check_fits(&self, method: &AuthMethod, read: &ReadForm) -> Result<(), HostError> {
        if method.scheme.is_grant() {
            return Ok(());
        }
        let form = serde_json::Value::Object(read.fields.clone());
        let given = |name: &str| Ok(read.secrets.iter().find(|(known, _)| known == name).map(|(_, one)| one.clone()));
        match Credential::of_secrets(&method.scheme, &form, &self.vault, given) {
            Err(CredentialError::Unfit { name, reason }) => {
                let (code, remedy) = match method.secrets().contains(&name.as_str()) {
                    true => (
                        "secret-unfit",
                        "Copy it once more: nothing before it, nothing behind it, and no blank or line break within.",
                    ),
                    false => ("field-unfit", "Give it as the service knows it, and nothing else."),
                };
                Err(HostError::BadInput(Problem::new(code, format!("`{name}` {reason}"), remedy).at(&name)))
            }
            // What is missing else shows where it is used.
            _ => Ok(()),
        }
    }

    /// The form of a connection that shares a credential: only its own fields are asked for.
    fn read_shared(
        &self,
        connector: &str,
        method: &AuthMethod,
        shared: &StoredConnection,
        given: Entries,
        what: String,
        remedy: String,
    ) -> Result<ReadForm, HostError> {
        if shared.connector != connector || shared.method != method.id {
            return Err(HostError::bad_input(
                "share-other",
                format!(
                    "`{}` authorizes itself with `{}` of the connector `{}`: its credential is no use to `{}` of `{connector}`",
                    shared.name, shared.method, shared.connector, method.id
                ),
                "Share with a connection of the same connector and method, or leave --share out.",
            ));
        }
        let remedy_here = format!("Leave it out: it comes from `{}`.", shared.name);
        forms::refuse_of_credential(method, &given, &remedy_here)?;
        let credential = off_thread(|| self.store.credential(&shared.credential))?;
        let known = credential.map(|one| forms::members(&one.form)).unwrap_or_default();
        // Its secrets lie in the vault and were checked when they came there.
        let schema = forms::without(&method.form, &method.secrets());
        Form { schema: &schema, what, remedy }.read(known, given)
    }

    /// The OAuth client to authorize for, where the method needs one.
    fn client_for(
        &self,
        connector: &str,
        method: &AuthMethod,
        name: Option<&str>,
        shares: bool,
    ) -> Result<Option<StoredOauthClient>, HostError> {
        if shares || !method.needs_client() {
            return match name {
                None => Ok(None),
                Some(name) => Err(HostError::bad_input(
                    "client-not-needed",
                    format!("the OAuth client `{name}` is of no use here"),
                    "Leave --client out.",
                )),
            };
        }
        let fitting = self.clients_for(connector, &method.id)?;
        let known: Vec<&str> = fitting.iter().map(|one| one.name.as_str()).collect();
        let remedy = match known.as_slice() {
            [] => format!("Make one with `harness oauth-client add NAME --method {}`.", method.id),
            known => format!("Give one of these with --client: {}.", known.join(", ")),
        };
        match (name, fitting.as_slice()) {
            (Some(name), _) => fitting.iter().find(|one| one.name == name).cloned().map(Some).ok_or_else(|| {
                let message = format!("there is no OAuth client `{name}` for `{}`", method.id);
                HostError::bad_input("client-unknown", message, remedy)
            }),
            (None, [only]) => Ok(Some(only.clone())),
            (None, _) => {
                let message = format!("`{}` needs an OAuth client, registered at the service once", method.id);
                Err(HostError::bad_input("client-missing", message, remedy))
            }
        }
    }

    /// Refuses a name that cannot be a connection's, or is one's already.
    pub(crate) fn check_free_name(&self, name: &str) -> Result<(), HostError> {
        check_name(name, "a connection's name")?;
        match off_thread(|| self.store.connection_by_name(name))? {
            Some(taken) => Err(name_taken(name, &way_on(&taken))),
            None => Ok(()),
        }
    }
}

/// What a filled-in form means. Nothing is sent.
pub(super) async fn prepare(
    plugin: &Plugin,
    method: &str,
    form: &serde_json::Map<String, serde_json::Value>,
) -> Result<contract::Prepared, HostError> {
    let form = serde_json::Value::Object(form.clone()).to_string();
    plugin.prepare(method, &form).await.map_err(|error| match error.to_error() {
        // What a person typed makes no sense to the connector: nothing was sent.
        types::Error::Permanent(failure) => HostError::BadInput(Problem {
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
    })
}

/// The origins as they are pinned; refuses plain `http` where it is not allowed.
pub(super) fn pinned(origins: &[contract::Origin], allow_private: bool) -> Result<Vec<StoredOrigin>, HostError> {
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

/// Refuses what cannot be a name that people type in commands.
pub(super) fn check_name(name: &str, what: &str) -> Result<(), HostError> {
    let good = (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if good {
        return Ok(());
    }
    Err(HostError::bad_input(
        "connection-name",
        format!("`{name}` cannot be {what}"),
        "Use letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 64.",
    ))
}

/// Somebody removed it while the person looked at the draft.
fn gone_meanwhile(what: &str) -> HostError {
    HostError::bad_input("removed-meanwhile", format!("{what} was removed meanwhile"), "Begin again.")
}

/// What to do about a name that another connection has.
pub(super) const OTHER_NAME: &str = "Choose another name.";

pub(super) fn name_taken(name: &str, remedy: &str) -> HostError {
    HostError::bad_input("connection-exists", format!("there is a connection `{name}` already"), remedy)
}

/// How to go on where a new connection should have the name of this one. One that worked once is not to be removed for
/// a slip in a name.
fn way_on(taken: &StoredConnection) -> String {
    let name = &taken.name;
    match &taken.identity {
        Some(_) => format!("Choose another name; `harness connection show {name}` says what that one is."),
        None => format!(
            "Go on with it: `harness connection show {name}` says what it lacks. Else choose another name, or remove it \
             with `harness connection remove {name}`."
        ),
    }
}

/// Refuses what is no list of certificates.
pub(super) fn check_authorities(pem: &str) -> Result<(), HostError> {
    let refuse = |reason: &str| {
        let remedy = "Give a PEM file with the certificates of the authorities, and nothing else, with --ca FILE.";
        HostError::bad_input("authorities", format!("the certificate authorities cannot be used: {reason}"), remedy)
    };
    if pem.contains("PRIVATE KEY") {
        return Err(refuse("the file holds a private key, which must not be given away"));
    }
    crate::egress::check_authorities(pem).map(drop).map_err(|error| refuse(error.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;
    use crate::built;
    use crate::host::NewClient;

    fn new(bench: &Bench, name: &str, key: &str) -> NewConnection {
        NewConnection {
            name: name.into(),
            component: built::component("guest_beacon"),
            method: "api-key".into(),
            fields: vec![("base-url".into(), bench.url().into())],
            secrets: vec![("key".into(), Secret::new(key))],
            allow_private: true,
            ..NewConnection::default()
        }
    }

    fn code(outcome: Result<Added, HostError>) -> String {
        outcome.unwrap_err().to_json()["code"].as_str().unwrap().to_owned()
    }

    /// How many secrets and credentials there are.
    fn kept(bench: &Bench) -> (u64, u64) {
        let disk = bench.disk();
        let count = |sql: &str| disk.query_row(sql, [], |row| row.get(0)).unwrap();
        (count("SELECT count(*) FROM secret"), count("SELECT count(*) FROM credential"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_is_kept_whole_or_not_at_all() {
        let bench = Bench::start().await;
        let host = &bench.host;
        let (first, second) = (new(&bench, "quay", "fake-one"), new(&bench, "quay", "fake-two"));
        let drafts = (host.draft_connection(first).await.unwrap(), host.draft_connection(second).await.unwrap());
        host.keep_connection(drafts.0).unwrap();
        let before = kept(&bench);
        assert_eq!(code(host.keep_connection(drafts.1)), "host.connection-exists");
        assert_eq!(kept(&bench), before, "nothing of the second is left");

        let unfit = host.add_connection(new(&bench, "pier", "two words")).await;
        assert_eq!(code(unfit), "host.secret-unfit");
        assert_eq!(kept(&bench), before);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_draft_needs_may_be_removed_meanwhile() {
        let bench = Bench::start().await;
        let host = &bench.host;
        let sharing = NewConnection { share: Some("harbour".into()), ..new(&bench, "second", "") };
        let sharing = NewConnection { component: PathBuf::new(), method: String::new(), secrets: vec![], ..sharing };
        let shared = host.draft_connection(sharing).await.unwrap();
        host.remove_connection("harbour", crate::host::Leftovers::Leave).await.unwrap();
        assert_eq!(code(host.keep_connection(shared)), "host.removed-meanwhile");

        let client = NewClient {
            name: "app".into(),
            component: built::component("guest_beacon"),
            method: "sign-in".into(),
            fields: vec![("client-id".into(), "fake-client".into())],
            secrets: vec![("client-secret".into(), Secret::new("fake-client-secret"))],
            ..NewClient::default()
        };
        host.add_client(client).await.unwrap();
        let signed_in = NewConnection {
            method: "sign-in".into(),
            fields: vec![("login-url".into(), bench.url().into())],
            secrets: vec![],
            client: Some("app".into()),
            ..new(&bench, "signed-in", "")
        };
        let draft = host.draft_connection(signed_in).await.unwrap();
        host.remove_client("app").unwrap();
        assert_eq!(code(host.keep_connection(draft)), "host.removed-meanwhile");
        assert_eq!(kept(&bench), (0, 0), "nothing is left of either");
    }
}
