//! `user-stats`: a key's usage, its limits, and their rest.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use crs_durable::gate::{self, Service, Snapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::money_limits::{Most, SpentStatistics};
use super::remaining::{FailedCalls, NowView, Spend};
use super::{Answer, KeySelector, UsageView, find, read};
use crate::app::App;
use crate::model::key::{ExpirationMode, Key};
use crate::model::money::{MicroUsd, Usd};
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;
use crate::store::ledger::{Range, Scope};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsKey)]
pub(in crate::http) struct KeyStatsView {
    id: String,
    name: String,
    description: String,
    is_active: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    expiration_mode: ExpirationMode,
    is_activated: bool,
    activation_days: u32,
    #[schema(format = DateTime)]
    activated_at: Option<String>,
    /// Empty: all services.
    #[schema(value_type = Vec<String>)]
    permissions: Vec<Service>,
    usage: TotalView,
    limits: LimitsView,
    accounts: AccountsView,
    restrictions: RestrictionsView,
    now: NowView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsTotal)]
struct TotalView {
    total: UsageView,
}

/// 0: unlimited.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsLimits)]
struct LimitsView {
    token_limit: u64,
    concurrency_limit: u32,
    /// Minutes.
    rate_limit_window: u64,
    rate_limit_requests: u64,
    rate_limit_cost: Usd,
    #[schema(inline)]
    #[serde(flatten)]
    money: Most,
    #[schema(inline)]
    #[serde(flatten)]
    spent: SpentStatistics,
    current_window_requests: u64,
    current_window_tokens: u64,
    current_window_cost: Usd,
    /// Milliseconds since 1970; `null`: there is no window.
    window_start_time: Option<Millis>,
    window_end_time: Option<Millis>,
    window_remaining_seconds: Option<u64>,
}

/// CRS's fields, always `null`, because accounts are not shown.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsAccounts)]
struct AccountsView {
    claude_account_id: Option<String>,
    gemini_account_id: Option<String>,
    openai_account_id: Option<String>,
    details: Option<BTreeMap<String, String>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsRestrictions)]
struct RestrictionsView {
    enable_model_restriction: bool,
    restricted_models: Vec<String>,
    enable_client_restriction: bool,
    allowed_clients: Vec<String>,
}

/// A key's usage, and the rest of its limits. Does not start the validity of a key whose time begins with its
/// first use. Calls the key's gate (one Durable Object call on the edge) and reads two records, a few sums and
/// the key's refusal counts.
#[utoipa::path(
    post, path = "/apiStats/api/user-stats", operation_id = "getKeyStats", tag = "statistics", request_body = KeySelector,
    responses(
        (status = 200, body = Answer<KeyStatsView>),
        (status = 400, description = "No key", body = ErrorBody<'_>),
        (status = 401, description = "Not a key, or one that is disabled or has expired", body = ErrorBody<'_>),
        (status = 403, description = "By id: the key is disabled or has expired", body = ErrorBody<'_>),
        (status = 404, description = "By id: there is no such key", body = ErrorBody<'_>),
        (status = 429, description = "Asked too often; see `retry-after`", body = ErrorBody<'_>),
    )
)]
pub(in crate::http) async fn user_stats(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Answer<KeyStatsView>>, ApiError> {
    let (whose, _) = read::<KeySelector>(&app, request).await?;
    let key = find(&app, &whose).await?;
    let now = app.ports.clock.now();
    let snapshot = snapshot(&app, &key).await;
    let spend = Spend::of(&app, &key, snapshot.as_deref(), now).await?;
    let used = app.ledger.totals(&[Scope::Key(&key.id)], Range::All, now).await?;
    let unserved = FailedCalls {
        failures: app
            .ledger
            .failures(Scope::Key(&key.id), Range::Days7, now)
            .await?,
        refusals: app.refusals.rows_of(&key.id, now).await?,
    };
    let window = snapshot.as_ref().and_then(|snapshot| snapshot.window.as_ref());
    let window = window.filter(|window| window.end > now);
    let (requests, tokens, cost) = window.map_or((0, 0, 0), |window| {
        (window.requests, window.used.tokens, window.used.cost)
    });
    // The gate learns of a first use before the record does.
    let activated_at = key
        .activated_at
        .or(snapshot.as_ref().and_then(|snapshot| snapshot.activated_at))
        .filter(|_| key.expiration_mode == ExpirationMode::Activation);
    Ok(Answer::of(KeyStatsView {
        is_active: true,
        created_at: iso(key.created_at),
        expires_at: key.ends_at(activated_at).map(iso),
        expiration_mode: key.expiration_mode,
        is_activated: key.expiration_mode == ExpirationMode::Fixed || activated_at.is_some(),
        activation_days: key.activation_days,
        activated_at: activated_at.map(iso),
        permissions: key.permissions.clone(),
        usage: TotalView {
            total: used.into_iter().next().unwrap_or_default().into(),
        },
        limits: LimitsView {
            token_limit: key.token_limit,
            concurrency_limit: key.concurrency_limit,
            rate_limit_window: key.rate_limit_window,
            rate_limit_requests: key.rate_limit_requests,
            rate_limit_cost: key.rate_limit_cost.into(),
            money: key.money.map(|_, most| Usd(*most)).into(),
            spent: spend.0.map(|_, sum| Usd::from(sum.spent)).into(),
            current_window_requests: requests,
            current_window_tokens: tokens,
            current_window_cost: MicroUsd(cost).into(),
            window_start_time: window.map(|window| window.start),
            window_end_time: window.map(|window| window.end),
            window_remaining_seconds: window.map(|window| (window.end - now).div_ceil(1000)),
        },
        accounts: AccountsView::default(),
        restrictions: RestrictionsView {
            enable_model_restriction: key.enable_model_restriction,
            restricted_models: key.restricted_models.clone(),
            enable_client_restriction: key.enable_client_restriction,
            allowed_clients: key.allowed_clients.clone(),
        },
        now: NowView::new(&app, &key, snapshot.as_deref(), &spend, unserved, now),
        id: key.id,
        name: key.name,
        description: key.description,
    }))
}

/// `None` if the gate is unreachable.
async fn snapshot(app: &App, key: &Key) -> Option<Box<Snapshot>> {
    let hash = KeyHash::from_hex(&key.hash)?;
    match app.ports.gates.gate(&hash, gate::Command::Snapshot).await {
        Ok(gate::Reply::Snapshot(snapshot)) => Some(snapshot),
        _ => None,
    }
}
