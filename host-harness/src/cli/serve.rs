//! `harness serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Done;
use super::output::Output;
use crate::engine::{self, Serving};
use crate::host::Host;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness serve --listen 127.0.0.1:8090 --public-url https://hooks.example.com --flows flows/
  harness serve --listen 127.0.0.1:0 --json

Prints one line when it is ready. Deliveries are acknowledged once they are on disk. SIGTERM or ctrl-c ends it: what
has begun is brought to its end, the rest goes on at the next start.")]
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
}

impl Serve {
    pub(super) async fn run(self, host: Arc<Host>, output: &Output) -> Done {
        let serving = Serving { listen: self.listen, public_url: self.public_url, flows: self.flows.as_deref() };
        let ready = |listen: SocketAddr, public_url: &str, flows: usize| {
            let json = json!({ "listen": listen.to_string(), "public-url": public_url, "flows": flows });
            output.result(&json, || format!("ready: listening on {listen}, reached at {public_url}, {flows} flows"));
        };
        engine::serve(host, serving, ready, stopped()).await?;
        Ok(0)
    }
}

async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
