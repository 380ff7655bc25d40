//! What the receiver is compared with: a bare axum server that proves nothing and keeps each body with one synced
//! insert, those that wait at the same time in one transaction.

use std::path::Path;
use std::sync::mpsc;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::machine::{Side, keep_to};

/// How many bodies go into one transaction at most.
const TOGETHER: usize = 512;

type Waiting = (Bytes, oneshot::Sender<()>);

/// Serves until stdin ends.
pub(crate) fn serve(file: &Path) -> Result<()> {
    keep_to(Side::Measured);
    crate::child::end_with_stdin();
    let database = Connection::open(file)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database
        .execute_batch("CREATE TABLE IF NOT EXISTS delivery (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")?;
    let (queue, waiting) = mpsc::channel();
    std::thread::spawn(move || {
        // The end of this thread is the end of all answers, which the load reports.
        if let Err(error) = keep(database, &waiting) {
            eprintln!("error: the bare server could not write: {error}");
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let routes = Router::new().route("/hooks/{token}", post(take)).with_state(queue);
        Ok(axum::serve(listener, routes).await?)
    })
}

async fn take(State(queue): State<mpsc::Sender<Waiting>>, body: Bytes) -> (StatusCode, &'static str) {
    let (kept, is_kept) = oneshot::channel();
    let sent = queue.send((body, kept)).is_ok();
    match sent && is_kept.await.is_ok() {
        true => (StatusCode::OK, "kept\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "come back later\n"),
    }
}

fn keep(mut database: Connection, waiting: &mpsc::Receiver<Waiting>) -> rusqlite::Result<()> {
    while let Ok(first) = waiting.recv() {
        let together: Vec<_> = std::iter::once(first).chain(waiting.try_iter().take(TOGETHER - 1)).collect();
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO delivery (body) VALUES (?1)")?;
            for (body, _) in &together {
                insert.execute(params![&body[..]])?;
            }
        }
        transaction.commit()?;
        for (_, kept) in together {
            let _ = kept.send(());
        }
    }
    Ok(())
}
