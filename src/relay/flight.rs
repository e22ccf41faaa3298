//! A running call: the resources it holds, and its settlement.
//!
//! A `Flight` exists from before admission to the last byte. However the call ends (finished, failed, or dropped
//! because the client left), the flight frees the slots of the key and the account, and writes one ledger event
//! if a provider was called. Gates and pools ignore unknown calls, so reporting an end twice is harmless.

mod event;
mod handover;
mod picked;
mod source;
mod steps;
mod trace;
mod unpaid;

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
use super::line::SocketTurn;
use super::mask::StreamMask;
use super::{estimate, refusal_writer, span};
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
use self::steps::RouteSteps;
use self::trace::ServingTrace;

/// State of the call at its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GateState {
    /// No answer yet: the gate may hold a slot or a queue place.
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
    /// The span of the latest attempt, or the call's span before the first.
    span: Span,
    /// The reservation of memory for its body, while the body is held.
    memory: Option<Reservation>,
    /// It is a turn on a client's WebSocket.
    socket: Option<Arc<SocketTurn>>,
    id: String,
    policy: Option<Arc<KeyPolicy>>,
    gate: GateState,
    /// Time the call waited for its slot, milliseconds.
    waited: u64,
    /// The steps of the call's route and their state.
    steps: RouteSteps,
    /// Record of how the call is served.
    serving: ServingTrace,
    /// The account whose slot the call holds.
    held: Option<PickedAccount>,
    /// Quota windows reported by the last answer.
    quota: Vec<pool::QuotaWindow>,
    /// The account of the latest provider call.
    account: Option<Arc<LiveAccount>>,
    attempts: u32,
    /// The estimated input of the latest provider call, tokens.
    sent: u64,
    /// Reads the answer's usage; `None` if there is nothing to read.
    meter: Option<Meter>,
    /// Masks the account's secrets in the stream.
    mask: Option<StreamMask>,
    /// Usage read from the provider's bytes, if the client receives other bytes.
    source: Source,
    status: Option<u16>,
    first_byte: Option<u64>,
    /// Set when the provider's successful head arrives, if somebody watches for it.
    head_seen: Option<Arc<AtomicBool>>,
    /// Lets the operator end a stream; `None` for other calls.
    lifeline: Option<Arc<Lifeline>>,
    renewed: u64,
    /// The failure that ended the call, if one is known.
    failure: Option<(Code, Option<String>)>,
    /// Whether the answer was complete.
    complete: bool,
    /// Whether the account answered successfully to its end.
    served: bool,
    /// Objects that the answer created and the provider stores for the account.
    made: Vec<Reference>,
    /// The mark that entitles the call to charge the usage of a stored response.
    unpaid: Option<u64>,
    settled: bool,
}

impl Flight {
    /// Must be called within the call's span ([`span::of_call`]). Boxed, because it is large and moved often.
    pub fn new(app: &App, plan: &'static Plan, call: Call) -> Box<Self> {
        let is_stream = call.stream && call.endpoint.takes_slot() && call.only.is_none();
        let span = Span::current();
        Box::new(Self {
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
            socket: None,
            policy: None,
            gate: GateState::Asked,
            waited: 0,
            steps: RouteSteps::default(),
            serving: ServingTrace::default(),
            held: None,
            quota: Vec::new(),
            account: None,
            attempts: 0,
            sent: 0,
            meter: None,
            mask: None,
            source: Source::default(),
            status: None,
            first_byte: None,
            failure: None,
            complete: false,
            served: false,
            made: Vec::new(),
            unpaid: None,
            settled: false,
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The span for log lines of this call at this moment.
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

    /// Sets the plan of the picked account.
    pub(super) fn set_plan(&mut self, plan: &'static Plan) {
        self.plan = plan;
    }

    /// Sets the request id header on the answer.
    pub(super) fn identify(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(X_REQUEST_ID, id);
        }
    }

    pub(super) fn lifeline(&self) -> Option<Arc<Lifeline>> {
        self.lifeline.clone()
    }

    /// The reason why the operator ended this stream, if he did.
    pub(super) fn cut(&self) -> Option<Failure> {
        self.lifeline.as_ref()?.failure()
    }

    /// Ready when the operator ends this stream. Wakes the task that polled last.
    pub(super) fn poll_cut(&self, context: &mut Context<'_>) -> Poll<Failure> {
        match &self.lifeline {
            Some(lifeline) => lifeline.poll_cut(context),
            None => Poll::Pending,
        }
    }

    /// Returns a flag that is set by the first successful head of a provider.
    pub(super) fn watch_head(&mut self) -> Arc<AtomicBool> {
        self.head_seen.get_or_insert_default().clone()
    }

    /// Called when a provider's successful head arrives.
    pub(super) fn head_arrived(&self) {
        if let Some(seen) = &self.head_seen {
            seen.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn hold_memory(&mut self, memory: Reservation) {
        self.memory = Some(memory);
    }

    pub(super) fn is_on(&mut self, socket: Option<Arc<SocketTurn>>) {
        self.socket = socket;
    }

    pub(super) fn socket(&self) -> Option<&SocketTurn> {
        self.socket.as_deref()
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

    /// Called if the gate refused or could not be asked.
    pub(super) fn not_admitted(&mut self, failure: &Failure) {
        if !matches!(failure.code, Code::RelayUnavailable | Code::Internal) {
            self.gate = GateState::Refused;
        }
    }

    /// Called before a provider call. From here on the call has a ledger event.
    pub(super) fn begin_attempt(&mut self, account: &Arc<LiveAccount>) {
        self.attempts += 1;
        self.sent = estimate::input(&self.call);
        self.account = Some(account.clone());
        // The lease may already be old at a second attempt.
        let now = self.app.ports.clock.ticks();
        if self.is_renewal_due(now) {
            self.renew(self.app.config.relay.waiting_ttl());
        }
    }

    /// Replaces the body by one without the items that the account cannot read.
    pub(super) fn replace_body(&mut self, body: Bytes, fields: Fields, left_out: u32) {
        self.call.body = body;
        self.call.fields = fields;
        self.call.packed = None;
        self.reasoning_left_out(left_out);
    }

    /// Called when the head of an answer arrives, whatever its status.
    pub(super) fn measured(&mut self, headers: &HeaderMap) {
        let now = self.app.ports.clock.now();
        self.quota = self.plan.accounts.quota(&self.call.model, headers, now);
    }

    /// Ends a failed attempt: reports its outcome to the pool and frees the account's slot.
    pub(super) async fn release_account(&mut self, outcome: pool::Outcome, status: Option<u16>) {
        let spent = self.report_failed();
        if let Some(held) = &self.held {
            let mut report = pool::Report::of(self.call.id, held.account.clone(), outcome);
            report.status = status;
            report.spent = spent;
            report.quota = std::mem::take(&mut self.quota);
            let report = pool::Command::Report(report);
            if let Err(away) = self.app.ports.gates.pool(self.plan.platform(), report).await {
                tracing::warn!(error = %away, "the outcome of an attempt did not reach the pool; its lease will expire");
            }
            // Cleared only now: if this future is dropped while it waits, the settlement frees the slot.
            self.held = None;
        }
    }

    /// Called when the first byte of an answer arrives. No other account will be tried, so the body is freed.
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
            self.notify_pool(pool::Command::Report(report));
        }
    }

    /// Feeds the meter with bytes of the answer.
    pub(super) fn feed_meter(&mut self, bytes: &[u8]) {
        if let Some(meter) = &mut self.meter {
            meter.feed(bytes);
        }
    }

    /// Called when bytes pass to the client.
    pub(super) fn passed(&mut self, now: u64) {
        if self.is_renewal_due(now) {
            self.renew(self.app.config.relay.streaming_ttl());
        }
    }

    /// Leases are renewed by activity of the call, without a timer.
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
            self.notify_pool(pool::Command::Renew { call, ttl_ms });
        }
        let note = self.note();
        let (app, key, lifeline) = (self.app.clone(), self.call.key.clone(), self.lifeline.clone());
        detach(&self.app, &self.span, async move {
            let renew = gate::Command::Renew { call, ttl_ms, note };
            // On the edge no other isolate can reach this one, so the gate's reply says whether to end the
            // stream.
            if let (Ok(gate::Reply::Ended(why)), Some(lifeline)) =
                (app.ports.gates.gate(&key, renew).await, lifeline)
            {
                lifeline.cut(why);
            }
        });
    }

    /// Ends the call without an answer to the client.
    pub(super) fn failed(mut self: Box<Self>, failure: &Failure) {
        // Calls with attempts are in the ledger, and a probe has no key.
        if self.attempts == 0 && self.call.only.is_none() {
            refusal_writer::count(&self.app, Some(&self.call.key), self.call.id, failure);
        }
        self.status = Some(failure.status.as_u16());
        self.failure = Some((failure.code, failure.log_entry()));
        // After a timeout or a cut connection it is unknown what the provider did and bills.
        self.complete = !matches!(failure.code, Code::ProviderTimeout | Code::ProviderBroke);
    }

    /// Records that the provider's own refusal is sent to the client. `cut`: its body was longer than the part
    /// read.
    pub(super) fn passed_on(&mut self, body: &[u8], cut: bool) {
        let mut words = excerpt(body);
        if cut {
            words.push_str(" [.. cut at 1 MiB]");
        }
        self.failure = Some((Code::PassedOn, Some(words)));
    }

    /// Masks the account's secrets in the bytes of a stream and returns the bytes that may be forwarded now.
    pub(super) fn hide(&mut self, data: Bytes) -> Bytes {
        match &mut self.mask {
            Some(mask) => mask.pass(data),
            None => data,
        }
    }

    /// Returns the bytes held back until the stream's end.
    pub(super) fn held_back(&mut self) -> Bytes {
        self.mask.as_mut().map(StreamMask::rest).unwrap_or_default()
    }

    /// Records that a stream broke off after it had begun.
    pub(super) fn broke(&mut self, code: Code, detail: String) {
        self.failure = Some((code, Some(detail)));
    }

    /// Records that the answer is complete.
    pub(super) fn completed(&mut self) {
        self.complete = true;
    }

    fn notify_pool(&self, command: pool::Command) {
        let (app, platform) = (self.app.clone(), self.plan.platform());
        detach(&self.app, &self.span, async move {
            if let Err(away) = app.ports.gates.pool(platform, command).await {
                tracing::warn!(error = %away, "the pool could not be reached; leases will expire");
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
        let report = self.held.take().map(|held| {
            let mut report = pool::Report::of(self.call.id, held.account, pool::Outcome::Finished);
            report.status = event.as_ref().map(|event| event.status);
            let cost = event.as_ref().map_or(0, |event| event.cost.0);
            report.spent = cost.saturating_sub(self.reported());
            report.quota = std::mem::take(&mut self.quota);
            report.served = self.served;
            let made = self.made.iter().filter(|_| self.served);
            report.made = made.map(|made| made.origin(&self.call.key)).collect();
            report
        });
        if let (Some(mark), Some(event)) = (self.unpaid, &event) {
            let settled = unpaid::settle(self, mark, event.clone(), report);
            return detach(&self.app, &self.span, settled);
        }
        if let Some(report) = report {
            self.notify_pool(pool::Command::Report(report));
        }
        if let Some(event) = &event {
            self.app.metrics.settled(event, self.call.endpoint.name());
        }
        match self.gate {
            // The gate refused, so it holds nothing.
            GateState::Refused => {}
            GateState::Asked => detach(
                &self.app,
                &self.span,
                handover::cancel(&self.app, &self.call.key, self.call.id),
            ),
            GateState::Granted => {
                let kept = self.keep_reservation();
                let settled = handover::settle(&self.app, &self.call, event);
                match kept {
                    None => detach(&self.app, &self.span, settled),
                    Some(keep) => {
                        let (app, key) = (self.app.clone(), self.call.key.clone());
                        let kept = async move {
                            if let Err(away) = app.ports.gates.gate(&key, keep).await {
                                tracing::warn!(error = %away, "a response in the background has no reservation");
                            }
                            settled.await;
                        };
                        detach(&self.app, &self.span, kept);
                    }
                }
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Releases what the gate holds for a call that will not run.
pub(super) fn cancel(app: &App, key: &KeyHash, call: CallId) {
    detach(app, &Span::current(), handover::cancel(app, key, call));
}

/// Polls a short future within `span` once; if it is not ready (on the edge), runs it after the response.
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
