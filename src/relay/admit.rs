//! May this call start, and on which account: the questions to the machines, with what they must be
//! taught first.

use std::sync::Arc;

use bytes::Bytes;
use crs_durable::gate::{self, KeyPolicy, Limit, LimitReached, Refusal, Service};
use crs_durable::{Millis, pool};
use http::StatusCode;

use super::flight::{Flight, skip_name};
use super::{client, estimate};
use crate::app::App;
use crate::dialect::call::Call;
use crate::dialect::origin::{self, Kind};
use crate::error::{Code, Failure};
use crate::model::key::Key;
use crate::model::name::is_opus;
use crate::plan::Plan;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;
use crate::store::api_keys::KeyChange;

/// How often a call asks its gate.
const ROUNDS: u32 = 8;

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

/// Asks the key's gate, and waits for a slot if the key has a queue. On success the call holds its slot.
pub(super) async fn admit(app: &App, service: Service, flight: &Flight) -> Result<Admitted, Failure> {
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
        learned_since: learned_since(app, now),
        note: flight.note(),
        queued_until: None,
        before_body: false,
    };
    ask(app, &call.key, asked).await
}

/// Asks a key's gate, and teaches it what it does not know.
pub(super) async fn ask(app: &App, key: &KeyHash, mut ask: gate::Admit) -> Result<Admitted, Failure> {
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
                return Ok(Admitted { policy, waited_ms });
            }
            Ok(gate::Reply::Refused(refusal)) => return Err(refused(&refusal, now)),
            Ok(gate::Reply::NeedPolicy | gate::Reply::NeedSpend) if ask.learned_since == 0 => break,
            Ok(gate::Reply::NeedPolicy) => learn(app, key, &mut ask).await?,
            Ok(gate::Reply::NeedSpend) => seed(app, key, &mut ask).await?,
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's gate gave no answer.")),
            Err(away) => return Err(Failure::relay_unavailable(&away)),
        }
    }
    Err(Failure::relay_unavailable(&"the key's record cannot be read"))
}

/// A call that may start.
pub(super) struct Admitted {
    pub(super) policy: Arc<KeyPolicy>,
    /// How long it waited for its slot, milliseconds.
    pub(super) waited_ms: u64,
}

async fn learn(app: &App, key: &KeyHash, ask: &mut gate::Admit) -> Result<(), Failure> {
    let read = app.keys.by_hash(key);
    if let Some(record) = from_the_store(app, &mut ask.learned_since, read).await {
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
    if let Some(Some(spent)) = from_the_store(app, &mut ask.learned_since, read).await {
        tell(app, key, gate::Command::SeedSpend(spent)).await?;
    }
    Ok(())
}

/// What the key has spent by the ledger: the answer to `NeedSpend`.
pub(crate) async fn spent_before(app: &App, key: &Key) -> Result<gate::SeedSpend, StoreError> {
    let limits = key.policy(app.config.site.utc_offset_minutes).limits;
    app.ledger.spent(&key.id, &limits, app.ports.clock.now()).await
}

async fn tell(app: &App, key: &KeyHash, command: gate::Command) -> Result<(), Failure> {
    let told = app.ports.gates.gate(key, command).await;
    told.map(|_| ()).map_err(|away| Failure::relay_unavailable(&away))
}

/// The key's validity began with this call: its record is to say so. Until it does the gate remembers; then
/// it learns the record, so that a record without a beginning lets the key begin anew.
fn activated(app: &App, key: &KeyHash, policy: &KeyPolicy, at: Millis) {
    let (app_, hash, id) = (app.clone(), key.clone(), policy.id.clone());
    app.ports.tasks.spawn(Box::pin(async move {
        let now = app_.ports.clock.now();
        let begin = |key: &mut Key| key.activated_at = key.activated_at.or(Some(at));
        let key = match app_.keys.update(&id, now, begin).await {
            Ok(KeyChange::Done(key)) => key,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, key = id, "that a key was first used is not in its record yet");
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
            tracing::warn!(%error, key = id, "the key's gate was not told of its first use");
        }
    }));
}

/// What a refusal of the gate says to people.
pub(crate) fn refused(refusal: &Refusal, now: Millis) -> Failure {
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
        Refusal::ClientNotAllowed { client, allowed } => Failure::new(
            Code::ClientNotAllowed,
            format!(
                "This API key may only be used with {}{}. Use one of these, or ask the operator of this relay.",
                if allowed.is_empty() { "no client".to_owned() } else { allowed.join(", ") },
                client.as_ref().map_or(String::new(), |client| format!(", not with {client}"))
            ),
        ),
        Refusal::QueueFull {
            limit,
            size,
            retry_after_ms,
        } => Failure::new(
            Code::ConcurrencyFull,
            format!(
                "This API key already has {limit} requests running and {size} waiting, which are its limits. Wait until some end."
            ),
        )
        .retry_after(seconds(*retry_after_ms)),
        Refusal::QueueTimeout {
            limit,
            retry_after_ms,
        } => Failure::new(
            Code::ConcurrencyFull,
            format!(
                "This API key has {limit} requests running, which is its limit, and none ended while this one waited. Try again shortly."
            ),
        )
        .retry_after(seconds(*retry_after_ms)),
        Refusal::LimitReached(reached) => limit_reached(reached, now),
        Refusal::ConcurrencyFull {
            limit,
            retry_after_ms,
        } => Failure::new(
            Code::ConcurrencyFull,
            format!(
                "This API key already has {limit} requests running, which is its limit. Wait until one ends."
            ),
        )
        .retry_after(seconds(*retry_after_ms)),
    }
}

/// Seconds in which to come back, at least one.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000).max(1)
}

/// A limit that lifts at a known moment, or when running calls end, or never by itself.
fn limit_reached(reached: &LimitReached, now: Millis) -> Failure {
    let LimitReached {
        which,
        limit,
        used,
        resets_at,
        retry_after_ms,
        ..
    } = reached;
    let usd = |micro: u64| format!("${:.2}", micro as f64 / 1e6);
    let (code, what, unit): (_, _, &dyn Fn(u64) -> String) = match which {
        Limit::WindowRequests => (Code::RateLimited, "requests per window", &|count| {
            count.to_string()
        }),
        Limit::WindowTokens => (Code::RateLimited, "tokens per window", &|count| count.to_string()),
        Limit::WindowCost => (Code::RateLimited, "cost per window", &usd),
        Limit::DailyCost => (Code::CostLimited, "cost per day", &usd),
        Limit::WeeklyCost => (Code::CostLimited, "cost per week", &usd),
        Limit::WeeklyOpusCost => (Code::CostLimited, "cost of Opus models per week", &usd),
        Limit::TotalCost => (Code::CostLimited, "total cost", &usd),
    };
    let said = format!(
        "This API key has reached its limit of {} for {what} (used: {}).",
        unit(*limit),
        unit(*used)
    );
    // What running calls have reserved may be given back within seconds.
    let passing = used < limit;
    let then = match (passing, resets_at) {
        (true, _) => "Requests that run now have reserved the rest; try again shortly.".to_owned(),
        (false, Some(at)) => format!(
            "It begins anew on {}, in {}.",
            crate::model::time::iso(*at),
            spoken(at.saturating_sub(now).div_ceil(1000))
        ),
        (false, None) => "Ask the operator of this relay to raise it.".to_owned(),
    };
    Failure {
        retry_after: retry_after_ms.map(seconds),
        should_retry: if passing { None } else { Some(false) },
        ..Failure::new(code, format!("{said} {then}"))
    }
}

fn service_name(service: Service) -> &'static str {
    match service {
        Service::Claude => "Claude",
        Service::Gemini => "Gemini",
        Service::OpenAi => "OpenAI",
    }
}

/// Items of one call that the pool is asked about.
const MOST_ITEMS: usize = 256;

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
    /// The account that keeps what the call refers to cannot serve it now.
    OriginAway(Failure),
}

/// For what reason the pool gave an account.
#[derive(Clone, Copy)]
pub(super) struct Given {
    /// For its session's sake.
    pub(super) sticky: bool,
    /// It is what the key is bound to.
    pub(super) bound: bool,
    /// It keeps something of this kind that the call refers to.
    pub(super) followed: Option<Kind>,
}

/// Asks the platform's pool. On success the flight holds the account's slot.
pub(super) async fn pick(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    tried: &[pool::AccountId],
) -> Result<Pick, Failure> {
    let platform = plan.platform();
    let now = app.ports.clock.now();
    let call = flight.call();
    let policy = flight.policy();
    let origins: Vec<_> = call
        .refers_to
        .iter()
        .map(|reference| reference.origin(&call.key))
        .collect();
    // What is called so to the pool is this of the call's.
    let kind = |name: Option<u64>| {
        let at = origins.iter().position(|origin| Some(origin.id) == name)?;
        flight.call().refers_to.get(at).map(|reference| reference.kind)
    };
    let mut ask = pool::Pick {
        session: call.session.as_ref().map(|session| session.hash(&call.key)),
        origins: origins.clone(),
        owner: origin::fingerprint(&call.key.0),
        family: plan.accounts.family(&call.model).to_owned(),
        model: call.model.canonical().to_owned(),
        kinds: plan.kinds(call.endpoint),
        tried: tried.to_vec(),
        only: call.only.clone(),
        binding: policy.and_then(|policy| policy.bindings.get(platform.name()).cloned()),
        fallback: policy.is_some_and(|policy| policy.binding_fallback),
        slot: call.endpoint.takes_slot(),
        learned_since: learned_since(app, now),
        holder: policy.map(|policy| policy.id.clone()).unwrap_or_default(),
        trace: true,
        ..pool::Pick::of(call.id, app.config.relay.waiting_ttl().as_millis() as u64)
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
                sticky,
                bound,
                origin,
                trace,
            }) => {
                let picked = Picked {
                    account,
                    revision,
                    on_trial,
                };
                let followed = kind(origin);
                let given = Given {
                    sticky,
                    bound,
                    followed,
                };
                flight.hold(picked.clone(), given, trace);
                return Ok(Pick::Account(picked));
            }
            Ok(pool::Reply::NobodyLeft {
                skipped,
                earliest,
                busy,
                bound,
                origin,
            }) => {
                let failure = nobody(&skipped, earliest, busy, now);
                if let Some(kind) = kind(origin) {
                    let failure = if skipped.is_empty() {
                        origin_gone(kind)
                    } else {
                        origin_away(failure, kind)
                    };
                    flight.nobody_left(skipped);
                    return Ok(Pick::OriginAway(failure));
                }
                flight.nobody_left(skipped);
                return Ok(Pick::Nobody(bound_to_nobody(failure, bound)));
            }
            Ok(pool::Reply::NeedRoster) if ask.learned_since == 0 => break,
            Ok(pool::Reply::NeedRoster) => {}
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's pool gave no answer.")),
            Err(away) => return Err(Failure::relay_unavailable(&away)),
        }
        let read = app.roster(platform);
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

/// Of each of these items of encrypted reasoning (the oldest first) whether the account made it;
/// `None`: nobody knows. Of many only the newest are asked about.
pub(super) async fn makers(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    account: &str,
    items: &[Bytes],
) -> Vec<Option<bool>> {
    let older = items.len().saturating_sub(MOST_ITEMS);
    let newest = items.get(older..).unwrap_or_default();
    let origins = newest.iter().map(|item| origin::of_reasoning(item, &call.key));
    let asked = pool::Command::MadeBy {
        account: account.to_owned(),
        origins: origins.collect(),
    };
    let mut made = vec![None; older];
    if let Ok(pool::Reply::MadeBy { made: newest }) = app.ports.gates.pool(plan.platform(), asked).await {
        made.extend(newest);
    }
    made
}

/// What the call refers to is kept by an account that is away: said in place of the provider's riddle that any
/// other account would answer.
fn origin_away(failure: Failure, kind: Kind) -> Failure {
    let state = match failure.code {
        Code::AccountsBusy => "is busy with as many requests as it may serve",
        Code::AccountsLimited => "is rate limited",
        _ => "cannot serve requests at present",
    };
    let then = match failure.retry_after {
        Some(wait) => format!("Try again in {}, or start a new conversation.", spoken(wait)),
        None => {
            "Start a new conversation, or ask the operator of this relay to look at the account.".to_owned()
        }
    };
    Failure {
        message: format!(
            "This request refers to {}, which only one account of this relay keeps, and that account {state}. {then}",
            kind.told()
        ),
        ..failure
    }
}

/// The same, when the account was deleted: nothing brings it back. A 400 is what every client shows at once.
fn origin_gone(kind: Kind) -> Failure {
    let message = format!(
        "This request refers to {}, which only one account of this relay kept, and that account is gone: the operator has removed it. Start a new conversation, or leave the reference out.",
        kind.told()
    );
    Failure::new(Code::NotFound, message).with_status(StatusCode::BAD_REQUEST)
}

/// A key that is bound to an account is told of that one.
fn bound_to_nobody(failure: Failure, bound: Option<pool::Unbound>) -> Failure {
    match bound {
        Some(pool::Unbound::Missing) => Failure::new(
            Code::NoAccount,
            "This API key is bound to an account or a group that is not there. Ask the operator of this relay to bind it anew.",
        ),
        Some(pool::Unbound::Unable) => Failure {
            message: format!("{} (This API key is bound to it.)", failure.message),
            ..failure
        },
        None => failure,
    }
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
    failure.with_detail(skip_counts(skipped))
}

/// How many accounts were passed over, by reason. The reasons' own words may be a provider's, and a detail is shown
/// outside of the log.
fn skip_counts(skipped: &[(pool::AccountId, pool::Skip)]) -> String {
    let mut counts = std::collections::BTreeMap::<_, usize>::new();
    for (_, skip) in skipped {
        *counts.entry(skip_name(skip)).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name}: {count}"))
        .collect();
    format!("accounts passed over: {}", counts.join(", "))
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
        (Code::AccountsLimited, _) => limited(nobody.retry_after.or(last.retry_after)),
        _ => return last,
    };
    if last.log_entry().is_none() {
        return told;
    }
    Failure {
        detail: last.detail,
        words: last.words,
        ..told
    }
}

/// Seconds as a person says them.
pub(super) fn spoken(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}
