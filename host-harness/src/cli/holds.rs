//! `harness holds`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::output::{Output, table, time};
use crate::host::{Host, HostError};
use crate::observe::held_accounts;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness holds list
  harness holds lift --connection demo

A service may ask to be left alone until a time. Runs that would call it are parked until then. An account whose
credential was refused twice is held until a person acts: `harness connection check NAME --release` ends that. One whose
logins ended twice without an answer is tried again by itself, in pauses that grow.")]
pub(super) struct Holds {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is left alone now, and until when
    #[command(after_help = "Examples:
  harness holds list
  harness holds list --json | jq '.[] | select(.scope.kind == \"tenant\")'")]
    List,
    /// Lift what is left alone for a connection, and let what is parked go on at once
    #[command(after_help = "Examples:
  harness holds lift --connection demo

What others share with the connection (its tenant, its app) is lifted for them too. Where the service meant it, it will
ask again.")]
    Lift {
        /// The connection
        #[arg(long, value_name = "NAME")]
        connection: String,
    },
}

impl Holds {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            Command::List => {
                host.know_accounts().await?;
                list(host, output)
            }
            Command::Lift { connection } => {
                let found = host.connection(&connection)?;
                let lifted = host.lift_holds(&found)?;
                output.result(&json!({ "connection": connection, "lifted": lifted }), || {
                    format!("{lifted} holds lifted; what waits on `{connection}` goes on")
                });
                Ok(0)
            }
        }
    }
}

fn list(host: &Host, output: &Output) -> Done {
    let (mut json, mut rows) = (Vec::new(), Vec::new());
    for connection in host.store().connections()? {
        for held in host.held(&connection)? {
            let mut one = held.to_json();
            let text = |name: &str| one["scope"][name].as_str().unwrap_or_default().to_owned();
            rows.push(vec![connection.name.clone(), text("kind"), text("name"), time(Some(held.until_ms))]);
            one["connection"] = connection.name.clone().into();
            json.push(one);
        }
    }
    for one in host.held_connections()? {
        let Some((reason, after_ms)) = one.paused else { continue };
        let until = host.clock().now_ms().saturating_add(after_ms);
        rows.push(vec![one.name.clone(), "account".into(), reason.clone(), time(Some(until))]);
        json.push(json!({
            "connection": one.name, "scope": { "kind": "account" }, "code": "host.account-paused",
            "message": reason, "remedy": format!("Nothing, or `harness connection check {} --release`.", one.name),
            "who": "service-admin", "repeatable": true, "until-ms": until, "for-ms": after_ms,
        }));
    }
    for held in held_accounts(host)? {
        let name = held.connection.unwrap_or_default();
        rows.push(vec![name.clone(), "account".into(), held.message.clone(), "a person acts".into()]);
        json.push(json!({
            "connection": name, "scope": { "kind": "account" }, "code": held.code,
            "message": held.message, "remedy": held.remedy, "until-ms": null,
        }));
    }
    output.result(&Value::Array(json), || {
        if rows.is_empty() {
            return "nothing is left alone".into();
        }
        table(&["CONNECTION", "WHAT", "NAME", "UNTIL"], &rows)
    });
    Ok::<u8, HostError>(0)
}
