//! The machine: its cores, and what a process uses of it.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use core_affinity::CoreId;
use rustix::time::{ClockId, clock_gettime};

/// Which side of a measurement a process is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// What is measured.
    Measured,
    /// What it talks to.
    Other,
}

/// How a child learns of the cores that there are: it starts on one of them and sees no other.
pub(crate) const CORES: &str = "BENCH_CORES";

/// The numbers of the cores this process was given when it began.
fn cores() -> &'static [usize] {
    static FOUND: OnceLock<Vec<usize>> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var(CORES) {
        Ok(told) => told.split(',').filter_map(|core| core.parse().ok()).collect(),
        Err(_) => core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect(),
    })
}

/// The same, as a child is told.
pub(crate) fn cores_for_child() -> String {
    cores().iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Keeps this thread, and those it starts from now on, on the core of a side. False where the machine has one core
/// only, or does not let us choose.
pub(crate) fn keep_to(side: Side) -> bool {
    let core = match (side, cores()) {
        (Side::Measured, [first, _, ..]) => *first,
        (Side::Other, [_, second, ..]) => *second,
        _ => return false,
    };
    core_affinity::set_for_current(CoreId { id: core })
}

/// Processor time of this process so far, all its threads together.
pub(crate) fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// Processor time of another process so far, to the kernel's hundredth of a second.
pub(crate) fn cpu_time_of(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    // The name, in brackets, may hold anything; user and system time are the 12th and 13th after it.
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Bytes of memory that a process has.
pub(crate) fn resident(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// What the machine is, in neutral terms.
pub(crate) fn description() -> String {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = text("/proc/cpuinfo");
    let named = |wanted: &str| {
        let line = processor.lines().find(|line| line.starts_with(wanted))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = cores().len().max(1);
    let processor = named("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let load = text("/proc/loadavg").split(' ').next().unwrap_or("unknown").to_owned();
    format!("Machine: {cores} cores ({processor}), {}; load {load} at the end.", std::env::consts::OS)
}
