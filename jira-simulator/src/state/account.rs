//! Accounts and their credentials.

use rand::Rng;

use crate::simulator::AccountAccess;

/// A person of this Jira.
#[derive(Clone)]
pub(crate) struct Account {
    /// Short name: user name and key on Data Center, name in the control API.
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) email: String,
    pub(crate) account_id: String,
    pub(crate) admin: bool,
    /// API token or personal access token.
    token: String,
    password: String,
    pub(crate) token_revoked: bool,
    /// CAPTCHA: nothing is checked until a person solves it in a browser.
    pub(crate) locked: bool,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Account {
    pub(crate) fn new(number: u32, name: &str, display_name: &str, admin: bool) -> Self {
        let mut random = [0_u8; 12];
        rand::rng().fill(&mut random);
        Self {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            email: format!("{name}@example.test"),
            account_id: format!("712020:00000000-0000-4000-8000-{number:012}"),
            admin,
            token: format!("not-a-real-token-{name}-{}", hex::encode(random)),
            password: format!("not-a-real-password-{name}"),
            token_revoked: false,
            locked: false,
            failures: 0,
        }
    }

    pub(crate) fn has_token(&self, secret: &str) -> bool {
        !self.token_revoked && self.token == secret
    }

    pub(crate) fn has_password(&self, secret: &str) -> bool {
        self.password == secret
    }

    pub(crate) fn access(&self) -> AccountAccess {
        AccountAccess {
            name: self.name.clone(),
            email: self.email.clone(),
            token: self.token.clone(),
            password: self.password.clone(),
            admin: self.admin,
        }
    }
}
