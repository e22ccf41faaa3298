//! A call's usage: token counts, and its ledger event.

use crs_durable::Millis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::Platform;
use crate::model::charge::Charge;
use crate::model::money::{MicroUsd, Usd, in_usd};
use crate::model::trace::CallTrace;

/// Token counts of one call; each token is in exactly one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Input tokens neither read from nor written to the cache.
    pub input: u64,
    pub output: u64,
    /// Cache writes for 5 minutes.
    #[serde(rename = "cacheWrite5m")]
    pub cache_write_5m: u64,
    /// Cache writes for 1 hour.
    #[serde(rename = "cacheWrite1h")]
    pub cache_write_1h: u64,
    pub cache_read: u64,
}

impl Tokens {
    /// All input tokens, cached or not.
    pub fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.cache_read)
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_write_5m = self.cache_write_5m.saturating_add(other.cache_write_5m);
        self.cache_write_1h = self.cache_write_1h.saturating_add(other.cache_write_1h);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.partial = self.partial.saturating_add(other.partial);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.tokens += other.tokens;
        self.cost = self.cost.saturating_add(other.cost);
    }
}

/// The reliability of a ledger event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The provider's final token counts, and a known price.
    Exact,
    /// The stream broke or the client left: the tokens seen until then.
    Partial,
    /// A price (of an unknown model or unlisted item) or the token counts (the provider sent none) are guessed.
    Estimated,
}

/// The summed usage of many calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    pub requests: u64,
    /// Calls whose answer was an error, or broke off.
    pub errors: u64,
    /// Number of calls with this [`Quality`].
    pub partial: u64,
    pub estimated: u64,
    #[serde(flatten)]
    pub tokens: Tokens,
    /// Total cost: tokens and other charged items.
    #[serde(serialize_with = "in_usd")]
    #[schema(value_type = Usd)]
    pub cost: MicroUsd,
}

/// One call that reached a provider. `request_id` is unique; an event written twice is counted once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEvent {
    pub request_id: String,
    /// When the client's request arrived.
    pub at: Millis,
    pub key_id: String,
    pub key_name: String,
    /// The account of the last attempt.
    pub account_id: String,
    pub account_name: String,
    pub platform: Platform,
    /// `messages`, `count_tokens`, ...
    pub endpoint: String,
    /// The model named by the provider, or else the requested one.
    pub model: String,
    pub stream: bool,
    /// The client's status, or the one it would have received if its converted stream had not begun before the
    /// answer.
    pub status: u16,
    /// The code of the failure, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The provider's error message (shortened), only for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub tokens: Tokens,
    pub cost: MicroUsd,
    /// The part of the cost that is not for text tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
    /// Version of the price table used for `cost`.
    pub price_version: String,
    pub quality: Quality,
    /// Milliseconds from arrival to the first byte sent to the client, if one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// Milliseconds from arrival to the end.
    pub duration_ms: u64,
    /// Number of provider calls, at least 1.
    pub attempts: u32,
    /// The client's `user-agent`, bounded.
    pub client: String,
    /// The conversation of the key: 16 hex digits of a hash, as in the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// How it was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<CallTrace>,
}

impl Quality {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Partial => "partial",
            Self::Estimated => "estimated",
        }
    }
}
