//! Authorization is the host's: what the manifest declares, the host does. The connector never sees
//! a secret.

mod access;
#[cfg(test)]
pub(crate) mod bench;
pub mod callback;
mod credential;
mod grant;
mod grant_use;
mod oauth1;
mod oauth2;
mod placeholder;
mod registration;
mod renewal;
mod scheme;
pub mod signature;
mod template;
mod tokens;
mod traces;

pub(crate) use access::Authority;
pub use access::{Access, SigningSecret};
pub use credential::{Credential, CredentialError};
pub(crate) use grant::{Current, GrantError, Grants};
pub(crate) use grant_use::{Context, GrantUse, INVALID_SCOPE, client_remedy};
pub(crate) use placeholder::{is_stray, substitute};
pub use registration::{AnswerFault, AuthorizeError, PRIVATE_KEY, Pending, Registration};
pub(crate) use renewal::Keeper;
pub(crate) use scheme::refusal;
pub use scheme::{ClientAuthentication, Grant, KeyPlace, Oauth1, Oauth2, OauthScope, Rejection, Scheme, Value};
pub use signature::key_pair;
pub use template::TemplateError;
pub(crate) use tokens::kept;
pub use tokens::{TokenError, Tokens, keep};
pub(crate) use traces::Traces;
