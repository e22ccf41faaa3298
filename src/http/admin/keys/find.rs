//! Selection and order of the list of keys.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::ApiError;
use super::super::list::{Order, by_name, found};
use super::view::Status;
use crate::app::App;
use crate::model::key::{ExpirationMode, Key};
use crate::model::money::MicroUsd;
use crate::port::clock::Millis;
use crate::store::ledger::{Kind, Range};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct KeyQuery {
    /// Counts from 1.
    #[param(minimum = 1)]
    pub(super) page: Option<u32>,
    /// Default: 20.
    #[param(minimum = 1, maximum = 100)]
    pub(super) page_size: Option<u32>,
    /// Text to find in name, description, id or the shown beginning of the key.
    search: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// With all of these tags, separated by commas.
    tags: Option<String>,
    is_active: Option<bool>,
    /// Whether the key works, and if not, why. An expired key whose time began with its first use may be shown as
    /// `active` for a moment.
    #[param(inline)]
    status: Option<Status>,
    /// Keys bound to this: an account id, or `group:` and a group id.
    bound_to: Option<String>,
    /// `true`: only deleted keys; otherwise only the others, unless `status` is `deleted`.
    deleted: Option<bool>,
    #[param(inline)]
    sort_by: Option<KeySort>,
    #[param(inline)]
    sort_order: Option<Order>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum KeySort {
    Name,
    #[default]
    CreatedAt,
    UpdatedAt,
    /// Keys that never expire count as the latest.
    ExpiresAt,
    IsActive,
    /// Keys that were never used count as the earliest.
    LastUsedAt,
    /// Cost of today's calls, from the ledger.
    CostToday,
    /// Cost of all calls, from the ledger.
    CostTotal,
}

impl KeyQuery {
    /// The matching keys in the requested order.
    pub(super) async fn find(&self, app: &App) -> Result<Vec<Key>, ApiError> {
        let now = app.ports.clock.now();
        let mut keys = app.keys.list().await?;
        keys.retain(|key| self.fits(key, now));
        let sort = self.sort_by.unwrap_or_default();
        let order = self.sort_order.unwrap_or_default();
        let used = Figures::of(app, sort, now).await?;
        keys.sort_by(|a, b| {
            let by = match sort {
                KeySort::Name => by_name(&a.name, &b.name),
                KeySort::CreatedAt => a.created_at.cmp(&b.created_at),
                KeySort::UpdatedAt => a.updated_at.cmp(&b.updated_at),
                KeySort::ExpiresAt => ends(a).cmp(&ends(b)),
                KeySort::IsActive => a.is_active.cmp(&b.is_active),
                KeySort::LastUsedAt | KeySort::CostToday | KeySort::CostTotal => used.compare(&a.id, &b.id),
            };
            order.of(by.then_with(|| a.id.cmp(&b.id)))
        });
        Ok(keys)
    }

    fn fits(&self, key: &Key, now: Millis) -> bool {
        let deleted = self.deleted.unwrap_or(self.status == Some(Status::Deleted));
        let wanted = self.tags.as_deref().unwrap_or_default().split(',');
        let mut wanted = wanted.map(str::trim).filter(|tag| !tag.is_empty());
        let has = |tag: &str| key.tags.iter().any(|held| held == tag);
        key.deleted_at.is_some() == deleted
            && self.is_active.is_none_or(|active| key.is_active == active)
            && self
                .status
                .is_none_or(|status| Status::of(key, key.activated_at, now) == status)
            && self.tag.as_deref().is_none_or(has)
            && wanted.all(has)
            && self
                .bound_to
                .as_ref()
                .is_none_or(|to| key.bindings.values().any(|bound| bound == to))
            && found(
                self.search.as_deref(),
                &[&key.name, &key.description, &key.id, &key.shown],
            )
    }
}

/// The ledger's figure for each key by which a list is sorted. Missing keys have 0.
#[derive(Default)]
struct Figures(HashMap<String, u64>);

impl Figures {
    async fn of(app: &App, sort: KeySort, now: Millis) -> Result<Self, ApiError> {
        let range = match sort {
            KeySort::LastUsedAt => return Ok(Self(app.ledger.last_uses(Kind::Keys).await?)),
            KeySort::CostToday => Range::Today,
            KeySort::CostTotal => Range::All,
            _ => return Ok(Self::default()),
        };
        let costs = app.ledger.costs(Kind::Keys, &[range.into()], now).await?;
        let figures = costs.into_iter().flatten().map(|(id, MicroUsd(cost))| (id, cost));
        Ok(Self(figures.collect()))
    }

    fn compare(&self, a: &str, b: &str) -> Ordering {
        self.0.get(a).unwrap_or(&0).cmp(self.0.get(b).unwrap_or(&0))
    }
}

fn ends(key: &Key) -> Millis {
    let activated_at = key
        .activated_at
        .filter(|_| key.expiration_mode == ExpirationMode::Activation);
    key.ends_at(activated_at).unwrap_or(Millis::MAX)
}
