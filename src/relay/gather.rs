//! Reads answers to their end before they are processed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::app::App;
use crate::dialect::meter::Meter;
use crate::port::clock::within;
use crate::port::upstream::{Body, BodyError};

/// Limit for an answer read as a whole, bytes: an isolate has 128 MB of memory in total.
pub(super) const LARGEST_WHOLE: usize = 32 << 20;

/// Reads the whole answer, and stops just past [`LARGEST_WHOLE`]. `meter` reads each part as it arrives, so that
/// usage is known even if the rest never comes.
pub(super) async fn whole(
    first: Bytes,
    mut rest: Body,
    meter: &mut Option<Meter>,
) -> Result<Bytes, BodyError> {
    let mut feed = |bytes: &[u8]| {
        if let Some(meter) = meter {
            meter.feed(bytes);
        }
    };
    feed(&first);
    let mut whole = BytesMut::from(first);
    while whole.len() <= LARGEST_WHOLE
        && let Some(more) = first_data(&mut rest).await?
    {
        feed(&more);
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

/// Appends the rest of an answer to `held`. Returns false once it exceeds [`LARGEST_WHOLE`], and `None` if
/// nothing arrives for `idle`.
pub(super) async fn while_it_comes(
    app: &App,
    held: &mut BytesMut,
    rest: &mut Body,
    idle: Duration,
) -> Option<Result<bool, BodyError>> {
    while held.len() <= LARGEST_WHOLE {
        match within(&*app.ports.clock, idle, first_data(rest)).await? {
            Ok(Some(more)) => held.extend_from_slice(&more),
            Ok(None) => return Some(Ok(true)),
            Err(broken) => return Some(Err(broken)),
        }
    }
    Some(Ok(false))
}

/// Whether a JSON text ends inside its value.
pub(super) fn is_cut(text: &[u8]) -> bool {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(text);
    read.is_err_and(|error| error.is_eof())
}

/// Concatenates two parts.
pub(super) fn joined(first: Bytes, more: Bytes) -> Bytes {
    match (first.is_empty(), more.is_empty()) {
        (true, _) => more,
        (_, true) => first,
        _ => [first, more].concat().into(),
    }
}

/// Reads a body to its end or to `limit` bytes, whichever comes first.
pub(crate) async fn read_bounded(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(
                data.get(..limit.saturating_sub(read.len()).min(data.len()))
                    .unwrap_or(&data),
            );
        }
        if read.len() >= limit {
            break;
        }
    }
    Ok(read.freeze())
}

/// The first bytes of a body; `None` at its end.
pub(super) async fn first_data(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_json_text_is_seen() {
        let text = br#" {"a":[1,"x\"}",{"b":null}],"c":"\ud83d"} "#;
        let last = text.len() - 1;
        for end in 0..last {
            assert!(is_cut(&text[..end]), "{end}");
        }
        assert!(!is_cut(&text[..last]) && !is_cut(text));
        assert!(!is_cut(b"<html>"), "that is another fault");
    }
}
