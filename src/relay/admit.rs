//! May this call start: the key's gate is asked, and taught the key's record and what was spent if it needs them.

use std::sync::Arc;

use crs_durable::Millis;
use crs_durable::gate::{self, KeyPolicy, Service};
use tracing::Instrument as _;

use super::flight::Flight;
use super::{client, estimate, failures, records};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::key::Key;
use crate::model::name::is_opus;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;
use crate::store::api_keys::KeyChange;

/// How often a call asks its gate.
const ROUNDS: u32 = 8;

/// Asks the key's gate, and waits for a slot if the key has a queue. On success the call holds its slot.
pub(super) async fn admit(app: &App, service: Service, flight: &Flight) -> Result<Admission, Failure> {
    let call = flight.call();
    let now = app.ports.clock.now();
    let takes_slot = call.endpoint.takes_slot();
    let asked = gate::Admit {
        call: call.id,
        service,
        model: Some(call.model.to_string()).filter(|model| !model.is_empty()),
        canonical: Some(call.model.canonical().to_owned()).filter(|model| !model.is_empty()),
        opus: is_opus(&call.model),
        client: client::recognise(&call.headers).map(str::to_owned),
        slot: takes_slot,
        estimate: takes_slot.then(|| estimate::of(app, call, flight.plan().platform())),
        ttl_ms: app.config.relay.waiting_ttl().as_millis() as u64,
        learned_since: records::learned_since(app, now),
        note: flight.note(),
        queued_until: None,
        before_body: false,
    };
    ask(app, &call.key, asked).await
}

/// Asks a key's gate, and teaches it what it does not know.
pub(super) async fn ask(app: &App, key: &KeyHash, mut ask: gate::Admit) -> Result<Admission, Failure> {
    let now = app.ports.clock.now();
    // At most: ask, learn, ask, seed, ask; another round whenever the record was invalidated in between, which may
    // be often while the call waits for its slot. In the last round what is known decides.
    for round in 1..=ROUNDS {
        if round == ROUNDS {
            ask.learned_since = 0;
        }
        let admit = gate::Command::Admit(ask.clone());
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
            Ok(gate::Reply::NeedPolicy | gate::Reply::NeedSpend) if ask.learned_since == 0 => break,
            Ok(gate::Reply::NeedPolicy) => learn(app, key, &mut ask).await?,
            Ok(gate::Reply::NeedSpend) => seed(app, key, &mut ask).await?,
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's gate gave no answer.")),
            Err(away) => return Err(Failure::relay_unreachable(away)),
        }
    }
    Err(Failure::relay_unavailable("the key's record cannot be read"))
}

/// A call that may start.
pub(super) struct Admission {
    pub(super) policy: Arc<KeyPolicy>,
    /// How long it waited for its slot, milliseconds.
    pub(super) waited_ms: u64,
}

async fn learn(app: &App, key: &KeyHash, ask: &mut gate::Admit) -> Result<(), Failure> {
    let read = app.keys.by_hash(key);
    if let Some(record) = records::from_the_store(app, &mut ask.learned_since, read).await {
        let offset = app.config.site.utc_offset_minutes;
        let policy = record.map(|record| Arc::new(record.policy(offset)));
        tell(app, key, gate::Command::Learn { policy }).await?;
    }
    Ok(())
}

/// Tells the gate what was spent before it began.
async fn seed(app: &App, key: &KeyHash, ask: &mut gate::Admit) -> Result<(), Failure> {
    let read = async {
        match app.keys.by_hash(key).await? {
            Some(record) => spent_before(app, &record).await.map(Some),
            None => Ok(None),
        }
    };
    if let Some(Some(spent)) = records::from_the_store(app, &mut ask.learned_since, read).await {
        tell(app, key, gate::Command::SeedSpend(spent)).await?;
    }
    Ok(())
}

/// The key's spending by the ledger: the answer to `NeedSpend`.
pub(crate) async fn spent_before(app: &App, key: &Key) -> Result<gate::SeedSpend, StoreError> {
    let limits = key.policy(app.config.site.utc_offset_minutes).limits;
    app.ledger.spent(&key.id, &limits, app.ports.clock.now()).await
}

async fn tell(app: &App, key: &KeyHash, command: gate::Command) -> Result<(), Failure> {
    let told = app.ports.gates.gate(key, command).await;
    told.map(|_| ()).map_err(Failure::relay_unreachable)
}

/// The key's validity began with this call: its record is to say so. Until it does the gate remembers; then
/// it learns the record, so that a record without a beginning lets the key begin anew.
fn activated(app: &App, key: &KeyHash, policy: &KeyPolicy, at: Millis) {
    let (app_, hash, id) = (app.clone(), key.clone(), policy.id.clone());
    let work = async move {
        let now = app_.ports.clock.now();
        let begin = |key: &mut Key| key.activated_at = key.activated_at.or(Some(at));
        let key = match app_.keys.update(&id, now, begin).await {
            Ok(KeyChange::Done(key)) => key,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "that a key was first used is not in its record yet");
                return;
            }
        };
        // The key was given another secret meanwhile: the gate of this one must not learn the record again.
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
            tracing::warn!(%error, "the key's gate was not told of its first use");
        }
    };
    app.ports.tasks.spawn(Box::pin(work.in_current_span()));
}
