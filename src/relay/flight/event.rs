//! The ledger's record of a call: what it used, or what can be said of it if nobody tells how it ended.

use super::Flight;
use crate::dialect::call::Call;
use crate::dialect::meter::Meter;
use crate::dialect::origin;
use crate::error::Code;
use crate::model::money::MicroUsd;
use crate::model::price::{self, Bill};
use crate::model::usage::{LedgerEvent, Quality, Tokens};
use crate::relay::mask::SecretMask;

/// In place of the model of a call that is about none.
const NO_MODEL: &str = "(none)";

/// In place of the id and name of an account that is not known.
const UNKNOWN: &str = "unknown";

impl Flight {
    /// The event that a gate which keeps events writes if this call is never settled; `None`: this host's gates
    /// keep none.
    pub(in crate::relay) fn note(&self) -> Option<String> {
        self.app.ports.gates.keeps_events()?;
        serde_json::to_string(&self.lost()).ok()
    }

    /// The event of a call that vanished. The gate knows whose key it was.
    fn lost(&self) -> LedgerEvent {
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
            model: self.asked().to_owned(),
            stream: self.call.stream,
            // 499: what nginx made the customary mark of a client that left before the answer.
            status: self.status.unwrap_or(499),
            error: Some(Code::CallLost.name().to_owned()),
            detail: None,
            tokens: Tokens::default(),
            cost: MicroUsd::ZERO,
            charges: Vec::new(),
            price_version: price::version().to_owned(),
            quality: Quality::Partial,
            first_byte_ms: self.first_byte.map(|at| self.ms(at)),
            duration_ms: 0,
            attempts: self.attempts,
            client: client(&self.call),
            session: self.session(),
            trace: None,
        }
    }

    /// The name of the call's conversation in the log.
    fn session(&self) -> Option<String> {
        let session = self.call.session.as_ref()?;
        Some(format!("{:016x}", session.hash(&self.call.key)))
    }

    /// The model the client named.
    pub(super) fn asked(&self) -> &str {
        match self.call.model.as_str() {
            "" => NO_MODEL,
            model => model,
        }
    }

    /// From the call's arrival to these ticks.
    pub(super) fn ms(&self, ticks: u64) -> u64 {
        ticks.saturating_sub(self.call.started) / 1000
    }

    /// The ledger's record, if a provider was called.
    pub(super) fn event(&mut self) -> Option<LedgerEvent> {
        self.account.as_ref()?;
        let policy = self.policy.take()?;
        let lost = self.lost();
        // Complete by its own word: a client that closed before the connection's end does not matter.
        self.complete |= self.meter.as_ref().is_some_and(Meter::ended);
        if !self.complete && self.failure.is_none() {
            self.failure = Some((Code::ClientLeft, None));
        }
        let told = self.meter.take().map(|meter| meter.finish(self.complete));
        let measured = self.source.measured(told, self.complete);
        if let Some(measured) = &measured {
            self.served &= measured.error.is_none();
            self.made = origin::made(
                self.plan.target(self.call.endpoint),
                self.call.stored && !self.plan.converts(),
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
        // In a stream, the provider's own error is nearer to the cause than that the stream broke off.
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
            model,
            error,
            detail: detail.map(|detail| detail.chars().take(1000).collect()),
            tokens,
            cost: bill.cost,
            charges: bill.charges,
            price_version: bill.price_version,
            quality: bill.quality,
            duration_ms: self.ms(self.app.ports.clock.ticks()),
            ..lost
        })
    }

    /// The provider's words, with no secret of the account in them.
    fn hidden(&self, words: String) -> String {
        match &self.account {
            Some(account) => SecretMask::of(account).text(&words).into_owned(),
            None => words,
        }
    }

    /// An answer without usage: an error, a free call, or none because the client left first. What a
    /// provider charges for the last, if anything, nobody here can know.
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

/// The client's own name for itself, bounded.
fn client(call: &Call) -> String {
    let agent = call
        .headers
        .get(http::header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    agent.chars().take(120).collect()
}
