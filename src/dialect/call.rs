//! A parsed model call: the client's data, its key and its session.

use bytes::Bytes;
use crs_durable::{CallId, Millis};
use http::{HeaderMap, HeaderValue};

use super::body::tools::HostedTools;
use super::body::{Edit, Fields, patch};
pub use super::endpoint::{Assist, Endpoint, Images, Stored, Surface};
use super::origin::Reference;
use super::session::Session;
use crate::model::name::ModelName;
use crate::port::gates::KeyHash;

/// A parsed call. The body is the client's own bytes.
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
    /// The query as received, including our own `key`. Only the parameters that the dialect lists are forwarded.
    pub query: Option<String>,
    pub body: Bytes,
    /// The original body, if it was compressed.
    pub packed: Option<PackedBody>,
    /// Positions of the fields in the body.
    pub fields: Fields,
    /// The model named by the client; empty if the call has none.
    pub model: ModelName,
    pub stream: bool,
    /// The session, which identifies the conversation.
    pub session: Option<Session>,
    /// Its references to objects that a provider stores for one account.
    pub refers_to: Vec<Reference>,
    /// Whether the provider stores the answer for later calls; determined while the body is available.
    pub stored: bool,
    /// The answer is made in the background: its usage is known only once it is retrieved.
    pub background: bool,
    /// The id of the stored object that the call is about, which is safe in a path.
    pub object: Option<Box<str>>,
    /// The client's limit for the output, tokens.
    pub max_output: Option<u64>,
    /// Tools that the provider may run.
    pub hosted: HostedTools,
    /// Restricts the call to this account: the operator's test.
    pub only: Option<String>,
}

/// Bytes with their `content-encoding`.
#[derive(Clone, Debug)]
pub struct PackedBody {
    pub bytes: Bytes,
    pub coding: HeaderValue,
}

impl Call {
    /// The call for another protocol's endpoint, without its body, for converters.
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
            background: false,
            object: None,
            max_output: self.max_output,
            hosted: self.hosted.clone(),
            only: self.only.clone(),
        }
    }

    /// A seed for ids in the answer, unique per call.
    pub fn seed(&self) -> String {
        format!("{:032x}", self.id.0)
    }

    /// The body to send: the received bytes, or the edited body. `content-encoding` is set only for a compressed
    /// body without edits.
    pub fn payload(&self, edits: Vec<Edit>) -> (Bytes, Option<HeaderValue>) {
        match &self.packed {
            Some(packed) if edits.is_empty() => (packed.bytes.clone(), Some(packed.coding.clone())),
            _ => (patch(&self.body, edits), None),
        }
    }
}

/// The call's id in `x-request-id`, the log and the ledger.
pub fn request_id(id: CallId) -> String {
    format!("req_{:032x}", id.0)
}

/// Parses the output of [`request_id`].
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
            background: false,
            object: None,
            max_output: None,
            hosted: HostedTools::default(),
            only: None,
        }
    }
}
