//! The parts of a client's query and headers that are forwarded to a provider: those its dialect lists, nothing else.
//!
//! The query and the headers of a request are also where a provider looks for credentials, for whose account
//! it is, and for what the request really asks (`key`, `access_token`, `x-goog-user-project`,
//! `x-http-method-override`). So these are lists of what passes. A list of what does not would be one spelling
//! short of the next one.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::model::query;

/// The parameters and headers of a dialect that say who the client is and what it wants.
pub struct Allowed {
    pub query: &'static [Parameter],
    /// Lower case. `accept` and `content-type` are not listed: see [`allowed_headers`].
    pub headers: &'static [&'static str],
    /// Families of headers that are the client's own, open at the end: new versions of a client add to them.
    pub families: &'static [&'static str],
}

/// A parameter that a dialect documents.
pub struct Parameter {
    /// As it is sent on, to the letter.
    pub name: &'static str,
    /// The only values that pass; empty: any.
    pub values: &'static [&'static str],
}

/// Longest value of a parameter, bytes.
const LONGEST_VALUE: usize = 256;

/// The media types of answers that the relay can read. Another one would go unmeasured.
const READABLE: [&str; 5] = [
    "application/json",
    "text/event-stream",
    "*/*",
    "application/*",
    "text/*",
];

/// The query to send: the listed parameters, each once, by their first occurrence. Names are compared as a
/// server decodes them, and values are encoded anew.
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
        if !fits || sent.contains(&parameter.name) {
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

/// The headers to send. The body is JSON, so it is called that whatever the client calls it: Google reads a
/// body that is called a form as a query, credentials included. The client chooses between media types of
/// answers only among those that the relay reads.
pub fn allowed_headers(allowed: &Allowed, from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        let passes = if *name == header::ACCEPT {
            is_readable(value)
        } else {
            listed(allowed, name)
        };
        if passes {
            headers.append(name.clone(), value.clone());
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

fn listed(allowed: &Allowed, name: &HeaderName) -> bool {
    let name = name.as_str();
    allowed.headers.contains(&name) || allowed.families.iter().any(|family| name.starts_with(family))
}

/// Whether every media range of an `accept` is one that the relay reads.
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
