//! One parsed model call: what the client sent, borrowed where it can be, and who it is.

use bytes::Bytes;
use crs_durable::{CallId, Millis};
use http::{HeaderMap, HeaderValue};

use super::body::tools::HostedTools;
use super::body::{Edit, Fields, patch};
pub use super::endpoint::{Assist, Endpoint, Surface};
use super::origin::Reference;
use super::session::Session;
use crate::model::name::ModelName;
use crate::port::gates::KeyHash;

/// A call as every later step sees it. The body is the client's own bytes.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: CallId,
    /// Arrival, wall clock.
    pub at: Millis,
    /// Arrival, `Clock::ticks`.
    pub started: u64,
    pub key: KeyHash,
    pub endpoint: Endpoint,
    pub headers: HeaderMap,
    /// The query as it came, our own `key` included: a provider is sent what its dialect lists of it.
    pub query: Option<String>,
    pub body: Bytes,
    /// The body as it came, if that was compressed.
    pub packed: Option<PackedBody>,
    /// Where in the body the relay found what it reads.
    pub fields: Fields,
    /// The model as the client named it; empty if the call is about none.
    pub model: ModelName,
    pub stream: bool,
    /// The session: ties this call to its conversation.
    pub session: Option<Session>,
    /// Its references to objects that a provider keeps for one account.
    pub refers_to: Vec<Reference>,
    /// Whether the provider keeps the answer for later calls; read while the body is here.
    pub stored: bool,
    /// The most output that the client allows, tokens.
    pub max_output: Option<u64>,
    /// Tools that the client lets the provider run.
    pub hosted: HostedTools,
    /// An attempt on this account only: the operator's test of it.
    pub only: Option<String>,
}

/// Bytes with their `content-encoding`.
#[derive(Clone, Debug)]
pub struct PackedBody {
    pub bytes: Bytes,
    pub coding: HeaderValue,
}

impl Call {
    /// This call as another protocol asks it, without what was sent: for who translates it.
    pub fn translated(&self, endpoint: Endpoint) -> Self {
        Self {
            id: self.id,
            at: self.at,
            started: self.started,
            key: self.key.clone(),
            endpoint,
            headers: HeaderMap::new(),
            query: None,
            body: Bytes::new(),
            packed: None,
            fields: Fields::default(),
            model: self.model.clone(),
            stream: self.stream,
            session: self.session.clone(),
            refers_to: Vec::new(),
            stored: false,
            max_output: self.max_output,
            hosted: self.hosted.clone(),
            only: self.only.clone(),
        }
    }

    /// A seed for the ids in its answer, unique to this call.
    pub fn seed(&self) -> String {
        format!("{:032x}", self.id.0)
    }

    /// The body to send: the bytes as received, or with these places changed. Only bytes that came compressed
    /// and need no change have a `content-encoding`.
    pub fn payload(&self, edits: Vec<Edit>) -> (Bytes, Option<HeaderValue>) {
        match &self.packed {
            Some(packed) if edits.is_empty() => (packed.bytes.clone(), Some(packed.coding.clone())),
            _ => (patch(&self.body, edits), None),
        }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A call without a body, of nobody.
    pub(crate) fn call(endpoint: Endpoint) -> Call {
        Call {
            id: CallId(1),
            at: 0,
            started: 0,
            key: KeyHash([0; 32]),
            endpoint,
            headers: HeaderMap::new(),
            query: None,
            body: Bytes::new(),
            packed: None,
            fields: Fields::default(),
            model: ModelName::none(),
            stream: false,
            session: None,
            refers_to: Vec::new(),
            stored: false,
            max_output: None,
            hosted: HostedTools::default(),
            only: None,
        }
    }
}
