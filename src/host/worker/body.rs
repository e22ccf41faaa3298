//! Bodies between JavaScript's streams and ours; each chunk is copied once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use wasm_streams::readable::IntoStream;
use worker::AbortController;
use worker::js_sys::Uint8Array;
use worker::send::SendWrapper;
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::web_sys;

use crate::port::upstream::BodyError;

/// Aborts a fetch when it is dropped before [`Aborts::done`].
pub(super) struct Aborts(Option<SendWrapper<AbortController>>);

impl Aborts {
    pub(super) fn new(controller: AbortController) -> Self {
        Self(Some(SendWrapper(controller)))
    }

    /// Call when the fetch has ended.
    pub(super) fn done(&mut self) {
        self.0 = None;
    }
}

impl Drop for Aborts {
    fn drop(&mut self) {
        if let Some(SendWrapper(controller)) = self.0.take() {
            controller.abort();
        }
    }
}

/// The body of a fetched response. Dropping it before its end aborts the fetch.
pub(super) struct Fetched {
    stream: Option<SendWrapper<IntoStream<'static>>>,
    fetch: Aborts,
    /// Remaining bytes, if the length was announced.
    left: Option<u64>,
}

impl Fetched {
    pub(super) fn new(body: Option<web_sys::ReadableStream>, fetch: Aborts, length: Option<u64>) -> Self {
        let stream =
            body.map(|body| wasm_streams::ReadableStream::from_raw(body.unchecked_into()).into_stream());
        let left = if stream.is_some() { length } else { Some(0) };
        let mut fetched = Self {
            stream: stream.map(SendWrapper),
            fetch,
            left,
        };
        if fetched.stream.is_none() {
            fetched.fetch.done();
        }
        fetched
    }

    fn end(&mut self) {
        self.stream = None;
        self.fetch.done();
    }
}

impl http_body::Body for Fetched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(None);
        };
        match ready!(Pin::new(&mut stream.0).poll_next(context)) {
            Some(Ok(chunk)) => {
                let bytes = Bytes::from(Uint8Array::new(&chunk).to_vec());
                if let Some(left) = &mut this.left {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Err(error)) => {
                this.end();
                Poll::Ready(Some(Err(BodyError(reason(&error)))))
            }
            None => {
                this.end();
                match this.left {
                    // The body is shorter than announced.
                    Some(left) if left > 0 => {
                        Poll::Ready(Some(Err(BodyError(format!("{left} bytes of it are missing")))))
                    }
                    _ => Poll::Ready(None),
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The message of a JavaScript exception.
pub(super) fn reason(error: &JsValue) -> String {
    let message = worker::js_sys::Reflect::get(error, &JsValue::from_str("message"));
    let message = message.ok().and_then(|message| message.as_string());
    let text = message
        .or_else(|| error.as_string())
        .unwrap_or_else(|| format!("{error:?}"));
    text.chars().take(200).collect()
}

/// The body of an answer to a client, see [`super::leaving`].
pub(super) struct EdgeBody(pub(super) Pin<Box<dyn http_body::Body<Data = Bytes, Error = axum::Error>>>);

impl http_body::Body for EdgeBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.as_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
