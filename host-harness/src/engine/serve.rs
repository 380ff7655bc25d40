//! `harness serve`: the receiver, the reading of deliveries, the runs, the polls, the upkeep of registrations, and how
//! all of it begins and ends.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::polling::{self, Polling};
use super::registering::{self, Registering};
use super::retention::forget_old;
use super::{Flows, flow, rounds, run_flows};
use crate::host::{
    Host, HostError, NewSubscription, card_of_kind, check_filter, check_members, off_thread, public_base,
};
use crate::observe::{self, Service, Trouble, metrics};
use crate::plugin::CardKind;
use crate::webhook;

/// How long what has begun may take to come to its end, where nothing is said.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What to serve.
#[derive(Debug)]
pub struct Serving<'a> {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The URL at which services reach this host; for a loopback address, the address itself.
    pub public_url: Option<String>,
    /// The folder of flows.
    pub flows: Option<&'a Path>,
    /// Where the operator's listener is: health and metrics.
    pub admin: Option<SocketAddr>,
    /// How long what has begun may take to come to its end after `stop`.
    pub patience: Duration,
}

impl Serving<'_> {
    /// Serving at an address, without flows and without the operator's listener.
    pub fn at(listen: SocketAddr) -> Self {
        Self { listen, public_url: None, flows: None, admin: None, patience: PATIENCE }
    }
}

/// What is told once the host is ready.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the operator's listener is.
    pub admin: Option<SocketAddr>,
    /// The URL at which services reach it.
    pub public_url: String,
    /// How many flows it runs.
    pub flows: usize,
    /// What somebody should look at: registrations that failed, sites without room, accounts that are held.
    pub troubles: Vec<Trouble>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whether all that had begun came to its end. What did not is taken up at the next start.
    pub clean: bool,
    /// Acknowledged deliveries that are read at the next start.
    pub deliveries: u64,
    /// Runs that go on at the next start.
    pub runs: u64,
}

impl Ended {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({ "stopped": true, "clean": self.clean, "deliveries-left": self.deliveries, "runs-left": self.runs })
    }
}

/// Serves until `stop` ends. `ready` is called once, when deliveries are taken in and what is registered was seen to.
pub async fn serve(
    host: Arc<Host>,
    serving: Serving<'_>,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<Ended, HostError> {
    let _alone = host.home().lock_for_serving()?;
    let flows = match serving.flows {
        Some(folder) => flow::read_folder(folder).map_err(|error| {
            HostError::bad_input("flow", error.to_string(), "Put the flow right, then start again.")
        })?,
        None => vec![],
    };
    let flows = Arc::new(Flows::new(flows));
    check_flows(&host, &flows).await?;
    flows.all().iter().for_each(|(_, one)| metrics().serves(&one.flow.name));
    let listener = bind(serving.listen, "listen").await?;
    let address = address_of(&listener, "listen")?;
    let public_url = match serving.public_url {
        Some(url) => public_base(&url)?,
        None if address.ip().is_loopback() => format!("http://{address}"),
        None => {
            return Err(HostError::bad_input(
                "public-url",
                format!("nothing says at which URL services reach {address}"),
                "Give it with --public-url https://….",
            ));
        }
    };
    let service = Arc::new(Service::new(Arc::clone(&host)));
    let admin = match serving.admin {
        Some(address) => Some(bind(address, "admin").await?),
        None => None,
    };
    let admin_address = admin.as_ref().map(|listener| address_of(listener, "admin")).transpose()?;

    // The operator sees it to its very end.
    let (closing, closed) = watch::channel(false);
    let admin = admin.map(|listener| {
        tokio::spawn(webhook::listen(listener, observe::routes(Arc::clone(&service)), told(closed.clone())))
    });
    let (stopping, stopped) = watch::channel(false);
    let (stored, started) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut tasks = JoinSet::new();
    // The receiver is up before anything is registered: the first delivery may come at once.
    let routes = webhook::routes(Arc::clone(&host), Arc::clone(&stored), webhook::Bounds::default());
    tasks.spawn(webhook::listen(listener, routes.layer(from_fn(observe::acknowledging)), told(stopped.clone())));
    service.receives(true);
    tasks.spawn(webhook::process(Arc::clone(&host), Arc::clone(&flows), stored, Arc::clone(&started), stopped.clone()));
    tasks.spawn(run_flows(Arc::clone(&host), Arc::clone(&started), stopped.clone()));
    tasks.spawn(forget_old(Arc::clone(&host), stopped.clone()));

    let work = async {
        subscribe_flows(&host, &flows).await?;
        let polling = Arc::new(Polling::new(Arc::clone(&host), Arc::clone(&flows), started));
        tasks.spawn(rounds::go(Arc::clone(host.clock()), polling::PACE, polling, stopped.clone()));
        let registering = Registering::new(Arc::clone(&host), Arc::clone(&service), public_url.clone());
        let registering = Arc::new(registering);
        let seen = Arc::clone(&registering);
        tasks.spawn(rounds::go(Arc::clone(host.clock()), registering::PACE, registering, stopped.clone()));
        seen.all_seen().await;
        let (flows, troubles) = (flows.all().len(), service.troubles());
        ready(&Ready { listen: address, admin: admin_address, public_url: public_url.clone(), flows, troubles });
        std::future::pending().await
    };
    let outcome: Result<(), HostError> = tokio::select! {
        outcome = work => outcome,
        () = stop => Ok(()),
    };
    service.stops();
    stopping.send_replace(true);
    let all = async { while tasks.join_next().await.is_some() {} };
    let clean = tokio::time::timeout(serving.patience, all).await.is_ok();
    let ended = ended(&host, clean);
    closing.send_replace(true);
    if let Some(admin) = admin {
        // Whoever keeps a connection to it open does not keep the host from ending.
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    }
    outcome.map(|()| ended)
}

async fn told(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

async fn bind(address: SocketAddr, option: &str) -> Result<TcpListener, HostError> {
    TcpListener::bind(address).await.map_err(|error| unusable(address, option, &error))
}

fn address_of(listener: &TcpListener, option: &str) -> Result<SocketAddr, HostError> {
    listener.local_addr().map_err(|error| unusable(([0, 0, 0, 0], 0).into(), option, &error))
}

fn unusable(address: SocketAddr, option: &str, error: &std::io::Error) -> HostError {
    let message = format!("cannot listen on {address}: {error}");
    HostError::bad_input(option, message, format!("Choose another --{option} address."))
}

/// Says what is left for the next start.
fn ended(host: &Host, clean: bool) -> Ended {
    let backlog = off_thread(|| host.store().backlog(host.clock().now_ms())).unwrap_or_default();
    // Those that were cut off are marked as running.
    let running = off_thread(|| host.store().running_runs()).map_or(0, |runs| runs.len() as u64);
    let runs = backlog.runs_pending + backlog.runs_waiting + running;
    let ended = Ended { clean, deliveries: backlog.deliveries, runs };
    let (deliveries, runs) = (ended.deliveries, ended.runs);
    if clean {
        tracing::info!(deliveries, runs, "stopped; what is left goes on at the next start");
    } else {
        tracing::warn!(
            deliveries,
            runs,
            "stopped before all that had begun came to its end; it is taken up at the next start"
        );
    }
    ended
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
