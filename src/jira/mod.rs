//! Jira's HTTP API: where it is, how a request is sent, what an answer means.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod deployment;
pub(crate) mod jql;
pub(crate) mod path;
pub(crate) mod refusal;
pub(crate) mod scope;
pub mod site;
pub mod timestamp;
pub mod wait;
