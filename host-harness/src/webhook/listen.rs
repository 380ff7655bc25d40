//! Accepts connections for the receiver: slow ones are closed, the slowest first where there are too many.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tower_service::Service as _;

/// How long the headers of a request may take.
const SLOWEST_HEADERS: Duration = Duration::from_secs(15);
/// The most that is read ahead on a connection, headers included, in bytes.
const READ_AHEAD: usize = 64 << 10;
/// How many connections are open at once.
const CONNECTIONS: usize = 512;
/// How long a connection may take over a request, or send none, before it gives its place to another where all are
/// taken.
const SLOW: Duration = Duration::from_secs(1);
/// How long open requests may take to end when the program is asked to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Seat {
    begun: Instant,
    /// Since when its client is to send something, in milliseconds since `begun`.
    since: AtomicU64,
    /// Whether a request has come whole, so that it is our turn.
    whole: AtomicBool,
    leave: Notify,
}

impl Seat {
    fn new() -> Self {
        Self { begun: Instant::now(), since: AtomicU64::new(0), whole: AtomicBool::new(false), leave: Notify::new() }
    }

    /// Notes that a request has come whole.
    pub(super) fn request_is_whole(&self) {
        self.whole.store(true, Ordering::Relaxed);
    }

    fn waits_for_client(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(now, Ordering::Relaxed);
        self.whole.store(false, Ordering::Relaxed);
    }

    /// For how long its client has kept us waiting; none where it does not.
    fn kept_waiting(&self) -> Option<Duration> {
        let waits = !self.whole.load(Ordering::Relaxed);
        waits.then(|| self.begun.elapsed().saturating_sub(Duration::from_millis(self.since.load(Ordering::Relaxed))))
    }
}

/// All places that are taken.
#[derive(Debug, Default)]
struct Seats(Mutex<Vec<Weak<Seat>>>);

impl Seats {
    fn add(&self, seat: &Arc<Seat>) {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.len() >= 2 * CONNECTIONS {
            seats.retain(|one| one.strong_count() > 0);
        }
        seats.push(Arc::downgrade(seat));
    }

    /// Asks the slowest to leave. `false` where none is slow.
    fn free_one(&self) -> bool {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|one| one.strong_count() > 0);
        let slowest = seats.iter().filter_map(Weak::upgrade).filter_map(|seat| Some((seat.kept_waiting()?, seat)));
        match slowest.max_by_key(|(waited, _)| *waited) {
            Some((waited, seat)) if waited >= SLOW => {
                seat.request_is_whole();
                seat.leave.notify_one();
                true
            }
            _ => false,
        }
    }
}

/// Serves until `stop` ends, then lets open requests come to their end.
pub(crate) async fn listen(listener: TcpListener, routes: Router, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let graceful = GracefulShutdown::new();
    let (places, seats) = (Arc::new(Semaphore::new(CONNECTIONS)), Seats::default());
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file handles or the like: others must close first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) if seats.free_one() => {
                let leaving = tokio::time::timeout(Duration::from_millis(200), Arc::clone(&places).acquire_owned());
                let Ok(Ok(place)) = leaving.await else { continue };
                place
            }
            Err(_) => continue,
        };
        let _ = stream.set_nodelay(true);
        let seat = Arc::new(Seat::new());
        seats.add(&seat);
        let (routes, client) = (routes.clone(), Arc::clone(&seat));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (mut routes, seat) = (routes.clone(), Arc::clone(&client));
            seat.waits_for_client();
            request.extensions_mut().insert(Arc::clone(&seat));
            async move {
                let answer = routes.call(request.map(Body::new)).await;
                seat.waits_for_client();
                answer.map_err(|error: Infallible| match error {})
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(SLOWEST_HEADERS)
            .max_buf_size(READ_AHEAD)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = seat.leave.notified() => tracing::debug!("a slow connection gave its place to another"),
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await;
}
