//! The command line. Results go to stdout, everything else to stderr.
//!
//! Exit codes: 0 done, 2 bad input, 3 permanent failure, 4 transient (come back later), 5 uncertain (a write whose
//! answer was lost), 1 anything else. `quota` has its own: 0 fine, 1 near the limit, 2 full, 3 cannot tell.

mod alarms;
mod ask;
mod backup;
mod card_fields;
mod card_reference;
mod cards;
mod connection;
mod dead_letters;
mod deliveries;
mod ending;
mod flow;
mod help;
mod hidden;
mod history;
mod holds;
mod input;
mod inspect;
mod oauth_client;
mod output;
mod progress;
mod rotate_key;
mod runs;
mod serve;
mod shield;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{FromArgMatches as _, Parser, Subcommand};
use serde_json::json;

use crate::clock::SystemClock;
use crate::egress::{Detour, DetourError, Detours};
use crate::host::{Home, Host, HostError};
use crate::observe::{LEVELS, LogFormat, Logging};
use crate::plugin::{Compiler, Limits, compile_if_asked};
use output::Output;

/// A workflow host: connections, event cards, action cards and flows, for connectors that are WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "harness", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    /// Where the data lives [default: $XDG_DATA_HOME/workflow-harness or ~/.local/share/workflow-harness]
    #[arg(long, global = true, env = "HARNESS_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// The file with the vault's key [default: vault.key in the home]
    #[arg(long, global = true, env = "HARNESS_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print results, and failures, as JSON
    #[arg(long, global = true)]
    json: bool,
    /// How log lines are written to stderr
    #[arg(long, global = true, env = "HARNESS_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Send requests to an address to this machine instead: https://api.example.com=http://127.0.0.1:8080, or
    /// https://*.example.com=… for all names below; several with commas. For trying things out
    #[arg(long, global = true, env = "HARNESS_CONNECT_TO", value_name = "ORIGIN=ORIGIN", value_delimiter = ',')]
    connect_to: Vec<Given>,
    /// Export traces to the collector at this URL, as OTLP over HTTP
    #[arg(long, global = true, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL")]
    otlp_endpoint: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// A detour; none where a variable of the environment is there and says nothing.
#[derive(Debug, Clone)]
struct Given(Option<Detour>);

impl FromStr for Given {
    type Err = DetourError;

    fn from_str(text: &str) -> Result<Self, DetourError> {
        if text.trim().is_empty() { Ok(Self(None)) } else { text.parse().map(|detour| Self(Some(detour))) }
    }
}

const EXAMPLES: &str = "Examples:
  harness inspect connector.wasm
  harness connection add demo --connector connector.wasm
  harness connection add demo --connector connector.wasm --method api-token \\
    --set site=demo.example.com --set email=you@example.com \\
    --secret token=@token.txt
  harness card list --connection demo
  harness run call-api --connection demo --input '{\"path\": \"myself\"}'
  harness serve --listen 127.0.0.1:8090 \\
    --public-url https://hooks.example.com --flows flows/

Exit codes: 0 done, 2 bad input, 3 permanent failure, 4 come back later, 5 uncertain (a write whose answer was lost),
1 anything else. HARNESS_LOG=info (or debug) shows more of what goes on, --log-format json for machines.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a component is: its manifest, imports, exports and size
    Inspect(inspect::Inspect),
    /// Make, list, show, check, change and remove connections
    Connection(connection::Connections),
    /// Make, list, show, change and remove OAuth clients: what is registered at a service once, for many connections
    OauthClient(oauth_client::OauthClients),
    /// List and show cards
    Card(cards::Cards),
    /// List the values that a field of a card may hold, live from the service
    Options(cards::Options),
    /// Show the schema of a card once some of its input is known
    Schema(cards::Schema),
    /// Run an action card and print its output
    Run(cards::Run),
    /// Count registrations for deliveries against the service's limit (exit 0 fine, 1 near, 2 full, 3 cannot tell)
    Quota(deliveries::Quota),
    /// Subscribe to an event card
    Subscribe(deliveries::Subscribe),
    /// List subscriptions and what is registered for them
    Subscriptions(deliveries::Subscriptions),
    /// End a subscription
    Unsubscribe(deliveries::Unsubscribe),
    /// Look at captured deliveries
    Event(deliveries::Events),
    /// Take in deliveries and run flows, until stopped
    Serve(serve::Serve),
    /// Copy the home's data into a file, also while it is served
    Backup(backup::Backup),
    /// Put a backup in the place of a home's data
    Restore(backup::Restore),
    /// Put another key in the place of the vault's, also while the home is served
    RotateKey(rotate_key::RotateKey),
    /// List what somebody should look at
    Alarms(alarms::Alarms),
    /// Check flows, and go through one with a sample event
    Flow(flow::Flows),
    /// List, show, retry and cancel runs of flows
    Runs(runs::Runs),
    /// List what failed or is uncertain and waits for a person: runs and deliveries
    DeadLetters(dead_letters::DeadLetters),
    /// List and lift what is left alone because a service asked for it
    Holds(holds::Holds),
    /// List and show events, those without a flow too
    Events(history::Events),
}

impl Command {
    /// Whether it may make a home where there is none. What only looks at a home does not: it would show the empty one
    /// that a mistyped name makes. What works on a component file keeps compiled code there.
    fn may_make_home(&self) -> bool {
        match self {
            Self::Serve(_) | Self::Restore(_) | Self::Inspect(_) | Self::Event(_) => true,
            Self::Connection(command) => command.adds(),
            Self::OauthClient(command) => command.adds(),
            Self::Card(command) => command.is_of_component(),
            Self::Flow(command) => command.is_of_component(),
            _ => false,
        }
    }
}

/// How long work that was cut off may hold up the end of the process.
const LAST_WORK: Duration = Duration::from_secs(2);

/// How a command ended that did not fail.
type Done = Result<u8, HostError>;

/// Reads the arguments, does what they say and answers with the exit code.
pub fn main() -> ExitCode {
    shield::raise();
    if let Some(done) = compile_if_asked() {
        return done;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let json = arguments.iter().any(|one| one == "--json");
    let quota = is_quota(&arguments);
    let parsed = help::command().try_get_matches_from(&arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            Output::new(false).text(&error.render().to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse_arguments(&error, json, quota),
    };
    let usual = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    let logging = Logging { format: cli.log_format, usual, otlp_endpoint: cli.otlp_endpoint.clone() };
    let output = Output::new(cli.json);
    // Whoever reads the log of a service as JSON reads its end there too.
    let into_log = !cli.json && cli.log_format == LogFormat::Json && matches!(cli.command, Command::Serve(_));
    let mut logged = false;
    if let Err(given) = logging.level() {
        let message = format!("HARNESS_LOG is `{given}`, which is no level");
        let error = HostError::bad_input("log-level", message, format!("Set it to one of: {}.", LEVELS.join(", ")));
        output.failure(&error);
        return ExitCode::from(if quota { 3 } else { 2 });
    }
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = match logging.start(&SystemClock::shared(), runtime.handle()) {
                Ok(exporting) => runtime.block_on(async {
                    let outcome = run(cli, &output).await;
                    if let (Err(error), true) = (&outcome, into_log) {
                        let json = error.to_json();
                        let (code, remedy) = (json["code"].as_str(), json["remedy"].as_str());
                        tracing::error!(code, remedy, "{error}");
                        logged = true;
                    }
                    if let Some(exporting) = exporting {
                        exporting.finish().await;
                    }
                    outcome
                }),
                Err(reason) => Err(HostError::bad_input(
                    "otlp-endpoint",
                    format!("traces cannot be exported: {reason}"),
                    "Name the base of a collector, such as http://127.0.0.1:4318, or leave --otlp-endpoint out.",
                )),
            };
            // What was cut off must not hold up the end.
            runtime.shutdown_timeout(LAST_WORK);
            outcome
        }
        Err(error) => {
            Err(HostError::other("runtime", error.to_string(), "Free some memory or threads, and try again."))
        }
    };
    let code = outcome.unwrap_or_else(|error| {
        if !logged {
            output.failure(&error);
        }
        if quota { 3 } else { error.exit_code() }
    });
    ExitCode::from(code)
}

async fn run(cli: Cli, output: &Output) -> Done {
    let folder = cli.home.or_else(Home::usual_folder);
    if let Command::Inspect(command) = cli.command {
        return progress::shown(|| "looking at the component".into(), command.run(folder.as_deref(), output)).await;
    }
    let folder = folder.ok_or_else(|| {
        HostError::bad_input("home", "it is not known where the data shall live", "Name a folder with --home DIR.")
    })?;
    let home = Home::new(folder, cli.key_file);
    if !home.path().exists() && !cli.command.may_make_home() {
        return Err(HostError::bad_input(
            "home-missing",
            format!("there is no home {}", home.path().display()),
            "Look whether --home (or HARNESS_HOME) is right; `harness connection add`, `oauth-client add`, `serve` and `restore` make one.",
        ));
    }
    match &cli.command {
        Command::Backup(command) => return command.run(&home, output),
        Command::Restore(command) => return command.run(&home, output),
        _ => {}
    }
    let host = Host::open_with(home, SystemClock::shared(), Compiler::this_program(), Limits::default())?;
    let host =
        Arc::new(host.with_detours(Detours::new(cli.connect_to.into_iter().filter_map(|given| given.0).collect()))?);
    let watched = Arc::clone(&host);
    if let Command::Serve(serve) = cli.command {
        let done = serve.run(host, output).await;
        watched.settle_grants().await;
        return done;
    }
    let work = async {
        match cli.command {
            Command::Connection(command) => command.run(&host, output).await,
            Command::OauthClient(command) => command.run(&host, output).await,
            Command::Card(command) => command.run(&host, output).await,
            Command::Options(command) => command.run(&host, output).await,
            Command::Schema(command) => command.run(&host, output).await,
            Command::Run(command) => command.run(&host, output).await,
            Command::Quota(command) => command.run(&host, output).await,
            Command::Subscribe(command) => command.run(&host, output).await,
            Command::Subscriptions(_) => deliveries::list_subscriptions(&host, output).await,
            Command::Unsubscribe(command) => command.run(&host, output).await,
            Command::Event(command) => command.run(&host, output).await,
            Command::RotateKey(command) => command.run(&host, output),
            Command::Alarms(command) => command.run(&host, output),
            Command::Flow(command) => command.run(&host, output).await,
            Command::Runs(command) => command.run(&host, output).await,
            Command::DeadLetters(command) => command.run(&host, output),
            Command::Holds(command) => command.run(&host, output).await,
            Command::Events(command) => command.run(&host, output),
            // Taken care of above: one needs no home, the other runs until it is stopped and shows no progress.
            Command::Inspect(command) => command.run(Some(host.home().path()), output).await,
            Command::Serve(command) => command.run(Arc::clone(&host), output).await,
            Command::Backup(command) => command.run(host.home(), output),
            Command::Restore(command) => command.run(host.home(), output),
        }
    };
    // A call may also have ended before the tokens came that it wanted renewed.
    let work = progress::shown(|| watched.activity(), work);
    ending::unless_signalled(&watched, output, work).await.unwrap_or_else(Ok)
}

fn refuse_arguments(error: &clap::Error, json: bool, quota: bool) -> ExitCode {
    if json {
        let message = error.render().to_string();
        let message = message.trim().strip_prefix("error: ").unwrap_or(message.trim()).to_owned();
        let remedy = "`harness help COMMAND` shows what it takes.";
        let problem = HostError::bad_input("arguments", message, remedy);
        Output::new(true).value(&json!({ "error": problem.to_json() }));
    } else {
        let _ = error.print();
    }
    ExitCode::from(if quota { 3 } else { 2 })
}

/// Whether the command is `quota`, which has exit codes of its own even where its arguments are wrong.
fn is_quota(arguments: &[OsString]) -> bool {
    let mut rest = arguments.iter().skip(1);
    while let Some(one) = rest.next() {
        match one.to_str() {
            Some("--home" | "--key-file" | "--log-format" | "--connect-to" | "--otlp-endpoint") => drop(rest.next()),
            Some(flag) if flag.starts_with('-') => {}
            other => return other == Some("quota"),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_empty_variable_of_detours_is_none() {
        let detours = |given: &str| Cli::try_parse_from(["harness", "alarms", "--connect-to", given]);
        assert!(detours("").unwrap().connect_to.iter().all(|one| one.0.is_none()));
        let one = detours("https://a.example.test=http://127.0.0.1:1,").unwrap();
        assert_eq!(one.connect_to.iter().filter(|one| one.0.is_some()).count(), 1);
        assert!(detours("nonsense").is_err());
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        fn look(command: &clap::Command, path: &str) {
            for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
                let path = format!("{path} {}", one.get_name());
                let help = one.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("harness "), "{path} has no example");
                look(one, &path);
            }
        }
        look(&Cli::command(), "harness");
    }

    #[test]
    fn quota_is_known_even_with_wrong_arguments() {
        let of = |text: &str| is_quota(&text.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(of("harness quota --nonsense"));
        assert!(of("harness --home x --json quota"));
        assert!(!of("harness run quota --connection quota"));
    }
}
