//! Whether the host does its work, and what somebody should look at.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::host::{Host, off_thread};
use crate::plugin::contract::event::Ensured;
use crate::quota::Standing;
use crate::store::Backlog;
use crate::vault::Held;

/// How long a write to the store may take before the store counts as not writable.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long the answer of one look at the store is good.
const FRESH: Duration = Duration::from_secs(1);
/// How long the oldest delivery that could be read may have waited.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The same for a run that could go on. More than for a delivery: each calls services, and a flood of events takes its
/// time.
const LONGEST_RUN_WAIT: Duration = Duration::from_secs(900);

/// Something about one connection that a person should put right.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trouble {
    /// The connection, by name; none where it cannot be told.
    pub connection: Option<String>,
    /// A stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// The state of a host that serves.
#[derive(Debug)]
pub struct Service {
    host: Arc<Host>,
    receiving: AtomicBool,
    registered: AtomicBool,
    stopping: AtomicBool,
    troubles: Mutex<BTreeMap<String, Vec<Trouble>>>,
    flows_aside: Mutex<Vec<Trouble>>,
    store: tokio::sync::Mutex<StoreLook>,
}

#[derive(Debug, Default)]
struct StoreLook {
    under_way: Option<JoinHandle<Result<(), String>>>,
    /// When it ended, by the clock that never goes back.
    last: Option<(Duration, Result<(), String>)>,
}

/// What `/readyz` answers.
#[derive(Debug)]
pub struct Readiness {
    /// Whether deliveries are taken in and worked on.
    pub ready: bool,
    /// The whole answer.
    pub json: Value,
}

impl Service {
    /// The state of a host that does not receive yet.
    pub fn new(host: Arc<Host>) -> Self {
        Self {
            host,
            receiving: AtomicBool::new(false),
            registered: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            troubles: Mutex::default(),
            flows_aside: Mutex::default(),
            store: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The receiver takes deliveries in, or no longer does.
    pub(crate) fn receives(&self, receiving: bool) {
        self.receiving.store(receiving, Ordering::Release);
    }

    /// What is registered was looked at for every connection.
    pub(crate) fn is_registered(&self) {
        self.registered.store(true, Ordering::Release);
    }

    /// It was asked to stop.
    pub(crate) fn stops(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// These flows cannot run and are not served.
    pub(crate) fn sets_aside(&self, flows: Vec<Trouble>) {
        *self.flows_aside.lock().unwrap_or_else(PoisonError::into_inner) = flows;
    }

    /// Replaces what is wrong with the registrations of a connection, by name.
    pub(crate) fn troubles_with(&self, connection: &str, troubles: Vec<Trouble>) {
        let mut all = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match troubles.is_empty() {
            true => drop(all.remove(connection)),
            false => drop(all.insert(connection.to_owned(), troubles)),
        }
    }

    /// Forgets the troubles of connections that are not there any more.
    pub(crate) fn only(&self, names: &dyn Fn(&str) -> bool) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| names(name));
    }

    /// What a person should look at: flows that were set aside, registrations that fail or have no room, accounts that
    /// are held, authorizations that are over.
    pub fn troubles(&self) -> Vec<Trouble> {
        let flows = self.flows_aside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let registrations: Vec<Trouble> =
            self.troubles.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect();
        let held = off_thread(|| held_accounts(&self.host)).unwrap_or_else(|error| {
            tracing::error!(%error, "the held accounts could not be read");
            vec![]
        });
        let dead = off_thread(|| dead_grants(&self.host)).unwrap_or_else(|error| {
            tracing::error!(%error, "the grants could not be read");
            vec![]
        });
        flows.into_iter().chain(registrations).chain(held).chain(dead).collect()
    }

    /// Looks at everything that a host which takes in deliveries needs.
    pub async fn readiness(&self) -> Readiness {
        let store = self.store_is_writable().await;
        let mut checks = serde_json::Map::new();
        let mut check = |name: &str, problem: Option<(String, &str)>, more: Value| {
            let mut json = json!({ "ok": problem.is_none() });
            if let Some((message, remedy)) = problem {
                json["message"] = message.into();
                json["remedy"] = remedy.into();
            }
            if let (Some(members), Value::Object(more)) = (json.as_object_mut(), more) {
                members.extend(more);
            }
            checks.insert(name.into(), json);
        };
        let receiving = self.receiving.load(Ordering::Acquire) && !self.stopping.load(Ordering::Acquire);
        let why = if self.stopping.load(Ordering::Acquire) { "it is stopping" } else { "it is starting" };
        check("receiver", (!receiving).then(|| (why.to_owned(), "Wait a moment.")), Value::Null);
        let registered = self.registered.load(Ordering::Acquire);
        let not_yet = || ("what is registered at the services is being looked at".to_owned(), "Wait a moment.");
        check("registrations", (!registered).then(not_yet), Value::Null);
        let mut troubles = vec![];
        match store {
            Ok(()) => {
                check("store", None, Value::Null);
                let now = self.host.clock().now_ms();
                match off_thread(|| self.host.store().backlog(now)) {
                    Ok(backlog) => check("backlog", too_old(&backlog, now), backlog_json(&backlog, now)),
                    Err(error) => check("backlog", Some((error.to_string(), "Look into the host's log.")), Value::Null),
                }
                troubles = self.troubles();
            }
            // Whoever reads the store now would wait for it too.
            Err(reason) => {
                let remedy = "Look whether the disk is full or another process holds the database.";
                check("store", Some((reason, remedy)), Value::Null);
            }
        }
        let ready = checks.values().all(|one| one["ok"] == true);
        Readiness { ready, json: json!({ "ready": ready, "checks": checks, "troubles": troubles }) }
    }

    /// Writes to the store. A write that hangs is waited for once, however often this is asked.
    async fn store_is_writable(&self) -> Result<(), String> {
        let mut look = self.store.lock().await;
        if let Some((at, result)) = &look.last
            && self.host.clock().monotonic().saturating_sub(*at) < FRESH
        {
            return result.clone();
        }
        let host = Arc::clone(&self.host);
        let under_way = look.under_way.get_or_insert_with(|| {
            tokio::task::spawn_blocking(move || {
                host.store().probe(host.clock().now_ms()).map_err(|error| error.to_string())
            })
        });
        let result = match tokio::time::timeout(PATIENCE, under_way).await {
            Ok(ended) => {
                look.under_way = None;
                ended.unwrap_or_else(|error| Err(error.to_string()))
            }
            Err(_) => Err(format!("a write to the store did not end within {} s", PATIENCE.as_secs())),
        };
        look.last = Some((self.host.clock().monotonic(), result.clone()));
        result
    }
}

fn since(at: Option<u64>, now: u64) -> Duration {
    Duration::from_millis(at.map_or(0, |at| now.saturating_sub(at)))
}

fn too_old(backlog: &Backlog, now: u64) -> Option<(String, &'static str)> {
    let (delivery, run) = (since(backlog.oldest_due_ms, now), since(backlog.oldest_run_due_ms, now));
    if delivery > LONGEST_WAIT {
        return Some((
            format!("an acknowledged delivery waits to be read for {} s", delivery.as_secs()),
            "Look into the host's log why deliveries cannot be read; give the host more processors if it is slow.",
        ));
    }
    (run > LONGEST_RUN_WAIT).then(|| {
        (
            format!("a run that could go on waits for {} s", run.as_secs()),
            "Look into the host's log why runs do not go on; give the host more processors if it is slow.",
        )
    })
}

fn backlog_json(backlog: &Backlog, now: u64) -> Value {
    json!({
        "deliveries": backlog.deliveries,
        "deliveries-due": backlog.deliveries_due,
        "oldest-s": since(backlog.oldest_due_ms, now).as_secs(),
        "runs-pending": backlog.runs_pending,
        "runs-waiting": backlog.runs_waiting,
        "oldest-run-s": since(backlog.oldest_run_due_ms, now).as_secs(),
    })
}

/// The connections whose accounts are held.
pub(crate) fn held_accounts(host: &Host) -> Result<Vec<Trouble>, crate::store::StoreError> {
    let held =
        host.held_connections()?.into_iter().filter_map(|one| one.held.map(|held| (one.name, held, one.granted)));
    let trouble = |(name, held, granted): (String, Held, bool)| Trouble {
        remedy: held.remedy(&name, granted),
        connection: Some(name),
        code: "host.account-held".into(),
        message: format!("its account is held, nothing is sent with it: {}", held.reason),
    };
    Ok(held.map(trouble).collect())
}

/// The connections whose authorization is over.
fn dead_grants(host: &Host) -> Result<Vec<Trouble>, crate::store::StoreError> {
    let mut troubles = vec![];
    for grant in host.store().grants()? {
        let Some(reason) = grant.dead else { continue };
        // Who has no OAuth client brings an id and a secret of their own.
        let command = if grant.client.is_none() { "replace-credential" } else { "reauthorize" };
        for connection in host.store().connections_sharing(&grant.id)? {
            troubles.push(Trouble {
                code: "host.grant-dead".into(),
                message: format!("its authorization is over, nothing is sent with it: {reason}"),
                remedy: format!("`harness connection {command} {}`.", connection.name),
                connection: Some(connection.name),
            });
        }
    }
    Ok(troubles)
}

/// What an answer of `ensure` says against taking in deliveries: a site without room.
pub(crate) fn troubles_of(connection: &str, ensured: &Ensured) -> Vec<Trouble> {
    let of = |one: &crate::plugin::contract::event::Allowance| {
        let standing = Standing::of(one);
        let code = match standing {
            Standing::Full => "host.registrations-full",
            Standing::Near => "host.registrations-near",
            Standing::Fine | Standing::Unknown => return None,
        };
        let used = one.used.unwrap_or_default();
        Some(Trouble {
            connection: Some(connection.to_owned()),
            code: code.into(),
            message: format!("{used} of {} {} are used, {} of them by this connection", one.limit, one.name, one.ours),
            remedy: format!("`harness quota --connection {connection}` names those that may go first."),
        })
    };
    ensured.allowances.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_whose_authorization_is_over_is_named_until_somebody_renews_it() {
        use crate::authorize::bench::{CREDENTIAL, insert};
        use crate::store::Alarm;
        let folder = tempfile::tempdir().unwrap();
        let clock = crate::test_clock::TestClock::shared();
        let host = Host::open(crate::host::Home::new(folder.path(), None), clock).unwrap();
        insert(host.store(), "harbour");
        let service = Service::new(Arc::new(host));
        assert!(service.troubles().is_empty());
        let alarm = Alarm { at_ms: 0, connection: None, code: "host.grant-dead".into(), message: "over".into() };
        let of = crate::store::Edition { version: 1, generation: 1 };
        assert!(service.host.store().bury_grant(CREDENTIAL, of, "status 403", &alarm).unwrap());
        let troubles = service.troubles();
        assert_eq!(troubles[0].connection.as_deref(), Some("harbour"));
        assert!(troubles[0].remedy.contains("replace-credential harbour") && troubles.len() == 1, "{troubles:?}");
        let made = service.host.store().write(|db| {
            let client =
                "INSERT INTO oauth_client VALUES ('c', 'app', 'fake', 'oauth', '{}', 'http://a.test/', '[]', NULL, 0)";
            db.execute(client, [])?;
            Ok::<_, crate::store::StoreError>(db.execute("UPDATE credential SET client = 'c'", [])?)
        });
        made.unwrap();
        let troubles = service.troubles();
        assert!(troubles[0].remedy.contains("reauthorize harbour") && troubles.len() == 1, "{troubles:?}");
        assert!(!service.host.store().bury_grant(CREDENTIAL, of, "status 403", &alarm).unwrap(), "it is said once");
        assert_eq!(service.host.store().alarms(9).unwrap().len(), 1);
    }

    #[test]
    fn only_a_delivery_that_waits_too_long_speaks_against_the_host() {
        let backlog = |at| Backlog { deliveries: 9, oldest_due_ms: at, ..Backlog::default() };
        assert!(too_old(&backlog(None), 1_000_000).is_none());
        assert!(too_old(&backlog(Some(700_000)), 1_000_000).is_none(), "not after five minutes");
        assert!(too_old(&backlog(Some(699_999)), 1_000_000).is_some(), "but after that");
        assert!(too_old(&backlog(Some(2_000_000)), 1_000_000).is_none(), "nor where the clock was set back");
    }

    #[test]
    fn a_run_that_is_due_for_too_long_speaks_against_the_host() {
        let backlog = |at| Backlog { runs_pending: 9, oldest_run_due_ms: at, ..Backlog::default() };
        assert!(too_old(&backlog(None), 1_000_000).is_none());
        assert!(too_old(&backlog(Some(100_000)), 1_000_000).is_none(), "not after fifteen minutes");
        let (message, _) = too_old(&backlog(Some(99_999)), 1_000_000).unwrap();
        assert!(message.contains("a run that could go on waits for 900 s"), "{message}");
    }
}
