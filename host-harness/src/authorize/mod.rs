//! Authorization is the host's: what the manifest declares, the host does. The connector never sees
//! a secret.

mod access;
pub mod callback;
mod credential;
mod placeholder;
mod scheme;

pub(crate) use access::Authority;
pub use access::{Access, SigningSecret};
pub use credential::{Credential, CredentialError};
pub(crate) use placeholder::{is_stray, substitute};
pub(crate) use scheme::refusal;
pub use scheme::{ClientAuthentication, Grant, KeyPlace, Oauth1, Oauth2, OauthScope, Rejection, Scheme, Value};
