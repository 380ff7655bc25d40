//! `harness serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Done;
use super::ending::signalled;
use super::output::Output;
use crate::engine::{self, Ready, Serving};
use crate::host::{Host, HostError};
use crate::store::{IDS_AT_LEAST, Keeping};

/// The exit code where what had begun was cut off.
const CUT_OFF: u8 = 4;
/// The exit code after a second signal: as if the first had ended it.
const AT_ONCE: i32 = 130;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness serve --listen 127.0.0.1:8090 \\
    --public-url https://hooks.example.com --flows flows/
  harness serve --listen 127.0.0.1:8090 --admin 127.0.0.1:9090 \\
    --log-format json
  harness serve --listen 127.0.0.1:0 --json

Prints one line when it is ready, and what somebody should look at, such as flows that were set aside. Deliveries are acknowledged once they are on disk.
SIGTERM or ctrl-c ends it: what has begun is brought to its end, the rest goes on at the next start (exit 0; 4 where
--stop-within was too short). A second one ends it at once; nothing that was acknowledged is lost then either.

With --admin: /livez says that it runs, /readyz whether it works and why not, /metrics counts (Prometheus).
  curl -s http://127.0.0.1:9090/readyz | jq .troubles")]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The URL at which services reach it [default for a loopback address: the address itself]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The folder with the flows: files that end in .yaml, .yml or .json
    #[arg(long, value_name = "DIR")]
    flows: Option<PathBuf>,
    /// Do not start where one of the flows cannot run [default: it is set aside, and the others are served]
    #[arg(long, requires = "flows")]
    strict: bool,
    /// Where health and metrics are shown to the operator: a loopback address
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Allow --admin at an address that others reach. Whoever does sees the names of connections and flows
    #[arg(long, requires = "admin")]
    admin_anywhere: bool,
    /// How long what has begun may take to end after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    stop_within: std::time::Duration,
    /// For how long deliveries that were read are kept, with their bodies
    #[arg(long, value_name = "TIME", default_value = "7days", value_parser = humantime::parse_duration)]
    keep_deliveries: std::time::Duration,
    /// For how long runs that did not fail, and events, are kept. What waits, failed or is uncertain always is
    #[arg(long, value_name = "TIME", default_value = "30days", value_parser = humantime::parse_duration)]
    keep_history: std::time::Duration,
    /// For how long ids are kept, so that what comes again starts nothing twice; alarms too. At least 90 days
    #[arg(long, value_name = "TIME", default_value = "90days", value_parser = humantime::parse_duration)]
    keep_ids: std::time::Duration,
}

impl Serve {
    pub(super) async fn run(self, host: Arc<Host>, output: &Output) -> Done {
        if let Some(address) = self.admin.filter(|address| !address.ip().is_loopback() && !self.admin_anywhere) {
            return Err(HostError::bad_input(
                "admin",
                format!("--admin {address} can be reached by others, and whoever reaches it needs no password"),
                "Use a loopback address such as 127.0.0.1:9090; or add --admin-anywhere if only trusted machines reach it.",
            ));
        }
        if self.keep_ids < IDS_AT_LEAST {
            return Err(HostError::bad_input(
                "keep-ids",
                "--keep-ids is shorter than 90 days: a delivery that a service sends again could start a flow twice",
                "Give at least 90days, or leave it out.",
            ));
        }
        host.store().keep_for(Keeping {
            deliveries: self.keep_deliveries,
            history: self.keep_history,
            ids: self.keep_ids,
        });
        let serving = Serving {
            public_url: self.public_url,
            flows: self.flows.as_deref(),
            strict: self.strict,
            admin: self.admin,
            patience: self.stop_within,
            ..Serving::at(self.listen)
        };
        let ready = |ready: &Ready| {
            let json = json!({
                "listen": ready.listen.to_string(),
                "admin": ready.admin.map(|address| address.to_string()),
                "public-url": ready.public_url,
                "flows": ready.flows,
                "troubles": ready.troubles,
            });
            output.result(&json, || ready_text(ready));
        };
        let ended = engine::serve(host, serving, ready, stopped()).await?;
        output.result(&ended.to_json(), || {
            let (deliveries, runs) = (ended.deliveries, ended.runs);
            let how = if ended.clean { "stopped" } else { "stopped before all that had begun came to its end" };
            format!("{how}; {deliveries} deliveries and {runs} runs go on at the next start")
        });
        Ok(if ended.clean { 0 } else { CUT_OFF })
    }
}

fn ready_text(ready: &Ready) -> String {
    let (listen, public_url, flows) = (ready.listen, &ready.public_url, ready.flows);
    let mut lines = vec![format!("ready: listening on {listen}, reached at {public_url}, {flows} flows")];
    lines.extend(ready.admin.map(|admin| format!("  health and metrics: http://{admin}/readyz, /metrics")));
    for one in &ready.troubles {
        let connection = one.connection.as_deref().map(|name| format!(" `{name}`")).unwrap_or_default();
        lines.push(format!("  look at{connection}: {} ({})", one.message, one.code));
        lines.push(format!("    what to do: {}", one.remedy));
    }
    lines.join("\n")
}

/// Ends at the first signal; a second one ends the process.
async fn stopped() {
    signalled().await;
    // A line of the log, so that all of it has the form that was asked for.
    tracing::info!("stopping: what has begun comes to its end; once more ends it at once");
    tokio::spawn(async {
        signalled().await;
        process::exit(AT_ONCE);
    });
}
