//! A way between the host and a Jira on which requests, or their answers, can be held: a test does something else while
//! they are on their way, lets them arrive, or lets them get lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use super::tee::forward;
use crate::service::{Reply, Service};
use crate::simulator::text;

/// How long anything may be held, or waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where they are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    /// Before they arrive at the Jira.
    Request,
    /// With the answer: the Jira has done what it was asked for.
    Answer,
}

/// The way.
pub(super) struct Held {
    service: Service,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    at: Option<At>,
    /// How many are held now.
    waiting: usize,
    /// Those that are held are not let on, but lost.
    losing: bool,
    /// Which of the releases this is: who waits goes on with the next one.
    releases: u64,
    /// The tokens that passed, in their order.
    issued: Vec<(String, String)>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panicked in it")
    }

    /// Goes on at once, or when it is let; `false` where it is lost.
    fn pass(&self, at: At) -> bool {
        let mut state = self.lock();
        if state.at != Some(at) {
            return true;
        }
        let seen = state.releases;
        state.waiting += 1;
        self.changed.notify_all();
        let waits = |state: &mut State| state.releases == seen;
        let (mut state, _) = self.changed.wait_timeout_while(state, PATIENCE, waits).expect("nothing panicked in it");
        state.waiting -= 1;
        !state.losing
    }
}

impl Held {
    /// The way to a service. Those requests can be held whose path contains `part`.
    pub(super) fn before(url: &str, part: &'static str) -> Self {
        let (url, gate) = (url.to_owned(), Arc::<Gate>::default());
        let passing = Arc::clone(&gate);
        let service = Service::start(move |request| {
            let holds = request.target.contains(part);
            if holds && !passing.pass(At::Request) {
                return lost();
            }
            let reply = forward(&url, request);
            let tokens: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            if tokens["refresh_token"].is_string() {
                let pair = (text(&tokens["access_token"]), text(&tokens["refresh_token"]));
                passing.lock().issued.push(pair);
            }
            if holds && !passing.pass(At::Answer) { lost() } else { reply }
        });
        Self { service, gate }
    }

    pub(super) fn url(&self) -> String {
        self.service.url()
    }

    /// Holds what comes from now on.
    pub(super) fn hold(&self, at: At) {
        self.gate.lock().at = Some(at);
    }

    /// Waits until so many are held.
    pub(super) fn wait_for(&self, count: usize) {
        let state = self.gate.lock();
        let fewer = |state: &mut State| state.waiting < count;
        let (state, late) =
            self.gate.changed.wait_timeout_while(state, PATIENCE, fewer).expect("nothing panicked in it");
        let (waiting, late) = (state.waiting, late.timed_out());
        drop(state);
        assert!(!late, "waited a minute for {count} requests to be held, but: {waiting}");
    }

    /// Holds nothing more than what is held already.
    pub(super) fn let_others_pass(&self) {
        self.gate.lock().at = None;
    }

    /// Lets all on that are held; nothing is held any more.
    pub(super) fn release(&self) {
        self.let_go(false);
    }

    /// Loses all that are held; nothing is held any more.
    pub(super) fn lose(&self) {
        self.let_go(true);
    }

    fn let_go(&self, losing: bool) {
        let mut state = self.gate.lock();
        (state.at, state.losing) = (None, losing);
        state.releases += 1;
        self.gate.changed.notify_all();
    }

    /// The access and refresh tokens that passed, oldest first.
    pub(super) fn issued(&self) -> Vec<(String, String)> {
        self.gate.lock().issued.clone()
    }
}

fn lost() -> Reply {
    Reply { status: 502, headers: Vec::new(), body: Vec::new() }
}
