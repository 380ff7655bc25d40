//! `harness connection replace-credential`, `reauthorize`, `edit` and `rename`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::add::{End, refuse_unknown};
use super::authorize::{Way, authorize, choose_site, is_meant, refuse_settled};
use super::health::health_text;
use super::show::{connection_json, held_note};
use crate::cli::Done;
use crate::cli::ask::{Missing, Person, lacking, worth_asking};
use crate::cli::input;
use crate::cli::output::{Output, failure_text};
use crate::host::{Edit, Entries, Host, HostError, Secrets};
use crate::legible::one_line;
use crate::plugin::AuthMethod;

#[derive(Debug, Args)]
pub(super) struct ReplaceCredential {
    /// A connection that uses the credential
    name: String,
    /// A field of the credential that is not secret, such as a user name, or says something of it, such as when it
    /// expires: what was said of the former is forgotten
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    set: Vec<(String, String)>,
    /// A secret of the credential, from a file or from stdin
    #[arg(long, value_name = "KEY=@FILE|KEY=-")]
    secret: Vec<String>,
    /// Let it be another account's from now on, where the credential is another one's
    #[arg(long)]
    other_account: bool,
    /// Send nothing: the credential is not tried, and the connections are not checked
    #[arg(long)]
    no_check: bool,
}

impl ReplaceCredential {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let person = Person::here(output);
        let connection = host.connection(&self.name)?;
        let plugin = host.plugin_of(&connection).await?;
        let mut given = Entries { fields: self.set, secrets: input::secrets(&self.secret)? };
        let method = plugin.manifest().auth_method(&connection.method);
        if let Some(method) = method {
            let form = host.whole_form(&connection)?;
            let (secrets, fields) = (method.secrets(), method.scheme.fields());
            let keys = given.fields.iter().map(|(key, _)| key).chain(given.secrets.iter().map(|(key, _)| key));
            let keys: Vec<String> = keys.cloned().collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let mut missing = Missing::default();
            for (name, field) in lacking(&method.form, &keys) {
                match &person {
                    _ if !secrets.contains(&name) && !fields.contains(&name) => {}
                    Some(person) if secrets.contains(&name) => {
                        given.secrets.push((name.to_owned(), person.secret_field(name, field)?));
                    }
                    Some(person) => {
                        let title = field["title"].as_str().unwrap_or(name);
                        let text = person.text(title, form[name].as_str(), false)?;
                        given.fields.push((name.to_owned(), text));
                    }
                    None if secrets.contains(&name) => missing.add(name, format!("--secret {name}=@FILE")),
                    // Who it is stays the same where nobody says otherwise.
                    None => match form[name].as_str() {
                        Some(known) => given.fields.push((name.to_owned(), known.to_owned())),
                        None => missing.add(name, format!("--set {name}=…")),
                    },
                }
            }
            missing.check("the new credential", "In a terminal it is asked for.")?;
            if let Some(person) = &person {
                for (name, field) in worth_asking(method, &keys) {
                    given.fields.extend(person.field_if_known(name, field)?.map(|typed| (name.to_owned(), typed)));
                }
            }
        }
        let replacing = loop {
            match (host.read_credential(&self.name, given.clone(), !self.no_check).await, &person) {
                (Err(error), Some(person)) => {
                    again(person, error, method, Part::Credential, &mut given.fields, &mut given.secrets)?;
                }
                (outcome, _) => break outcome?,
            }
        };
        if let Some((before, now)) = replacing.other_account()
            && !self.other_account
        {
            let (before, now) = (one_line(before), one_line(now));
            let told = format!("the credential is {now}'s, and `{}` is {before}'s until now", self.name);
            if !is_meant(&told, &now, person.as_ref())? {
                let remedy = "Give the credential of the right account; or add --other-account.";
                let error = HostError::bad_input("other-account", told, remedy);
                return Err(error.amid("nothing was replaced", ""));
            }
        }
        let replaced = host.keep_credential(replacing).await?;
        for correction in &replaced.corrections {
            output.note(&format!("note: {correction}"));
        }
        output.note(&format!("replaced for: {}", replaced.connections.join(", ")));
        let names = if self.no_check { vec![] } else { replaced.connections.clone() };
        reports(host, &names, json!({ "replaced": replaced.connections }), output).await
    }
}

/// What of a form a command changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What belongs to the credential, or says something of it.
    Credential,
    /// What is the connection's own.
    Own,
}

/// Asks once more for what an error says is wrong in the part of the form that a command changes.
fn again(
    person: &Person,
    error: HostError,
    method: Option<&AuthMethod>,
    part: Part,
    fields: &mut Vec<(String, String)>,
    secrets: &mut Secrets,
) -> Result<(), HostError> {
    let Some(method) = method else { return Err(error) };
    let (of_credential, said_of_it) = ([method.secrets(), method.scheme.fields()].concat(), method.said_of_secrets());
    let may_ask = |name: &str| match part {
        Part::Credential => of_credential.contains(&name) || said_of_it.contains(&name),
        Part::Own => !of_credential.contains(&name),
    };
    person.fields_again(error, &method.form, may_ask, fields, secrets)
}

#[derive(Debug, Args)]
pub(super) struct Reauthorize {
    /// The connection's name
    name: String,
    #[command(flatten)]
    way: Way,
}

impl Reauthorize {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let person = Person::here(output);
        // Before a person goes all the way through the browser.
        refuse_settled(host, &self.name, &self.way)?;
        // A choice of a site alone needs no other authorization.
        let settled = self.way.chooses_a_site() && !host.lacks_authorization(&self.name).await?;
        let names = match settled && host.lacks_site(&self.name)? {
            true => vec![self.name.clone()],
            false => authorize(host, &self.name, &self.way, person.as_ref(), output).await?,
        };
        choose_site(host, &self.name, &self.way, person.as_ref(), output).await?;
        reports(host, &names, json!({ "authorized": names }), output).await
    }
}

/// Checks connections one after another, and ends with their reports.
async fn reports(host: &Host, names: &[String], mut json: Value, output: &Output) -> Done {
    let (mut reports, mut texts, mut code) = (Vec::new(), Vec::new(), 0);
    for name in names {
        if host.lacks_site(name)? {
            texts.push(format!("{name}\nno site is chosen yet: `harness connection reauthorize {name} --site URL`"));
            reports.push(json!({ "name": name, "health": null }));
            continue;
        }
        let end = End::of(name, host.check_connection(name, false).await);
        // A lasting failure of one counts for more than one that passes by itself.
        code = if code == 3 || end.code == 0 { code } else { end.code };
        let mut report = json!({ "name": name, "health": end.health });
        texts.push(match (&end.health, &end.failure) {
            (Value::Null, Some(failure)) => format!("{name}\n{}", failure_text(failure)),
            (health, _) => format!("{name}\n{}", health_text(health)),
        });
        texts.extend(held_note(host, name)?);
        if let Some(failure) = end.failure {
            json["error"] = failure.clone();
            report["error"] = failure;
        }
        reports.push(report);
    }
    json["connections"] = Value::Array(reports);
    output.result(&json, || if texts.is_empty() { "done, and not checked".into() } else { texts.join("\n\n") });
    Ok(code)
}

#[derive(Debug, Args)]
pub(super) struct EditConnection {
    /// The connection's name
    name: String,
    /// A field of the connection's own form
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    set: Vec<(String, String)>,
    /// A secret of the credential once more, where it shall go to another place than before
    #[arg(long, value_name = "KEY=@FILE|KEY=-")]
    secret: Vec<String>,
    /// Trust the certificate authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust the system's certificate authorities again
    #[arg(long, conflicts_with = "ca")]
    system_ca: bool,
    /// Allow private addresses and plain http for this connection
    #[arg(long)]
    allow_private: bool,
    /// Allow neither any more
    #[arg(long, conflicts_with = "allow_private")]
    forbid_private: bool,
    /// Send nothing, unless it has to be asked whether the same is at another address
    #[arg(long)]
    no_check: bool,
}

/// The connection's own fields, each as it is until the person types another; those that are other then.
fn asked(method: &AuthMethod, form: &Value, person: &Person) -> Result<Vec<(String, String)>, HostError> {
    let (secrets, of_credential) = (method.secrets(), method.scheme.fields());
    let mut changed = Vec::new();
    for (name, field) in method.form["properties"].as_object().into_iter().flatten() {
        let name = name.as_str();
        if secrets.contains(&name) || of_credential.contains(&name) {
            continue;
        }
        let now = form[name].as_str().map_or_else(|| form[name].to_string(), str::to_owned);
        let now = if form[name].is_null() { String::new() } else { now };
        let title = field["title"].as_str().unwrap_or(name);
        let usual = Some(now.as_str()).filter(|now| !now.is_empty());
        let typed = person.text(title, usual, true)?;
        if typed != now {
            changed.push((name.to_owned(), typed));
        }
    }
    Ok(changed)
}

impl EditConnection {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let authorities = match &self.ca {
            Some(path) => Some(Some(input::authorities(path)?)),
            None => self.system_ca.then_some(None),
        };
        let allow_private = (self.allow_private || self.forbid_private).then_some(self.allow_private);
        let connection = host.connection(&self.name)?;
        let plugin = host.plugin_of(&connection).await?;
        let person = Person::here(output);
        let mut fields = self.set;
        let method = plugin.manifest().auth_method(&connection.method);
        if let Some(method) = method {
            refuse_unknown(method, fields.iter().map(|(key, _)| key.as_str()))?;
            if fields.is_empty() && authorities.is_none() && allow_private.is_none() {
                let Some(person) = &person else {
                    let mut missing = Missing::default();
                    missing
                        .add("change", "--set KEY=VALUE, --ca FILE, --system-ca, --allow-private or --forbid-private");
                    return Err(missing.error("the change of the connection", "In a terminal it is asked for."));
                };
                fields = asked(method, &host.whole_form(&connection)?, person)?;
                if fields.is_empty() {
                    output.note("nothing was changed");
                    return Ok(0);
                }
            }
        }
        let mut edit = Edit { fields, secrets: input::secrets(&self.secret)?, authorities, allow_private };
        let edited = loop {
            match (host.edit_connection(&self.name, edit.clone()).await, &person) {
                (Err(error), Some(person)) => match person.secrets_again(error) {
                    Ok(typed) => edit.secrets.extend(typed),
                    Err(error) => again(person, error, method, Part::Own, &mut edit.fields, &mut edit.secrets)?,
                },
                (outcome, _) => break outcome?,
            }
        };
        for correction in &edited.corrections {
            output.note(&format!("note: {correction}"));
        }
        super::add::tell_origins(&edited.connection, output);
        // A check would say no more than that nobody has said yes there.
        let credential = host.store().credential(&edited.connection.credential)?;
        let waits = credential.is_some_and(|one| one.client.is_some() && one.version == 0);
        let end = match self.no_check || waits {
            true => End::default(),
            false => End::of(&self.name, host.check_connection(&self.name, false).await),
        };
        let connection = host.connection(&self.name)?;
        let mut json = json!({
            "connection": connection_json(host, &connection)?,
            "corrections": edited.corrections,
            "health": end.health,
        });
        if let Some(failure) = &end.failure {
            json["error"] = failure.clone();
        }
        output.result(&json, || match (&end.health, &end.failure) {
            (Value::Null, None) => format!("`{}` is changed and not checked", self.name),
            (Value::Null, Some(failure)) => failure_text(failure),
            (health, _) => health_text(health),
        });
        if waits {
            output.note(&format!("go on with `harness connection reauthorize {}`", self.name));
        }
        if let Some(held) = held_note(host, &self.name)? {
            output.note(&held);
        }
        Ok(end.code)
    }
}

#[derive(Debug, Args)]
pub(super) struct Rename {
    /// The name it has
    name: String,
    /// The name it shall have
    new_name: String,
}

impl Rename {
    pub(super) fn run(self, host: &Host, output: &Output) -> Result<u8, HostError> {
        let flows = host.rename_connection(&self.name, &self.new_name)?;
        let json = json!({ "renamed": self.name, "to": self.new_name, "flows": flows });
        output.result(&json, || format!("`{}` is `{}` now", self.name, self.new_name));
        match flows.as_slice() {
            [] => output.note(&format!("flow files that name `{}` are yours to change; none is known here", self.name)),
            flows => output.note(&format!(
                "the files of these flows still name `{}`: {}. Change them, then start `harness serve` again.",
                self.name,
                flows.join(", ")
            )),
        }
        Ok(0)
    }
}
