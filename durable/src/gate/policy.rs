//! The part of a key's record that the gate needs, and the decisions that depend on the record alone: who may call
//! what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::money::{MoneyLimit, PerLimit};
use crate::Millis;
use crate::pool::Binding;

/// `version` grows with every change of the key. A field that an older version did not write has its default, which
/// restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyPolicy {
    pub id: String,
    pub name: String,
    pub version: u64,
    pub active: bool,
    pub expires_at: Option<Millis>,
    /// The key expires this long after its first use; 0: never. With `expires_at` too, the earlier of both counts.
    pub valid_for_ms: u64,
    /// The first use, as far as the store knows it. The gate remembers it until the store does
    /// (`Reply::Granted::activated_at`). If a later version lacks it, the key's validity starts anew.
    pub activated_at: Option<Millis>,
    /// Calls that may run at once; 0 is unlimited.
    pub concurrency_limit: u32,
    pub queue: QueuePolicy,
    /// Services the key may use; empty means all.
    pub permissions: Vec<Service>,
    /// The host recognises clients by their own headers, so this separates honest clients and stops no impostor.
    /// `None`: no restriction; an empty list: no client.
    pub allowed_clients: Option<Vec<String>>,
    /// List of model names, read by `model_mode`; used when `model_restriction` is set.
    pub model_restriction: bool,
    pub model_mode: ModelMode,
    pub restricted_models: Vec<String>,
    /// The canonical names of the restricted models, as the host knows them. A policy of an older version has none;
    /// then only the names themselves count.
    pub restricted_canonical: Vec<String>,
    pub limits: Limits,
    /// The key's bindings, by the pool's name. The gate only passes them on.
    pub bindings: BTreeMap<String, Binding>,
    /// Whether the common pool may serve a bound call if none of its bound accounts can.
    pub binding_fallback: bool,
    /// Whether the key's calls may see how they were served.
    pub may_trace: bool,
    /// The key's model routes, in the host's format; empty: none. The gate only passes them on.
    pub routes: String,
}

/// The services that a key can have permission for, by CRS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Claude,
    Gemini,
    OpenAi,
}

/// The meaning of the list of models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelMode {
    /// All models except those on the list, as in CRS.
    #[default]
    Deny,
    /// Only the models on the list; an empty list allows none. A call without a model (a listing) passes.
    Allow,
}

/// How many calls may wait for a slot, and for how long. If either is 0, no call waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueuePolicy {
    pub size: u32,
    pub timeout_ms: u64,
}

/// Limits on a key's usage. Costs are integer micro-USD; 0 is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The window begins with its first request and lasts this many minutes; 0: no window, and its three limits do
    /// not count.
    pub rate_limit_window_minutes: u64,
    pub rate_limit_requests: u64,
    pub rate_limit_tokens: u64,
    pub rate_limit_cost: u64,
    #[serde(flatten, with = "super::money::in_policy")]
    pub money: PerLimit<u64>,
    /// 1 is Monday, 7 is Sunday; anything else is Monday.
    pub weekly_reset_day: u8,
    /// 0 to 23, by the operator's clock.
    pub weekly_reset_hour: u8,
    /// The operator's clock minus UTC. Days begin at its midnight.
    pub utc_offset_minutes: i32,
}

impl QueuePolicy {
    pub(super) fn on(self) -> bool {
        self.size > 0 && self.timeout_ms > 0
    }
}

impl Limits {
    /// Whether a window exists.
    pub(super) fn windowed(&self) -> bool {
        self.rate_limit_window_minutes > 0
            && (self.rate_limit_requests > 0 || self.rate_limit_tokens > 0 || self.rate_limit_cost > 0)
    }

    pub(super) fn window_ms(&self) -> u64 {
        self.rate_limit_window_minutes.saturating_mul(60_000)
    }

    /// The limits on money that are set. Spending from before this gate began counts against them.
    pub(super) fn of_money(&self) -> impl Iterator<Item = MoneyLimit> {
        self.money
            .iter()
            .filter(|(_, most)| **most > 0)
            .map(|(limit, _)| limit)
    }

    /// The current span of this limit: its beginning and its end. `None`: all time.
    pub fn span(&self, limit: MoneyLimit, now: Millis) -> Option<(Millis, Millis)> {
        self.calendar().of(limit.row().span, now)
    }

    pub(super) fn calendar(&self) -> Calendar {
        Calendar {
            utc_offset_minutes: self.utc_offset_minutes,
            weekday: self.weekly_reset_day,
            hour: self.weekly_reset_hour,
        }
    }
}

impl KeyPolicy {
    /// Whether this record and the other one give the same decision for a waiting call. A place in the queue, once
    /// given, does not depend on `queue`; slots are offered by `concurrency_limit` itself.
    pub(super) fn decides_like(&self, other: &Self) -> bool {
        let without_the_rest = |policy: &Self| Self {
            id: String::new(),
            name: String::new(),
            version: 0,
            concurrency_limit: 0,
            queue: QueuePolicy::default(),
            bindings: BTreeMap::new(),
            binding_fallback: false,
            may_trace: false,
            routes: String::new(),
            ..policy.clone()
        };
        without_the_rest(self) == without_the_rest(other)
    }

    pub fn serves(&self, service: Service) -> bool {
        self.permissions.is_empty() || self.permissions.contains(&service)
    }

    pub(super) fn expiry(&self, activated_at: Option<Millis>) -> Option<Millis> {
        let used_up = activated_at
            .filter(|_| self.valid_for_ms > 0)
            .map(|at| at.saturating_add(self.valid_for_ms));
        [self.expires_at, used_up].into_iter().flatten().min()
    }

    /// Whether the list denies the key this model. The comparison ignores case and the prefix by which CRS's clients
    /// name a vendor (`ccr,`); if the host knows the canonical name, every name of a listed model is on the list.
    pub fn denies(&self, model: &str, canonical: Option<&str>) -> bool {
        let listed = || {
            self.restricted_models
                .iter()
                .any(|name| bare(name).eq_ignore_ascii_case(bare(model)))
                || canonical.is_some_and(|name| self.restricted_canonical.iter().any(|listed| listed == name))
        };
        self.model_restriction
            && match self.model_mode {
                ModelMode::Deny => listed(),
                ModelMode::Allow => !listed(),
            }
    }
}

fn bare(model: &str) -> &str {
    const VENDOR: &str = "ccr,";
    let model = model.trim();
    match (model.get(..VENDOR.len()), model.get(VENDOR.len()..)) {
        (Some(prefix), Some(rest)) if prefix.eq_ignore_ascii_case(VENDOR) => rest.trim_start(),
        _ => model,
    }
}
