//! Authorization is the host's: what the manifest declares, the host does. The connector never sees
//! a secret.

mod access;
mod credential;
mod placeholder;
mod scheme;
mod traces;

pub(crate) use access::Authority;
pub use access::{Access, SigningSecret};
pub use credential::{Credential, CredentialError};
pub(crate) use placeholder::{is_stray, substitute};
pub(crate) use scheme::refusal;
pub use scheme::{KeyPlace, Rejection, Scheme, Value};
pub(crate) use traces::Traces;
