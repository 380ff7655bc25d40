//! `jira-simulator`: starts a Jira on loopback and prints where it is, as one JSON line.

use std::io::Write;
use std::net::SocketAddr;

use clap::Parser;
use jira_simulator::{Config, Consent, Personality, Simulator, Version};

/// A Jira that runs on loopback: state, limits, webhooks and faults, for tests and demonstrations.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  jira-simulator --listen 127.0.0.1:0 --personality cloud
  jira-simulator --listen 127.0.0.1:8089 --personality data-center --jira-version 10.3.0 --json
  jira-simulator | jq -r '.accounts[0] | .email + \":\" + .token'

The first line on stdout is JSON: base_url, control_url, accounts [{name, email, token, password, admin}],
sites [{name, host, cloud_id}].
`GET {control_url}/` lists what can be controlled: faults, time, credentials, settings, webhooks, the wire log.
It runs until it is told to stop (ctrl-c or SIGTERM). All accounts and tokens are fakes, made at each start."
)]
struct Arguments {
    /// Where Jira listens; port 0 picks a free one. Only loopback addresses are accepted.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where the control API listens: another loopback address.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    control_listen: SocketAddr,
    /// Which Jira to be: cloud or data-center.
    #[arg(long, default_value = "cloud")]
    personality: Personality,
    /// The release of a Data Center.
    #[arg(long, default_value_t = Version::DEFAULT, value_name = "V")]
    jira_version: Version,
    /// A Cloud site, as in NAME.atlassian.net; several may be named, the first is at the loopback address.
    #[arg(long = "site", default_value = "demo", value_name = "NAME")]
    sites: Vec<String>,
    /// The context path of a Data Center, such as /jira.
    #[arg(long, default_value = "", value_name = "PATH")]
    context_path: String,
    /// What authorization pages do: ask a person, consent at once (auto), or refuse.
    #[arg(long, default_value = "ask", value_name = "HOW")]
    consent: Consent,
    /// Print only the JSON line, and nothing for people on stderr.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let config = Config {
        listen: arguments.listen,
        control_listen: arguments.control_listen,
        personality: arguments.personality,
        version: arguments.jira_version,
        sites: arguments.sites,
        context_path: arguments.context_path,
        consent: arguments.consent,
    };
    let running = match Simulator::start(config).await {
        Ok(running) => running,
        Err(error) => {
            eprintln!("{error}");
            return std::process::ExitCode::from(2);
        }
    };
    // Before the line is printed: whoever reads it may end the program at once.
    let mut end = match End::listen() {
        Ok(end) => end,
        Err(error) => {
            eprintln!("cannot listen for signals: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let line = serde_json::json!({
        "base_url": running.base_url(),
        "control_url": running.control_url(),
        "accounts": running.accounts(),
        "sites": running.sites(),
    });
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to stop: whoever started it may only want the server.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    drop(out);
    if !arguments.json {
        eprintln!("Jira ({:?}) answers at {}", arguments.personality, running.base_url());
        eprintln!("Control it at {} (GET / lists how). Stop it with ctrl-c.", running.control_url());
    }
    end.wait().await;
    // An answer or a delivery under way must not hold up the end.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), running.shutdown()).await;
    std::process::ExitCode::SUCCESS
}

/// The signals that end the program.
#[cfg(unix)]
struct End {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl End {
    /// Listens for them from now on.
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The signals that end the program.
#[cfg(not(unix))]
struct End;

#[cfg(not(unix))]
impl End {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn wait(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
