//! `/admin/overview`: the things that need attention. The console's dashboard polls it.
//!
//! Its cost depends on the questions to gates and the ledger, not on the number of keys: keys and accounts are
//! read once, and gates are asked only for the few keys that are near a limit according to the ledger.

mod accounts;
mod keys;

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api_error::ApiError;
use super::super::extract::AdminSession;
use super::accounts::pools::Pools;
use crate::app::App;
use crate::model::account::Platform;
use crate::model::calendar::DAY;
use crate::model::money::Usd;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::relay::probe::PROBE_KEY;
use crate::store::ledger::{Kind, Range, Scope};

use accounts::{EndingSubscription, PlatformView, TroubleView};
use keys::{EndingKey, KeyCounts, NearLimitView};

/// How far in advance an expiry is shown, milliseconds.
const SOON: Millis = 7 * DAY;

/// Number of the most expensive models of the last 7 days that are looked up in the price table.
const MODELS: usize = 50;

/// The model of failed calls without tokens, which needs no price.
const UNSERVED: &str = "(unserved)";

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Overview)]
pub(super) struct OverviewView {
    #[schema(format = DateTime)]
    as_of: String,
    keys: KeyCounts,
    /// Active keys that have used or reserved at least 90 % of a limit, each with its tightest limit, tightest
    /// first; at most 20.
    near_limit: Vec<NearLimitView>,
    /// `false`: more keys may be near a limit than one request checks.
    near_limit_complete: bool,
    /// Active keys that expire within 7 days, soonest first; at most 20.
    ending_keys: Vec<EndingKey>,
    ending_keys_count: usize,
    /// Platforms with accounts.
    platforms: Vec<PlatformView>,
    /// Accounts that are switched on but do not serve: first those that only a person can fix, then the others by
    /// their return; at most 50.
    trouble: Vec<TroubleView>,
    trouble_count: usize,
    /// Accounts whose subscription ends within 7 days, soonest first; at most 20.
    ending_subscriptions: Vec<EndingSubscription>,
    ending_subscriptions_count: usize,
    /// Models of the last 7 days without a price of their own, most expensive first. Their calls are charged the
    /// highest price of the family.
    unpriced_models: Vec<UnpricedModel>,
    /// Number of running calls.
    running: usize,
    /// Number of calls by clients that ever reached a provider, without tests of accounts. 0: no client has used the
    /// relay yet.
    requests: u64,
    /// Platforms whose pool did not answer: the state of their accounts is from the records only.
    pools_away: BTreeSet<Platform>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct UnpricedModel {
    model: String,
    /// Number of calls in the last 7 days.
    requests: u64,
    /// Their charge at a guessed price.
    cost: Usd,
}

/// What needs attention: keys near a limit or about to expire, accounts with problems and their return, platforms
/// that cannot serve, models with guessed prices.
///
/// Reads all keys and all accounts once, the ledger's rankings of keys for the days that limits cover (1 to 8
/// days) and of models for 7 days, asks the pool of each platform that has accounts, and at most 20 keys' gates.
/// On the edge that is at most 24 Durable Object calls. It may be polled.
#[utoipa::path(
    get, path = "/admin/overview", operation_id = "getOverview", tag = "operations", security(("admin" = [])),
    responses((status = 200, body = OverviewView))
)]
pub(super) async fn overview(
    State(app): State<App>,
    _: AdminSession,
) -> Result<Json<OverviewView>, ApiError> {
    let now = app.ports.clock.now();
    let keys = app.keys.list().await?;
    let accounts = app.accounts.list().await?;
    let platforms = accounts.iter().map(|account| account.platform).collect();
    let pools = Pools::ask(&app, platforms).await;

    let near = keys::near_limit(&app, &keys, now).await?;
    let ending = keys::ending(&keys, now);
    let conditions = accounts::conditions(&accounts, &pools, now);
    let trouble = accounts::trouble(&conditions);
    let subscriptions = accounts::ending_subscriptions(&accounts, now);
    let scopes = [Scope::Total, Scope::Key(PROBE_KEY)];
    let totals = app.ledger.totals(&scopes, Range::All, now).await?;
    let mut requests = totals.iter().map(|totals| totals.requests);
    let all = requests.next().unwrap_or_default();
    let leases = pools.accounts.values().map(|account| account.leases.len());
    Ok(Json(OverviewView {
        as_of: iso(now),
        keys: KeyCounts::of(&keys, now),
        near_limit: near.shown,
        near_limit_complete: near.complete,
        ending_keys_count: ending.len(),
        ending_keys: ending.into_iter().take(keys::SHOWN).collect(),
        platforms: accounts::platforms(&conditions),
        trouble_count: trouble.len(),
        trouble: trouble.into_iter().take(accounts::TROUBLE_SHOWN).collect(),
        ending_subscriptions_count: subscriptions.len(),
        ending_subscriptions: subscriptions.into_iter().take(keys::SHOWN).collect(),
        unpriced_models: unpriced_models(&app, now).await?,
        running: leases.sum(),
        requests: all.saturating_sub(requests.sum()),
        pools_away: pools.away,
    }))
}

async fn unpriced_models(app: &App, now: Millis) -> Result<Vec<UnpricedModel>, ApiError> {
    let ranked = app
        .ledger
        .ranking(Kind::Models, Range::Days7, MODELS, now)
        .await?;
    let prices = app.prices();
    // The platform only decides which guess applies.
    let unpriced = ranked
        .into_iter()
        .filter(|model| model.id != UNSERVED && !prices.price(&model.id, Platform::Claude).known());
    Ok(unpriced
        .map(|model| UnpricedModel {
            requests: model.totals.requests,
            cost: model.totals.cost.into(),
            model: model.id,
        })
        .collect())
}
