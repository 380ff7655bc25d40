//! Where a credential may go: only to places that a person meant it for. A slip in an address must not show it to a
//! stranger, so before it leads a credential to another place a person types its secrets once more.

use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::adding::prepare;
use super::forms::{self, Secrets};
use super::{FieldProblem, Host, HostError, Problem, off_thread};
use crate::authorize::Scheme;
use crate::egress::Origin;
use crate::plugin::contract::connection as contract;
use crate::plugin::{AuthMethod, Plugin};
use crate::store::StoredCredential;
use crate::vault::{Space, VaultError};

/// The keyword of a form's field that decides which tenant it is: a connection never changes it.
const FIXED: &str = "x-fixed";

impl Host {
    /// Refuses to lead a credential of `connections` to places where it does not go yet, unless its secrets are among
    /// those `typed` now. Nothing is sent.
    pub(super) async fn may_go(
        &self,
        plugin: &Plugin,
        method: &AuthMethod,
        credential: &str,
        wanted: &[contract::Origin],
        typed: Secrets,
    ) -> Result<(), HostError> {
        // What renews tokens sends secrets to places that are pinned without the credential.
        let shows = |credential: bool| credential || method.scheme.is_grant();
        let mut known = Vec::new();
        for one in off_thread(|| self.store.connections_sharing(credential))? {
            known.extend(one.origins.iter().filter(|origin| shows(origin.credential)).map(|origin| origin.url.clone()));
            let form = forms::members(&self.whole_form(&one)?);
            let prepared = prepare(plugin, &method.id, &form).await?;
            known.extend(prepared.origins.into_iter().filter(|origin| shows(origin.credential)).map(|one| one.url));
        }
        let known: Vec<Origin> = known.iter().filter_map(|url| Origin::parse(url).ok()).collect();
        let elsewhere = wanted.iter().filter(|origin| shows(origin.credential)).find(|origin| {
            !Origin::parse(&origin.url).is_ok_and(|wanted| known.iter().any(|known| known.holds(&wanted)))
        });
        let given = forms::Entries { fields: vec![], secrets: typed };
        let Some(elsewhere) = elsewhere else {
            return forms::refuse_of_credential(method, &given, "Leave it out: the credential stays as it is.");
        };
        let place = &elsewhere.url;
        if method.scheme.is_authorized_by_a_person() {
            return Err(HostError::bad_input(
                "credential-elsewhere",
                format!("the authorization was not given for {place}, and it is not sent there"),
                "Make a connection with an authorization of its own with `harness connection add`.",
            ));
        }
        let (typed, _) = forms::tidied(given.secrets)?;
        let missing: Vec<&str> =
            method.secrets().into_iter().filter(|name| typed.iter().all(|(key, _)| key != name)).collect();
        if !missing.is_empty() {
            let flags: Vec<String> = missing.iter().map(|name| format!("--secret {name}=@FILE")).collect();
            let problem = Problem::new(
                "secret-again",
                format!("the credential would go to {place}, where it does not go yet"),
                format!("If that is meant, give its secret once more: {}.", flags.join(" ")),
            );
            let fields = missing
                .iter()
                .map(|name| FieldProblem { pointer: format!("/{name}"), message: "it is needed once more".into() });
            return Err(HostError::BadInput(Problem { fields: fields.collect(), ..problem }));
        }
        for (name, secret) in &typed {
            let kept = off_thread(|| self.vault.get(Space::Connection, credential, name))?;
            let same = kept.is_some_and(|kept| kept.expose().as_bytes().ct_eq(secret.expose().as_bytes()).into());
            if !same {
                return Err(HostError::bad_input(
                    "secret-differs",
                    format!("`{name}` is not the one that is kept; nothing was sent"),
                    "Give the same one. Another one is put in its place with `harness connection replace-credential`.",
                ));
            }
        }
        Ok(())
    }
}

/// Refuses another value of a field that decides which tenant it is.
pub(super) fn refuse_fixed(
    method: &AuthMethod,
    before: &contract::Prepared,
    after: &contract::Prepared,
    changed: &[String],
    name: &str,
) -> Result<(), HostError> {
    let fixed =
        |field: &&String| method.form.pointer(&format!("/properties/{field}/{FIXED}")) == Some(&Value::Bool(true));
    let Some(field) = changed.iter().find(fixed) else { return Ok(()) };
    // The same may be written in several ways.
    let place = |prepared: &contract::Prepared| {
        let rest = |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
        let mut all: Vec<String> = prepared.origins.iter().map(|origin| rest(&origin.url)).collect();
        all.sort();
        all
    };
    if place(before) == place(after) {
        return Ok(());
    }
    Err(HostError::bad_input(
        "other-tenant",
        format!("`{name}` cannot be led there: its `{field}` says which one it is. Nothing was sent or changed"),
        "Make a new connection for that address with `harness connection add`.",
    ))
}

/// Whether two forms of a credential name the same account, as services read user names: in any case, and without blanks
/// around. All else is compared by letters.
pub(super) fn are_alike(scheme: &Scheme, one: &Value, other: &Value) -> bool {
    let plain = |form: &Value| {
        let mut form = form.clone();
        if let Some(Value::String(name)) = scheme.account_name().and_then(|field| form.get_mut(field)) {
            *name = name.trim().to_lowercase();
        }
        form
    };
    plain(one) == plain(other)
}

/// Whether secrets are those that a credential has already. One that does not open any more is not the same as any.
pub(super) fn are_its_secrets(
    host: &Host,
    credential: &StoredCredential,
    secrets: &Secrets,
) -> Result<bool, HostError> {
    for (name, secret) in secrets {
        let kept = match off_thread(|| host.vault.get(Space::Connection, &credential.id, name)) {
            Err(VaultError::Damaged { .. }) => None,
            kept => kept?,
        };
        if !kept.is_some_and(|kept| kept.expose().as_bytes().ct_eq(secret.expose().as_bytes()).into()) {
            return Ok(false);
        }
    }
    Ok(!secrets.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Scheme, are_alike};

    #[test]
    fn a_user_name_alone_is_the_same_in_any_case_and_with_blanks_around() {
        let basic = json!({"type": "basic", "username": {"field": "user"}, "password": {"secret": "p"}});
        let basic: Scheme = serde_json::from_value(basic).unwrap();
        let kept = json!({ "user": "ada", "id": "a" });
        for typed in ["ada", "Ada", "ADA", " ada "] {
            assert!(are_alike(&basic, &kept, &json!({ "user": typed, "id": "a" })), "{typed:?}");
        }
        for other in [json!({ "user": "adah", "id": "a" }), json!({}), json!({ "user": "ada", "id": "A" })] {
            assert!(!are_alike(&basic, &kept, &other), "{other}");
        }
    }
}
