//! The Durable Objects: one gate or pool each. Gates also write their events to the ledger.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use crs_durable::gate::{self, Gate};
use crs_durable::holder::HeldMachine;
use crs_durable::object::Object;
use crs_durable::outbox::{Batch, Entry, SendResult};
use crs_durable::pool::{self, Pool};
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
use crate::port::clock::Clock as _;
use crate::port::store::Store;
use crate::store::ledger::Ledger;
use crate::store::upstash::Commands;

/// The gate of one client key, named after the hex of its hash.
#[durable_object]
pub struct GateObject {
    object: OnceCell<Object<Gate>>,
    ledger: OnceCell<ToLedger>,
    state: State,
    env: Env,
}

impl DurableObject for GateObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            object: OnceCell::new(),
            ledger: OnceCell::new(),
            state,
            env,
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let object = loaded(&self.object, &self.state)?;
        let commands = self.ledger.get().map_or(0, ToLedger::take_commands);
        let answer = serve(object, request, commands).await?;
        forget_if_over(object).await;
        Ok(answer)
    }

    /// Runs at the alarm: writes events that are due. Like any command, it also frees what has expired.
    async fn alarm(&self) -> worker::Result<Response> {
        let object = loaded(&self.object, &self.state)?;
        object.woken();
        let clock = EdgeClock::default();
        let taken = object.handle(clock.now(), gate::Command::TakeBatch)?;
        let mut wake_at = taken.wake_at;
        if let gate::Reply::Batch(Some(batch)) = taken.reply {
            // The alarm is set first: if this instance is evicted meanwhile, another one is woken.
            object.set_alarm(clock.now(), wake_at).await?;
            let last = batch.last;
            let sent = match self.to_ledger() {
                Ok(ledger) => ledger.write(batch).await,
                Err(error) => {
                    tracing::error!(%error, "the ledger cannot be reached from a gate");
                    SendResult::Away
                }
            };
            let handled = object.handle(clock.now(), gate::Command::BatchSent { last, sent })?;
            if let gate::Reply::GivenUp(entries) = handled.reply {
                for Entry { text, .. } in entries {
                    tracing::error!(
                        event = text,
                        "a ledger event cannot be written and is only in this log"
                    );
                }
            }
            wake_at = handled.wake_at;
        }
        object.set_alarm(clock.now(), wake_at).await?;
        forget_if_over(object).await;
        Response::empty()
    }
}

/// Deletes a gate's storage after its key was deleted.
async fn forget_if_over(object: &Object<Gate>) {
    if object.ask(Gate::is_over)
        && let Err(error) = object.forget().await
    {
        tracing::warn!(%error, "the storage of a deleted key's gate could not be deleted");
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

/// The pool of one platform, named after it.
#[durable_object]
pub struct PoolObject {
    object: OnceCell<Object<Pool>>,
    state: State,
}

impl DurableObject for PoolObject {
    fn new(state: State, _: Env) -> Self {
        Self {
            object: OnceCell::new(),
            state,
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        serve(loaded(&self.object, &self.state)?, request, 0).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let object = loaded(&self.object, &self.state)?;
        object.woken();
        let now = EdgeClock::default().now();
        let handled = object.handle(now, pool::Command::Snapshot)?;
        object.set_alarm(now, handled.wake_at).await?;
        Response::empty()
    }
}

fn loaded<'a, M>(cell: &'a OnceCell<Object<M>>, state: &State) -> worker::Result<&'a Object<M>>
where
    M: HeldMachine<Command: Clone>,
{
    if let Some(object) = cell.get() {
        return Ok(object);
    }
    let object = Object::load(state)?;
    tracing::debug!(machine = std::any::type_name::<M>(), "a machine was loaded");
    Ok(cell.get_or_init(|| object))
}

/// Runs one command and returns its reply. With the header [`WAIT`], the reply to a call that has to wait is held
/// back until the call is woken, and then the command runs again. A held reply belongs to this instance: if it is
/// evicted, the call asks the next one. `commands`: the store commands billed to this object since the last reply.
async fn serve<M>(object: &Object<M>, mut request: Request, commands: u64) -> worker::Result<Response>
where
    M: HeldMachine<Command: Clone + DeserializeOwned, Reply: Serialize>,
{
    let waits = request.headers().get(WAIT)?.is_some();
    let text = request.text().await?;
    let command = match serde_json::from_slice(text.as_bytes()) {
        Ok(command) => command,
        // Sent by another version, during a deployment.
        Err(error) => return Response::error(format!("a command that cannot be read: {error}"), 400),
    };
    let clock = EdgeClock::default();
    let mut handled = object.handle(clock.now(), command)?;
    if let Some(wait) = handled.wait.take_if(|_| waits) {
        object.set_alarm(clock.now(), handled.wake_at).await?;
        select(wait.woken, clock.sleep(wait.at_most)).await;
        handled = object.handle(clock.now(), wait.again)?;
    }
    if let Some(wait) = &handled.wait {
        // The caller asks again by itself.
        object.wake(wait.call);
    }
    let reply = Response::from_json(&handled.reply)?;
    object.set_alarm(clock.now(), handled.wake_at).await?;
    let headers = reply.headers();
    headers.set(ROWS_WRITTEN, &object.take_rows_written().to_string())?;
    headers.set(COMMANDS, &commands.to_string())?;
    Ok(reply)
}

/// Writes a gate's events to the ledger.
struct ToLedger {
    ledger: Ledger,
    store: Arc<dyn Store>,
    commands: Commands,
    reported: Cell<u64>,
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
            reported: Cell::new(0),
        })
    }

    async fn write(&self, batch: Batch) -> SendResult {
        let now = EdgeClock::default().now();
        self.ledger.append_of_gate(&*self.store, batch, now).await
    }

    fn take_commands(&self) -> u64 {
        let count = self.commands.count();
        count.saturating_sub(self.reported.replace(count))
    }
}
