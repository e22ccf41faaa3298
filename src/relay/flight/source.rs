//! Usage read from the provider's bytes before they are converted for the client.
//!
//! A converted answer may contain less usage than is billed, and a failed conversion contains none; the provider
//! bills both.

use super::Flight;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::{Measurement, Meter};
use crate::dialect::origin::Kind;
use crate::model::charge::Charge;
use crate::model::money::MicroUsd;
use crate::model::price::Bill;
use crate::model::usage::{Quality, Tokens};

/// Usage of all attempts of a call whose answers are converted.
#[derive(Default)]
pub(super) struct Source {
    /// Reads the current answer.
    meter: Option<Meter>,
    /// Answers that could not be converted.
    failed: Vec<Failed>,
    /// The cost already charged to their accounts.
    reported: MicroUsd,
}

struct Failed {
    model: String,
    tokens: Tokens,
    bill: Bill,
    is_reported: bool,
}

impl Source {
    /// Returns the usage of the last answer. `converted`: measured in the client's form; `complete`: the answer ended
    /// properly.
    pub(super) fn measured(&mut self, converted: Option<Measurement>, complete: bool) -> Option<Measurement> {
        let Some(meter) = self.meter.take() else {
            return converted;
        };
        let source = meter.finish(complete);
        let Some(converted) = converted else {
            // The client left before anything was converted.
            return used_anything(&source).then_some(source);
        };
        // Partial figures may come with the stop reason and the final ones later. A converted stream ends when it
        // has both.
        let is_cut = converted.quality == Quality::Partial && converted.error.is_none();
        Some(Measurement {
            model: source.model.or(converted.model),
            tokens: source.tokens,
            terms: source.terms,
            quality: if is_cut { Quality::Partial } else { source.quality },
            error: converted.error.or(source.error),
            reasoning: source.reasoning.or(converted.reasoning),
            ..converted
        })
    }
}

/// Whether there is any usage to bill.
fn used_anything(measured: &Measurement) -> bool {
    measured.tokens != Tokens::default() || measured.terms.extras.used().next().is_some()
}

impl Flight {
    /// The call, and the slot for the meter of its answer's source.
    pub(in crate::relay) fn call_and_source(&mut self) -> (&Call, &mut Option<Meter>) {
        (&self.call, &mut self.source.meter)
    }

    /// Feeds the meter with the provider's bytes before their conversion.
    pub(in crate::relay) fn feed_source_meter(&mut self, bytes: &[u8]) {
        if let Some(meter) = &mut self.source.meter {
            meter.feed(bytes);
        }
    }

    /// Records that an attempt's answer could not be converted. Another attempt may follow. It is billed at the
    /// price of its own model.
    pub(in crate::relay) fn source_failed(&mut self) {
        let Some(meter) = self.source.meter.take() else {
            return;
        };
        let ended = meter.ended();
        let mut measured = meter.finish(ended);
        if used_anything(&measured) {
            self.add_unreported_input(&mut measured);
            measured.terms.regional = self.is_regional();
            // Figures of an answer that broke off may be incomplete.
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

    /// Adds the estimated input to a generated answer that ended without any figure of it: OpenAI reports usage only at
    /// the end, and Chat Completions only if asked. The provider bills it, so leaving early must not be free. The input
    /// of a response that goes on in the background is charged when it is retrieved.
    pub(super) fn add_unreported_input(&self, measured: &mut Measurement) {
        let generates = self.call.endpoint.takes_slot() && !matches!(self.call.endpoint, Endpoint::Images(_));
        let is_unreported = measured.quality != Quality::Exact && measured.tokens.prompt() == 0;
        let is_paid_later = self.made.iter().any(|made| made.kind == Kind::Unpaid);
        if generates && is_unreported && !is_paid_later && measured.error.is_none() {
            measured.tokens.input = self.sent;
        }
    }

    /// The cost charged to the failed attempt's account, micro-USD.
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

    /// The part of a call's cost that is already charged to other accounts, micro-USD.
    pub(super) fn reported(&self) -> u64 {
        self.source.reported.0
    }

    /// Adds the usage and cost of failed attempts. Returns the model of the last of them.
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

/// The quality of a sum of two parts.
fn worse(one: Quality, other: Quality) -> Quality {
    match (one, other) {
        (Quality::Partial, _) | (_, Quality::Partial) => Quality::Partial,
        (Quality::Estimated, _) | (_, Quality::Estimated) => Quality::Estimated,
        (Quality::Exact, Quality::Exact) => Quality::Exact,
    }
}
