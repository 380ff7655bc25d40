//! `harness oauth-client …`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::ask::{Missing, Person, lacking};
use super::input;
use super::output::{Output, table, time};
use crate::host::{AddedClient, ClientEdit, Host, HostError, NewClient, USUAL_CALLBACK};
use crate::plugin::{AuthMethod, Plugin};
use crate::store::StoredOauthClient;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness oauth-client add our-app --connector connector.wasm --method oauth \\
    --set client-id=abc123 --secret client-secret=@secret.txt
  harness oauth-client list

An OAuth client is what is registered at a service once: an app with its id and secret, or an application link. Any
number of connections are authorized for it.")]
pub(super) struct OauthClients {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an OAuth client from what the service shows for the app
    #[command(after_help = "Examples:
  harness oauth-client add our-app --connector connector.wasm --method oauth \\
    --set client-id=abc123 --secret client-secret=@secret.txt
  harness oauth-client add our-app --method oauth --scope read --scope write …
  harness oauth-client add --list-scopes --connector connector.wasm \\
    --method oauth
  harness oauth-client add our-link --connector connector.wasm \\
    --method application-link

Register the callback URL at the service exactly as it is shown. For OAuth 1.0a the key pair is made here, and what to
paste at the service is printed. In a terminal, what is missing is asked for.")]
    Add(Add),
    /// List OAuth clients
    #[command(after_help = "Examples:
  harness oauth-client list
  harness oauth-client list --json | jq '.[].name'")]
    List,
    /// Show an OAuth client: what to register at the service, and who uses it
    #[command(after_help = "Examples:
  harness oauth-client show our-app")]
    Show(Name),
    /// Change an OAuth client: its secret, its callback URL, the scopes that it asks for
    #[command(after_help = "Examples:
  harness oauth-client edit our-app --secret client-secret=@new-secret.txt
  harness oauth-client edit our-app --scope read --scope write
  harness oauth-client edit our-app --callback http://127.0.0.1:9000/callback

What is not given stays. Connections use a new secret at once; new scopes count for those that are authorized after.
In a terminal, what changes is asked for. An app with another client id is another OAuth client.")]
    Edit(Edit),
    /// Remove an OAuth client that no connection uses, with its secrets
    #[command(after_help = "Examples:
  harness oauth-client remove our-app")]
    Remove(Name),
}

#[derive(Debug, Args)]
struct Name {
    /// The OAuth client's name
    name: String,
}

#[derive(Debug, Args)]
struct Add {
    /// The name it shall have
    name: Option<String>,
    /// The connector's component file [default: the one of the connections]
    #[arg(long, value_name = "COMPONENT")]
    connector: Option<PathBuf>,
    /// The auth method that it is for [default: the only one that needs an OAuth client]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// A field of the app form that is not secret
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    set: Vec<(String, String)>,
    /// A secret of the app form, from a file or from stdin
    #[arg(long, value_name = "KEY=@FILE|KEY=-")]
    secret: Vec<String>,
    /// Where the browser comes back to: an address on this machine, or https [default: http://127.0.0.1:8091/callback]
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
    /// A scope to ask for; several may be given [default: the usual ones]
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Only list the scopes there are
    #[arg(long)]
    list_scopes: bool,
}

#[derive(Debug, Args)]
struct Edit {
    /// The OAuth client's name
    name: String,
    /// The connector's component file [default: the one of the connections]
    #[arg(long, value_name = "COMPONENT")]
    connector: Option<PathBuf>,
    /// A secret of the app form, from a file or from stdin
    #[arg(long, value_name = "KEY=@FILE|KEY=-")]
    secret: Vec<String>,
    /// Where the browser comes back to
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
    /// A scope to ask for, in the place of those of before; several may be given
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
}

impl Edit {
    async fn run(self, host: &Host, output: &Output) -> Done {
        let client = host.client(&self.name)?;
        let component = self.connector.map_or_else(|| host.component_of(&client), Ok)?;
        let mut edit = ClientEdit {
            name: self.name,
            component: Some(component),
            secrets: input::secrets(&self.secret)?,
            callback: self.callback,
            scopes: (!self.scope.is_empty()).then_some(self.scope),
        };
        if edit.secrets.is_empty() && edit.callback.is_none() && edit.scopes.is_none() {
            let Some(person) = Person::here(output) else {
                let mut missing = Missing::default();
                missing.add("change", "--secret KEY=@FILE, --callback URL or --scope SCOPE");
                return Err(missing.error("the change of the OAuth client", "In a terminal it is asked for."));
            };
            asked(&mut edit, &client, host, &person).await?;
        }
        let scopes = edit.scopes.is_some();
        let edited = host.edit_client(edit).await?;
        for correction in &edited.corrections {
            output.note(&format!("note: {correction}"));
        }
        let json = client_json(host, &edited.client)?;
        output.result(&json, || client_text(&json));
        if scopes && !edited.connections.is_empty() {
            let names: Vec<String> =
                edited.connections.iter().map(|name| format!("`harness connection reauthorize {name}`")).collect();
            output.note(&format!("the scopes count once these are authorized again: {}", names.join(", ")));
        }
        Ok(0)
    }
}

/// Asks a person what changes of an OAuth client, and for that.
async fn asked(
    edit: &mut ClientEdit,
    client: &StoredOauthClient,
    host: &Host,
    person: &Person,
) -> Result<(), HostError> {
    let plugin = host.load(edit.component.as_deref().unwrap_or(Path::new(""))).await?;
    let method = method(&plugin, Some(&client.method), Some(person))?;
    let secrets = method.app_secrets();
    let mut items: Vec<String> = secrets.iter().map(|name| format!("the secret `{name}`")).collect();
    items.push(format!("the callback URL (now {})", client.callback));
    if !method.scopes().is_empty() {
        items.push("the scopes that it asks for".into());
    }
    let chosen = person.choose("What changes?", &items)?;
    match secrets.get(chosen) {
        Some(name) => {
            let field =
                method.app.as_ref().and_then(|app| app.get("properties")?.get(name)).cloned().unwrap_or_default();
            edit.secrets.push(((*name).to_owned(), person.secret_field(name, &field)?));
        }
        None if chosen == secrets.len() => {
            edit.callback = Some(person.text("The callback URL", Some(&client.callback), false)?);
        }
        None => edit.scopes = Some(scopes(method, person, |id| client.scopes.iter().any(|one| one == id))?),
    }
    Ok(())
}

/// Lets a person choose the scopes to ask for. Those without which nothing goes are not asked about.
fn scopes(method: &AuthMethod, person: &Person, usual: impl Fn(&str) -> bool) -> Result<Vec<String>, HostError> {
    let (always, free): (Vec<_>, Vec<_>) = method.scopes().iter().partition(|scope| scope.required);
    let lines: Vec<String> = free.iter().map(|one| format!("{}: {}", one.id, one.description)).collect();
    let usual: Vec<bool> = free.iter().map(|one| usual(&one.id)).collect();
    let always: Vec<String> = always.into_iter().map(|one| one.id.clone()).collect();
    if !always.is_empty() {
        person.tell(&format!("Always asked for: {}.", always.join(", ")));
    }
    loop {
        let chosen = person.choose_several("Which scopes shall it ask for?", &lines, &usual)?;
        let chosen: Vec<String> =
            chosen.into_iter().map(|place| free[place].id.clone()).chain(always.clone()).collect();
        if !chosen.is_empty() {
            return Ok(chosen);
        }
        person.tell("Without any, nothing could be read.");
    }
}

impl OauthClients {
    /// Whether it makes an OAuth client.
    pub(super) fn adds(&self) -> bool {
        matches!(self.command, Command::Add(_))
    }

    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            Command::Add(add) => add.run(host, output).await,
            Command::List => list(host, output),
            Command::Show(Name { name }) => {
                let json = client_json(host, &host.client(&name)?)?;
                output.result(&json, || client_text(&json));
                Ok(0)
            }
            Command::Edit(edit) => edit.run(host, output).await,
            Command::Remove(Name { name }) => {
                host.remove_client(&name)?;
                output.result(&json!({ "removed": name }), || format!("`{name}` is removed, with its secrets"));
                Ok(0)
            }
        }
    }
}

impl Add {
    async fn run(self, host: &Host, output: &Output) -> Done {
        let person = Person::here(output);
        let mut missing = Missing::default();
        let component = match self.connector {
            Some(component) => component,
            None => usual_component(host)?.unwrap_or_default(),
        };
        if component.as_os_str().is_empty() {
            missing.add("connector", "--connector COMPONENT");
            return Err(missing.error("the OAuth client", "Name the connector's component file."));
        }
        let plugin = host.load(&component).await?;
        let method = method(&plugin, self.method.as_deref(), person.as_ref())?;
        if self.list_scopes {
            return list_scopes(method, output);
        }
        let mut new = NewClient {
            name: self.name.unwrap_or_default(),
            component,
            method: method.id.clone(),
            fields: self.set,
            secrets: input::secrets(&self.secret)?,
            callback: self.callback,
            scopes: self.scope,
        };
        fill(&mut new, method, host, person.as_ref(), &mut missing)?;
        let what = format!("the OAuth client for `{}`", method.id);
        missing.check(&what, "In a terminal they are asked for.")?;
        let added = added(new, method, host, person.as_ref()).await?;
        told(host, &added, output)?;
        Ok(0)
    }
}

/// Makes an OAuth client; a person is asked once more for what is wrong in its form.
async fn added(
    mut new: NewClient,
    method: &AuthMethod,
    host: &Host,
    person: Option<&Person>,
) -> Result<AddedClient, HostError> {
    loop {
        match (host.add_client(new.clone()).await, person, &method.app) {
            (Err(error), Some(person), Some(form)) => {
                person.fields_again(error, form, |_| true, &mut new.fields, &mut new.secrets)?;
            }
            (outcome, ..) => return outcome,
        }
    }
}

/// Makes an OAuth client with a person who needs one for a connection; answers with its name.
pub(super) async fn make_with(
    person: &Person,
    host: &Host,
    component: &Path,
    method: &AuthMethod,
    output: &Output,
) -> Result<String, HostError> {
    person.tell(&format!(
        "Register an app at the service for `{}`, with this callback URL: {USUAL_CALLBACK}",
        method.title
    ));
    let mut new = NewClient { component: component.to_owned(), method: method.id.clone(), ..NewClient::default() };
    fill(&mut new, method, host, Some(person), &mut Missing::default())?;
    let added = added(new, method, host, Some(person)).await?;
    let json = client_json(host, &added.client)?;
    tell_corrections(&added, output);
    output.note(&client_text(&json));
    if added.client.public_key.is_some() {
        while !person.confirm("Is that registered at the service?", true)? {}
    }
    Ok(added.client.name)
}

fn usual_component(host: &Host) -> Result<Option<PathBuf>, HostError> {
    let mut known: Vec<String> = host.store().connections()?.into_iter().map(|one| one.component).collect();
    known.sort_unstable();
    known.dedup();
    Ok(match known.as_slice() {
        [only] => Some(only.into()),
        _ => None,
    })
}

fn method<'a>(plugin: &'a Plugin, given: Option<&str>, person: Option<&Person>) -> Result<&'a AuthMethod, HostError> {
    let fitting: Vec<&AuthMethod> = plugin.manifest().auth_methods.iter().filter(|one| one.needs_client()).collect();
    let known: Vec<&str> = fitting.iter().map(|one| one.id.as_str()).collect();
    let remedy = match known.as_slice() {
        [] => "Its connections are made directly, with `harness connection add`.".to_owned(),
        known => format!("Give one of these with --method: {}.", known.join(", ")),
    };
    match (given, fitting.as_slice(), person) {
        (Some(id), ..) => fitting.iter().find(|one| one.id == id).copied().ok_or_else(|| {
            HostError::bad_input("method-unknown", format!("`{id}` is no method that needs an OAuth client"), remedy)
        }),
        (None, [only], _) => Ok(only),
        (None, [_, ..], Some(person)) => {
            let titles: Vec<String> = fitting.iter().map(|one| one.title.clone()).collect();
            Ok(fitting[person.choose("For which way to authorize?", &titles)?])
        }
        (None, ..) => Err(HostError::bad_input("method-missing", "it is not said which method it is for", remedy)),
    }
}

/// Adds what is missing: asked for, or noted.
fn fill(
    new: &mut NewClient,
    method: &AuthMethod,
    host: &Host,
    person: Option<&Person>,
    missing: &mut Missing,
) -> Result<(), HostError> {
    if new.name.is_empty() {
        match person {
            Some(person) => {
                new.name = person.name("A name for the OAuth client", |name| host.check_free_client(name))?
            }
            None => missing.add("name", "harness oauth-client add NAME"),
        }
    }
    let Some(schema) = &method.app else { return Ok(()) };
    let secrets = method.app_secrets();
    let chosen_here = method.chosen_here();
    let keys = new.fields.iter().map(|(key, _)| key).chain(new.secrets.iter().map(|(key, _)| key));
    let keys: Vec<String> = keys.cloned().collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (name, field) in lacking(schema, &keys).into_iter().filter(|(name, _)| chosen_here != Some(name)) {
        match (person, secrets.contains(&name)) {
            (Some(person), true) => new.secrets.push((name.to_owned(), person.secret_field(name, field)?)),
            (Some(person), false) => new.fields.push((name.to_owned(), person.field(name, field)?)),
            (None, true) => missing.add(name, format!("--secret {name}=@FILE")),
            (None, false) => missing.add(name, format!("--set {name}=…")),
        }
    }
    if let Some(person) = person.filter(|_| new.scopes.is_empty() && method.scopes().iter().any(|one| !one.required)) {
        new.scopes = scopes(method, person, |id| method.scopes().iter().any(|one| one.id == id && one.default))?;
    }
    Ok(())
}

fn list_scopes(method: &AuthMethod, output: &Output) -> Done {
    let scopes = method.scopes();
    let json: Vec<Value> = scopes
        .iter()
        .map(|one| {
            json!({ "id": one.id, "description": one.description, "default": one.default, "required": one.required })
        })
        .collect();
    output.result(&Value::Array(json), || {
        if scopes.is_empty() {
            return format!("`{}` has no scopes", method.id);
        }
        let when = |required: bool, default: bool| match (required, default) {
            (true, _) => "always",
            (false, true) => "usually",
            (false, false) => "if chosen",
        };
        let rows: Vec<Vec<String>> = scopes
            .iter()
            .map(|one| vec![one.id.clone(), when(one.required, one.default).into(), one.description.clone()])
            .collect();
        table(&["SCOPE", "ASKED FOR", "WHAT IT ALLOWS"], &rows)
    });
    Ok(0)
}

fn tell_corrections(added: &AddedClient, output: &Output) {
    for correction in &added.corrections {
        output.note(&format!("note: {correction}"));
    }
}

fn told(host: &Host, added: &AddedClient, output: &Output) -> Result<(), HostError> {
    tell_corrections(added, output);
    let json = client_json(host, &added.client)?;
    output.result(&json, || client_text(&json));
    Ok(())
}

fn list(host: &Host, output: &Output) -> Done {
    let clients = host.store().oauth_clients()?;
    let json: Vec<Value> = clients.iter().map(|one| client_json(host, one)).collect::<Result<_, HostError>>()?;
    output.result(&Value::Array(json.clone()), || {
        if json.is_empty() {
            return "no OAuth clients; make one with `harness oauth-client add`".into();
        }
        let rows: Vec<Vec<String>> = json
            .iter()
            .map(|one| {
                let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
                let users = one["connections"].as_array().map_or(0, Vec::len);
                vec![text("name"), text("connector"), text("method"), users.to_string()]
            })
            .collect();
        table(&["NAME", "CONNECTOR", "METHOD", "CONNECTIONS"], &rows)
    });
    Ok(0)
}

fn client_json(host: &Host, one: &StoredOauthClient) -> Result<Value, HostError> {
    Ok(json!({
        "name": one.name,
        "id": one.id,
        "connector": one.connector,
        "method": one.method,
        "form": one.form,
        "callback": one.callback,
        "scopes": one.scopes,
        "public-key": one.public_key,
        "connections": host.users_of_client(one)?,
        "created-at-ms": one.created_at_ms,
    }))
}

fn client_text(json: &Value) -> String {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let names = |name: &str| {
        json[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    let mut lines = vec![
        format!("{}  ({}, {})", text("name"), text("connector"), text("method")),
        format!("  made      {}", time(json["created-at-ms"].as_u64())),
    ];
    for (name, value) in json["form"].as_object().into_iter().flatten() {
        lines.push(format!("  {name}  {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    lines.push(format!("  callback  {}", text("callback")));
    if !names("scopes").is_empty() {
        lines.push(format!("  scopes    {}", names("scopes")));
    }
    if !names("connections").is_empty() {
        lines.push(format!("  used by   {}", names("connections")));
    }
    if let Some(key) = json["public-key"].as_str() {
        let name = text("name");
        lines.push(format!("  paste at the service: the consumer key above, the name {name}, and this public key"));
        lines.push(key.trim_end().to_owned());
    }
    lines.join("\n")
}
