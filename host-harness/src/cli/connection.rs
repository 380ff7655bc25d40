//! `harness connection …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::input::{self, SecretSource};
use super::output::{Output, failure_text, table, time};
use crate::host::{Checked, Host, HostError, Leftovers, NewConnection};
use crate::observe::held_accounts;
use crate::store::StoredConnection;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness connection add demo --connector connector.wasm --method api-token \\
    --set site=demo.example.com --set email=you@example.com --secret token=@token.txt
  harness connection check demo")]
pub(super) struct Connections {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a connection; ends with its health report
    #[command(after_help = "Examples:
  harness connection add demo --connector connector.wasm --method api-token \\
    --set site=demo.example.com --set email=you@example.com --secret token=@token.txt
  printf %s \"$KEY\" | harness connection add harbour --connector beacon.wasm --method api-key \\
    --set base-url=https://beacon.example.com/ --secret key=-

`harness inspect COMPONENT` shows the methods and their fields. Where the health report has a failure the connection
is kept as unproven, with exit code 3 (4 where the failure may pass by itself).")]
    Add(Add),
    /// List connections
    #[command(after_help = "Examples:
  harness connection list
  harness connection list --json | jq '.[].name'")]
    List,
    /// Show a connection with its last health report
    #[command(after_help = "Examples:
  harness connection show demo")]
    Show(Name),
    /// Make a health report of a connection
    #[command(after_help = "Examples:
  harness connection check demo
  harness connection check demo --release

After the service refused a credential twice, its account is held: nothing more is sent, so that the service does not
lock it. A person who has put that right lifts the hold with --release.")]
    Check(Check),
    /// Remove a connection, its registrations at the service, its subscriptions and its secrets
    #[command(after_help = "Examples:
  harness connection remove demo
  harness connection remove demo --leave-registrations

Where its registrations at the service cannot be removed the connection is kept, because its credential is what
removes them. With --leave-registrations it goes all the same, and what is left at the service is named.")]
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Name {
    /// The connection's name
    name: String,
}

#[derive(Debug, Args)]
struct Remove {
    /// The connection's name
    name: String,
    /// Remove it also where its registrations at the service cannot be removed
    #[arg(long)]
    leave_registrations: bool,
}

#[derive(Debug, Args)]
struct Check {
    /// The connection's name
    name: String,
    /// Lift a hold of the lockout guard first: a person has put right what was wrong
    #[arg(long)]
    release: bool,
}

#[derive(Debug, Args)]
struct Add {
    /// The name it shall have
    name: String,
    /// The connector's component file
    #[arg(long, value_name = "COMPONENT")]
    connector: PathBuf,
    /// The auth method
    #[arg(long, value_name = "METHOD")]
    method: String,
    /// A field of the form that is not secret
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    set: Vec<(String, String)>,
    /// A secret of the form, from a file or from stdin
    #[arg(long, value_name = "KEY=@FILE|KEY=-")]
    secret: Vec<String>,
    /// Allow private addresses and plain http for this connection
    #[arg(long)]
    allow_private: bool,
    /// Send nothing: the connection stays unproven until it is checked
    #[arg(long)]
    no_check: bool,
}

impl Connections {
    /// Whether it makes a connection.
    pub(super) fn adds(&self) -> bool {
        matches!(self.command, Command::Add(_))
    }

    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            Command::Add(add) => add.run(host, output).await,
            Command::List => list(host, output),
            Command::Show(Name { name }) => {
                let connection = host.connection(&name)?;
                let json = connection_json(host, &connection)?;
                output.result(&json, || connection_text(&json));
                Ok(0)
            }
            Command::Check(Check { name, release }) => {
                let checked = host.check_connection(&name, release).await?;
                let mut json = checked.to_json();
                if let Some(error) = failure_of(&name, &checked) {
                    json["error"] = error.to_json();
                }
                output.result(&json, || health_text(&json));
                Ok(exit_code(&checked))
            }
            Command::Remove(Remove { name, leave_registrations }) => {
                let leftovers = if leave_registrations { Leftovers::Leave } else { Leftovers::Refuse };
                remove(host, &name, leftovers, output).await
            }
        }
    }
}

fn exit_code(checked: &Checked) -> u8 {
    match (checked.proven, checked.transient) {
        (true, _) => 0,
        (false, true) => 4,
        (false, false) => 3,
    }
}

/// The health report's failure as an error, for those who read JSON.
fn failure_of(name: &str, checked: &Checked) -> Option<HostError> {
    use crate::plugin::contract::types::{Backoff, Error, Failure, FailureClass, Responsible, Scope};
    if checked.proven {
        return None;
    }
    let first = checked.findings.iter().find(|one| ["failed", "unknown"].iter().any(|bad| one["outcome"] == *bad));
    let part = |name: &str| first.and_then(|one| one[name].as_str()).unwrap_or_default().to_owned();
    let class = match part("class").as_str() {
        "credential" => FailureClass::Credential,
        "scope" => FailureClass::Scope,
        "permission" => FailureClass::Permission,
        "input" => FailureClass::Input,
        "not-found" => FailureClass::NotFound,
        "unavailable" => FailureClass::Unavailable,
        _ => FailureClass::Protocol,
    };
    let message = match first {
        Some(_) => part("message"),
        None => format!("it could not be proved whose connection `{name}` is"),
    };
    let failure = Failure {
        class,
        code: if part("code").is_empty() { "host.connection-unproven".into() } else { part("code") },
        message,
        remedy: part("remedy"),
        who: match part("who").as_str() {
            "service-admin" => Responsible::ServiceAdmin,
            "operator" => Responsible::Operator,
            "developer" => Responsible::Developer,
            _ => Responsible::User,
        },
        repeatable: true,
        fields: vec![],
        status: None,
        request_id: None,
        extra: "{}".into(),
    };
    let error = match checked.transient {
        true => Error::Transient(Backoff { failure, retry_after_ms: 0, scope: Scope::Tenant }),
        false => Error::Permanent(failure),
    };
    Some(HostError::Answer(Box::new(error)))
}

impl Add {
    async fn run(self, host: &Host, output: &Output) -> Done {
        let sources: Vec<SecretSource> =
            self.secret.iter().map(|text| input::secret_source(text)).collect::<Result<_, _>>().map_err(|reason| {
                HostError::bad_input("secret", reason, "Write --secret key=@FILE, or --secret key=- and pipe it in.")
            })?;
        let (secrets, notes) = input::secrets(&sources)?;
        notes.iter().for_each(|note| output.note(note));
        let new = NewConnection {
            name: self.name.clone(),
            component: self.connector,
            method: self.method,
            fields: self.set,
            secrets,
            allow_private: self.allow_private,
        };
        let added = host.add_connection(new).await?;
        for correction in &added.corrections {
            output.note(&format!("put right: {correction}"));
        }
        output.note(&format!("`{}` will reach these origins and nothing else:", self.name));
        for origin in &added.connection.origins {
            let with = if origin.credential { "with the credential" } else { "without a credential" };
            output.note(&format!("  {}  {} ({with})", origin.url, origin.purpose));
        }
        let mut code = 0;
        let mut health = Value::Null;
        let mut failure = None;
        if !self.no_check {
            match host.check_connection(&self.name, false).await {
                Ok(checked) => {
                    code = exit_code(&checked);
                    health = checked.to_json();
                    failure = failure_of(&self.name, &checked).map(|error| error.to_json());
                }
                Err(error) => {
                    code = error.exit_code();
                    failure = Some(error.to_json());
                }
            }
        }
        let connection = host.connection(&self.name)?;
        let mut json = json!({
            "connection": connection_json(host, &connection)?,
            "corrections": added.corrections,
            "health": health,
        });
        if let Some(failure) = &failure {
            json["error"] = failure.clone();
        }
        output.result(&json, || match (&json["health"], &failure) {
            (Value::Null, None) => format!("`{}` is made and not yet checked", self.name),
            (Value::Null, Some(failure)) => failure_text(failure),
            (health, _) => health_text(health),
        });
        if code != 0 {
            output.note(&format!(
                "`{0}` is kept as unproven; put right what failed, then run `harness connection check {0}`",
                self.name
            ));
        }
        Ok(code)
    }
}

fn list(host: &Host, output: &Output) -> Done {
    let connections = host.store().connections()?;
    let json: Vec<Value> =
        connections.iter().map(|one| connection_json(host, one)).collect::<Result<_, HostError>>()?;
    output.result(&Value::Array(json.clone()), || {
        if connections.is_empty() {
            return "no connections; make one with `harness connection add`".into();
        }
        let rows: Vec<Vec<String>> = connections
            .iter()
            .zip(&json)
            .map(|(one, json)| {
                let whose = one.identity.as_ref().map_or("-", |identity| identity.label.as_str());
                let held = if json["held"].is_string() { ", held" } else { "" };
                vec![one.name.clone(), one.connector.clone(), format!("{}{held}", state(one)), whose.into()]
            })
            .collect();
        table(&["NAME", "CONNECTOR", "STATE", "ACCOUNT"], &rows)
    });
    Ok(0)
}

fn state(connection: &StoredConnection) -> &'static str {
    match (connection.proven, &connection.health) {
        (true, _) => "proven",
        (false, Some(_)) => "unproven",
        (false, None) => "unchecked",
    }
}

fn connection_json(host: &Host, one: &StoredConnection) -> Result<Value, HostError> {
    let endpoint = host.store().endpoint(&one.id)?;
    let registrations: Vec<Value> =
        host.store().registrations(&one.id)?.iter().map(crate::plugin::contract_json::shown_registration).collect();
    let held = held_accounts(host)?.into_iter().find(|held| held.connection.as_ref() == Some(&one.name));
    Ok(json!({
        "name": one.name,
        "held": held.map(|held| held.message),
        "id": one.id,
        "connector": one.connector,
        "component": one.component,
        "method": one.method,
        "form": one.form,
        "settings": serde_json::from_str::<Value>(&one.settings).unwrap_or_default(),
        "origins": one.origins,
        "allow-private": one.allow_private,
        "state": state(one),
        "proven": one.proven,
        "identity": one.identity,
        "health": one.health,
        "registrations": registrations,
        "deliveries-refused": endpoint.map_or(0, |endpoint| endpoint.refused),
        "created-at-ms": one.created_at_ms,
    }))
}

fn connection_text(json: &Value) -> String {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![
        format!("{}  ({})", text("name"), text("state")),
        format!("  connector  {}  {}", text("connector"), text("component")),
        format!("  method     {}", text("method")),
        format!("  account    {}", json["identity"]["label"].as_str().unwrap_or("not proved")),
        format!("  form       {}", json["form"]),
        format!("  settings   {}", json["settings"]),
        format!("  made       {}", time(json["created-at-ms"].as_u64())),
    ];
    if let Some(held) = json["held"].as_str() {
        lines.push(format!("  HELD       {held}"));
        lines.push(format!(
            "             what to do: mend the credential, then `harness connection check {} --release`",
            text("name")
        ));
    }
    for origin in json["origins"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  reaches    {}  {}",
            origin["url"].as_str().unwrap_or_default(),
            origin["purpose"].as_str().unwrap_or_default()
        ));
    }
    for one in json["registrations"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  registered {}  proof: {}",
            one["id"].as_str().unwrap_or_default(),
            one["proof"].as_str().unwrap_or_default()
        ));
    }
    if let Some(refused) = json["deliveries-refused"].as_u64().filter(|count| *count > 0) {
        lines.push(format!("  refused    {refused} deliveries whose proof did not hold"));
    }
    if json["health"]["findings"].is_array() {
        lines.push(health_text(&json["health"]));
    } else if json["health"]["error"].is_object() {
        lines.push(failure_text(&json["health"]["error"]));
    }
    lines.join("\n")
}

fn health_text(health: &Value) -> String {
    let mut lines = Vec::new();
    for finding in health["findings"].as_array().into_iter().flatten() {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        let mark = match text("outcome") {
            "passed" => "ok      ",
            "warning" => "warning ",
            "failed" => "FAILED  ",
            _ => "unknown ",
        };
        lines.push(format!("{mark} {}", text("message")));
        if !text("remedy").is_empty() {
            lines.push(format!("         what to do: {}", text("remedy")));
        }
    }
    lines.push(match health["identity"]["label"].as_str() {
        Some(label) => format!("account  {label}"),
        None => "account  not proved".into(),
    });
    lines.push(if health["proven"] == true { "proven".into() } else { "unproven".into() });
    lines.join("\n")
}

async fn remove(host: &Host, name: &str, leftovers: Leftovers, output: &Output) -> Done {
    let removed = host.remove_connection(name, leftovers).await?;
    let reason = removed.reason.as_ref().map(HostError::to_json);
    let json = json!({
        "removed": name, "left-over": removed.left_over, "reason": reason, "deliveries-unread": removed.unread,
    });
    output.result(&json, || format!("`{name}` is removed, with its subscriptions and secrets"));
    if removed.unread > 0 {
        output.note(&format!("deliveries of it that had not been read and are given up: {}", removed.unread));
    }
    if !removed.left_over.is_empty() || removed.reason.is_some() {
        let left = if removed.left_over.is_empty() { "perhaps some".into() } else { removed.left_over.join(", ") };
        output.note(&format!("registrations that are left at the service, to be removed there: {left}"));
        if let Some(reason) = &reason {
            output.note(&failure_text(reason));
        }
    }
    Ok(0)
}
