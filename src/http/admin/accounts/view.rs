//! An account as it is shown: what it is, and how it is doing. Never a secret.

use std::collections::{BTreeMap, BTreeSet};

use crs_durable::pool::{AccountSnapshot, CooldownKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::live::{AccountReason, CooldownView, DailySpend, ErrorView, KeyNames, LeaseView, QuotaView};
use super::pools::Pools;
use crate::app::App;
use crate::model::account::{Account, Platform, Proxy, ProxyScheme, StoredCredentials};
use crate::model::money::{MicroUsd, Usd};
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::port::store::StoreError;
use crate::store::ledger::Kind;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Account)]
pub(in super::super) struct AccountView {
    id: String,
    name: String,
    description: String,
    platform: Platform,
    credentials: CredentialsView,
    /// Lower is chosen first.
    priority: u32,
    /// Calls the account may serve at once; 0: unlimited.
    max_concurrency: u32,
    is_active: bool,
    schedulable: bool,
    proxy: Option<ProxyView>,
    model_mapping: BTreeMap<String, String>,
    /// Ids of the groups it is in.
    groups: BTreeSet<String>,
    /// `false`: only for keys that are bound to it or to one of its groups.
    shared: bool,
    /// `null`: all.
    supported_models: Option<BTreeSet<String>>,
    /// When its subscription ends; `null`: never.
    #[schema(format = DateTime)]
    subscription_expires_at: Option<String>,
    /// USD in a day; 0: unlimited.
    daily_quota: Usd,
    /// Percent of the provider's quota windows that are kept back.
    reserve_percent: u8,
    #[schema(inline)]
    status: Status,
    /// Why, as data; `null`: it is active.
    status_code: Option<AccountReason>,
    /// Why, as far as there is more to say.
    status_reason: Option<String>,
    /// Until when, if it ends by itself.
    #[schema(format = DateTime)]
    status_until: Option<String>,
    /// Rate limits that the provider reported, or that were guessed.
    cooldowns: Vec<CooldownView>,
    /// The provider's running quota windows, from its last answer.
    quota: Vec<QuotaView>,
    /// The cost of its calls today; `null`: there is no `dailyQuota`, or the pool does not answer.
    daily_spend: Option<DailySpend>,
    /// Its latest failures, the newest first.
    recent_errors: Vec<ErrorView>,
    /// Calls it serves now; `null`: the pool cannot be asked, or has not used it yet.
    current_concurrency: Option<usize>,
    /// Those calls, and those that take no slot.
    leases: Vec<LeaseView>,
    /// Conversations that stay on this account.
    sessions: Option<usize>,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// The parts of the credentials that are not secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
#[schema(as = Credentials)]
enum CredentialsView {
    // Not once for all variants: `utoipa` does not know `rename_all_fields`.
    #[serde(rename_all = "camelCase")]
    ApiKey {
        /// `null`: the official address.
        base_url: Option<String>,
    },
    #[serde(rename = "oauth", rename_all = "camelCase")]
    OAuth {
        has_refresh_token: bool,
        /// When the access token ends; `null`: not known.
        #[schema(format = DateTime)]
        expires_at: Option<String>,
        /// The account of ChatGPT, or the project of Google's cloud, that the tokens speak for; `null`: not
        /// known yet, or not needed.
        tenant: Option<String>,
    },
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Proxy)]
struct ProxyView {
    r#type: ProxyScheme,
    host: String,
    port: u16,
    has_login: bool,
}

impl From<&Proxy> for ProxyView {
    fn from(proxy: &Proxy) -> Self {
        Self {
            r#type: proxy.scheme,
            host: proxy.host.clone(),
            port: proxy.port,
            has_login: proxy.username.is_some() || proxy.password.is_some(),
        }
    }
}

/// How an account is doing. The first that fits, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) enum Status {
    /// `isActive` is false.
    Inactive,
    /// Its subscription has ended.
    Expired,
    /// This host cannot use it.
    Unusable,
    /// The provider refuses its credentials.
    Unauthorized,
    /// `schedulable` is false.
    Paused,
    /// Over the provider's limit, for all models.
    RateLimited,
    /// Its calls have cost `dailyQuota` today.
    QuotaReached,
    /// The provider failed just now; others are preferred for a while.
    BackingOff,
    /// `maxConcurrency` calls are running.
    Busy,
    Active,
}

impl Status {
    /// States that need a person come first, then those that heal by themselves, then healthy ones, then those that
    /// the operator has put aside.
    pub(in super::super) fn urgency(self) -> u8 {
        match self {
            Self::Unauthorized => 0,
            Self::Unusable => 1,
            Self::Expired => 2,
            Self::RateLimited => 3,
            Self::QuotaReached => 4,
            Self::BackingOff => 5,
            Self::Busy => 6,
            Self::Active => 7,
            Self::Paused => 8,
            Self::Inactive => 9,
        }
    }
}

/// Of more accounts than this the whole ranking of last uses is read at once.
const MANY: usize = 100;

/// State from the pools, read once per platform, and sums from the ledger.
pub(super) struct Doing {
    now: Millis,
    pools: BTreeMap<String, AccountSnapshot>,
    names: KeyNames,
    last_used: BTreeMap<String, Millis>,
}

impl Doing {
    /// How these accounts are doing. A pool that cannot be asked says nothing.
    pub(super) async fn of(app: &App, accounts: &[Account]) -> Result<Self, StoreError> {
        let platforms: BTreeSet<Platform> = accounts.iter().map(|account| account.platform).collect();
        let pools = Pools::ask(app, platforms).await.accounts;
        let shown = accounts.iter().filter_map(|account| pools.get(&account.id));
        let names = KeyNames::of(app, shown.flat_map(|live| &live.leases)).await?;
        let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
        let last_used = if ids.len() > MANY {
            app.ledger.last_uses(Kind::Accounts).await?.into_iter().collect()
        } else {
            let last_used = app.ledger.last_used(Kind::Accounts, &ids).await?;
            let last_used = ids.iter().zip(last_used);
            last_used
                .filter_map(|(id, at)| Some(((*id).to_owned(), at?)))
                .collect()
        };
        Ok(Self {
            now: app.ports.clock.now(),
            pools,
            names,
            last_used,
        })
    }

    pub(super) fn status(&self, account: &Account) -> Status {
        status(account, self.pools.get(&account.id), self.now).0
    }

    /// When it was last used. The pool knows of calls that still run; the ledger remembers over a restart.
    pub(super) fn last_used(&self, account: &Account) -> Option<Millis> {
        let logged = self.last_used.get(&account.id).copied();
        let pool = self.pools.get(&account.id);
        pool.and_then(|live| live.last_used).max(logged)
    }
}

impl AccountView {
    pub(super) fn new(app: &App, account: &Account, doing: &Doing) -> Self {
        let live = doing.pools.get(&account.id);
        let condition = Condition::of(account, live, doing.now);
        Self {
            id: account.id.clone(),
            name: account.name.clone(),
            description: account.description.clone(),
            platform: account.platform,
            credentials: match &account.credentials {
                StoredCredentials::ApiKey { base_url, .. } => CredentialsView::ApiKey {
                    base_url: base_url.clone(),
                },
                StoredCredentials::OAuth {
                    refresh_token,
                    expires_at,
                    tenant,
                    ..
                } => CredentialsView::OAuth {
                    has_refresh_token: refresh_token.is_some(),
                    expires_at: expires_at.map(iso),
                    tenant: tenant.clone(),
                },
            },
            priority: account.priority,
            max_concurrency: account.max_concurrency,
            is_active: account.is_active,
            schedulable: account.schedulable,
            proxy: app.accounts.proxy_of(account).as_ref().map(ProxyView::from),
            model_mapping: account.model_mapping.clone(),
            groups: account.groups.clone(),
            shared: account.shared,
            supported_models: account.supported_models.clone(),
            subscription_expires_at: account.subscription_expires_at.map(iso),
            daily_quota: account.daily_quota.into(),
            reserve_percent: account.reserve_percent,
            status: condition.status,
            status_code: condition.code,
            status_reason: condition.reason,
            status_until: condition.until.map(iso),
            cooldowns: live
                .iter()
                .flat_map(|live| &live.cooldowns)
                .filter(|cooldown| cooldown.until > doing.now)
                .map(CooldownView::from)
                .collect(),
            quota: live
                .iter()
                .flat_map(|live| &live.quota)
                .map(QuotaView::from)
                .collect(),
            daily_spend: live.and_then(|live| live.spent).map(DailySpend::from),
            recent_errors: live
                .iter()
                .flat_map(|live| live.errors.iter().rev())
                .map(ErrorView::from)
                .collect(),
            current_concurrency: live.map(slots),
            leases: live
                .iter()
                .flat_map(|live| &live.leases)
                .map(|lease| LeaseView::new(lease, &doing.names))
                .collect(),
            sessions: live.map(|live| live.sessions),
            last_used_at: doing.last_used(account).map(iso),
            created_at: iso(account.created_at),
            updated_at: iso(account.updated_at),
        }
    }
}

/// How an account is doing, and why.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Condition {
    pub(in super::super) status: Status,
    /// `None`: it is active.
    pub(in super::super) code: Option<AccountReason>,
    /// As far as there is more to say: the provider's words, or ours.
    pub(in super::super) reason: Option<String>,
    /// Until when, if it ends by itself.
    pub(in super::super) until: Option<Millis>,
}

impl Condition {
    /// `live`: what the account's pool knows of it, if it answered.
    pub(in super::super) fn of(account: &Account, live: Option<&AccountSnapshot>, now: Millis) -> Self {
        let (status, reason, until) = status(account, live, now);
        Self {
            status,
            code: code(status, until, live),
            reason,
            until,
        }
    }
}

fn status(
    account: &Account,
    live: Option<&AccountSnapshot>,
    now: Millis,
) -> (Status, Option<String>, Option<Millis>) {
    if !account.is_active {
        return (Status::Inactive, None, None);
    }
    if account.subscription_expires_at.is_some_and(|at| at <= now) {
        return (Status::Expired, None, None);
    }
    if let Some(why) = live.and_then(|live| live.policy.unusable.clone()) {
        return (Status::Unusable, Some(why), None);
    }
    // A mark ends with the credentials it was made for.
    let denied = live
        .filter(|live| live.policy.credential_version == account.credential_version)
        .and_then(|live| live.denied.clone())
        .filter(|(_, until)| until.is_none_or(|until| until > now));
    if let Some((why, until)) = denied {
        return (Status::Unauthorized, Some(why), until);
    }
    if !account.schedulable {
        return (Status::Paused, None, None);
    }
    let Some(live) = live else {
        return (Status::Active, None, None);
    };
    let limited = live
        .cooldowns
        .iter()
        .filter(|cooldown| cooldown.kind == CooldownKind::Measured)
        .filter(|cooldown| cooldown.family.is_none() && cooldown.until > now)
        .map(|cooldown| cooldown.until)
        .max();
    if limited.is_some() {
        return (Status::RateLimited, None, limited);
    }
    let spent = live
        .spent
        .filter(|(spent, _)| account.daily_quota > MicroUsd::ZERO && *spent >= account.daily_quota.0);
    if let Some((_, until)) = spent {
        return (Status::QuotaReached, None, Some(until));
    }
    if let Some(until) = live.backoff_until.filter(|until| *until > now) {
        return (Status::BackingOff, None, Some(until));
    }
    let limit = account.max_concurrency as usize;
    if limit > 0 && slots(live) >= limit {
        return (Status::Busy, None, None);
    }
    (Status::Active, None, None)
}

/// The status's reason as data.
fn code(status: Status, until: Option<Millis>, live: Option<&AccountSnapshot>) -> Option<AccountReason> {
    Some(match status {
        Status::Active => return None,
        Status::Inactive => AccountReason::Disabled,
        Status::Expired => AccountReason::SubscriptionEnded,
        Status::Unusable => AccountReason::ProxyUnsupported,
        Status::Unauthorized if until.is_some() => AccountReason::RefusedUntil,
        Status::Unauthorized => AccountReason::CredentialsRefused,
        Status::Paused => AccountReason::Paused,
        Status::RateLimited => AccountReason::ProviderLimit,
        Status::QuotaReached => AccountReason::DailyQuota,
        Status::BackingOff => {
            let guesses = live.into_iter().flat_map(|live| &live.cooldowns);
            let guesses = guesses.filter(|cooldown| cooldown.kind != CooldownKind::Measured);
            let last = guesses.max_by_key(|cooldown| cooldown.until);
            last.map_or(AccountReason::ProviderTrouble, |cooldown| cooldown.kind.into())
        }
        Status::Busy => AccountReason::Busy,
    })
}

/// Calls that hold one of the account's slots.
fn slots(live: &AccountSnapshot) -> usize {
    live.leases.iter().filter(|lease| lease.slot).count()
}
