//! The client's key, from any place where a protocol puts it.

use axum::http::HeaderMap;

use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::query;
use crate::port::gates::KeyHash;

/// Headers that may contain a key, as in CRS. Each may begin with `Bearer`.
const HEADERS: [&str; 4] = ["x-api-key", "x-goog-api-key", "authorization", "api-key"];

/// Finds the key in a request and recognises it by computation alone, so garbage costs no I/O.
///
/// The same key in several places counts once. Two different keys are refused, so that the checked key is always
/// the charged one.
pub fn client_key(app: &App, headers: &HeaderMap, query: Option<&str>) -> Result<KeyHash, Failure> {
    // In any encoding, because the provider would decode it as well.
    let in_query: Vec<_> = query
        .into_iter()
        .flat_map(query::pairs)
        .filter(|(name, _)| **name == *b"key")
        .map(|(_, value)| value)
        .collect();
    let mut found: Option<&[u8]> = None;
    for name in HEADERS {
        for value in headers.get_all(name) {
            join(&mut found, without_bearer(value.as_bytes()))?;
        }
    }
    for value in &in_query {
        join(&mut found, value)?;
    }
    let presented = found.ok_or_else(|| {
        Failure::new(
            Code::MissingKey,
            "No API key was sent. Put the key of this relay in the x-api-key header, or in authorization as a bearer token.",
        )
    })?;
    std::str::from_utf8(presented).ok().and_then(|key| app.recognise(key)).ok_or_else(|| {
        Failure::new(Code::UnknownKey, "This is not an API key of this relay. Check that it was copied whole, or ask the operator for one.")
    })
}

fn join<'a>(found: &mut Option<&'a [u8]>, value: &'a [u8]) -> Result<(), Failure> {
    if value.is_empty() {
        return Ok(());
    }
    match found {
        Some(first) if *first != value => Err(Failure::new(
            Code::AmbiguousKey,
            "Two different API keys were sent in one request. Send one of them only.",
        )),
        _ => {
            *found = Some(value);
            Ok(())
        }
    }
}

fn without_bearer(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_is_dropped_in_any_case() {
        for value in ["Bearer cr_1", "bearer   cr_1", "BEARER cr_1 ", "cr_1"] {
            assert_eq!(without_bearer(value.as_bytes()), b"cr_1");
        }
        assert_eq!(without_bearer(b"Bear"), b"Bear");
    }
}
