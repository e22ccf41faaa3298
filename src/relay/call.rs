//! One parsed model call: what the client sent, borrowed where it can be, and who it is.

use bytes::Bytes;
use crs_durable::{CallId, Millis};
use http::HeaderMap;

use super::body::Fields;
use super::session::Session;
use crate::port::gates::KeyHash;

/// A call as every later step sees it. The body is the client's own bytes.
#[derive(Debug)]
pub struct Call {
    pub id: CallId,
    /// Arrival, wall clock.
    pub at: Millis,
    /// Arrival, `Clock::ticks`.
    pub started: u64,
    pub key: KeyHash,
    pub endpoint: Endpoint,
    pub headers: HeaderMap,
    /// The query without our own `key` parameter.
    pub query: Option<String>,
    pub body: Bytes,
    /// Where in the body the relay found what it reads.
    pub fields: Fields,
    /// The model as the client named it.
    pub model: String,
    pub stream: bool,
    /// What ties this call to its conversation.
    pub session: Option<Session>,
    /// An attempt on this account only: the operator's test of it.
    pub only: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Messages,
    CountTokens,
}

impl Endpoint {
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
        }
    }

    pub fn claude_path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
        }
    }

    /// Whether such a call occupies a slot of the key and the account. Counting tokens takes
    /// milliseconds and is free, and clients do it while their one slot is busy.
    pub fn takes_slot(self) -> bool {
        self == Self::Messages
    }
}

/// The id a call has everywhere: in the answer's `x-request-id`, the log and the ledger.
pub fn request_id(id: CallId) -> String {
    format!("req_{:032x}", id.0)
}

/// Reads what [`request_id`] writes.
pub fn call_of(request_id: &str) -> Option<CallId> {
    let digits = request_id.trim().strip_prefix("req_")?;
    let plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain
        .then(|| u128::from_str_radix(digits, 16).ok().map(CallId))
        .flatten()
}
