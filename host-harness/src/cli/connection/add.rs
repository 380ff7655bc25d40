//! `harness connection add`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::authorize::{Way, authorize, choose_site};
use super::health::{exit_code, health_text};
use super::show::{connection_json, held_note};
use crate::cli::Done;
use crate::cli::ask::{Missing, Person, given_up, lacking, worth_asking};
use crate::cli::input;
use crate::cli::oauth_client;
use crate::cli::output::{Output, failure_text};
use crate::egress::{Origin, reserved};
use crate::host::{Added, Draft, Host, HostError, NewConnection, method_of};
use crate::plugin::{AuthMethod, Plugin};
use crate::store::StoredConnection;

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The name it shall have
    name: Option<String>,
    /// The connector's component file [default: the one of the other connections]
    #[arg(long, value_name = "COMPONENT")]
    connector: Option<PathBuf>,
    /// The auth method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// A field of the form that is not secret
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    set: Vec<(String, String)>,
    /// A secret of the form, from a file or from stdin
    #[arg(long, value_name = "KEY=@FILE|KEY=-")]
    secret: Vec<String>,
    /// The OAuth client to authorize for, where the method needs one [default: the only one that fits]
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Use the credential of another connection: whoever replaces it heals both
    #[arg(long, value_name = "CONNECTION", conflicts_with = "client")]
    share: Option<String>,
    /// Trust the certificate authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Allow private addresses and plain http for this connection
    #[arg(long)]
    allow_private: bool,
    /// Send nothing: the connection stays unproven, or not authorized, until somebody goes on with it
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    way: Way,
}

impl Add {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let person = Person::here(output);
        let (no_check, way) = (self.no_check, self.filled(host, person.as_ref(), output).await?);
        let (new, way) = way;
        let added = match &person {
            Some(person) => made_with(person, host, new, output).await?,
            None => {
                let added = host.add_connection(new).await?;
                tell_corrections(&added.corrections, output);
                tell_origins(&added.connection, output);
                added
            }
        };
        let name = &added.connection.name;
        let mut end = End::default();
        if !no_check {
            let proved = async {
                if host.lacks_authorization(name).await? {
                    authorize(host, name, &way, person.as_ref(), output).await?;
                }
                choose_site(host, name, &way, person.as_ref(), output).await?;
                host.check_connection(name, false).await
            };
            end = End::of(name, proved.await);
        }
        let connection = host.connection(name)?;
        let mut json = json!({
            "connection": connection_json(host, &connection)?,
            "corrections": added.corrections,
            "health": end.health,
        });
        if let Some(failure) = &end.failure {
            json["error"] = failure.clone();
        }
        output.result(&json, || match (&end.health, &end.failure) {
            (Value::Null, None) => format!("`{name}` is made and not yet checked"),
            (Value::Null, Some(failure)) => failure_text(failure),
            (health, _) => health_text(health),
        });
        if end.code != 0 {
            let state = json["connection"]["state"].as_str().unwrap_or_default();
            if let Some(held) = held_note(host, name)? {
                output.note(&format!("`{name}` is kept as {state}; {held}"));
                return Ok(end.code);
            }
            // It would be found so each time.
            if about_input(&end.health) {
                output.note(&format!("`{name}` is kept as {state}; the report says what has to be another"));
                return Ok(end.code);
            }
            let next = match () {
                () if state == "refused" => format!("replace-credential {name}"),
                () if state.contains("authorized") => format!("reauthorize {name}"),
                () if host.lacks_site(name)? => format!("reauthorize {name} --site URL"),
                () => format!("check {name}"),
            };
            output.note(&format!(
                "`{name}` is kept as {state}; put right what failed, then run `harness connection {next}`"
            ));
        }
        Ok(end.code)
    }

    /// What was given, and what a person adds to it; without a person, one error that names all that is missing.
    async fn filled(
        self,
        host: &Host,
        person: Option<&Person>,
        output: &Output,
    ) -> Result<(NewConnection, Way), HostError> {
        let mut new = NewConnection {
            name: self.name.unwrap_or_default(),
            fields: self.set,
            secrets: input::secrets(&self.secret)?,
            allow_private: self.allow_private,
            client: self.client,
            share: self.share,
            authorities: self.ca.as_deref().map(input::authorities).transpose()?,
            ..NewConnection::default()
        };
        let mut missing = Missing::default();
        let shared = new.share.as_deref().map(|name| host.connection(name)).transpose()?;
        if new.name.is_empty() {
            match person {
                Some(person) => {
                    new.name = person.name("A name for the connection", |name| host.check_free_name(name))?
                }
                None => missing.add("name", "harness connection add NAME"),
            }
        }
        let usual = shared.as_ref().map(|one| PathBuf::from(&one.component));
        match self.connector.or(usual).map(Ok).or_else(|| connector(host, person).transpose()).transpose()? {
            Some(component) => new.component = component,
            None => missing.add("connector", "--connector COMPONENT"),
        }
        if new.component.as_os_str().is_empty() {
            return Err(missing.error("the connection", "In a terminal they are asked for."));
        }
        let plugin = host.load(&new.component).await?;
        let given = self.method.or_else(|| shared.as_ref().map(|one| one.method.clone()));
        let Some(method) = method(&plugin, given, person)? else {
            let known: Vec<&str> = plugin.manifest().auth_methods.iter().map(|one| one.id.as_str()).collect();
            missing.add("method", format!("--method {}", known.join("|")));
            return Err(
                missing.error("the connection", "`harness inspect COMPONENT` shows the methods and their fields.")
            );
        };
        new.method.clone_from(&method.id);
        if shared.is_none() && new.client.is_none() && method.needs_client() {
            new.client = client(host, &plugin, method, &new, person, &mut missing, output).await?;
        }
        // Before anything is asked for that would be typed in vain.
        refuse_unknown(method, new.fields.iter().map(|(key, _)| key.as_str()))?;
        fields(method, shared.is_some(), &mut new, person, &mut missing)?;
        let what = format!("the connection by `{}`", method.id);
        missing.check(&what, "`harness inspect COMPONENT` shows the methods and their fields.")?;
        Ok((new, self.way))
    }
}

/// What came of checking.
#[derive(Default)]
pub(super) struct End {
    pub(super) code: u8,
    pub(super) health: Value,
    pub(super) failure: Option<Value>,
}

impl End {
    pub(super) fn of(name: &str, outcome: Result<crate::host::Checked, HostError>) -> Self {
        match outcome {
            Ok(checked) => Self {
                code: exit_code(&checked),
                health: checked.to_json(),
                failure: checked.failure(name).map(|error| error.to_json()),
            },
            Err(error) => Self { code: error.exit_code(), health: Value::Null, failure: Some(error.to_json()) },
        }
    }
}

/// The component where none was given: the one of the other connections, or what the person says.
fn connector(host: &Host, person: Option<&Person>) -> Result<Option<PathBuf>, HostError> {
    let mut known: Vec<String> = host.store().connections()?.into_iter().map(|one| one.component).collect();
    known.sort_unstable();
    known.dedup();
    match (known.as_slice(), person) {
        ([only], _) => Ok(Some(only.into())),
        (_, None) => Ok(None),
        ([], Some(person)) => Ok(Some(person.text("The connector's component file", None, false)?.into())),
        (several, Some(person)) => Ok(Some(several[person.choose("Which connector?", several)?].clone().into())),
    }
}

/// The auth method: as given, the only one there is, or the one that the person chooses.
fn method<'a>(
    plugin: &'a Plugin,
    given: Option<String>,
    person: Option<&Person>,
) -> Result<Option<&'a AuthMethod>, HostError> {
    let methods = &plugin.manifest().auth_methods;
    match (given, methods.as_slice(), person) {
        (Some(given), ..) => method_of(plugin.manifest(), &given).map(Some),
        (None, [only], _) => Ok(Some(only)),
        (None, _, None) => Ok(None),
        (None, several, Some(person)) => {
            let line = |one: &AuthMethod| match one.description.as_str() {
                "" => one.title.clone(),
                description => format!("{}: {description}", one.title),
            };
            let lines: Vec<String> = several.iter().map(line).collect();
            Ok(Some(&several[person.choose("How do you want to authorize it?", &lines)?]))
        }
    }
}

/// The OAuth client: the only one that fits, the one that the person chooses, or one that is made now.
async fn client(
    host: &Host,
    plugin: &Plugin,
    method: &AuthMethod,
    new: &NewConnection,
    person: Option<&Person>,
    missing: &mut Missing,
    output: &Output,
) -> Result<Option<String>, HostError> {
    let fitting = host.clients_for(&plugin.manifest().connector.id, &method.id)?;
    let mut names: Vec<String> = fitting.into_iter().map(|one| one.name).collect();
    match (names.as_slice(), person) {
        ([only], None) => return Ok(Some(only.clone())),
        ([], None) => {
            missing.add(
                "client",
                format!("--client NAME, made with `harness oauth-client add NAME --method {}`", method.id),
            );
            return Ok(None);
        }
        (known, None) => {
            missing.add("client", format!("--client {}", known.join("|")));
            return Ok(None);
        }
        (_, Some(_)) => {}
    }
    let Some(person) = person else { return Ok(None) };
    let mut chosen = names.len();
    if !names.is_empty() {
        let mut lines = names.clone();
        lines.push("another one, to be registered at the service now".into());
        chosen = person.choose("Which OAuth client?", &lines)?;
    }
    if chosen == names.len() {
        let component = new.component.clone();
        return oauth_client::make_with(person, host, &component, method, output).await.map(Some);
    }
    Ok(Some(names.swap_remove(chosen)))
}

/// The fields of the form that are missing.
fn fields(
    method: &AuthMethod,
    shares: bool,
    new: &mut NewConnection,
    person: Option<&Person>,
    missing: &mut Missing,
) -> Result<(), HostError> {
    let secrets = method.secrets();
    let of_credential = method.scheme.fields();
    let given: Vec<String> =
        new.fields.iter().map(|(key, _)| key.clone()).chain(new.secrets.iter().map(|(key, _)| key.clone())).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    for (name, field) in lacking(&method.form, &given) {
        let is_secret = secrets.contains(&name);
        if shares && (is_secret || of_credential.contains(&name)) {
            continue;
        }
        match (person, is_secret) {
            (Some(person), true) => new.secrets.push((name.to_owned(), person.secret_field(name, field)?)),
            (Some(person), false) => new.fields.push((name.to_owned(), person.field(name, field)?)),
            (None, true) => missing.add(name, format!("--secret {name}=@FILE")),
            (None, false) => missing.add(name, format!("--set {name}=…")),
        }
    }
    if let Some(person) = person {
        for (name, field) in worth_asking(method, &given) {
            new.fields.extend(person.field_if_known(name, field)?.map(|typed| (name.to_owned(), typed)));
        }
    }
    Ok(())
}

/// Whether a report says that what the person gave cannot be right.
fn about_input(health: &Value) -> bool {
    let findings = health["findings"].as_array();
    findings.into_iter().flatten().any(|one| one["outcome"] == "failed" && one["class"] == "input")
}

/// Refuses fields that the form has not: misspelled, the right one would be said to be missing.
pub(super) fn refuse_unknown<'a>(method: &AuthMethod, given: impl Iterator<Item = &'a str>) -> Result<(), HostError> {
    let known: Vec<&str> =
        method.form["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let unknown: Vec<&str> = given.filter(|key| !known.contains(key)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let remedy = match known.as_slice() {
        [] => "It has no fields: what it is for is chosen when it is authorized.".to_owned(),
        known => format!("Its fields: {}.", known.join(", ")),
    };
    let message = format!("the form of `{}` has no field `{}`", method.id, unknown.join("`, `"));
    Err(HostError::bad_input("field-unknown", message, remedy))
}

/// Makes a connection with a person who sees first what it will reach.
async fn made_with(person: &Person, host: &Host, mut new: NewConnection, output: &Output) -> Result<Added, HostError> {
    let draft = loop {
        let offer = match host.draft_connection(new.clone()).await {
            Ok(draft) => match private_place(&draft, new.allow_private).await {
                None => break draft,
                Some(place) => place,
            },
            Err(error) if is_plain_http(&error) => error.to_string(),
            Err(error) => {
                match person.secrets_again(error) {
                    Ok(typed) => new.secrets.extend(typed),
                    Err(error) => again(person, error, host, &mut new).await?,
                }
                continue;
            }
        };
        person.tell(&format!("{offer}."));
        if !person.confirm("Is that meant to be so, and may this connection go there?", false)? {
            return Err(given_up());
        }
        new.allow_private = true;
    };
    tell_corrections(&draft.corrections, output);
    tell_origins(&draft.connection, output);
    if !person.confirm("Make this connection?", true)? {
        return Err(given_up());
    }
    host.keep_connection(draft)
}

/// Asks once more for what an error says is wrong in the form. What belongs to a shared credential is not asked for.
async fn again(person: &Person, error: HostError, host: &Host, new: &mut NewConnection) -> Result<(), HostError> {
    let plugin = host.load(&new.component).await?;
    let method = method_of(plugin.manifest(), &new.method)?;
    let (shares, secrets, of_credential) = (new.share.is_some(), method.secrets(), method.scheme.fields());
    let may_ask = |name: &str| !shares || !(secrets.contains(&name) || of_credential.contains(&name));
    person.fields_again(error, &method.form, may_ask, &mut new.fields, &mut new.secrets)
}

fn is_plain_http(error: &HostError) -> bool {
    matches!(error, HostError::BadInput(problem) if problem.code == "host.plain-http")
}

/// The first place of a draft that is not on the public network, where it may not go.
async fn private_place(draft: &Draft, allowed: bool) -> Option<String> {
    if allowed {
        return None;
    }
    for origin in draft.connection.origins.iter().filter_map(|one| Origin::parse(&one.url).ok()) {
        let host = origin.host().trim_matches(['[', ']']);
        let addresses: Vec<IpAddr> = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => match tokio::net::lookup_host((host, origin.port())).await {
                Ok(found) => found.map(|found| found.ip()).collect(),
                // The health report will say that there is no such name.
                Err(_) => vec![],
            },
        };
        if let Some((address, what)) = addresses.into_iter().find_map(|one| reserved(one).map(|what| (one, what))) {
            return Some(format!("{} is {what} ({address}), not a place on the public network", origin.host()));
        }
    }
    None
}

fn tell_corrections(corrections: &[String], output: &Output) {
    for correction in corrections {
        output.note(&format!("note: {correction}"));
    }
}

/// Says where a connection may go.
pub(super) fn tell_origins(connection: &StoredConnection, output: &Output) {
    output.note(&format!("`{}` will reach these origins and nothing else:", connection.name));
    for origin in &connection.origins {
        let with = if origin.credential { "with the credential" } else { "without a credential" };
        output.note(&format!("  {}  {} ({with})", origin.url, origin.purpose));
    }
}
