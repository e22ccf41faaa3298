//! A call on its way: what it holds, and its one settlement.
//!
//! A `Flight` exists from before admission to the last byte. However it ends (finished, failed, dropped
//! because the client left), it frees the key's slot and the account's, and writes one ledger event if a
//! provider was called. The machines ignore what they do not know, so settling too much does no harm.

mod event;
mod handover;
mod picked;
mod source;
mod trace;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use crs_durable::gate::KeyPolicy;
use crs_durable::{CallId, gate, pool};
use http::{HeaderMap, HeaderValue};
use tracing::{Instrument as _, Span};

use super::headers::X_REQUEST_ID;
use super::mask::StreamMask;
use super::{refusal_writer, span};
use crate::app::App;
use crate::dialect::body::Fields;
use crate::dialect::call::{Call, request_id};
use crate::dialect::meter::Meter;
use crate::dialect::origin::Reference;
use crate::error::{Code, Failure, excerpt};
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;
use crate::port::gates::KeyHash;
use crate::state::body_memory::Reservation;
use crate::state::running::Lifeline;

pub(super) use self::picked::{PickReason, PickedAccount};
use self::source::Source;
use self::trace::ServingTrace;

/// The gate's answer so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GateState {
    /// None has arrived: the gate may hold a slot, or a place in its queue.
    Asked,
    Granted,
    Refused,
}

pub struct Flight {
    app: App,
    plan: &'static Plan,
    call: Call,
    /// The span of the whole call.
    call_span: Span,
    /// The span of the newest attempt; that of the call before the first.
    span: Span,
    /// The reservation of memory for its body, while the body is held.
    memory: Option<Reservation>,
    id: String,
    policy: Option<Arc<KeyPolicy>>,
    gate: GateState,
    /// How long the call waited for its slot, milliseconds.
    waited: u64,
    /// How it is being served.
    serving: ServingTrace,
    /// The account whose slot is held now.
    held: Option<PickedAccount>,
    /// The quota windows that its last answer reported.
    quota: Vec<pool::QuotaWindow>,
    /// The account of the last provider call.
    account: Option<Arc<LiveAccount>>,
    attempts: u32,
    /// Reads the answer's usage; `None` where there is nothing to read.
    meter: Option<Meter>,
    /// Hides the account's secrets in the stream's errors.
    mask: Option<StreamMask>,
    /// Usage in the provider's own bytes, where the client gets others.
    source: Source,
    status: Option<u16>,
    first_byte: Option<u64>,
    /// Notified of the provider's successful head, if somebody waits for it.
    head_seen: Option<Arc<AtomicBool>>,
    /// How the operator ends a stream; `None` for other calls.
    lifeline: Option<Arc<Lifeline>>,
    renewed: u64,
    /// The failure that ended the call, if it is known before the flight is dropped.
    failure: Option<(Code, Option<String>)>,
    /// Whether the answer came to its own end.
    complete: bool,
    /// Whether the account began to answer well, and nothing went wrong after that.
    served: bool,
    /// Objects that the answer created and the provider keeps for the account.
    made: Vec<Reference>,
    settled: bool,
}

impl Flight {
    /// Must be called within the call's span ([`span::of_call`]).
    pub fn new(app: &App, plan: &'static Plan, call: Call) -> Self {
        let is_stream = call.stream && call.endpoint.takes_slot() && call.only.is_none();
        let span = Span::current();
        Self {
            call_span: span.clone(),
            span,
            lifeline: is_stream.then(|| app.running.add(&call.key, call.id)),
            head_seen: None,
            app: app.clone(),
            plan,
            id: request_id(call.id),
            renewed: call.started,
            call,
            memory: None,
            policy: None,
            gate: GateState::Asked,
            waited: 0,
            serving: ServingTrace::default(),
            held: None,
            quota: Vec::new(),
            account: None,
            attempts: 0,
            meter: None,
            mask: None,
            source: Source::default(),
            status: None,
            first_byte: None,
            failure: None,
            complete: false,
            served: false,
            made: Vec::new(),
            settled: false,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The span that log lines of this call belong to right now.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub fn call(&self) -> &Call {
        &self.call
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    pub fn plan(&self) -> &'static Plan {
        self.plan
    }

    /// The call is served by this plan instead, before anybody was asked.
    pub(super) fn goes_by(&mut self, plan: &'static Plan) {
        self.plan = plan;
    }

    /// Puts the call's id into the headers of its answer.
    pub(super) fn identify(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(X_REQUEST_ID, id);
        }
    }

    pub(super) fn lifeline(&self) -> Option<Arc<Lifeline>> {
        self.lifeline.clone()
    }

    /// Why the operator has ended this stream, if that was done.
    pub(super) fn cut(&self) -> Option<Failure> {
        self.lifeline.as_ref()?.failure()
    }

    /// Ready when the operator ends this stream; wakes the task that asked last.
    pub(super) fn poll_cut(&self, context: &mut Context<'_>) -> Poll<Failure> {
        match &self.lifeline {
            Some(lifeline) => lifeline.poll_cut(context),
            None => Poll::Pending,
        }
    }

    /// Becomes true with the first good head of a provider.
    pub(super) fn watch_head(&mut self) -> Arc<AtomicBool> {
        self.head_seen.get_or_insert_default().clone()
    }

    /// A provider has begun to answer, and well.
    pub(super) fn head_is_here(&self) {
        if let Some(seen) = &self.head_seen {
            seen.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn counted_by(&mut self, memory: Reservation) {
        self.memory = Some(memory);
    }

    pub(super) fn admitted(&mut self, policy: Arc<KeyPolicy>, waited_ms: u64) {
        span::key_known(&self.call_span, &policy.id);
        self.policy = Some(policy);
        self.waited = waited_ms;
        self.gate = GateState::Granted;
    }

    pub(super) fn policy(&self) -> Option<&KeyPolicy> {
        self.policy.as_deref()
    }

    /// The gate was asked and said no, or could not be asked.
    pub(super) fn not_admitted(&mut self, failure: &Failure) {
        if !matches!(failure.code, Code::RelayUnavailable | Code::Internal) {
            self.gate = GateState::Refused;
        }
    }

    /// A provider call begins: from here on the ledger has an event of this call.
    pub(super) fn trying(&mut self, account: &Arc<LiveAccount>) {
        self.attempts += 1;
        self.account = Some(account.clone());
        // A second try may come late in the lease's life.
        let now = self.app.ports.clock.ticks();
        if self.is_renewal_due(now) {
            self.renew(self.app.config.relay.waiting_ttl());
        }
    }

    /// The account cannot read some of what was sent: from now on the call is this.
    pub(super) fn sends_instead(&mut self, body: Bytes, fields: Fields, left_out: u32) {
        self.call.body = body;
        self.call.fields = fields;
        self.call.packed = None;
        self.reasoning_left_out(left_out);
    }

    /// An answer's head is here, whatever its status.
    pub(super) fn measured(&mut self, headers: &HeaderMap) {
        let now = self.app.ports.clock.now();
        self.quota = self.plan.accounts.quota(&self.call.model, headers, now);
    }

    /// An attempt failed: the pool learns how, and the account's slot is free.
    pub(super) async fn release_account(&mut self, outcome: pool::Outcome, status: Option<u16>) {
        let spent = self.report_failed();
        if let Some(held) = &self.held {
            let mut report = pool::Report::of(self.call.id, held.account.clone(), outcome);
            report.status = status;
            report.spent = spent;
            report.quota = std::mem::take(&mut self.quota);
            let report = pool::Command::Report(report);
            if let Err(away) = self.app.ports.gates.pool(self.plan.platform(), report).await {
                tracing::warn!(error = %away, "the pool was not told of an attempt; the lease ends by itself");
            }
            // Only now: if this future is dropped while it waits, the settlement frees the slot.
            self.held = None;
        }
    }

    /// The first byte of an answer is here. No other account will be asked, so the body can go.
    pub(super) fn answered(&mut self, status: u16, meter: Option<Meter>, well: bool) {
        self.call.body = Bytes::new();
        self.call.packed = None;
        self.memory = None;
        self.status = Some(status);
        if let (Some(meter), Some(account)) = (&meter, &self.account) {
            self.mask = Some(StreamMask::new(account.clone(), meter.is_stream()));
        }
        self.meter = meter;
        let now = self.app.ports.clock.ticks();
        self.first_byte = Some(now);
        self.served = well;
        self.attempt_answered(status, now);
        if let Some(held) = self.held.as_ref().filter(|held| well && held.on_trial) {
            let account = held.account.clone();
            let report = pool::Report::of(self.call.id, account, pool::Outcome::Serving);
            self.tell_pool(pool::Command::Report(report));
        }
    }

    /// Feeds the meter.
    pub(super) fn measures(&mut self, bytes: &[u8]) {
        if let Some(meter) = &mut self.meter {
            meter.feed(bytes);
        }
    }

    /// Bytes pass to the client.
    pub(super) fn passed(&mut self, now: u64) {
        if self.is_renewal_due(now) {
            self.renew(self.app.config.relay.streaming_ttl());
        }
    }

    /// Leases are renewed by what happens to the call, not by a timer of their own.
    fn is_renewal_due(&mut self, now: u64) -> bool {
        let due = now.saturating_sub(self.renewed) > self.app.config.relay.renew_every().as_micros() as u64;
        if due {
            self.renewed = now;
        }
        due
    }

    pub(super) fn meter_mut(&mut self) -> Option<&mut Meter> {
        self.meter.as_mut()
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
        let note = self.note();
        let (app, key, lifeline) = (self.app.clone(), self.call.key.clone(), self.lifeline.clone());
        detach(&self.app, &self.span, async move {
            let renew = gate::Command::Renew { call, ttl_ms, note };
            // On the edge nobody can reach this isolate: the stream learns here that it is to end.
            if let (Ok(gate::Reply::Ended(why)), Some(lifeline)) =
                (app.ports.gates.gate(&key, renew).await, lifeline)
            {
                lifeline.cut(why);
            }
        });
    }

    /// The call ends without an answer to the client.
    pub(super) fn failed(mut self, failure: &Failure) {
        // Others are in the ledger, and a probe is nobody's call.
        if self.attempts == 0 && self.call.only.is_none() {
            refusal_writer::count(&self.app, Some(&self.call.key), self.call.id, failure);
        }
        self.status = Some(failure.status.as_u16());
        self.failure = Some((failure.code, failure.log_entry()));
        // After a time-out or a cut nobody knows what the provider did, and charges.
        self.complete = !matches!(failure.code, Code::ProviderTimeout | Code::ProviderBroke);
    }

    /// The provider's own refusal goes to the client. `cut`: its body was longer than what was read.
    pub(super) fn passed_on(&mut self, body: &[u8], cut: bool) {
        let mut words = excerpt(body);
        if cut {
            words.push_str(" [.. cut at 1 MiB]");
        }
        self.failure = Some((Code::PassedOn, Some(words)));
    }

    /// The bytes of a stream that may be forwarded now, with the account's secrets masked.
    pub(super) fn hide(&mut self, data: Bytes) -> Bytes {
        match &mut self.mask {
            Some(mask) => mask.pass(data),
            None => data,
        }
    }

    /// The bytes that were held back until the stream's end.
    pub(super) fn held_back(&mut self) -> Bytes {
        self.mask.as_mut().map(StreamMask::rest).unwrap_or_default()
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
        let (app, platform) = (self.app.clone(), self.plan.platform());
        detach(&self.app, &self.span, async move {
            if let Err(away) = app.ports.gates.pool(platform, command).await {
                tracing::warn!(error = %away, "the pool was not reached; leases end by themselves");
            }
        });
    }

    fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        if self.lifeline.take().is_some() {
            self.app.running.remove(&self.call.key, self.call.id);
        }
        self.served &= self.failure.is_none();
        let event = self.event();
        if let Some(held) = self.held.take() {
            let mut report = pool::Report::of(self.call.id, held.account, pool::Outcome::Finished);
            report.status = event.as_ref().map(|event| event.status);
            let cost = event.as_ref().map_or(0, |event| event.cost.0);
            report.spent = cost.saturating_sub(self.reported());
            report.quota = std::mem::take(&mut self.quota);
            report.served = self.served;
            let made = self.made.iter().filter(|_| self.served);
            report.made = made.map(|made| made.origin(&self.call.key)).collect();
            self.tell_pool(pool::Command::Report(report));
        }
        if let Some(event) = &event {
            self.app.metrics.settled(event);
        }
        match self.gate {
            // It said no, so it holds nothing of this call.
            GateState::Refused => {}
            GateState::Asked => detach(
                &self.app,
                &self.span,
                handover::cancel(&self.app, &self.call.key, self.call.id),
            ),
            GateState::Granted => detach(
                &self.app,
                &self.span,
                handover::settle(&self.app, &self.call, event),
            ),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.settle();
    }
}

/// A call will not run: its gate gives up what it holds for it.
pub(super) fn cancel(app: &App, key: &KeyHash, call: CallId) {
    detach(app, &Span::current(), handover::cancel(app, key, call));
}

/// Runs a short future within `span`: now if it needs no waiting, as natively; else after the response.
fn detach(app: &App, span: &Span, future: impl Future<Output = ()> + Send + 'static) {
    let mut future = Box::pin(future.instrument(span.clone()));
    if future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
    {
        app.ports.tasks.spawn(future);
    }
}
