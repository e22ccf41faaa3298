//! A key's new secret, and its end for good.

use crs_durable::CallId;
use crs_durable::gate::{self, Estimate, MoneyLimit, PerLimit, Refusal, Reply, SeedSpend, Usage};
use futures_util::future::join;
use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use crate::port::gates::Gates as _;

async fn made(bench: &Bench, body: Value) -> Value {
    bench.post("/admin/api-keys", body).await.is(201).json
}

fn path(key: &Value) -> String {
    format!("/admin/api-keys/{}", key["id"].as_str().unwrap())
}

async fn tell(bench: &Bench, secret: &str, command: gate::Command) -> Reply {
    let hash = bench.app.keyring.recognise(secret).unwrap();
    bench.gates.gate(&hash, command).await.unwrap()
}

fn admit(call: u128, cost: u64) -> gate::Command {
    gate::Command::Admit(gate::Admit {
        call: CallId(call),
        service: gate::Service::Claude,
        model: None,
        canonical: None,
        opus: false,
        client: None,
        slot: true,
        estimate: Some(Estimate { tokens: 100, cost }),
        ttl_ms: 60_000,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        or_services: Vec::new(),
        by_routes: false,
        granted: false,
    })
}

#[tokio::test]
async fn the_old_secret_stops_at_once_and_the_new_one_goes_on() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "k", "tags": ["t"]})).await;
    let old = key["key"].as_str().unwrap();
    assert!(matches!(bench.admit(old, 1).await, Reply::Granted { .. }));
    let rotated = bench
        .post(&format!("{}/rotate", path(&key)), Value::Null)
        .await
        .is(200);
    let new = rotated.text("key");
    assert_eq!(
        (&rotated.json["id"], &rotated.json["tags"]),
        (&key["id"], &json!(["t"]))
    );
    assert_ne!(rotated.json["keyPreview"], key["keyPreview"]);
    assert_eq!(bench.admit(old, 2).await, Reply::Refused(Refusal::UnknownKey));
    // The call that runs with the old secret is told to end.
    let renew = gate::Command::Renew {
        call: CallId(1),
        ttl_ms: 60_000,
        note: None,
    };
    assert_eq!(
        tell(&bench, old, renew).await,
        Reply::Ended(gate::CallEnd::KeyGone)
    );
    assert!(matches!(bench.admit(&new, 3).await, Reply::Granted { .. }));
    // Somebody who read the old record before the change cannot revive the old secret.
    let stale = gate::KeyPolicy {
        version: 1,
        active: true,
        ..gate::KeyPolicy::default()
    };
    tell(
        &bench,
        old,
        gate::Command::Learn {
            policy: Some(stale.into()),
        },
    )
    .await;
    assert!(!matches!(
        tell(&bench, old, admit(4, 1)).await,
        Reply::Granted { .. }
    ));
    let shown = bench.get(&path(&key)).await.is(200).json.to_string();
    assert!(!shown.contains(&new) && !shown.contains(old));
    assert!(!bench.store.ever_done().contains(&new));
    let deleted = bench.delete(&path(&key)).await.is(200);
    assert_eq!(deleted.json["isDeleted"], true);
    let again = bench.post(&format!("{}/rotate", path(&key)), Value::Null).await;
    assert_eq!(again.is(409).json["error"], "wrong_state");
    assert_eq!(bench.admit(&new, 5).await, Reply::Refused(Refusal::UnknownKey));
}

#[tokio::test]
async fn what_was_spent_forgiven_and_reserved_goes_on_with_the_new_secret() {
    let bench = Bench::new().await;
    let limits = json!({"name": "k", "dailyCostLimit": 10, "totalCostLimit": 100,
        "rateLimitWindow": 60, "rateLimitRequests": 3});
    let key = made(&bench, limits).await;
    let old = key["key"].as_str().unwrap();
    let seed = SeedSpend {
        spent: PerLimit::these([
            (MoneyLimit::Day, 2_000_000),
            (MoneyLimit::Week, 2_000_000),
            (MoneyLimit::Total, 50_000_000),
        ]),
        as_of: NOW,
    };
    tell(&bench, old, gate::Command::SeedSpend(seed)).await;
    let forgive = gate::Command::ResetSpend {
        which: gate::ResetScope::Money(MoneyLimit::Total),
    };
    tell(&bench, old, forgive).await;
    for call in [1, 2] {
        assert!(matches!(
            tell(&bench, old, admit(call, 1_000_000)).await,
            Reply::Granted { .. }
        ));
    }
    let settle = gate::Command::Settle {
        call: CallId(1),
        event: None,
        usage: Some(Usage {
            tokens: 10,
            cost: 500_000,
            opus: false,
        }),
    };
    tell(&bench, old, settle).await;
    let rotated = bench
        .post(&format!("{}/rotate", path(&key)), Value::Null)
        .await
        .is(200);
    let new = rotated.text("key");
    // 2 before, 0.5 settled, 1 reserved by the call that runs; the total was forgiven before.
    let spend = &rotated.json["spend"];
    assert_eq!(spend["day"]["spent"], 3.5);
    assert_eq!(spend["total"]["spent"], 1.5);
    assert_eq!(rotated.json["window"]["requests"], 2);
    assert!(matches!(
        tell(&bench, &new, admit(3, 1)).await,
        Reply::Granted { .. }
    ));
    assert!(matches!(
        tell(&bench, &new, admit(4, 1)).await,
        Reply::Refused(Refusal::LimitReached(_))
    ));
}

#[tokio::test]
async fn of_two_rotations_at_once_one_secret_works() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "k"})).await;
    let at = format!("{}/rotate", path(&key));
    let (one, two) = join(bench.post(&at, Value::Null), bench.post(&at, Value::Null)).await;
    let mut working = 0;
    for answer in [one, two] {
        if answer.status == 200 {
            working += u32::from(matches!(
                bench.admit(&answer.text("key"), 9).await,
                Reply::Granted { .. }
            ));
        } else {
            assert_eq!(answer.json["error"], "changed_meanwhile");
        }
    }
    assert_eq!(working, 1);
    // Made from a hash that is not the key's any more.
    let (id, old, new) = (key["id"].as_str().unwrap(), "0".repeat(64), "1".repeat(64));
    let stale = bench.app.keys.rotate(id, &old, (&new, "cr_1"), NOW).await;
    assert_eq!(stale.unwrap(), crate::store::api_keys::KeyChange::Taken);
}

#[tokio::test]
async fn nothing_changes_while_the_gate_is_away() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "k"})).await;
    bench.gates.away.store(true, std::sync::atomic::Ordering::SeqCst);
    bench
        .post(&format!("{}/rotate", path(&key)), Value::Null)
        .await
        .is(503);
    bench.gates.away.store(false, std::sync::atomic::Ordering::SeqCst);
    let old = key["key"].as_str().unwrap();
    assert!(matches!(bench.admit(old, 1).await, Reply::Granted { .. }));
}

#[tokio::test]
async fn only_a_deleted_key_is_purged_and_then_it_is_gone() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "k"})).await;
    let purge = format!("{}/permanent", path(&key));
    let refused = bench.delete(&purge).await.is(409);
    assert_eq!(refused.json["error"], "wrong_state");
    bench.delete(&path(&key)).await.is(200);
    let (purged, restored) = join(
        bench.delete(&purge),
        bench.post(&format!("{}/restore", path(&key)), Value::Null),
    )
    .await;
    // One of the two wins, and the key is whole or gone.
    if purged.status == 204 {
        assert!(matches!(restored.status, 404 | 200), "{restored:?}");
    }
    if bench.get(&path(&key)).await.status == 200 {
        bench.delete(&path(&key)).await;
        bench.delete(&purge).await.is(204);
    }
    bench.get(&path(&key)).await.is(404);
    bench.delete(&purge).await.is(404);
    bench
        .post(&format!("{}/restore", path(&key)), Value::Null)
        .await
        .is(404);
    let secret = key["key"].as_str().unwrap();
    assert_eq!(bench.admit(secret, 1).await, Reply::Refused(Refusal::UnknownKey));
}
