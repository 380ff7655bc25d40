//! Lets running guests look at the clock. While none runs, nothing ticks and the machine can sleep.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

/// How often running guests look at the clock.
const TICK: Duration = Duration::from_millis(10);
/// After how many ticks without a call it stops. Not at once: waking a thread for every call would cost more.
const IDLE_TICKS: u32 = 100;

/// Ticks for one engine while calls run.
pub(crate) struct Ticker {
    running: AtomicUsize,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Ticker {
    /// Starts ticking, for as long as the answer lives.
    pub(crate) fn start(engine: &Engine) -> io::Result<Arc<Self>> {
        let ticker =
            Arc::new(Self { running: AtomicUsize::new(0), asleep: AtomicBool::new(false), thread: OnceLock::new() });
        let (engine, weak) = (engine.clone(), Arc::downgrade(&ticker));
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || run(&engine, &weak))?;
        let _ = ticker.thread.set(thread.thread().clone());
        Ok(ticker)
    }

    /// A call begins; it ends when the answer is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(self)
    }

    fn wake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.wake();
    }
}

/// A call that runs.
pub(crate) struct Running<'a>(&'a Ticker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn run(engine: &Engine, weak: &Weak<Ticker>) {
    let mut idle = 0;
    loop {
        let Some(ticker) = weak.upgrade() else { return };
        engine.increment_epoch();
        idle = if ticker.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle < IDLE_TICKS {
            drop(ticker);
            std::thread::sleep(TICK);
            continue;
        }
        idle = 0;
        ticker.asleep.store(true, Ordering::SeqCst);
        // Asked again: a call that began just now may not have seen that nobody ticks.
        let is_idle = ticker.running.load(Ordering::SeqCst) == 0;
        drop(ticker);
        if is_idle {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_ticking_while_nothing_runs_and_ticks_again_for_a_call() {
        let ticker = Ticker::start(&Engine::default()).unwrap();
        let until = |asleep: bool| {
            for _ in 0..1000 {
                if ticker.asleep.load(Ordering::SeqCst) == asleep {
                    return;
                }
                std::thread::sleep(TICK);
            }
            panic!("waited in vain");
        };
        until(true);
        let running = ticker.running();
        until(false);
        std::thread::sleep(TICK * (IDLE_TICKS + 20));
        assert!(!ticker.asleep.load(Ordering::SeqCst));
        drop(running);
        until(true);
    }
}
