//! Charges the usage of responses that were made in the background.
//!
//! The call that creates such a response is answered before there is usage, so the pool remembers the response as
//! unpaid, beside its account, and the gate keeps the call's reservation ([`KEPT_MS`]) under an id that follows from
//! the response's ([`kept_as`]). Whichever call retrieves it complete (or cancels it) first claims that mark and is
//! charged with the usage, in place of the reservation; later ones claim nothing and are free, like those of a response
//! that was charged when it was made. A response that nobody retrieves is not charged.
//!
//! A retrieval takes no slot and no limit stops it.

use std::future::Future;

use crs_durable::gate::{self, Estimate};
use crs_durable::{CallId, pool};

use super::{Flight, handover};
use crate::dialect::meter::Measurement;
use crate::dialect::origin::{Kind, Reference};
use crate::model::money::MicroUsd;
use crate::model::usage::{LedgerEvent, Quality, Tokens};

/// How long the estimate of a response in the background stays reserved, milliseconds. Most are done by then, and
/// one that nobody retrieves must not block its key for long.
const KEPT_MS: u64 = 3_600_000;

/// The gate's id for the reservation of the response with this mark.
fn kept_as(mark: u64) -> CallId {
    CallId(mark.into())
}

impl Flight {
    /// Has the gate keep the call's reservation if its response goes on in the background. To be sent before the
    /// call settles.
    pub(super) fn keep_reservation(&self) -> Option<gate::Command> {
        let made = self.made.iter().filter(|_| self.served);
        let mark = made
            .filter(|made| made.kind == Kind::Unpaid)
            .map(|made| made.origin(&self.call.key).id)
            .next()?;
        Some(gate::Command::Keep {
            call: self.call.id,
            kept: kept_as(mark),
            ttl_ms: KEPT_MS,
        })
    }

    /// The mark to claim for the usage of this answer. As long as the response is not done, there is nothing to charge.
    pub(super) fn unpaid_mark(&self, measured: &mut Measurement) -> Option<u64> {
        // One that failed may have no usage. Its reservation ends all the same.
        let is_final = measured.stop_reason.is_some() && measured.quality != Quality::Partial;
        if !is_final {
            (measured.tokens, measured.terms) = Default::default();
            measured.quality = Quality::Exact;
            return None;
        }
        let id = self.call.object.as_deref()?;
        let mark = Reference::new(Kind::Unpaid, id.as_bytes());
        Some(mark.origin(&self.call.key).id)
    }
}

/// Settles the call: with the event's usage if the mark is there, else without.
pub(super) fn settle(
    flight: &Flight,
    mark: u64,
    mut event: LedgerEvent,
    report: Option<pool::Report>,
) -> impl Future<Output = ()> + Send + use<> {
    let (app, mut call) = (flight.app.clone(), flight.call.translated(flight.call.endpoint));
    let (platform, service) = (flight.plan.platform(), flight.plan.service());
    async move {
        let tell = |command| app.ports.gates.pool(platform, command);
        let claim = pool::Command::Claim {
            call: call.id,
            origin: mark,
        };
        let known = match tell(claim).await {
            Ok(pool::Reply::MadeBy { made }) => made.contains(&Some(true)),
            Ok(_) => false,
            Err(away) => {
                tracing::warn!(error = %away, "the usage of a stored response is charged when it is retrieved again");
                false
            }
        };
        if known {
            call.id = kept_as(mark);
            // Its reservation may have ended.
            let counts = gate::Command::Admit(gate::Admit {
                call: call.id,
                service,
                or_services: Vec::new(),
                by_routes: false,
                model: None,
                canonical: None,
                opus: false,
                client: None,
                slot: false,
                estimate: Some(Estimate::default()),
                ttl_ms: app.config.relay.waiting_ttl().as_millis() as u64,
                learned_since: 0,
                note: None,
                queued_until: None,
                before_body: false,
                granted: true,
            });
            if let Err(away) = app.ports.gates.gate(&call.key, counts).await {
                tracing::warn!(error = %away, "the usage of a stored response does not count for the key's limits");
            }
        } else {
            event.tokens = Tokens::default();
            event.cost = MicroUsd::ZERO;
            event.charges = Vec::new();
            event.quality = Quality::Exact;
        }
        if let Some(mut report) = report {
            report.spent = event.cost.0;
            if let Err(away) = tell(pool::Command::Report(report)).await {
                tracing::warn!(error = %away, "the pool could not be reached; leases will expire");
            }
        }
        app.metrics.settled(&event, call.endpoint.name());
        handover::settle(&app, &call, Some(event)).await;
    }
}
