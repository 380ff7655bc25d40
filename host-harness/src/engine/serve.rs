//! `harness serve`: the receiver, the reading of deliveries, the runs, the polls, the upkeep of registrations, and how
//! all of it begins and ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::coming_back::{self, ComingBack};
use super::looking_after::{self, LookingAfter};
use super::polling::{self, Polling};
use super::registering::{self, Registering};
use super::renewing::{self, Renewing};
use super::retention::forget_old;
use super::set_aside::set_aside;
use super::subscribing::{names, subscribe_all};
use super::tasks::Tasks;
use super::{Flows, flow, rounds, run_flows};
use crate::host::{Host, HostError, off_thread, public_base};
use crate::observe::{self, Service, Trouble, metrics};
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
    /// Whether one flow that cannot run keeps the host from starting; else it is set aside.
    pub strict: bool,
    /// Where the operator's listener is: health and metrics.
    pub admin: Option<SocketAddr>,
    /// How long what has begun may take to come to its end after `stop`.
    pub patience: Duration,
}

impl Serving<'_> {
    /// Serving at an address, without flows and without the operator's listener.
    pub fn at(listen: SocketAddr) -> Self {
        Self { listen, public_url: None, flows: None, strict: false, admin: None, patience: PATIENCE }
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
    /// What somebody should look at: flows that were set aside, registrations that failed, sites without room, accounts
    /// that are held.
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
    let (flows, aside) = set_aside(&host, flows, serving.strict).await?;
    let flows = Arc::new(Flows::new(flows));
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
    service.sets_aside(aside.iter().map(|one| one.trouble.clone()).collect());
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
    let mut tasks = Tasks::default();
    // The receiver is up before anything is registered: the first delivery may come at once.
    let (routes, intake) = webhook::routes(Arc::clone(&host), Arc::clone(&stored), webhook::Bounds::default());
    let routes = routes.layer(from_fn(observe::acknowledging));
    tasks.spawn("taking deliveries in", webhook::listen(listener, routes, told(stopped.clone())));
    tasks.spawn("keeping deliveries", intake.watch(told(stopped.clone())));
    service.receives(true);
    let reading =
        webhook::process(Arc::clone(&host), Arc::clone(&flows), stored, Arc::clone(&started), stopped.clone());
    tasks.spawn("reading deliveries", reading);
    tasks.spawn("running flows", run_flows(Arc::clone(&host), Arc::clone(&started), stopped.clone()));
    tasks.spawn("deleting what is old", forget_old(Arc::clone(&host), stopped.clone()));
    let renewing = Arc::new(Renewing(Arc::clone(&host)));
    let renewals = rounds::go(Arc::clone(host.clock()), renewing::PACE, renewing, stopped.clone());
    tasks.spawn("keeping authorizations alive", renewals);

    let work = async {
        tasks.beside(subscribe_all(&host, &flows, &names(&aside))).await??;
        let polling = Arc::new(Polling::new(Arc::clone(&host), Arc::clone(&flows), started));
        let polls = rounds::go(Arc::clone(host.clock()), polling::PACE, polling, stopped.clone());
        tasks.spawn("polling", polls);
        let looking_after = Arc::new(LookingAfter(Arc::clone(&host)));
        let looks = rounds::go(Arc::clone(host.clock()), looking_after::PACE, looking_after, stopped.clone());
        tasks.spawn("looking after connections", looks);
        let registering = Registering::new(Arc::clone(&host), Arc::clone(&service), public_url.clone());
        let registering = Arc::new(registering);
        let seen = Arc::clone(&registering);
        let coming_back =
            ComingBack::new(Arc::clone(&host), Arc::clone(&service), Arc::clone(&flows), Arc::clone(&seen), aside);
        let looks = rounds::go(Arc::clone(host.clock()), coming_back::PACE, Arc::new(coming_back), stopped.clone());
        tasks.spawn("looking at flows that were set aside", looks);
        let upkeep = rounds::go(Arc::clone(host.clock()), registering::PACE, registering, stopped.clone());
        tasks.spawn("seeing to registrations", upkeep);
        tasks.beside(seen.all_seen()).await?;
        let (flows, troubles) = (flows.all().len(), service.troubles());
        ready(&Ready { listen: address, admin: admin_address, public_url: public_url.clone(), flows, troubles });
        Err(tasks.one_ended().await)
    };
    let outcome: Result<(), HostError> = tokio::select! {
        outcome = work => outcome,
        () = stop => Ok(()),
    };
    service.stops();
    stopping.send_replace(true);
    let clean = tokio::time::timeout(serving.patience, tasks.all_ended()).await.is_ok();
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
