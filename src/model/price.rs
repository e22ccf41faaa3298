//! What tokens cost: integer micro-USD, from a table of public prices with a version.
//!
//! The table is `assets/prices.json`, made by `scripts/update-prices` and embedded. Its unit is pico-USD
//! per token, which is the same number as micro-USD per million tokens: every published price is a whole
//! number of it, so nothing is rounded before the one rounding at the end of [`Priced::cost`].
//!
//! A model is found by its exact name, then by the name less its dressing (see `names`), and never by
//! likeness. A model nobody knows is priced as the dearest of its family, class by class, and the event
//! says so: a price of zero would let the call escape every money limit. The operator's own prices
//! ([`PriceOverrides`]) come before the table.

mod names;
mod overrides;
mod table;

use std::collections::HashMap;

use crate::model::account::Platform;
use crate::model::usage::{Quality, Tokens};

pub use self::overrides::{PriceOverride, PriceOverrideError, PriceOverrides};
pub use self::table::{Family, Rates};

use self::names::candidates;
use self::table::{Entry, Table};

/// What besides the tokens decides a call's price, as the provider reported it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The service tier that served the call (`priority`, `flex`, ...), where the provider sells tiers by
    /// the token. `None`, `default`, `standard` and names the model has no price for: the standard price.
    pub tier: Option<String>,
    /// Claude's fast mode (`usage.speed`): multiplies every price of the call.
    pub fast: bool,
    /// Inference kept in the USA (`usage.inference_geo`): multiplies every price of the call.
    pub us_only: bool,
    /// Searches the provider made on the web for the call; each has a price of its own.
    pub searches: u64,
    /// The longest prompt of one pass of the model, if the call took several (tools run by the provider,
    /// compaction). Long-context prices go by it; `None`: by the whole input.
    pub longest_prompt: Option<u64>,
}

/// The price table with the operator's prices laid over it. Built anew when those change.
#[derive(Debug, Default)]
pub struct PriceBook {
    overrides: HashMap<String, Entry>,
}

/// How one model is priced.
#[derive(Clone, Copy, Debug)]
pub struct Priced<'a> {
    entry: &'a Entry,
    source: Source,
}

/// Where a price comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Table,
    /// The operator's own price.
    Override,
    /// The model is unknown: the dearest of its family.
    Dearest,
}

/// What a call is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Micro-USD.
    pub cost: u64,
    /// The table's version; then `+override` or `+dearest` if the price is not the table's, and what the
    /// call's terms made of it: `+priority` (a tier), `+fast`, `+us`, `+2searches`.
    pub price_version: String,
    pub quality: Quality,
}

impl PriceBook {
    pub fn new(overrides: &PriceOverrides) -> Result<Self, PriceOverrideError> {
        Ok(Self {
            overrides: overrides.entries()?,
        })
    }

    /// The price of `model`, as the provider or the client names it. `platform` is that of the account,
    /// and decides the family when the name does not.
    pub fn price(&self, model: &str, platform: Platform) -> Priced<'_> {
        let table = Table::embedded();
        if let Some(entry) = candidates(model).find_map(|name| self.overrides.get(name)) {
            return Priced {
                entry,
                source: Source::Override,
            };
        }
        if let Some(entry) = candidates(model).find_map(|name| table.get(name)) {
            return Priced {
                entry,
                source: Source::Table,
            };
        }
        let entry = match (Family::of_name(model), platform) {
            (Some(family), _) => table.dearest(family),
            (None, Platform::Claude) => table.dearest(Family::Claude),
            (None, Platform::OpenAi) => table.dearest(Family::OpenAi),
            (None, Platform::Gemini) => table.dearest(Family::Gemini),
            (None, Platform::Antigravity) => table.dearest_of_antigravity(),
        };
        Priced {
            entry,
            source: Source::Dearest,
        }
    }

    /// Charges a call. A guessed price makes an exact measurement an estimate; a partial measurement
    /// stays partial, and its price version tells of the guess.
    pub fn bill(
        &self,
        model: &str,
        platform: Platform,
        tokens: &Tokens,
        terms: &Terms,
        measured: Quality,
    ) -> Bill {
        let priced = self.price(model, platform);
        let quality = match measured {
            Quality::Exact if !priced.known() => Quality::Estimated,
            other => other,
        };
        Bill {
            cost: priced.cost(tokens, terms),
            price_version: priced.version(terms),
            quality,
        }
    }
}

impl Priced<'_> {
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether this is the model's own price.
    pub fn known(&self) -> bool {
        self.source != Source::Dearest
    }

    /// The prices that hold for a call with a prompt of `prompt` tokens, before multipliers.
    pub fn rates(&self, prompt: u64, terms: &Terms) -> &Rates {
        self.entry.rates(prompt, terms.tier.as_deref())
    }

    /// See [`Bill::price_version`].
    pub fn version(&self, terms: &Terms) -> String {
        let mut version = Table::embedded().version().to_owned();
        match self.source {
            Source::Table => {}
            Source::Override => version += "+override",
            Source::Dearest => version += "+dearest",
        }
        if let Some(tier) = terms.tier.as_deref().filter(|tier| self.entry.sells(tier)) {
            version += "+";
            version += tier;
        }
        if terms.fast && self.entry.fast != 1_000 {
            version += "+fast";
        }
        if terms.us_only && self.entry.us_only != 1_000 {
            version += "+us";
        }
        if terms.searches > 0 && self.entry.search > 0 {
            version += "+";
            version += &terms.searches.to_string();
            version += "searches";
        }
        version
    }

    /// Micro-USD, rounded half up, once.
    ///
    /// Long context is priced as the providers do it: when the prompt (everything that went in, cached
    /// or not) is longer than a threshold, every token of the call has the higher price.
    pub fn cost(&self, tokens: &Tokens, terms: &Terms) -> u64 {
        /// Multipliers are thousandths, there are two of them, and a micro is 10^6 pico.
        const SCALE: u128 = 1_000 * 1_000 * 1_000_000;

        let rates = self.rates(terms.longest_prompt.unwrap_or_else(|| tokens.prompt()), terms);
        let pico = [
            (tokens.input, rates.input),
            (tokens.output, rates.output),
            (tokens.cache_write_5m, rates.cache_write),
            (tokens.cache_write_1h, rates.cache_write_long),
            (tokens.cache_read, rates.cache_read),
        ]
        .into_iter()
        .fold(0_u128, |sum, (count, rate)| {
            sum.saturating_add(u128::from(count).saturating_mul(u128::from(rate)))
        });
        let fast = if terms.fast { self.entry.fast } else { 1_000 };
        let us = if terms.us_only { self.entry.us_only } else { 1_000 };
        let searches = u128::from(terms.searches).saturating_mul(u128::from(self.entry.search));
        let scaled = pico
            .saturating_mul(u128::from(fast))
            .saturating_mul(u128::from(us))
            .saturating_add(searches.saturating_mul(SCALE));
        u64::try_from(scaled.saturating_add(SCALE / 2) / SCALE).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;

/// The version of the embedded table.
pub fn version() -> &'static str {
    Table::embedded().version()
}

/// Names of the models of a family that the table knows, in no order that may be relied on.
pub fn models(family: Family) -> impl Iterator<Item = &'static str> {
    Table::embedded()
        .names()
        .filter(move |name| Family::of_name(name) == Some(family))
}
