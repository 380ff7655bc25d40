//! Bodies that are counted while they stream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::fault::of_hyper;

/// A body that ends with an error when it grows too large.
struct Bounded<B> {
    inner: B,
    left: u64,
    too_large: fn() -> HttpError,
}

impl<B: Body<Data = Bytes, Error = HttpError> + Unpin> Body for Bounded<B> {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err((self.too_large)()))),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body of an answer, with a bound on the time between its pieces.
struct Timed<B> {
    inner: B,
    between: Duration,
    /// Runs while a piece is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B: Body<Data = Bytes, Error = HttpError> + Unpin> Body for Timed<B> {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(ready) => {
                self.timer = None;
                Poll::Ready(ready)
            }
            Poll::Pending => {
                let between = self.between;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + between)));
                timer.as_mut().poll(context).map(|()| Some(Err(HttpError::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer: at most `most` bytes, at most `between` from piece to piece.
pub(crate) fn incoming(body: hyper::body::Incoming, most: u64, between: Duration) -> WasiBody {
    let inner = body.map_err(|error| of_hyper(&error));
    let timed = Timed { inner, between, timer: None };
    Bounded { inner: timed, left: most, too_large: || HttpError::HttpResponseBodySize(None) }.boxed_unsync()
}

/// The body of a request: at most `most` bytes.
pub(crate) fn outgoing(body: WasiBody, most: u64) -> WasiBody {
    Bounded { inner: body, left: most, too_large: || HttpError::HttpRequestBodySize(None) }.boxed_unsync()
}

/// The whole body of a request, where it has at most `most` bytes.
pub(crate) async fn collect(body: WasiBody, most: u64) -> Result<Bytes, HttpError> {
    Ok(outgoing(body, most).collect().await?.to_bytes())
}

/// A body of these bytes.
pub(crate) fn whole(bytes: Bytes) -> WasiBody {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The body of a request, read as far as it may be kept.
pub(crate) enum Start {
    /// All of it.
    Whole(Bytes),
    /// It is larger: what was read, and the rest as it comes.
    Larger(WasiBody),
}

/// Reads a body that has at most `most` bytes; of a larger one, the beginning.
pub(crate) async fn start(mut body: WasiBody, most: u64) -> Result<Start, HttpError> {
    let mut read = Vec::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        // Trailers are none of HTTP/1.1's without an agreement that nobody here makes.
        let Ok(data) = frame?.into_data() else { continue };
        read.extend_from_slice(&data);
        if read.len() as u64 > most {
            return Ok(Start::Larger(Begun { read: Some(Bytes::from(read)), rest: body }.boxed_unsync()));
        }
    }
    Ok(Start::Whole(Bytes::from(read)))
}

/// A body whose beginning was read already.
struct Begun {
    read: Option<Bytes>,
    rest: WasiBody,
}

impl Body for Begun {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match self.read.take() {
            Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, |read| read.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint
    }
}
