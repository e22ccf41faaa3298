//! `/admin/concurrency`: lists slots in use, and frees them.
//!
//! The pools are asked first, because their leases name the keys of the running calls. Then only the gates of
//! those keys are asked, so the cost depends on the running calls and not on the number of keys.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crs_durable::pool::{AccountSnapshot, LeaseSnapshot};
use crs_durable::{CallId, gate, pool};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Params};
use super::accounts::live::{KeyNames, LeaseView};
use super::keys::live::ReservedView;
use super::list::{Page, Slice, by_name};
use crate::app::App;
use crate::dialect::call::{call_of, request_id};
use crate::model::account::Platform;
use crate::model::key::Key;
use crate::model::time::iso;
use crate::port::gates::KeyHash;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConcurrencyQuery {
    /// Counts from 1; pages are of keys.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// Default: 20.
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
    /// Only this key, whether it has running calls or not.
    key_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Concurrency)]
pub(super) struct ConcurrencyView {
    /// Keys with running calls, by name.
    keys: Page<KeyHolding>,
    /// Accounts with running calls, by name.
    accounts: Vec<AccountHolding>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyHolding {
    key_id: String,
    key_name: String,
    /// 0: unlimited.
    concurrency_limit: u32,
    /// Number of calls that wait for a slot; `null`: the key's gate is unreachable.
    queued: Option<usize>,
    /// Oldest first.
    leases: Vec<KeyLease>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeyLease {
    request_id: String,
    #[schema(format = DateTime)]
    since: String,
    /// When the lease expires unless it is renewed.
    #[schema(format = DateTime)]
    until: String,
    /// Whether it counts towards the key's limit.
    slot: bool,
    /// `null`: the key's gate is unreachable.
    reserved: Option<ReservedView>,
    /// The account that serves it; `null`: none at the moment.
    account_id: Option<String>,
    account_name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountHolding {
    account_id: String,
    account_name: String,
    platform: Platform,
    /// 0: unlimited.
    max_concurrency: u32,
    leases: Vec<LeaseView>,
}

/// The slots in use, by key and by account.
#[utoipa::path(
    get, path = "/admin/concurrency", operation_id = "listConcurrency", tag = "operations", security(("admin" = [])), params(ConcurrencyQuery),
    responses(
        (status = 200, body = ConcurrencyView),
        (status = 404, description = "There is no such key", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
        (status = 503, description = "A pool is unreachable", body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<ConcurrencyQuery>,
) -> Result<Json<ConcurrencyView>, ApiError> {
    let slice = Slice::read(query.page, query.page_size)?;
    let mut pools = busy(&app).await?;
    let holders = pools.iter().flat_map(|(_, account)| &account.leases);
    let holders: BTreeSet<String> = holders.map(|lease| lease.holder.clone()).collect();
    let mut ids: Vec<&str> = holders
        .iter()
        .map(String::as_str)
        .filter(|id| !id.is_empty())
        .collect();
    if let Some(only) = query.key_id.as_deref() {
        ids = vec![only];
        for (_, account) in &mut pools {
            account.leases.retain(|lease| lease.holder == only);
        }
        pools.retain(|(_, account)| !account.leases.is_empty());
    }
    let mut keys = app.keys.some(&ids).await?;
    if query.key_id.is_some() && keys.is_empty() {
        return Err(ApiError::not_found("key"));
    }
    keys.sort_by(|a, b| by_name(&a.name, &b.name).then_with(|| a.id.cmp(&b.id)));
    let names = KeyNames(
        keys.iter()
            .map(|key| (key.id.clone(), key.name.clone()))
            .collect(),
    );
    let records = if pools.is_empty() {
        Vec::new()
    } else {
        app.accounts.list().await?
    };
    let account_names: BTreeMap<&str, &str> = records
        .iter()
        .map(|account| (account.id.as_str(), account.name.as_str()))
        .collect();
    let leases = pools.iter().flat_map(|(_, account)| {
        let served_by = account.policy.id.as_str();
        account
            .leases
            .iter()
            .map(move |lease| (lease.call, (lease, served_by)))
    });
    let served = RunningCalls {
        leases: leases.collect(),
        account_names,
    };
    let page = slice.of(keys);
    let holdings = join_all(page.items.iter().map(|key| KeyHolding::of(&app, key, &served))).await;
    let keys = page.showing(holdings);
    let mut accounts: Vec<AccountHolding> = pools
        .iter()
        .map(|(platform, account)| AccountHolding {
            account_id: account.policy.id.clone(),
            account_name: served.name(&account.policy.id).unwrap_or_default(),
            platform: *platform,
            max_concurrency: account.policy.max_concurrency,
            leases: account
                .leases
                .iter()
                .map(|lease| LeaseView::new(lease, &names))
                .collect(),
        })
        .collect();
    accounts.sort_by(|a, b| by_name(&a.account_name, &b.account_name));
    Ok(Json(ConcurrencyView { keys, accounts }))
}

/// The accounts of all platforms with running calls.
async fn busy(app: &App) -> Result<Vec<(Platform, AccountSnapshot)>, ApiError> {
    let asked = Platform::ALL.map(|platform| async move {
        let reply = app.ports.gates.pool(platform, pool::Command::Snapshot).await;
        (platform, reply)
    });
    let mut accounts = Vec::new();
    for (platform, reply) in join_all(asked).await {
        if let pool::Reply::Snapshot(snapshot) = reply? {
            let busy = snapshot
                .accounts
                .into_iter()
                .filter(|account| !account.leases.is_empty());
            accounts.extend(busy.map(|account| (platform, account)));
        }
    }
    Ok(accounts)
}

/// Running calls, from the pools.
struct RunningCalls<'a> {
    /// Each lease with its account.
    leases: BTreeMap<CallId, (&'a LeaseSnapshot, &'a str)>,
    account_names: BTreeMap<&'a str, &'a str>,
}

impl RunningCalls<'_> {
    fn name(&self, account: &str) -> Option<String> {
        self.account_names.get(account).map(|name| (*name).to_owned())
    }

    fn lease(&self, call: CallId, since: u64, until: u64, slot: bool) -> KeyLease {
        let account = self.leases.get(&call).map(|(_, account)| *account);
        KeyLease {
            request_id: request_id(call),
            since: iso(since),
            until: iso(until),
            slot,
            reserved: None,
            account_id: account.map(str::to_owned),
            account_name: account.and_then(|account| self.name(account)),
        }
    }
}

impl KeyHolding {
    async fn of(app: &App, key: &Key, served: &RunningCalls<'_>) -> Self {
        let snapshot = snapshot(app, key).await;
        let mut leases: Vec<(u64, KeyLease)> = match &snapshot {
            Some(snapshot) => snapshot
                .leases
                .iter()
                .map(|lease| {
                    let shown = KeyLease {
                        reserved: Some(lease.reserved.into()),
                        ..served.lease(lease.call, lease.since, lease.until, lease.slot)
                    };
                    (lease.since, shown)
                })
                .collect(),
            // Without the gate's answer, show the pools' data.
            None => served
                .leases
                .values()
                .filter(|(lease, _)| lease.holder == key.id)
                .map(|(lease, _)| {
                    let shown = served.lease(lease.call, lease.since, lease.until, lease.slot);
                    (lease.since, shown)
                })
                .collect(),
        };
        leases.sort_by_key(|(since, _)| *since);
        Self {
            key_id: key.id.clone(),
            key_name: key.name.clone(),
            concurrency_limit: key.concurrency_limit,
            queued: snapshot.map(|snapshot| snapshot.waiters.len()),
            leases: leases.into_iter().map(|(_, lease)| lease).collect(),
        }
    }
}

/// `None` if the key's gate is unreachable.
pub(super) async fn snapshot(app: &App, key: &Key) -> Option<Box<gate::Snapshot>> {
    let hash = KeyHash::from_hex(&key.hash)?;
    match app.ports.gates.gate(&hash, gate::Command::Snapshot).await {
        Ok(gate::Reply::Snapshot(snapshot)) => Some(snapshot),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(key = %key.id, %error, "the key's gate could not be asked for its running calls");
            None
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReleaseQuery {
    /// The call's key; only needed for a call that no account serves at the moment.
    key_id: Option<String>,
}

/// Frees the slots of a call at its key and its account. A stream ends with an error of its protocol: natively at
/// once, on the edge with the next renewal of its lease. Other calls continue if they still run. The call's usage
/// is counted when it reports it.
#[utoipa::path(
    delete, path = "/admin/concurrency/{id}", operation_id = "releaseConcurrency", tag = "operations", security(("admin" = [])),
    params(("id" = String, Path, description = "The call's `requestId`"), ReleaseQuery),
    responses(
        (status = 204, description = "The slots are freed"),
        (status = 404, description = "The call holds no slot", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn release(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
    Params(query): Params<ReleaseQuery>,
) -> Result<StatusCode, ApiError> {
    let call = call_of(&id).ok_or_else(|| {
        ApiError::invalid(
            "id",
            "the address must end in a `requestId`: `req_` and 32 hexadecimal digits",
        )
    })?;
    let mut holder = query.key_id;
    let mut held = false;
    for (platform, account) in busy(&app).await? {
        let Some(lease) = account.leases.into_iter().find(|lease| lease.call == call) else {
            continue;
        };
        if !held {
            let subject = format!("call:{id}");
            app.audit.event("lease.release", subject, "").await?;
        }
        app.ports
            .gates
            .pool(platform, pool::Command::Release { call })
            .await?;
        held = true;
        holder = Some(lease.holder).filter(|holder| !holder.is_empty()).or(holder);
    }
    if let Some(holder) = holder
        && let Some(key) = app.keys.get(&holder).await?
        && let Some(hash) = KeyHash::from_hex(&key.hash)
    {
        let holds = snapshot(&app, &key).await;
        let holds = holds.is_some_and(|snapshot| snapshot.leases.iter().any(|lease| lease.call == call));
        if holds && !held {
            let subject = format!("call:{id}");
            app.audit.event("lease.release", subject, &key.name).await?;
        }
        held |= holds;
        app.ports
            .gates
            .gate(&hash, gate::Command::Release { call })
            .await?;
    }
    if !held {
        return Err(ApiError::not_found(
            "running call; one that no account serves needs `keyId`",
        ));
    }
    app.running.end_call(call);
    session.audit("concurrency.release", &id);
    Ok(StatusCode::NO_CONTENT)
}
