//! `harness connection list` and `show`.

use serde_json::{Value, json};

use super::health::health_text;
use crate::cli::Done;
use crate::cli::output::{Output, failure_text, table, time};
use crate::host::{Host, HostError};
use crate::legible::one_line;
use crate::observe::held_accounts;
use crate::plugin::contract_json;
use crate::store::{StoredConnection, StoredCredential};

pub(super) async fn list(host: &Host, output: &Output) -> Done {
    host.know_accounts().await?;
    let connections = host.store().connections()?;
    let json: Vec<Value> =
        connections.iter().map(|one| connection_json(host, one)).collect::<Result<_, HostError>>()?;
    output.result(&Value::Array(json.clone()), || {
        if json.is_empty() {
            return "no connections; make one with `harness connection add`".into();
        }
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let rows: Vec<Vec<String>> = json
            .iter()
            .map(|one| {
                let whose = text(&one["identity"]["label"]);
                let held = if one["held"].is_string() { ", held" } else { "" };
                let state = format!("{}{held}", text(&one["state"]));
                vec![text(&one["name"]), text(&one["connector"]), text(&one["method"]), state, whose]
            })
            .collect();
        table(&["NAME", "CONNECTOR", "METHOD", "STATE", "ACCOUNT"], &rows)
    });
    Ok(0)
}

pub(super) async fn show(host: &Host, name: &str, output: &Output) -> Done {
    host.know_accounts().await?;
    let json = connection_json(host, &host.connection(name)?)?;
    output.result(&json, || connection_text(&json));
    Ok(0)
}

fn state(connection: &StoredConnection, credential: Option<&StoredCredential>) -> &'static str {
    match credential {
        // Its own client id and secret: nobody could say yes again.
        Some(grant) if grant.dead.is_some() && grant.client.is_none() => "refused",
        Some(grant) if grant.dead.is_some() => "to be reauthorized",
        Some(grant) if grant.client.is_some() && grant.version == 0 => "not authorized",
        _ if connection.site_open => "no site chosen",
        _ => match (connection.proven, &connection.health) {
            (true, _) => "proven",
            (false, Some(_)) => "unproven",
            (false, None) => "unchecked",
        },
    }
}

/// What a person reads last of a check after which its account is held.
pub(super) fn held_note(host: &Host, name: &str) -> Result<Option<String>, HostError> {
    let held = held_accounts(host)?.into_iter().find(|held| held.connection.as_deref() == Some(name));
    Ok(held.map(|held| format!("the account of `{name}` is held now: nothing more is sent with it. {}", held.remedy)))
}

pub(super) fn connection_json(host: &Host, one: &StoredConnection) -> Result<Value, HostError> {
    let endpoint = host.store().endpoint(&one.id)?;
    let registrations: Vec<Value> =
        host.store().registrations(&one.id)?.iter().map(contract_json::shown_registration).collect();
    let credential = host.store().credential(&one.credential)?;
    let shared: Vec<String> =
        host.sharing(one)?.into_iter().map(|one| one.name).filter(|name| *name != one.name).collect();
    let client = credential.as_ref().and_then(|credential| credential.client.as_ref());
    let client = client.map(|id| host.store().oauth_client(id)).transpose()?.flatten();
    let held = held_accounts(host)?.into_iter().find(|held| held.connection.as_ref() == Some(&one.name));
    let mut health = one.health.clone();
    if let Some(Value::Object(health)) = &mut health {
        // What alarms told of is the host's own note.
        health.remove("told");
    }
    Ok(json!({
        "name": one.name,
        "held": held.as_ref().map(|held| &held.message),
        "held-remedy": held.as_ref().map(|held| &held.remedy),
        "id": one.id,
        "connector": one.connector,
        "component": one.component,
        "method": one.method,
        "form": host.whole_form(one)?,
        "settings": serde_json::from_str::<Value>(&one.settings).unwrap_or_default(),
        "origins": one.origins,
        "allow-private": one.allow_private,
        "own-authorities": one.authorities.is_some(),
        "state": state(one, credential.as_ref()),
        "proven": one.proven,
        "identity": one.identity,
        "health": health,
        "credential": credential.map(|credential| json!({
            "shared-with": shared,
            "oauth-client": client.map(|client| client.name),
            "scopes": credential.scopes,
            "access-until-ms": credential.access_until_ms,
            "renewed-at-ms": credential.renewed_at_ms,
            "dead": credential.dead,
        })),
        "registrations": registrations,
        "deliveries-refused": endpoint.map_or(0, |endpoint| endpoint.refused),
        "created-at-ms": one.created_at_ms,
    }))
}

fn connection_text(json: &Value) -> String {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let credential = &json["credential"];
    let names =
        |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let mut lines = vec![
        format!("{}  ({})", text("name"), text("state")),
        format!("  connector  {}  {}", text("connector"), text("component")),
        format!("  method     {}", text("method")),
        format!("  account    {}", one_line(json["identity"]["label"].as_str().unwrap_or("not proved"))),
        format!("  form       {}", json["form"]),
        format!("  settings   {}", json["settings"]),
        format!("  made       {}", time(json["created-at-ms"].as_u64())),
    ];
    if let Some(held) = json["held"].as_str() {
        lines.push(format!("  HELD       {held}"));
        lines.push(format!("             what to do: {}", json["held-remedy"].as_str().unwrap_or_default()));
    }
    if let Some(client) = credential["oauth-client"].as_str() {
        lines.push(format!("  client     {client}"));
    }
    if !names(&credential["scopes"]).is_empty() {
        lines.push(format!("  granted    {}", names(&credential["scopes"])));
    }
    if !names(&credential["shared-with"]).is_empty() {
        lines.push(format!("  shares its credential with {}", names(&credential["shared-with"])));
    }
    if let Some(why) = credential["dead"].as_str() {
        // Who has no OAuth client brings an id and a secret of their own.
        let command = if credential["oauth-client"].is_null() { "replace-credential" } else { "reauthorize" };
        lines.push(format!("  reconnect  {why}: `harness connection {command} {}`", text("name")));
    }
    if json["own-authorities"] == true {
        lines.push("  trusts     its own certificate authorities instead of the system's".into());
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
