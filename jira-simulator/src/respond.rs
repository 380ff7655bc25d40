//! Answers as bytes, and what faults do to a body: slow, cut, short, endless.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::control::fault::{Cut, Fault};
use crate::routes::Answer;

/// Bytes of a slow body sent at a time.
const CHUNK: usize = 64;
/// Bytes of a repeated body sent at a time.
const BLOCK: usize = 256 * 1024;

pub(crate) type Body = BoxBody<Bytes, io::Error>;

pub(crate) fn respond(answer: Answer, fault: Option<&Fault>) -> Response<Body> {
    let mut response = Response::new(body(answer.body, fault));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            // A map of headers is full before a fault is: the rest is left out.
            let _ = response.headers_mut().try_append(name, value);
        }
    }
    response
}

fn body(bytes: Vec<u8>, fault: Option<&Fault>) -> Body {
    let whole = |bytes: Vec<u8>| {
        http_body_util::Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed()
    };
    let Some(fault) = fault else { return whole(bytes) };
    let mut bytes = bytes;
    if let Some(length) = fault.truncate_body_to {
        bytes.truncate(length);
    }
    let cut = fault.cut == Some(Cut::MidBody);
    if !cut && fault.slow_ms_per_chunk == 0 && fault.repeat > 1 {
        return repeated(&bytes, fault.repeat);
    }
    if !cut && fault.slow_ms_per_chunk == 0 {
        return whole(bytes);
    }
    if cut {
        bytes.truncate(bytes.len() / 2);
    }
    let pause = Duration::from_millis(fault.slow_ms_per_chunk);
    let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, io::Error>>(1);
    tokio::spawn(async move {
        for chunk in bytes.chunks(CHUNK) {
            if sender.send(Ok(Frame::data(Bytes::copy_from_slice(chunk)))).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
        if cut {
            // The first half has to be on the wire before the connection is cut.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = sender.send(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"))).await;
        }
    });
    Frames(receiver).boxed()
}

/// A body again and again, in blocks that keep a reader busy.
fn repeated(bytes: &[u8], mut times: u64) -> Body {
    let at_once = (BLOCK / bytes.len().max(1)).max(1) as u64;
    let block = Bytes::from(bytes.repeat(usize::try_from(at_once.min(times)).unwrap_or(1)));
    let once = bytes.len();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while times > 0 {
            let now = at_once.min(times);
            times -= now;
            let part = block.slice(..once * usize::try_from(now).unwrap_or(1));
            if sender.send(Ok(Frame::data(part))).await.is_err() {
                return;
            }
        }
    });
    Frames(receiver).boxed()
}

/// The frames of a channel as a body.
struct Frames(mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context)
    }
}
