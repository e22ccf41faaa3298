//! `/admin/usage`: what was used, by whom most, how fast and how well; and whether the books agree.
//!
//! Every answer is read from sums: what it costs goes by what it shows, never by how many calls there were.
//! The check of the books reads every call of a day, and is asked for by `crs ledger verify`.
//!
//! | module | what it has |
//! | --- | --- |
//! | `span` | the range that is asked for |
//! | `summary`, `ranking`, `trend` | usage: in sum, by who used most, over time |
//! | `latency` | times and failures of calls |
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
/// Of a summary, which has three rankings: with 2,000 keys its answer would take longer than 50 ms.
const MOST_OF_SUMMARY: u32 = 25;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NamedUsage)]
struct NamedView {
    id: String,
    /// `null`: it is gone.
    name: Option<String>,
    totals: Totals,
}

/// How many rows were asked for.
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

/// The subject of figures.
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
    /// A key's or an account's id, or a model's name; `null` for all.
    id: Option<String>,
    /// `null`: all, or it is gone.
    name: Option<String>,
}

impl OfView {
    /// At most one of these may be asked for.
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
