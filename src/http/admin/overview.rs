//! `/admin/overview`: what needs the operator first. The console's dashboard polls it.
//!
//! Its cost depends on the questions to gates and ledger, not on the number of keys: keys and accounts are read once
//! each, and only the few keys that the ledger says are near a limit have their gates asked.

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
use crate::store::ledger::{Kind, Range, Scope};

use accounts::{EndingSubscription, PlatformView, TroubleView};
use keys::{EndingKey, KeyCounts, NearLimitView};

/// How far ahead an end is shown, milliseconds.
const SOON: Millis = 7 * DAY;

/// The dearest models of the last 7 days that are looked up in the price table.
const MODELS: usize = 50;

/// The model of failed calls that used no tokens: it needs no price.
const UNSERVED: &str = "(unserved)";

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Overview)]
pub(super) struct OverviewView {
    #[schema(format = DateTime)]
    as_of: String,
    keys: KeyCounts,
    /// Active keys that have used or reserved at least 90 % of a limit, each with its tightest, the tightest first;
    /// at most 20.
    near_limit: Vec<NearLimitView>,
    /// `false`: more keys may be near a limit than one answer looks at.
    near_limit_complete: bool,
    /// Active keys that end within 7 days, the soonest first; at most 20.
    ending_keys: Vec<EndingKey>,
    ending_keys_count: usize,
    /// Those that have accounts.
    platforms: Vec<PlatformView>,
    /// Accounts that are switched on and do not serve as they should: those that only a person can mend first, then
    /// the others by when they return; at most 50.
    trouble: Vec<TroubleView>,
    trouble_count: usize,
    /// Accounts whose subscription ends within 7 days, the soonest first; at most 20.
    ending_subscriptions: Vec<EndingSubscription>,
    ending_subscriptions_count: usize,
    /// Models of the last 7 days' calls that have no price of their own, the dearest first: their calls are charged
    /// the dearest price of the family.
    unpriced_models: Vec<UnpricedModel>,
    /// Calls that accounts serve now.
    running: usize,
    /// Calls that have reached a provider, ever. 0: nobody has used the relay yet.
    requests: u64,
    /// Platforms whose pool did not answer: what is said of their accounts is from the records alone.
    pools_away: BTreeSet<Platform>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct UnpricedModel {
    model: String,
    /// Calls of the last 7 days.
    requests: u64,
    /// Their charge, by a guessed price.
    cost: Usd,
}

/// The things that need attention first: keys near a limit or about to end, accounts in trouble and when they return,
/// platforms where nobody can serve, models that are charged a guessed price.
///
/// Reads all keys and all accounts once, the ledger's ranking of keys of the days that limits look back on (1 to 8
/// days) and of the models of 7 days, asks the pool of each platform that has accounts, and at most 20 keys' gates. On
/// the edge that is at most 24 calls of Durable Objects. It may be polled.
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
    let totals = app.ledger.totals(&[Scope::Total], Range::All, now).await?;
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
        requests: totals.first().map_or(0, |totals| totals.requests),
        pools_away: pools.away,
    }))
}

async fn unpriced_models(app: &App, now: Millis) -> Result<Vec<UnpricedModel>, ApiError> {
    let ranked = app
        .ledger
        .ranking(Kind::Models, Range::Days7, MODELS, now)
        .await?;
    let prices = app.prices();
    // The platform decides only which guess is charged.
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
