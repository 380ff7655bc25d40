//! Compiling a component that nobody has vouched for. Parsing, validating and compiling take a stranger's bytes through
//! a lot of code that was written to be fast; a component made for it can keep that code busy for hours or make it take
//! all memory. So a program that can start itself again does this in a process of its own, which is given nothing but
//! those bytes, and which the operating system stops at the limits below.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wasmtime::Engine;

use super::inspect::{Inspection, NotAConnector};
use super::limits::Limits;
use super::plugins::config;

/// How much processor time compiling may take.
const PROCESSOR_SECONDS: u64 = 30;
/// How long it may take in all, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(90);
/// How much memory it may take.
const MEMORY: u64 = 1 << 30;
/// The largest compiled code.
const MOST_NATIVE: u64 = 256 << 20;
/// How many threads compile: with more of them their stacks alone would use up the memory.
const THREADS: &str = "2";
/// The argument by which a program knows that it is to compile.
const ARGUMENT: &str = "compile-component-from-stdin";

/// Where components are compiled.
#[derive(Debug, Clone, Default)]
pub enum Compiler {
    /// In this process and without limits: for components that are trusted, and for programs that cannot start
    /// themselves again.
    #[default]
    Here,
    /// In a process of its own, by this program. It has to call [`compile_if_asked`] before anything else.
    Child(PathBuf),
}

impl Compiler {
    /// A process of its own, by the program that is running.
    pub fn this_program() -> Self {
        // The file that is running, even where an upgrade has put another one in its place.
        let running = Path::new("/proc/self/exe");
        if running.exists() {
            return Self::Child(running.to_owned());
        }
        // Where it is not known what runs, the start fails and says so: compiling here instead would be no defence.
        Self::Child(std::env::current_exe().unwrap_or_else(|_| running.to_owned()))
    }
}

/// What came of a component.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What it imports and exports.
    pub(super) inspection: Inspection,
    /// The answer with the code, as it is kept; [`read`] takes it apart.
    pub(super) answer: Vec<u8>,
}

/// Why a component was not compiled.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is none, or not a sound one.
    NotAComponent(String),
    /// It is no connector.
    NotAConnector(NotAConnector),
    /// It could not be compiled within the limits.
    Stopped(String),
}

/// The end of an answer: what is known of the code before it.
#[derive(Serialize, Deserialize)]
enum Verdict {
    Compiled(Inspection),
    NotAComponent(String),
    NotAConnector(NotAConnector),
}

/// Checks a component, and compiles it only if it may run here.
pub(super) fn here(engine: &Engine, bytes: &[u8]) -> Result<Compiled, Refusal> {
    taken_apart(answer(engine, bytes))
}

/// The same in another process, under limits.
pub(super) async fn in_child(program: &Path, bytes: &[u8]) -> Result<Compiled, Refusal> {
    let unable = |error: std::io::Error| {
        Refusal::Stopped(format!("the process that compiles could not be started or asked: {error}"))
    };
    let mut command = tokio::process::Command::new(program);
    command.arg(ARGUMENT).env_clear().env("RAYON_NUM_THREADS", THREADS).env("MALLOC_ARENA_MAX", THREADS);
    command.current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(unable)?;
    let (Some(mut input), Some(output), Some(complaints)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(unable(std::io::ErrorKind::BrokenPipe.into()));
    };
    let talk = async {
        let (mut answer, mut said) = (Vec::new(), Vec::new());
        let feed = async {
            // A child that was stopped reads no further; its end says why.
            let _ = input.write_all(bytes).await;
            drop(input);
        };
        let mut output = output.take(MOST_NATIVE + 1);
        let mut complaints = complaints.take(16 << 10);
        let (_, read, _) = tokio::join!(feed, output.read_to_end(&mut answer), complaints.read_to_end(&mut said));
        drop(output);
        Ok::<_, std::io::Error>((read.and(child.wait().await)?, answer, said))
    };
    let (status, answer, said) = match tokio::time::timeout(PATIENCE, talk).await {
        Ok(ended) => ended.map_err(unable)?,
        Err(_) => return Err(Refusal::Stopped(format!("it takes longer than {} s", PATIENCE.as_secs()))),
    };
    if !status.success() || answer.len() as u64 > MOST_NATIVE {
        let said = String::from_utf8_lossy(&said);
        tracing::debug!(%status, said = %said.escape_debug(), "the process that compiles did not end well");
        return Err(Refusal::Stopped(why_stopped(status, &said)));
    }
    taken_apart(answer)
}

/// What an answer holds: the inspection and the code.
pub(super) fn read(answer: &[u8]) -> Option<(Inspection, &[u8])> {
    match split(answer)? {
        (native, Verdict::Compiled(inspection)) => Some((inspection, native)),
        _ => None,
    }
}

fn taken_apart(answer: Vec<u8>) -> Result<Compiled, Refusal> {
    match split(&answer).map(|(_, verdict)| verdict) {
        Some(Verdict::Compiled(inspection)) => Ok(Compiled { inspection, answer }),
        Some(Verdict::NotAComponent(reason)) => Err(Refusal::NotAComponent(reason)),
        Some(Verdict::NotAConnector(reason)) => Err(Refusal::NotAConnector(reason)),
        None => Err(Refusal::Stopped("the compiler broke off".into())),
    }
}

/// The code, the verdict in JSON, the length of the JSON.
fn answer(engine: &Engine, bytes: &[u8]) -> Vec<u8> {
    let (mut answer, verdict) = match judged(engine, bytes) {
        Ok((native, inspection)) => (native, Verdict::Compiled(inspection)),
        Err(verdict) => (Vec::new(), verdict),
    };
    let verdict = serde_json::to_vec(&verdict).unwrap_or_default();
    answer.extend_from_slice(&verdict);
    answer.extend_from_slice(&u32::try_from(verdict.len()).unwrap_or_default().to_le_bytes());
    answer
}

fn split(answer: &[u8]) -> Option<(&[u8], Verdict)> {
    let (rest, length) = answer.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (native, verdict) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
    Some((native, serde_json::from_slice(verdict).ok()?))
}

fn judged(engine: &Engine, bytes: &[u8]) -> Result<(Vec<u8>, Inspection), Verdict> {
    // Before anything is compiled: what asks for too much costs no work.
    let inspection = Inspection::of(bytes).map_err(Verdict::NotAComponent)?;
    inspection.check().map_err(Verdict::NotAConnector)?;
    match engine.precompile_component(bytes) {
        Ok(native) => Ok((native, inspection)),
        Err(error) => Err(Verdict::NotAComponent(format!("{error:#}"))),
    }
}

/// Compiles and ends, where this process was started for that. To be called first thing: nothing else of the program
/// shall be in the memory of a process that handles a stranger's bytes.
pub fn compile_if_asked() -> Option<ExitCode> {
    (std::env::args_os().nth(1).as_deref() == Some(OsStr::new(ARGUMENT))).then(child)
}

fn child() -> ExitCode {
    if let Err(error) = limit() {
        eprintln!("the limits could not be set: {error}");
        return ExitCode::FAILURE;
    }
    let limits = Limits::default();
    // Nothing runs here, so no memory is set aside for instances; the code is the same.
    let engine = match Engine::new(&config(&limits, false)) {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut bytes = Vec::new();
    if std::io::stdin().lock().take(limits.component_bytes).read_to_end(&mut bytes).is_err() {
        return ExitCode::FAILURE;
    }
    match std::io::stdout().lock().write_all(&answer(&engine, &bytes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(unix)]
fn limit() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // The second of grace lets the kernel say which limit it was.
    let limits = [
        (Resource::As, MEMORY, MEMORY),
        (Resource::Cpu, PROCESSOR_SECONDS, PROCESSOR_SECONDS + 1),
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
        (Resource::Nofile, 64, 64),
    ];
    for (resource, current, maximum) in limits {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn limit() -> std::io::Result<()> {
    Ok(())
}

/// What the end of the process means.
fn why_stopped(status: ExitStatus, said: &str) -> String {
    const XCPU: i32 = 24;
    const KILL: i32 = 9;
    let out_of_memory = ["memory allocation", "Cannot allocate memory", "cannot allocate", "OutOfMemory"];
    let memory = format!("it takes more than {} MiB of memory", MEMORY >> 20);
    match signal(status) {
        Some(XCPU | KILL) => format!("it takes more than {PROCESSOR_SECONDS} s of processor time"),
        _ if said.contains("overflowed its stack") => "it nests too deeply".into(),
        _ if out_of_memory.iter().any(|sign| said.contains(sign)) => memory,
        _ if status.success() => format!("the code is larger than {} MiB", MOST_NATIVE >> 20),
        _ => format!("the compiler broke off ({status})"),
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}
