//! What is asked for in a terminal: util-linux's `script` gives one, and the test types for the person.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Stage;
use crate::beacon::service::KEY;
use crate::beacon::sign_in::{CLIENT, CLIENT_SECRET};
use crate::built;
use crate::harness::free_address;
use crate::http;

const DOWN: &str = "\x1b[B";

/// How long a person waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command in a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How much of what was shown the person has read.
    read: usize,
}

impl Terminal {
    fn start(stage: &Stage, arguments: &[&str]) -> Self {
        let typed = stage.host.typed(arguments);
        let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy().replace('\'', "'\\''"));
        let line: Vec<String> = std::iter::once(typed.get_program()).chain(typed.get_args()).map(quoted).collect();
        // Without `exec` the shell may stay, get the person's signals too, and end with its own code.
        let line = format!("exec {}", line.join(" "));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        command.current_dir(stage.host.folder()).env("TERM", "xterm").env("NO_COLOR", "1").env("SHELL", "/bin/sh");
        for name in ["DISPLAY", "WAYLAND_DISPLAY", "HARNESS_HOME", "HARNESS_KEY_FILE", "HARNESS_LOG", "RUST_LOG"] {
            command.env_remove(name);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of util-linux is there: apt-get install bsdutils");
        let (keys, mut screen) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut some) {
                writes.lock().expect("nobody panicked in it").extend(&some[..count]);
            }
        });
        Self { child, keys, shown, read: 0 }
    }

    /// What was shown, without what moves the cursor and colours.
    fn text(&self) -> String {
        let shown = String::from_utf8_lossy(&self.shown.lock().expect("nobody panicked in it")).into_owned();
        let mut text = String::new();
        let mut rest = shown.chars().peekable();
        while let Some(letter) = rest.next() {
            if letter == '\u{1b}' && rest.next_if_eq(&'[').is_some() {
                while rest.next_if(|letter| !letter.is_ascii_alphabetic()).is_some() {}
                rest.next();
            } else if letter != '\r' {
                text.push(letter);
            }
        }
        text
    }

    /// Waits until the terminal shows something more; answers with what stood before it.
    #[track_caller]
    fn sees(&mut self, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if let Some(place) = text.get(self.read..).and_then(|rest| rest.find(wanted)) {
                let before = text[self.read..self.read + place].to_owned();
                self.read += place + wanted.len();
                return before;
            }
            assert!(begun.elapsed() < PATIENCE, "no `{wanted}` after {}:\n{text}", self.read);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn types(&mut self, text: &str) {
        self.presses(&format!("{text}\r"));
    }

    fn presses(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("it reads what is typed");
    }

    /// Waits for its end; the exit code, and all that was shown.
    fn ends(mut self) -> (i32, String) {
        let begun = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status.code().unwrap_or(-1);
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        };
        std::thread::sleep(Duration::from_millis(100));
        (code, self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_person_is_asked_for_what_is_missing_and_sees_what_will_be_reached() {
    let stage = Stage::new();
    let component = built::component("guest_beacon");
    let mut terminal = Terminal::start(&stage, &["connection", "add", "--connector", &component.to_string_lossy()]);
    terminal.sees("A name for the connection");
    terminal.types("harbour");
    terminal.sees("How do you want to authorize it?");
    terminal.sees("Sign in with Beacon: A person signs in");
    terminal.presses("\r");
    terminal.sees("Where your Beacon is");
    terminal.sees("Address");
    terminal.types(stage.beacon.url().trim_end_matches('/'));
    terminal.sees("API key (hidden)");
    terminal.types(&format!("\"{KEY}\""));
    // Its address is on this machine: that is offered, not asked for by itself.
    terminal.sees("plain http");
    terminal.sees("may this connection go there?");
    terminal.presses("y");
    terminal.sees("note: Quotes around the secret `key` were taken off");
    terminal.sees("will reach these origins and nothing else:");
    terminal.sees(stage.beacon.url());
    terminal.sees("Make this connection?");
    terminal.presses("y");
    terminal.sees("Beacon knows the key.");
    let (code, shown) = terminal.ends();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("proven") && !shown.contains(KEY), "{shown}");

    // What is known need not be said again: the connector is that of the first.
    let mut second = Terminal::start(&stage, &["connection", "add", "second", "--share", "harbour", "--allow-private"]);
    second.sees("Address");
    second.types(&format!("{}north/", stage.beacon.url()));
    second.sees("Make this connection?");
    second.presses("n");
    let (code, shown) = second.ends();
    assert_eq!(code, 2, "{shown}");
    assert_eq!(stage.host.run(&["connection", "list"]).list().len(), 1, "nothing is kept: {shown}");
}

#[test]
fn a_person_registers_an_app_signs_in_and_chooses_a_site() {
    let stage = Stage::new();
    stage.beacon.sign_in().reaches(&[("north", "Twin"), ("south", "Twin")]);
    let component = built::component("guest_beacon");
    let component = component.to_string_lossy();
    let callback = format!("http://{}/callback", free_address());
    let mut app = Terminal::start(
        &stage,
        &["oauth-client", "add", "--connector", &component, "--method", "sign-in", "--callback", &callback],
    );
    app.sees("A name for the OAuth client");
    app.types("our app");
    app.sees("`our app` cannot be an OAuth client's name");
    app.types("app");
    app.sees("Client id");
    app.types(CLIENT);
    app.sees("Client secret (hidden)");
    app.types(CLIENT_SECRET);
    app.sees("Always asked for: offline");
    app.sees("Which scopes shall it ask for?");
    app.sees("hooks: Register webhooks");
    // The third one too: the usual ones are chosen already.
    app.presses(DOWN);
    app.presses(DOWN);
    app.presses(" ");
    app.presses("\r");
    app.sees("read write hooks offline");
    let (code, shown) = app.ends();
    assert!(code == 0 && !shown.contains(CLIENT_SECRET), "{shown}");

    let arguments = ["connection", "add", "harbour", "--connector", &component, "--method", "sign-in"];
    let mut terminal = Terminal::start(&stage, &[&arguments[..], &["--allow-private"]].concat());
    terminal.sees("Which OAuth client?");
    terminal.sees("another one, to be registered");
    terminal.presses("\r");
    terminal.sees("Address, such as https://beacon.example.test/");
    terminal.types(stage.beacon.url());
    terminal.sees("Make this connection?");
    terminal.presses("y");
    terminal.sees("open this address in a browser");
    terminal.sees(stage.beacon.url());
    let rest = terminal.sees("\n");
    assert_eq!(http::browse(&format!("{}{rest}", stage.beacon.url())).status, 200);
    terminal.sees("Which site?");
    terminal.sees("north");
    terminal.sees("south");
    terminal.presses(DOWN);
    terminal.presses("\r");
    terminal.sees("site: Twin at");
    let (code, shown) = terminal.ends();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(stage.shown("harbour")["settings"]["site-id"], "south");
}

#[test]
fn a_person_whose_browser_is_elsewhere_pastes_the_address_it_ended_at() {
    let stage = Stage::with_client();
    let login = format!("login-url={}", stage.beacon.url());
    stage.beacon.sign_in().reaches(&[("north", "Only one")]);
    let arguments = ["--method", "sign-in", "--set", &login, "--no-check"];
    stage.add("harbour", &arguments).expect(0);
    let mut terminal = Terminal::start(&stage, &["connection", "reauthorize", "harbour", "--paste"]);
    terminal.sees("open this address in a browser");
    terminal.sees(stage.beacon.url());
    let rest = terminal.sees("\n");
    let ended_at = http::leads_to(&format!("{}{rest}", stage.beacon.url()));
    terminal.sees("The address that the browser ended at (hidden)");
    terminal.types("http://127.0.0.1:1/?code=other");
    terminal.sees("that is not it");
    terminal.sees("The address that the browser ended at (hidden)");
    terminal.types(&format!(" {ended_at} "));
    terminal.sees("site: Only one at");
    let (code, shown) = terminal.ends();
    assert!(code == 0 && !shown.contains("code=fake"), "{shown}");
}

#[test]
fn a_new_secret_is_asked_for_and_never_shown() {
    let stage = Stage::connected();
    stage.beacon.change_key("another-key-not-a-real-secret");
    let mut terminal = Terminal::start(&stage, &["connection", "replace-credential", "harbour"]);
    terminal.sees("API key (hidden)");
    terminal.types("another-key-not-a-real-secret");
    terminal.sees("replaced for: harbour");
    let (code, shown) = terminal.ends();
    assert!(code == 0 && shown.contains("Beacon knows the key."), "{shown}");
    assert!(!shown.contains("another-key"), "{shown}");
}

#[test]
fn what_cannot_be_right_alone_is_asked_for_once_more() {
    let stage = Stage::new();
    let component = built::component("guest_beacon");
    let arguments = ["connection", "add", "harbour", "--method", "api-key", "--allow-private", "--connector"];
    let mut terminal = Terminal::start(&stage, &[&arguments[..], &[&component.to_string_lossy()]].concat());
    terminal.sees("Address");
    terminal.types("https://some where");
    terminal.sees("API key (hidden)");
    terminal.types("two words");
    terminal.sees("`key` holds a character that cannot stand in a header");
    terminal.sees("API key (hidden)");
    terminal.types(KEY);
    terminal.sees("That is not the address of a Beacon.");
    terminal.sees("Address");
    terminal.types(stage.beacon.url());
    terminal.sees("Make this connection?");
    terminal.presses("y");
    let (code, shown) = terminal.ends();
    assert!(code == 0 && shown.contains("Beacon knows the key."), "{shown}");
    assert!(!shown.contains(KEY) && !shown.contains("two words") && !shown.contains("--set"), "{shown}");

    // Whom nobody can ask gets the same as an error that names the field.
    let unfit = format!("key=@{}", stage.host.file("unfit", "two words").display());
    let replace = ["connection", "replace-credential", "harbour", "--secret", &unfit];
    let error = stage.host.run(&replace).fails(2, "host.secret-unfit");
    assert_eq!(error["fields"][0]["pointer"], "/key", "{error:#}");
    let mut terminal = Terminal::start(&stage, &replace);
    terminal.sees("`key` holds a character that cannot stand in a header");
    terminal.sees("API key (hidden)");
    terminal.types(KEY);
    terminal.sees("replaced for: harbour");
    assert_eq!(terminal.ends().0, 0);
    let mut terminal = Terminal::start(&stage, &["connection", "edit", "harbour", "--set", "base-url=some where"]);
    terminal.sees("That is not the address of a Beacon.");
    terminal.sees("Address");
    terminal.types(stage.beacon.url());
    terminal.sees("proven");
    assert_eq!(terminal.ends().0, 0);

    // What no answer could put right ends it, before anything is asked for.
    let vain = ["--set", "colour=red", "--method", "api-key", "--connector", &component.to_string_lossy()];
    let terminal = Terminal::start(&stage, &[&["connection", "add", "other"], &vain[..]].concat());
    let (code, shown) = terminal.ends();
    assert!(code == 2 && shown.contains("host.field-unknown") && !shown.contains("Address"), "{shown}");
}

#[test]
fn another_persons_secret_is_taken_only_where_the_person_says_that_it_is_meant() {
    let stage = Stage::connected();
    for (answer, code, state) in [("n", 2, "Harbour master"), ("y", 0, "Pilot")] {
        stage.beacon.belongs_to("Pilot");
        stage.beacon.change_key("pilots-key-not-a-real-secret");
        let mut terminal = Terminal::start(&stage, &["connection", "replace-credential", "harbour"]);
        terminal.sees("API key (hidden)");
        terminal.types("pilots-key-not-a-real-secret");
        terminal.sees("the credential is Pilot's, and `harbour` is Harbour master's until now");
        terminal.sees("Is that meant to be so?");
        terminal.presses(answer);
        let (ended, shown) = terminal.ends();
        assert_eq!(ended, code, "{shown}");
        assert_eq!(stage.shown("harbour")["identity"]["label"], state, "{shown}");
    }
}

#[test]
fn whoever_leaves_with_ctrl_c_keeps_nothing_half_made() {
    let stage = Stage::new();
    let component = built::component("guest_beacon");
    let component = component.to_string_lossy();
    let mut terminal = Terminal::start(&stage, &["connection", "add", "harbour", "--connector", &component]);
    terminal.sees("How do you want to authorize it?");
    terminal.presses("\u{3}");
    let (code, shown) = terminal.ends();
    assert_ne!(code, 0, "{shown}");
    assert!(stage.host.run(&["connection", "list"]).list().is_empty());
}

#[test]
fn whoever_leaves_a_hidden_prompt_with_ctrl_c_has_left_at_once_and_types_no_secret_any_more() {
    let stage = Stage::connected();
    let mut terminal = Terminal::start(&stage, &["connection", "replace-credential", "harbour"]);
    terminal.sees("API key (hidden)");
    // Half a line is gone with it, and so is what is typed for the shell right after.
    terminal.presses("another-key");
    terminal.presses("\u{3}");
    std::thread::sleep(Duration::from_millis(200));
    let _ = terminal.keys.write_all(b"ls -la\r");
    let (code, shown) = terminal.ends();
    assert!(code == 2 && shown.contains("host.given-up"), "exit {code}: {shown}");
    assert!(!shown.contains("replaced for"), "{shown}");
    assert_eq!(stage.host.run(&["connection", "check", "harbour"]).code, 0, "the old key is still there");

    // Told by another process, it takes nothing either.
    let mut terminal = Terminal::start(&stage, &["connection", "replace-credential", "harbour"]);
    terminal.sees("API key (hidden)");
    let command_line = format!("harness\0--home\0{}\0", stage.host.home().display());
    let of_it = |process: &std::path::Path| {
        std::fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains(&command_line))
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let process = processes.find(|process| of_it(process)).expect("it runs");
    let told = Command::new("kill").arg(process.file_name().unwrap()).status();
    assert!(told.is_ok_and(|status| status.success()));
    let (code, shown) = terminal.ends();
    assert!(code == 2 && !shown.contains("replaced for"), "exit {code}: {shown}");
}

#[test]
fn whoever_does_not_finish_in_the_browser_is_told_how_to_go_on() {
    let stage = Stage::with_client();
    let login = format!("login-url={}", stage.beacon.url());
    stage.add("harbour", &["--method", "sign-in", "--set", &login, "--no-check"]).expect(0);
    let mut terminal = Terminal::start(&stage, &["connection", "reauthorize", "harbour", "--no-browser"]);
    terminal.sees("open this address in a browser");
    terminal.sees("waiting for the browser");
    terminal.presses("\u{3}");
    let (code, shown) = terminal.ends();
    assert!(code == 2 && shown.contains("harness connection reauthorize harbour"), "{shown}");
    assert_eq!(stage.shown("harbour")["state"], "not authorized");
}
