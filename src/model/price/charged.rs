//! Computes a call's cost: text tokens, other tokens, and tool calls.

use super::table::{Family, Rates, Table};
use super::{Priced, Source, Terms};
use crate::model::charge::{Charge, Item};
use crate::model::money::MicroUsd;
use crate::model::usage::Tokens;

/// Pico-USD per micro-USD.
const PICO: u128 = 1_000_000;

/// The product of two multipliers, each in thousandths.
const TIMES: u128 = 1_000 * 1_000;

/// Unrounded sums are in this unit: millionths of a pico-USD.
const SCALE: u128 = TIMES * PICO;

/// Tokens charged for an image without a token count: OpenAI's figure for 1024 by 1024 pixels in high quality.
const TOKENS_PER_IMAGE: u64 = 7_024;

/// The token class that includes an item.
enum Class {
    Input,
    CacheRead,
    Output,
}

impl Item {
    /// `None` if it is not included in the call's tokens.
    fn class(self) -> Option<Class> {
        match self {
            Self::InputAudio | Self::InputImage | Self::InputVideo => Some(Class::Input),
            Self::CachedAudio => Some(Class::CacheRead),
            Self::OutputAudio | Self::OutputImage | Self::OutputVideo => Some(Class::Output),
            _ => None,
        }
    }
}

/// Multiplier of Claude's prices in one region of Amazon's or Google's cloud, in thousandths. See
/// `model::account::regional`.
const REGIONAL: u32 = 1_100;

impl Priced<'_> {
    /// See [`charged`](Self::charged).
    pub fn cost(&self, tokens: &Tokens, terms: &Terms) -> MicroUsd {
        self.charged(tokens, terms).0
    }

    /// The call's cost, rounded half up once, and the charges for items other than text.
    ///
    /// Long context is priced as the providers do: if the prompt (all input, cached or not) exceeds a threshold,
    /// every token of the call has the higher price. Multipliers apply to tokens but not to tool calls.
    pub(super) fn charged(&self, tokens: &Tokens, terms: &Terms) -> (MicroUsd, Vec<Charge>) {
        let rates = self.rates(terms.longest_prompt.unwrap_or_else(|| tokens.prompt()), terms);
        let fast = if terms.fast { self.entry.fast } else { 1_000 };
        let us = if terms.us_only { self.entry.us_only } else { 1_000 };
        let place = if self.is_regional(terms) {
            us.max(REGIONAL)
        } else {
            us
        };
        let times = u128::from(fast).saturating_mul(u128::from(place));

        // The text tokens: all tokens minus the other kinds.
        let mut text = *tokens;
        let mut sum = 0_u128;
        let mut charges = Vec::new();
        for (item, count) in terms.extras.used() {
            let ((count, scaled), known) = match item.class() {
                Some(class) => {
                    let left = match class {
                        Class::Input => &mut text.input,
                        Class::CacheRead => &mut text.cache_read,
                        Class::Output => &mut text.output,
                    };
                    let count = count.min(*left);
                    *left -= count;
                    let (rate, known) = self.media_rate(item, rates, terms);
                    ((count, product(count, rate).saturating_mul(times)), known)
                }
                None => {
                    let (pico, known) = self.outside(item, count, terms);
                    ((count, pico.saturating_mul(TIMES)), known)
                }
            };
            if count == 0 {
                continue;
            }
            sum = sum.saturating_add(scaled);
            charges.push(Charge {
                item,
                count,
                cost: rounded(scaled),
                guessed: !known,
            });
        }
        if terms.undivided_output
            && text.output > 0
            && self.source == Source::Table
            && let Some(rate) = rates.media.output_image.filter(|rate| *rate > rates.output)
        {
            let count = std::mem::take(&mut text.output);
            let scaled = product(count, rate).saturating_mul(times);
            sum = sum.saturating_add(scaled);
            charges.push(Charge {
                item: Item::OutputImage,
                count,
                cost: rounded(scaled),
                guessed: true,
            });
        }
        let pico = [
            (text.input, rates.input),
            (text.output, rates.output),
            (text.cache_write_5m, rates.cache_write),
            (text.cache_write_1h, rates.cache_write_long),
            (text.cache_read, rates.cache_read),
        ]
        .into_iter()
        .fold(0_u128, |sum, (count, rate)| {
            sum.saturating_add(product(count, rate))
        });
        (rounded(sum.saturating_add(pico.saturating_mul(times))), charges)
    }

    /// Pico-USD per token of this kind, and whether the price is known.
    fn media_rate(&self, item: Item, rates: &Rates, terms: &Terms) -> (u64, bool) {
        // The operator's price applies to all tokens of a class.
        let own = (self.source != Source::Override).then_some(rates.media);
        if let Some(rate) = own.and_then(|media| media.of(item)) {
            return (rate, true);
        }
        let class = match item.class() {
            Some(Class::Output) => rates.output,
            Some(Class::CacheRead) => rates.cache_read,
            _ => rates.input,
        };
        let one_price = match (item, self.family) {
            _ if self.source == Source::Override => true,
            // Google's price list has one price for all kinds of input, unless it lists another for audio. The
            // other two count images in text tokens.
            (Item::InputImage | Item::InputVideo, _) | (Item::InputAudio, Family::Gemini) => true,
            (Item::CachedAudio, Family::Gemini) => rates.media.input_audio.is_none(),
            _ => false,
        };
        if one_price {
            return (class, true);
        }
        let dearest = self.dearest.rates(0, terms.tier.as_deref()).media;
        let most = dearest
            .of(item)
            .into_iter()
            .chain(rates.media.input_audio.filter(|_| item == Item::CachedAudio));
        (most.fold(class, u64::max), false)
    }

    /// Pico-USD for items outside of the call's tokens, and whether the price is known.
    fn outside(&self, item: Item, count: u64, terms: &Terms) -> (u128, bool) {
        let table = Table::embedded();
        let (image, named) = table.image_model(terms.image_model.as_deref());
        let drawn = image.media.output_image.unwrap_or(image.output);
        match item {
            Item::ToolText => (product(count, image.input), named),
            Item::ToolImageInput => {
                let rate = image.media.input_image.unwrap_or(image.input);
                (product(count, rate), named)
            }
            Item::ToolImageOutput => (product(count, drawn), named),
            Item::ToolImage => (product(count.saturating_mul(TOKENS_PER_IMAGE), drawn), false),
            _ => {
                let entry = self.listed.unwrap_or(self.entry);
                let known = entry.calls.of(item).or_else(|| table.calls(self.family).of(item));
                let price = known
                    .or_else(|| self.dearest.calls.of(item))
                    .or_else(|| table.calls(Family::OpenAi).of(item));
                let count = if entry.per_prompt && matches!(item, Item::WebSearch | Item::MapsSearch) {
                    count.min(1)
                } else {
                    count
                };
                let pico = product(count, price.unwrap_or_default()).saturating_mul(PICO);
                // A container serves several calls and has sizes, and Claude's has free hours, so a call's share
                // is unknown.
                (pico, known.is_some() && self.known() && item != Item::CodeSession)
            }
        }
    }
}

fn product(count: u64, rate: u64) -> u128 {
    u128::from(count).saturating_mul(u128::from(rate))
}

fn rounded(scaled: u128) -> MicroUsd {
    MicroUsd(u64::try_from(scaled.saturating_add(SCALE / 2) / SCALE).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
