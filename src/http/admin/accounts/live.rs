//! An account's live state from its pool: cooldowns, quota, running calls.

use std::collections::{BTreeMap, BTreeSet};

use crs_durable::Millis;
use crs_durable::pool::{AccountError, Cooldown, CooldownKind, LeaseSnapshot, QuotaWindow};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::dialect::call::request_id;
use crate::model::money::Usd;
use crate::model::time::iso;
use crate::port::store::StoreError;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cooldown)]
pub(super) struct CooldownView {
    /// The affected model family; `null`: all models.
    family: Option<String>,
    #[schema(inline)]
    kind: Kind,
    code: AccountReason,
    /// The provider's message, or ours.
    reason: String,
    /// When it ends.
    #[schema(format = DateTime)]
    until: String,
    /// A call is testing whether it has ended.
    probing: bool,
    /// The only client key whose calls met it, so the cause may be in its requests; `null`: calls of several
    /// keys, or the provider named the account.
    only_key_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The provider named the end; the account gets no such calls until then.
    Measured,
    /// Rate limited without a known end: others are preferred.
    Throttled,
    /// The provider failed: others are preferred.
    Unwell,
    /// The provider refused calls without naming the account: others are preferred.
    Refused,
}

/// Why an account or one of its model families does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum AccountReason {
    /// `isActive` is false.
    Disabled,
    /// `schedulable` is false.
    Paused,
    SubscriptionEnded,
    /// It has a proxy, but this host cannot use proxies.
    ProxyUnsupported,
    /// The provider refuses its credentials; only new ones or a reset help.
    CredentialsRefused,
    /// The provider refuses it; it is tried again after `until`.
    RefusedUntil,
    /// Over a limit of the provider with a known end.
    ProviderLimit,
    /// Rate limited without a known end.
    Throttled,
    /// The provider failed or could not be reached.
    ProviderTrouble,
    /// The provider refused calls without naming the account.
    UnexplainedRefusal,
    /// Its calls have reached `dailyQuota` today.
    DailyQuota,
    /// `maxConcurrency` calls are running.
    Busy,
}

impl From<CooldownKind> for AccountReason {
    fn from(kind: CooldownKind) -> Self {
        match kind {
            CooldownKind::Measured => Self::ProviderLimit,
            CooldownKind::Throttled => Self::Throttled,
            CooldownKind::Unwell => Self::ProviderTrouble,
            CooldownKind::Refused => Self::UnexplainedRefusal,
        }
    }
}

impl From<&Cooldown> for CooldownView {
    fn from(cooldown: &Cooldown) -> Self {
        Self {
            family: cooldown.family.clone(),
            kind: match cooldown.kind {
                CooldownKind::Measured => Kind::Measured,
                CooldownKind::Throttled => Kind::Throttled,
                CooldownKind::Unwell => Kind::Unwell,
                CooldownKind::Refused => Kind::Refused,
            },
            code: cooldown.kind.into(),
            reason: cooldown.why.clone(),
            until: iso(cooldown.until),
            probing: cooldown.probe.is_some(),
            only_key_id: cooldown.only.clone().filter(|only| !only.is_empty()),
        }
    }
}

/// A quota window of the provider's.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = QuotaWindow)]
pub(super) struct QuotaView {
    /// The provider's name for it: `unified-5h`, `unified-7d`, ...
    name: String,
    /// The model family; `null`: all models.
    family: Option<String>,
    /// Can exceed 100.
    used_percent: f64,
    #[schema(format = DateTime)]
    resets_at: String,
    #[schema(format = DateTime)]
    observed_at: String,
}

impl From<&QuotaWindow> for QuotaView {
    fn from(window: &QuotaWindow) -> Self {
        Self {
            name: window.name.clone(),
            family: window.family.clone(),
            used_percent: f64::from(window.used_permille) / 10.0,
            resets_at: iso(window.resets_at),
            observed_at: iso(window.observed_at),
        }
    }
}

/// The cost of the account's calls today.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DailySpend {
    spent: Usd,
    #[schema(format = DateTime)]
    resets_at: String,
}

impl From<(u64, Millis)> for DailySpend {
    fn from((spent, end): (u64, Millis)) -> Self {
        Self {
            spent: spent.into(),
            resets_at: iso(end),
        }
    }
}

/// An error counted against the account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccountError)]
pub(super) struct ErrorView {
    #[schema(format = DateTime)]
    at: String,
    request_id: String,
    /// The provider's status; `null`: no answer.
    status: Option<u16>,
    reason: String,
}

impl From<&AccountError> for ErrorView {
    fn from(error: &AccountError) -> Self {
        Self {
            at: iso(error.at),
            request_id: request_id(error.call),
            status: error.status,
            reason: error.why.clone(),
        }
    }
}

/// A call on the account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccountLease)]
pub(in super::super) struct LeaseView {
    request_id: String,
    /// The call's key; `null`: the operator's test.
    key_id: Option<String>,
    /// `null`: the key no longer exists.
    key_name: Option<String>,
    #[schema(format = DateTime)]
    since: String,
    /// When the lease expires unless it is renewed.
    #[schema(format = DateTime)]
    until: String,
    /// The requested model family.
    family: String,
    /// Whether it occupies one of the account's slots.
    slot: bool,
    /// Assigned to the account because of its conversation.
    sticky: bool,
}

impl LeaseView {
    pub(in super::super) fn new(lease: &LeaseSnapshot, names: &KeyNames) -> Self {
        Self {
            request_id: request_id(lease.call),
            key_id: (!lease.holder.is_empty()).then(|| lease.holder.clone()),
            key_name: names.0.get(&lease.holder).cloned(),
            since: iso(lease.since),
            until: iso(lease.until),
            family: lease.family.clone(),
            slot: lease.slot,
            sticky: lease.sticky,
        }
    }
}

/// The names of the keys with running calls, by key id.
#[derive(Debug, Default)]
pub(in super::super) struct KeyNames(pub(in super::super) BTreeMap<String, String>);

impl KeyNames {
    /// Reads only the keys of these leases; one round trip.
    pub(super) async fn of(
        app: &App,
        leases: impl Iterator<Item = &LeaseSnapshot>,
    ) -> Result<Self, StoreError> {
        let ids: BTreeSet<&str> = leases.map(|lease| lease.holder.as_str()).collect();
        let ids: Vec<&str> = ids.into_iter().filter(|id| !id.is_empty()).collect();
        let keys = app.keys.some(&ids).await?;
        Ok(Self(keys.into_iter().map(|key| (key.id, key.name)).collect()))
    }
}
