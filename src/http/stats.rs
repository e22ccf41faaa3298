//! `/apiStats`: a key's data for its holder. Paths and fields are CRS's, so that scripts for CRS work here; our
//! additions are under `now` and in `user-trend`.
//!
//! There is no login. The key or its id is in the body, so that it appears in no address and no log. Accounts are
//! never mentioned.
//!
//! | module | content |
//! | --- | --- |
//! | `user`, `remaining` | a key's usage, and the rest of its limits |
//! | `models` | usage by model |
//! | `batch` | several keys |
//! | `trend` | usage over time |
//! | `test_call` | a test of a key with a real call |

pub(super) mod batch;
pub(super) mod models;
pub(in crate::http) mod remaining;
pub(super) mod test_call;
pub(super) mod trend;
pub(super) mod user;

use std::net::IpAddr;

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use crs_durable::gate::Refusal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::api_error::{ApiError, ErrorBody};
use super::extract::{ClientAddress, Input, SMALL};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::key::Key;
use crate::model::money::MicroUsd;
use crate::model::secret::Secret;
use crate::model::usage::Totals;
use crate::relay::failures;
use crate::store::brake::Source;

/// Allowed length of a key's text, bytes; CRS's limits.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 10..=512;

/// Length of an id, bytes: ours and imported ones are UUIDs.
const ID_BYTES: usize = 36;

/// Every answer but errors.
#[derive(Serialize, ToSchema)]
pub(super) struct Answer<T> {
    /// Always true: failures have another status.
    success: bool,
    data: T,
}

impl<T> Answer<T> {
    fn of(data: T) -> Json<Self> {
        Json(Self { success: true, data })
    }
}

/// The text of a key, which is never logged.
pub(super) struct KeyText(Secret);

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::new(text)))
    }
}

/// The key, by its text or id. If both are sent, `apiId` counts.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsInput)]
pub(super) struct KeySelector {
    /// The key.
    #[schema(value_type = Option<String>)]
    api_key: Option<KeyText>,
    /// The key's id, from `get-key-id`.
    api_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsKeyId)]
pub(super) struct IdView {
    id: String,
}

/// The id of a key. Reads one record, and nothing for a text that was never a key of this relay.
///
/// An address may send 60 requests at once and then one per second; for one key, 30 at once and then one in two
/// seconds. These limits hold for all of `/apiStats` together.
#[utoipa::path(
    post, path = "/apiStats/api/get-key-id", operation_id = "getKeyId", tag = "statistics", request_body = KeySelector,
    responses(
        (status = 200, body = Answer<IdView>),
        (status = 400, description = "No key", body = ErrorBody<'_>),
        (status = 401, description = "Not a key, or one that is disabled or has expired", body = ErrorBody<'_>),
        (status = 429, description = "Asked too often; see `retry-after`", body = ErrorBody<'_>),
    )
)]
pub(super) async fn get_key_id(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Answer<IdView>>, ApiError> {
    let (input, _) = read::<KeySelector>(&app, request).await?;
    let key = input.api_key.ok_or_else(no_key)?;
    let key = by_text(&app, &key).await?;
    Ok(Answer::of(IdView { id: key.id }))
}

/// The body of a request, within the rate limits.
async fn read<T: DeserializeOwned>(app: &App, request: Request) -> Result<(T, Option<IpAddr>), ApiError> {
    let address = ClientAddress::of(request.extensions());
    // Checked before the body is read, so that refused clients cost nothing.
    slow(app, Source::address(address), 1)?;
    let Input(input) = Input::<T, SMALL>::from_request(request, app).await?;
    Ok((input, address))
}

/// The requested key, which must exist, be enabled and not expired.
async fn find(app: &App, whose: &KeySelector) -> Result<Key, ApiError> {
    match (&whose.api_id, &whose.api_key) {
        (Some(id), _) => by_id(app, id).await,
        (None, Some(text)) => by_text(app, text).await,
        (None, None) => Err(no_key()),
    }
}

async fn by_text(app: &App, KeyText(text): &KeyText) -> Result<Key, ApiError> {
    if !KEY_BYTES.contains(&text.reveal().len()) {
        let message = "This cannot be an API key: check that it was copied whole.";
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_key_format",
            message,
        ));
    }
    let unknown = || unauthorized(failures::of_gate(&Refusal::UnknownKey, 0));
    // By computation alone, so texts that were never a key cost no I/O.
    let hash = app.recognise(text.reveal()).ok_or_else(unknown)?;
    slow(app, Source::Key(hash.hex()), 1)?;
    let key = app.keys.by_hash(&hash).await?.ok_or_else(unknown)?;
    match refusal(app, &key) {
        Some(refusal) => Err(unauthorized(failures::of_gate(&refusal, app.ports.clock.now()))),
        None => Ok(key),
    }
}

async fn by_id(app: &App, id: &str) -> Result<Key, ApiError> {
    let unknown = || ApiError::not_found("API key");
    if !is_id(id) {
        return Err(unknown());
    }
    let mut found = app.keys.some(&[id]).await?;
    let key = found
        .pop()
        .filter(|key| key.deleted_at.is_none())
        .ok_or_else(unknown)?;
    slow(app, Source::Key(key.hash.clone()), 1)?;
    match refusal(app, &key) {
        Some(refusal) => {
            let failure = failures::of_gate(&refusal, app.ports.clock.now());
            Err(ApiError::new(
                StatusCode::FORBIDDEN,
                failure.code.name(),
                failure.message,
            ))
        }
        None => Ok(key),
    }
}

fn is_id(id: &str) -> bool {
    id.len() == ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Why the key's calls are refused, according to its record.
fn refusal(app: &App, key: &Key) -> Option<Refusal> {
    match key.ends_at(key.activated_at) {
        _ if !key.is_active => Some(Refusal::Disabled),
        Some(at) if at <= app.ports.clock.now() => Some(Refusal::Expired { at }),
        _ => None,
    }
}

fn unauthorized(failure: Failure) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, failure.code.name(), failure.message)
}

fn no_key() -> ApiError {
    let message = "Send your API key as `apiKey`, or its id as `apiId`.";
    ApiError::new(StatusCode::BAD_REQUEST, Code::MissingKey.name(), message)
}

fn slow(app: &App, source: Source, weight: u64) -> Result<(), ApiError> {
    app.stats_brake
        .take(source, weight, app.ports.clock.now())
        .map_err(|wait| {
            let message = "Asked too often. Wait as long as `retry-after` says.";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
                .retry_after(wait.div_ceil(1000).max(1))
        })
}

/// Usage in CRS's format.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsUsage)]
pub(super) struct UsageView {
    requests: u64,
    /// Input and output.
    tokens: u64,
    /// Including cached ones.
    all_tokens: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_create_tokens: u64,
    cache_read_tokens: u64,
    /// USD.
    cost: f64,
    formatted_cost: String,
}

impl From<Totals> for UsageView {
    fn from(totals: Totals) -> Self {
        let tokens = totals.tokens;
        Self {
            requests: totals.requests,
            tokens: tokens.input.saturating_add(tokens.output),
            all_tokens: tokens.prompt().saturating_add(tokens.output),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cache_create_tokens: tokens.cache_write_5m.saturating_add(tokens.cache_write_1h),
            cache_read_tokens: tokens.cache_read,
            cost: usd(totals.cost),
            formatted_cost: formatted(totals.cost),
        }
    }
}

fn usd(amount: MicroUsd) -> f64 {
    amount.0 as f64 / 1e6
}

/// CRS's format of money: fewer decimals for larger amounts.
fn formatted(amount: MicroUsd) -> String {
    let decimals = match amount.0 {
        1_000_000.. => 2,
        1_000.. => 4,
        _ => 6,
    };
    format!("${:.decimals$}", usd(amount))
}
