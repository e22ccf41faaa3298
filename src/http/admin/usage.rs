//! `/admin/usage`: usage, rankings, durations and failures of calls, and a check of the sums.
//!
//! Every answer is read from sums, so its cost depends on its size and never on the number of calls. Only the
//! check reads every call of a day; `crs ledger verify` uses it.
//!
//! | module | content |
//! | --- | --- |
//! | `span` | the requested period |
//! | `summary`, `ranking`, `trend` | usage: totals, rankings, over time |
//! | `latency` | durations and failures of calls |
//! | `verify` | the check of a day's sums |

pub(super) mod latency;
pub(super) mod ranking;
mod span;
pub(super) mod summary;
pub(super) mod trend;
pub(super) mod verify;

use futures_util::future::try_join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api_error::ApiError;
use crate::app::App;
use crate::model::usage::Totals;
use crate::port::store::StoreError;
use crate::store::ledger::{Ranked, Scope};

const TOP: u32 = 10;
const MOST: u32 = 100;
/// For a summary, which has three rankings: with 2,000 keys it would take longer than 50 ms.
const MOST_OF_SUMMARY: u32 = 25;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NamedUsage)]
struct NamedView {
    id: String,
    /// `null`: it no longer exists.
    name: Option<String>,
    totals: Totals,
}

/// The requested number of rows.
fn rows(top: Option<u32>, most: u32) -> Result<usize, ApiError> {
    let top = top.unwrap_or(TOP);
    if !(1..=most).contains(&top) {
        let message = format!("`top` must be from 1 to {most}");
        return Err(ApiError::invalid("top", message));
    }
    Ok(top as usize)
}

/// Keys with their names.
async fn named_keys(app: &App, ranked: Vec<Ranked>) -> Result<Vec<NamedView>, StoreError> {
    let keys = try_join_all(ranked.iter().map(|ranked| app.keys.get(&ranked.id))).await?;
    let names = keys.into_iter().map(|key| key.map(|key| key.name));
    Ok(named(ranked, names))
}

/// Accounts with their names.
async fn named_accounts(app: &App, ranked: Vec<Ranked>) -> Result<Vec<NamedView>, StoreError> {
    let accounts = try_join_all(ranked.iter().map(|ranked| app.accounts.get(&ranked.id))).await?;
    let names = accounts
        .into_iter()
        .map(|account| account.map(|account| account.name));
    Ok(named(ranked, names))
}

fn named(ranked: Vec<Ranked>, names: impl Iterator<Item = Option<String>>) -> Vec<NamedView> {
    let views = ranked.into_iter().zip(names).map(|(ranked, name)| NamedView {
        id: ranked.id,
        name,
        totals: ranked.totals,
    });
    views.collect()
}

/// The subject of the figures.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = UsageOf)]
enum OfKind {
    All,
    Key,
    Account,
    Model,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageSubject)]
struct OfView {
    kind: OfKind,
    /// A key's or an account's id, or a model's name; `null` for the total.
    id: Option<String>,
    /// `null`: the total, or it no longer exists.
    name: Option<String>,
}

impl OfView {
    /// At most one of them may be sent.
    async fn read(
        app: &App,
        key: Option<String>,
        account: Option<String>,
        model: Option<String>,
    ) -> Result<Self, ApiError> {
        let of = |kind, id, name| Ok(Self { kind, id, name });
        match (key, account, model) {
            (None, None, None) => of(OfKind::All, None, None),
            (Some(id), None, None) => {
                let name = app.keys.get(&id).await?.map(|key| key.name);
                of(OfKind::Key, Some(id), name)
            }
            (None, Some(id), None) => {
                let name = app.accounts.get(&id).await?.map(|account| account.name);
                of(OfKind::Account, Some(id), name)
            }
            (None, None, Some(model)) => of(OfKind::Model, Some(model.clone()), Some(model)),
            (key, ..) => {
                let field = if key.is_some() { "key" } else { "account" };
                let message =
                    format!("`{field}` cannot be sent with another of `key`, `account` and `model`");
                Err(ApiError::invalid(field, message))
            }
        }
    }

    fn scope(&self) -> Scope<'_> {
        let id = self.id.as_deref().unwrap_or_default();
        match self.kind {
            OfKind::All => Scope::Total,
            OfKind::Key => Scope::Key(id),
            OfKind::Account => Scope::Account(id),
            OfKind::Model => Scope::Model(id),
        }
    }
}
