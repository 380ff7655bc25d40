//! Accounts, as a site shows them. What they log in with is in `login`.

use crate::clock::ZONE;

/// A person of a site, or a service account.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// Short name: user name and key on Data Center, name in the control API.
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) email: String,
    pub(crate) account_id: String,
    pub(crate) admin: bool,
    /// Whether the account is on this site: Atlassian's accounts are the same everywhere.
    pub(crate) member: bool,
    pub(crate) service: bool,
    /// None where the profile names none.
    pub(crate) time_zone: Option<String>,
}

impl Account {
    pub(crate) fn new(number: usize, name: &str, display_name: &str, admin: bool) -> Self {
        Self {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            email: format!("{name}@example.test"),
            account_id: format!("712020:00000000-0000-4000-8000-{number:012}"),
            admin,
            member: true,
            service: false,
            time_zone: Some(ZONE.to_owned()),
        }
    }
}
