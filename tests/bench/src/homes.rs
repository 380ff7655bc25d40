//! Homes for programs that are measured as processes of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use host_harness::clock::SystemClock;
use host_harness::host::{Ensuring, Home, Host, NewSubscription};
use serde_json::json;
use tempfile::TempDir;

use crate::bodies;
use crate::child::Part;
use crate::load::Target;
use crate::native::Native;
use crate::stage::{CONNECTION, Stage, connect, failed};

/// A home in a folder of its own, in which the connector is compiled already. Removed when dropped.
pub(crate) struct SpareHome {
    folder: TempDir,
}

impl SpareHome {
    /// A home with a proven connection to a site.
    pub(crate) fn connected(stage: &Stage, site: SocketAddr) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(stage.target())?;
        let spare = Self { folder };
        copy(&stage.home().join("cache"), &spare.path().join("cache"))?;
        let host = spare.open()?;
        stage.wait(connect(&host, CONNECTION, &stage.component(), &format!("http://{site}")))?;
        Ok(spare)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Its database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("harness.db")
    }

    /// A place for files beside it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The host of it in this process.
    pub(crate) fn open(&self) -> Result<Arc<Host>> {
        Ok(Arc::new(Host::open(Home::new(self.path(), None), SystemClock::shared()).map_err(failed)?))
    }

    /// A flow of one step: what was created is created once more.
    pub(crate) fn with_flow(self) -> Result<Self> {
        let flow = json!({
            "name": "copy",
            "on": { "event": "issue-created", "connection": CONNECTION, "filter": { "projects": ["DEMO"] } },
            "steps": [{
                "id": "create", "action": "create-issue", "connection": CONNECTION,
                "input": { "project": "DEMO", "issue-type": "Bug", "summary": "Copy of ${{ event.issue.key }}" },
            }],
        });
        std::fs::create_dir_all(self.beside("flows"))?;
        std::fs::write(self.beside("flows/copy.json"), flow.to_string())?;
        Ok(self)
    }

    /// Registers for events; the receiver itself need not be there.
    pub(crate) fn registered(self, stage: &Stage) -> Result<Self> {
        let host = self.open()?;
        stage.wait(async {
            let new = NewSubscription { connection: CONNECTION, card: "issue-created", filter: json!({}), flow: None };
            host.keep_subscription(new).await.map_err(failed)?;
            host.ensure(CONNECTION, Ensuring::Apply(Some("http://127.0.0.1:9"))).await.map_err(failed)
        })?;
        Ok(self)
    }

    /// `harness serve` on it, once it is ready, and where it listens.
    pub(crate) fn serve(&self, stage: &Stage) -> Result<(Part, SocketAddr)> {
        let log = std::fs::File::create(self.beside("serve.log"))?;
        let mut command = self.harness(stage);
        command.args(["serve", "--listen", "127.0.0.1:0", "--json"]).stderr(log);
        // A year's history stays: what is measured is to have it, not to delete it.
        command.args(["--keep-deliveries", "400days", "--keep-history", "400days", "--keep-ids", "400days"]);
        if self.beside("flows").exists() {
            command.arg("--flows").arg(self.beside("flows"));
        }
        let part = Part::from(&mut command).with_context(|| {
            let told = std::fs::read_to_string(self.beside("serve.log")).unwrap_or_default();
            format!("harness serve said: {told}")
        })?;
        let ready: serde_json::Value = serde_json::from_str(&part.greeting)?;
        let address = ready["listen"].as_str().context("where does it listen?")?.parse()?;
        Ok((part, address))
    }

    /// The program `harness` on this home.
    pub(crate) fn harness(&self, stage: &Stage) -> Command {
        let mut command = Command::new(stage.target().join("release/harness"));
        command.arg("--home").arg(self.path()).stdin(Stdio::null());
        for name in ["HARNESS_HOME", "HARNESS_KEY_FILE", "HARNESS_LOG", "RUST_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Deliveries as Jira would send them for the webhook that was registered last.
    pub(crate) fn deliveries(&self, stage: &Stage, receiver: SocketAddr) -> Result<Target> {
        let hooks = stage.wait(async { Native::new(stage.fixed.quick)?.hooks().await })?;
        let hook = hooks.last().context("no webhook is registered")?;
        let url = hook["url"].as_str().context("a webhook without a URL")?;
        let path = url.splitn(4, '/').nth(3).context("a webhook's URL without a path")?;
        let secret = hook["secret"].as_str().context("a webhook without a secret")?;
        Target::new(receiver, &format!("/{path}"), secret, bodies::delivery().to_string().as_bytes())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        // Keeps the file's rights: the key file is readable by its owner only.
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
