//! Keys near a limit or about to expire.

use std::collections::HashMap;

use crs_durable::gate::{self, MoneyLimit};
use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::super::api_error::ApiError;
use super::super::super::stats::remaining::{RemainingView, Spend, levels};
use super::super::concurrency::snapshot;
use super::super::keys::view::Status;
use super::SOON;
use crate::app::App;
use crate::model::key::{ExpirationMode, Key};
use crate::model::money::MicroUsd;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::store::ledger::{Kind, Range, Span};

/// Maximum number of keys per list.
pub(super) const SHOWN: usize = 20;
/// Maximum number of gates asked per request.
const ASKED: usize = 20;
/// Share of a limit in the ledger from which the key's gate is asked. Below [`NEAR`], because the gate also knows
/// running calls.
const WORTH_ASKING: f64 = 0.8;
/// Share of a limit, used or reserved, that counts as near.
const NEAR: f64 = 0.9;

const MINUTE: Millis = 60_000;

#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct KeyCounts {
    /// All keys except deleted ones.
    total: usize,
    active: usize,
    disabled: usize,
    expired: usize,
    deleted: usize,
}

impl KeyCounts {
    pub(super) fn of(keys: &[Key], now: Millis) -> Self {
        let mut counts = Self::default();
        for key in keys {
            *match status(key, now) {
                Status::Active => &mut counts.active,
                Status::Disabled => &mut counts.disabled,
                Status::Expired => &mut counts.expired,
                Status::Deleted => &mut counts.deleted,
            } += 1;
        }
        counts.total = counts.active + counts.disabled + counts.expired;
        counts
    }
}

/// A key and its tightest limit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NearLimit)]
pub(super) struct NearLimitView {
    key_id: String,
    key_name: String,
    /// Usage and reservations in percent of the limit; can exceed 100.
    used_percent: f64,
    level: RemainingView,
}

impl std::fmt::Debug for NearLimitView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} %", self.key_id, self.used_percent)
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndingKey {
    key_id: String,
    key_name: String,
    #[schema(format = DateTime)]
    ends_at: String,
}

fn status(key: &Key, now: Millis) -> Status {
    Status::of(key, key.activated_at, now)
}

fn ends_at(key: &Key) -> Option<Millis> {
    let activated_at = key
        .activated_at
        .filter(|_| key.expiration_mode == ExpirationMode::Activation);
    key.ends_at(activated_at)
}

/// All active keys that expire soon, soonest first.
pub(super) fn ending(keys: &[Key], now: Millis) -> Vec<EndingKey> {
    let mut ending: Vec<(Millis, &Key)> = keys
        .iter()
        .filter(|key| status(key, now) == Status::Active)
        .filter_map(|key| Some((ends_at(key)?, key)))
        .filter(|(at, _)| *at <= now.saturating_add(SOON))
        .collect();
    ending.sort_by_key(|(at, key)| (*at, key.id.clone()));
    let views = ending.into_iter().map(|(at, key)| EndingKey {
        key_id: key.id.clone(),
        key_name: key.name.clone(),
        ends_at: iso(at),
    });
    views.collect()
}

pub(super) struct NearLimit {
    /// Tightest first.
    pub(super) shown: Vec<NearLimitView>,
    /// The gates of all candidates were asked.
    pub(super) complete: bool,
}

/// The active keys near a limit. The ledger provides the candidates, their gates the exact state.
pub(super) async fn near_limit(app: &App, keys: &[Key], now: Millis) -> Result<NearLimit, ApiError> {
    let active: Vec<&Key> = keys
        .iter()
        .filter(|key| status(key, now) == Status::Active)
        .collect();
    let known = LedgerSums::read(app, &active, now).await?;
    let mut candidates: Vec<(f64, &Key)> = active
        .into_iter()
        .map(|key| (known.share(key, now), key))
        .filter(|(share, _)| *share >= WORTH_ASKING)
        .collect();
    candidates.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.id.cmp(&y.id)));
    let complete = candidates.len() <= ASKED;
    candidates.truncate(ASKED);
    let asked = candidates.iter().map(|(_, key)| tightest(app, key, now));
    let mut near: Vec<NearLimitView> = try_join_all(asked).await?.into_iter().flatten().collect();
    near.sort_by(|a, b| {
        let by = b.used_percent.total_cmp(&a.used_percent);
        by.then_with(|| a.key_id.cmp(&b.key_id))
    });
    Ok(NearLimit {
        shown: near,
        complete,
    })
}

/// The key's tightest limit, if it is near.
async fn tightest(app: &App, key: &Key, now: Millis) -> Result<Option<NearLimitView>, ApiError> {
    let snapshot = snapshot(app, key).await;
    let spend = Spend::of(app, key, snapshot.as_deref(), now).await?;
    let limits = key.policy(app.config.site.utc_offset_minutes).limits;
    let levels = levels(&limits, snapshot.as_deref(), &spend, now);
    let tightest = levels
        .iter()
        .max_by(|a, b| a.share().total_cmp(&b.share()))
        .filter(|level| level.share() >= NEAR);
    Ok(tightest.map(|level| NearLimitView {
        key_id: key.id.clone(),
        key_name: key.name.clone(),
        // One decimal.
        used_percent: (level.share() * 1_000.0).round() / 10.0,
        level: level.view(),
    }))
}

/// The ledger's sums of all keys. They are at least as high as the amounts that count towards limits, except for
/// calls that are not in the ledger yet.
#[derive(Debug, Default)]
struct LedgerSums {
    /// The cost of each key, by the period of a limit.
    costs: Vec<(gate::Span, HashMap<String, MicroUsd>)>,
    last_uses: HashMap<String, Millis>,
}

impl LedgerSums {
    /// Reads only the periods that these keys' limits need.
    async fn read(app: &App, keys: &[&Key], now: Millis) -> Result<Self, ApiError> {
        let mut needed: Vec<gate::Span> = Vec::new();
        for limit in MoneyLimit::ALL {
            let span = limit.row().span;
            if !needed.contains(&span) && keys.iter().any(|key| key.money[limit].0 > 0) {
                needed.push(span);
            }
        }
        let today = app.ledger.calendar().day(now);
        let spans: Vec<Span> = needed
            .iter()
            .map(|span| match span {
                gate::Span::Day => Range::Today.into(),
                // 8 days: a week that began during a day counts that whole day.
                gate::Span::Week => Span::Days {
                    first: today.before(7),
                    last: today,
                },
                gate::Span::Month => Range::Month.into(),
                gate::Span::Ever => Range::All.into(),
            })
            .collect();
        let costs = app.ledger.costs(Kind::Keys, &spans, now).await?;
        let last_uses = if keys.iter().any(|key| has_window(key)) {
            app.ledger.last_uses(Kind::Keys).await?
        } else {
            HashMap::new()
        };
        Ok(Self {
            costs: needed.into_iter().zip(costs).collect(),
            last_uses,
        })
    }

    /// The highest share of a limit that the key may have used. The ledger has no windows, so a key used within
    /// the length of its window counts as near.
    fn share(&self, key: &Key, now: Millis) -> f64 {
        let shares = key
            .money
            .iter()
            .filter(|(_, most)| most.0 > 0)
            .map(|(limit, most)| {
                let mut costs = self.costs.iter().filter(|(span, _)| *span == limit.row().span);
                let cost = costs.next().and_then(|(_, costs)| costs.get(&key.id));
                cost.map_or(0.0, |cost| cost.0 as f64 / most.0 as f64)
            });
        let share = shares.fold(0.0, f64::max);
        let length = key.rate_limit_window.saturating_mul(MINUTE);
        let used = self.last_uses.get(&key.id);
        if has_window(key) && used.is_some_and(|used| used.saturating_add(length) > now) {
            return share.max(WORTH_ASKING);
        }
        share
    }
}

fn has_window(key: &Key) -> bool {
    let limited = key.rate_limit_requests > 0 || key.token_limit > 0 || key.rate_limit_cost.0 > 0;
    key.rate_limit_window > 0 && limited
}
