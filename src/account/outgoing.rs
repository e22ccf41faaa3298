//! Helpers to build requests to providers: the client's body and identity, the account's credentials, no
//! compression.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request};

use super::Unsendable;
use super::allowed::{Allowed, allowed_headers, allowed_query};
use crate::dialect::body::Edit;
use crate::dialect::call::Call;
use crate::model::account::{Account, KeyHeader};
use crate::model::secret::Secret;

/// The client's headers that the dialect lists, and those of every call. Compression is never requested, because
/// the relay must read the answer and some clients cannot decompress it.
pub(super) fn client_headers(call: &Call, allowed: &Allowed) -> HeaderMap {
    let mut headers = allowed_headers(allowed, &call.headers);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// The headers of requests that the relay sends for itself.
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

/// Sends the call's body with these edits to `url`.
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

/// Sends this body to `url`.
pub(super) fn send(url: &str, headers: HeaderMap, body: Bytes) -> Result<Request<Bytes>, Unsendable> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().map_err(|_| no_address(url))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The cause of an invalid address. The part after the host comes from the call.
fn no_address(url: &str) -> Unsendable {
    let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    if host.parse::<http::Uri>().is_ok() {
        Unsendable::Call("the request's model or query is not valid in an address".to_owned())
    } else {
        Unsendable::Account("the account's baseUrl is not a valid address".to_owned())
    }
}

/// Adds the query parameters that the dialect lists.
pub(super) fn with_query(call: &Call, allowed: &Allowed, url: String) -> String {
    let query = call.query.as_deref();
    match query.and_then(|query| allowed_query(allowed, query)) {
        Some(query) => format!("{url}?{query}"),
        None => url,
    }
}

/// Adds an account's API key, in the `usual` header unless the operator chose another one, and the operator's
/// user agent if he set one.
pub(super) fn show_key(
    headers: &mut HeaderMap,
    account: &Account,
    key: &Secret,
    usual: KeyHeader,
) -> Result<(), Unsendable> {
    match account.key_header.unwrap_or(usual) {
        KeyHeader::XApiKey => headers.insert("x-api-key", secret(key.reveal())?),
        KeyHeader::ApiKey => headers.insert("api-key", secret(key.reveal())?),
        KeyHeader::Authorization => headers.insert(header::AUTHORIZATION, bearer(key)?),
    };
    own_agent(headers, account)
}

/// Sets the operator's `user-agent`, if there is one.
pub(super) fn own_agent(headers: &mut HeaderMap, account: &Account) -> Result<(), Unsendable> {
    if let Some(agent) = &account.user_agent {
        let agent = HeaderValue::from_str(agent)
            .map_err(|_| Unsendable::Account("the account's userAgent is not plain text".to_owned()))?;
        headers.insert(header::USER_AGENT, agent);
    }
    Ok(())
}

pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, Unsendable> {
    secret(&format!("Bearer {}", token.reveal()))
}

/// The access token of a service account or an Entra application. It is requested before a call is built.
pub(super) fn requested_token(token: Option<&Secret>) -> Result<HeaderValue, Unsendable> {
    match token {
        Some(token) => bearer(token),
        None => Err(Unsendable::Account(
            "the account has no access token yet".to_owned(),
        )),
    }
}

pub(super) fn secret(value: &str) -> Result<HeaderValue, Unsendable> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Unsendable::Account("the account's credential is not plain text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
