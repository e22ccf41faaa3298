//! Checks a call before its body is read: whether the key may call at all, and whether a slot is free.
//!
//! Reading a body costs memory and time, so it is not done for a key that will be refused. Ordinary calls need no
//! extra message: gates in this process are asked for every call, remote gates only for calls with costly bodies.

use crs_durable::CallId;
use crs_durable::gate;
use http::HeaderMap;

use super::{admit, client, flight};
use crate::app::App;
use crate::dialect::call::Endpoint;
use crate::error::{Code, Failure};
use crate::plan::Plans;
use crate::port::gates::KeyHash;

/// The facts about a call before its body is read.
pub struct Arrival<'a> {
    pub id: CallId,
    pub key: &'a KeyHash,
    pub endpoint: Endpoint,
    pub headers: &'a HeaderMap,
    /// The body is large, compressed, or of unknown length.
    pub costly: bool,
    /// Time that reading the body may take, milliseconds.
    pub body_ttl_ms: u64,
}

/// The gate's hold for a call that is not admitted yet. Dropping it releases the hold.
pub struct Entry {
    app: App,
    key: KeyHash,
    call: CallId,
    /// The gate may hold a slot.
    open: bool,
}

impl Entry {
    /// Passes the hold on to the call's flight, which releases it.
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

/// Asks the key's gate whether the call may proceed, and reserves a slot if its body is costly. The key must be
/// allowed to use at least one of the plans.
pub async fn enter(app: &App, plans: Plans, arrival: &Arrival<'_>) -> Result<Entry, Failure> {
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
    let mut services = plans.services(None, &app.routes()).into_iter();
    let service = services.next().unwrap_or(plans.own.service());
    let or_services: Vec<_> = services.collect();
    let question = |learned_since| gate::Admit {
        call: arrival.id,
        service,
        or_services: or_services.clone(),
        by_routes: plans.client().is_some(),
        model: None,
        canonical: None,
        opus: false,
        client: client::recognise(arrival.headers).map(str::to_owned),
        slot,
        estimate: None,
        ttl_ms: arrival.body_ttl_ms,
        learned_since,
        note: None,
        queued_until: None,
        before_body: true,
        granted: false,
    };
    match admit::ask(app, arrival.key, question).await {
        Ok(_) => Ok(entry),
        Err(failure) => {
            // The gate refused, so it holds nothing.
            entry.open &= matches!(failure.code, Code::RelayUnavailable | Code::Internal);
            Err(failure)
        }
    }
}
