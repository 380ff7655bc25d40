//! What a person changes of connections that are there: their credential, their form, their name.

use serde_json::Map;

use super::adding::{OTHER_NAME, check_authorities, check_name, name_taken, pinned, prepare};
use super::forms::{self, Entries, Form, Secrets};
use super::places;
use super::{Checked, Host, HostError, off_thread};
use crate::clock::new_id;
use crate::plugin::contract::connection as contract;
use crate::plugin::{AuthMethod, Plugin};
use crate::store::{Renamed, StoredConnection, StoredCredential};
use crate::vault::{Blame, Held, Space};

/// A credential that shall take the place of one, and is not kept yet.
pub struct Replacing {
    credential: StoredCredential,
    is_persons: bool,
    sharing: Vec<StoredConnection>,
    changed: Vec<StoredConnection>,
    form: serde_json::Value,
    secrets: Secrets,
    corrections: Vec<String>,
    before: Vec<(String, String)>,
    same: bool,
    other: Option<(String, String)>,
}

impl Replacing {
    /// Whose the connections were and whose they would be, where these are two.
    pub fn other_account(&self) -> Option<(&str, &str)> {
        self.other.as_ref().map(|(before, now)| (before.as_str(), now.as_str()))
    }
}

impl std::fmt::Debug for Replacing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replacing([secret])")
    }
}

/// A credential that was replaced.
#[derive(Debug)]
pub struct Replaced {
    /// The connections that share it, by name.
    pub connections: Vec<String>,
    /// What was put right in the form.
    pub corrections: Vec<String>,
}

/// A change of a connection's own form.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// The fields that change.
    pub fields: Vec<(String, String)>,
    /// The credential's secrets once more, where it shall go to another place than before.
    pub secrets: Secrets,
    /// The certificate authorities (PEM) that it trusts from now on; the inner none: the system's.
    pub authorities: Option<Option<String>>,
    /// Whether private addresses and plain `http` are allowed from now on.
    pub allow_private: Option<bool>,
}

/// A connection that was changed.
#[derive(Debug)]
pub struct Edited {
    /// As it is now.
    pub connection: StoredConnection,
    /// What was put right in the form.
    pub corrections: Vec<String>,
    /// The health report that decided it, where one did.
    pub checked: Option<Checked>,
}

impl Host {
    /// Reads another credential for the place of one, for all connections that share it. Their origins stay the same.
    /// With `tries`, where one that works is there, it is asked with the other one who it is: where that is not proved,
    /// the one that works stays. Nothing is kept yet.
    pub async fn read_credential(&self, name: &str, given: Entries, tries: bool) -> Result<Replacing, HostError> {
        let connection = self.connection(name)?;
        let plugin = self.plugin_of(&connection).await?;
        let method = forms::method_of(plugin.manifest(), &connection.method)?;
        let credential = self.credential_of(&connection)?;
        let fields = forms::fields_of_credential(method);
        if fields.is_empty() {
            return Err(HostError::bad_input(
                "nothing-to-replace",
                format!("`{}` takes no secret: a person authorizes it", method.id),
                format!("Authorize anew with `harness connection reauthorize {name}`."),
            ));
        }
        refuse_own_fields(method, &given, name)?;
        // All of the credential is given anew: what a person leaves out of it is not what they meant to keep.
        let said_of_it = method.said_of_secrets();
        let asked = |field: &str| fields.contains(&field) || said_of_it.contains(&field);
        let others: Vec<String> = field_names(method).filter(|field| !asked(field)).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let schema = forms::without(&method.form, &others);
        let form = Form {
            schema: &schema,
            what: format!("the credential of `{name}`"),
            remedy: "Give its fields with --set key=value and its secrets with --secret key=@FILE.".into(),
        };
        let read = form.read(Map::new(), given)?;
        self.check_fits(method, &read)?;
        let sharing = off_thread(|| self.store.connections_sharing(&credential.id))?;
        let (mut changed, mut corrections) = (Vec::new(), read.notes);
        let mut spelled = serde_json::Value::Object(read.fields.clone());
        for one in &sharing {
            let mut after = forms::members(&one.form);
            after.retain(|field, _| !said_of_it.contains(&field.as_str()));
            after.extend(read.fields.clone());
            let (one, now) = self.refilled(&plugin, method, one, after).await?;
            changed.push(one);
            spelled = forms::split(forms::spelled(method, &now), &method.scheme).1;
            corrections.extend(now.corrections);
        }
        corrections.sort();
        corrections.dedup();
        let before = self.guarded(&sharing).await;
        let its_secrets = places::are_its_secrets(self, &credential, &read.secrets)?;
        let same = its_secrets && credential.form == spelled;
        let held = |(account, fingerprint): &(String, String)| self.guard.held(account, fingerprint).transpose();
        let held = before.iter().find_map(held).transpose()?;
        let is_refused = its_secrets && places::are_alike(&method.scheme, &credential.form, &spelled);
        if let Some(held) = held.as_ref().filter(|_| is_refused) {
            return Err(refused_before(name, held));
        }
        let is_persons = method.scheme.is_authorized_by_a_person();
        // One that is refused itself has nothing to lose.
        let works = !same && !is_persons && held.is_none() && credential.dead.is_none();
        let works = changed.iter().filter(|one| tries && works && one.proven && one.identity.is_some());
        let works = works.max_by_key(|one| one.name == name).cloned();
        let mut other = None;
        if let Some(one) = works {
            let tried = self.try_secrets(&plugin, method, &one, &credential, &spelled, &read.secrets).await;
            let tried = tried.map_err(|error| not_replaced(error, name))?;
            for changed in changed.iter_mut().filter(|changed| changed.id == one.id) {
                changed.settings.clone_from(&tried.settings);
            }
            other = tried.other;
        }
        let (form, secrets) = (spelled, read.secrets);
        Ok(Replacing { credential, is_persons, sharing, changed, form, secrets, corrections, before, same, other })
    }

    /// Keeps a credential in the place of one. What the lockout guard held of the connections is released, and what
    /// alarms told of them is taken back.
    pub async fn keep_credential(&self, replacing: Replacing) -> Result<Replaced, HostError> {
        let Replacing { credential, is_persons, sharing, changed, form, secrets, before, same, .. } = replacing;
        let now = self.clock.now_ms();
        off_thread(|| {
            self.store.write(|transaction| {
                if !is_persons {
                    // Tokens that were got with what was there before go with it; what a person granted stays.
                    self.vault.remove_all_in(transaction, Space::Connection, &credential.id)?;
                }
                for (name, secret) in &secrets {
                    self.vault.put_in(transaction, Space::Connection, &credential.id, name, secret)?;
                }
                crate::store::credentials::replace(transaction, &credential.id, &form)?;
                for one in &changed {
                    if !crate::store::connections::change(transaction, one, now)? {
                        return Err(changed_meanwhile(&one.name));
                    }
                }
                if !same {
                    crate::store::connections::uncheck(transaction, &credential.id)?;
                }
                Ok::<_, HostError>(())
            })
        })?;
        for one in &sharing {
            self.sessions.forget(&one.name, &one.id);
        }
        // The same secret once more is no reason to try an account anew.
        if !same {
            self.put_right(&sharing, &before).await?;
        }
        let connections = sharing.into_iter().map(|one| one.name).collect();
        Ok(Replaced { connections, corrections: replacing.corrections })
    }

    /// Changes fields of a connection's own form. Where it would go to other origins, it is asked first whether the
    /// same tenant is there; if not, nothing is changed. Its credential goes to another place only where its secrets
    /// are given once more.
    pub async fn edit_connection(&self, name: &str, edit: Edit) -> Result<Edited, HostError> {
        let connection = self.connection(name)?;
        let plugin = self.plugin_of(&connection).await?;
        let method = forms::method_of(plugin.manifest(), &connection.method)?;
        let given = Entries { fields: edit.fields, secrets: vec![] };
        let remedy = format!("Replace it for all of them with `harness connection replace-credential {name}`.");
        forms::refuse_of_credential(method, &given, &remedy)?;
        let schema = forms::without(&method.form, &method.secrets());
        let form = Form {
            schema: &schema,
            what: format!("the form of `{name}`"),
            remedy: "Give fields with --set key=value.".into(),
        };
        let whole = forms::members(&self.whole_form(&connection)?);
        let changed_names: Vec<String> = given.fields.iter().map(|(key, _)| key.clone()).collect();
        let kept: Map<_, _> =
            whole.clone().into_iter().filter(|(key, _)| changed_names.iter().all(|changed| changed != key)).collect();
        let after = form.read(kept, given)?.fields;
        let (before, now) = (prepare(&plugin, &method.id, &whole).await?, prepare(&plugin, &method.id, &after).await?);
        // Until it was proven what it is for, nothing was kept that is another tenant's.
        if connection.identity.is_some() {
            places::refuse_fixed(method, &before, &now, &changed_names, name)?;
        }
        let allow_private = edit.allow_private.unwrap_or(connection.allow_private);
        // Before a secret is asked for that would not be sent.
        let origins = pinned(&now.origins, allow_private)?;
        // What nobody has authorized yet, and has no secret of its own, has nothing that a stranger could be shown.
        let bare = method.scheme.is_authorized_by_a_person() && method.secrets().is_empty();
        let bare = bare && edit.secrets.is_empty() && self.credential_of(&connection)?.version == 0;
        if !bare {
            self.may_go(&plugin, method, &connection.credential, &now.origins, edit.secrets).await?;
        }
        let mut candidate = connection.clone();
        candidate.form = forms::split(forms::spelled(method, &now), &method.scheme).0;
        candidate.settings = forms::settings_after(&connection.settings, &before.settings, &now.settings);
        if let Some(authorities) = edit.authorities {
            if let Some(authorities) = &authorities {
                check_authorities(authorities)?;
            }
            candidate.authorities = authorities;
        }
        candidate.allow_private = allow_private;
        let moves = !same_origins(&before.origins, &now.origins);
        if moves {
            candidate.origins = origins;
            // What was found out at the other address may not hold at this one.
            candidate.settings = now.settings;
        }
        let known = connection.identity.as_ref().filter(|_| moves);
        let checked = match known {
            None => None,
            Some(_) => Some(self.same_tenant(&candidate).await?),
        };
        if let Some((_, settings)) = &checked {
            candidate.settings.clone_from(settings);
        }
        self.keep_change(&candidate)?;
        Ok(Edited { connection: candidate, corrections: now.corrections, checked: checked.map(|(checked, _)| checked) })
    }

    /// Gives a connection another name; answers with the flows whose files still have the old one.
    pub fn rename_connection(&self, from: &str, to: &str) -> Result<Vec<String>, HostError> {
        let connection = self.connection(from)?;
        if from == to {
            return Ok(vec![]);
        }
        check_name(to, "a connection's name")?;
        if off_thread(|| self.store.connection_by_name(to))?.is_some() {
            return Err(name_taken(to, OTHER_NAME));
        }
        let renamed = off_thread(|| self.store.rename_connection(&connection.id, to, self.clock.now_ms()))?;
        self.sessions.forget(from, &connection.id);
        match renamed {
            Renamed::Done { flows } => Ok(flows),
            Renamed::Taken => Err(name_taken(to, OTHER_NAME)),
        }
    }

    /// The credential of a connection.
    pub(super) fn credential_of(&self, connection: &StoredConnection) -> Result<StoredCredential, HostError> {
        off_thread(|| self.store.credential(&connection.credential))?.ok_or_else(|| {
            HostError::other(
                "credential-gone",
                format!("the credential of `{}` is not in the store any more", connection.name),
                "Restore a backup, or remove the connection and add it again.",
            )
        })
    }

    /// The connections that share the credential of one, by name, and that one itself.
    pub fn sharing(&self, connection: &StoredConnection) -> Result<Vec<StoredConnection>, HostError> {
        Ok(off_thread(|| self.store.connections_sharing(&connection.credential))?)
    }

    /// A connection as it is with another form, which must not lead it elsewhere.
    async fn refilled(
        &self,
        plugin: &Plugin,
        method: &AuthMethod,
        connection: &StoredConnection,
        after: Map<String, serde_json::Value>,
    ) -> Result<(StoredConnection, contract::Prepared), HostError> {
        let before = forms::members(&self.whole_form(connection)?);
        let before = prepare(plugin, &connection.method, &before).await?;
        let now = prepare(plugin, &connection.method, &after).await?;
        if !same_origins(&before.origins, &now.origins) {
            return Err(HostError::bad_input(
                "other-origins",
                format!("with this credential `{}` would go to other addresses than it was made for", connection.name),
                "Make a new connection for it with `harness connection add`.",
            ));
        }
        let mut changed = connection.clone();
        changed.form = forms::split(forms::spelled(method, &now), &method.scheme).0;
        changed.settings = forms::settings_after(&connection.settings, &before.settings, &now.settings);
        Ok((changed, now))
    }

    /// Asks at a changed address whose it is, before anything is changed.
    async fn same_tenant(&self, candidate: &StoredConnection) -> Result<(Checked, String), HostError> {
        let name = &candidate.name;
        self.doing(format!("asking whether `{name}` is the same there"));
        // Under a name of its own: what another place answers (holds, notes, refusals) is nothing of the connection's.
        let trial = StoredConnection { id: new_id(&*self.clock), identity: None, memo: None, ..candidate.clone() };
        let session = self.make_session(trial).await?;
        let (checked, settings) = self.health_as(&session, candidate.identity.as_ref()).await?;
        let refuse = |code: &str, reason: &str| {
            HostError::bad_input(
                code,
                format!("`{name}` cannot be led there: {reason}. Nothing was changed"),
                "Make a new connection for that address with `harness connection add`.",
            )
        };
        if checked.moved {
            return Err(refuse("other-tenant", "another place answers than the connection was made for"));
        }
        if checked.identity.is_none() {
            let found = checked.findings.iter().find(|one| one["outcome"] == "failed" || one["outcome"] == "unknown");
            let why = found.and_then(|one| one["message"].as_str()).unwrap_or("no identity was found");
            let reason = format!("it could not be proved that it is the same place ({why})");
            return Err(refuse("tenant-unproved", &reason));
        }
        Ok((checked, settings))
    }

    /// Keeps what a person changed of a connection.
    pub(super) fn keep_change(&self, changed: &StoredConnection) -> Result<(), HostError> {
        let kept = off_thread(|| self.store.change_connection(changed, self.clock.now_ms()))?;
        self.sessions.forget(&changed.name, &changed.id);
        if kept { Ok(()) } else { Err(changed_meanwhile(&changed.name)) }
    }

    /// The accounts of connections for the lockout guard, with the fingerprints of their credentials. One that is not
    /// authorized yet was never refused.
    pub(super) async fn guarded(&self, connections: &[StoredConnection]) -> Vec<(String, String)> {
        let mut guarded = Vec::new();
        for one in connections {
            if let Ok(session) = self.make_session(one.clone()).await {
                guarded.push((session.account.clone(), session.fingerprint().to_owned()));
            }
        }
        guarded
    }

    /// A person has put right what these connections share: what the lockout guard held of their accounts is released,
    /// of those with the credential that they had `before` and of those with the one they have now; what alarms told of
    /// them is taken back, and the runs go on that waited for it.
    pub(super) async fn put_right(
        &self,
        sharing: &[StoredConnection],
        before: &[(String, String)],
    ) -> Result<(), HostError> {
        for (account, _) in self.guarded(sharing).await {
            self.guard.renew(&account, "")?;
        }
        for (account, fingerprint) in before {
            self.guard.renew(account, fingerprint)?;
        }
        self.clear_health_alarms(sharing)?;
        self.let_held_go_on()
    }
}

fn changed_meanwhile(name: &str) -> HostError {
    HostError::other("changed-meanwhile", format!("`{name}` was changed by another command meanwhile"), "Try again.")
}

/// The error, with what it means for the credential that is there.
fn not_replaced(error: HostError, name: &str) -> HostError {
    let consequence = format!("nothing was replaced: `{name}` keeps the credential that it has");
    error.amid(&consequence, "To put it in its place without asking, add --no-check.")
}

fn refused_before(name: &str, held: &Held) -> HostError {
    let remedy = match held.blame {
        Blame::Own => format!(
            "Give another one. Where it was put right at the service, run `harness connection check {name} --release`."
        ),
        Blame::Other(_) => held.remedy(name, false),
    };
    let reason = &held.reason;
    HostError::bad_input(
        "secret-refused",
        format!(
            "this is the secret that it has already, and its account is held: {reason}; nothing was changed or sent"
        ),
        remedy,
    )
}

fn field_names(method: &AuthMethod) -> impl Iterator<Item = String> + '_ {
    method.form.get("properties").and_then(serde_json::Value::as_object).into_iter().flat_map(Map::keys).cloned()
}

fn refuse_own_fields(method: &AuthMethod, given: &Entries, name: &str) -> Result<(), HostError> {
    let mut fields = forms::fields_of_credential(method);
    fields.extend(method.said_of_secrets());
    let known: Vec<String> = field_names(method).collect();
    let own = given.fields.iter().find(|(key, _)| known.contains(key) && !fields.contains(&key.as_str()));
    match own {
        None => Ok(()),
        Some((key, _)) => Err(HostError::bad_input(
            "field-of-connection",
            format!("`{key}` belongs to the connection and not to its credential"),
            format!("Change it with `harness connection edit {name} --set {key}=…`."),
        )),
    }
}

fn same_origins(one: &[contract::Origin], other: &[contract::Origin]) -> bool {
    let sorted = |origins: &[contract::Origin]| {
        let mut all: Vec<(String, bool)> = origins.iter().map(|one| (one.url.clone(), one.credential)).collect();
        all.sort();
        all
    };
    sorted(one) == sorted(other)
}
