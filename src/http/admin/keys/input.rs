//! The input that creates or changes a key. Field names are CRS's.

use serde::Deserialize;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::super::super::extract::Sent;
use super::super::super::money_limits::SentLimits;
use super::super::fields::{
    Amount, Cleared, Clients, Line, Models, Moment, Permissions, Tags, Text, Whole, requiring,
};
use super::bindings::{BindingsInput, Bound, SentBindings, Target};
use crate::model::account::Platform;
use crate::model::key::{ActivationUnit, ExpirationMode, Key};
use crate::model::money::Usd;
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
    pub(super) name: Sent<Line<1, 100>>,
    #[schema(value_type = Option<String>, max_length = 500)]
    #[serde(default)]
    description: Sent<Text<500>>,
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    is_active: Sent<bool>,
    #[schema(value_type = Vec<String>, required = false)]
    #[serde(default)]
    tags: Sent<Tags>,

    /// ISO 8601; `null`: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub(super) expires_at: Sent<Moment>,
    /// `fixed`: the key ends at `expiresAt`. `activation`: `activationDays` after its first use.
    #[schema(value_type = Option<ExpirationMode>)]
    #[serde(default)]
    pub(super) expiration_mode: Sent<Option<ExpirationMode>>,
    /// How many days (or hours, see `activationUnit`) the key is good for from its first use.
    #[schema(value_type = Option<u32>, maximum = 36_500)]
    #[serde(default)]
    pub(super) activation_days: Sent<ActivationDays>,
    /// The unit of `activationDays`.
    #[schema(value_type = Option<ActivationUnit>)]
    #[serde(default)]
    activation_unit: Sent<Option<ActivationUnit>>,
    /// Only `null` is taken: the key's time begins anew with its next call.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    activated_at: Sent<Cleared>,

    /// `"all"`, one of `claude`, `gemini`, `openai`, or a list of them; an empty list is all.
    #[schema(value_type = PermissionsInput, required = false)]
    #[serde(default)]
    permissions: Sent<Permissions>,
    /// Whether `restrictedModels` is obeyed.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    pub(super) enable_model_restriction: Sent<bool>,
    /// Models the key may not use, or the only ones it may: see `modelRestrictionMode`.
    #[schema(value_type = Vec<String>, required = false)]
    #[serde(default)]
    pub(super) restricted_models: Sent<Models>,
    /// `deny`: `restrictedModels` may not be used. `allow`: only they may.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) model_restriction_mode: Sent<Option<ModelMode>>,
    /// Whether `allowedClients` is obeyed. A client is known by what it says of itself.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    pub(super) enable_client_restriction: Sent<bool>,
    /// The only clients that may use the key: `claude_code`, `gemini_cli`, `codex_cli`, `droid_cli`.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    pub(super) allowed_clients: Sent<Clients>,

    /// Calls that may run at once; 0: unlimited.
    #[schema(value_type = u32, required = false, maximum = 100_000)]
    #[serde(default)]
    pub(super) concurrency_limit: Sent<Whole<0, 100_000>>,
    /// Calls that may wait for one of those to end; 0: none.
    #[schema(value_type = Option<u32>, maximum = 1_000)]
    #[serde(default)]
    pub(super) concurrency_queue_size: Sent<QueueSize>,
    /// How long they wait, milliseconds.
    #[schema(value_type = Option<u32>, maximum = 300_000)]
    #[serde(default)]
    pub(super) concurrency_queue_timeout: Sent<QueueTimeout>,

    /// Minutes over which the next three are counted, from the first call on; 0: no window.
    #[schema(value_type = Option<u32>, maximum = 525_600)]
    #[serde(default)]
    pub(super) rate_limit_window: Sent<Minutes>,
    /// Calls in a window; 0: unlimited.
    #[schema(value_type = Option<u32>, maximum = 1_000_000_000)]
    #[serde(default)]
    pub(super) rate_limit_requests: Sent<Requests>,
    /// Of a window; 0: unlimited.
    #[schema(value_type = Option<Usd>)]
    #[serde(default)]
    pub(super) rate_limit_cost: Sent<Usd>,
    /// Tokens of every kind in a window; 0: unlimited.
    #[schema(value_type = Option<u64>)]
    #[serde(default)]
    pub(super) token_limit: Sent<TokenCount>,
    #[schema(inline)]
    #[serde(flatten)]
    money: SentLimits,
    /// When weeks begin: 1 is Monday, 7 is Sunday.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 7)]
    #[serde(default)]
    weekly_reset_day: Sent<Whole<1, 7>>,
    /// The hour weeks begin at, by the operator's clock.
    #[schema(value_type = u32, required = false, maximum = 23)]
    #[serde(default)]
    weekly_reset_hour: Sent<Whole<0, 23>>,

    /// By platform, the account that serves the key, or `group:` and the id of a group. Replaces all of
    /// them; `null` and an empty object bind to nothing.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Option<String>>>)]
    #[serde(default)]
    pub(super) bindings: Sent<Option<BindingsInput>>,
    /// CRS's name for `bindings.claude`: changes this one only.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) claude_account_id: Sent<Option<Target>>,
    /// CRS's name for `bindings.gemini`: changes this one only.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) gemini_account_id: Sent<Option<Target>>,
    /// CRS's name for `bindings.openai`: changes this one only.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(super) openai_account_id: Sent<Option<Target>>,
    /// Whether other accounts serve when what the key is bound to cannot.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    binding_fallback: Sent<bool>,
    /// Whether `x-relay-trace: 1` shows the key's calls how they were served.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    allow_trace: Sent<bool>,
}

/// How permissions may be written.
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

    /// The fields that say what the key is bound to.
    pub(super) fn bindings(&self) -> SentBindings<'_> {
        SentBindings {
            all: &self.bindings,
            single: [
                ("claudeAccountId", Platform::Claude, &self.claude_account_id),
                ("geminiAccountId", Platform::Gemini, &self.gemini_account_id),
                ("openaiAccountId", Platform::OpenAi, &self.openai_account_id),
            ],
        }
    }

    /// Changes what was sent. `bound`: of the same input. Whether the result makes sense is for `rules`.
    pub(super) fn put(&self, bound: &Bound, key: &mut Key) {
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

/// [`KeyInput`] as a new key needs it: with a name.
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
