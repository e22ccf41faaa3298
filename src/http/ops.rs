//! Endpoints for operators' tools: health and metrics.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::extract::FromThisMachine;
use crate::app::{App, StoreProbe};
use crate::model::time::iso;
use crate::port::clock::{Millis, within};
use crate::state::outbox;

/// A store that takes longer than this to answer is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the relay is doing. Holds nothing that a stranger may not know.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `healthy`, or `degraded` when the store is away or takes no writes: keys known already still work.
    status: &'static str,
    service: &'static str,
    version: &'static str,
    /// Seconds.
    uptime: u64,
    components: Components,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Components {
    store: StoreHealth,
    ledger: LedgerHealth,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StoreHealth {
    /// `up`, `away`, or `refusing`: it answers, but what must be kept cannot be written.
    status: &'static str,
    kind: &'static str,
    /// Microseconds.
    latency: u64,
    /// Since when something could not be written that must be; `null`: everything is.
    #[schema(format = DateTime)]
    refusing_since: Option<String>,
}

/// `null` throughout where each key's gate keeps its own events, as on the edge.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LedgerHealth {
    /// Settled calls the store does not have yet.
    pending: Option<usize>,
    /// Their approximate memory, bytes.
    pending_bytes: Option<usize>,
    /// Settled calls there is room for; of more the oldest are lost.
    capacity: Option<usize>,
    /// Settled calls dropped because the store took no writes for too long.
    lost: Option<u64>,
}

/// 200 whenever the relay serves. A store that is away or full makes it `degraded`, not down: keys known already
/// work on, and a restart would lose the calls that wait for the store.
#[utoipa::path(get, path = "/health", operation_id = "getHealth", tag = "operations",
    responses((status = 200, body = Health)))]
pub async fn health(State(app): State<App>) -> Json<Health> {
    let StoreProbe { up, latency } = probe(&app).await;
    let now = app.ports.clock.ticks();
    let here = app.ports.gates.keeps_events().is_none();
    let waiting = here.then(|| app.outbox.waiting());
    let refusing = refusing_since(&app);
    let health = Health {
        status: if up && refusing.is_none() {
            "healthy"
        } else {
            "degraded"
        },
        service: "crs-edge",
        version: env!("CARGO_PKG_VERSION"),
        uptime: now / 1_000_000,
        components: Components {
            store: StoreHealth {
                status: match (up, refusing) {
                    (false, _) => "away",
                    (true, Some(_)) => "refusing",
                    (true, None) => "up",
                },
                kind: app.ports.store.kind(),
                latency,
                refusing_since: refusing.map(iso),
            },
            ledger: LedgerHealth {
                pending: waiting.map(|waiting| waiting.events),
                pending_bytes: waiting.map(|waiting| waiting.bytes),
                capacity: here.then_some(outbox::CAPACITY),
                lost: here.then(|| app.outbox.lost()),
            },
        },
    };
    Json(health)
}

/// Whether the store answers. Anybody may ask, so one ping a second serves them all.
async fn probe(app: &App) -> StoreProbe {
    let clock = &*app.ports.clock;
    let before = clock.ticks();
    let ping = async {
        let up = matches!(
            within(clock, PATIENCE, app.ports.store.ping()).await,
            Some(Ok(()))
        );
        Ok::<_, Infallible>(StoreProbe {
            up,
            latency: clock.ticks().saturating_sub(before),
        })
    };
    let Ok(probe) = app.store_health.get(before, ping).await;
    probe
}

/// Since when the ledger or the machines' state cannot be written.
fn refusing_since(app: &App) -> Option<Millis> {
    let ledger = app.outbox.failing_since(app.ports.clock.now());
    [ledger, app.ports.gates.unsaved_since()]
        .into_iter()
        .flatten()
        .min()
}

/// Prometheus text. With METRICS_TOKEN set, for who sends it as a bearer token; without it, for callers on the
/// relay's own machine only. The figures include money.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operations",
    responses((status = 200, content_type = "text/plain", body = String), (status = 401), (status = 403)))]
pub async fn metrics(
    State(app): State<App>,
    local: Option<Extension<FromThisMachine>>,
    headers: HeaderMap,
) -> Response {
    if app.config.metrics.token.is_none() && local.is_none() {
        let hint = "The figures of this relay are for its own machine. To read them from elsewhere, set METRICS_TOKEN and send it as a bearer token.\n";
        return (StatusCode::FORBIDDEN, hint).into_response();
    }
    if let Some(token) = &app.config.metrics.token {
        let sent = headers
            .get(header::AUTHORIZATION)
            .map_or(&b""[..], |value| value.as_bytes());
        let expected = format!("Bearer {}", token.reveal());
        if !bool::from(sent.ct_eq(expected.as_bytes())) {
            let hint = "Send the METRICS_TOKEN of this relay as a bearer token.\n";
            return (
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Bearer")],
                hint,
            )
                .into_response();
        }
    }
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    // What is written is both; older scrapers know it by the older name only.
    let kind = if accepts.contains("application/openmetrics-text") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let billed = app.ports.billed.as_ref().map(|billed| billed.services());
    let refusing = refusing_since(&app);
    let refusing = refusing.map_or(0, |since| app.ports.clock.now().saturating_sub(since) / 1000);
    let text = app.metrics.text(
        &app.outbox,
        refusing,
        app.body_memory.figures(),
        &billed.unwrap_or_default(),
    );
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
