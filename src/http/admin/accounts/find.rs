//! Selection and order of the list of accounts.

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::ApiError;
use super::super::list::{Order, by_name, found};
use super::view::{LiveStates, Status};
use crate::app::App;
use crate::model::account::{Account, Platform};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct AccountQuery {
    /// Counts from 1.
    #[param(minimum = 1)]
    pub(super) page: Option<u32>,
    /// Default: 20.
    #[param(minimum = 1, maximum = 100)]
    pub(super) page_size: Option<u32>,
    /// Text to find in name, description or id.
    search: Option<String>,
    platform: Option<Platform>,
    is_active: Option<bool>,
    /// One or more values of an account's `status`, separated by commas.
    status: Option<String>,
    /// Members of the account group with this id.
    group: Option<String>,
    #[param(inline)]
    sort_by: Option<AccountSort>,
    #[param(inline)]
    sort_order: Option<Order>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum AccountSort {
    Name,
    #[default]
    CreatedAt,
    UpdatedAt,
    Priority,
    Platform,
    IsActive,
    /// Accounts that were never used count as the earliest.
    LastUsedAt,
    /// With `asc`, accounts that need attention come first: refused credentials, then those unusable on this
    /// host, ended subscriptions, limits, provider problems, healthy ones.
    Status,
}

impl AccountQuery {
    /// The matching accounts in the requested order.
    pub(super) async fn find(&self, app: &App) -> Result<Vec<Account>, ApiError> {
        let wanted = self.statuses()?;
        let mut accounts = app.accounts.list().await?;
        accounts.retain(|account| self.fits(account));
        let sort = self.sort_by.unwrap_or_default();
        let order = self.sort_order.unwrap_or_default();
        let by_doing = matches!(sort, AccountSort::LastUsedAt | AccountSort::Status);
        let doing = if by_doing || !wanted.is_empty() {
            Some(LiveStates::of(app, &accounts).await?)
        } else {
            None
        };
        if let Some(doing) = &doing {
            accounts.retain(|account| wanted.is_empty() || wanted.contains(&doing.status(account)));
        }
        let last_used = |account: &Account| doing.as_ref().and_then(|doing| doing.last_used(account));
        let urgency = |account: &Account| doing.as_ref().map(|doing| doing.status(account).urgency());
        accounts.sort_by(|a, b| {
            let by = match sort {
                AccountSort::Name => by_name(&a.name, &b.name),
                AccountSort::CreatedAt => a.created_at.cmp(&b.created_at),
                AccountSort::UpdatedAt => a.updated_at.cmp(&b.updated_at),
                AccountSort::Priority => a.priority.cmp(&b.priority),
                AccountSort::Platform => a.platform.cmp(&b.platform),
                AccountSort::IsActive => a.is_active.cmp(&b.is_active),
                AccountSort::LastUsedAt => last_used(a).cmp(&last_used(b)),
                AccountSort::Status => urgency(a).cmp(&urgency(b)),
            };
            order.of(by.then_with(|| a.id.cmp(&b.id)))
        });
        Ok(accounts)
    }

    fn fits(&self, account: &Account) -> bool {
        self.platform.is_none_or(|platform| account.platform == platform)
            && self.is_active.is_none_or(|active| account.is_active == active)
            && self
                .group
                .as_ref()
                .is_none_or(|group| account.groups.contains(group))
            && found(
                self.search.as_deref(),
                &[&account.name, &account.description, &account.id],
            )
    }

    fn statuses(&self) -> Result<Vec<Status>, ApiError> {
        let words = self.status.as_deref().unwrap_or_default().split(',');
        let words = words.map(str::trim).filter(|word| !word.is_empty());
        let read = |word: &str| {
            Status::deserialize(word.into_deserializer()).map_err(|_: serde::de::value::Error| {
                ApiError::invalid(
                    "status",
                    "`status` must be statuses of accounts, separated by commas: inactive, expired, unusable, unauthorized, paused, rateLimited, quotaReached, backingOff, busy, active",
                )
            })
        };
        words.map(read).collect()
    }
}
