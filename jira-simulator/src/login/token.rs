//! API tokens of Cloud, classic and scoped, and personal access tokens of Data Center.

use super::{Directory, random_hex};

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Everything its owner may, at the site.
    Classic,
    /// What its scopes allow, at the gateway only.
    Scoped,
    /// Data Center's.
    Personal,
}

/// A token of an account. Nothing prints its secret but the answer that makes it.
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) account: usize,
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) secret: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) created: i64,
    pub(crate) expires: Option<i64>,
    pub(crate) revoked: bool,
    pub(crate) last_used: Option<i64>,
}

impl Directory {
    /// Makes a token; `days` after which it expires, none for never.
    pub(crate) fn add_token(
        &mut self,
        account: usize,
        name: &str,
        kind: Kind,
        label: &str,
        scopes: Vec<String>,
        days: Option<i64>,
    ) -> &Token {
        let now = self.now();
        let place = self.tokens.len();
        let id = self.new_id();
        self.tokens.push(Token {
            id,
            account,
            kind,
            label: label.to_owned(),
            secret: format!("not-a-real-token-{name}-{}", random_hex()),
            scopes,
            created: now,
            expires: days.map(|days| now + days * DAY_MS),
            revoked: false,
            last_used: None,
        });
        &self.tokens[place]
    }

    /// A token that is good now: not revoked, not expired. Being asked for is being used.
    pub(super) fn use_token(&mut self, secret: &str) -> Option<&Token> {
        let now = self.now();
        let token = self.tokens.iter_mut().find(|token| token.secret == secret)?;
        if token.revoked || token.expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        token.last_used = Some(now);
        Some(token)
    }
}
