//! OAuth 2.0 clients: apps of the developer console, credentials of service accounts, incoming links.

use super::{Directory, random_hex};

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AppKind {
    /// Cloud: a person consents (3LO).
    ThreeLegged,
    /// Cloud: a service account's own client credentials.
    ServiceAccount,
    /// Data Center: an incoming application link.
    IncomingLink,
}

/// A client. Its secret is shown by the answer that makes it, and never printed.
pub(crate) struct App {
    pub(crate) client_id: String,
    pub(crate) secret: String,
    pub(crate) name: String,
    pub(crate) kind: AppKind,
    pub(crate) callbacks: Vec<String>,
    /// What may be asked for.
    pub(crate) scopes: Vec<String>,
    /// Whether others than the owner may consent.
    pub(crate) distributed: bool,
    /// Who made it; the service account itself for its credentials.
    pub(crate) owner: usize,
}

impl App {
    pub(crate) fn new(name: &str, kind: AppKind, owner: usize) -> Self {
        Self {
            client_id: format!("fake-client-{}", random_hex()),
            secret: Self::new_secret(),
            name: name.to_owned(),
            kind,
            callbacks: Vec::new(),
            scopes: Vec::new(),
            distributed: true,
            owner,
        }
    }

    pub(crate) fn new_secret() -> String {
        format!("not-a-real-client-secret-{}", random_hex())
    }
}

impl Directory {
    pub(crate) fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    /// The app that a client proves to be.
    pub(super) fn authenticated_app(&self, client_id: &str, secret: &str) -> Option<&App> {
        self.app(client_id).filter(|app| app.secret == secret)
    }
}
