//! The schemes a manifest may declare, and how a service says no.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value as Json;

use super::template;

/// A scheme and its parameters, as `scheme` in `wit/manifest.schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Scheme {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user name; it must not hold a colon.
        username: Value,
        /// The password.
        password: Value,
    },
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: Value,
    },
    /// A key in a header or the query.
    ApiKey {
        /// Where it goes.
        #[serde(rename = "in")]
        place: KeyPlace,
        /// The name of the header or the query parameter.
        name: String,
        /// The key.
        key: Value,
    },
    /// OAuth 2.0 (RFC 6749).
    Oauth2(Box<Oauth2>),
    /// OAuth 1.0a (RFC 5849), signed with RSA-SHA1 by a key pair that the host makes.
    Oauth1(Box<Oauth1>),
}

/// OAuth 2.0 and its parameters. URLs may hold `{name}`, which stands for a text of the prepared settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Oauth2 {
    /// Which grant.
    pub grant: Grant,
    /// Where a person authorizes; of the code grant.
    pub authorization_url: Option<String>,
    /// Where tokens are got.
    pub token_url: String,
    /// Who answers at the authorization URL, where the service says so in its answers (RFC 9207).
    pub issuer: Option<String>,
    /// The client's id.
    pub client_id: Value,
    /// The client's secret, where it has one.
    pub client_secret: Option<Value>,
    /// Where the token request shows who the client is.
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    /// Whether the code is bound to a verifier (RFC 7636, S256).
    #[serde(default)]
    pub pkce: bool,
    /// What is added to the address where a person authorizes.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What is added to every token request.
    #[serde(default)]
    pub token_parameters: BTreeMap<String, String>,
    /// The scopes there are.
    #[serde(default)]
    pub scopes: Vec<OauthScope>,
    /// Whether a refresh ends the earlier access token too.
    #[serde(default)]
    pub refresh_ends_access: bool,
    /// After how many days without use the service forgets a refresh token, where it does.
    pub idle_days: Option<u32>,
}

/// A grant of OAuth 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// A person authorizes in a browser.
    AuthorizationCode,
    /// The client is the account.
    ClientCredentials,
    /// An assertion that the client signs.
    SignedAssertion,
}

/// Where a token request shows who the client is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuthentication {
    /// `client_id` and `client_secret` in the body.
    #[default]
    Body,
    /// HTTP Basic.
    Basic,
}

/// One scope that a person may choose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OauthScope {
    /// What is sent.
    pub id: String,
    /// What it allows.
    pub description: String,
    /// Whether it is asked for where a person chooses none.
    #[serde(default)]
    pub default: bool,
    /// Whether it is always asked for: without it the connection would not live on.
    #[serde(default)]
    pub required: bool,
}

/// OAuth 1.0a and its parameters. URLs may hold `{name}`, which stands for a text of the prepared settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Oauth1 {
    /// Where request tokens are got.
    pub request_token_url: String,
    /// Where a person authorizes.
    pub authorization_url: String,
    /// Where the request token is exchanged.
    pub access_token_url: String,
    /// The consumer's key.
    pub consumer_key: Value,
}

/// Where an API key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPlace {
    /// Into a header.
    Header,
    /// Into the query of the URL.
    Query,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A field of the form that is not secret.
    Field(String),
    /// A secret field of the form, from the vault.
    Secret(String),
    /// A field of the app form that an operator filled in once, secret or not.
    App(String),
}

impl Scheme {
    /// Whether tokens stand for the credential that has to be got first.
    pub fn is_grant(&self) -> bool {
        matches!(self, Self::Oauth2(_) | Self::Oauth1(_))
    }

    /// Whether a person authorizes in a browser.
    pub fn is_authorized_by_a_person(&self) -> bool {
        match self {
            Self::Oauth2(oauth2) => oauth2.grant == Grant::AuthorizationCode,
            Self::Oauth1(_) => true,
            Self::Basic { .. } | Self::Bearer { .. } | Self::ApiKey { .. } => false,
        }
    }

    /// Whether tokens would be got, renewed or granted at other addresses with other prepared settings.
    pub(crate) fn is_elsewhere(&self, before: &Json, after: &Json) -> bool {
        let templates: Vec<&str> = match self {
            Self::Oauth2(oauth2) => {
                let open = [&oauth2.authorization_url, &oauth2.issuer].into_iter().filter_map(Option::as_deref);
                open.chain([oauth2.token_url.as_str()]).collect()
            }
            Self::Oauth1(oauth1) => [&oauth1.request_token_url, &oauth1.authorization_url, &oauth1.access_token_url]
                .map(String::as_str)
                .into(),
            Self::Basic { .. } | Self::Bearer { .. } | Self::ApiKey { .. } => vec![],
        };
        templates.iter().any(|template| template::text(template, before) != template::text(template, after))
    }

    /// The field of the form that names the account, where the scheme has one.
    pub(crate) fn account_name(&self) -> Option<&str> {
        match self {
            Self::Basic { username: Value::Field(name), .. } => Some(name),
            _ => None,
        }
    }

    /// The fields of the form, none of them secret, that are part of the credential: a user name.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let values: Vec<&Value> = match self {
            Self::Basic { username, password } => vec![username, password],
            Self::Bearer { token } => vec![token],
            Self::ApiKey { key, .. } => vec![key],
            Self::Oauth2(oauth2) => {
                [Some(&oauth2.client_id), oauth2.client_secret.as_ref()].into_iter().flatten().collect()
            }
            Self::Oauth1(oauth1) => vec![&oauth1.consumer_key],
        };
        let field = values.into_iter().filter_map(|value| match value {
            Value::Field(name) => Some(name.as_str()),
            Value::Secret(_) | Value::App(_) => None,
        });
        field.collect()
    }
}

/// How a service says, beyond status 401, that it did not accept the credential.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rejection {
    /// The status it comes with; any where absent.
    pub status: Option<u16>,
    /// The header that says it.
    pub header: String,
    /// What the header's value contains, in any case.
    pub contains: String,
    /// Whether the account is locked then: nothing is worth a second try.
    #[serde(default)]
    pub locks: bool,
    /// Whether it says the contrary: the credential was accepted, and the answer, whatever its status, refuses
    /// something else, such as what a scope is missing for.
    #[serde(default)]
    pub accepts: bool,
}

/// What an answer says about the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// Whether the account is locked, so that not even one more try is worth it.
    pub(crate) locks: bool,
}

impl Rejection {
    /// Whether an answer says so.
    pub fn matches(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let wanted = self.contains.to_ascii_lowercase();
        self.status.is_none_or(|expected| expected == status.as_u16())
            && headers
                .get_all(self.header.as_str())
                .iter()
                .any(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase().contains(&wanted))
    }
}

/// What an answer says about the credential, where it was refused.
pub(crate) fn refusal(rejections: &[Rejection], status: StatusCode, headers: &HeaderMap) -> Option<Refusal> {
    let (accepts, rejects): (Vec<_>, Vec<_>) =
        rejections.iter().filter(|rejection| rejection.matches(status, headers)).partition(|one| one.accepts);
    let mut matching = rejects.into_iter();
    // The worst that it says counts.
    if let Some(first) = matching.next() {
        let worst = if first.locks { first } else { matching.find(|one| one.locks).unwrap_or(first) };
        let reason = format!("status {}, {}: {}", status.as_u16(), worst.header, worst.contains);
        return Some(Refusal { reason, locks: worst.locks });
    }
    (status == StatusCode::UNAUTHORIZED && accepts.is_empty())
        .then(|| Refusal { reason: "status 401".to_owned(), locks: false })
}
