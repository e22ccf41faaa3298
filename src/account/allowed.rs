//! Selects the parts of a client's query and headers that are forwarded to a provider: only those that its
//! dialect lists.
//!
//! Providers also look there for credentials, for the account, and for the real meaning of a request (`key`,
//! `access_token`, `x-goog-user-project`, `x-http-method-override`). A deny list would always miss the next
//! spelling, so these are allow lists.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::model::query;

/// The parameters and headers of a dialect that describe the client and its wishes.
pub struct Allowed {
    pub query: &'static [Parameter],
    /// Lower case. `accept` and `content-type` are not listed: see [`allowed_headers`].
    pub headers: &'static [&'static str],
    /// Prefixes of the client's own headers, because new client versions add more.
    pub families: &'static [&'static str],
}

/// A parameter documented for a dialect.
pub struct Parameter {
    /// The exact name that is sent.
    pub name: &'static str,
    /// The allowed values; empty allows any.
    pub values: &'static [&'static str],
}

/// Maximum number of parameters sent.
const MOST_PARAMETERS: usize = 32;

/// Longest value of a parameter, bytes.
const LONGEST_VALUE: usize = 256;

/// Media types of answers that the relay can read. Others could not be metered.
const READABLE: [&str; 5] = [
    "application/json",
    "text/event-stream",
    "*/*",
    "application/*",
    "text/*",
];

/// The query to send: each listed parameter once, by its first occurrence, unless it is a list. Names are compared after decoding,
/// values are encoded again.
pub fn allowed_query(allowed: &Allowed, query: &str) -> Option<String> {
    let mut sent: Vec<&str> = Vec::new();
    let mut kept = String::new();
    for (name, value) in query::pairs(query) {
        let Some(parameter) = allowed
            .query
            .iter()
            .find(|parameter| parameter.name.as_bytes() == name.as_ref())
        else {
            continue;
        };
        let fits = value.len() <= LONGEST_VALUE
            && (parameter.values.is_empty()
                || parameter
                    .values
                    .iter()
                    .any(|known| known.as_bytes() == value.as_ref()));
        // A name with brackets is of a list.
        let repeats = !parameter.name.ends_with("[]") && sent.contains(&parameter.name);
        if !fits || repeats || sent.len() >= MOST_PARAMETERS {
            continue;
        }
        sent.push(parameter.name);
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(parameter.name);
        kept.push('=');
        query::append(&mut kept, &value);
    }
    (!kept.is_empty()).then_some(kept)
}

/// The headers to send. `content-type` is always JSON: Google parses a body declared as a form like a query,
/// including credentials. `accept` is forwarded only if the relay can read all media types in it.
pub fn allowed_headers(allowed: &Allowed, from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        let passes = if *name == header::ACCEPT {
            is_readable(value)
        } else {
            listed(allowed, name)
        };
        if passes {
            headers.append(named(name), value.clone());
        }
    }
    let kind = from.get(header::CONTENT_TYPE).filter(|kind| is_json(kind));
    let kind = kind.cloned();
    headers.insert(
        header::CONTENT_TYPE,
        kind.unwrap_or(HeaderValue::from_static("application/json")),
    );
    headers
}

/// Names of headers that nearly every call has. Copying a name from the request allocates; copying one of
/// these does not.
static NAMES: [HeaderName; 17] = [
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-dangerous-direct-browser-access"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("conversation_id"),
    HeaderName::from_static("originator"),
    HeaderName::from_static("session-id"),
    HeaderName::from_static("session_id"),
    HeaderName::from_static("x-app"),
    HeaderName::from_static("x-claude-code-session-id"),
    HeaderName::from_static("x-stainless-arch"),
    HeaderName::from_static("x-stainless-lang"),
    HeaderName::from_static("x-stainless-os"),
    HeaderName::from_static("x-stainless-package-version"),
    HeaderName::from_static("x-stainless-retry-count"),
    HeaderName::from_static("x-stainless-runtime"),
    HeaderName::from_static("x-stainless-runtime-version"),
    HeaderName::from_static("x-stainless-timeout"),
];

fn named(name: &HeaderName) -> HeaderName {
    NAMES.iter().find(|known| *known == name).unwrap_or(name).clone()
}

fn listed(allowed: &Allowed, name: &HeaderName) -> bool {
    let name = name.as_str();
    allowed.headers.contains(&name) || allowed.families.iter().any(|family| name.starts_with(family))
}

/// Whether the relay can read every media range of an `accept` header.
fn is_readable(accept: &HeaderValue) -> bool {
    let Ok(accept) = accept.to_str() else { return false };
    accept.split(',').all(|range| {
        let range = essence(range);
        range.is_empty() || READABLE.iter().any(|kind| kind.eq_ignore_ascii_case(range))
    })
}

fn is_json(kind: &HeaderValue) -> bool {
    kind.to_str()
        .is_ok_and(|kind| !kind.contains(',') && essence(kind).eq_ignore_ascii_case("application/json"))
}

/// A media type without its parameters.
fn essence(kind: &str) -> &str {
    kind.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests;
