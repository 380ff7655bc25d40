//! The schemes a manifest may declare, and how a service says no.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

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
    Oauth2 {
        /// Which grant.
        grant: String,
        /// Where tokens are got.
        token_url: String,
    },
    /// OAuth 1.0a (RFC 5849).
    Oauth1 {
        /// Where request tokens are got.
        request_token_url: String,
    },
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
}

impl Scheme {
    /// The fields of the form, none of them secret, that are part of the credential: a user name.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let values: Vec<&Value> = match self {
            Self::Basic { username, password } => vec![username, password],
            Self::Bearer { token } => vec![token],
            Self::ApiKey { key, .. } => vec![key],
            Self::Oauth2 { .. } | Self::Oauth1 { .. } => vec![],
        };
        let field = values.into_iter().filter_map(|value| match value {
            Value::Field(name) => Some(name.as_str()),
            Value::Secret(_) => None,
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

/// What an answer says about the credential: a reason where it was refused.
pub(crate) fn refusal(rejections: &[Rejection], status: StatusCode, headers: &HeaderMap) -> Option<String> {
    if let Some(rejection) = rejections.iter().find(|rejection| rejection.matches(status, headers)) {
        return Some(format!("status {}, {}: {}", status.as_u16(), rejection.header, rejection.contains));
    }
    (status == StatusCode::UNAUTHORIZED).then(|| "status 401".to_owned())
}
