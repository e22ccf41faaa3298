//! A key's live state from its gate: running calls, waiting calls, spending.

use crs_durable::gate::{self, Estimate, PerLimit, Snapshot, SpendSnapshot, WindowSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::super::money_limits::{LimitValues, Sums};
use crate::app::App;
use crate::model::key::Key;
use crate::model::money::Usd;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;

/// The gate's state. The default is that of a new key's gate.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Number of calls that hold a slot.
    pub(super) running: usize,
    pub(super) queued: usize,
    pub(super) activated_at: Option<Millis>,
    pub(super) window: Option<WindowView>,
    pub(super) spend: Option<SpendView>,
}

/// The current window.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = KeyWindow)]
pub(super) struct WindowView {
    #[schema(format = DateTime)]
    start: String,
    #[schema(format = DateTime)]
    end: String,
    requests: u64,
    tokens: u64,
    cost: Usd,
    /// The part reserved by running calls.
    reserved: ReservedView,
}

/// The estimates of running calls; each is replaced by the call's real usage when it ends.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Reserved)]
pub(in super::super) struct ReservedView {
    tokens: u64,
    cost: Usd,
}

impl From<Estimate> for ReservedView {
    fn from(estimate: Estimate) -> Self {
        Self {
            tokens: estimate.tokens,
            cost: estimate.cost.into(),
        }
    }
}

type SpendByLimit = LimitValues<Sums, PeriodView>;

/// Spending, by money limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = KeySpend)]
pub(super) struct SpendView {
    #[schema(inline)]
    #[serde(flatten)]
    spent: SpendByLimit,
}

/// Spending against one limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PeriodSpend)]
struct PeriodView {
    /// `null`: the gate has not read the earlier spending from the ledger yet.
    spent: Option<Usd>,
    /// The estimated cost of running calls.
    reserved: Usd,
    /// When `spent` is reset to 0; `null`: never.
    #[schema(format = DateTime)]
    resets_at: Option<String>,
}

impl From<&WindowSnapshot> for WindowView {
    fn from(window: &WindowSnapshot) -> Self {
        Self {
            start: iso(window.start),
            end: iso(window.end),
            requests: window.requests,
            tokens: window.used.tokens,
            cost: window.used.cost.into(),
            reserved: window.reserved.into(),
        }
    }
}

impl SpendView {
    /// `None` if the gate does not know the earlier spending for any limit.
    fn of(spent: &PerLimit<SpendSnapshot>) -> Option<Self> {
        spent.values().any(|sum| sum.known).then(|| Self {
            spent: spent.map(|_, sum| PeriodView::from(sum)).into(),
        })
    }
}

impl From<&SpendSnapshot> for PeriodView {
    fn from(spend: &SpendSnapshot) -> Self {
        Self {
            // Without the earlier sums, a gate's amount is incomplete.
            spent: spend.known.then_some(spend.spent.into()),
            reserved: spend.reserved.into(),
            resets_at: spend.resets_at.map(iso),
        }
    }
}

impl Live {
    /// `None` if the gate is unreachable.
    pub(super) async fn of(app: &App, key: &Key) -> Option<Self> {
        let hash = KeyHash::from_hex(&key.hash)?;
        match app.ports.gates.gate(&hash, gate::Command::Snapshot).await {
            Ok(gate::Reply::Snapshot(snapshot)) => Some(Self::from(&*snapshot)),
            _ => None,
        }
    }
}

impl From<&Snapshot> for Live {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            running: snapshot.leases.iter().filter(|lease| lease.slot).count(),
            queued: snapshot.waiters.len(),
            activated_at: snapshot.activated_at,
            window: snapshot.window.as_ref().map(WindowView::from),
            spend: SpendView::of(&snapshot.spent),
        }
    }
}
