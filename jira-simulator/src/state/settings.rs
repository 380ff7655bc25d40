//! Facts about Jira that are unsure, or that an administrator decides.

use serde::{Deserialize, Serialize};

use crate::version::Personality;

/// What `GET /settings` shows and `PATCH /settings` changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How long search does not see a change, in virtual milliseconds.
    pub(crate) index_lag_ms: i64,
    /// Active admin webhooks per site. Unlimited on Data Center as far as is known.
    pub(crate) webhook_limit: usize,
    /// The status of a registration over the limit; Atlassian publishes none.
    pub(crate) webhook_limit_status: u16,
    /// Whether people who are not logged in see the unrestricted projects.
    pub(crate) anonymous_access: bool,
    /// Whether deliveries may go to loopback and private addresses. The real Cloud reaches none.
    pub(crate) allow_private_delivery: bool,
    /// Retries of a delivery after its first attempt. Data Center makes none.
    pub(crate) delivery_retries: u32,
    /// The most issues one search page holds, however many are asked for.
    pub(crate) search_page_limit: usize,
}

impl Settings {
    pub(crate) fn new(personality: Personality) -> Self {
        let cloud = personality == Personality::Cloud;
        Self {
            index_lag_ms: 0,
            webhook_limit: if cloud { 100 } else { usize::MAX },
            webhook_limit_status: 400,
            anonymous_access: false,
            allow_private_delivery: true,
            delivery_retries: if cloud { 5 } else { 0 },
            search_page_limit: if cloud { 5_000 } else { 1_000 },
        }
    }
}
