//! Prices calls: integer micro-USD, from a table of public prices with a version.
//!
//! The table is `assets/prices.json`, made by `scripts/update-prices` and embedded. Its unit is pico-USD
//! per token, which is the same number as micro-USD per million tokens: every published price is a whole
//! number of it, so nothing is rounded before the one rounding at the end of [`Priced::cost`].
//!
//! A model is found by its exact name, then by the name less its dressing (see [`crate::model::name`]), and
//! never by likeness. A model nobody knows is priced as the dearest of its family, class by class, and the event
//! says so: a price of zero would let the call escape every money limit. The operator's own prices
//! ([`PriceOverrides`]) come before the table.

mod charged;
mod list;
mod overrides;
mod table;

use std::collections::HashMap;

use crate::model::account::Platform;
use crate::model::charge::{Charge, Extras};
use crate::model::money::MicroUsd;
use crate::model::name::spellings;
use crate::model::usage::{Quality, Tokens};

pub use self::overrides::{PriceOverride, PriceOverrideError, PriceOverrides};
pub use self::table::{Family, Rates};

use self::overrides::OwnPrice;
use self::table::{Entry, Table};

/// The terms beside the tokens that decide a call's price, as the provider reported them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The service tier that served the call (`priority`, `flex`, ...), where the provider sells tiers by
    /// the token. `None`, `default`, `standard` and names the model has no price for: the standard price.
    pub tier: Option<String>,
    /// Claude's fast mode (`usage.speed`): multiplies every price of the call.
    pub fast: bool,
    /// Inference kept in the USA (`usage.inference_geo`): multiplies every price of the call.
    pub us_only: bool,
    /// Items that the call used beside text tokens.
    pub extras: Extras,
    /// The provider named an output and not of what kinds it is: all of it may be images.
    pub undivided_output: bool,
    /// The model of OpenAI's image generation tool, if it was named.
    pub image_model: Option<String>,
    /// The longest prompt of one pass of the model, if the call took several (tools run by the provider,
    /// compaction). Long-context prices go by it; `None`: by the whole input.
    pub longest_prompt: Option<u64>,
}

/// The price table with the operator's prices laid over it. Built anew when those change.
#[derive(Debug, Default)]
pub struct PriceBook {
    overrides: HashMap<String, OwnPrice>,
}

/// How one model is priced.
#[derive(Clone, Copy, Debug)]
pub struct Priced<'a> {
    entry: &'a Entry,
    source: Source,
    /// Whose prices hold where the entry is silent.
    family: Family,
    /// The family's dearest: what is charged where no price is known.
    dearest: &'a Entry,
    /// The table's entry, where `entry` is the operator's: that has no prices of tools.
    listed: Option<&'a Entry>,
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

/// A call's charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    pub cost: MicroUsd,
    /// The part that is not for text tokens.
    pub charges: Vec<Charge>,
    /// The table's version; then `+override` or `+dearest` if the price is not the table's, and what the
    /// call's terms made of it: `+priority` (a tier), `+fast`, `+us`.
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
        let names = spellings(model);
        let listed = names.iter().find_map(|name| table.get(name));
        let own = names.iter().find_map(|name| self.overrides.get(name));
        let (family, dearest) = match (Family::of_name(model), platform) {
            (Some(family), _) => (family, table.dearest(family)),
            (None, Platform::Claude) => (Family::Claude, table.dearest(Family::Claude)),
            (None, Platform::OpenAi) => (Family::OpenAi, table.dearest(Family::OpenAi)),
            (None, Platform::Gemini) => (Family::Gemini, table.dearest(Family::Gemini)),
            (None, Platform::Antigravity) => (Family::Gemini, table.dearest_of_antigravity()),
        };
        let (entry, source) = match (own, listed) {
            (Some(own), _) => (&own.entry, Source::Override),
            (None, Some(entry)) => (entry, Source::Table),
            (None, None) => (dearest, Source::Dearest),
        };
        Priced {
            entry,
            source,
            family,
            dearest,
            listed,
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
        let (cost, charges) = priced.charged(tokens, terms);
        // Whoever serves a model in fast mode that has no known price there charges more than the standard.
        let unlisted_speed = terms.fast && priced.entry.fast == 1_000;
        let guessed = !priced.known() || unlisted_speed || charges.iter().any(|charge| charge.guessed);
        let quality = match measured {
            Quality::Exact if guessed => Quality::Estimated,
            other => other,
        };
        Bill {
            cost,
            charges,
            price_version: priced.version(terms),
            quality,
        }
    }
}

impl Priced<'_> {
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
        version
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
