//! Random failures of processes and of Redis: at the end no slot is held, no call counts twice, and only calls that a
//! killed process had not written yet, or that Redis took and then lost in a failover, are missing in the ledger.
//!
//! Each round is generated from a seed. `CRS_CHAOS_ROUNDS` and `CRS_CHAOS_SEED` select rounds; by default as many as
//! fit into [`ALWAYS`] run, at least one. A failed round prints its seed.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a failed round is found by its seed, and a variable chooses the seed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crs_support::client::Client;
use crs_support::provider::{FakeProvider, Script};
use crs_support::redis_server::RedisServer;
use crs_support::relay::{Key, Relay};
use crs_support::switch::Switch;
use crs_support::within;
use serde_json::Value;

use super::support::{relay, slots_are_free};

/// No round starts later than this by default: a round takes about 20 s.
const ALWAYS: Duration = Duration::from_secs(35);

const LEASE: Duration = Duration::from_millis(1_500);
const CLIENTS: usize = 8;
const BLOWS: usize = 5;

/// Within this time all processes have written everything.
const SETTLES: Duration = Duration::from_secs(30);

/// A killed process may not have written calls that ended within this time before, or while Redis was unavailable.
const UNWRITTEN: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn after_random_failures_the_ledger_is_complete_and_no_slot_is_held() {
    let number = |name: &str| -> Option<u64> {
        let set = std::env::var(name).ok();
        set.map(|text| text.parse().expect("a number"))
    };
    let first = number("CRS_CHAOS_SEED").unwrap_or(1);
    let rounds = number("CRS_CHAOS_ROUNDS");
    let began = now();
    for seed in first..first + rounds.unwrap_or(5) {
        if rounds.is_none() && seed > first && began.elapsed() > ALWAYS {
            return;
        }
        println!("round of seed {seed}");
        within(
            Duration::from_mins(2),
            &format!("the round of seed {seed}"),
            round(seed),
        )
        .await;
    }
}

/// SplitMix64.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.roll(most - least))
    }
}

/// State that all clients share.
#[derive(Default)]
struct Shared {
    urls: Mutex<Vec<String>>,
    stop: AtomicBool,
    /// Complete calls.
    answered: Mutex<Vec<Answered>>,
    /// Number of calls without a complete answer.
    left: AtomicUsize,
}

#[derive(Debug)]
struct Answered {
    id: String,
    process: usize,
    asked: Instant,
    /// When the client had read the answer, perhaps after the end of the process.
    at: Instant,
}

/// A killed process, and the time.
type Killed = (usize, Instant);

/// A beginning and an end.
type Span = (Instant, Instant);

/// What happened.
struct Troubles {
    killed: Vec<Killed>,
    /// Redis was unavailable.
    away: Vec<Span>,
    /// Redis was unavailable, or a process was stopped, in the order of time: batches wait meanwhile.
    slow: Vec<Span>,
    /// Redis took writes that the next master never got.
    forgotten: Vec<Span>,
}

impl Troubles {
    /// Whether a call may be missing that this process answered: the process was killed before it could write it, or
    /// the batch was lost by Redis, which had confirmed it.
    fn excuse(&self, call: &Answered) -> bool {
        let at = call.at;
        let killed = self.killed.iter().any(|(victim, when)| {
            let store_was_away = self
                .away
                .iter()
                .any(|(from, until)| at + UNWRITTEN >= *from && at <= *until && *when + UNWRITTEN >= *from);
            *victim == call.process && call.asked <= *when && (at + UNWRITTEN >= *when || store_was_away)
        });
        let lost = |(from, until): &Span| self.written_by(at) >= *from && call.asked <= *until;
        killed || self.forgotten.iter().any(lost)
    }

    /// When a call that ended then is certainly in Redis.
    fn written_by(&self, at: Instant) -> Instant {
        self.slow.iter().fold(at + UNWRITTEN, |by, (from, until)| {
            if by >= *from {
                by.max(*until + UNWRITTEN)
            } else {
                by
            }
        })
    }

    fn lose_calls(&self) -> bool {
        !self.killed.is_empty() || !self.forgotten.is_empty()
    }
}

async fn round(seed: u64) {
    let mut dice = Dice(seed);
    let provider = FakeProvider::start().await;
    provider.answer(Script::decide(|request| {
        let long = request.text().contains("a long one");
        let script = Script::message("as long as it lasts").deltas(if long { 8 } else { 2 });
        script.every(Duration::from_millis(if long { 60 } else { 5 }))
    }));
    let (primary, mut replica) = (RedisServer::start(), RedisServer::start());
    replica.follow(&primary);
    let mut leader = primary;
    let switch = Switch::to(leader.port()).await;
    let mut relay = relay(&provider)
        .env("REDIS_URL", leader.url_by(switch.port(), 0))
        .env("SHARED_LEASE", LEASE.as_millis())
        .start()
        .await;
    relay.claude_account("one", "sk-ant-chaos-one").await;
    relay.claude_account("two", "sk-ant-chaos-two").await;
    let keys = vec![
        relay.key("narrow").set("concurrencyLimit", 3).create().await,
        relay
            .key("queue")
            .set("concurrencyLimit", 2)
            .set("concurrencyQueueSize", 8)
            .set("concurrencyQueueTimeout", 2_000)
            .create()
            .await,
        relay.key("wide").create().await,
    ];
    let shared = Arc::new(Shared::default());
    *shared.urls.lock().unwrap() = relay.urls();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let dice = Dice(seed.wrapping_mul(1_000).wrapping_add(number as u64));
            spawn(client(shared.clone(), keys.clone(), dice))
        })
        .collect();

    let mut killed: Vec<Killed> = Vec::new();
    let mut away: Vec<Span> = Vec::new();
    let (mut slow, mut forgotten): (Vec<Span>, Vec<Span>) = Default::default();
    for _ in 0..BLOWS {
        tokio::time::sleep(dice.ms(200, 600)).await;
        let began = now();
        let outages = away.len();
        match dice.roll(8) {
            0 | 1 => {
                let victim = dice.roll(2) as usize;
                println!("  process {} is killed", victim + 1);
                relay.other(victim).kill9();
                killed.push((victim + 1, now()));
                tokio::time::sleep(dice.ms(0, 400)).await;
                relay.start_other(victim).await;
                *shared.urls.lock().unwrap() = relay.urls();
            }
            2 => {
                println!("  Redis cannot be reached");
                switch.cut();
                tokio::time::sleep(dice.ms(200, 2_500)).await;
                switch.lead_to(leader.port());
                away.push((began, now()));
            }
            3 => {
                println!("  Redis does not answer");
                leader.pause();
                tokio::time::sleep(dice.ms(200, 2_500)).await;
                leader.resume();
                away.push((began, now()));
            }
            4 => {
                println!("  the replica takes over");
                switch.cut();
                // Replicas lag; one that takes over without the last writes is another blow.
                replica.catch_up(&leader);
                replica.lead();
                switch.lead_to(replica.port());
                std::mem::swap(&mut leader, &mut replica);
                replica.follow(&leader);
                away.push((began, now()));
            }
            5 => {
                println!("  the master hands over, and connections stay");
                leader.hand_over();
                switch.next_to(replica.port());
                std::mem::swap(&mut leader, &mut replica);
                away.push((began, now()));
            }
            6 => {
                println!("  the replica takes over without the last writes");
                replica.lead();
                tokio::time::sleep(dice.ms(50, 400)).await;
                switch.lead_to(replica.port());
                forgotten.push((began, now()));
                std::mem::swap(&mut leader, &mut replica);
                replica.follow(&leader);
                away.push((began, now()));
            }
            _ => {
                let victim = dice.roll(2) as usize;
                println!("  process {} is stopped for a while", victim + 1);
                relay.other(victim).pause();
                tokio::time::sleep(dice.ms(500, 2_500)).await;
                relay.other(victim).resume();
                slow.push((began, now()));
            }
        }
        slow.extend(away.iter().skip(outages));
    }
    tokio::time::sleep(dice.ms(200, 500)).await;
    shared.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client");
    }
    settled(&relay, &keys).await;
    let troubles = Troubles {
        killed,
        away,
        slow,
        forgotten,
    };
    check(&relay, &provider, &shared, &troubles).await;
}

/// Waits until no slot is held and no event is unwritten, at any process.
async fn settled(relay: &Relay, keys: &[Key]) {
    for url in relay.urls() {
        let health = Client::new(&url);
        let asked = now();
        loop {
            let shown = health.get("/health").await.json();
            let parts = &shown["components"];
            if parts["ledger"]["pending"] == 0 && parts["limits"]["kept"] == 0 && shown["status"] == "healthy"
            {
                break;
            }
            assert!(asked.elapsed() < SETTLES, "all is not written: {shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let asked = now();
    for key in keys {
        slots_are_free(relay, key).await;
    }
    let took = asked.elapsed();
    assert!(took < LEASE * 4, "slots were held for {took:?}");
    // Gates of dead processes are visited after two leases, and the notes of their calls wait for one more.
    tokio::time::sleep(LEASE * 4).await;
}

async fn check(relay: &Relay, provider: &FakeProvider, shared: &Shared, troubles: &Troubles) {
    let mut ids: BTreeMap<String, Value> = BTreeMap::new();
    let admin = Client::new(relay.url()).with_bearer(relay.token());
    let mut path = "/admin/requests?pageSize=100".to_owned();
    loop {
        let page = admin.get(&path).await.good().json();
        for item in page["items"].as_array().expect("items") {
            let id = item["requestId"].as_str().expect("an id").to_owned();
            assert!(ids.insert(id, item.clone()).is_none(), "listed twice: {item}");
        }
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/admin/requests?pageSize=100&cursor={cursor}");
    }
    let output = relay.cli(&["ledger", "verify", "--days", "1", "--json"]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );

    let answered = shared.answered.lock().unwrap();
    let mut excused = 0;
    let missing: Vec<_> = answered
        .iter()
        .filter(|call| {
            let missing = !ids.contains_key(&call.id);
            let lost = missing && troubles.excuse(call);
            excused += usize::from(lost);
            missing && !lost
        })
        .collect();
    assert!(missing.is_empty(), "not in the ledger: {missing:?}");
    let seen: BTreeSet<_> = answered.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(seen.len(), answered.len(), "ids are unique");
    // Every written call reached the provider; only excused calls of the provider are missing.
    let (calls, written) = (provider.calls(), ids.len());
    let left = shared.left.load(Ordering::Relaxed);
    println!(
        "  {calls} at the provider, {written} written, {} answered, {left} left, {excused} excused",
        answered.len()
    );
    assert!(
        written <= calls + left,
        "{written} are written, {calls} were made"
    );
    let lost = if troubles.lose_calls() { excused + left } else { 0 };
    assert!(
        written + lost >= calls,
        "{written} of {calls} are written, {lost} may be lost"
    );
    if !troubles.lose_calls() {
        assert!(answered.iter().all(|call| ids.contains_key(&call.id)));
    }
}

/// Sends calls to random processes until stopped, and aborts some of them.
async fn client(shared: Arc<Shared>, keys: Vec<Key>, mut dice: Dice) {
    while !shared.stop.load(Ordering::Relaxed) {
        let process = dice.roll(3) as usize;
        let url = shared.urls.lock().unwrap()[process].clone();
        let key = &keys[dice.roll(keys.len() as u64) as usize];
        let client = Client::new(&format!("{url}/api")).with_key(&key.secret);
        let mut call = client.messages(if dice.roll(3) == 0 { "a long one" } else { "hi" });
        if dice.roll(2) == 0 {
            call = call.stream();
        }
        let leaves = dice.roll(4) == 0;
        let patience = if leaves {
            dice.ms(0, 400)
        } else {
            Duration::from_secs(15)
        };
        let asked = now();
        match tokio::time::timeout(patience, call.try_send()).await {
            Ok(Ok(answer)) if answer.status == 200 && answer.broke_off.is_none() => {
                let id = answer.header("x-request-id").expect("an id").to_owned();
                let call = Answered {
                    id,
                    process,
                    asked,
                    at: now(),
                };
                shared.answered.lock().unwrap().push(call);
            }
            Ok(Ok(answer)) if answer.status == 200 => _ = shared.left.fetch_add(1, Ordering::Relaxed),
            Ok(Ok(_)) => tokio::time::sleep(Duration::from_millis(30)).await,
            Ok(Err(_)) => {
                // Its process may be dead: whether the provider was called is unknown.
                shared.left.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => _ = shared.left.fetch_add(1, Ordering::Relaxed),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "when things happened is what is tested")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "clients beside the test")]
fn spawn(client: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(client)
}
