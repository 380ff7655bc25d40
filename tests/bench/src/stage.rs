//! What the benches share: the fixed-answer server, a home with a proven connection, and a runtime on one core.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use host_harness::clock::SystemClock;
use host_harness::host::{Home, Host, HostError, NewConnection};
use host_harness::vault::Secret;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::fixed::FixedAnswers;
use crate::machine::{Side, keep_to};

/// The connection that the benches use.
pub(crate) const CONNECTION: &str = "bench";

/// What the benches share.
pub(crate) struct Stage {
    pub(crate) fixed: FixedAnswers,
    pub(crate) host: Arc<Host>,
    runtime: Runtime,
    folder: TempDir,
    target: PathBuf,
}

impl Stage {
    /// Starts the server and makes a home with a connection to it. From here on this process keeps to its core.
    pub(crate) fn open(target: &Path) -> Result<Self> {
        keep_to(Side::Measured);
        let target = std::path::absolute(target)?;
        let component = component_in(&target);
        ensure!(component.is_file(), "{} is missing: run `cargo xtask build`", component.display());
        let fixed = FixedAnswers::start()?;
        // One worker: what is measured has one core.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&target)?;
        let home = Home::new(folder.path().join("home"), None);
        let host = runtime.block_on(async {
            let host = Arc::new(Host::open(home, SystemClock::shared()).map_err(failed)?);
            connect(&host, CONNECTION, &component, &format!("http://{}", fixed.quick)).await?;
            anyhow::Ok(host)
        })?;
        Ok(Self { fixed, host, runtime, folder, target })
    }

    /// Runs a future to its end.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The connector.
    pub(crate) fn component(&self) -> PathBuf {
        component_in(&self.target)
    }

    /// The folder `target`.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The folder of the home.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
}

fn component_in(target: &Path) -> PathBuf {
    target.join("component/jira_connector.wasm")
}

/// Makes a proven connection.
pub(crate) async fn connect(host: &Host, name: &str, component: &Path, site: &str) -> Result<()> {
    let new = NewConnection {
        name: name.to_owned(),
        component: component.to_owned(),
        method: "api-token".to_owned(),
        fields: vec![
            ("site".to_owned(), site.to_owned()),
            ("email".to_owned(), "administrator@example.test".to_owned()),
        ],
        secrets: vec![("token".to_owned(), Secret::new("obviously-fake-token"))],
        allow_private: true,
        ..NewConnection::default()
    };
    host.add_connection(new).await.map_err(failed)?;
    let checked = host.check_connection(name, false).await.map_err(failed).context("checking the connection")?;
    ensure!(checked.proven, "the connection is not proven: {}", checked.to_json());
    Ok(())
}

/// The host's error as this program shows errors.
pub(crate) fn failed(error: HostError) -> anyhow::Error {
    anyhow!("{}", error.to_json())
}
