//! Authorizing: from what an operator registered and a person filled in to the first tokens, and to those that follow.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value as Json;
use subtle::ConstantTimeEq as _;
use url::{Url, form_urlencoded};

use super::access::Access;
use super::callback::PATIENCE;
use super::credential::CredentialError;
use super::oauth1;
use super::oauth2::{self, Asking, Client};
use super::scheme::{Grant, Oauth1, Oauth2, Scheme, Value};
use super::signature::{SignatureError, Signer};
use super::template::{self, TemplateError};
use super::tokens::{KeptTokens, TokenError, Tokens};
use crate::clock::{EpochMs, SharedClock};
use crate::store::{StoredOauthClient, off_thread};
use crate::vault::{Secret, Space, Vault, VaultError};

/// The longest query that a browser brings back.
const LONGEST_ANSWER: usize = 16 << 10;
/// How many things it may say.
const MOST_SAID: usize = 64;
/// The name, among an OAuth client's secrets, of the private key that the host made for it.
pub const PRIVATE_KEY: &str = "private-key";

/// All that authorizing needs.
pub struct Registration<'a> {
    /// The scheme.
    pub scheme: &'a Scheme,
    /// The settings that the URL templates are filled with.
    pub settings: &'a Json,
    /// The whole form, without its secrets.
    pub form: &'a Json,
    /// The id of the credential, which owns the form's secrets in the vault.
    pub form_secrets_of: &'a str,
    /// Secrets of the form that are not kept yet, and are tried: they come before those that are.
    pub typed: &'a [(String, Secret)],
    /// The OAuth client, where the scheme needs one.
    pub app: Option<&'a StoredOauthClient>,
    /// Where requests may go.
    pub access: &'a Access,
    /// The vault.
    pub vault: &'a Vault,
    /// The clock.
    pub clock: &'a SharedClock,
}

/// What is kept, in memory alone, until a person's browser comes back. Good for one answer.
pub struct Pending {
    credential: String,
    app: Option<String>,
    redirect: String,
    until: EpochMs,
    kind: Kind,
}

enum Kind {
    Oauth2 { state: Secret, verifier: Option<Secret>, issuer: Option<String> },
    Oauth1 { token: Secret },
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending([secret])")
    }
}

/// What is wrong with what the browser came back with. No token was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// It cannot be read.
    #[error("the browser came back with something that is no answer: {0}")]
    Unreadable(&'static str),
    /// It belongs to another attempt, or somebody made it up.
    #[error("the answer of the browser does not belong to this attempt")]
    Other,
    /// It came too late.
    #[error("the browser came back more than ten minutes after the attempt had begun")]
    Late,
    /// It comes from another service.
    #[error("the answer comes from another service than the one that was asked")]
    Issuer,
    /// The registration changed meanwhile.
    #[error("the credential, the OAuth client or its callback URL is another one than when the attempt began")]
    Changed,
    /// The person or the service refused.
    #[error("the authorization was refused ({0})")]
    Refused(&'static str),
}

/// Why authorizing did not go well.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// Something of the form or of the OAuth client is missing or unfit.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// An address of the manifest cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The scheme needs an OAuth client.
    #[error("this way to authorize needs an OAuth client: make one with `harness oauth-client add`")]
    ClientMissing,
    /// Something of the OAuth client is missing.
    #[error("the OAuth client lacks `{0}`: make it again with `harness oauth-client add`")]
    AppFieldMissing(String),
    /// The callback is no URL.
    #[error("the OAuth client's callback URL `{0}` is no URL: make it again with `harness oauth-client add`")]
    Callback(String),
    /// The scheme has no such step.
    #[error("with this way to authorize, {0}")]
    NotThisWay(&'static str),
    /// The browser's answer is not one that counts.
    #[error("{0}; nothing was asked of the service: begin again")]
    Answer(#[from] AnswerFault),
    /// Nothing can be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The service gave no tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl From<VaultError> for AuthorizeError {
    fn from(error: VaultError) -> Self {
        Self::Credential(error.into())
    }
}

impl Registration<'_> {
    /// Begins: answers with the URL that a person opens, and what is to be kept until the browser comes back.
    pub async fn begin(&self) -> Result<(Url, Pending), AuthorizeError> {
        let app = self.app.ok_or(AuthorizeError::ClientMissing)?;
        let callback = || AuthorizeError::Callback(app.callback.clone());
        Url::parse(&app.callback).map_err(|_| callback())?;
        let (url, kind) = match self.scheme {
            Scheme::Oauth2(scheme) if scheme.grant == Grant::AuthorizationCode => {
                let address = scheme.authorization_url.as_deref();
                let address = address.ok_or(AuthorizeError::NotThisWay("the connector names no address to open"))?;
                let begun = self.client(scheme)?.begin(self.fill(address)?, &app.callback, self.clock);
                let begun = begun.ok_or_else(callback)?;
                let issuer = scheme.issuer.as_deref().map(|issuer| self.fill(issuer)).transpose()?;
                let issuer = issuer.map(|issuer| issuer.to_string());
                (begun.url, Kind::Oauth2 { state: begun.state, verifier: begun.verifier, issuer })
            }
            Scheme::Oauth1(scheme) => {
                let (signer, url) = (self.signer(scheme)?, self.fill(&scheme.request_token_url)?);
                let mut open = self.fill(&scheme.authorization_url)?;
                let (token, _) = oauth1::request_token(&signer, &url, &app.callback, self.access, self.clock).await?;
                open.query_pairs_mut().append_pair("oauth_token", token.expose());
                (open, Kind::Oauth1 { token })
            }
            _ => return Err(AuthorizeError::NotThisWay("no person authorizes in a browser")),
        };
        let until = self.clock.now_ms().saturating_add(u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX));
        let pending = Pending {
            credential: self.form_secrets_of.to_owned(),
            app: Some(app.id.clone()),
            redirect: app.callback.clone(),
            until,
            kind,
        };
        Ok((url, pending))
    }

    /// Finishes with the query that the browser came back with.
    pub async fn finish(&self, pending: Pending, query: &str) -> Result<Tokens, AuthorizeError> {
        let changed = pending.credential != self.form_secrets_of
            || pending.app.as_deref() != self.app.map(|app| app.id.as_str())
            || self.app.is_none_or(|app| app.callback != pending.redirect);
        if changed {
            return Err(AnswerFault::Changed.into());
        }
        let answer = Answer::read(query)?;
        // First of all whether it is ours: a stranger's answer shall not even be explained.
        let (name, expected) = match &pending.kind {
            Kind::Oauth2 { state, .. } => ("state", state),
            Kind::Oauth1 { token } => ("oauth_token", token),
        };
        let brought = answer.get(name).unwrap_or_default();
        if !bool::from(brought.as_bytes().ct_eq(expected.expose().as_bytes())) {
            return Err(AnswerFault::Other.into());
        }
        if self.clock.now_ms() > pending.until {
            return Err(AnswerFault::Late.into());
        }
        match (self.scheme, &pending.kind) {
            (Scheme::Oauth2(scheme), Kind::Oauth2 { verifier, issuer, .. }) => {
                if let (Some(expected), Some(brought)) = (issuer, answer.get("iss"))
                    && expected.trim_end_matches('/') != brought.trim_end_matches('/')
                {
                    return Err(AnswerFault::Issuer.into());
                }
                if let Some(code) = answer.get("error") {
                    let known = oauth2::known_code(code).unwrap_or("with a code that OAuth does not have");
                    return Err(AnswerFault::Refused(known).into());
                }
                let code = answer.get("code").filter(|code| !code.is_empty());
                let code = Secret::new(code.ok_or(AnswerFault::Unreadable("there is no code in it"))?);
                let asking = Asking::Code { code: &code, verifier: verifier.as_ref(), redirect: &pending.redirect };
                Ok(self.ask(scheme, asking).await?)
            }
            (Scheme::Oauth1(scheme), Kind::Oauth1 { token }) => {
                let verifier = answer.get("oauth_verifier").filter(|verifier| !verifier.is_empty());
                let verifier = Secret::new(verifier.ok_or(AnswerFault::Unreadable("there is no verifier in it"))?);
                // What services put there where the person said no.
                if verifier.expose() == "denied" {
                    return Err(AnswerFault::Refused("denied").into());
                }
                let (signer, url) = (self.signer(scheme)?, self.fill(&scheme.access_token_url)?);
                Ok(oauth1::access_token(&signer, &url, token, &verifier, self.access, self.clock).await?)
            }
            _ => Err(AnswerFault::Changed.into()),
        }
    }

    /// The tokens of a grant that needs no person.
    pub async fn obtain(&self) -> Result<Tokens, AuthorizeError> {
        match self.scheme {
            Scheme::Oauth2(scheme) if scheme.grant == Grant::ClientCredentials => {
                self.ask(scheme, Asking::ClientCredentials).await
            }
            Scheme::Oauth2(scheme) if scheme.grant == Grant::SignedAssertion => {
                Err(CredentialError::NotOffered("oauth2 with a signed assertion").into())
            }
            _ => Err(AuthorizeError::NotThisWay("a person has to authorize first")),
        }
    }

    /// The tokens that follow these.
    pub(crate) async fn renew(&self, tokens: Option<&KeptTokens>) -> Result<Tokens, AuthorizeError> {
        match (self.scheme, tokens) {
            // Whatever came with the tokens of a client of its own, it can get others.
            (Scheme::Oauth2(scheme), _) if scheme.grant != Grant::AuthorizationCode => self.obtain().await,
            (Scheme::Oauth2(scheme), Some(KeptTokens { refresh: Some(refresh), .. })) => {
                let mut renewed = self.ask(scheme, Asking::Refresh(refresh)).await?;
                // A service that does not rotate it says nothing about it (RFC 6749, section 6).
                renewed.refresh.get_or_insert_with(|| refresh.clone());
                Ok(renewed)
            }
            (_, Some(_)) => {
                Err(TokenError::Dead("its time is up, and the service gave nothing to renew it with".into()).into())
            }
            (_, None) => Err(TokenError::Dead("nobody has authorized it yet".into()).into()),
        }
    }

    /// Who signs.
    pub(crate) fn signer(&self, scheme: &Oauth1) -> Result<Signer, AuthorizeError> {
        let app = self.app.ok_or(AuthorizeError::ClientMissing)?;
        let key = off_thread(|| self.vault.get(Space::App, &app.id, PRIVATE_KEY))?;
        let key = key.ok_or_else(|| AuthorizeError::AppFieldMissing(PRIVATE_KEY.into()))?;
        Ok(Signer::new(self.value(&scheme.consumer_key)?.expose(), &key)?)
    }

    async fn ask(&self, scheme: &Oauth2, asking: Asking<'_>) -> Result<Tokens, AuthorizeError> {
        let client = self.client(scheme)?;
        let request = client.request(asking).await;
        let callback = || self.app.map(|app| app.callback.clone()).unwrap_or_default();
        let request = request.ok_or_else(|| AuthorizeError::Callback(callback()))?;
        let client_is_the_account = scheme.grant == Grant::ClientCredentials;
        Ok(oauth2::read(self.access.direct(request).await, client_is_the_account)?)
    }

    fn client<'s>(&self, scheme: &'s Oauth2) -> Result<Client<'s>, AuthorizeError> {
        Ok(Client {
            scheme,
            id: self.value(&scheme.client_id)?,
            secret: scheme.client_secret.as_ref().map(|secret| self.value(secret)).transpose()?,
            token_url: self.fill(&scheme.token_url)?,
            scopes: self.scopes(scheme),
        })
    }

    /// The scopes to ask for: those the operator chose, else the usual ones; and those without which nothing works.
    fn scopes(&self, scheme: &Oauth2) -> Vec<String> {
        let chosen = self.app.map(|app| app.scopes.as_slice()).filter(|scopes| !scopes.is_empty());
        let known = scheme
            .scopes
            .iter()
            .filter(|scope| scope.required || chosen.map_or(scope.default, |chosen| chosen.contains(&scope.id)));
        let mut scopes: Vec<String> = known.map(|scope| scope.id.clone()).collect();
        // What the manifest does not describe may be asked for as well.
        for scope in chosen.unwrap_or_default() {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes
    }

    fn fill(&self, template: &str) -> Result<Url, AuthorizeError> {
        Ok(template::fill(template, self.settings, &self.access.policy)?)
    }

    fn value(&self, value: &Value) -> Result<Secret, AuthorizeError> {
        let filled = |secret: &Secret| !secret.expose().is_empty();
        match value {
            Value::Field(name) => {
                let text = self.form.get(name).and_then(Json::as_str).map(Secret::new).filter(filled);
                Ok(text.ok_or_else(|| CredentialError::FieldMissing(name.clone()))?)
            }
            Value::Secret(name) => {
                let secret = match self.typed.iter().find(|(typed, _)| typed == name) {
                    Some((_, typed)) => Some(typed.clone()),
                    None => off_thread(|| self.vault.get(Space::Connection, self.form_secrets_of, name))?,
                };
                let secret = secret.filter(filled);
                Ok(secret.ok_or_else(|| CredentialError::SecretMissing(name.clone()))?)
            }
            Value::App(name) => {
                let app = self.app.ok_or(AuthorizeError::ClientMissing)?;
                if let Some(text) = app.form.get(name).and_then(Json::as_str).map(Secret::new).filter(filled) {
                    return Ok(text);
                }
                let secret = off_thread(|| self.vault.get(Space::App, &app.id, name))?.filter(filled);
                secret.ok_or_else(|| AuthorizeError::AppFieldMissing(name.clone()))
            }
        }
    }
}

/// The query that a browser came back with: not too long, and nothing in it twice.
pub(super) struct Answer<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Answer<'a> {
    pub(super) fn read(query: &'a str) -> Result<Self, AnswerFault> {
        if query.len() > LONGEST_ANSWER {
            return Err(AnswerFault::Unreadable("it is too long"));
        }
        let query = query.strip_prefix('?').unwrap_or(query);
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).take(MOST_SAID + 1).collect();
        if pairs.len() > MOST_SAID {
            return Err(AnswerFault::Unreadable("it says too much"));
        }
        let repeated = |place: usize| pairs[..place].iter().any(|(name, _)| *name == pairs[place].0);
        // Which of two counts is nobody's to guess.
        if (0..pairs.len()).any(repeated) {
            return Err(AnswerFault::Unreadable("it says something twice"));
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

#[cfg(test)]
#[path = "registration_test.rs"]
mod tests;
