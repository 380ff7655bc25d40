//! The processes and the folder of one run, ended and removed however the run ends.

use anyhow::{Context, Result, anyhow};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use tempfile::TempDir;

/// Dropping it ends every process it started, by its handle, and removes its folder.
/// Ctrl-C and a polite request to end (SIGTERM) do the same.
pub(crate) struct Scene {
    cast: Arc<Mutex<Cast>>,
    folder: PathBuf,
}

#[derive(Default)]
struct Cast {
    /// Slots of ended processes are `None`, so that a slot's number stays valid.
    running: Vec<Option<Child>>,
    folder: Option<TempDir>,
}

impl Cast {
    fn end(&mut self) {
        for child in self.running.iter_mut().filter_map(Option::take).rev() {
            end(child);
        }
        self.folder = None;
    }
}

fn end(mut child: Child) {
    // It may have ended by itself; then there is nothing to end.
    let _ = child.kill();
    let _ = child.wait();
}

/// A process that goes on in the background; [`Scene::end`] ends it early.
pub(crate) struct Running {
    slot: usize,
    /// The first line it printed.
    pub(crate) greeting: String,
}

impl Scene {
    /// A scene with an empty folder. A program has one at a time: it takes Ctrl-C.
    pub(crate) fn open() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("jira-connector-").tempdir().context("no temporary folder")?;
        let path = folder.path().to_path_buf();
        let cast = Arc::new(Mutex::new(Cast { running: Vec::new(), folder: Some(folder) }));
        end_when_interrupted(&cast)?;
        Ok(Self { cast, folder: path })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server and waits for the first line it prints on stdout. Its stderr
    /// goes to `NAME.log` in the folder.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<Running> {
        let log = self.folder.join(name).with_extension("log");
        let file = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take();
        let slot = self.add(child);

        let mut lines = BufReader::new(stdout.context("no pipe")?);
        let mut greeting = String::new();
        lines.read_line(&mut greeting).with_context(|| format!("{name} closed its output"))?;
        if greeting.is_empty() {
            return Err(anyhow!("{name} ended before it was ready. It said:\n{}", tail(&log)));
        }
        // Read on, or the pipe fills up and the server waits for us.
        thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(Running { slot, greeting })
    }

    /// Runs a command to its end, with `input` on its stdin.
    pub(crate) fn run(&self, command: &mut Command, input: &str) -> Result<Output> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let slot = self.add(child);
        if let Some(mut stdin) = stdin {
            // A command that needs no input may be gone already.
            let _ = stdin.write_all(input.as_bytes());
        }
        let errors = thread::spawn(move || read(stderr));
        let (stdout, stderr) = (read(stdout), errors.join().unwrap_or_default());
        let child = lock(&self.cast).running.get_mut(slot).and_then(Option::take);
        let status = child.context("the run was ended")?.wait()?;
        Ok(Output { status, stdout, stderr })
    }

    /// Ends a background process now.
    pub(crate) fn end(&self, running: &Running) {
        let child = lock(&self.cast).running.get_mut(running.slot).and_then(Option::take);
        if let Some(child) = child {
            end(child);
        }
    }

    /// Keeps the folder for whoever looks into a failure, and says where it is.
    pub(crate) fn keep_folder(&self) -> PathBuf {
        lock(&self.cast).folder.take().map_or_else(|| self.folder.clone(), TempDir::keep)
    }

    fn add(&self, child: Child) -> usize {
        let mut cast = lock(&self.cast);
        cast.running.push(Some(child));
        cast.running.len() - 1
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        lock(&self.cast).end();
    }
}

/// Waits for a signal in a thread of its own.
#[cfg(unix)]
fn end_when_interrupted(cast: &Arc<Mutex<Cast>>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot take signals")?;
    let cast = Arc::clone(cast);
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Locked until the exit: or the story would go on to tell that its processes died.
            let mut cast = lock(&cast);
            cast.end();
            eprintln!("\nStopped; everything that was started is ended.");
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Elsewhere Ctrl-C goes to every process of the console, so the others end too.
#[cfg(not(unix))]
fn end_when_interrupted(_: &Arc<Mutex<Cast>>) -> Result<()> {
    Ok(())
}

fn lock(cast: &Mutex<Cast>) -> MutexGuard<'_, Cast> {
    cast.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(source: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut source) = source {
        // What was read before an error is still worth showing.
        let _ = source.read_to_end(&mut bytes);
    }
    bytes
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nothing_outlives_the_scene() {
        let scene = Scene::open().unwrap();
        let said = scene.run(Command::new("cat").current_dir(scene.folder()), "a secret").unwrap();
        assert_eq!(said.stdout, b"a secret");

        let server = scene.start("server", Command::new("sh").args(["-c", "echo $$; exec sleep 600"])).unwrap();
        let early = scene.start("crash", Command::new("sh").args(["-c", "echo no port >&2; exit 1"]));
        let complaint = early.err().unwrap().to_string();
        assert!(complaint.contains("no port"), "a server that does not come up is quoted: {complaint}");

        let (folder, pid) = (scene.folder().to_path_buf(), server.greeting.trim().to_owned());
        let alive = || Command::new("kill").args(["-0", &pid]).stderr(Stdio::null()).status().unwrap().success();
        assert!(alive() && folder.is_dir());
        drop(scene);
        assert!(!alive(), "the server was ended");
        assert!(!folder.exists(), "the folder was removed");
    }
}
