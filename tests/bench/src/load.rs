//! The load on a receiver: deliveries made and signed beforehand, sent from the other core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hmac::{Hmac, Mac as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::machine::{Side, keep_to};
use crate::rounds::{Samples, micros};

/// Where deliveries go, and what they are.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    path: String,
    signature: String,
    body: Arc<[u8]>,
    /// Every delivery has an id of its own, over all rounds.
    sent: Arc<AtomicU64>,
}

/// What became of a load.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// How many were acknowledged.
    pub(crate) acknowledged: u64,
    /// How many were answered that they should come back later.
    pub(crate) put_off: u64,
    /// How long it took.
    pub(crate) wall: Duration,
    /// From when a delivery was due to its acknowledgement, in milliseconds.
    pub(crate) waits: Samples,
}

impl Delivered {
    /// Acknowledged each second.
    pub(crate) fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.wall.as_secs_f64()
    }

    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.put_off += other.put_off;
        self.waits.extend(other.waits);
    }
}

impl Target {
    /// Deliveries with this body, signed with this secret.
    pub(crate) fn new(address: SocketAddr, path: &str, secret: &str, body: &[u8]) -> Result<Self> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).context("the signing secret")?;
        mac.update(body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let sent = Arc::new(AtomicU64::new(u64::from(std::process::id()) << 40));
        Ok(Self { address, path: path.to_owned(), signature, body: body.into(), sent })
    }

    /// The same deliveries to another receiver.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    fn request(&self) -> Vec<u8> {
        let id = self.sent.fetch_add(1, Ordering::Relaxed);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json; charset=utf-8\r\n\
             user-agent: Atlassian HttpClient\r\nx-atlassian-webhook-identifier: {id:024x}\r\n\
             x-hub-signature: {}\r\ncontent-length: {}\r\n\r\n",
            self.path,
            self.address,
            self.signature,
            self.body.len()
        );
        [head.as_bytes(), &self.body].concat()
    }
}

/// Sends as fast as they are acknowledged, on so many connections, for a while.
pub(crate) fn flood(target: &Target, connections: usize, turn: Duration) -> Result<Delivered> {
    let target = target.clone();
    elsewhere(async move || {
        let began = Instant::now();
        let mut senders = JoinSet::new();
        for _ in 0..connections {
            let target = target.clone();
            senders.spawn(async move {
                let mut line = Line::open(&target).await?;
                let mut delivered = Delivered::default();
                while began.elapsed() < turn {
                    line.deliver(&target, &mut delivered).await?;
                }
                anyhow::Ok(delivered)
            });
        }
        collect(senders, began).await
    })
}

/// Sends at a steady rate whatever the receiver does; a wait counts from when the delivery was due.
pub(crate) fn steady(target: &Target, connections: usize, rate: f64, turn: Duration) -> Result<Delivered> {
    let target = target.clone();
    elsewhere(async move || {
        let began = Instant::now();
        let mut senders = JoinSet::new();
        for place in 0..connections {
            let target = target.clone();
            senders.spawn(async move {
                let mut line = Line::open(&target).await?;
                let mut delivered = Delivered::default();
                for number in (place..).step_by(connections) {
                    let due = Duration::from_secs_f64(number as f64 / rate);
                    if due > turn {
                        break;
                    }
                    tokio::time::sleep_until((began + due).into()).await;
                    line.deliver(&target, &mut delivered).await?;
                    delivered.waits.push(micros(began.elapsed() - due) / 1000.0);
                }
                anyhow::Ok(delivered)
            });
        }
        collect(senders, began).await
    })
}

async fn collect(mut senders: JoinSet<Result<Delivered>>, began: Instant) -> Result<Delivered> {
    let mut all = Delivered::default();
    while let Some(delivered) = senders.join_next().await {
        all.add(delivered??);
    }
    all.wall = began.elapsed();
    Ok(all)
}

/// Runs work in a thread on the other core.
fn elsewhere<T: Send + 'static, F: Future<Output = Result<T>>>(work: impl FnOnce() -> F + Send + 'static) -> Result<T> {
    let thread = std::thread::spawn(move || {
        keep_to(Side::Other);
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
    });
    thread.join().unwrap_or_else(|_| bail!("the load broke off"))
}

/// One connection.
struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Line {
    async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await.context("the receiver does not listen")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::new() })
    }

    async fn deliver(&mut self, target: &Target, delivered: &mut Delivered) -> Result<()> {
        self.stream.write_all(&target.request()).await?;
        match self.status().await? {
            200..=299 => delivered.acknowledged += 1,
            503 => delivered.put_off += 1,
            other => bail!("a delivery was answered {other}"),
        }
        Ok(())
    }

    /// Reads one answer and gives its status.
    async fn status(&mut self) -> Result<u16> {
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the receiver closed the connection");
            }
            let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.answer[..end])?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if self.answer.len() >= end + 4 + length.unwrap_or(0) {
                return head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status");
            }
        }
    }
}
