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

/// A store that takes longer to answer counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(2);

/// The state of the relay. Public, so it contains nothing confidential.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `healthy`; `degraded` if the store is unavailable or accepts no writes: known keys still work; `ending` with
    /// 503 if the process is shutting down, so that a balancer sends calls elsewhere.
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
    limits: LimitsHealth,
}

/// Where the limits of keys and the state of accounts live.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LimitsHealth {
    /// `process`: this process alone; `redis` or `upstash`: shared by all processes on it; `durable_object`.
    home: &'static str,
    /// Since when this process decides by its own copy, because the home is unavailable; `null`: it is available.
    #[schema(format = DateTime)]
    alone_since: Option<String>,
    /// Number of commands decided since then, which the home does not have yet.
    kept: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StoreHealth {
    /// `up`, `away`, or `refusing`: it answers, but important writes fail.
    status: &'static str,
    kind: &'static str,
    /// Microseconds.
    latency: u64,
    /// Since when important writes fail; `null`: they do not.
    #[schema(format = DateTime)]
    refusing_since: Option<String>,
}

/// All `null` if each key's gate keeps its own events, as on the edge.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LedgerHealth {
    /// Number of settled calls that are not in the store yet.
    pending: Option<usize>,
    /// Their approximate memory, bytes.
    pending_bytes: Option<usize>,
    /// Maximum number of such calls; beyond it the oldest are lost.
    capacity: Option<usize>,
    /// Number of settled calls lost because the store accepted no writes for too long.
    lost: Option<u64>,
}

/// 200 whenever the relay serves. An unavailable or full store makes it `degraded`, not down: known keys still
/// work, and a restart would lose the calls that wait for the store. 503 while it is shutting down.
#[utoipa::path(get, path = "/health", operation_id = "getHealth", tag = "operations",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub async fn health(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let StoreProbe { up, latency } = probe(&app).await;
    let now = app.ports.clock.ticks();
    let here = app.ports.host.outlives_calls();
    let waiting = here.then(|| app.outbox.waiting());
    let refusing = refusing_since(&app);
    let home = app.ports.gates.home();
    let ending = app.ending.begun();
    let health = Health {
        status: match (ending, up && refusing.is_none()) {
            (true, _) => "ending",
            (false, true) => "healthy",
            (false, false) => "degraded",
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
            limits: LimitsHealth {
                home: home.kind,
                alone_since: home.away_since.map(iso),
                kept: home.kept,
            },
        },
    };
    let code = if ending {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (code, Json(health))
}

/// Whether the store answers. Public, so one ping per second serves all callers.
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

/// Since when writes of the ledger or of gate and pool states fail.
fn refusing_since(app: &App) -> Option<Millis> {
    let ledger = app.outbox.failing_since(app.ports.clock.now());
    [ledger, app.ports.gates.unsaved_since()]
        .into_iter()
        .flatten()
        .min()
}

/// Prometheus text. If METRICS_TOKEN is set, it is required as a bearer token; otherwise only callers on the
/// relay's own machine are allowed. The figures include money.
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
    // The output is valid in both formats; older scrapers know only the older name.
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
        &app.ports.gates.home(),
        &billed.unwrap_or_default(),
    );
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
