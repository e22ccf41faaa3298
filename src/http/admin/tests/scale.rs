//! How fast the control plane reads when there is much: 2,000 keys, 200 accounts, a million calls in 30
//! days, on the embedded store. `scripts/bench --admin` runs it, optimised.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bench::{Bench, NOW};
use super::usage::event;
use crate::model::usage::LedgerEvent;
use crate::store::embedded::Embedded;

const KEYS: u64 = 2_000;
const ACCOUNTS: u64 = 200;
const CALLS: u64 = 1_000_000;
/// Calls of one batch, and so many keys made them.
const BATCH: u64 = 5_000;
const KEYS_OF_BATCH: u64 = 400;
const DAYS: u64 = 30;
const DAY: u64 = 86_400_000;

/// No answer may take longer.
const MOST: Duration = Duration::from_millis(50);
const ROUNDS: usize = 9;

/// Calls of one hour: each key of it uses an account and a model of its own.
fn batch(number: u64, keys: &[serde_json::Value], accounts: &[serde_json::Value]) -> Vec<LedgerEvent> {
    let batches = CALLS / BATCH;
    let start = NOW - (batches - number) * (DAYS * DAY / batches);
    let calls = (0..BATCH).map(|call| {
        let key = (number * KEYS_OF_BATCH + call % KEYS_OF_BATCH) % KEYS;
        let at = start + call * 500;
        let (key, account) = (&keys[key as usize], &accounts[(key % ACCOUNTS) as usize]);
        let mut event = event(at, u128::from(number * BATCH + call), key, account);
        event.model = format!("model-{}", call % KEYS_OF_BATCH % 12);
        event.duration_ms = 200 + call * call % 90_000;
        event.first_byte_ms = Some(100 + call * 7 % 9_000);
        if call % 50 == 0 {
            event.status = 529;
            event.error = Some("provider_overloaded".to_owned());
        }
        event
    });
    calls.collect()
}

#[tokio::test]
#[ignore = "a benchmark: scripts/bench --admin"]
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn every_answer_is_quick_with_a_million_calls() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new().await;
    let clock = Arc::new(bench.clock.clone());
    let store = Arc::new(Embedded::open(&folder.path().join("store"), clock).unwrap());
    let bench = bench.over(store).await;
    let began = Instant::now();
    let (mut keys, mut accounts) = (Vec::new(), Vec::new());
    for number in 0..KEYS {
        keys.push(super::usage::key(&bench, &format!("key {number}")).await);
    }
    for number in 0..ACCOUNTS {
        accounts.push(super::usage::account(&bench, &format!("account {number}")).await);
    }
    for number in 0..CALLS / BATCH {
        let events = batch(number, &keys, &accounts);
        let id = format!("batch-{number}");
        bench
            .app
            .ledger
            .append(&id, &events, NOW - DAYS * DAY)
            .await
            .unwrap();
    }
    println!(
        "{KEYS} keys, {ACCOUNTS} accounts and {CALLS} calls were written in {:.0?}\n",
        began.elapsed()
    );

    let (key, account) = (
        keys[7]["id"].as_str().unwrap(),
        accounts[7]["id"].as_str().unwrap(),
    );
    let last = batch(CALLS / BATCH - 1, &keys, &accounts)
        .pop()
        .unwrap()
        .request_id;
    let mut slow = Vec::new();
    println!("{:<60} {:>9} {:>9}", "answer", "median", "slowest");
    for path in [
        "/admin/overview".to_owned(),
        "/admin/usage/summary".to_owned(),
        "/admin/usage/summary?range=30days&top=25".to_owned(),
        "/admin/usage/summary?range=all&top=25".to_owned(),
        "/admin/usage/trend?unit=hour&count=192".to_owned(),
        format!("/admin/usage/trend?unit=day&count=100&key={key}"),
        "/admin/usage/ranking?kind=keys&range=30days&top=100".to_owned(),
        format!("/admin/usage/ranking?kind=modelsOf&range=month&key={key}"),
        "/admin/usage/failures?range=30days".to_owned(),
        "/admin/usage/latency?range=30days".to_owned(),
        format!("/admin/usage/latency?range=all&account={account}"),
        "/admin/requests".to_owned(),
        "/admin/requests?pageSize=100&page=50".to_owned(),
        format!("/admin/requests?keyId={key}"),
        "/admin/requests?errorsOnly=true&pageSize=100".to_owned(),
        "/admin/requests?model=none".to_owned(),
        format!("/admin/requests/{last}"),
        "/admin/api-keys?pageSize=100".to_owned(),
        "/admin/api-keys?search=1999".to_owned(),
        format!("/admin/api-keys/{key}"),
        "/admin/accounts?pageSize=100".to_owned(),
        format!("/admin/accounts/{account}"),
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            bench.get(&path).await.is(200);
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let (median, slowest) = (times[ROUNDS / 2], times[ROUNDS - 1]);
        let shown = path
            .replace(key, "<key>")
            .replace(account, "<account>")
            .replace(&last, "<id>");
        println!("{shown:<60} {median:>9.2?} {slowest:>9.2?}");
        if median > MOST {
            slow.push(shown);
        }
    }
    assert!(slow.is_empty(), "slower than {MOST:?}: {slow:?}");
}
