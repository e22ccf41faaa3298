//! An account as shown: its settings and live state, never a secret.

use std::collections::{BTreeMap, BTreeSet};

use crs_durable::pool::{AccountSnapshot, CooldownKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::live::{AccountReason, CooldownView, DailySpend, ErrorView, KeyNames, LeaseView, QuotaView};
use super::pools::Pools;
use crate::app::App;
use crate::model::account::{Account, KeyHeader, Platform, Proxy, ProxyScheme, StoredCredentials};
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
    /// Lower values are picked first.
    priority: u32,
    /// Maximum number of concurrent calls; 0: unlimited.
    max_concurrency: u32,
    is_active: bool,
    schedulable: bool,
    proxy: Option<ProxyView>,
    model_mapping: BTreeMap<String, String>,
    /// Ids of its groups.
    groups: BTreeSet<String>,
    /// `false`: only for keys that are bound to it or to one of its groups.
    shared: bool,
    /// `null`: all.
    supported_models: Option<BTreeSet<String>>,
    /// The end of its subscription; `null`: none.
    #[schema(format = DateTime)]
    subscription_expires_at: Option<String>,
    /// USD per day; 0: unlimited.
    daily_quota: Usd,
    /// Reserve in percent of the provider's quota windows.
    reserve_percent: u8,
    /// The header for its API key; `null`: the platform's default.
    key_header: Option<KeyHeader>,
    /// The `user-agent` sent to its host; `null`: the client's is forwarded.
    user_agent: Option<String>,
    /// The host supports only OpenAI's Chat Completions.
    chat_only: bool,
    /// The `api-version` of Azure OpenAI; `null`: none.
    api_version: Option<String>,
    #[schema(inline)]
    status: Status,
    /// The machine-readable reason; `null`: it is active.
    status_code: Option<AccountReason>,
    /// The reason in words, if there is more to say.
    status_reason: Option<String>,
    /// When the state ends by itself, if it does.
    #[schema(format = DateTime)]
    status_until: Option<String>,
    /// Rate limits reported by the provider, or guessed.
    cooldowns: Vec<CooldownView>,
    /// The provider's current quota windows, from its last answer.
    quota: Vec<QuotaView>,
    /// The cost of its calls today; `null`: there is no `dailyQuota`, or the pool does not answer.
    daily_spend: Option<DailySpend>,
    /// Its latest failures, newest first.
    recent_errors: Vec<ErrorView>,
    /// Number of running calls; `null`: the pool is unreachable or has not used the account yet.
    current_concurrency: Option<usize>,
    /// The running calls, including those without a slot.
    leases: Vec<LeaseView>,
    /// Number of conversations assigned to this account.
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
    // Repeated for each variant, because `utoipa` does not support `rename_all_fields`.
    #[serde(rename_all = "camelCase")]
    ApiKey {
        /// `null`: the official address.
        base_url: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    AccessKeys {
        access_key_id: String,
        region: String,
        /// `null`: the address of the region's runtime.
        base_url: Option<String>,
        has_session_token: bool,
    },
    #[serde(rename_all = "camelCase")]
    ServiceAccount {
        client_email: String,
        project: String,
        region: String,
        /// `null`: the address of the region.
        base_url: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    EntraApp {
        tenant_id: String,
        client_id: String,
        /// The address of the Azure resource.
        base_url: String,
    },
    #[serde(rename = "oauth", rename_all = "camelCase")]
    OAuth {
        has_refresh_token: bool,
        /// When the access token expires; `null`: unknown.
        #[schema(format = DateTime)]
        expires_at: Option<String>,
        /// The ChatGPT account, or the Google Cloud project, of the tokens; `null`: not known yet, or not needed.
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

/// The state of an account: the first that applies, in this order.
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
    /// Over the provider's limit for all models.
    RateLimited,
    /// Its calls have reached `dailyQuota` today.
    QuotaReached,
    /// The provider has just failed; others are preferred for a while.
    BackingOff,
    /// `maxConcurrency` calls are running.
    Busy,
    Active,
}

impl Status {
    /// Sorts by need for attention: states that only a person can fix, then temporary ones, healthy ones, and
    /// those switched off by the operator.
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

/// For more accounts than this, the whole ranking of last uses is read at once.
const MANY: usize = 100;

/// Live state of accounts: from the pools, read once per platform, and sums from the ledger.
pub(super) struct LiveStates {
    now: Millis,
    pools: BTreeMap<String, AccountSnapshot>,
    names: KeyNames,
    last_used: BTreeMap<String, Millis>,
}

impl LiveStates {
    /// Reads the live state of these accounts. Accounts of an unreachable pool have none.
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

    /// When it was last used. The pool knows running calls; the ledger survives restarts.
    pub(super) fn last_used(&self, account: &Account) -> Option<Millis> {
        let logged = self.last_used.get(&account.id).copied();
        let pool = self.pools.get(&account.id);
        pool.and_then(|live| live.last_used).max(logged)
    }
}

impl AccountView {
    pub(super) fn new(app: &App, account: &Account, doing: &LiveStates) -> Self {
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
                StoredCredentials::AccessKeys {
                    access_key_id,
                    session_token,
                    region,
                    base_url,
                    ..
                } => CredentialsView::AccessKeys {
                    access_key_id: access_key_id.clone(),
                    region: region.clone(),
                    base_url: base_url.clone(),
                    has_session_token: session_token.is_some(),
                },
                StoredCredentials::ServiceAccount {
                    client_email,
                    project,
                    region,
                    base_url,
                    ..
                } => CredentialsView::ServiceAccount {
                    client_email: client_email.clone(),
                    project: project.clone(),
                    region: region.clone(),
                    base_url: base_url.clone(),
                },
                StoredCredentials::EntraApp {
                    tenant_id,
                    client_id,
                    base_url,
                    ..
                } => CredentialsView::EntraApp {
                    tenant_id: tenant_id.clone(),
                    client_id: client_id.clone(),
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
            key_header: account.key_header,
            user_agent: account.user_agent.clone(),
            chat_only: account.chat_only,
            api_version: account.api_version.clone(),
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

/// An account's state and its cause.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Condition {
    pub(in super::super) status: Status,
    /// `None` if it is active.
    pub(in super::super) code: Option<AccountReason>,
    /// The provider's message or ours, if there is more to say.
    pub(in super::super) reason: Option<String>,
    /// When it ends by itself, if it does.
    pub(in super::super) until: Option<Millis>,
}

impl Condition {
    /// `live`: the pool's state of the account, if it answered.
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
    // A refusal of the credentials ends when they are replaced.
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

/// The machine-readable reason for the status.
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

/// Number of calls that occupy one of the account's slots.
fn slots(live: &AccountSnapshot) -> usize {
    live.leases.iter().filter(|lease| lease.slot).count()
}
