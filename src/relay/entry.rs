//! Before a call's body is read: is the key one that may call at all, and is there a slot for it.
//!
//! A body is work and memory, so neither is spent for a key that is refused anyway. The ordinary call costs no
//! message more for it: where gates are in this process they are asked for each call, elsewhere only for those
//! whose bodies are costly.

use crs_durable::CallId;
use crs_durable::gate::{self, Service};
use http::HeaderMap;

use super::{admit, client, flight, records};
use crate::app::App;
use crate::dialect::call::Endpoint;
use crate::error::{Code, Failure};
use crate::port::gates::KeyHash;

/// The facts about a call before its body is read.
pub struct Arrival<'a> {
    pub id: CallId,
    pub key: &'a KeyHash,
    pub endpoint: Endpoint,
    pub headers: &'a HeaderMap,
    /// The body is large, compressed, or of unknown length.
    pub costly: bool,
    /// How long reading it may take, milliseconds.
    pub body_ttl_ms: u64,
}

/// The gate's hold for a call that is not yet admitted. Dropping it releases the hold.
pub struct Entry {
    app: App,
    key: KeyHash,
    call: CallId,
    /// The gate may hold something.
    open: bool,
}

impl Entry {
    /// The call is a flight now, which gives up what the gate holds.
    pub(super) fn taken_over(mut self) {
        self.open = false;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.open {
            flight::cancel(&self.app, &self.key, self.call);
        }
    }
}

/// Asks the key's gate whether the call may come in, and for a slot if its body is costly. `services`: the key may
/// come in if it may use any of them.
pub async fn enter(
    app: &App,
    services: impl Iterator<Item = Service>,
    arrival: &Arrival<'_>,
) -> Result<Entry, Failure> {
    let slot = arrival.costly && arrival.endpoint.takes_slot();
    let mut entry = Entry {
        app: app.clone(),
        key: arrival.key.clone(),
        call: arrival.id,
        open: slot,
    };
    if !arrival.costly && !app.ports.gates.in_process() {
        return Ok(entry);
    }
    let ask = |service| gate::Admit {
        call: arrival.id,
        service,
        model: None,
        canonical: None,
        opus: false,
        client: client::recognise(arrival.headers).map(str::to_owned),
        slot,
        estimate: None,
        ttl_ms: arrival.body_ttl_ms,
        learned_since: records::learned_since(app, app.ports.clock.now()),
        note: None,
        queued_until: None,
        before_body: true,
    };
    let mut not_permitted = None;
    for service in services {
        match admit::ask(app, arrival.key, ask(service)).await {
            Ok(_) => return Ok(entry),
            Err(failure) if failure.code == Code::ServiceNotPermitted => {
                not_permitted.get_or_insert(failure);
            }
            Err(failure) => {
                // It said no, so it holds nothing.
                entry.open &= matches!(failure.code, Code::RelayUnavailable | Code::Internal);
                return Err(failure);
            }
        }
    }
    entry.open = false;
    Err(not_permitted.unwrap_or_else(|| Failure::new(Code::Internal, "The call has no service.")))
}
