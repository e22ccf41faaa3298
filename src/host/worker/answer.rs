//! Converts an answer for the runtime. A body of known length announces it, so that a truncated one is
//! recognised.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response};
use http_body::Body as _;
use worker::js_sys::Uint8Array;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsCast as _, JsValue};
use worker::web_sys;

use super::body::EdgeBody;

#[wasm_bindgen]
extern "C" {
    /// The runtime's stream that takes exactly its announced number of bytes.
    type FixedLengthStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(length: f64) -> Result<FixedLengthStream, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn readable(this: &FixedLengthStream) -> web_sys::ReadableStream;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &FixedLengthStream) -> web_sys::WritableStream;
}

pub(super) fn to_js(answer: Response<EdgeBody>) -> worker::Result<web_sys::Response> {
    let (mut head, body) = answer.into_parts();
    if let Some(accepted) = head.extensions.remove() {
        return super::socket::open(accepted);
    }
    let init = web_sys::ResponseInit::new();
    init.set_status(head.status.as_u16());
    init.set_headers(headers(&head.headers)?.as_ref());
    let length = body.size_hint().exact();
    let nothing = body.is_end_stream() || length == Some(0);
    let body = if nothing {
        None
    } else {
        Some(stream(body, length)?)
    };
    Ok(web_sys::Response::new_with_opt_readable_stream_and_init(
        body.as_ref(),
        &init,
    )?)
}

/// Without the headers that the runtime sets itself.
fn headers(from: &HeaderMap) -> Result<web_sys::Headers, JsValue> {
    let headers = web_sys::Headers::new()?;
    for (name, value) in from {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            headers.append(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))?;
        }
    }
    Ok(headers)
}

fn stream(body: EdgeBody, length: Option<u64>) -> Result<web_sys::ReadableStream, JsValue> {
    let chunks = wasm_streams::ReadableStream::from_stream(Chunks(body)).into_raw();
    let chunks: web_sys::ReadableStream = chunks.unchecked_into();
    let Some(length) = length else {
        return Ok(chunks);
    };
    let fixed = FixedLengthStream::new(length as f64)?;
    // The pipe fails only together with the body, whose failure the client sees.
    let piped = chunks.pipe_to(&fixed.writable());
    super::tasks::after_response(async move {
        let _ = worker::wasm_bindgen_futures::JsFuture::from(piped).await;
    });
    Ok(fixed.readable())
}

/// Copies each chunk once into JavaScript memory.
struct Chunks(EdgeBody);

impl Stream for Chunks {
    type Item = Result<JsValue, JsValue>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.0).poll_frame(context)) else {
                return Poll::Ready(None);
            };
            match frame {
                Ok(frame) => {
                    // These protocols use no trailers, and the runtime accepts no empty chunk.
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Poll::Ready(Some(Ok(copied(&data))));
                    }
                }
                Err(broken) => return Poll::Ready(Some(Err(JsValue::from_str(&broken.to_string())))),
            }
        }
    }
}

fn copied(data: &Bytes) -> JsValue {
    Uint8Array::from(data.as_ref()).into()
}
