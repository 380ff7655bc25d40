//! What Atlassian publishes nowhere, and what an administrator or a person decides about logins.

use serde::{Deserialize, Serialize};

use crate::simulator::Consent;
use crate::version::Personality;

/// The part of `GET /settings` that is about logins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginSettings {
    /// Failed logins in a row before CAPTCHA; 0 is never.
    pub(crate) lock_after_failures: u32,
    /// Whether authorization pages ask, or answer by themselves.
    pub(crate) consent: Consent,
    /// Who consents where nobody is asked.
    pub(crate) consent_account: String,
    /// The sites that consent gives where nobody is asked; none: the first site of the account.
    pub(crate) consent_sites: Vec<String>,
    /// How long an access token is good.
    pub(crate) access_token_s: i64,
    /// How long a code of the authorization page is good. Atlassian publishes nothing.
    pub(crate) code_s: i64,
    /// How long a refresh token may be used again after it was exchanged.
    pub(crate) refresh_leeway_s: i64,
    /// How long a refresh token is good unused.
    pub(crate) refresh_idle_days: i64,
    /// How long a consent is good however much it is used; 0 is for ever.
    pub(crate) refresh_absolute_days: i64,
    /// Whether an exchanged refresh token that comes again, after the leeway, ends the whole family.
    pub(crate) refresh_reuse_revokes: bool,
    /// Whether a refresh ends the access tokens before it.
    pub(crate) refresh_ends_access: bool,
    /// How a refresh token that is not good is refused.
    pub(crate) refresh_refusal_status: u16,
    pub(crate) refresh_refusal_error: String,
    pub(crate) refresh_refusal_description: String,
    /// Whether the gateway takes classic API tokens.
    pub(crate) classic_token_at_gateway: bool,
    /// Whether a grant also holds the Confluence of the same site.
    pub(crate) confluence_resources: bool,
    /// How the gateway answers for a site that the grant does not hold.
    pub(crate) foreign_site_status: u16,
    /// How far the clock of an OAuth 1.0a client may be off.
    pub(crate) clock_skew_s: i64,
    /// How Data Center refuses a token whose scope is too small.
    pub(crate) insufficient_scope_status: u16,
}

impl LoginSettings {
    pub(super) fn new(personality: Personality, consent: Consent) -> Self {
        let cloud = personality == Personality::Cloud;
        let description =
            if cloud { "Unknown or invalid refresh token." } else { "The provided refresh token is invalid" };
        Self {
            lock_after_failures: if cloud { 0 } else { 3 },
            consent,
            consent_account: "admin".to_owned(),
            consent_sites: Vec::new(),
            access_token_s: if cloud { 3_600 } else { 7_200 },
            code_s: 300,
            refresh_leeway_s: 0,
            refresh_idle_days: 90,
            refresh_absolute_days: 0,
            refresh_reuse_revokes: false,
            refresh_ends_access: !cloud,
            refresh_refusal_status: if cloud { 403 } else { 400 },
            refresh_refusal_error: "invalid_grant".to_owned(),
            refresh_refusal_description: description.to_owned(),
            classic_token_at_gateway: false,
            confluence_resources: false,
            foreign_site_status: 403,
            clock_skew_s: 300,
            insufficient_scope_status: 403,
        }
    }
}
