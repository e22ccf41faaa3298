//! Usage that is read from the provider's bytes, before they are converted for the client.
//!
//! A converted answer may name less than what is billed, and of some answers nothing can be made for the client.
//! The provider bills them all the same.

use super::Flight;
use crate::dialect::call::Call;
use crate::dialect::meter::{Measured, Meter};
use crate::model::charge::Charge;
use crate::model::money::MicroUsd;
use crate::model::price::Bill;
use crate::model::usage::{Quality, Tokens};

/// Usage of all attempts of a call whose answers are converted.
#[derive(Default)]
pub(super) struct Source {
    /// Reads the answer under way.
    meter: Option<Meter>,
    /// Answers of which the client got nothing.
    failed: Vec<Failed>,
    /// The amount that their accounts have been charged for them.
    reported: MicroUsd,
}

struct Failed {
    model: String,
    tokens: Tokens,
    bill: Bill,
    is_reported: bool,
}

impl Source {
    /// The usage of the last answer. `told`: as measured in the client's form of it. `complete`: it came to its end.
    pub(super) fn measured(&mut self, told: Option<Measured>, complete: bool) -> Option<Measured> {
        let Some(meter) = self.meter.take() else {
            return told;
        };
        let source = meter.finish(complete);
        let Some(told) = told else {
            // The client left before anything was made of it.
            return used_anything(&source).then_some(source);
        };
        // Figures of a part of the answer may stand beside the reason to stop, and those of the whole may come
        // later. A converted stream ends when it has both.
        let is_cut = told.quality == Quality::Partial && told.error.is_none();
        Some(Measured {
            model: source.model.or(told.model),
            tokens: source.tokens,
            terms: source.terms,
            quality: if is_cut { Quality::Partial } else { source.quality },
            error: told.error.or(source.error),
            reasoning: source.reasoning.or(told.reasoning),
            ..told
        })
    }
}

/// Whether there is anything to bill.
fn used_anything(measured: &Measured) -> bool {
    measured.tokens != Tokens::default() || measured.terms.extras.used().next().is_some()
}

impl Flight {
    /// The call, and the place of what reads its answer's source.
    pub(in crate::relay) fn call_and_source(&mut self) -> (&Call, &mut Option<Meter>) {
        (&self.call, &mut self.source.meter)
    }

    /// The next bytes of the provider, which will be converted.
    pub(in crate::relay) fn measures_source(&mut self, bytes: &[u8]) {
        if let Some(meter) = &mut self.source.meter {
            meter.feed(bytes);
        }
    }

    /// Nothing could be made of an attempt's answer. Another attempt may follow. It is billed at the price of its
    /// own model.
    pub(in crate::relay) fn source_failed(&mut self) {
        let Some(meter) = self.source.meter.take() else {
            return;
        };
        let ended = meter.ended();
        let measured = meter.finish(ended);
        if used_anything(&measured) {
            // Figures of an answer that broke off may be those of a part.
            let quality = if ended { measured.quality } else { Quality::Partial };
            let model = measured.model.unwrap_or_else(|| self.asked().to_owned());
            let platform = self.plan.platform();
            let (tokens, terms) = (measured.tokens, &measured.terms);
            let prices = self.app.prices();
            self.source.failed.push(Failed {
                bill: prices.bill(&model, platform, &tokens, terms, quality),
                model,
                tokens,
                is_reported: false,
            });
        }
    }

    /// The amount that the account of the failed attempt is charged, micro-USD.
    pub(super) fn report_failed(&mut self) -> u64 {
        let Some(last) = self.source.failed.last_mut() else {
            return 0;
        };
        if std::mem::replace(&mut last.is_reported, true) {
            return 0;
        }
        self.source.reported = self.source.reported.saturating_add(last.bill.cost);
        last.bill.cost.0
    }

    /// The part of a call's cost that other accounts have been charged already, micro-USD.
    pub(super) fn reported(&self) -> u64 {
        self.source.reported.0
    }

    /// Adds the attempts whose answers the client did not get to what the last one used and cost. Returns the model
    /// of the last of them.
    pub(super) fn add_failed(&mut self, tokens: &mut Tokens, bill: &mut Bill) -> Option<String> {
        let mut last = None;
        for failed in std::mem::take(&mut self.source.failed) {
            *tokens += failed.tokens;
            bill.cost = bill.cost.saturating_add(failed.bill.cost);
            bill.quality = worse(bill.quality, failed.bill.quality);
            for charge in failed.bill.charges {
                add(&mut bill.charges, charge);
            }
            last = Some(failed.model);
        }
        last
    }
}

fn add(charges: &mut Vec<Charge>, more: Charge) {
    match charges.iter_mut().find(|charge| charge.item == more.item) {
        Some(charge) => {
            charge.count = charge.count.saturating_add(more.count);
            charge.cost = charge.cost.saturating_add(more.cost);
            charge.guessed |= more.guessed;
        }
        None => charges.push(more),
    }
}

/// Of a sum whose parts have these qualities.
fn worse(one: Quality, other: Quality) -> Quality {
    match (one, other) {
        (Quality::Partial, _) | (_, Quality::Partial) => Quality::Partial,
        (Quality::Estimated, _) | (_, Quality::Estimated) => Quality::Estimated,
        (Quality::Exact, Quality::Exact) => Quality::Exact,
    }
}
