//! The Durable Objects: one machine each, and for gates the way of their events to the ledger.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crs_durable::gate::{self, Gate};
use crs_durable::object::Object;
use crs_durable::outbox::{Batch, Entry, Sent};
use crs_durable::pool::{self, Pool};
use crs_durable::rows::Kept;
use crs_durable::{CallId, Millis};
use futures_channel::oneshot;
use futures_util::future::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::wasm_bindgen;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use super::bindings::Bindings;
use super::clock::EdgeClock;
use super::messages::{COMMANDS, ROWS_WRITTEN, WAIT};
use super::{log, site};
use crate::config::Config;
use crate::model::usage::LedgerEvent;
use crate::port::clock::Clock as _;
use crate::port::store::{Store, StoreError};
use crate::store::ledger::Ledger;
use crate::store::upstash::Commands;

/// The gate of one client key, named by the hex of its hash.
#[durable_object]
pub struct GateObject {
    object: OnceCell<Object<Gate>>,
    waiting: Waiting,
    ledger: OnceCell<ToLedger>,
    state: State,
    env: Env,
}

impl DurableObject for GateObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            object: OnceCell::new(),
            waiting: Waiting::default(),
            ledger: OnceCell::new(),
            state,
            env,
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let object = loaded(&self.object, &self.state)?;
        let commands = self.ledger.get().map_or(0, ToLedger::take_commands);
        let answer = serve(object, &self.waiting, request, commands).await?;
        forget_if_over(object).await;
        Ok(answer)
    }

    /// Woken to write what is due; also to free what has ended, which any command does.
    async fn alarm(&self) -> worker::Result<Response> {
        let object = loaded(&self.object, &self.state)?;
        object.woken();
        let clock = EdgeClock::default();
        let taken = object.handle(clock.now(), gate::Command::TakeBatch)?;
        self.waiting.tell(&taken.wake);
        let mut wake_at = taken.wake_at;
        if let gate::Reply::Batch(Some(batch)) = taken.reply {
            // Before anything is waited for: if this instance dies meanwhile, another is woken.
            object.wake(clock.now(), wake_at).await?;
            let last = batch.last;
            let sent = match self.to_ledger() {
                Ok(ledger) => ledger.write(batch).await,
                Err(error) => {
                    tracing::error!(%error, "the ledger cannot be reached from a gate");
                    Sent::Away
                }
            };
            let told = object.handle(clock.now(), gate::Command::BatchSent { last, sent })?;
            self.waiting.tell(&told.wake);
            if let gate::Reply::GivenUp(entries) = told.reply {
                for Entry { text, .. } in entries {
                    tracing::error!(
                        event = text,
                        "a ledger event cannot be written and is only in this log"
                    );
                }
            }
            wake_at = told.wake_at;
        }
        object.wake(clock.now(), wake_at).await?;
        forget_if_over(object).await;
        Response::empty()
    }
}

/// A gate's storage ends with its key.
async fn forget_if_over(object: &Object<Gate>) {
    if object.ask(Gate::is_over)
        && let Err(error) = object.forget().await
    {
        tracing::warn!(%error, "the storage of a deleted key's gate is still there");
    }
}

impl GateObject {
    fn to_ledger(&self) -> worker::Result<&ToLedger> {
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger);
        }
        let made = ToLedger::new(&self.env).map_err(worker::Error::RustError)?;
        Ok(self.ledger.get_or_init(|| made))
    }
}

/// The pool of one platform, named by it.
#[durable_object]
pub struct PoolObject {
    object: OnceCell<Object<Pool>>,
    waiting: Waiting,
    state: State,
}

impl DurableObject for PoolObject {
    fn new(state: State, _: Env) -> Self {
        Self {
            object: OnceCell::new(),
            waiting: Waiting::default(),
            state,
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        serve(loaded(&self.object, &self.state)?, &self.waiting, request, 0).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let object = loaded(&self.object, &self.state)?;
        object.woken();
        let now = EdgeClock::default().now();
        let handled = object.handle(now, pool::Command::Snapshot)?;
        object.wake(now, handled.wake_at).await?;
        Response::empty()
    }
}

fn loaded<'a, M>(cell: &'a OnceCell<Object<M>>, state: &State) -> worker::Result<&'a Object<M>>
where
    M: Kept,
    M::Command: DeserializeOwned,
    M::Reply: Serialize,
{
    if let Some(object) = cell.get() {
        return Ok(object);
    }
    let object = Object::load(state)?;
    tracing::debug!(machine = std::any::type_name::<M>(), "a machine was loaded");
    Ok(cell.get_or_init(|| object))
}

/// Calls whose requests are held back until the machine wakes them. They are of this instance only: if it dies
/// they ask the next one.
#[derive(Default)]
struct Waiting(RefCell<HashMap<CallId, oneshot::Sender<()>>>);

impl Waiting {
    fn tell(&self, calls: &[CallId]) {
        let mut waiting = self.0.borrow_mut();
        for call in calls {
            // Dropping it notifies the other side.
            waiting.remove(call);
        }
    }

    fn wait(&self, call: CallId) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.0.borrow_mut().insert(call, tell);
        told
    }

    /// It asks by itself: nobody waits for a notification any more.
    fn gives_up(&self, call: CallId) {
        self.0.borrow_mut().remove(&call);
    }
}

/// A task that a reply hands to the host.
trait Holds {
    /// How long the reply may be held back, waiting for another.
    fn holds(&self, now: Millis) -> Option<Duration>;
}

impl Holds for gate::Reply {
    fn holds(&self, _: Millis) -> Option<Duration> {
        match self {
            Self::Queued { wait_ms, .. } => Some(Duration::from_millis(*wait_ms)),
            _ => None,
        }
    }
}

impl Holds for pool::Reply {
    fn holds(&self, now: Millis) -> Option<Duration> {
        match self {
            Self::RefreshBusy { until, .. } => Some(Duration::from_millis(until.saturating_sub(now).max(1))),
            _ => None,
        }
    }
}

/// One command in, one reply out. With the header [`WAIT`] the reply to a call that has to wait is held back
/// until the machine wakes the call, which is then asked for again. `commands`: what the store billed this object since it was last asked.
async fn serve<M>(
    object: &Object<M>,
    waiting: &Waiting,
    mut request: Request,
    commands: u64,
) -> worker::Result<Response>
where
    M: Kept,
    M::Command: DeserializeOwned,
    M::Reply: Serialize + Holds,
{
    let waits = request.headers().get(WAIT)?;
    let waits = waits
        .and_then(|call| u128::from_str_radix(&call, 16).ok())
        .map(CallId);
    let text = request.text().await?;
    let clock = EdgeClock::default();
    let mut held = false;
    let handled = loop {
        let command = match serde_json::from_slice(text.as_bytes()) {
            Ok(command) => command,
            // Of another version than this, during a deployment.
            Err(error) => return Response::error(format!("a command that cannot be read: {error}"), 400),
        };
        let now = clock.now();
        let handled = object.handle(now, command)?;
        waiting.tell(&handled.wake);
        let (Some(call), Some(at_most), false) = (waits, handled.reply.holds(now), held) else {
            break handled;
        };
        let told = waiting.wait(call);
        object.wake(clock.now(), handled.wake_at).await?;
        select(told, clock.sleep(at_most)).await;
        waiting.gives_up(call);
        held = true;
    };
    let reply = Response::from_json(&handled.reply)?;
    object.wake(clock.now(), handled.wake_at).await?;
    let headers = reply.headers();
    headers.set(ROWS_WRITTEN, &object.take_rows_written().to_string())?;
    headers.set(COMMANDS, &commands.to_string())?;
    Ok(reply)
}

/// The way from a gate to the ledger.
struct ToLedger {
    ledger: Ledger,
    store: Arc<dyn Store>,
    commands: Commands,
    told: Cell<u64>,
}

impl ToLedger {
    fn new(env: &Env) -> Result<Self, String> {
        let config = Config::read(&Bindings(env)).map_err(|problems| problems.to_string())?;
        log::start(&config.log);
        let store = site::upstash(&config)?;
        let commands = store.commands();
        let store: Arc<dyn Store> = Arc::new(store);
        let ledger = Ledger::new(store.clone(), config.site.utc_offset_minutes)
            .with_request_log_days(config.ledger.request_log_days);
        Ok(Self {
            ledger,
            store,
            commands,
            told: Cell::new(0),
        })
    }

    async fn write(&self, batch: Batch) -> Sent {
        let Some(first) = batch.entries.first() else {
            return Sent::Written;
        };
        let name = format!("{:032x}-{}", first.call.0, batch.first);
        let look = batch.entries.iter().any(|entry| entry.doubtful);
        let events: Vec<LedgerEvent> = batch.entries.into_iter().filter_map(event).collect();
        if events.is_empty() {
            return Sent::Written;
        }
        match self
            .ledger
            .append_new(&name, &events, look, EdgeClock::default().now())
            .await
        {
            Ok(_) => Sent::Written,
            Err(StoreError::Away { reason, .. }) => {
                tracing::warn!(
                    reason,
                    events = events.len(),
                    "the ledger cannot be written; trying again"
                );
                Sent::Away
            }
            Err(error) => {
                tracing::error!(%error, events = events.len(), "the store refuses a batch of the ledger");
                // One that refuses everything says nothing about this batch.
                if self.store.ping().await.is_ok() {
                    Sent::Refused
                } else {
                    Sent::Away
                }
            }
        }
    }

    fn take_commands(&self) -> u64 {
        let count = self.commands.count();
        count.saturating_sub(self.told.replace(count))
    }
}

/// The event as the ledger has it. Of a lost call the gate adds whose it was.
fn event(entry: Entry) -> Option<LedgerEvent> {
    match serde_json::from_slice::<LedgerEvent>(entry.text.as_bytes()) {
        Ok(mut event) => {
            if let Some(lost) = entry.lost {
                event.key_id = lost.key_id;
                event.key_name = lost.key_name;
            }
            Some(event)
        }
        Err(error) => {
            tracing::error!(%error, event = entry.text, "a ledger event cannot be read and is only in this log");
            None
        }
    }
}
