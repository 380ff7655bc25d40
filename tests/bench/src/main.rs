//! `bench`: measures the host and the connector against what they are compared with. Run by `cargo xtask bench`, which
//! builds everything first.
//!
//! What is measured runs on one core, what it talks to on the other: `fixed` is a server with canned answers in a
//! process of its own. Whatever is compared is measured in the same run, in turns, and stands in one line of the
//! `report` with its ratio. One file per group of benches.

mod bare;
mod bodies;
mod call;
mod child;
mod cold;
mod create;
mod decode;
mod fixed;
mod flow;
mod homes;
mod intake;
mod load;
mod machine;
mod memory;
mod native;
mod peers;
mod report;
mod rounds;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::report::Report;
use crate::stage::Stage;

/// What is asked for on the command line.
#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measures the host and the connector, and compares them in the same run")]
struct Arguments {
    /// The benches to run, by name or the beginning of one; all where none is given
    names: Vec<String>,
    /// Print one JSON line for each figure instead of a table
    #[arg(long)]
    json: bool,
    /// Compare with other people's clients too, whose packages are installed in this folder
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    /// End with exit code 1 where a figure misses its goal
    #[arg(long)]
    check: bool,
    /// List the benches and end
    #[arg(long)]
    list: bool,
    /// The folder `target` with the component and the programs
    #[arg(long, hide = true, default_value = "target")]
    target: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program does as a child of itself.
#[derive(Subcommand)]
enum Part {
    /// Answers as Jira does, with canned bytes, until stdin ends
    #[command(hide = true)]
    Fixed,
    /// Keeps bodies, and proves nothing
    #[command(hide = true)]
    Bare {
        /// The database
        file: PathBuf,
    },
    /// Calls that hang, and what they take of memory
    #[command(hide = true)]
    InFlight {
        /// The home
        home: PathBuf,
        /// The server with canned answers
        server: std::net::SocketAddr,
        /// How many
        calls: usize,
    },
    /// Runs a command and prints what it used
    #[command(hide = true)]
    Watch {
        /// The command
        command: Vec<String>,
    },
    /// The receiver of a home, alone
    #[command(hide = true)]
    Receive {
        /// The home
        home: PathBuf,
    },
}

/// A bench: its name, what it measures, and how.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&Stage, &mut Report) -> Result<()>,
}

const BENCHES: &[Bench] = &[
    Bench { name: "call-overhead", about: "a call that does nothing, in a fresh instance", run: call::overhead },
    Bench { name: "component-size", about: "the connector's file", run: call::component_size },
    Bench { name: "cached-load", about: "loading the connector, compiled before", run: call::cached_load },
    Bench { name: "create-issue-cpu", about: "processor time of creating an issue, 32 at once", run: create::cpu },
    Bench { name: "create-issue-latency", about: "creating one issue after the other", run: create::latency },
    Bench { name: "cold-run", about: "`harness run` from the start of its process to the key", run: cold::run },
    Bench { name: "decode-webhook", about: "reading a delivery, against the same core natively", run: decode::webhook },
    Bench { name: "intake-throughput", about: "deliveries taken in, as many as can be", run: intake::throughput },
    Bench { name: "intake-ack", about: "how long acknowledgements take while flows are stalled", run: intake::latency },
    Bench {
        name: "flow-throughput",
        about: "events through a flow of one step, with a year's history",
        run: flow::throughput,
    },
    Bench { name: "memory", about: "of idle connections and of calls in flight", run: memory::measure },
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.part {
        Some(Part::Fixed) => fixed::serve().map(|()| ExitCode::SUCCESS),
        Some(Part::Bare { file }) => bare::serve(file).map(|()| ExitCode::SUCCESS),
        Some(Part::Receive { home }) => intake::receive(home).map(|()| ExitCode::SUCCESS),
        Some(Part::InFlight { home, server, calls }) => memory::hang(home, *server, *calls).map(|()| ExitCode::SUCCESS),
        Some(Part::Watch { command }) => cold::watch(command).map(|()| ExitCode::SUCCESS),
        None => run(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        for bench in BENCHES {
            println!("{:24}{}", bench.name, bench.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = match (&arguments.peers, arguments.names.as_slice()) {
        // With nothing but peers asked for, they alone.
        (Some(_), [only]) if only == "peers" => Vec::new(),
        (_, names) => choose(names)?,
    };
    let stage = Stage::open(&arguments.target)?;
    let mut report = Report::new(arguments.json, chosen.len() + usize::from(arguments.peers.is_some()));
    let mut broken = 0;
    for bench in chosen {
        report.begin(bench.name);
        if let Err(error) = (bench.run)(&stage, &mut report) {
            broken += 1;
            report.broken(bench.name, &error);
        }
    }
    if let Some(installed) = &arguments.peers {
        report.begin("peers");
        if let Err(error) = peers::compare(&stage, &mut report, &std::path::absolute(installed)?) {
            broken += 1;
            report.broken("peers", &error);
        }
    }
    let missed = report.finish();
    Ok(match (broken, missed) {
        (1.., _) => ExitCode::from(2),
        (0, 1..) if arguments.check => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn choose(names: &[String]) -> Result<Vec<&'static Bench>> {
    for name in names {
        if !BENCHES.iter().any(|bench| bench.name.starts_with(name.as_str())) {
            let known: Vec<_> = BENCHES.iter().map(|bench| bench.name).collect();
            anyhow::bail!("there is no bench `{name}`; there are: {}", known.join(", "));
        }
    }
    let wanted = |bench: &&Bench| names.is_empty() || names.iter().any(|name| bench.name.starts_with(name.as_str()));
    Ok(BENCHES.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_bench_is_chosen_by_the_beginning_of_its_name() {
        let chosen = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            choose(&names).map(|benches| benches.iter().map(|bench| bench.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&["create-issue"]).unwrap(), ["create-issue-cpu", "create-issue-latency"]);
        assert_eq!(chosen(&[]).unwrap().len(), BENCHES.len());
        let unknown = chosen(&["nonsense"]).unwrap_err().to_string();
        assert!(unknown.contains("`nonsense`") && unknown.contains("call-overhead"), "{unknown}");
    }
}
