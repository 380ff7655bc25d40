//! One command from nothing: `harness run create-issue` from the start of its process to the key.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use wait4::Wait4 as _;

use crate::create;
use crate::homes::SpareHome;
use crate::report::{Figure, Report};
use crate::rounds::{Samples, micros};
use crate::stage::{CONNECTION, Stage};

const ROUNDS: usize = 15;

/// As a small process of its own: runs a command, and prints how long it took and how large it became. The largest
/// size of a process counts what its parent had when it was started, so the parent has to be small.
pub(crate) fn watch(command: &[String]) -> Result<()> {
    let [program, arguments @ ..] = command else { bail!("nothing to run") };
    let began = Instant::now();
    let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("no pipe")?;
    let mut answer = vec![0; 1];
    stdout.read_exact(&mut answer).context("it answered nothing")?;
    let answered = began.elapsed();
    stdout.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let used = child.wait4()?;
    let ended = began.elapsed();
    ensure!(used.status.success(), "{program} ended with {}: {answer}", used.status);
    println!(
        "{}",
        json!({
            "answered-us": micros(answered),
            "ended-us": micros(ended),
            "cpu-us": micros(used.rusage.utime + used.rusage.stime),
            "resident": used.rusage.maxrss,
            "answer": answer,
        })
    );
    Ok(())
}

/// Runs a command under [`watch`].
pub(crate) fn watched(command: &Command) -> Result<Value> {
    let output = Command::new(std::env::current_exe()?)
        .arg("watch")
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "a watched command ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The component's code lies in the cache, and the connection is proven.
pub(crate) fn run(stage: &Stage, report: &mut Report) -> Result<()> {
    let home = SpareHome::connected(stage, stage.fixed.quick)?;
    let mut command = home.harness(stage);
    let input = create::input().to_string();
    command.args(["run", "create-issue", "--connection", CONNECTION, "--json", "--input", &input]);
    let (mut wall, mut ended, mut cpu, mut resident) = <(Samples, Samples, Samples, Samples)>::default();
    for round in 0..=ROUNDS {
        let told = watched(&command)?;
        ensure!(told["answer"].as_str().is_some_and(|answer| answer.contains("DEMO-1")), "no key: {told}");
        if round > 0 {
            let number = |name: &str| told[name].as_f64().with_context(|| format!("no {name} in {told}"));
            wall.push(number("answered-us")? / 1000.0);
            ended.push(number("ended-us")? / 1000.0);
            cpu.push(number("cpu-us")? / 1000.0);
            resident.push(number("resident")? / f64::from(1 << 20));
        }
    }
    report.add(Figure::of("cold-run", &wall, "ms").at_most(60.0));
    report.add(Figure::of("cold-run-end", &ended, "ms"));
    report.add(Figure::of("cold-run-cpu", &cpu, "ms"));
    report.add(Figure::of("cold-run-resident", &resident, "MiB").at_most(60.0));
    Ok(())
}
