//! Builds a call's ledger event, also for a call whose end is never reported.

use super::Flight;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::{Measurement, Meter};
use crate::dialect::origin;
use crate::error::Code;
use crate::model::charge::Item;
use crate::model::money::MicroUsd;
use crate::model::price::{self, Bill};
use crate::model::usage::{LedgerEvent, Quality, Tokens};
use crate::relay::mask::SecretMask;

/// Model of calls without a model.
const NO_MODEL: &str = "(none)";

/// Id and name of an unknown account.
const UNKNOWN: &str = "unknown";

impl Flight {
    /// The event to write if this call is never settled. `None` if the gates end with this process.
    pub(in crate::relay) fn note(&self) -> Option<String> {
        let outlived = !self.app.ports.gates.in_process();
        outlived
            .then(|| serde_json::to_string(&self.lost()).ok())
            .flatten()
    }

    /// The event of a call that vanished. The gate adds the key.
    fn lost(&self) -> LedgerEvent {
        let error = Some(Code::CallLost.name().to_owned());
        self.event_of(self.asked().to_owned(), error, price::version().to_owned())
    }

    /// The event of a call that has not ended: without usage and cost.
    fn event_of(&self, model: String, error: Option<String>, price_version: String) -> LedgerEvent {
        let account = self.account.as_ref().map(|live| &live.account);
        let named = |name: Option<&String>| name.map_or(UNKNOWN, String::as_str).to_owned();
        LedgerEvent {
            request_id: self.id.clone(),
            at: self.call.at,
            key_id: String::new(),
            key_name: String::new(),
            account_id: named(account.map(|account| &account.id)),
            account_name: named(account.map(|account| &account.name)),
            platform: self.plan.platform(),
            endpoint: self.call.endpoint.name().to_owned(),
            model,
            stream: self.call.stream,
            // 499 is nginx's customary status for a client that left before the answer.
            status: self.status.unwrap_or(499),
            error,
            detail: None,
            tokens: Tokens::default(),
            cost: MicroUsd::ZERO,
            charges: Vec::new(),
            price_version,
            quality: Quality::Partial,
            first_byte_ms: self.first_byte.map(|at| self.ms(at)),
            duration_ms: 0,
            attempts: self.attempts,
            client: client(&self.call),
            session: self.session(),
            trace: None,
        }
    }

    /// Identifier of the call's conversation for the log.
    fn session(&self) -> Option<String> {
        let session = self.call.session.as_ref()?;
        Some(format!("{:016x}", session.hash(&self.call.key)))
    }

    /// The model named by the client.
    pub(super) fn asked(&self) -> &str {
        match self.call.model.as_str() {
            "" => NO_MODEL,
            model => model,
        }
    }

    /// Milliseconds from the call's arrival to these ticks.
    pub(super) fn ms(&self, ticks: u64) -> u64 {
        ticks.saturating_sub(self.call.started) / 1000
    }

    /// The ledger event, if a provider was called.
    pub(super) fn event(&mut self) -> Option<LedgerEvent> {
        self.account.as_ref()?;
        let policy = self.policy.take()?;
        // The answer contained its final event; a client may close before the connection ends.
        self.complete |= self.meter.as_ref().is_some_and(Meter::ended);
        if !self.complete && self.failure.is_none() {
            self.failure = Some((Code::ClientLeft, None));
        }
        let converted = self.meter.take().map(|meter| meter.finish(self.complete));
        let mut measured = self.source.measured(converted, self.complete);
        if let Some(measured) = &mut measured {
            self.served &= measured.error.is_none();
            if self.call.endpoint.is_about_an_object() {
                self.unpaid = self.unpaid_mark(measured);
            }
            self.made = origin::made(
                self.plan.target(self.call.endpoint),
                self.call.stored && !self.plan.converts(),
                self.call.background && measured.stop_reason.is_none(),
                measured.message_id.as_deref(),
                measured.reasoning,
            );
        }
        let asked = self.asked().to_owned();
        let has_answer = measured.is_some();
        let (mut model, mut tokens, mut bill, provider_error) = match measured {
            Some(mut measured) => {
                let drawn_with = &mut measured.terms.image_model;
                *drawn_with = drawn_with.take().or_else(|| self.call.hosted.image_model.clone());
                if matches!(self.call.endpoint, Endpoint::Images(_)) {
                    self.expected_images(&mut measured);
                }
                self.add_unreported_input(&mut measured);
                measured.terms.regional = self.is_regional();
                let model = measured.model.unwrap_or(asked);
                let platform = self.plan.platform();
                let bill = self.app.prices().bill(
                    &model,
                    platform,
                    &measured.tokens,
                    &measured.terms,
                    measured.quality,
                );
                (model, measured.tokens, bill, measured.error)
            }
            None => (asked, Tokens::default(), self.nothing_to_bill(), None),
        };
        if let Some(failed) = self.add_failed(&mut tokens, &mut bill)
            && !has_answer
        {
            model = failed;
        }
        // The provider's own error in a stream explains more than the fact that the stream broke off.
        let (error, detail) = match (provider_error, self.failure.take()) {
            (Some(error), _) => (Some(error.kind), Some(error.message)),
            (None, Some((code, detail))) => (Some(code.name().to_owned()), detail),
            (None, None) => (None, None),
        };
        let detail = detail.map(|detail| self.hidden(detail));
        let trace = self.trace(&tokens);
        Some(LedgerEvent {
            trace: Some(trace),
            key_id: policy.id.clone(),
            key_name: policy.name.clone(),
            detail: detail.map(|detail| detail.chars().take(1000).collect()),
            tokens,
            cost: bill.cost,
            charges: bill.charges,
            quality: bill.quality,
            duration_ms: self.ms(self.app.ports.clock.ticks()),
            ..self.event_of(model, error, bill.price_version)
        })
    }

    /// Whether the account's cloud charges for the region.
    pub(super) fn is_regional(&self) -> bool {
        let account = self.account.as_ref();
        account.is_some_and(|live| live.account.is_regional(&self.call.model))
    }

    /// Hosts may make images without a word about their tokens.
    fn expected_images(&self, measured: &mut Measurement) {
        let untold = measured.tokens == Tokens::default() && measured.error.is_none();
        if untold && measured.quality != Quality::Exact {
            measured.tokens.output = self.call.max_output.unwrap_or_default();
            measured
                .terms
                .extras
                .set(Item::OutputImage, measured.tokens.output);
        }
    }

    /// Masks the account's secrets in the provider's words.
    fn hidden(&self, words: String) -> String {
        match &self.account {
            Some(account) => SecretMask::of(account).text(&words).into_owned(),
            None => words,
        }
    }

    /// The bill of an answer without usage: an error, a free call, or a client that left early. It is unknown
    /// whether the provider bills the last.
    fn nothing_to_bill(&self) -> Bill {
        Bill {
            cost: MicroUsd::ZERO,
            charges: Vec::new(),
            price_version: price::version().to_owned(),
            quality: if self.complete {
                Quality::Exact
            } else {
                Quality::Partial
            },
        }
    }
}

/// The client's user agent, shortened.
fn client(call: &Call) -> String {
    let agent = call
        .headers
        .get(http::header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    // A header's text is ASCII.
    agent.get(..120).unwrap_or(agent).to_owned()
}
