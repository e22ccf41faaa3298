//! An account's answer after its first bytes have arrived.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::dialect::answer::Rewrite;
use crate::port::upstream::Body;

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The first bytes of the body; the whole body if there is no `rest`.
    pub first: Bytes,
    pub rest: Option<Body>,
    /// Converts the body for the client.
    pub rewrite: Option<Box<dyn Rewrite>>,
    /// Bytes for the meter, if they differ from `first`.
    pub measured: Option<Bytes>,
    /// The body is metered. False for errors that are passed on.
    pub metered: bool,
}

impl Answer {
    /// An error whose body was read to its end.
    pub(super) fn refusal(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            status,
            headers,
            first: body,
            rest: None,
            rewrite: None,
            measured: None,
            metered: false,
        }
    }
}
