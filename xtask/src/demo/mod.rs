//! `cargo xtask demo`: what the connector and the host do, shown with the real
//! programs: `harness` and `jira-simulator`, run as a person would run them.

mod attacks;
mod flow;
mod harness;
mod story;

use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

use self::harness::Harness;
use self::story::Story;
use crate::scene::{Scene, tail};
use crate::simulator::Simulator;
use crate::workspace::Workspace;
use crate::{build, native};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask demo
  cargo xtask demo --json | jq .passed

Needs no account and no network but what cargo needs to compile. Everything listens on
this machine only; every file it makes is in a temporary folder that it removes.
Exit code 0: all was proved. 1: something was not, and the last lines say what.")]
pub(crate) struct DemoArguments {
    /// Print one JSON document on stdout; the story goes to stderr
    #[arg(long)]
    json: bool,
}

/// The folder of flow files the demonstration serves.
const FLOWS: &str = "examples/flows";

/// What will be told.
const PLAN: &str = "
  1. compile the connector and the programs
  2. start a simulated Jira, look at what the connector may do, connect to Jira with an API token
  3. serve a flow: new bugs are marked; create a bug and see Jira's webhook start the flow
  4. attack: a forged delivery, a delivery sent twice, a revoked token
  5. say what was proved";

/// The people, programs and secrets of the story.
struct Stage<'a> {
    workspace: &'a Workspace,
    /// Where the component lies, as a person in the repository's root types it.
    component: String,
    jira: Simulator,
    harness: Harness<'a>,
}

pub(crate) fn run(workspace: &Workspace, arguments: &DemoArguments) -> Result<ExitCode> {
    let mut story = Story::begin(arguments.json);
    story.say("A Jira connector in one sandboxed file, and the workflow host that runs it: the whole story.");
    story.say("Nothing here needs an account, and nothing listens beyond this machine.");
    story.say(PLAN);
    if !native::program(workspace, "harness").exists() {
        story.say(
            "\nFirst everything is compiled, the WebAssembly runtime too: 5 to 10 minutes on two cores, this once. \
             Until then cargo reports below what it is at; the story itself takes half a minute.",
        );
    }
    story.say(
        "\nIn two stages: the connector, to WebAssembly; the host and the simulated Jira, to programs of this machine.",
    );
    // A person may press Ctrl-C while cargo compiles: cargo then ends by itself.
    let prepared =
        story.step("Compile", "The connector becomes one WebAssembly file; the programs become native.", |step| {
            eprintln!("stage 1 of 2: the connector, for wasm32-unknown-unknown");
            let connector = build::connector(workspace)?;
            eprintln!("stage 2 of 2: `harness` and `jira-simulator`, for this machine");
            native::build(workspace)?;
            step.proved(&format!("the connector is {} bytes: {}", connector.size, connector.path.display()));
            Ok(())
        });

    let outcome = prepared.and_then(|()| {
        let scene = Scene::open()?;
        let outcome = tell(workspace, &scene, &mut story);
        if outcome.is_err() {
            report_logs(&scene, &story);
        }
        outcome
    });
    story.end(&outcome.map_err(|error| format!("{error:#}")))
}

fn tell(workspace: &Workspace, scene: &Scene, story: &mut Story) -> Result<()> {
    let jira = story.step(
        "A Jira comes up",
        "A simulated Jira Cloud with a project DEMO, an administrator and an ordinary user.",
        |step| {
            step.command(&["jira-simulator"], &Simulator::ARGUMENTS);
            let jira = Simulator::start(workspace, scene)?;
            step.proved(&format!("it answers at {}", jira.site()));
            Ok(jira)
        },
    )?;
    let home = scene.folder().join("home");
    story.say(&format!("(Below, `harness` stands for `target/release/harness --home {}`.)", home.display()));
    let component = workspace.components().join("jira_connector.wasm");
    let component = workspace.relative(&component).display().to_string();
    let stage = Stage { workspace, component, jira, harness: Harness::new(workspace, scene, home) };
    let run = flow::tell(&stage, story)?;
    attacks::tell(&stage, story, &run)
}

/// What the servers said, for whoever finds out what went wrong.
fn report_logs(scene: &Scene, story: &Story) {
    let folder = scene.keep_folder();
    for name in ["jira-simulator", "harness-serve"] {
        let said = tail(&folder.join(name).with_extension("log"));
        if !said.is_empty() {
            story.say(&format!("The last words of {name}:\n{said}"));
        }
    }
    story.say(&format!("Kept for you to look into: {}", folder.display()));
}
