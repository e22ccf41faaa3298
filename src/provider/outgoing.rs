//! Requests to providers, as far as they are made alike: the client's own body and identity, the account's
//! credentials, and no compressed answer unless the client can be given one.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};

use super::Unsendable;
use crate::config::Secret;
use crate::relay::body::Edit;
use crate::relay::call::Call;
use crate::store::accounts::LiveAccount;

/// The headers of the client that pass, and those that every call has. A compressed answer could not be
/// looked into, and not every client asked for one.
pub(super) fn pass(from: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        if passes(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
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

/// Whose fault it is that there is no such address: behind the host it is made of the call.
fn no_address(url: &str) -> Unsendable {
    let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    if host.parse::<http::Uri>().is_ok() {
        Unsendable::Call("the request's model or query makes no valid address".to_owned())
    } else {
        Unsendable::Account("the account's baseUrl makes no valid address".to_owned())
    }
}

/// The address with the client's query.
pub(super) fn with_query(call: &Call, url: String) -> String {
    match &call.query {
        Some(query) => format!("{url}?{query}"),
        None => url,
    }
}

/// The model the account is to be asked for instead of the one the client named.
pub(super) fn mapped_model<'a>(call: &Call, account: &'a LiveAccount) -> Option<&'a str> {
    account.account.model_mapping.get(&call.model).map(String::as_str)
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
