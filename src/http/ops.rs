//! What operators' tools ask: is it well, and how much of everything.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use crate::app::App;
use crate::port::clock::within;

/// A store that takes longer than this to answer is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the relay is doing. Holds nothing that a stranger may not know.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `healthy`, or `degraded` when the store is away: keys known already still work.
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
    /// `up` or `away`.
    status: &'static str,
    kind: &'static str,
    /// Microseconds.
    latency: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LedgerHealth {
    /// Settled calls the store does not have yet; `null` where each key's gate keeps its own, as on the edge.
    pending: Option<usize>,
    /// Settled calls dropped because the store was away for too long; `null` as above.
    lost: Option<u64>,
}

/// 200 whenever the relay serves. A store that is away makes it `degraded`, not down: keys known already work
/// on, and a restart would lose the calls that wait for the store.
#[utoipa::path(get, path = "/health", operation_id = "getHealth", tag = "operations",
    responses((status = 200, body = Health)))]
pub async fn health(State(app): State<App>) -> Json<Health> {
    let before = app.ports.clock.ticks();
    let up = matches!(
        within(&*app.ports.clock, PATIENCE, app.ports.store.ping()).await,
        Some(Ok(()))
    );
    let now = app.ports.clock.ticks();
    let here = app.ports.gates.keeps_events().is_none();
    let health = Health {
        status: if up { "healthy" } else { "degraded" },
        service: "crs-edge",
        version: env!("CARGO_PKG_VERSION"),
        uptime: now / 1_000_000,
        components: Components {
            store: StoreHealth {
                status: if up { "up" } else { "away" },
                kind: app.ports.store.kind(),
                latency: now.saturating_sub(before),
            },
            ledger: LedgerHealth {
                pending: here.then(|| app.outbox.pending()),
                lost: here.then(|| app.outbox.lost()),
            },
        },
    };
    Json(health)
}

/// Prometheus text. With METRICS_TOKEN set, only for who sends it as a bearer token.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "operations",
    responses((status = 200, content_type = "text/plain", body = String), (status = 401)))]
pub async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
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
    let text = app.metrics.text(
        &app.outbox,
        app.body_memory.figures(),
        &billed.unwrap_or_default(),
    );
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
