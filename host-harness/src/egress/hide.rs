//! Answers of the service that got the credential: what they say of it back is made unreadable while they stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::authorize::Traces;

/// A body in which nothing can be read of a credential. Its length stays as it is.
struct Hidden {
    inner: WasiBody,
    traces: Traces,
    /// The end of what came, which may be the beginning of a secret.
    held: Bytes,
    /// What comes when `held` has gone out.
    after: Option<Frame<Bytes>>,
}

impl Hidden {
    /// What may go out of what has come.
    fn pass(&mut self, data: Bytes) -> Bytes {
        let data = if self.held.is_empty() { data } else { Bytes::from([&self.held[..], &data[..]].concat()) };
        let mut data = self.traces.hidden(&data).map_or(data, Bytes::from);
        self.held = data.split_off(data.len() - self.traces.begun(&data));
        data
    }
}

impl Body for Hidden {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(after) = self.after.take() {
            return Poll::Ready(Some(Ok(after)));
        }
        loop {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame.into_data(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.held.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.held))))),
            };
            match frame {
                Ok(data) => {
                    let data = self.pass(data);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Err(mut other) => {
                    if let Some(trailers) = other.trailers_mut() {
                        headers(&self.traces, trailers);
                    }
                    if self.held.is_empty() {
                        return Poll::Ready(Some(Ok(other)));
                    }
                    self.after = Some(other);
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.held)))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.held.is_empty() && self.after.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(held)) {
            hint.set_upper(upper);
        }
        hint.set_lower(inner.lower().saturating_add(held));
        hint
    }
}

/// The body without what gives the credential away.
pub(super) fn body(traces: &Traces, inner: WasiBody) -> WasiBody {
    Hidden { inner, traces: traces.clone(), held: Bytes::new(), after: None }.boxed_unsync()
}

/// Makes unreadable what headers say of the credential.
pub(super) fn headers(traces: &Traces, headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        if let Some(hidden) = traces.hidden(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&hidden).unwrap_or(HeaderValue::from_static(""));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A body that comes in these frames.
    struct Pieces(VecDeque<Frame<Bytes>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = HttpError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    fn answer(pieces: &[&'static str], trailers: Option<HeaderMap>) -> WasiBody {
        let frames = pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
        Pieces(frames.chain(trailers.map(Frame::trailers)).collect()).boxed_unsync()
    }

    #[tokio::test]
    async fn a_secret_in_pieces_is_hidden_and_all_else_comes_through() {
        let traces = Traces::of(["obviously-fake"]);
        let cases: [(&[&str], &str); 4] = [
            (&["a obvio", "us", "ly-fake b"], "a ************** b"),
            (&["ends like obviously"], "ends like obviously"),
            (&["obviously-fakeobviously-", "fake"], "****************************"),
            (&["obviously-", "real"], "obviously-real"),
        ];
        for (pieces, expected) in cases {
            let whole = body(&traces, answer(pieces, None)).collect().await.unwrap().to_bytes();
            assert_eq!(whole, expected);
        }
    }

    #[tokio::test]
    async fn trailers_come_after_what_was_held_back_and_say_nothing_either() {
        let traces = Traces::of(["obviously-fake"]);
        let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("obviously-fake"))]);
        let whole = body(&traces, answer(&["obvious"], Some(trailers))).collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["etag"], "**************");
        assert_eq!(whole.to_bytes(), "obvious");
    }
}
