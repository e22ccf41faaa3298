//! Acknowledged writes survive crashes.

use std::os::unix::fs::PermissionsExt as _;

use crs_support::provider::{FakeProvider, Script};
use crs_support::relay::Host;
use serde_json::json;

use super::HOST;
use super::support::{entries, ready, ready_with, relay};

#[tokio::test]
async fn a_first_run_makes_what_it_needs_and_tells_no_secret() {
    applies_here!();
    let provider = FakeProvider::start().await;
    let mut relay = relay(&provider).start().await;
    let store = relay.data().join("crs.redb").exists().then_some("crs.redb");
    assert_eq!(store.is_some(), HOST == Host::Embedded);
    for file in ["secrets.json", "init.json", "server.json"]
        .into_iter()
        .chain(store)
    {
        let mode = std::fs::metadata(relay.data().join(file))
            .expect(file)
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let (username, password) = relay.first_login();
    let log = relay.log();
    assert!(log.contains("init.json"), "{log}");
    assert!(!log.contains(&password));
    relay.login().await.get("/web/auth/user").await.good();
    let secrets = std::fs::read_to_string(relay.data().join("secrets.json")).expect("secrets");
    relay.restart().await;
    assert_eq!(
        std::fs::read_to_string(relay.data().join("secrets.json")).expect("secrets"),
        secrets
    );
    assert_eq!(relay.first_login(), (username, password));
    relay.login().await.get("/web/auth/user").await.good();
    relay.terminate().await;
    assert!(!relay.data().join("server.json").exists());
}

#[tokio::test]
async fn bad_settings_refuse_to_start_with_one_line_each() {
    applies_here!();
    let provider = FakeProvider::start().await;
    let mut bad = relay(&provider)
        .env("JWT_SECRET", "short")
        .env("PORT", "http")
        .prepare();
    let (code, said) = bad.refuses_to_start().await;
    assert_eq!(code, Some(2));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("crs: PORT") && lines[1].starts_with("crs: JWT_SECRET has 5 characters"),
        "{said}"
    );
    assert!(!bad.data().join("secrets.json").exists());
}

#[tokio::test]
async fn another_encryption_key_refuses_to_start() {
    applies_here!();
    let mut r = ready().await;
    r.relay.terminate().await;
    let mut other = relay(&r.provider)
        .data_of(&r.relay)
        .env("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja")
        .prepare();
    let (code, said) = other.refuses_to_start().await;
    assert_eq!(code, Some(2));
    assert!(
        said.contains("ENCRYPTION_KEY") && said.contains("fingerprint"),
        "{said}"
    );
    r.relay.start_again().await;
    r.relay.client(&r.key.secret).messages("hi").send().await.good();
}

#[tokio::test]
async fn lost_secrets_are_not_made_anew_over_sealed_data() {
    applies_here!();
    let mut r = ready().await;
    r.relay.terminate().await;
    std::fs::remove_file(r.relay.data().join("secrets.json")).expect("removed");
    let (code, said) = r.relay.refuses_to_start().await;
    assert_eq!(code, Some(2));
    // With Redis it cannot know before it has looked there.
    let why = if HOST == Host::Embedded {
        "ENCRYPTION_KEY is missing"
    } else {
        "ENCRYPTION_KEY"
    };
    assert!(said.contains(why), "{said}");
}

#[tokio::test]
async fn a_killed_relay_forgets_nothing_it_acknowledged() {
    applies_here!();
    let mut r = ready().await;
    let mut secrets = vec![r.key.secret.clone()];
    for round in 0..3 {
        let records: Vec<_> = (0..20)
            .map(|number| json!({ "name": format!("{round}-{number}") }))
            .collect();
        let made =
            futures_util::future::join_all(records.iter().map(|record| r.relay.create_key(record))).await;
        secrets.extend(made.into_iter().map(|key| key.secret));
        r.relay.kill9().await;
        r.relay.start_again().await;
        for secret in &secrets {
            r.relay.client(secret).get("/v1/me").await.good();
        }
    }
}

#[tokio::test]
async fn the_ledger_outlives_the_process() {
    applies_here!();
    let mut r = ready().await;
    for _ in 0..30 {
        r.client.messages("hi").send().await.good();
    }
    let before = r.entries(30).await;
    r.relay.kill9().await;
    r.relay.start_again().await;
    assert_eq!(entries(&r.relay, 30).await, before);
    r.relay.client(&r.key.secret).messages("hi").send().await.good();
    assert_eq!(entries(&r.relay, 31).await.len(), 31);
}

fn id(answer: crs_support::client::Answer) -> String {
    answer.header("x-request-id").expect("an id").to_owned()
}

/// What a killed process may lose: nothing that health says is written, and of the rest the newest, without holes.
#[tokio::test]
async fn a_killed_relay_loses_at_most_its_newest_calls() {
    applies_here!();
    let mut r = ready().await;
    let mut answered = Vec::new();
    for _ in 0..30 {
        answered.push(id(r.client.messages("hi").send().await.good()));
    }
    let health = crs_support::client::Client::new(r.relay.url());
    crs_support::eventually("nothing waits", async || {
        let health = health.get("/health").await.expect(200).json();
        (health["components"]["ledger"]["pending"] == 0).then_some(())
    })
    .await;
    // And right away after the last of these.
    for _ in 0..30 {
        answered.push(id(r.client.messages("hi").send().await.good()));
    }
    r.relay.kill9().await;
    r.relay.start_again().await;
    let kept = entries(&r.relay, 30).await;
    let kept: Vec<_> = kept
        .iter()
        .rev()
        .map(|entry| entry["requestId"].as_str().expect("an id"))
        .collect();
    assert!(kept.len() <= answered.len());
    assert_eq!(kept, answered[..kept.len()]);
}

#[tokio::test]
async fn asked_to_end_it_lets_a_stream_finish() {
    applies_here!();
    let mut r = ready().await;
    r.provider.next(
        Script::message("to the very end")
            .deltas(6)
            .every(std::time::Duration::from_millis(60)),
    );
    let (_, mut raw) = r.client.messages("hi").stream().open().await;
    raw.until("message_start").await;
    let ended = tokio::join!(r.relay.terminate(), raw.until("message_stop"));
    assert_eq!(ended.0, Some(0));
    r.relay.start_again().await;
    let entry = entries(&r.relay, 1).await.remove(0);
    assert_eq!(entry["quality"], "exact");
}

#[tokio::test]
async fn a_store_that_does_not_answer_stops_nobody_and_loses_nothing() {
    applies_here!();
    let r = ready().await;
    r.client.messages("hi").send().await.good();
    r.entry().await;

    r.relay.redis().pause();
    for _ in 0..20 {
        r.client.messages("hi").send().await.good();
    }
    let health = crs_support::client::Client::new(r.relay.url())
        .get("/health")
        .await
        .expect(200)
        .json();
    assert_eq!(health["status"], "degraded", "{health}");
    let pending = health["components"]["ledger"]["pending"].as_u64();
    assert!(pending > Some(0) || HOST == Host::Worker, "{health}");
    // A key nobody has seen yet cannot be looked up: that is said, in bounded time.
    let unknown = r.relay.client("cr_not-of-this-relay");
    unknown.messages("hi").send().await.expect(401);

    r.relay.redis().resume();
    assert_eq!(r.entries(21).await.len(), 21);
}

/// The store takes nothing while the process ends: the records are in the data folder, and the next start writes
/// them, once.
#[tokio::test]
async fn records_that_the_store_does_not_take_at_the_end_are_there_after_the_next_start() {
    applies_here!();
    let mut r = ready_with(|setup| setup.env("LEDGER_LAST_WRITES", 100)).await;
    r.client.messages("hi").send().await.good();
    r.entry().await;
    r.relay.redis().pause();
    for _ in 0..3 {
        r.client.messages("hi").send().await.good();
    }
    assert_eq!(r.relay.terminate().await, Some(0));
    assert!(
        r.relay.log().contains("kept in the data folder"),
        "{}",
        r.relay.log()
    );
    r.relay.redis().resume();
    for _ in 0..2 {
        r.relay.start_again().await;
        assert_eq!(entries(&r.relay, 4).await.len(), 4);
        r.relay.terminate().await;
    }
}

/// Neither the store nor the data folder takes the records. Writes that the store was sent may still arrive, so it is
/// not said that they are lost: they are in the ledger once or not at all.
#[tokio::test]
async fn records_that_may_be_missing_are_told_by_the_exit_code() {
    applies_here!();
    let mut r = ready_with(|setup| setup.env("LEDGER_LAST_WRITES", 100)).await;
    assert_eq!(r.relay.terminate().await, Some(0));
    let room = r.relay.data().join("unwritten.bin");
    std::fs::remove_file(&room).expect("the reserved file");
    std::fs::create_dir(&room).expect("something in its place");
    r.relay.start_again().await;
    r.client = r.relay.client(&r.key.secret);
    let confirmed = id(r.client.messages("hi").send().await.good());
    r.entry().await;
    r.relay.redis().pause();
    let mut unconfirmed = Vec::new();
    for _ in 0..3 {
        unconfirmed.push(id(r.client.messages("hi").send().await.good()));
    }
    assert_eq!(r.relay.terminate().await, Some(2));
    let log = r.relay.log();
    assert!(
        log.contains("3 records of calls") && log.contains("may be missing from the ledger"),
        "{log}"
    );
    r.relay.redis().resume();
    r.relay.start_again().await;
    let kept = entries(&r.relay, 1).await;
    let mut kept: Vec<_> = kept
        .iter()
        .map(|entry| entry["requestId"].as_str().expect("an id"))
        .collect();
    let all = kept.len();
    assert!(kept.contains(&confirmed.as_str()), "{kept:?}");
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(kept.len(), all, "each at most once");
    assert!(
        kept.iter()
            .all(|kept| *kept == confirmed || unconfirmed.iter().any(|id| id == kept)),
        "{kept:?}"
    );
}
