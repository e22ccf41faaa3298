//! Accounts with problems, and platforms that cannot serve.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::accounts::live::AccountReason;
use super::super::accounts::pools::Pools;
use super::super::accounts::view::{Condition, Status};
use super::SOON;
use crate::model::account::{Account, Platform};
use crate::model::time::iso;
use crate::port::clock::Millis;

pub(super) const TROUBLE_SHOWN: usize = 50;

/// The accounts of one platform in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformOverview)]
pub(super) struct PlatformView {
    platform: Platform,
    accounts: usize,
    /// Number of accounts by `status`, without zeros.
    #[schema(value_type = BTreeMap<String, usize>)]
    by_status: BTreeMap<Status, usize>,
    /// Accounts that can serve a call now, or as soon as a running one ends.
    usable: usize,
    /// There are enabled accounts, but none is usable: calls fail.
    blocked: bool,
    /// When the first account of a blocked platform returns by itself; `null`: none does, or it is not blocked.
    #[schema(format = DateTime)]
    back_at: Option<String>,
}

/// An account that is switched on but does not serve.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccountTrouble)]
pub(super) struct TroubleView {
    account_id: String,
    account_name: String,
    platform: Platform,
    #[schema(value_type = String)]
    status: Status,
    code: AccountReason,
    /// The provider's message or ours, if there is more to say.
    reason: Option<String>,
    /// When it returns; `null`: not by itself.
    #[schema(format = DateTime)]
    until: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndingSubscription {
    account_id: String,
    account_name: String,
    platform: Platform,
    #[schema(format = DateTime)]
    ends_at: String,
}

/// Whether calls may go to such an account. One that backs off ranks last, and a busy one serves when a call
/// ends.
fn usable(status: Status) -> bool {
    match status {
        Status::Active | Status::Busy | Status::BackingOff => true,
        Status::Inactive
        | Status::Expired
        | Status::Unusable
        | Status::Unauthorized
        | Status::Paused
        | Status::RateLimited
        | Status::QuotaReached => false,
    }
}

/// Whether such an account needs the operator's attention. Accounts switched off on purpose do not.
fn is_trouble(status: Status) -> bool {
    match status {
        Status::Expired
        | Status::Unusable
        | Status::Unauthorized
        | Status::RateLimited
        | Status::QuotaReached
        | Status::BackingOff => true,
        Status::Inactive | Status::Paused | Status::Active | Status::Busy => false,
    }
}

pub(super) fn conditions<'a>(
    accounts: &'a [Account],
    pools: &Pools,
    now: Millis,
) -> Vec<(&'a Account, Condition)> {
    let of = |account| Condition::of(account, pools.accounts.get(&account.id), now);
    accounts.iter().map(|account| (account, of(account))).collect()
}

pub(super) fn platforms(conditions: &[(&Account, Condition)]) -> Vec<PlatformView> {
    let mut by_platform: BTreeMap<Platform, Vec<&Condition>> = BTreeMap::new();
    for (account, condition) in conditions {
        by_platform.entry(account.platform).or_default().push(condition);
    }
    let views = by_platform.into_iter().map(|(platform, conditions)| {
        let mut by_status: BTreeMap<Status, usize> = BTreeMap::new();
        for condition in &conditions {
            *by_status.entry(condition.status).or_default() += 1;
        }
        let usable = conditions
            .iter()
            .filter(|condition| usable(condition.status))
            .count();
        let switched_on = conditions
            .iter()
            .any(|condition| condition.status != Status::Inactive);
        let blocked = usable == 0 && switched_on;
        let back_at = conditions.iter().filter_map(|condition| condition.until).min();
        PlatformView {
            platform,
            accounts: conditions.len(),
            by_status,
            usable,
            blocked,
            back_at: back_at.filter(|_| blocked).map(iso),
        }
    });
    views.collect()
}

/// All accounts with problems; those that only a person can fix come first.
pub(super) fn trouble(conditions: &[(&Account, Condition)]) -> Vec<TroubleView> {
    let mut found: Vec<(&Account, &Condition, AccountReason)> = conditions
        .iter()
        .filter(|(_, condition)| is_trouble(condition.status))
        .filter_map(|(account, condition)| Some((*account, condition, condition.code?)))
        .collect();
    found.sort_by_key(|(account, condition, _)| {
        let waits_for_a_person = condition.until.is_none();
        let urgency = condition.status.urgency();
        (
            Reverse(waits_for_a_person),
            condition.until,
            urgency,
            account.id.clone(),
        )
    });
    let views = found.into_iter().map(|(account, condition, code)| TroubleView {
        account_id: account.id.clone(),
        account_name: account.name.clone(),
        platform: account.platform,
        status: condition.status,
        code,
        reason: condition.reason.clone(),
        until: condition.until.map(iso),
    });
    views.collect()
}

pub(super) fn ending_subscriptions(accounts: &[Account], now: Millis) -> Vec<EndingSubscription> {
    let ends = |account: &Account| account.subscription_expires_at;
    let mut ending: Vec<(Millis, &Account)> = accounts
        .iter()
        .filter(|account| account.is_active)
        .filter_map(|account| Some((ends(account)?, account)))
        .filter(|(at, _)| *at > now && *at <= now.saturating_add(SOON))
        .collect();
    ending.sort_by_key(|(at, account)| (*at, account.id.clone()));
    let views = ending.into_iter().map(|(at, account)| EndingSubscription {
        account_id: account.id.clone(),
        account_name: account.name.clone(),
        platform: account.platform,
        ends_at: iso(at),
    });
    views.collect()
}
