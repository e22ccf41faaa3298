//! A client key, as issued by the operator.

use std::collections::BTreeMap;

use crs_durable::Millis;
use crs_durable::gate::{KeyPolicy, Limits, ModelMode, PerLimit, QueuePolicy, Service};
use crs_durable::pool::Binding;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::Platform;
use crate::model::money::MicroUsd;
use crate::model::name::{canonical, moving_alias};
use crate::model::route::{self, Route};

/// A stored key: its hash, never the key itself. Field names are CRS's where CRS has the field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Hex of the hash, which also names the gate.
    pub hash: String,
    /// The key's first characters, to recognise it.
    pub shown: String,
    pub version: u64,
    pub is_active: bool,
    #[serde(default)]
    pub expires_at: Option<Millis>,
    #[serde(default)]
    pub concurrency_limit: u32,
    #[serde(default)]
    pub permissions: Vec<Service>,
    #[serde(default)]
    pub enable_model_restriction: bool,
    #[serde(default)]
    pub restricted_models: Vec<String>,
    /// `deny`: the listed models are forbidden. `allow`: only they are allowed.
    #[serde(default)]
    pub model_restriction_mode: ModelMode,
    #[serde(default)]
    pub enable_client_restriction: bool,
    #[serde(default)]
    pub allowed_clients: Vec<String>,
    /// Maximum number of calls that wait for a slot, and their maximum wait in milliseconds; 0: none.
    #[serde(default)]
    pub concurrency_queue_size: u32,
    #[serde(default)]
    pub concurrency_queue_timeout: u64,
    #[serde(default)]
    pub expiration_mode: ExpirationMode,
    #[serde(default)]
    pub activation_days: u32,
    #[serde(default)]
    pub activation_unit: ActivationUnit,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Millis>,
    /// Minutes; 0: no window.
    #[serde(default)]
    pub rate_limit_window: u64,
    #[serde(default)]
    pub rate_limit_requests: u64,
    #[serde(default)]
    pub rate_limit_cost: MicroUsd,
    /// Tokens per window.
    #[serde(default)]
    pub token_limit: u64,
    /// The money limits, each under the field of its row.
    #[serde(flatten, with = "crs_durable::gate::money::in_record")]
    pub money: PerLimit<MicroUsd>,
    /// 1 is Monday, 7 is Sunday.
    #[serde(default = "monday")]
    pub weekly_reset_day: u8,
    #[serde(default)]
    pub weekly_reset_hour: u8,
    /// By platform: an account id, or `group:` and a group id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<Platform, String>,
    /// Whether the common pool serves if the bound account or group cannot.
    #[serde(default)]
    pub binding_fallback: bool,
    /// Whether `x-relay-trace: 1` returns a trace of the key's calls.
    #[serde(default)]
    pub allow_trace: bool,
    /// The key's model routes; see [`crate::model::route`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// Soft deletion: gates refuse the hash until the key is restored.
    #[serde(default)]
    pub deleted_at: Option<Millis>,
    /// Fields of newer versions, which are preserved.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// When a key expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExpirationMode {
    /// At `expiresAt`.
    #[default]
    Fixed,
    /// `activationDays` (or hours) after its first use.
    Activation,
}

/// The unit of `activationDays`, under CRS's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActivationUnit {
    #[default]
    Days,
    Hours,
}

impl ActivationUnit {
    fn ms(self) -> u64 {
        match self {
            Self::Days => 86_400_000,
            Self::Hours => 3_600_000,
        }
    }
}

fn monday() -> u8 {
    1
}

/// The prefix of a group's name in a binding.
pub const GROUP: &str = "group:";

impl Key {
    /// When the key expires, if known. `activated_at`: its first use.
    pub fn ends_at(&self, activated_at: Option<Millis>) -> Option<Millis> {
        match self.expiration_mode {
            ExpirationMode::Fixed => self.expires_at,
            ExpirationMode::Activation => activated_at.map(|at| at.saturating_add(self.valid_for_ms())),
        }
    }

    /// The validity from the first use on, milliseconds.
    fn valid_for_ms(&self) -> u64 {
        self.activation_unit
            .ms()
            .saturating_mul(u64::from(self.activation_days.max(1)))
    }

    /// The key's policy for the gate. `utc_offset_minutes`: the operator's offset from UTC.
    pub fn policy(&self, utc_offset_minutes: i32) -> KeyPolicy {
        let binding = |bound: &String| match bound.strip_prefix(GROUP) {
            Some(group) => Binding::Group(group.to_owned()),
            None => Binding::Account(bound.clone()),
        };
        let fixed = self.expiration_mode == ExpirationMode::Fixed;
        KeyPolicy {
            id: self.id.clone(),
            name: self.name.clone(),
            version: self.version,
            active: self.is_active,
            expires_at: self.expires_at.filter(|_| fixed),
            valid_for_ms: if fixed { 0 } else { self.valid_for_ms() },
            activated_at: self.activated_at,
            concurrency_limit: self.concurrency_limit,
            queue: QueuePolicy {
                size: self.concurrency_queue_size,
                timeout_ms: self.concurrency_queue_timeout,
            },
            permissions: self.permissions.clone(),
            allowed_clients: self
                .enable_client_restriction
                .then(|| self.allowed_clients.clone()),
            model_restriction: self.enable_model_restriction,
            model_mode: self.model_restriction_mode,
            restricted_models: self.restricted_models.clone(),
            restricted_canonical: self.restricted_canonical(),
            limits: self.limits(utc_offset_minutes),
            bindings: self
                .bindings
                .iter()
                .map(|(platform, bound)| (platform.name().to_owned(), binding(bound)))
                .collect(),
            binding_fallback: self.binding_fallback,
            may_trace: self.allow_trace,
            routes: route::written(&self.routes),
        }
    }

    /// The canonical names of the listed models. A `deny` list also covers aliases that may currently mean a
    /// denied model. An `allow` list does not, because an alias may mean another model later.
    fn restricted_canonical(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .restricted_models
            .iter()
            .map(|name| canonical(name))
            .collect();
        if self.model_restriction_mode == ModelMode::Deny {
            let aliases: Vec<String> = names.iter().filter_map(|name| moving_alias(name)).collect();
            names.extend(aliases);
        }
        names
    }

    fn limits(&self, utc_offset_minutes: i32) -> Limits {
        Limits {
            rate_limit_window_minutes: self.rate_limit_window,
            rate_limit_requests: self.rate_limit_requests,
            rate_limit_tokens: self.token_limit,
            rate_limit_cost: self.rate_limit_cost.0,
            money: self.money.map(|_, most| most.0),
            weekly_reset_day: self.weekly_reset_day,
            weekly_reset_hour: self.weekly_reset_hour,
            utc_offset_minutes,
        }
    }
}
