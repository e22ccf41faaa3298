//! A call on its way: what it holds, and its one settlement.
//!
//! A `Flight` exists from before admission to the last byte. However it ends (finished, failed, dropped
//! because the client left), it frees the key's slot and the account's, and writes one ledger event if a
//! provider was called. The machines ignore what they do not know, so settling too much does no harm.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use crs_durable::gate::KeyPolicy;
use crs_durable::{gate, pool};

use super::attempt;
use super::call::{Call, request_id};
use super::meter::Meter;
use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::price::{self, Bill};
use crate::model::usage::{LedgerEvent, Quality, Tokens};
use crate::provider::Provider;
use crate::store::accounts::LiveAccount;

/// Leases are renewed by passing frames, at most this often, microseconds.
const RENEW_EVERY: u64 = 10_000_000;

pub struct Flight {
    app: App,
    provider: &'static dyn Provider,
    call: Call,
    id: String,
    policy: Option<Arc<KeyPolicy>>,
    /// The account whose slot is held now.
    held: Option<pool::AccountId>,
    /// The account of the last provider call.
    account: Option<Arc<LiveAccount>>,
    attempts: u32,
    /// Reads the answer's usage; `None` where there is nothing to read.
    meter: Option<Meter>,
    status: Option<u16>,
    first_byte: Option<u64>,
    renewed: u64,
    /// What ended the call badly, if that is known before the flight is dropped.
    failure: Option<(Code, Option<String>)>,
    /// Whether the answer came to its own end.
    complete: bool,
    settled: bool,
}

impl Flight {
    pub fn new(app: &App, provider: &'static dyn Provider, call: Call) -> Self {
        Self {
            app: app.clone(),
            provider,
            id: request_id(call.id),
            renewed: call.started,
            call,
            policy: None,
            held: None,
            account: None,
            attempts: 0,
            meter: None,
            status: None,
            first_byte: None,
            failure: None,
            complete: false,
            settled: false,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn call(&self) -> &Call {
        &self.call
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    pub fn provider(&self) -> &'static dyn Provider {
        self.provider
    }

    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn admitted(&mut self, policy: Arc<KeyPolicy>) {
        self.policy = Some(policy);
    }

    pub(super) fn hold(&mut self, account: pool::AccountId) {
        self.held = Some(account);
    }

    /// A provider call begins: from here on the ledger has an event of this call.
    pub(super) fn trying(&mut self, account: &Arc<LiveAccount>) {
        self.attempts += 1;
        self.account = Some(account.clone());
        // A second try may come late in the lease's life.
        let now = self.app.ports.clock.ticks();
        if now.saturating_sub(self.renewed) > RENEW_EVERY {
            self.renewed = now;
            self.renew(self.app.config.relay.waiting_ttl());
        }
    }

    /// An attempt failed: the pool learns how, and the account's slot is free.
    pub(super) async fn release_account(&mut self, outcome: pool::Outcome) {
        if let Some(account) = self.held.clone() {
            let report = pool::Command::Report {
                call: self.call.id,
                account,
                outcome,
            };
            if let Err(away) = self.app.ports.gates.pool(self.provider.platform(), report).await {
                tracing::warn!(error = %away, "the pool was not told of an attempt; the lease ends by itself");
            }
            // Only now: if this future is dropped while it waits, the settlement frees the slot.
            self.held = None;
        }
    }

    /// The first byte of an answer is here.
    pub(super) fn answered(&mut self, status: u16, meter: Option<Meter>, well: bool) {
        self.status = Some(status);
        self.meter = meter;
        self.first_byte = Some(self.app.ports.clock.ticks());
        if let (true, Some(account)) = (well, self.held.clone()) {
            self.tell_pool(pool::Command::Report {
                call: self.call.id,
                account,
                outcome: pool::Outcome::Serving,
            });
        }
    }

    /// Bytes pass to the client.
    pub(super) fn passed(&mut self, bytes: &[u8], now: u64) {
        if let Some(meter) = &mut self.meter {
            meter.feed(bytes);
        }
        if now.saturating_sub(self.renewed) > RENEW_EVERY {
            self.renewed = now;
            self.renew(self.app.config.relay.streaming_ttl());
        }
    }

    pub(super) fn meter(&self) -> Option<&Meter> {
        self.meter.as_ref()
    }

    fn renew(&self, ttl: Duration) {
        let ttl_ms = ttl.as_millis() as u64;
        let call = self.call.id;
        if self.held.is_some() {
            self.tell_pool(pool::Command::Renew { call, ttl_ms });
        }
        let (app, key) = (self.app.clone(), self.call.key.clone());
        detach(&self.app, async move {
            let _ = app
                .ports
                .gates
                .gate(&key, gate::Command::Renew { call, ttl_ms })
                .await;
        });
    }

    /// The call ends without an answer to the client.
    pub(super) fn failed(mut self, failure: &Failure) {
        self.status = Some(failure.status.as_u16());
        self.failure = Some((failure.code, failure.detail.clone()));
        // After a time-out or a cut nobody knows what the provider did, and charges.
        self.complete = !matches!(failure.code, Code::ProviderTimeout | Code::ProviderBroke);
    }

    /// The provider's own refusal goes to the client as it is.
    pub(super) fn passed_on(&mut self, body: &[u8]) {
        self.failure = Some((Code::PassedOn, Some(attempt::excerpt(body))));
    }

    /// The stream broke off after it had begun.
    pub(super) fn broke(&mut self, code: Code, detail: String) {
        self.failure = Some((code, Some(detail)));
    }

    /// The answer came to its own end.
    pub(super) fn completed(&mut self) {
        self.complete = true;
    }

    fn tell_pool(&self, command: pool::Command) {
        let (app, platform) = (self.app.clone(), self.provider.platform());
        detach(&self.app, async move {
            if let Err(away) = app.ports.gates.pool(platform, command).await {
                tracing::warn!(error = %away, "the pool was not reached; leases end by themselves");
            }
        });
    }

    fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        if let Some(account) = self.held.take() {
            self.tell_pool(pool::Command::Report {
                call: self.call.id,
                account,
                outcome: pool::Outcome::Finished,
            });
        }
        let (app, key, call) = (self.app.clone(), self.call.key.clone(), self.call.id);
        detach(&self.app, async move {
            if let Err(away) = app.ports.gates.gate(&key, gate::Command::Settle { call }).await {
                tracing::warn!(error = %away, "the gate was not reached; the lease ends by itself");
            }
        });
        if let Some(event) = self.event() {
            self.app.metrics.settled(&event);
            self.app.outbox.push(event);
        }
    }

    /// The ledger's record, if a provider was called.
    fn event(&mut self) -> Option<LedgerEvent> {
        let account = self.account.take()?;
        let policy = self.policy.take()?;
        let now = self.app.ports.clock.ticks();
        let ms = |ticks: u64| ticks.saturating_sub(self.call.started) / 1000;
        // Whole by its own word: that the client hung up before the connection's end is no matter.
        self.complete |= self.meter.as_ref().is_some_and(Meter::ended);
        if !self.complete && self.failure.is_none() {
            self.failure = Some((Code::ClientLeft, None));
        }
        let measured = self.meter.take().map(|meter| meter.finish(self.complete));
        let asked = self.call.model.clone();
        let (model, tokens, bill, provider_error) = match measured {
            Some(measured) => {
                let model = measured.model.unwrap_or(asked);
                let platform = self.provider.platform();
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
        // In a stream, the provider's own error is nearer to the cause than that the stream broke off.
        let (error, detail) = match (provider_error, self.failure.take()) {
            (Some(error), _) => (Some(error.kind), Some(error.message)),
            (None, Some((code, detail))) => (Some(code.name().to_owned()), detail),
            (None, None) => (None, None),
        };
        Some(LedgerEvent {
            request_id: std::mem::take(&mut self.id),
            at: self.call.at,
            key_id: policy.id.clone(),
            key_name: policy.name.clone(),
            account_id: account.account.id.clone(),
            account_name: account.account.name.clone(),
            platform: self.provider.platform(),
            endpoint: self.call.endpoint.name().to_owned(),
            model,
            stream: self.call.stream,
            // 499: what nginx made the customary mark of a client that left before the answer.
            status: self.status.unwrap_or(499),
            error,
            detail: detail.map(|detail| detail.chars().take(1000).collect()),
            tokens,
            cost: bill.cost,
            price_version: bill.price_version,
            quality: bill.quality,
            first_byte_ms: self.first_byte.map(ms),
            duration_ms: ms(now),
            attempts: self.attempts,
            client: client(&self.call),
        })
    }
}

impl Flight {
    /// An answer without usage: an error, a free call, or none because the client left first. What a
    /// provider charges for the last, if anything, nobody here can know.
    fn nothing_to_bill(&self) -> Bill {
        Bill {
            cost: 0,
            price_version: price::version().to_owned(),
            quality: if self.complete {
                Quality::Exact
            } else {
                Quality::Partial
            },
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.settle();
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

/// Runs a short future now if it needs no waiting, as natively; else after the response.
fn detach(app: &App, future: impl Future<Output = ()> + Send + 'static) {
    let mut future = Box::pin(future);
    if future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
    {
        app.ports.tasks.spawn(future);
    }
}
