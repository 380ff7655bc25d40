//! Admin webhooks: registrations, payloads, deliveries.

pub(crate) mod payload;
pub(crate) mod sender;

use std::fmt;

/// The events an admin webhook may name.
pub(crate) const EVENTS: &[&str] = &[
    "jira:issue_created",
    "jira:issue_updated",
    "jira:issue_deleted",
    "comment_created",
    "comment_updated",
    "comment_deleted",
    "worklog_created",
    "worklog_updated",
    "worklog_deleted",
    "issuelink_created",
    "issuelink_deleted",
    "attachment_created",
    "attachment_deleted",
    "issue_property_set",
    "issue_property_deleted",
    "jira:worklog_updated",
    "jira:version_created",
    "jira:version_released",
    "jira:version_unreleased",
    "jira:version_updated",
    "jira:version_moved",
    "jira:version_deleted",
    "project_created",
    "project_updated",
    "project_deleted",
    "project_soft_deleted",
    "project_restored_deleted",
    "project_archived",
    "project_restored_archived",
    "user_created",
    "user_updated",
    "user_deleted",
    "sprint_created",
    "sprint_updated",
    "sprint_deleted",
    "sprint_started",
    "sprint_closed",
    "board_created",
    "board_updated",
    "board_deleted",
    "board_configuration_changed",
    "option_voting_changed",
    "option_watching_changed",
    "option_unassigned_issues_changed",
    "option_subtasks_changed",
    "option_attachments_changed",
    "option_issuelinks_changed",
    "option_timetracking_changed",
    "jira_expression_evaluation_failed",
];

/// A signing secret, which nothing prints.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(secret: &str) -> Self {
        Self(secret.to_owned())
    }

    /// The value of `X-Hub-Signature` for a body.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        use hmac::{Hmac, Mac};
        // HMAC takes keys of any length, so the error arm is never taken.
        match Hmac::<sha2::Sha256>::new_from_slice(self.0.as_bytes()) {
            Ok(mut mac) => {
                mac.update(body);
                format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
            }
            Err(_) => String::new(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A registered admin webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) jql: String,
    pub(crate) exclude_body: bool,
    pub(crate) enabled: bool,
    pub(crate) secret: Option<Secret>,
    pub(crate) updated: i64,
    pub(crate) updated_by: usize,
    /// The site's address as whoever registered it knows it; empty for webhooks of others.
    pub(crate) site_url: String,
}

impl Webhook {
    pub(crate) fn new(account: usize, now: i64) -> Self {
        Self {
            id: 0,
            name: String::new(),
            url: String::new(),
            events: Vec::new(),
            jql: String::new(),
            exclude_body: false,
            enabled: true,
            secret: None,
            updated: now,
            updated_by: account,
            site_url: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_vector() {
        let secret = Secret::new("It's a Secret to Everybody");
        assert_eq!(
            secret.sign(b"Hello World!"),
            "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
        );
        assert!(!format!("{secret:?}").contains("Everybody"));
    }
}
