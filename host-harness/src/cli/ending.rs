//! The end by a signal. Tokens that are on their way are waited for: a service may have ended the old ones already, and
//! whoever ends the process before the new ones are on disk loses the grant.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::output::Output;
use crate::host::Host;

/// How long tokens that are on their way may hold up the end: longer than it takes to ask and to write them down.
const PATIENCE: Duration = Duration::from_secs(45);
/// After how long somebody is told what is waited for.
const SILENCE: Duration = Duration::from_millis(300);
/// How long a command that was told to end may take for its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether this process was told to end: a question that blocks its own task cannot be told otherwise.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Whether a signal has told this process to end.
pub(super) fn is_signalled() -> bool {
    SIGNALLED.load(Ordering::SeqCst)
}

/// Does the work of a command, and ends at the first signal, once no tokens are on their way; at the second one at
/// once. Answers with the exit code of the signal where it came first.
pub(super) async fn unless_signalled<T>(
    host: &Arc<Host>,
    output: &Output,
    work: impl Future<Output = T>,
) -> Result<T, u8> {
    let (tell, mut told) = watch::channel(None);
    let waiting = Arc::clone(host);
    // Beside the work, which may block its own task: a question to a person does.
    let watching = tokio::spawn(async move {
        let code = signalled().await;
        SIGNALLED.store(true, Ordering::SeqCst);
        tokio::spawn(async {
            process::exit(signalled().await.into());
        });
        tell.send_replace(Some(code));
        // The task of the work says what is waited for.
        let _ = tokio::time::timeout(PATIENCE, waiting.settle_grants()).await;
        tokio::time::sleep(LAST_WORDS).await;
        process::exit(code.into());
    });
    let done = tokio::select! {
        // What waited for the same signal has something of its own to say.
        biased;
        done = work => Ok(done),
        code = ended(&mut told) => Err(code),
    };
    settle(host, output).await;
    watching.abort();
    done
}

async fn ended(told: &mut watch::Receiver<Option<u8>>) -> u8 {
    match told.wait_for(Option::is_some).await.map(|code| *code) {
        Ok(Some(code)) => code,
        // Nobody watches: then no signal is caught either.
        _ => std::future::pending().await,
    }
}

/// Waits for tokens that are on their way.
async fn settle(host: &Host, output: &Output) {
    let settled = host.settle_grants();
    let mut settled = std::pin::pin!(settled);
    if tokio::time::timeout(SILENCE, &mut settled).await.is_ok() {
        return;
    }
    output.note("waiting for tokens that are on their way: they would be lost");
    if tokio::time::timeout(PATIENCE, settled).await.is_err() {
        tracing::warn!("tokens that are on their way were not waited for any longer");
    }
}

/// Waits for a signal that ends a process; answers with the exit code of a process that it ended.
pub(super) async fn signalled() -> u8 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;
        let (mut interrupt, mut terminate, mut hangup) =
            (caught(SignalKind::interrupt()), caught(SignalKind::terminate()), caught(SignalKind::hangup()));
        tokio::select! {
            () = next(&mut interrupt) => 130,
            () = next(&mut terminate) => 143,
            () = next(&mut hangup) => 129,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
        130
    }
}

/// The signals of a kind from now on; none where whoever started this process had it ignored, as `nohup` does.
#[cfg(unix)]
fn caught(kind: tokio::signal::unix::SignalKind) -> Option<tokio::signal::unix::Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if is_ignored(&status, kind.as_raw_value()) {
        return None;
    }
    tokio::signal::unix::signal(kind).ok()
}

#[cfg(unix)]
async fn next(signals: &mut Option<tokio::signal::unix::Signal>) {
    match signals {
        Some(signals) => drop(signals.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether a process with this status (proc(5)) ignores a signal.
#[cfg(unix)]
fn is_ignored(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let place = u32::try_from(number - 1).ok().and_then(|place| 1_u64.checked_shl(place));
    mask.zip(place).is_some_and(|(mask, place)| mask & place != 0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_is_known() {
        let status =
            "Name:\tharness\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(status, 1) && is_ignored(status, 13));
        assert!(!is_ignored(status, 2) && !is_ignored("", 1));
    }
}
