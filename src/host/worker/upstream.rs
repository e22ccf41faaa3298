//! Provider calls with the runtime's `fetch`. Redirects are returned to the caller; dropping the future or the
//! body cancels the call.
//!
//! There is no support for proxies: accounts with a proxy are skipped, never called directly.
//!
//! The runtime resolves names itself without reporting addresses, so addresses are checked as written: literal
//! addresses in every notation, and known names. Cloudflare's network does not reach private addresses.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use worker::js_sys::{Array, Uint8Array};
use worker::send::SendFuture;
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{AbortController, web_sys};

use super::body::{Aborts, Fetched, reason};
use super::clock::EdgeClock;
use super::provider_socket::EdgeProviderSocket;
use crate::port::clock::within;
use crate::port::destination::Destinations;
use crate::port::upstream::{Body, Opened, OpenedByHost, Route, Upstream, UpstreamError, UpstreamErrorKind};

/// Shown to the operator for each account with a proxy.
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

    fn admit(&self, to: &Uri, route: &Route) -> Result<(), UpstreamError> {
        if route.proxy.is_some() {
            return Err(failed(UpstreamErrorKind::Unsendable, NO_PROXIES));
        }
        let admitted = self.destinations.remote(to);
        admitted.map_err(|refusal| failed(UpstreamErrorKind::Forbidden, refusal.to_string()))
    }

    async fn in_time<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = Result<T, UpstreamError>> + Send,
    ) -> Result<T, UpstreamError> {
        match within(&self.clock, limit, asked).await {
            Some(answered) => answered,
            None => Err(failed(
                UpstreamErrorKind::Timeout,
                format!("no answer within {} s", limit.as_secs_f32()),
            )),
        }
    }
}

#[async_trait]
impl Upstream for EdgeUpstream {
    async fn send(&self, request: Request<Bytes>, route: &Route) -> Result<Response<Body>, UpstreamError> {
        self.admit(request.uri(), route)?;
        // Connecting and waiting cannot be distinguished here.
        let limit = route.connect_timeout + route.head_timeout;
        self.in_time(limit, SendFuture::new(fetch(request))).await
    }

    async fn open(&self, request: Request<()>, route: &Route) -> Result<Opened, UpstreamError> {
        self.admit(request.uri(), route)?;
        let request = request.map(|()| Bytes::new());
        self.in_time(route.head_timeout, SendFuture::new(upgrade(request)))
            .await
    }

    fn no_proxies(&self) -> Option<&'static str> {
        Some(NO_PROXIES)
    }
}

async fn fetch(request: Request<Bytes>) -> Result<Response<Body>, UpstreamError> {
    let (response, aborts) = fetched(&request).await?;
    from_js(&response, aborts)
}

/// An upgrade is a fetch with its header; the runtime adds the others.
async fn upgrade(mut request: Request<Bytes>) -> Result<Opened, UpstreamError> {
    let websocket = HeaderValue::from_static("websocket");
    request.headers_mut().insert(http::header::UPGRADE, websocket);
    let (response, mut aborts) = fetched(&request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS.as_u16() {
        return Ok(Opened::Refused(from_js(&response, aborts)?));
    }
    let opened = EdgeProviderSocket::of(&response);
    let opened = opened.map_err(|error| failed(UpstreamErrorKind::Broken, reason(&error)))?;
    aborts.done();
    Ok(Opened::Socket(headers(&response.headers()), Box::new(opened)))
}

async fn fetched(request: &Request<Bytes>) -> Result<(web_sys::Response, Aborts), UpstreamError> {
    let unsendable = |error: JsValue| failed(UpstreamErrorKind::Unsendable, reason(&error));
    let request = to_js(request).map_err(unsendable)?;
    let controller = AbortController::default();
    let signal = controller.signal();
    let aborts = Aborts::new(controller);
    let init = web_sys::RequestInit::new();
    init.set_signal(Some(&signal));
    // `worker::Fetch` builds its own response and panics for statuses above 599.
    let scope: web_sys::WorkerGlobalScope = worker::js_sys::global().unchecked_into();
    match JsFuture::from(scope.fetch_with_request_and_init(&request, &init)).await {
        Ok(response) => Ok((response.unchecked_into(), aborts)),
        Err(error) => Err(lost(&error)),
    }
}

/// Copies the body once.
fn to_js(request: &Request<Bytes>) -> Result<web_sys::Request, JsValue> {
    let init = web_sys::RequestInit::new();
    init.set_method(request.method().as_str());
    init.set_redirect(web_sys::RequestRedirect::Manual);
    let headers = web_sys::Headers::new()?;
    for (name, value) in request.headers() {
        // The runtime sets these itself.
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
    // The runtime decompresses these but keeps their headers.
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

/// Invalid headers are dropped.
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

/// The runtime distinguishes causes only by its message.
fn lost(error: &JsValue) -> UpstreamError {
    let message = reason(error);
    let lower = message.to_ascii_lowercase();
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
    failed(kind, message)
}

fn failed(kind: UpstreamErrorKind, detail: impl Into<String>) -> UpstreamError {
    UpstreamError {
        kind,
        detail: detail.into(),
        source: None,
    }
}
