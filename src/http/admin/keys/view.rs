//! A key as shown: never its text or hash.

use std::collections::BTreeMap;

use crs_durable::gate::{ModelMode, Service};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::super::money_limits::Most;
use super::live::{Live, SpendView, WindowView};
use crate::model::account::Platform;
use crate::model::key::{ActivationUnit, ExpirationMode, Key};
use crate::model::money::{MicroUsd, Usd};
use crate::model::route::Route;
use crate::model::secret::Secret;
use crate::model::time::iso;
use crate::port::clock::Millis;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Key)]
pub(in super::super) struct KeyView {
    id: String,
    name: String,
    description: String,
    /// The key's first characters.
    key_preview: String,
    #[schema(inline)]
    status: Status,
    is_active: bool,
    tags: Vec<String>,
    /// When the key expires; `null`: never, or unknown before its first use.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    expiration_mode: ExpirationMode,
    activation_days: u32,
    activation_unit: ActivationUnit,
    /// When it was first used, if its validity starts then.
    #[schema(format = DateTime)]
    activated_at: Option<String>,
    /// Empty: all services.
    #[schema(value_type = Vec<String>)]
    permissions: Vec<Service>,
    enable_model_restriction: bool,
    restricted_models: Vec<String>,
    /// `deny` or `allow`.
    #[schema(value_type = String)]
    model_restriction_mode: ModelMode,
    enable_client_restriction: bool,
    allowed_clients: Vec<String>,
    /// 0: unlimited, as for all limits.
    concurrency_limit: u32,
    concurrency_queue_size: u32,
    /// Milliseconds.
    concurrency_queue_timeout: u64,
    /// Minutes.
    rate_limit_window: u64,
    rate_limit_requests: u64,
    rate_limit_cost: Usd,
    token_limit: u64,
    #[schema(inline)]
    #[serde(flatten)]
    money: Most,
    /// 1 is Monday, 7 is Sunday.
    weekly_reset_day: u8,
    weekly_reset_hour: u8,
    /// By platform: the id of an account, or `group:` and that of a group.
    #[schema(value_type = BTreeMap<String, String>)]
    bindings: BTreeMap<Platform, String>,
    binding_fallback: bool,
    /// The key's model routes. The first match counts; routes for all keys come after them.
    routes: Vec<Route>,
    allow_trace: bool,
    /// Number of running calls; `null`: the key's gate is unreachable.
    current_concurrency: Option<usize>,
    /// Number of calls that wait for a slot; `null`: the key's gate is unreachable.
    queued: Option<usize>,
    /// The current window; `null`: the next call begins one, or the gate is unreachable.
    window: Option<WindowView>,
    /// Spending; `null`: the gate is unreachable, or has not read the ledger yet, which it does when a money
    /// limit needs it.
    spend: Option<SpendView>,
    /// Time of its last call that reached a provider.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// The cost of today's calls, from the ledger; not affected by resets.
    cost_today: Usd,
    /// The cost of all calls, from the ledger.
    cost_total: Usd,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    is_deleted: bool,
    #[schema(format = DateTime)]
    deleted_at: Option<String>,
}

/// Whether the key works, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Status {
    Active,
    Disabled,
    Expired,
    Deleted,
}

impl Status {
    /// `activated_at`: the key's first use, if known.
    pub(in super::super) fn of(key: &Key, activated_at: Option<Millis>, now: Millis) -> Self {
        if key.deleted_at.is_some() {
            Self::Deleted
        } else if !key.is_active {
            Self::Disabled
        } else if key.ends_at(activated_at).is_some_and(|at| at <= now) {
            Self::Expired
        } else {
            Self::Active
        }
    }
}

/// A key's sums, from the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeySums {
    pub(super) last: Option<Millis>,
    pub(super) today: MicroUsd,
    pub(super) total: MicroUsd,
}

impl KeyView {
    pub(super) fn new(key: &Key, now: Millis, live: Option<Live>, used: KeySums) -> Self {
        // The gate learns of a first use before the record does.
        let activated_at = key
            .activated_at
            .or(live.as_ref().and_then(|live| live.activated_at))
            .filter(|_| key.expiration_mode == ExpirationMode::Activation);
        let expires_at = key.ends_at(activated_at);
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            description: key.description.clone(),
            key_preview: key.shown.clone(),
            status: Status::of(key, activated_at, now),
            is_active: key.is_active,
            tags: key.tags.clone(),
            expires_at: expires_at.map(iso),
            expiration_mode: key.expiration_mode,
            activation_days: key.activation_days,
            activation_unit: key.activation_unit,
            activated_at: activated_at.map(iso),
            permissions: key.permissions.clone(),
            enable_model_restriction: key.enable_model_restriction,
            restricted_models: key.restricted_models.clone(),
            model_restriction_mode: key.model_restriction_mode,
            enable_client_restriction: key.enable_client_restriction,
            allowed_clients: key.allowed_clients.clone(),
            concurrency_limit: key.concurrency_limit,
            concurrency_queue_size: key.concurrency_queue_size,
            concurrency_queue_timeout: key.concurrency_queue_timeout,
            rate_limit_window: key.rate_limit_window,
            rate_limit_requests: key.rate_limit_requests,
            rate_limit_cost: key.rate_limit_cost.into(),
            token_limit: key.token_limit,
            money: key.money.map(|_, most| Usd(*most)).into(),
            weekly_reset_day: key.weekly_reset_day.clamp(1, 7),
            weekly_reset_hour: key.weekly_reset_hour,
            bindings: key.bindings.clone(),
            binding_fallback: key.binding_fallback,
            routes: key.routes.clone(),
            allow_trace: key.allow_trace,
            current_concurrency: live.as_ref().map(|live| live.running),
            queued: live.as_ref().map(|live| live.queued),
            window: live.as_ref().and_then(|live| live.window.clone()),
            spend: live.and_then(|live| live.spend),
            last_used_at: used.last.map(iso),
            cost_today: used.today.into(),
            cost_total: used.total.into(),
            created_at: iso(key.created_at),
            updated_at: iso(key.updated_at),
            is_deleted: key.deleted_at.is_some(),
            deleted_at: key.deleted_at.map(iso),
        }
    }
}

/// A new key; the only answer that contains its text.
#[derive(Serialize, ToSchema)]
#[schema(as = NewKey)]
pub(in super::super) struct NewKeyView {
    #[serde(flatten)]
    view: KeyView,
    /// The key itself. It is never shown again.
    key: String,
}

impl NewKeyView {
    pub(super) fn new(view: KeyView, plain: &Secret) -> Self {
        Self {
            view,
            key: plain.reveal().to_owned(),
        }
    }
}
