//! `/admin/prices`: the operator's prices, which override the table of public ones.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Input, LARGE, Object};
use crate::app::App;
use crate::model::name;
use crate::model::price::{self, PriceBook, PriceOverride, PriceOverrides};
use crate::model::time::iso;
use crate::store::settings::StoredPrices;

const MOST: usize = 1000;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Prices)]
pub(super) struct PricesView {
    /// Version of the table of public prices.
    table_version: &'static str,
    /// The operator's prices by model, in USD per million tokens.
    overrides: PriceOverrides,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

impl From<StoredPrices> for PricesView {
    fn from(stored: StoredPrices) -> Self {
        Self {
            table_version: price::version(),
            overrides: stored.overrides,
            updated_at: stored.updated_at.map(iso),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PricesInput)]
pub(super) struct PricesInput {
    /// By model name, in USD per million tokens. Replaces all of them.
    #[schema(value_type = PriceOverrides)]
    overrides: BTreeMap<String, Object<PriceOverride>>,
}

/// The operator's prices.
#[utoipa::path(
    get, path = "/admin/prices", operation_id = "getPrices", tag = "usage", security(("admin" = [])),
    responses((status = 200, body = PricesView))
)]
pub(super) async fn get(State(app): State<App>, _: AdminSession) -> Result<Json<PricesView>, ApiError> {
    Ok(Json(app.settings.prices().await?.into()))
}

/// Replaces the operator's prices. They apply to calls that end from now on.
#[utoipa::path(
    put, path = "/admin/prices", operation_id = "setPrices", tag = "usage", security(("admin" = [])), request_body = PricesInput,
    responses(
        (status = 200, body = PricesView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn set(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<PricesInput, LARGE>,
) -> Result<Json<PricesView>, ApiError> {
    if input.overrides.len() > MOST {
        let message = format!("`overrides` must have at most {MOST} entries");
        return Err(ApiError::invalid("overrides", message));
    }
    let plain = input
        .overrides
        .into_iter()
        .map(|(model, Object(price))| (model, price));
    let overrides = PriceOverrides(plain.collect());
    for model in overrides.0.keys() {
        name::check_listed(model).map_err(|why| {
            ApiError::invalid("overrides", format!("`overrides` has a model whose name {why}"))
        })?;
    }
    let book = PriceBook::new(&overrides).map_err(|error| {
        let priced = overrides.0.contains_key(&error.model) && error.field != "the name";
        let field = if priced {
            format!("overrides.{}.{}", error.model, error.field)
        } else {
            "overrides".to_owned()
        };
        ApiError::invalid(field, error.to_string())
    })?;
    let stored = app.settings.set_prices(app.ports.clock.now(), &overrides).await?;
    app.set_prices(stored.version, book);
    session.audit("prices.update", "");
    Ok(Json(stored.into()))
}
