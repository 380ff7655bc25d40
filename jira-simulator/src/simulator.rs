//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::Site;
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
}

impl Default for Config {
    /// A Cloud on two free ports of 127.0.0.1.
    fn default() -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { listen: anywhere, control_listen: anywhere, personality: Personality::Cloud, version: Version::DEFAULT }
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is reachable from other machines; a Jira with fake tokens must not be.
    #[error("{0} is not a loopback address: listen on 127.0.0.1 or [::1]")]
    NotLoopback(SocketAddr),
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

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Binds both listeners and serves on the current tokio runtime until [`Running::shutdown`] or drop.
    ///
    /// # Errors
    /// An address that is not loopback or cannot be bound.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let jira_listener = bind(config.listen).await?;
        let control_listener = bind(config.control_listen).await?;
        let local = |listener: &TcpListener, asked: SocketAddr| listener.local_addr().unwrap_or(asked).to_string();
        let base_url = format!("http://{}", local(&jira_listener, config.listen));
        let control_url = format!("http://{}", local(&control_listener, config.control_listen));
        let (stop, stopped) = watch::channel(false);
        let site = Arc::new(Site::new(config.personality, config.version, base_url.clone(), stopped.clone()));
        let tasks = vec![
            tokio::spawn(server::serve(site.clone(), jira_listener, stopped.clone())),
            tokio::spawn(control::serve(site.clone(), control_listener, stopped)),
        ];
        Ok(Running { base_url, control_url, site, stop, tasks })
    }
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
    site: Arc<Site>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where Jira is, without a trailing slash: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where the control API is, without a trailing slash.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// The accounts and their fake credentials: the administrator first, then the ordinary user.
    pub fn accounts(&self) -> Vec<AccountAccess> {
        self.site.jira().accounts.iter().map(crate::state::account::Account::access).collect()
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
