//! May this call start, and on which account: the questions to the machines, with what they must be
//! taught first.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crs_durable::gate::{self, KeyPolicy, Refusal, Service};
use crs_durable::{Millis, pool};

use super::call::Call;
use super::flight::Flight;
use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::store::StoreError;
use crate::provider::Provider;

/// After the store failed, records are used as they are for this long before it is asked again: a slow
/// store must not slow every request down.
const STORE_REST_MS: u64 = 5_000;

/// Until when the store is left alone.
#[derive(Default)]
pub struct StoreRest(AtomicU64);

impl StoreRest {
    fn resting(&self, now: Millis) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        // A clock that jumped back must not keep it at rest for longer than the rest.
        until > now && until <= now + STORE_REST_MS
    }

    pub(super) fn begin(&self, now: Millis) {
        self.0.store(now + STORE_REST_MS, Ordering::Relaxed);
    }
}

/// The age limit for records, in the machines' terms: learned before this is too old.
pub(super) fn learned_since(app: &App, now: Millis) -> Millis {
    if app.ports.store.shared() && !app.store_rest.resting(now) {
        now.saturating_sub(app.config.relay.record_age.as_millis() as u64)
            .max(1)
    } else {
        1
    }
}

/// What a machine must be taught, as the store has it. `None`: the store cannot be asked, or is left alone;
/// then the machine is to decide by whatever it holds (`since` becomes 0).
async fn from_the_store<T>(
    app: &App,
    since: &mut Millis,
    read: impl Future<Output = Result<T, StoreError>>,
) -> Option<T> {
    if !app.store_rest.resting(app.ports.clock.now()) {
        match read.await {
            Ok(records) => return Some(records),
            Err(error) => {
                tracing::warn!(%error, "the store cannot be asked; records known already are used");
                app.store_rest.begin(app.ports.clock.now());
            }
        }
    }
    *since = 0;
    None
}

/// Asks the key's gate. On success the call holds its slot.
pub(super) async fn admit(app: &App, service: Service, flight: &Flight) -> Result<Arc<KeyPolicy>, Failure> {
    let call = flight.call();
    let now = app.ports.clock.now();
    let mut ask = gate::Admit {
        call: call.id,
        service,
        model: Some(call.model.clone()).filter(|model| !model.is_empty()),
        slot: call.endpoint.takes_slot(),
        ttl_ms: app.config.relay.waiting_ttl().as_millis() as u64,
        learned_since: learned_since(app, now),
        note: app.ports.gates.keeps_events().and_then(|_| flight.note()),
    };
    // At most: ask, learn, ask; a second round if the record was invalidated in between.
    for _ in 0..3 {
        match app
            .ports
            .gates
            .gate(&call.key, gate::Command::Admit(ask.clone()))
            .await
        {
            Ok(gate::Reply::Granted { policy }) => return Ok(policy),
            Ok(gate::Reply::Refused(refusal)) => return Err(refused(&refusal)),
            Ok(gate::Reply::NeedPolicy) if ask.learned_since == 0 => break,
            Ok(gate::Reply::NeedPolicy) => {}
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's gate gave no answer.")),
            Err(away) => return Err(Failure::relay_unavailable(&away)),
        }
        let read = app.keys.by_hash(&call.key);
        if let Some(key) = from_the_store(app, &mut ask.learned_since, read).await {
            let policy = key.map(|key| Arc::new(key.policy()));
            let learn = gate::Command::Learn { policy };
            let learned = app.ports.gates.gate(&call.key, learn).await;
            learned.map_err(|away| Failure::relay_unavailable(&away))?;
        }
    }
    Err(Failure::relay_unavailable(&"the key's record cannot be read"))
}

/// What a refusal of the gate says to people.
pub(crate) fn refused(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::UnknownKey => Failure::new(
            Code::UnknownKey,
            "This API key is not known here. Check that it was copied whole, or ask the operator for a new one.",
        ),
        Refusal::Disabled => Failure::new(
            Code::KeyDisabled,
            "This API key is disabled. Ask the operator of this relay to enable it.",
        ),
        Refusal::Expired { at } => Failure::new(
            Code::KeyExpired,
            format!(
                "This API key expired on {}. Ask the operator of this relay to renew it.",
                crate::model::time::iso(*at)
            ),
        ),
        Refusal::NotPermitted { service } => Failure::new(
            Code::ServiceNotPermitted,
            format!(
                "This API key may not use {}. Ask the operator of this relay to permit it.",
                service_name(*service)
            ),
        ),
        Refusal::ModelRestricted { model } => Failure::new(
            Code::ModelRestricted,
            format!("This API key may not use the model {model}. Choose another model."),
        ),
        Refusal::ConcurrencyFull {
            limit,
            retry_after_ms,
        } => Failure::new(
            Code::ConcurrencyFull,
            format!(
                "This API key already has {limit} requests running, which is its limit. Wait until one ends."
            ),
        )
        .retry_after(retry_after_ms.div_ceil(1000).max(1)),
    }
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::Claude => "Claude",
        Service::Gemini => "Gemini",
        Service::OpenAi => "OpenAI",
    }
}

/// An account as the pool gave it.
#[derive(Clone, Debug)]
pub(super) struct Picked {
    pub(super) account: pool::AccountId,
    /// Of its record: a copy of an earlier one is out of date.
    pub(super) revision: u64,
    /// The pool wants to hear as soon as it serves.
    pub(super) on_trial: bool,
}

pub(super) enum Pick {
    /// The flight holds its slot.
    Account(Picked),
    Nobody(Failure),
}

/// Asks the platform's pool. On success the flight holds the account's slot.
pub(super) async fn pick(
    app: &App,
    provider: &dyn Provider,
    flight: &mut Flight,
    tried: &[pool::AccountId],
) -> Result<Pick, Failure> {
    let platform = provider.platform();
    let now = app.ports.clock.now();
    let call = flight.call();
    let mut ask = pool::Pick {
        call: call.id,
        session: call.session.as_deref().map(|session| session_hash(call, session)),
        family: provider.family(&call.model).to_owned(),
        tried: tried.to_vec(),
        only: call.only.clone(),
        slot: call.endpoint.takes_slot(),
        ttl_ms: app.config.relay.waiting_ttl().as_millis() as u64,
        learned_since: learned_since(app, now),
    };
    for _ in 0..3 {
        match app
            .ports
            .gates
            .pool(platform, pool::Command::Pick(ask.clone()))
            .await
        {
            Ok(pool::Reply::Picked {
                account,
                revision,
                on_trial,
                ..
            }) => {
                let picked = Picked {
                    account,
                    revision,
                    on_trial,
                };
                flight.hold(picked.clone());
                return Ok(Pick::Account(picked));
            }
            Ok(pool::Reply::NobodyLeft {
                skipped,
                earliest,
                busy,
            }) => return Ok(Pick::Nobody(nobody(&skipped, earliest, busy, now))),
            Ok(pool::Reply::NeedRoster) if ask.learned_since == 0 => break,
            Ok(pool::Reply::NeedRoster) => {}
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's pool gave no answer.")),
            Err(away) => return Err(Failure::relay_unavailable(&away)),
        }
        let read = app.accounts.roster(platform, app.ports.upstream.no_proxies());
        if let Some(roster) = from_the_store(app, &mut ask.learned_since, read).await {
            let learned = app
                .ports
                .gates
                .pool(platform, pool::Command::Learn { roster })
                .await;
            learned.map_err(|away| Failure::relay_unavailable(&away))?;
        }
    }
    Err(Failure::relay_unavailable(&"the accounts cannot be read"))
}

/// Sessions of different keys never meet, whatever ids their clients invent.
fn session_hash(call: &Call, session: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    call.key.0.hash(&mut hasher);
    session.hash(&mut hasher);
    hasher.finish()
}

fn nobody(
    skipped: &[(pool::AccountId, pool::Skip)],
    earliest: Option<Millis>,
    busy: bool,
    now: Millis,
) -> Failure {
    let wait = earliest.map(|at| at.saturating_sub(now).div_ceil(1000).max(1));
    let cooling = |(_, skip): &(_, pool::Skip)| matches!(skip, pool::Skip::Cooling { .. });
    let failure = if busy {
        return Failure::new(
            Code::AccountsBusy,
            "Every account is busy with as many requests as it may serve. Please try again shortly.",
        )
        .retry_after(2);
    } else if skipped.iter().any(cooling) {
        limited(wait)
    } else if skipped.is_empty() {
        let message = "No account is set up to serve this call. Ask the operator of this relay to add one.";
        return Failure::new(Code::NoAccount, message);
    } else {
        let message = "No account can serve this call at present. Ask the operator of this relay to look at the accounts.";
        // With a time to come back at, coming back is the thing to do.
        Failure {
            retry_after: wait,
            should_retry: if wait.is_some() { None } else { Some(false) },
            ..Failure::new(Code::NoAccount, message)
        }
    };
    failure.with_detail(format!("{skipped:?}"))
}

/// Every account is rate limited; `wait`: seconds until the first is back, if that is known.
fn limited(wait: Option<u64>) -> Failure {
    let message = match wait {
        Some(wait) => format!(
            "Every account is rate limited; the first one is expected back in {}.",
            spoken(wait)
        ),
        None => "Every account is rate limited. Please try again later.".to_owned(),
    };
    Failure {
        retry_after: wait,
        ..Failure::new(Code::AccountsLimited, message)
    }
}

/// Of the last attempt's failure and the pool's, what helps the client more: a provider in trouble is
/// the truth even if the other accounts are limited, while a limit or a refused credential is best told
/// with the time when somebody is back.
pub(super) fn the_clearer_of(last: Option<Failure>, nobody: Failure) -> Failure {
    let Some(last) = last else { return nobody };
    let told = match (last.code, nobody.code) {
        (Code::AccountsLimited, Code::AccountsLimited | Code::AccountsBusy) | (Code::NoAccount, _) => nobody,
        (Code::AccountsLimited, _) => limited(nobody.retry_after),
        _ => return last,
    };
    Failure {
        detail: last.detail.or(told.detail.clone()),
        ..told
    }
}

/// Seconds as a person says them.
fn spoken(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}
