//! `harness serve`: the receiver, the reading of deliveries, the runs, and the upkeep of registrations.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::{Flows, flow, run_flows};
use crate::host::{Ensuring, Host, HostError, NewSubscription, card_of_kind, check_filter, check_members, off_thread};
use crate::plugin::CardKind;
use crate::webhook;

/// How often it is checked whether what is registered at the services is still as wanted.
const DRIFT: Duration = Duration::from_secs(600);
/// After how long a registration that failed in passing is tried again, at the soonest.
const SOONEST: Duration = Duration::from_secs(10);
/// The shortest wait between two polls.
const SHORTEST_POLL: Duration = Duration::from_secs(1);
/// How often it is looked for connections that need polling.
const POLL_LOOK: Duration = Duration::from_secs(5);

/// What to serve.
#[derive(Debug)]
pub struct Serving<'a> {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The URL at which services reach this host; for a loopback address, the address itself.
    pub public_url: Option<String>,
    /// The folder of flows.
    pub flows: Option<&'a Path>,
}

/// Serves until `stop` ends. `ready` is called once, with the address and the public URL, when deliveries are taken
/// in and the flows' subscriptions were seen to.
pub async fn serve(
    host: Arc<Host>,
    serving: Serving<'_>,
    ready: impl FnOnce(SocketAddr, &str, usize),
    stop: impl Future<Output = ()>,
) -> Result<(), HostError> {
    let _alone = lock(&host)?;
    let flows = match serving.flows {
        Some(folder) => flow::read_folder(folder).map_err(|error| {
            HostError::bad_input("flow", error.to_string(), "Put the flow right, then start again.")
        })?,
        None => vec![],
    };
    let flows = Arc::new(Flows::new(flows));
    check_flows(&host, &flows).await?;
    let unusable = |error: std::io::Error| {
        HostError::bad_input(
            "listen",
            format!("cannot listen on {}: {error}", serving.listen),
            "Choose another --listen address.",
        )
    };
    let listener = TcpListener::bind(serving.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let public_url = match serving.public_url {
        Some(url) => url,
        None if address.ip().is_loopback() => format!("http://{address}"),
        None => {
            return Err(HostError::bad_input(
                "public-url",
                format!("nothing says at which URL services reach {address}"),
                "Give it with --public-url https://….",
            ));
        }
    };

    let (stopping, stopped) = watch::channel(false);
    let (stored, started) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    // The receiver is up before anything is registered: the first delivery may come at once.
    let mut ended = stopped.clone();
    let receiver = tokio::spawn(webhook::listen(
        listener,
        webhook::routes(Arc::clone(&host), Arc::clone(&stored), webhook::Bounds::default()),
        async move {
            let _ = ended.wait_for(|stopped| *stopped).await;
        },
    ));
    let processing = tokio::spawn(webhook::process(
        Arc::clone(&host),
        Arc::clone(&flows),
        stored,
        Arc::clone(&started),
        stopped.clone(),
    ));
    let running = tokio::spawn(run_flows(Arc::clone(&host), Arc::clone(&started), stopped.clone()));
    let polling = tokio::spawn(poll_all(Arc::clone(&host), Arc::clone(&flows), started, stopped.clone()));

    let work = async {
        subscribe_flows(&host, &flows).await?;
        let mut again = ensure_all(&host, &public_url).await;
        ready(address, &public_url, flows.all().len());
        loop {
            host.clock().sleep(again).await;
            again = ensure_all(&host, &public_url).await;
        }
    };
    let outcome: Result<(), HostError> = tokio::select! {
        outcome = work => outcome,
        () = stop => Ok(()),
    };
    stopping.send_replace(true);
    for task in [receiver, processing, running, polling] {
        let _ = task.await;
    }
    outcome
}

/// Two servers on one home would each process everything.
fn lock(host: &Host) -> Result<File, HostError> {
    let path = host.home().serve_lock();
    let trouble = |error: std::io::Error| {
        HostError::other("serve-lock", format!("{}: {error}", path.display()), "Check the rights of the home folder.")
    };
    let file = File::options().create(true).append(true).open(&path).map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(HostError::bad_input(
            "serving-already",
            format!("another `harness serve` runs on the home {}", host.home().path().display()),
            "Stop it first, or use another --home.",
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(trouble(error)),
    }
}

/// Checks what only the connectors know: cards, connections, filters.
async fn check_flows(host: &Arc<Host>, flows: &Flows) -> Result<(), HostError> {
    for (path, one) in flows.all() {
        let at = |place: String, error: HostError| match error {
            HostError::BadInput(mut problem) => {
                problem.message = format!("{}, {place}: {}", path.display(), problem.message);
                HostError::BadInput(problem)
            }
            other => other,
        };
        let trigger = &one.flow.on;
        let session = host.session_of(&trigger.connection).await.map_err(|error| at("on.connection".into(), error))?;
        card_of_kind(&session.plugin, &trigger.event, CardKind::Event).map_err(|error| at("on.event".into(), error))?;
        check_filter(&session.plugin, &trigger.event, &trigger.filter)
            .map_err(|error| at("on.filter".into(), error))?;
        for step in &one.flow.steps {
            let place = |what: &str| format!("steps.{}.{what}", step.id);
            let session = host.session_of(&step.connection).await.map_err(|error| at(place("connection"), error))?;
            let card = card_of_kind(&session.plugin, &step.action, CardKind::Action)
                .map_err(|error| at(place("action"), error))?;
            let remedy = format!("`harness card show {}` shows the input it takes.", card.id);
            let what = format!("the input of `{}`", card.id);
            if let Some(schema) = &card.input {
                check_members(schema, &step.input, &what, &remedy).map_err(|error| at(place("input"), error))?;
            }
        }
    }
    Ok(())
}

async fn subscribe_flows(host: &Arc<Host>, flows: &Flows) -> Result<(), HostError> {
    let wanted: BTreeSet<&str> = flows.all().iter().map(|(_, one)| one.flow.name.as_str()).collect();
    for gone in off_thread(|| host.store().subscriptions(None))? {
        if gone.flow.as_deref().is_some_and(|flow| !wanted.contains(flow)) {
            off_thread(|| host.store().delete_subscription(&gone.id))?;
        }
    }
    for (_, one) in flows.all() {
        let trigger = &one.flow.on;
        let new = NewSubscription {
            connection: &trigger.connection,
            card: &trigger.event,
            filter: trigger.filter.clone(),
            flow: Some(&one.flow.name),
        };
        host.keep_subscription(new).await?;
    }
    Ok(())
}

/// Sees to the registrations of every connection that has, or had, subscriptions. Troubles are told, and tried again
/// after the wait that it answers with.
async fn ensure_all(host: &Arc<Host>, public_url: &str) -> Duration {
    let mut again = DRIFT;
    let connections = match off_thread(|| host.store().connections()) {
        Ok(connections) => connections,
        Err(error) => {
            tracing::error!(%error, "the store could not be read");
            return again;
        }
    };
    for connection in connections {
        match host.needs_registration(&connection).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                tracing::error!(connection = connection.name, %error, "what is registered could not be looked at");
                continue;
            }
        }
        match host.ensure(&connection.name, Ensuring::Apply(Some(public_url))).await {
            Ok(ensured) => {
                tracing::info!(connection = connection.name, registrations = ensured.registrations.len(), "registered");
            }
            Err(error) => {
                if error.kind() == "transient" {
                    let asked = error.retry_after_ms();
                    again = again.min(Duration::from_millis(asked).max(SOONEST));
                }
                let remedy =
                    error.to_json().get("remedy").and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default();
                tracing::error!(connection = connection.name, %error, remedy, "deliveries could not be registered; tried again later");
            }
        }
    }
    again
}

/// Polls each connection that has subscriptions which are not delivered, in its own rhythm.
async fn poll_all(host: Arc<Host>, flows: Arc<Flows>, started: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    let mut due: std::collections::HashMap<String, u64> = std::collections::HashMap::new();
    while !*stop.borrow() {
        let connections = off_thread(|| host.store().connections()).unwrap_or_default();
        for connection in connections {
            let now = host.clock().now_ms();
            let has_any =
                off_thread(|| host.store().subscriptions(Some(&connection.id))).is_ok_and(|all| !all.is_empty());
            if !has_any {
                due.remove(&connection.id);
                continue;
            }
            if due.get(&connection.id).is_some_and(|at| *at > now) {
                continue;
            }
            let (id, name) = (connection.id.clone(), connection.name.clone());
            let wait = match host.poll(connection, &|flow| flows.definition(flow)).await {
                Ok(None) => POLL_LOOK,
                Ok(Some(polled)) => {
                    if polled.fresh > 0 {
                        started.notify_one();
                    }
                    if polled.more { Duration::ZERO } else { Duration::from_millis(polled.after_ms).max(SHORTEST_POLL) }
                }
                Err(error) => {
                    tracing::warn!(connection = name, %error, "polling failed; tried again later");
                    let asked = error.retry_after_ms();
                    Duration::from_millis(asked).max(Duration::from_secs(60))
                }
            };
            due.insert(id, host.clock().now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
        }
        let now = host.clock().now_ms();
        let next = due.values().map(|at| at.saturating_sub(now)).min().unwrap_or(u64::MAX);
        let wait = Duration::from_millis(next.max(50)).min(POLL_LOOK);
        tokio::select! {
            () = host.clock().sleep(wait) => {}
            _ = stop.changed() => {}
        }
    }
}
