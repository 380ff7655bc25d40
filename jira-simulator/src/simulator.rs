//! Starting and stopping.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::Hub;
use crate::version::{Personality, Version};
use crate::{control, server};

/// How to start a simulator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Jira listens: a loopback address; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where the control API listens: another loopback address.
    pub control_listen: SocketAddr,
    /// Which Jira to be.
    pub personality: Personality,
    /// The release of a Data Center; a Cloud ignores it.
    pub version: Version,
    /// The names of the Cloud sites: `demo` is `demo.atlassian.net`. A Data Center ignores them.
    pub sites: Vec<String>,
    /// The context path of a Data Center: empty, or `/jira`. A Cloud has none.
    pub context_path: String,
    /// Whether authorization pages ask a person.
    pub consent: Consent,
}

/// What an authorization page does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// Asks the person in front of the browser.
    Ask,
    /// Consents at once, for the account and the sites of the settings.
    Auto,
    /// Refuses at once.
    Refuse,
}

impl FromStr for Consent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ask" => Ok(Self::Ask),
            "auto" => Ok(Self::Auto),
            "refuse" => Ok(Self::Refuse),
            other => Err(format!("'{other}' is no way to consent: write ask, auto or refuse")),
        }
    }
}

impl Default for Config {
    /// A Cloud on two free ports of 127.0.0.1.
    fn default() -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: anywhere,
            control_listen: anywhere,
            personality: Personality::Cloud,
            version: Version::DEFAULT,
            sites: vec!["demo".to_owned()],
            context_path: String::new(),
            consent: Consent::Ask,
        }
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is reachable from other machines; a Jira with fake tokens must not be.
    #[error("{0} is not a loopback address: listen on 127.0.0.1 or [::1]")]
    NotLoopback(SocketAddr),
    /// The names of the sites are not those of sites.
    #[error("'{0}' names no site: use small letters, digits and hyphens, each name once, at least one name")]
    Site(String),
    /// The context path is not one, or the personality has none.
    #[error("'{0}' is no context path: write a slash and a name, such as /jira, and only for a Data Center")]
    ContextPath(String),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {reason}. Choose another port, or 0 for any free one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
}

/// An account of the simulated Jira with its (fake) credentials, as the binary prints it.
#[derive(Clone, Serialize)]
pub struct AccountAccess {
    /// The account's short name, also its name in the control API: `admin` or `user`.
    pub name: String,
    /// The e-mail address: the user name of Basic authentication on Cloud.
    pub email: String,
    /// The API token (Cloud) or personal access token (Data Center).
    pub token: String,
    /// The password: accepted by Data Center only.
    pub password: String,
    /// Whether the account may administer Jira.
    pub admin: bool,
}

impl std::fmt::Debug for AccountAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountAccess").field("name", &self.name).field("admin", &self.admin).finish_non_exhaustive()
    }
}

/// A Cloud site.
#[derive(Debug, Clone, Serialize)]
pub struct SiteAddress {
    /// Its name.
    pub name: String,
    /// The host it has in reality.
    pub host: String,
    /// Its id in the paths of the gateway.
    pub cloud_id: String,
}

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Binds both listeners and serves on the current tokio runtime until [`Running::shutdown`] or drop.
    ///
    /// # Errors
    /// An address that is not loopback or cannot be bound.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        check(&config)?;
        let jira_listener = bind(config.listen).await?;
        let control_listener = bind(config.control_listen).await?;
        let local = |listener: &TcpListener, asked: SocketAddr| listener.local_addr().unwrap_or(asked).to_string();
        let base_url = format!("http://{}{}", local(&jira_listener, config.listen), config.context_path);
        let control_url = format!("http://{}", local(&control_listener, config.control_listen));
        let (stop, stopped) = watch::channel(false);
        let hub = Arc::new(Hub::new(&config, base_url.clone(), stopped.clone()));
        let tasks = vec![
            tokio::spawn(server::serve(hub.clone(), jira_listener, stopped.clone())),
            tokio::spawn(control::serve(hub.clone(), control_listener, stopped)),
        ];
        Ok(Running { base_url, control_url, hub, stop, tasks })
    }
}

fn check(config: &Config) -> Result<(), StartError> {
    let cloud = config.personality == Personality::Cloud;
    let path = &config.context_path;
    let named = path.strip_prefix('/').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    if !path.is_empty() && (cloud || !named) {
        return Err(StartError::ContextPath(path.clone()));
    }
    if cloud && config.sites.is_empty() {
        return Err(StartError::Site(String::new()));
    }
    for (place, name) in config.sites.iter().enumerate().filter(|_| cloud) {
        let sane = !name.is_empty()
            && name.len() <= 63
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !sane || config.sites[..place].contains(name) {
            return Err(StartError::Site(name.clone()));
        }
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|reason| StartError::Listen { address, reason })
}

/// A running simulator. Dropping it stops it.
pub struct Running {
    base_url: String,
    control_url: String,
    hub: Arc<Hub>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where Jira is, without a trailing slash: `http://127.0.0.1:PORT`, with the context path.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where the control API is, without a trailing slash.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// The accounts and their fake credentials: the administrator first, then the ordinary user.
    pub fn accounts(&self) -> Vec<AccountAccess> {
        let world = self.hub.world();
        let people = world.sites[0].accounts.iter().enumerate().filter(|(_, account)| !account.service);
        people.map(|(place, account)| world.login.access(place, account)).collect()
    }

    /// The Cloud sites: the first is the one at [`Running::base_url`].
    pub fn sites(&self) -> Vec<SiteAddress> {
        let world = self.hub.world();
        let address = |site: &crate::state::Jira| SiteAddress {
            name: site.name.clone(),
            host: format!("{}.atlassian.net", site.name),
            cloud_id: site.cloud_id.clone(),
        };
        world.sites.iter().filter(|site| site.cloud()).map(address).collect()
    }

    /// Stops listening, ends open connections and pending deliveries.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("base_url", &self.base_url).field("control_url", &self.control_url).finish()
    }
}
