//! Provider calls by the runtime's `fetch`: redirects stay with the caller, dropping the future or the body
//! ends the call.
//!
//! There are no proxies here: an account with one is passed over, and never called directly.
//!
//! The runtime resolves names itself and tells nobody how, so here an address is judged as it is written:
//! literal addresses in every spelling, and names that are known. Cloudflare's network reaches no private ones.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use worker::js_sys::{Array, Uint8Array};
use worker::send::SendFuture;
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{AbortController, web_sys};

use super::body::{Aborts, Fetched, reason};
use super::clock::EdgeClock;
use crate::port::clock::within;
use crate::port::destination::Destinations;
use crate::port::upstream::{Body, OpenedByHost, Route, Upstream, UpstreamError, UpstreamErrorKind};

/// Told to the operator of each account with a proxy.
const NO_PROXIES: &str = "it has a proxy, and a Worker cannot use one";

pub(super) struct EdgeUpstream {
    clock: EdgeClock,
    destinations: Destinations,
}

impl EdgeUpstream {
    pub(super) fn new(destinations: Destinations) -> Self {
        Self {
            clock: EdgeClock::default(),
            destinations,
        }
    }
}

#[async_trait]
impl Upstream for EdgeUpstream {
    async fn send(&self, request: Request<Bytes>, route: &Route) -> Result<Response<Body>, UpstreamError> {
        if route.proxy.is_some() {
            return Err(failed(UpstreamErrorKind::Unsendable, NO_PROXIES));
        }
        self.destinations
            .remote(request.uri())
            .map_err(|refusal| failed(UpstreamErrorKind::Forbidden, refusal.to_string()))?;
        // Nobody here can tell connecting from waiting.
        let limit = route.connect_timeout + route.head_timeout;
        match within(&self.clock, limit, SendFuture::new(fetch(request))).await {
            Some(answered) => answered,
            None => Err(failed(
                UpstreamErrorKind::Timeout,
                format!("no answer within {} s", limit.as_secs_f32()),
            )),
        }
    }

    fn no_proxies(&self) -> Option<&'static str> {
        Some(NO_PROXIES)
    }
}

async fn fetch(request: Request<Bytes>) -> Result<Response<Body>, UpstreamError> {
    let unsendable = |error: JsValue| failed(UpstreamErrorKind::Unsendable, reason(&error));
    let request = to_js(&request).map_err(unsendable)?;
    let controller = AbortController::default();
    let signal = controller.signal();
    let aborts = Aborts::new(controller);
    let init = web_sys::RequestInit::new();
    init.set_signal(Some(&signal));
    // `worker::Fetch` makes a response of its own of the answer, and panics where the status is above 599.
    let scope: web_sys::WorkerGlobalScope = worker::js_sys::global().unchecked_into();
    match JsFuture::from(scope.fetch_with_request_and_init(&request, &init)).await {
        Ok(response) => from_js(response.unchecked_ref(), aborts),
        Err(error) => Err(lost(&error)),
    }
}

/// The body is copied here, once.
fn to_js(request: &Request<Bytes>) -> Result<web_sys::Request, JsValue> {
    let init = web_sys::RequestInit::new();
    init.set_method(request.method().as_str());
    init.set_redirect(web_sys::RequestRedirect::Manual);
    let headers = web_sys::Headers::new()?;
    for (name, value) in request.headers() {
        // The runtime writes these itself, from the address and the body.
        if name == http::header::HOST || name == http::header::CONTENT_LENGTH {
            continue;
        }
        headers.append(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))?;
    }
    init.set_headers(&headers);
    if !request.body().is_empty() {
        init.set_body(&Uint8Array::from(request.body().as_ref()));
    }
    web_sys::Request::new_with_str_and_init(&request.uri().to_string(), &init)
}

fn from_js(response: &web_sys::Response, aborts: Aborts) -> Result<Response<Body>, UpstreamError> {
    let broken = |what: &str| failed(UpstreamErrorKind::Broken, what);
    let status = StatusCode::from_u16(response.status()).map_err(|_| broken("no status there is"))?;
    let mut headers = headers(&response.headers());
    // The runtime opens these on the way here and leaves their headers as they were.
    let coding = headers.get(http::header::CONTENT_ENCODING);
    let is_opened = coding.is_some_and(|coding| coding == "gzip" || coding == "br");
    if is_opened {
        headers.remove(http::header::CONTENT_ENCODING);
        headers.remove(http::header::CONTENT_LENGTH);
    }
    let length = headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let body = Fetched::new(response.body(), aborts, length);
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    if is_opened {
        answer.extensions_mut().insert(OpenedByHost);
    }
    Ok(answer)
}

/// An invalid header is left out, since nobody could read it.
fn headers(from: &web_sys::Headers) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for entry in worker::js_sys::try_iter(from)
        .ok()
        .flatten()
        .into_iter()
        .flatten()
        .flatten()
    {
        let entry: Array = entry.unchecked_into();
        let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::try_from(value.as_str()),
        ) {
            headers.append(name, value);
        }
    }
    headers
}

/// The runtime tells causes apart by words only.
fn lost(error: &JsValue) -> UpstreamError {
    let told = reason(error);
    let lower = told.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let kind = if says(&["tls", "certificate"]) {
        UpstreamErrorKind::Tls
    } else if says(&["dns", "refused", "unreachable", "resolve", "connect to"]) {
        UpstreamErrorKind::Connect
    } else if says(&["invalid url", "unsupported protocol", "invalid header"]) {
        UpstreamErrorKind::Unsendable
    } else {
        UpstreamErrorKind::Broken
    };
    failed(kind, told)
}

fn failed(kind: UpstreamErrorKind, detail: impl Into<String>) -> UpstreamError {
    UpstreamError {
        kind,
        detail: detail.into(),
        source: None,
    }
}
