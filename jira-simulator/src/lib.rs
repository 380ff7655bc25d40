//! A Jira that runs on loopback.
//!
//! The simulator answers as Jira answers (status codes, bodies, headers, limits, oddities) from real
//! state: projects, screens, workflows, users, permissions, admin webhooks. A second listener, the
//! control API, changes what a person or the weather would change: faults, time, credentials,
//! settings; and shows what arrived on the wire.
//!
//! ```no_run
//! # async fn example() -> Result<(), jira_simulator::StartError> {
//! let jira = jira_simulator::Simulator::start(jira_simulator::Config::default()).await?;
//! println!("{} is controlled at {}", jira.base_url(), jira.control_url());
//! jira.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! How to read it: `server` moves bytes, `hosts` finds the server that a request is for, `login` has
//! one file per way in, `routes` one per Jira resource, `world` holds the sites, `state` is what Jira knows, `jql` finds issues, `webhook` delivers, `control` is the
//! second listener. Where a fact about Jira is unsure it is a setting (`state::settings`).

mod clock;
mod control;
mod csm;
mod hosts;
mod jql;
mod login;
mod respond;
mod routes;
mod server;
mod simulator;
mod state;
mod version;
mod webhook;
mod wire;
mod world;

pub use jql::tree as jql_tree;
pub use simulator::{AccountAccess, Config, Consent, Running, Simulator, SiteAddress, StartError};
pub use version::{Personality, Version, VersionError};
