//! The program `harness`, driven as a person or a script drives it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::built;
use crate::http::{self, Answer};

/// How a command ended.
#[derive(Debug)]
#[expect(dead_code, reason = "`command` is there for whoever reads a failed assertion")]
pub(crate) struct Outcome {
    pub(crate) command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// What it printed on stdout, which is to be one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is not JSON ({error}): {self:#?}"))
    }

    /// Expects success, and answers with the list it printed: alone, or under a name.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let found = match self.expect(0) {
            Value::Array(items) => Some(items),
            Value::Object(members) => members.into_iter().find_map(|(_, member)| member.as_array().cloned()),
            _ => None,
        };
        found.unwrap_or_else(|| panic!("no list: {self:#?}"))
    }

    /// Expects an exit code, and answers with the JSON.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:#?}");
        self.json()
    }

    /// Expects a failure with an exit code and a stable code, and answers with it.
    #[track_caller]
    pub(crate) fn fails(&self, exit: i32, code: &str) -> Value {
        let error = self.expect(exit)["error"].clone();
        assert_eq!(error["code"], code, "{self:#?}");
        for part in ["kind", "message", "remedy", "who"] {
            assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "no {part} in {error:#}");
        }
        error
    }
}

/// A home of the host in a folder of its own.
pub(crate) struct Harness {
    folder: TempDir,
    program: PathBuf,
    /// What `HARNESS_LOG` is set to.
    log: Option<&'static str>,
    /// What else the environment of every command holds.
    environment: Vec<(String, String)>,
    /// Everything every command printed, for tests that search it.
    said: Arc<Mutex<String>>,
}

impl Harness {
    /// A home in which the components are compiled already: compiling takes seconds, and what a
    /// test asks of the host is the same either way.
    pub(crate) fn new() -> Self {
        let fresh = Self::fresh();
        copy(compiled_home(), &fresh.home());
        fresh
    }

    /// An empty home.
    pub(crate) fn fresh() -> Self {
        let folder = tempfile::Builder::new().prefix("harness-").tempdir().expect("a temporary folder");
        Self { folder, program: built::program("harness"), log: None, environment: Vec::new(), said: Arc::default() }
    }

    /// The same, telling all it can tell on stderr.
    pub(crate) fn loud(mut self) -> Self {
        self.log = Some("trace");
        self
    }

    /// Sets a variable for every command from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Where the host keeps its data.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A file beside the home, for flows, inputs and captured deliveries.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        std::fs::write(&path, content).expect("the file can be written");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(self.home()).args(arguments).current_dir(self.folder.path());
        for name in ["HARNESS_HOME", "HARNESS_KEY_FILE", "HARNESS_LOG", "RUST_LOG", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(level) = self.log {
            command.env("HARNESS_LOG", level);
        }
        command
    }

    /// Runs a command with `--json`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, "")
    }

    /// Runs a command with `--json` and text on its stdin.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.run_plain(&all, input)
    }

    /// Runs a command as given.
    pub(crate) fn run_plain(&self, arguments: &[&str], input: &str) -> Outcome {
        let child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("harness starts");
        finish(child, arguments, input, &self.said)
    }

    /// Starts a command with `--json` and leaves it running; [`Started::finish`] waits for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Started {
        let mut command = self.command(arguments);
        command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("harness starts");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Started { child, arguments, said: Arc::clone(&self.said) }
    }

    /// The same with what it tells people in a file, to be read while it runs.
    pub(crate) fn start_telling(&self, arguments: &[&str]) -> (Started, PathBuf) {
        let told = self.file("told.log", "");
        let errors = File::options().append(true).open(&told).expect("the file can be written");
        let mut command = self.command(arguments);
        command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let child = command.spawn().expect("harness starts");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        (Started { child, arguments, said: Arc::clone(&self.said) }, told)
    }

    /// The command as it would be run, for a terminal.
    #[cfg(target_os = "linux")]
    pub(crate) fn typed(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }

    /// Starts `harness serve` on a free port, which is also its public URL, and waits until it says
    /// that it is ready.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Serving {
        self.serve_at(&free_address(), arguments)
    }

    /// The same at a given address.
    pub(crate) fn serve_at(&self, address: &str, arguments: &[&str]) -> Serving {
        let mut serving = self.serve_unready(address, arguments);
        let mut lines = BufReader::new(serving.child.stdout.take().expect("stdout is piped"));
        let mut greeting = String::new();
        lines.read_line(&mut greeting).expect("serve keeps its stdout open");
        if greeting.is_empty() {
            panic!("serve ended before it was ready");
        }
        serving.ready = serde_json::from_str(&greeting).unwrap_or_else(|_| panic!("not JSON: {greeting}"));
        self.said.lock().expect("no test panicked in it").push_str(&greeting);
        let said = Arc::clone(&self.said);
        // Read on, or the pipe fills up and the host waits for us.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                said.lock().expect("no test panicked in it").push_str(&line);
            }
        });
        serving
    }

    /// The same without waiting until it is ready.
    pub(crate) fn serve_unready(&self, address: &str, arguments: &[&str]) -> Serving {
        let log = self.folder.path().join("serve.log");
        let url = format!("http://{address}");
        let mut all = vec!["serve", "--listen", address, "--public-url", &url, "--json"];
        all.extend(arguments);
        let errors = File::options().create(true).append(true).open(&log).expect("the log can be made");
        let mut command = self.command(&all);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        Serving { child: command.spawn().expect("harness starts"), ready: Value::Null, url, log }
    }

    /// Counts what a command told in a file of its own as printed.
    pub(crate) fn heard(&self, told: &str) {
        self.said.lock().expect("no test panicked in it").push_str(told);
    }

    /// All that commands printed so far, and what `serve` logged.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default();
        self.said.lock().expect("no test panicked in it").clone() + &log
    }

    /// The folder with the home, and all that tests wrote beside it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// An address on loopback that was free a moment ago.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port on loopback");
    listener.local_addr().expect("it has an address").to_string()
}

/// A command that runs in the background.
pub(crate) struct Started {
    child: Child,
    arguments: Vec<String>,
    said: Arc<Mutex<String>>,
}

impl Started {
    /// The process id, for looking at what others see of it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it (SIGKILL): at once, and without a chance to tidy up.
    pub(crate) fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Outcome {
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        finish(self.child, &arguments, "", &self.said)
    }
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "a signal can be sent");
}

fn finish(mut child: Child, arguments: &[&str], input: &str, said: &Mutex<String>) -> Outcome {
    if let Some(mut stdin) = child.stdin.take() {
        // A command that needs no input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().expect("harness ends");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut said = said.lock().expect("no test panicked in it");
    said.push_str(&stdout);
    said.push_str(&stderr);
    let code = output.status.code().unwrap_or_else(|| panic!("{arguments:?} was ended by a signal: {stderr}"));
    Outcome { command: arguments.join(" "), code, stdout, stderr }
}

/// A running `harness serve`. Dropping it ends it, at once and without a chance to tidy up.
pub(crate) struct Serving {
    child: Child,
    ready: Value,
    url: String,
    log: PathBuf,
}

impl Serving {
    /// What it said when it was ready.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// The process id, for looking at what others see of it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks the operator's listener; serve was started with `--admin 127.0.0.1:0`.
    pub(crate) fn admin(&self, path: &str) -> Answer {
        let address = self.ready["admin"].as_str().expect("serve said where its --admin is");
        http::send("GET", &format!("http://{address}{path}"), &[], b"")
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        signal(self.id(), "TERM");
    }

    /// Waits until it has ended; its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                return status.code().expect("it ended by itself");
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "serve did not end within a minute");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("serve said:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// A home that has seen every component once.
fn compiled_home() -> &'static Path {
    static HOME: OnceLock<Harness> = OnceLock::new();
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let home = HOME.get_or_init(Harness::fresh);
        for name in ["jira_connector", "guest_beacon", "guest_hostile"] {
            let component = built::component(name);
            let outcome = home.run(&["inspect", &component.to_string_lossy()]);
            assert_eq!(outcome.code, 0, "{outcome:#?}");
        }
        home.home()
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // Keeps the file's rights: the key file is readable by its owner only.
            std::fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}
