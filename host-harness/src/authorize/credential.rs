//! Credentials: what is attached to a request that goes where the credential belongs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use serde_json::Value as Json;
use url::form_urlencoded::byte_serialize;

use super::grant_use::GrantUse;
use super::scheme::{KeyPlace, Scheme, Value};
use super::traces::Traces;
use crate::vault::{Secret, Space, Vault, VaultError};

/// Why no credential came about.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A field of the form is missing.
    #[error("the form's field `{0}` is needed for authorization and is empty: set it with --set {0}=…")]
    FieldMissing(String),
    /// A secret of the form is missing.
    #[error("the secret `{0}` is needed for authorization and was not given: set it with --secret {0}=@FILE")]
    SecretMissing(String),
    /// A value cannot stand where the scheme puts it.
    #[error("`{name}` {reason}: check it for blanks and line breaks that came along when it was copied")]
    Unfit {
        /// The field's or secret's name.
        name: String,
        /// What is wrong with it; never the value.
        reason: &'static str,
    },
    /// A field of an app stands where no app is.
    #[error("the connector takes the app's field `{0}` for a scheme that has no app: tell its maker")]
    AppAlone(String),
    /// Nobody has authorized it yet.
    #[error("nobody has authorized this connection yet: do it with `harness connection reauthorize`")]
    NotAuthorized,
    /// The scheme is not offered.
    #[error("this host does not offer the authorization scheme `{0}`: choose another auth method of the connector")]
    NotOffered(&'static str),
    /// The vault did not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What a connection authorizes itself with. Shows nothing of it in its `Debug` form; its memory is
/// overwritten when dropped.
#[derive(Clone)]
pub struct Credential {
    kind: Kind,
    fingerprint: String,
    traces: Traces,
}

#[derive(Clone)]
enum Kind {
    Header { name: HeaderName, value: Secret },
    Query { name: String, value: Secret },
    Grant(GrantUse),
}

impl Credential {
    /// The credential of a grant, of the generation that a person gave last. Whatever tokens it has, it is the same
    /// one for the lockout guard.
    pub(crate) fn of_grant(grant: GrantUse, vault: &Vault, id: &str, generation: u64) -> Self {
        let fingerprint = vault.fingerprint(&Secret::new(format!("grant {generation} {id}")));
        Self { kind: Kind::Grant(grant), fingerprint, traces: Traces::default() }
    }

    /// The grant that it is, if it is one.
    pub(crate) fn grant(&self) -> Option<&GrantUse> {
        match &self.kind {
            Kind::Grant(grant) => Some(grant),
            Kind::Header { .. } | Kind::Query { .. } => None,
        }
    }

    /// Whether it is what a person granted, and can grant anew.
    pub(crate) fn is_granted_by_a_person(&self) -> bool {
        self.grant().is_some_and(GrantUse::is_persons)
    }

    /// Builds the credential that a scheme asks for from the form (a JSON object without its
    /// secrets) and the secrets that the vault holds for the connection of this id.
    pub fn from_vault(scheme: &Scheme, form: &Json, vault: &Vault, connection: &str) -> Result<Self, CredentialError> {
        Self::of_secrets(scheme, form, vault, |name| vault.get(Space::Connection, connection, name))
    }

    /// The same with secrets from elsewhere.
    pub(crate) fn of_secrets(
        scheme: &Scheme,
        form: &Json,
        vault: &Vault,
        get: impl Fn(&str) -> Result<Option<Secret>, VaultError>,
    ) -> Result<Self, CredentialError> {
        let (mut secrets, mut each) = (String::new(), Vec::new());
        let mut take = |value: &Value| -> Result<(String, Secret), CredentialError> {
            match value {
                Value::Field(name) => {
                    let text = form.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
                    let text = text.ok_or_else(|| CredentialError::FieldMissing(name.clone()))?;
                    Ok((name.clone(), Secret::new(text)))
                }
                Value::Secret(name) => {
                    let secret = get(name)?;
                    let secret = secret.filter(|secret| !secret.expose().is_empty());
                    let secret = secret.ok_or_else(|| CredentialError::SecretMissing(name.clone()))?;
                    secrets.push_str(secret.expose());
                    each.push(secret.clone());
                    Ok((name.clone(), secret))
                }
                Value::App(name) => Err(CredentialError::AppAlone(name.clone())),
            }
        };
        let kind = match scheme {
            Scheme::Basic { username, password } => basic(take(username)?, take(password)?)?,
            Scheme::Bearer { token } => {
                let (name, token) = take(token)?;
                header(AUTHORIZATION, &name, "Bearer ", &token)?
            }
            Scheme::ApiKey { place, name, key } => api_key(*place, name, take(key)?)?,
            Scheme::Oauth2(_) => return Err(CredentialError::NotOffered("oauth2")),
            Scheme::Oauth1(_) => return Err(CredentialError::NotOffered("oauth1")),
        };
        // Of the secrets alone: a name beside them may be written in several ways.
        let fingerprint = vault.fingerprint(&Secret::new(&secrets));
        zeroize::Zeroize::zeroize(&mut secrets);
        let sent = match &kind {
            Kind::Header { value, .. } | Kind::Query { value, .. } => value.expose().rsplit(' ').next(),
            Kind::Grant(_) => None,
        };
        let traces = Traces::of(each.iter().map(Secret::expose).chain(sent));
        Ok(Self { kind, fingerprint, traces })
    }

    /// What gives it away in an answer. Of a grant nothing: what is sent of it are its tokens ([`Current::traces`]).
    ///
    /// [`Current::traces`]: super::Current::traces
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// A text that is the same for the same credential and tells nothing about it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The header that the credential travels in: no guest may set or see it.
    pub(crate) fn header_name(&self) -> Option<&HeaderName> {
        match &self.kind {
            Kind::Header { name, .. } => Some(name),
            Kind::Grant(_) => Some(&AUTHORIZATION),
            Kind::Query { .. } => None,
        }
    }

    /// Attaches the credential. The caller has made sure that the request goes where it belongs. Of a grant, there is
    /// nothing to attach without its tokens: they are attached by [`GrantUse::attach`].
    pub(crate) fn attach(&self, uri: &mut Uri, headers: &mut HeaderMap) -> Result<(), http::Error> {
        match &self.kind {
            Kind::Header { name, value } => {
                headers.insert(name, secret_value(value)?);
            }
            Kind::Grant(_) => {}
            Kind::Query { name, value } => {
                let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
                    let key = pair.split('=').next().unwrap_or_default();
                    // A guest's own value under this name would contradict ours.
                    !pair.is_empty() && url::form_urlencoded::parse(key.as_bytes()).all(|(key, _)| key != *name)
                });
                let pairs: Vec<String> =
                    kept.map(str::to_owned).chain([format!("{}={}", encode(name), encode(value.expose()))]).collect();
                let mut parts = uri.clone().into_parts();
                parts.path_and_query = Some(format!("{}?{}", uri.path(), pairs.join("&")).parse()?);
                *uri = Uri::from_parts(parts)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential([secret])")
    }
}

/// The value of a header whose memory is overwritten when it is dropped.
pub(super) fn secret_value(secret: &Secret) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let bytes = zeroize::Zeroizing::new(secret.expose().as_bytes().to_vec());
    let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(bytes))?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic(username: (String, Secret), password: (String, Secret)) -> Result<Kind, CredentialError> {
    let (username_name, username) = username;
    let (password_name, password) = password;
    let unfit = |name: &str, reason| CredentialError::Unfit { name: name.to_owned(), reason };
    if username.expose().contains(':') {
        return Err(unfit(&username_name, "must not hold a colon"));
    }
    for (name, value) in [(&username_name, &username), (&password_name, &password)] {
        if value.expose().chars().any(char::is_control) {
            return Err(unfit(name, "holds a control character"));
        }
    }
    let pair = zeroize::Zeroizing::new(format!("{}:{}", username.expose(), password.expose()));
    let encoded = Secret::new(STANDARD.encode(pair.as_bytes()));
    header(AUTHORIZATION, &password_name, "Basic ", &encoded)
}

fn api_key(place: KeyPlace, header_or_parameter: &str, key: (String, Secret)) -> Result<Kind, CredentialError> {
    let (secret_name, key) = key;
    match place {
        KeyPlace::Header => {
            let name = HeaderName::from_bytes(header_or_parameter.as_bytes()).map_err(|_| CredentialError::Unfit {
                name: header_or_parameter.to_owned(),
                reason: "is not the name of a header",
            })?;
            header(name, &secret_name, "", &key)
        }
        KeyPlace::Query => Ok(Kind::Query { name: header_or_parameter.to_owned(), value: key }),
    }
}

/// A header of the prefix and the secret, which has to be visible ASCII without blanks: anything
/// else is a slip of the clipboard or an attempt to write further headers.
fn header(name: HeaderName, secret_name: &str, prefix: &str, secret: &Secret) -> Result<Kind, CredentialError> {
    if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CredentialError::Unfit {
            name: secret_name.to_owned(),
            reason: "holds a character that cannot stand in a header",
        });
    }
    Ok(Kind::Header { name, value: Secret::new(format!("{prefix}{}", secret.expose())) })
}

#[cfg(test)]
#[path = "credential_test.rs"]
mod tests;
