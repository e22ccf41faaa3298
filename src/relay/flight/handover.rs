//! Reports the end of a call to its gate, and its event to the outbox: the process's, or on the edge the gate's.
//!
//! A gate that keeps events gets the report again until it answers, for as long as a task may run after its
//! response on the edge. Until then only this isolate knows the call's usage.

use std::time::Duration;

use crs_durable::CallId;
use crs_durable::gate::{Command, Event, Usage};

use crate::app::App;
use crate::dialect::call::Call;
use crate::model::name::is_opus;
use crate::model::usage::LedgerEvent;
use crate::port::gates::KeyHash;

/// Pauses between repeated reports to the gate.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
];

/// Frees the call's slot and hands its event over. Natively this never waits.
pub(super) fn settle(
    app: &App,
    call: &Call,
    event: Option<LedgerEvent>,
) -> impl Future<Output = ()> + Send + use<> {
    let (app, key, id) = (app.clone(), call.key.clone(), call.id);
    let held = call.endpoint.takes_slot();
    async move {
        let usage = event.as_ref().map(|event| Usage {
            tokens: event.tokens.prompt().saturating_add(event.tokens.output),
            cost: event.cost.0,
            opus: is_opus(&event.model),
        });
        let for_gate = event.as_ref().filter(|_| !app.ports.host.outlives_calls());
        let mut event_to_send = for_gate.and_then(|event| {
            Some(Event {
                text: serde_json::to_string(event).ok()?,
                wait_ms: app.config.ledger.flush.as_millis() as u64,
                held,
                again: false,
            })
        });
        if event_to_send.is_none()
            && let Some(event) = event
        {
            app.outbox.push(key.clone(), event);
        }
        // A slot's lease expires, an event would be lost.
        let most = if event_to_send.is_some() { PAUSES.len() } else { 0 };
        let mut pauses = PAUSES.iter().take(most);
        loop {
            let settle = Command::Settle {
                call: id,
                event: event_to_send.clone(),
                usage,
            };
            let Err(away) = app.ports.gates.gate(&key, settle).await else {
                return;
            };
            tracing::warn!(error = %away, "the gate could not be reached; the lease will expire");
            let Some(pause) = pauses.next() else {
                break;
            };
            if let Some(event) = &mut event_to_send {
                event.again = true;
            }
            app.ports.clock.sleep(*pause).await;
        }
        if let Some(event) = event_to_send {
            tracing::error!(
                event = event.text,
                "a ledger event reached no gate and is only in this log"
            );
        }
    }
}

/// Releases the hold of a call whose client left before the gate answered. Natively this never waits.
pub(super) fn cancel(app: &App, key: &KeyHash, call: CallId) -> impl Future<Output = ()> + Send + use<> {
    let (app, key) = (app.clone(), key.clone());
    async move {
        if let Err(away) = app.ports.gates.gate(&key, Command::Cancel { call }).await {
            tracing::warn!(error = %away, "the gate could not be reached; the lease will expire");
        }
    }
}
