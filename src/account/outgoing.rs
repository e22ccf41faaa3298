//! Requests to providers, as far as they are made alike: the client's own body and identity, the account's
//! credentials, and no compressed answer unless the client can be given one.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request};

use super::Unsendable;
use super::allowed::{Allowed, allowed_headers, allowed_query};
use crate::dialect::body::Edit;
use crate::dialect::call::Call;
use crate::model::secret::Secret;

/// The headers of the client that the dialect lists, and those that every call has. A compressed answer could
/// not be looked into, and not every client asked for one.
pub(super) fn client_headers(call: &Call, allowed: &Allowed) -> HeaderMap {
    let mut headers = allowed_headers(allowed, &call.headers);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// The headers of a request that the relay makes for itself, in its own name.
pub(super) fn own_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("crs-edge/", env!("CARGO_PKG_VERSION"))),
    );
    headers
}

/// The call's body with these places changed, sent to `url`.
pub(super) fn post(
    call: &Call,
    url: &str,
    mut headers: HeaderMap,
    edits: Vec<Edit>,
) -> Result<Request<Bytes>, Unsendable> {
    let (body, coding) = call.payload(edits);
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, coding);
    }
    send(url, headers, body)
}

/// This body, sent to `url`.
pub(super) fn send(url: &str, headers: HeaderMap, body: Bytes) -> Result<Request<Bytes>, Unsendable> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().map_err(|_| no_address(url))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Whose fault an invalid address is: behind the host it is made of the call.
fn no_address(url: &str) -> Unsendable {
    let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    if host.parse::<http::Uri>().is_ok() {
        Unsendable::Call("the request's model or query makes no valid address".to_owned())
    } else {
        Unsendable::Account("the account's baseUrl makes no valid address".to_owned())
    }
}

/// The address with the client's query, as far as the dialect lists it.
pub(super) fn with_query(call: &Call, allowed: &Allowed, url: String) -> String {
    let query = call.query.as_deref();
    match query.and_then(|query| allowed_query(allowed, query)) {
        Some(query) => format!("{url}?{query}"),
        None => url,
    }
}

pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, Unsendable> {
    secret(&format!("Bearer {}", token.reveal()))
}

pub(super) fn secret(value: &str) -> Result<HeaderValue, Unsendable> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Unsendable::Account("the account's credential is not plain text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
