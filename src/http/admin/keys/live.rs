//! How a key is doing, as its gate tells: what runs, what waits, what was spent.

use crs_durable::gate::{self, Estimate, Snapshot, SpendSnapshot, WindowSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::model::key::Key;
use crate::model::money::Usd;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;

/// What the gate tells; as a new key's gate would, by default.
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
    /// What calls that run now have reserved of it.
    reserved: ReservedView,
}

/// What calls that run now may use; what they do use takes its place when they end.
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

/// What was spent against the limits on money.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeySpend)]
pub(super) struct SpendView {
    day: PeriodView,
    week: PeriodView,
    week_opus: PeriodView,
    total: PeriodView,
}

/// What was spent of one limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PeriodSpend)]
struct PeriodView {
    spent: Usd,
    /// What calls that run now may cost.
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

impl From<&SpendSnapshot> for PeriodView {
    fn from(spend: &SpendSnapshot) -> Self {
        Self {
            spent: spend.spent.into(),
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
            // A gate that was not told what went before knows only a part.
            spend: snapshot.seeded.then(|| SpendView {
                day: (&snapshot.day).into(),
                week: (&snapshot.week).into(),
                week_opus: (&snapshot.week_opus).into(),
                total: (&snapshot.total).into(),
            }),
        }
    }
}
