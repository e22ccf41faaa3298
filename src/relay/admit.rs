//! Admission: asks the key's gate whether the call may start, and sends the gate the key's record and spending if
//! it needs them.

use std::sync::Arc;

use crs_durable::Millis;
use crs_durable::gate::{self, KeyPolicy};
use tracing::Instrument as _;

use super::flight::Flight;
use super::{client, estimate, failures, records};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::key::Key;
use crate::model::name::is_opus;
use crate::plan::Plans;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;
use crate::store::api_keys::KeyChange;

/// Maximum number of times that a call asks its gate.
const ROUNDS: u32 = 8;

/// Asks the key's gate, and waits for a slot if the key has a queue. On success the call holds its slot.
pub(super) async fn admit(app: &App, plans: Plans, flight: &Flight) -> Result<Admission, Failure> {
    let call = flight.call();
    let mut services = plans.services(Some(&call.model), &app.routes()).into_iter();
    let service = services.next().unwrap_or(flight.plan().service());
    let or_services: Vec<_> = services.collect();
    let takes_slot = call.endpoint.takes_slot();
    let estimate = takes_slot.then(|| estimate::of(app, call, flight.plan().platform()));
    let question = |learned_since| gate::Admit {
        call: call.id,
        service,
        model: Some(call.model.to_string()).filter(|model| !model.is_empty()),
        canonical: Some(call.model.canonical().to_owned()).filter(|model| !model.is_empty()),
        opus: is_opus(&call.model),
        client: client::recognise(&call.headers).map(str::to_owned),
        slot: takes_slot,
        estimate,
        ttl_ms: app.config.relay.waiting_ttl().as_millis() as u64,
        learned_since,
        note: flight.note(),
        queued_until: None,
        before_body: false,
        or_services: or_services.clone(),
        by_routes: plans.client().is_some(),
        granted: false,
    };
    ask(app, &call.key, question).await
}

/// Asks a key's gate and supplies the data that it lacks. `question` makes the command; its argument is the moment
/// since which the gate's copy of the record must have been read.
pub(super) async fn ask(
    app: &App,
    key: &KeyHash,
    question: impl Fn(Millis) -> gate::Admit,
) -> Result<Admission, Failure> {
    let now = app.ports.clock.now();
    let mut since = records::learned_since(app, now);
    // Usually at most: ask, learn, ask, seed, ask. Each invalidation of the record in between costs another
    // round, which is likely while the call waits for its slot. In the last round the gate decides by the record
    // it has.
    for round in 1..=ROUNDS {
        if round == ROUNDS {
            since = 0;
        }
        let admit = gate::Command::Admit(question(since));
        match app.ports.gates.gate(key, admit).await {
            Ok(gate::Reply::Granted {
                policy,
                activated_at,
                waited_ms,
            }) => {
                if let Some(at) = activated_at {
                    activated(app, key, &policy, at);
                }
                return Ok(Admission { policy, waited_ms });
            }
            Ok(gate::Reply::Refused(refusal)) => return Err(failures::of_gate(&refusal, now)),
            Ok(gate::Reply::NeedPolicy | gate::Reply::NeedSpend) if since == 0 => break,
            Ok(gate::Reply::NeedPolicy) => Box::pin(learn(app, key, &mut since)).await?,
            Ok(gate::Reply::NeedSpend) => Box::pin(seed(app, key, &mut since)).await?,
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's gate gave no answer.")),
            Err(away) => return Err(Failure::relay_unreachable(away)),
        }
    }
    Err(Failure::relay_unavailable("the key's record cannot be read"))
}

/// A call that may start.
pub(super) struct Admission {
    pub(super) policy: Arc<KeyPolicy>,
    /// Time the call waited for its slot, milliseconds.
    pub(super) waited_ms: u64,
}

async fn learn(app: &App, key: &KeyHash, since: &mut Millis) -> Result<(), Failure> {
    let read = app.keys.by_hash(key);
    if let Some(record) = records::from_the_store(app, since, read).await {
        let offset = app.config.site.utc_offset_minutes;
        let policy = record.map(|record| Arc::new(record.policy(offset)));
        send(app, key, gate::Command::Learn { policy }).await?;
    }
    Ok(())
}

/// Sends the gate the amounts spent before the gate was created.
async fn seed(app: &App, key: &KeyHash, since: &mut Millis) -> Result<(), Failure> {
    let read = async {
        match app.keys.by_hash(key).await? {
            Some(record) => spent_before(app, &record).await.map(Some),
            None => Ok(None),
        }
    };
    if let Some(Some(spent)) = records::from_the_store(app, since, read).await {
        send(app, key, gate::Command::SeedSpend(spent)).await?;
    }
    Ok(())
}

/// The key's spending by the ledger: the answer to `NeedSpend`.
pub(crate) async fn spent_before(app: &App, key: &Key) -> Result<gate::SeedSpend, StoreError> {
    let limits = key.policy(app.config.site.utc_offset_minutes).limits;
    app.ledger.spent(&key.id, &limits, app.ports.clock.now()).await
}

async fn send(app: &App, key: &KeyHash, command: gate::Command) -> Result<(), Failure> {
    let result = app.ports.gates.gate(key, command).await;
    result.map(|_| ()).map_err(Failure::relay_unreachable)
}

/// Persists the start of the key's validity, which began with this call. The gate remembers the start until the
/// record has it, and then reads the record again, so that a record without a start can reset the key.
fn activated(app: &App, key: &KeyHash, policy: &KeyPolicy, at: Millis) {
    let (app_, hash, id) = (app.clone(), key.clone(), policy.id.clone());
    let work = async move {
        let now = app_.ports.clock.now();
        let begin = |key: &mut Key| key.activated_at = key.activated_at.or(Some(at));
        let key = match app_.keys.update(&id, now, begin).await {
            Ok(KeyChange::Done(key)) => key,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "the first use of a key is not persisted yet");
                return;
            }
        };
        // The key got a new secret meanwhile, so the gate of the old secret must not read the record again.
        if key.hash != hash.hex() {
            return;
        }
        let policy = Some(Arc::new(key.policy(app_.config.site.utc_offset_minutes)));
        if let Err(error) = app_
            .ports
            .gates
            .gate(&hash, gate::Command::Learn { policy })
            .await
        {
            tracing::warn!(%error, "the first use of a key did not reach its gate");
        }
    };
    app.ports.tasks.spawn(Box::pin(work.in_current_span()));
}
