//! A call's usage: token counts, and the ledger event made of them.

use crs_durable::Millis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::Platform;
use crate::model::charge::Charge;
use crate::model::money::{MicroUsd, Usd, in_usd};
use crate::model::trace::CallTrace;

/// Token counts of one call, each token in exactly one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Input tokens neither read from nor written to the cache.
    pub input: u64,
    pub output: u64,
    /// Written to the cache for 5 minutes.
    #[serde(rename = "cacheWrite5m")]
    pub cache_write_5m: u64,
    /// Written to the cache for 1 hour.
    #[serde(rename = "cacheWrite1h")]
    pub cache_write_1h: u64,
    pub cache_read: u64,
}

impl Tokens {
    /// Everything that went in, cached or not.
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

/// How far a ledger event can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The provider's final word on tokens, and a known price.
    Exact,
    /// The stream broke or the client left: tokens are those seen until then.
    Partial,
    /// A price (of an unknown model, or of something that no price list has) or the tokens (the provider
    /// named none) are guessed.
    Estimated,
}

/// The usage of many calls, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    pub requests: u64,
    /// Calls whose answer was an error, or broke off.
    pub errors: u64,
    /// Calls of that [`Quality`].
    pub partial: u64,
    pub estimated: u64,
    #[serde(flatten)]
    pub tokens: Tokens,
    /// Everything that was charged: tokens, and what else has a price.
    #[serde(serialize_with = "in_usd")]
    #[schema(value_type = Usd)]
    pub cost: MicroUsd,
}

/// One call that reached a provider. `request_id` is unique; writing an event twice counts it once.
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
    /// The model the provider says it used, or else the one asked for.
    pub model: String,
    pub stream: bool,
    /// Status the client got, or would have got if its converted stream had not begun before the answer.
    pub status: u16,
    /// Stable code of what went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The provider's own error text (bounded), for the operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub tokens: Tokens,
    pub cost: MicroUsd,
    /// The part of the cost that is not for text tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
    /// Version of the price table `cost` was computed with.
    pub price_version: String,
    pub quality: Quality,
    /// Milliseconds from arrival to the first byte sent to the client, if one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// Milliseconds from arrival to the end.
    pub duration_ms: u64,
    /// Provider calls made, 1 or more.
    pub attempts: u32,
    /// The client's `user-agent`, bounded.
    pub client: String,
    /// Which conversation of its key the call belongs to: 16 hex digits of a hash, as the pool knows it.
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
