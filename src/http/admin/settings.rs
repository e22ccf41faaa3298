//! `/admin/settings`: the relay's version and configuration, for the console.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api_error::ErrorBody;
use super::super::extract::AdminSession;
use crate::account;
use crate::app::{App, HostKind};
use crate::model::account::{Grant, Platform};
use crate::store::ledger::{DAY_DAYS, HOUR_DAYS, MONTH_MONTHS};

/// The relay's configuration. Contains no secrets, and nothing that can change while it runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RelaySettings)]
pub(super) struct SettingsView {
    version: &'static str,
    host: HostKind,
    store: StoreKind,
    /// `PUBLIC_ADDRESS`: the relay's address for clients, without a trailing slash. `null`: not set, so the
    /// address of the console is the best guess.
    public_address: Option<String>,
    /// The operator's offset from UTC, which determines when days begin.
    utc_offset_minutes: i32,
    retention: Retention,
    /// Whether this host can call accounts through a proxy.
    proxies: bool,
    sign_ins: SignIns,
    sessions: SessionLifetimes,
}

/// The store.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StoreKind {
    Embedded,
    Redis,
    Upstash,
    /// Lost on exit.
    Memory,
}

/// Retention periods.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Retention {
    /// Records of single calls, days (`REQUEST_LOG_DAYS`).
    requests: u32,
    /// The audit log, days (`AUDIT_LOG_DAYS`).
    audit: u32,
    /// Sums by hour, days.
    hours: u32,
    /// Sums by day, days.
    days: u32,
    /// Sums by month, months.
    months: u32,
}

/// The platforms with an OAuth client for sign-in. Pasted tokens need none.
#[derive(Debug, Serialize, ToSchema)]
struct SignIns {
    claude: bool,
    openai: bool,
    gemini: bool,
    antigravity: bool,
}

/// Lifetimes of admin sessions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionLifetimes {
    /// Of a token, seconds (`ADMIN_SESSION_TIMEOUT`).
    token: u64,
    /// Of a session including all renewals, seconds (`ADMIN_SESSION_MAX`).
    longest: u64,
}

/// This relay's version and settings. Reads only the session.
#[utoipa::path(
    get, path = "/admin/settings", operation_id = "getSettings", tag = "site", security(("admin" = [])),
    responses(
        (status = 200, body = SettingsView),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(super) async fn get(State(app): State<App>, _: AdminSession) -> Json<SettingsView> {
    let config = &app.config;
    let can = |platform| account::of(platform).sign_in(Grant::OAuth, config).is_ok();
    Json(SettingsView {
        version: env!("CARGO_PKG_VERSION"),
        host: app.ports.host,
        store: match app.ports.store.kind() {
            "redis" => StoreKind::Redis,
            "upstash" => StoreKind::Upstash,
            "embedded" => StoreKind::Embedded,
            _ => StoreKind::Memory,
        },
        public_address: config.server.public_address.clone(),
        utc_offset_minutes: config.site.utc_offset_minutes,
        retention: Retention {
            requests: config.ledger.request_log_days,
            audit: config.audit.days,
            hours: HOUR_DAYS,
            days: DAY_DAYS,
            months: MONTH_MONTHS,
        },
        proxies: app.ports.upstream.no_proxies().is_none(),
        sign_ins: SignIns {
            claude: can(Platform::Claude),
            openai: can(Platform::OpenAi),
            gemini: can(Platform::Gemini),
            antigravity: can(Platform::Antigravity),
        },
        sessions: SessionLifetimes {
            token: config.admin.session.as_secs(),
            longest: config.admin.session_max.as_secs(),
        },
    })
}
