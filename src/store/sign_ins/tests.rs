use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::model::account::{Platform, StoredCredentials};
use crate::model::money::MicroUsd;
use crate::port::clock::movable::Movable;
use crate::secrets::tests::{Counting, keyring};
use crate::store::fake::FakeStore;

const NOW: Millis = 1_764_000_000_000;

struct Bench {
    store: Arc<FakeStore>,
    clock: Movable,
    sign_ins: SignIns,
}

/// `store`: the clock of the store, if it is another than ours.
fn bench(store: Option<Movable>) -> Bench {
    let clock = Movable::at(NOW);
    let store = Arc::new(FakeStore::new(Arc::new(store.unwrap_or_else(|| clock.clone()))));
    let sign_ins = SignIns::new(
        store.clone(),
        Arc::new(keyring()),
        Arc::new(clock.clone()),
        Arc::new(Counting::new()),
    );
    Bench {
        store,
        clock,
        sign_ins,
    }
}

fn account() -> Account {
    Account {
        id: "acc-1".to_owned(),
        name: "chosen".to_owned(),
        description: String::new(),
        platform: Platform::Claude,
        credentials: StoredCredentials::ApiKey {
            api_key: String::new(),
            base_url: None,
        },
        credential_version: 1,
        priority: 50,
        max_concurrency: 0,
        is_active: true,
        schedulable: true,
        proxy: None,
        proxy_shown: None,
        model_mapping: std::collections::BTreeMap::new(),
        groups: std::collections::BTreeSet::new(),
        shared: true,
        supported_models: None,
        subscription_expires_at: None,
        daily_quota: MicroUsd::ZERO,
        reserve_percent: 0,
        key_header: None,
        user_agent: None,
        chat_only: false,
        api_version: None,
        created_at: NOW,
        updated_at: NOW,
        extra: serde_json::Map::new(),
    }
}

impl Bench {
    async fn begun(&self) -> (String, UnfinishedSignIn) {
        self.sign_ins
            .begin(Grant::SetupToken, account(), false)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn what_was_begun_is_found_and_sealed() {
    let bench = bench(None);
    let (id, begun) = bench.begun().await;
    let found = bench.sign_ins.find(&id).await.unwrap().unwrap().begun;
    assert_eq!(
        (&found.state, &found.verifier, found.grant, &found.account),
        (&begun.state, &begun.verifier, Grant::SetupToken, &account())
    );
    assert_ne!(begun.state, begun.verifier);
    let written = bench.store.ever_done();
    for hidden in [&begun.state, &begun.verifier, "chosen"] {
        assert!(!written.contains(hidden), "{hidden} in {written}");
    }
}

#[tokio::test]
async fn it_is_taken_once_also_of_many_at_once() {
    let bench = bench(None);
    let (id, _) = bench.begun().await;
    let takers = (0..20).map(|_| async {
        let found = bench.sign_ins.find(&id).await.unwrap()?;
        bench.sign_ins.take(&found).await.unwrap().then_some(())
    });
    let taken = join_all(takers).await.into_iter().flatten().count();
    assert_eq!(taken, 1);
    assert!(bench.sign_ins.find(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn it_ends_after_ten_minutes_by_either_clock() {
    let together = bench(None);
    let (id, _) = together.begun().await;
    let found = together.sign_ins.find(&id).await.unwrap().unwrap();
    together.clock.advance(Duration::from_millis(LIFETIME_MS - 1));
    assert!(together.sign_ins.find(&id).await.unwrap().is_some());
    together.clock.advance(Duration::from_millis(1));
    assert!(together.sign_ins.find(&id).await.unwrap().is_none());
    assert!(!together.sign_ins.take(&found).await.unwrap());

    let standing = bench(Some(Movable::at(NOW)));
    let (id, _) = standing.begun().await;
    standing.clock.advance(Duration::from_millis(LIFETIME_MS));
    assert!(standing.sign_ins.find(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn an_id_names_nothing_else() {
    let bench = bench(None);
    let (id, _) = bench.begun().await;
    bench.store.put("sign-in:x", "text");
    let other = "A".repeat(43);
    for odd in ["", "x", "../accounts", &format!("{id}\n"), &other] {
        assert!(bench.sign_ins.find(odd).await.unwrap().is_none(), "{odd:?}");
    }
    // A record that was moved to another id does not open.
    let sealed = bench.store.text(&keys::sign_in(&id)).unwrap();
    bench.store.put(&keys::sign_in(&other), &sealed);
    assert!(bench.sign_ins.find(&other).await.is_err());
}
