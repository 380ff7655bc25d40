//! `harness connection …`.

mod add;
mod authorize;
mod change;
mod health;
mod show;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Done;
use super::output::{Output, failure_text};
use crate::host::{Host, HostError, Leftovers};
use add::Add;
use change::{EditConnection, Reauthorize, Rename, ReplaceCredential};
use health::{exit_code, health_text};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness connection add demo --connector connector.wasm
  harness connection add demo --connector connector.wasm --method api-token \\
    --set site=demo.example.com --set email=you@example.com \\
    --secret token=@token.txt
  harness connection check demo
  harness connection replace-credential demo --secret token=@new-token.txt

In a terminal, what is missing is asked for. In a script, or with --json, nothing is: it is one error that names each.")]
pub(super) struct Connections {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a connection; ends with its health report
    #[command(after_help = "Examples:
  harness connection add demo --connector connector.wasm
  harness connection add demo --connector connector.wasm --method api-token \\
    --set site=demo.example.com --set email=you@example.com \\
    --secret token=@token.txt
  printf %s \"$KEY\" | harness connection add harbour --connector beacon.wasm \\
    --method api-key --set base-url=https://beacon.example.com/ --secret key=-
  harness connection add cloud --method oauth --client our-app \\
    --site https://demo.example.com
  harness connection add second --share cloud --site https://other.example.com

In a terminal, what is missing is asked for: the method, the fields of its form, the OAuth client, the site. In a
script, or with --json, nothing is. `harness inspect COMPONENT` shows the methods and their fields.

Where a person has to authorize it, the address to open is printed, and a browser is opened in a terminal. What does
not come to its end stays as not authorized; `harness connection reauthorize` goes on.

Where the health report has a failure the connection is kept as unproven, with exit code 3 (4 where the failure may
pass by itself).")]
    Add(Box<Add>),
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
    /// Put another credential in the place of one, for all connections that share it
    #[command(after_help = "Examples:
  harness connection replace-credential demo --secret token=@new-token.txt
  harness connection replace-credential demo --set email=other@example.com \\
    --secret token=-

Secrets are typed anew; they are never shown. What is not secret, such as a user name, stays where it is not given. All
connections that share the credential are checked, one after another; what was held for their accounts is released.")]
    ReplaceCredential(ReplaceCredential),
    /// Authorize a connection anew in the browser, or go on where it was not finished
    #[command(after_help = "Examples:
  harness connection reauthorize cloud
  harness connection reauthorize cloud --no-browser
  harness connection reauthorize cloud --paste
  harness connection reauthorize cloud --site https://demo.example.com

All connections that share the authorization use the new one, and are checked. The browser comes back to the callback
address of the OAuth client, where this command listens for ten minutes; with --paste nobody listens, and the address
that the browser ended at is pasted.")]
    Reauthorize(Reauthorize),
    /// Change fields of a connection's own form, whom it trusts, or that it may reach private addresses
    #[command(after_help = "Examples:
  harness connection edit demo --ca company-ca.pem
  harness connection edit demo --allow-private
  harness connection edit demo --set site=renamed.example.com \\
    --secret token=@token.txt

An address may change where the same tenant is at another one: that is asked first, and nothing is changed where it is
another. Before the credential goes to a place where it did not go yet, its secret is given once more. Where the address
alone says which tenant it is, it does not change: make another connection.")]
    Edit(EditConnection),
    /// Give a connection another name
    #[command(after_help = "Examples:
  harness connection rename demo production

Its subscriptions, and runs that name it, follow at once. Flow files are yours: those known to name it are listed.")]
    Rename(Rename),
    /// Remove a connection, its registrations at the service, its subscriptions and its secrets
    #[command(after_help = "Examples:
  harness connection remove demo
  harness connection remove demo --leave-registrations

Where its registrations at the service cannot be removed the connection is kept, because its credential is what
removes them. With --leave-registrations it goes all the same, and what is left at the service is named. A credential
that other connections share stays.")]
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

impl Connections {
    /// Whether it makes a connection.
    pub(super) fn adds(&self) -> bool {
        matches!(self.command, Command::Add(_))
    }

    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            Command::Add(add) => add.run(host, output).await,
            Command::List => show::list(host, output).await,
            Command::Show(Name { name }) => show::show(host, &name, output).await,
            Command::Check(Check { name, release }) => {
                let checked = host.check_connection(&name, release).await?;
                let mut json = checked.to_json();
                if let Some(error) = checked.failure(&name) {
                    json["error"] = error.to_json();
                }
                output.result(&json, || health_text(&json));
                if let Some(held) = show::held_note(host, &name)?.filter(|_| !tells_of_hold(&json)) {
                    output.note(&held);
                }
                Ok(exit_code(&checked))
            }
            Command::ReplaceCredential(replace) => replace.run(host, output).await,
            Command::Reauthorize(reauthorize) => reauthorize.run(host, output).await,
            Command::Edit(edit) => edit.run(host, output).await,
            Command::Rename(rename) => rename.run(host, output),
            Command::Remove(Remove { name, leave_registrations }) => {
                let leftovers = if leave_registrations { Leftovers::Leave } else { Leftovers::Refuse };
                remove(host, &name, leftovers, output).await
            }
        }
    }
}

/// Whether a report itself says that the account is held, and what to do.
fn tells_of_hold(report: &serde_json::Value) -> bool {
    report["findings"].as_array().is_some_and(|all| all.iter().any(|one| one["code"] == "host.account-held"))
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
