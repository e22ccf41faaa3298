//! How a key is doing, as its gate tells: what runs, what waits, what was spent.

use crs_durable::gate::{self, Estimate, PerLimit, Snapshot, SpendSnapshot, WindowSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::super::money_limits::{Shown, Sums};
use crate::app::App;
use crate::model::key::Key;
use crate::model::money::Usd;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;

/// The gate's state; by default that of a new key's gate.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Calls that hold a slot.
    pub(super) running: usize,
    pub(super) queued: usize,
    pub(super) activated_at: Option<Millis>,
    pub(super) window: Option<WindowView>,
    pub(super) spend: Option<SpendView>,
}

/// The window that runs now.
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
    /// The part that running calls have reserved.
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

type Spent = Shown<Sums, PeriodView>;

/// Spending against the limits on money.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = KeySpend)]
pub(super) struct SpendView {
    #[schema(inline)]
    #[serde(flatten)]
    spent: Spent,
}

/// Spending against one limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PeriodSpend)]
struct PeriodView {
    /// `null`: the gate has not asked the ledger yet what went before.
    spent: Option<Usd>,
    /// The estimated cost of running calls.
    reserved: Usd,
    /// When `spent` begins at 0 again; `null`: never.
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
    /// `None`: the gate does not know what went before of any limit.
    fn of(spent: &PerLimit<SpendSnapshot>) -> Option<Self> {
        spent.values().any(|sum| sum.known).then(|| Self {
            spent: spent.map(|_, sum| PeriodView::from(sum)).into(),
        })
    }
}

impl From<&SpendSnapshot> for PeriodView {
    fn from(spend: &SpendSnapshot) -> Self {
        Self {
            // A gate without earlier sums knows only a part.
            spent: spend.known.then_some(spend.spent.into()),
            reserved: spend.reserved.into(),
            resets_at: spend.resets_at.map(iso),
        }
    }
}

impl Live {
    /// `None`: the gate cannot be asked.
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
