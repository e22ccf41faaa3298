//! `/admin/models`: the price of each model, and the models with guessed prices.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::AdminSession;
use crate::app::App;
use crate::model::money::{MicroUsd, Usd};
use crate::model::price::{self, Family, PriceBook, Rates, Source};
use crate::store::ledger::{Kind, Range, UNSERVED};

/// Maximum number of called models, by cost.
const MOST_CALLED: usize = 300;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ModelList)]
pub(super) struct ModelsView {
    /// Version of the table of public prices.
    table_version: &'static str,
    /// Called models with guessed prices first, most expensive first; then by family and name.
    items: Vec<ModelView>,
}

/// A model and its current price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PricedModel)]
struct ModelView {
    model: String,
    /// `null`: unknown from both the table and the name.
    family: Option<FamilyName>,
    source: SourceName,
    /// For short prompts in the standard tier. `null`: the highest price of the serving account's platform.
    price: Option<ModelPrice>,
    /// The model's entry in the table of public prices; `null`: it has none.
    listed: Option<ModelPrice>,
    /// The model whose entry in `/admin/prices` applies; it may be another name of the same model.
    overridden_by: Option<String>,
    /// Long prompts, other service tiers, fast mode or a region have other prices.
    varies: bool,
    /// Number of charged calls in the last 30 days, under any name of the model.
    calls: u64,
    #[schema(value_type = Usd)]
    cost: Usd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ModelFamily)]
enum FamilyName {
    Claude,
    OpenAi,
    Gemini,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PriceSource)]
enum SourceName {
    Table,
    /// The operator's own price.
    Override,
    /// A guess: the model is unknown, so the highest price of its family is charged.
    DearestOfFamily,
}

/// USD per million tokens.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelPrice {
    input: f64,
    output: f64,
    #[serde(rename = "cacheWrite5m")]
    cache_write_5m: f64,
    #[serde(rename = "cacheWrite1h")]
    cache_write_1h: f64,
    cache_read: f64,
}

impl From<&Rates> for ModelPrice {
    fn from(rates: &Rates) -> Self {
        // Pico-USD per token equals micro-USD per million tokens.
        let usd = |pico: u64| pico as f64 / 1e6;
        Self {
            input: usd(rates.input),
            output: usd(rates.output),
            cache_write_5m: usd(rates.cache_write),
            cache_write_1h: usd(rates.cache_write_long),
            cache_read: usd(rates.cache_read),
        }
    }
}

impl From<Family> for FamilyName {
    fn from(family: Family) -> Self {
        match family {
            Family::Claude => Self::Claude,
            Family::OpenAi => Self::OpenAi,
            Family::Gemini => Self::Gemini,
        }
    }
}

impl From<Source> for SourceName {
    fn from(source: Source) -> Self {
        match source {
            Source::Table => Self::Table,
            Source::Override => Self::Override,
            Source::Dearest => Self::DearestOfFamily,
        }
    }
}

/// Every model that has a price or was called in the last 30 days, with its current price. Three round trips of
/// the store: the operator's prices, and the models of 30 days by cost (at most 300); no Durable Object.
#[utoipa::path(
    get, path = "/admin/models", operation_id = "listModels", tag = "usage", security(("admin" = [])),
    responses(
        (status = 200, body = ModelsView),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(State(app): State<App>, _: AdminSession) -> Result<Json<ModelsView>, ApiError> {
    // Not the cached prices: another process may have set newer ones.
    let stored = app.settings.prices().await?;
    let book = PriceBook::new(&stored.overrides).map_err(|error| ApiError::internal(error.to_string()))?;
    let now = app.ports.clock.now();
    let called = app
        .ledger
        .ranking(Kind::Models, Range::Days30, MOST_CALLED, now)
        .await?;

    let mut rows: BTreeMap<&str, (u64, MicroUsd)> = book
        .priced_models()
        .map(|model| (model, Default::default()))
        .collect();
    for model in called.iter().filter(|model| model.id != UNSERVED) {
        let (calls, cost) = rows.entry(book.listed_as(&model.id)).or_default();
        *calls = calls.saturating_add(model.totals.requests);
        *cost = cost.saturating_add(model.totals.cost);
    }
    let mut items: Vec<ModelView> = rows
        .into_iter()
        .map(|(model, (calls, cost))| view(&book, model, calls, cost))
        .collect();
    items.sort_by_key(|item| {
        let guessed = item.source == SourceName::DearestOfFamily;
        let cost = if guessed { item.cost.0.0 } else { 0 };
        // Stable sort: ties stay ordered by name.
        (!guessed, Reverse(cost), item.family)
    });
    Ok(Json(ModelsView {
        table_version: price::version(),
        items,
    }))
}

fn view(book: &PriceBook, model: &str, calls: u64, cost: MicroUsd) -> ModelView {
    let listed = book.listed(model);
    ModelView {
        model: model.to_owned(),
        family: listed.family.map(FamilyName::from),
        source: listed.source.into(),
        price: listed.rates.map(ModelPrice::from),
        listed: listed.table.map(ModelPrice::from),
        overridden_by: listed.overridden_by.map(str::to_owned),
        varies: listed.varies,
        calls,
        cost: cost.into(),
    }
}
