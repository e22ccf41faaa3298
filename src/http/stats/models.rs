//! `user-model-stats` and `batch-model-stats`: the usage of one or several keys by model.

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::batch::working;
use super::{KeySelector, UsageView, find, formatted, read, usd};
use crate::app::App;
use crate::model::account::Platform;
use crate::model::money::MicroUsd;
use crate::model::price::{PriceBook, Terms};
use crate::model::usage::Tokens;
use crate::store::ledger::{Kind, Range, Ranked};

/// Maximum number of models per answer.
const MODELS: usize = 50;

#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StatsPeriod)]
enum Period {
    /// Today.
    Daily,
    /// This calendar month.
    #[default]
    Monthly,
}

impl Period {
    fn range(self) -> Range {
        match self {
            Self::Daily => Range::Today,
            Self::Monthly => Range::Month,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ModelStatsInput)]
pub(in crate::http) struct ModelsInput {
    #[serde(flatten)]
    whose: KeySelector,
    /// Default: monthly.
    period: Option<Period>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelStats)]
pub(in crate::http) struct ModelsView {
    /// Always true: failures have another status.
    success: bool,
    /// Most expensive first.
    data: Vec<ModelView>,
    period: Period,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelStatsRow)]
struct ModelView {
    model: String,
    #[serde(flatten)]
    usage: UsageView,
    costs: CostsView<f64>,
    formatted: CostsView<String>,
    pricing: PricingView,
}

/// The cost of each token class at current prices. The sum may differ from the total, which was charged earlier.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CostsView<T> {
    input: T,
    output: T,
    cache_write: T,
    cache_read: T,
    total: T,
}

/// USD per million tokens.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsPricing)]
struct PricingView {
    input: f64,
    output: f64,
    cache_write: f64,
    cache_read: f64,
}

/// A key's usage by model. Reads one ranking and a few sums; for a month, for each of its days.
#[utoipa::path(
    post, path = "/apiStats/api/user-model-stats", operation_id = "getKeyModelStats", tag = "statistics", request_body = ModelsInput,
    responses(
        (status = 200, body = ModelsView),
        (status = 400, description = "No key", body = ErrorBody<'_>),
        (status = 401, description = "Not a key, or one that is disabled or has expired", body = ErrorBody<'_>),
        (status = 403, description = "By id: the key is disabled or has expired", body = ErrorBody<'_>),
        (status = 404, description = "By id: there is no such key", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
        (status = 429, description = "Asked too often; see `retry-after`", body = ErrorBody<'_>),
    )
)]
pub(in crate::http) async fn user_model_stats(
    State(app): State<App>,
    request: Request,
) -> Result<Json<ModelsView>, ApiError> {
    let (input, _) = read::<ModelsInput>(&app, request).await?;
    let key = find(&app, &input.whose).await?;
    let period = input.period.unwrap_or_default();
    let kind = Kind::ModelsOf(&key.id);
    let models = app
        .ledger
        .ranking(kind, period.range(), MODELS, app.ports.clock.now())
        .await?;
    Ok(answer(&app, models, period))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchModelStatsInput)]
pub(in crate::http) struct BatchModelsInput {
    /// Ids of keys. Unknown, disabled and expired keys are ignored.
    #[schema(min_items = 1, max_items = 30)]
    api_ids: Vec<String>,
    /// Default: daily, as in CRS.
    period: Option<Period>,
}

/// The usage of several keys together, by model. Three round trips: the keys, the rankings of each key and day of
/// the period, and the sums found there.
#[utoipa::path(
    post, path = "/apiStats/api/batch-model-stats", operation_id = "getBatchModelStats", tag = "statistics",
    request_body = BatchModelsInput,
    responses(
        (status = 200, body = ModelsView),
        (status = 400, description = "No id, or more than 30", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
        (status = 429, description = "Asked too often; see `retry-after`", body = ErrorBody<'_>),
    )
)]
pub(in crate::http) async fn batch_model_stats(
    State(app): State<App>,
    request: Request,
) -> Result<Json<ModelsView>, ApiError> {
    let (input, address) = read::<BatchModelsInput>(&app, request).await?;
    let keys = working(&app, input.api_ids, address).await?;
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let period = input.period.unwrap_or(Period::Daily);
    let now = app.ports.clock.now();
    let models = app.ledger.models_of(&ids, period.range(), MODELS, now).await?;
    Ok(answer(&app, models, period))
}

fn answer(app: &App, models: Vec<Ranked>, period: Period) -> Json<ModelsView> {
    let prices = app.prices();
    let rows = models.into_iter().map(|model| row(model, &prices));
    Json(ModelsView {
        success: true,
        data: rows.collect(),
        period,
    })
}

fn row(ranked: Ranked, prices: &PriceBook) -> ModelView {
    let tokens = ranked.totals.tokens;
    // The tokens belong to many calls, so thresholds for the length of a single call do not apply.
    let terms = Terms {
        longest_prompt: Some(0),
        ..Terms::default()
    };
    // The platform matters only for names of unknown families.
    let priced = prices.price(&ranked.id, Platform::Claude);
    let rates = priced.rates(0, &terms);
    let cost = |tokens: Tokens| priced.cost(&tokens, &terms);
    let costs = CostsView {
        input: cost(Tokens {
            input: tokens.input,
            ..Tokens::default()
        }),
        output: cost(Tokens {
            output: tokens.output,
            ..Tokens::default()
        }),
        cache_write: cost(Tokens {
            cache_write_5m: tokens.cache_write_5m,
            cache_write_1h: tokens.cache_write_1h,
            ..Tokens::default()
        }),
        cache_read: cost(Tokens {
            cache_read: tokens.cache_read,
            ..Tokens::default()
        }),
        total: ranked.totals.cost,
    };
    // Converts from pico-USD per token.
    let per_million = |rate: u64| rate as f64 / 1e6;
    ModelView {
        pricing: PricingView {
            input: per_million(rates.input),
            output: per_million(rates.output),
            cache_write: per_million(rates.cache_write),
            cache_read: per_million(rates.cache_read),
        },
        formatted: costs.map(formatted),
        costs: costs.map(usd),
        usage: ranked.totals.into(),
        model: ranked.id,
    }
}

impl CostsView<MicroUsd> {
    fn map<T>(&self, show: impl Fn(MicroUsd) -> T) -> CostsView<T> {
        CostsView {
            input: show(self.input),
            output: show(self.output),
            cache_write: show(self.cache_write),
            cache_read: show(self.cache_read),
            total: show(self.total),
        }
    }
}
