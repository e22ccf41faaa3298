//! The rest of a key's limits, their resets, and whether a call would be refused now.

use std::borrow::Cow;

use crs_durable::gate::{
    Limit, LimitReached, Limits, MoneyLimit, PerLimit, Refusal, Snapshot, SpendSnapshot,
};
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::super::api_error::ApiError;
use super::super::money_limits::one_of;
use crate::app::App;
use crate::model::key::Key;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::relay::admit::spent_before;
use crate::relay::failures;
use crate::store::ledger::Failures;
use crate::store::refusals::RefusalRow;

/// Spending for each money limit, micro-USD.
pub(in crate::http) struct Spend(pub(super) PerLimit<SpendSnapshot>);

impl Spend {
    /// From the gate. From the ledger for limits whose earlier spending the gate does not know yet, and if it is
    /// unreachable.
    pub(in crate::http) async fn of(
        app: &App,
        key: &Key,
        snapshot: Option<&Snapshot>,
        now: Millis,
    ) -> Result<Self, ApiError> {
        let counted = snapshot.map(|snapshot| &snapshot.spent);
        let known = |limit: MoneyLimit| counted.is_some_and(|spent| spent[limit].known);
        if let Some(spent) = counted.filter(|_| MoneyLimit::ALL.into_iter().all(known)) {
            return Ok(Self(spent.clone()));
        }
        let limits = key.policy(app.config.site.utc_offset_minutes).limits;
        let before = spent_before(app, key).await?;
        Ok(Self(PerLimit::of(|limit| {
            match counted.filter(|_| known(limit)) {
                Some(spent) => spent[limit].clone(),
                None => SpendSnapshot {
                    spent: before.spent[limit],
                    reserved: 0,
                    resets_at: limits.span(limit, now).map(|(_, end)| end),
                    known: true,
                },
            }
        })))
    }
}

/// The key's state at this moment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsNow)]
pub(super) struct NowView {
    #[schema(format = DateTime)]
    at: String,
    /// The operator's offset from UTC, which determines when days begin.
    utc_offset_minutes: i32,
    /// Why a call would be refused now; `null`: it would be admitted.
    refused: Option<RefusedView>,
    /// Number of running calls; `null`: the key's gate is unreachable.
    running: Option<usize>,
    /// Number of calls that wait for a slot; `null`: the key's gate is unreachable.
    queued: Option<usize>,
    /// The limits that are set, tightest first.
    remaining: Vec<RemainingView>,
    /// The key's failed calls of the last 7 days, most frequent first.
    failures: Vec<FailedView>,
    /// The key's calls refused before a provider was called, today and yesterday; latest first.
    refusals: Vec<RefusalCountView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsRefused)]
struct RefusedView {
    /// As sent to the client.
    code: &'static str,
    message: String,
    /// `null`: when running calls end, or not by itself.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Only calls of Opus models are refused.
    opus_only: bool,
}

/// The name of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct LimitName(&'static str);

impl LimitName {
    const CONCURRENCY: Self = Self("concurrency");

    fn of(limit: Limit) -> Self {
        Self(match limit {
            Limit::WindowRequests => "windowRequests",
            Limit::WindowTokens => "windowTokens",
            Limit::WindowCost => "windowCost",
            Limit::Money(limit) => limit.row().name,
        })
    }
}

impl PartialSchema for LimitName {
    fn schema() -> RefOr<Schema> {
        let windows = [Limit::WindowRequests, Limit::WindowTokens, Limit::WindowCost];
        let limits = windows
            .into_iter()
            .chain(MoneyLimit::ALL.map(Limit::Money))
            .map(Self::of);
        one_of(limits.chain([Self::CONCURRENCY]).map(|name| name.0))
    }
}

impl ToSchema for LimitName {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("StatsLimit")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StatsUnit)]
enum Unit {
    Usd,
    Requests,
    Tokens,
    Calls,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsRemaining)]
pub(in crate::http) struct RemainingView {
    limit: LimitName,
    unit: Unit,
    most: f64,
    used: f64,
    /// The estimates of running calls.
    reserved: f64,
    left: f64,
    /// When `used` is reset to 0; `null`: never, or there is no window.
    #[schema(format = DateTime)]
    resets_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsFailure)]
struct FailedView {
    error: String,
    count: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsRefusal)]
struct RefusalCountView {
    code: String,
    today: u64,
    yesterday: u64,
    #[schema(format = DateTime)]
    last_at: String,
    /// When a call may be tried again, according to the last refusal; `null`: now, or waiting does not help.
    #[schema(format = DateTime)]
    next_allowed_at: Option<String>,
}

/// Failed and refused calls of the key.
pub(super) struct FailedCalls {
    pub(super) failures: Vec<Failures>,
    pub(super) refusals: Vec<RefusalRow>,
}

impl NowView {
    pub(super) fn new(
        app: &App,
        key: &Key,
        snapshot: Option<&Snapshot>,
        spend: &Spend,
        unserved: FailedCalls,
        now: Millis,
    ) -> Self {
        let offset = app.config.site.utc_offset_minutes;
        let running = snapshot.map(|snapshot| snapshot.leases.iter().filter(|lease| lease.slot).count());
        let levels = levels(&key.policy(offset).limits, snapshot, spend, now);
        let mut remaining: Vec<(f64, RemainingView)> =
            levels.iter().map(|level| (level.share(), level.view())).collect();
        if let (Some(running), most @ 1..) = (running, key.concurrency_limit) {
            let (most, used) = (f64::from(most), running as f64);
            let view = RemainingView {
                limit: LimitName::CONCURRENCY,
                unit: Unit::Calls,
                most,
                used,
                reserved: 0.0,
                left: (most - used).max(0.0),
                resets_at: None,
            };
            remaining.push((used / most, view));
        }
        remaining.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let failures = unserved.failures.into_iter().map(|failures| FailedView {
            error: failures.error,
            count: failures.count,
        });
        let refusals = unserved.refusals.into_iter().map(|row| RefusalCountView {
            next_allowed_at: row.next_allowed_at(now).map(iso),
            code: row.code,
            today: row.today,
            yesterday: row.yesterday,
            last_at: iso(row.last.at),
        });
        Self {
            at: iso(now),
            utc_offset_minutes: offset,
            refused: refusal(key, &levels, running, now),
            running,
            queued: snapshot.map(|snapshot| snapshot.waiters.len()),
            remaining: remaining.into_iter().map(|(_, view)| view).collect(),
            failures: failures.collect(),
            refusals: refusals.collect(),
        }
    }
}

/// The usage of one limit, in micro-USD, tokens or requests.
pub(in crate::http) struct Level {
    which: Limit,
    most: u64,
    used: u64,
    reserved: u64,
    resets_at: Option<Millis>,
}

impl Level {
    fn taken(&self) -> u64 {
        self.used.saturating_add(self.reserved)
    }

    /// Usage and reservations as a share of the limit.
    pub(in crate::http) fn share(&self) -> f64 {
        self.taken() as f64 / self.most as f64
    }

    pub(in crate::http) fn view(&self) -> RemainingView {
        let unit = match self.which {
            Limit::WindowRequests => Unit::Requests,
            Limit::WindowTokens => Unit::Tokens,
            Limit::WindowCost | Limit::Money(_) => Unit::Usd,
        };
        let figure = |count: u64| match unit {
            Unit::Usd => count as f64 / 1e6,
            _ => count as f64,
        };
        RemainingView {
            limit: LimitName::of(self.which),
            unit,
            most: figure(self.most),
            used: figure(self.used),
            reserved: figure(self.reserved),
            left: figure(self.most.saturating_sub(self.taken())),
            resets_at: self.resets_at.map(iso),
        }
    }
}

/// The levels of the limits that are set.
pub(in crate::http) fn levels(
    limits: &Limits,
    snapshot: Option<&Snapshot>,
    spend: &Spend,
    now: Millis,
) -> Vec<Level> {
    let window = snapshot.and_then(|snapshot| snapshot.window.clone());
    let window = window.filter(|window| window.end > now).unwrap_or_default();
    let window_ends = Some(window.end).filter(|end| *end > 0);
    let windowed = |limit| {
        if limits.rate_limit_window_minutes > 0 {
            limit
        } else {
            0
        }
    };
    let in_window = |which, most, used, reserved| Level {
        which,
        most: windowed(most),
        used,
        reserved,
        resets_at: window_ends,
    };
    let (used, reserved) = (&window.used, &window.reserved);
    let mut levels = vec![
        in_window(
            Limit::WindowRequests,
            limits.rate_limit_requests,
            window.requests,
            0,
        ),
        in_window(
            Limit::WindowTokens,
            limits.rate_limit_tokens,
            used.tokens,
            reserved.tokens,
        ),
        in_window(
            Limit::WindowCost,
            limits.rate_limit_cost,
            used.cost,
            reserved.cost,
        ),
    ];
    levels.extend(limits.money.iter().map(|(limit, most)| Level {
        which: Limit::Money(limit),
        most: *most,
        used: spend.0[limit].spent,
        reserved: spend.0[limit].reserved,
        resets_at: spend.0[limit].resets_at,
    }));
    levels.retain(|level| level.most > 0);
    levels
}

/// Why a call would be refused. Reasons that refuse every call come before those that refuse some.
fn refusal(key: &Key, levels: &[Level], running: Option<usize>, now: Millis) -> Option<RefusedView> {
    let is_opus = |level: &Level| matches!(level.which, Limit::Money(limit) if limit.row().opus_only);
    let reached = || levels.iter().filter(|level| level.taken() >= level.most);
    let level = reached().find(|level| !is_opus(level));
    let full = running.is_some_and(|running| {
        let limit = key.concurrency_limit as usize;
        limit > 0 && running >= limit && key.concurrency_queue_size == 0
    });
    if level.is_none() && full {
        let failure = failures::of_gate(
            &Refusal::ConcurrencyFull {
                limit: key.concurrency_limit,
                retry_after_ms: 1_000,
            },
            now,
        );
        return Some(RefusedView {
            code: failure.code.name(),
            message: failure.message,
            until: None,
            opus_only: false,
        });
    }
    let level = level.or_else(|| reached().next())?;
    let passing = level.used < level.most;
    let resets_at = level.resets_at.filter(|_| !passing);
    let failure = failures::of_gate(
        &Refusal::LimitReached(LimitReached {
            which: level.which,
            limit: level.most,
            used: level.used,
            reserved: level.reserved,
            resets_at: level.resets_at,
            retry_after_ms: resets_at.map(|at| at.saturating_sub(now)),
        }),
        now,
    );
    Some(RefusedView {
        code: failure.code.name(),
        message: failure.message,
        until: resets_at.map(iso),
        opus_only: is_opus(level),
    })
}
