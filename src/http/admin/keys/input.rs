//! The input that creates or changes a key. Field names are CRS's.

use serde::Deserialize;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::super::super::extract::InputField;
use super::super::super::money_limits::LimitsInput;
use super::super::fields::{
    Amount, Cleared, Clients, Line, Models, Moment, Permissions, Tags, Text, Whole, requiring,
};
use super::super::routes::RouteInputs;
use super::bindings::{BindingFields, BindingsInput, CheckedBindings, Target};
use crate::model::account::Platform;
use crate::model::key::{ActivationUnit, ExpirationMode, Key};
use crate::model::money::Usd;
use crate::model::route::Route;
use crs_durable::gate::ModelMode;

/// A year.
type Minutes = Amount<525_600>;
pub(super) type Requests = Amount<1_000_000_000>;
/// The largest integer that a JavaScript number holds exactly.
type TokenCount = Amount<9_007_199_254_740_991>;
type QueueSize = Amount<1_000>;
/// Five minutes.
type QueueTimeout = Amount<300_000>;
/// A century.
type ActivationDays = Amount<36_500>;

/// The input that creates or changes a key. Field names are CRS's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct KeyInput {
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    #[serde(default)]
    pub(super) name: InputField<Line<1, 100>>,
    #[schema(value_type = Option<String>, max_length = 500)]
    #[serde(default)]
    description: InputField<Text<500>>,
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    is_active: InputField<bool>,
    #[schema(value_type = Vec<String>, required = false)]
    #[serde(default)]
    tags: InputField<Tags>,

    /// ISO 8601; `null`: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub(super) expires_at: InputField<Moment>,
    /// `fixed`: the key expires at `expiresAt`. `activation`: `activationDays` after its first use.
    #[schema(value_type = Option<ExpirationMode>)]
    #[serde(default)]
    pub(super) expiration_mode: InputField<Option<ExpirationMode>>,
    /// Validity from the first use on, in days (or hours, see `activationUnit`).
    #[schema(value_type = Option<u32>, maximum = 36_500)]
    #[serde(default)]
    pub(super) activation_days: InputField<ActivationDays>,
    /// The unit of `activationDays`.
    #[schema(value_type = Option<ActivationUnit>)]
    #[serde(default)]
    activation_unit: InputField<Option<ActivationUnit>>,
    /// Only `null` is accepted: the validity starts again with the next call.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    activated_at: InputField<Cleared>,

    /// `"all"`, one of `claude`, `gemini`, `openai`, or a list of them; an empty list is all.
    #[schema(value_type = PermissionsInput, required = false)]
    #[serde(default)]
    permissions: InputField<Permissions>,
    /// Whether `restrictedModels` is applied.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    pub(super) enable_model_restriction: InputField<bool>,
    /// Models that the key may not use, or the only ones that it may use: see `modelRestrictionMode`.
    #[schema(value_type = Vec<String>, required = false)]
    #[serde(default)]
    pub(super) restricted_models: InputField<Models>,
    /// `deny`: `restrictedModels` may not be used. `allow`: only they may.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) model_restriction_mode: InputField<Option<ModelMode>>,
    /// Whether `allowedClients` is applied. A client is recognised by its own headers.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    pub(super) enable_client_restriction: InputField<bool>,
    /// The only clients that may use the key: `claude_code`, `gemini_cli`, `codex_cli`, `droid_cli`.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    pub(super) allowed_clients: InputField<Clients>,

    /// Maximum number of concurrent calls; 0: unlimited.
    #[schema(value_type = u32, required = false, maximum = 100_000)]
    #[serde(default)]
    pub(super) concurrency_limit: InputField<Whole<0, 100_000>>,
    /// Maximum number of calls that wait for a slot; 0: none.
    #[schema(value_type = Option<u32>, maximum = 1_000)]
    #[serde(default)]
    pub(super) concurrency_queue_size: InputField<QueueSize>,
    /// Maximum wait, milliseconds.
    #[schema(value_type = Option<u32>, maximum = 300_000)]
    #[serde(default)]
    pub(super) concurrency_queue_timeout: InputField<QueueTimeout>,

    /// Length in minutes of the window for the next three limits, beginning with the first call; 0: no window.
    #[schema(value_type = Option<u32>, maximum = 525_600)]
    #[serde(default)]
    pub(super) rate_limit_window: InputField<Minutes>,
    /// Maximum number of calls per window; 0: unlimited.
    #[schema(value_type = Option<u32>, maximum = 1_000_000_000)]
    #[serde(default)]
    pub(super) rate_limit_requests: InputField<Requests>,
    /// Maximum cost per window; 0: unlimited.
    #[schema(value_type = Option<Usd>)]
    #[serde(default)]
    pub(super) rate_limit_cost: InputField<Usd>,
    /// Maximum number of tokens of all kinds per window; 0: unlimited.
    #[schema(value_type = Option<u64>)]
    #[serde(default)]
    pub(super) token_limit: InputField<TokenCount>,
    #[schema(inline)]
    #[serde(flatten)]
    money: LimitsInput,
    /// First day of the week: 1 is Monday, 7 is Sunday.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 7)]
    #[serde(default)]
    weekly_reset_day: InputField<Whole<1, 7>>,
    /// Hour at which weeks begin, in the operator's time zone.
    #[schema(value_type = u32, required = false, maximum = 23)]
    #[serde(default)]
    weekly_reset_hour: InputField<Whole<0, 23>>,

    /// By platform, the account that serves the key, or `group:` and a group id. Replaces all of them; `null` and
    /// an empty object remove all bindings.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Option<String>>>)]
    #[serde(default)]
    pub(super) bindings: InputField<Option<BindingsInput>>,
    /// CRS's name for `bindings.claude`; changes only this one.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) claude_account_id: InputField<Option<Target>>,
    /// CRS's name for `bindings.gemini`; changes only this one.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) gemini_account_id: InputField<Option<Target>>,
    /// CRS's name for `bindings.openai`; changes only this one.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) openai_account_id: InputField<Option<Target>>,
    /// Whether other accounts serve if the bound account or group cannot.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    binding_fallback: InputField<bool>,
    /// The key's model routes, which assign models to platforms and groups. Replaces all of them; `null` and an
    /// empty list: none.
    #[schema(value_type = Option<Vec<Route>>)]
    #[serde(default)]
    pub(super) routes: InputField<Option<RouteInputs>>,
    /// Whether `x-relay-trace: 1` returns a trace of the key's calls.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    allow_trace: InputField<bool>,
}

/// Accepted formats of permissions.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what `Permissions` reads, for OpenAPI")]
pub(in super::super) enum PermissionsInput {
    One(String),
    Many(Vec<String>),
}

impl KeyInput {
    pub(super) fn sets_tags(&self) -> bool {
        self.tags.as_ref().is_some()
    }

    /// The fields that name accounts and groups.
    pub(super) fn bindings(&self) -> BindingFields<'_> {
        BindingFields {
            all: &self.bindings,
            routes: &self.routes,
            single: [
                ("claudeAccountId", Platform::Claude, &self.claude_account_id),
                ("geminiAccountId", Platform::Gemini, &self.gemini_account_id),
                ("openaiAccountId", Platform::OpenAi, &self.openai_account_id),
            ],
        }
    }

    /// Applies the fields of the input. `bound`: from the same input. `rules` checks the result.
    pub(super) fn put(&self, bound: &CheckedBindings, key: &mut Key) {
        if let Some(Line(name)) = self.name.as_ref() {
            key.name.clone_from(name);
        }
        if let Some(Text(description)) = self.description.as_ref() {
            key.description.clone_from(description);
        }
        self.is_active.put(&mut key.is_active);
        if let Some(Tags(tags)) = self.tags.as_ref() {
            key.tags.clone_from(tags);
        }
        self.apply_expiry(key);
        self.apply_restrictions(key);
        self.apply_limits(key);
        bound.apply(key);
        self.binding_fallback.put(&mut key.binding_fallback);
        self.allow_trace.put(&mut key.allow_trace);
    }

    fn apply_expiry(&self, key: &mut Key) {
        if let Some(Moment(at)) = self.expires_at.as_ref() {
            key.expires_at = *at;
        }
        if let Some(mode) = self.expiration_mode.as_ref() {
            key.expiration_mode = mode.unwrap_or_default();
        }
        if let Some(Amount(days)) = self.activation_days.as_ref() {
            key.activation_days = *days as u32;
        }
        if let Some(unit) = self.activation_unit.as_ref() {
            key.activation_unit = unit.unwrap_or_default();
        }
        if self.activated_at.as_ref().is_some() {
            key.activated_at = None;
        }
    }

    fn apply_restrictions(&self, key: &mut Key) {
        if let Some(Permissions(services)) = self.permissions.as_ref() {
            key.permissions.clone_from(services);
        }
        self.enable_model_restriction
            .put(&mut key.enable_model_restriction);
        if let Some(Models(models)) = self.restricted_models.as_ref() {
            key.restricted_models.clone_from(models);
        }
        if let Some(mode) = self.model_restriction_mode.as_ref() {
            key.model_restriction_mode = mode.unwrap_or_default();
        }
        self.enable_client_restriction
            .put(&mut key.enable_client_restriction);
        if let Some(Clients(clients)) = self.allowed_clients.as_ref() {
            key.allowed_clients.clone_from(clients);
        }
    }

    fn apply_limits(&self, key: &mut Key) {
        if let Some(Whole(limit)) = self.concurrency_limit.as_ref() {
            key.concurrency_limit = *limit;
        }
        if let Some(Amount(size)) = self.concurrency_queue_size.as_ref() {
            key.concurrency_queue_size = *size as u32;
        }
        if let Some(Amount(timeout)) = self.concurrency_queue_timeout.as_ref() {
            key.concurrency_queue_timeout = *timeout;
        }
        if let Some(Amount(minutes)) = self.rate_limit_window.as_ref() {
            key.rate_limit_window = *minutes;
        }
        if let Some(Amount(requests)) = self.rate_limit_requests.as_ref() {
            key.rate_limit_requests = *requests;
        }
        if let Some(Amount(tokens)) = self.token_limit.as_ref() {
            key.token_limit = *tokens;
        }
        if let Some(Usd(micro)) = self.rate_limit_cost.as_ref() {
            key.rate_limit_cost = *micro;
        }
        for (limit, sent) in self.money.0.iter() {
            if let Some(Usd(micro)) = sent.as_ref() {
                key.money[limit] = *micro;
            }
        }
        if let Some(Whole(day)) = self.weekly_reset_day.as_ref() {
            key.weekly_reset_day = *day as u8;
        }
        if let Some(Whole(hour)) = self.weekly_reset_hour.as_ref() {
            key.weekly_reset_hour = *hour as u8;
        }
    }
}

/// [`KeyInput`] for a new key: the name is required.
pub(in super::super) struct NewKeyInput;

impl PartialSchema for NewKeyInput {
    fn schema() -> utoipa::openapi::RefOr<Schema> {
        requiring(KeyInput::schema(), &["name"])
    }
}

impl ToSchema for NewKeyInput {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<Schema>)>) {
        <KeyInput as ToSchema>::schemas(schemas);
    }
}
