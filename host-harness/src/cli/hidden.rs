//! Reads a line that the terminal does not show.

use std::io;

use zeroize::Zeroizing;

/// What somebody types at a hidden prompt, which `ask` shows, up to the end of the line. It ends with
/// [`io::ErrorKind::Interrupted`] at the first signal: what was typed by then, or is typed after it, was meant for
/// somebody else.
#[cfg(unix)]
pub(super) fn line(ask: impl FnOnce() -> io::Result<()>) -> io::Result<Zeroizing<String>> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// How often it is looked whether a signal came: another thread takes it, and waiting for a line goes on.
    const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

    /// Shows again what is typed, and forgets what nobody has read.
    struct Shown(Termios);

    impl Drop for Shown {
        fn drop(&mut self) {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
        }
    }

    let stdin = io::stdin();
    let shown = Shown(tcgetattr(&stdin)?);
    let mut modes = shown.0.clone();
    modes.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &modes)?;
    ask()?;
    let ended = || Err(io::Error::from(io::ErrorKind::Interrupted));
    loop {
        if super::ending::is_signalled() {
            return ended();
        }
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&LOOK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // The terminal keeps a line to itself until it is whole.
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut line = Zeroizing::new(String::new());
    // Nothing at all is the end of what can be typed there.
    if stdin.read_line(&mut line)? == 0 || super::ending::is_signalled() {
        return ended();
    }
    let typed = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(typed);
    Ok(line)
}

/// The same where the terminal is not one of Unix.
#[cfg(not(unix))]
pub(super) fn line(ask: impl FnOnce() -> io::Result<()>) -> io::Result<Zeroizing<String>> {
    ask()?;
    dialoguer::console::Term::stderr().read_secure_line().map(Zeroizing::new)
}
