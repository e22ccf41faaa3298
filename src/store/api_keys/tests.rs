use std::sync::atomic::Ordering;

use super::*;
use crate::secrets::tests::{Counting, keyring};
use crate::store::fake::FakeStore;

fn key(id: &str, hash: &KeyHash) -> Key {
    Key {
        id: id.to_owned(),
        name: "laptop".to_owned(),
        hash: hash.hex(),
        shown: "cr_01234567".to_owned(),
        version: 1,
        is_active: true,
        created_at: 5,
        updated_at: 5,
        ..Key::default()
    }
}

fn repository() -> (Arc<FakeStore>, ApiKeys, KeyHash) {
    let store = Arc::new(FakeStore::default());
    let hash = keyring().issue_key(&Counting::new()).hash;
    (store.clone(), ApiKeys::new(store), hash)
}

#[tokio::test]
async fn found_by_hash_until_deleted_and_again_when_restored() {
    let (store, keys, hash) = repository();
    assert!(keys.create(&key("k1", &hash)).await.unwrap());
    assert_eq!(keys.by_hash(&hash).await.unwrap(), Some(key("k1", &hash)));

    let KeyChange::Done(deleted) = keys.delete("k1", 9).await.unwrap() else {
        panic!("not deleted");
    };
    assert_eq!(
        (deleted.deleted_at, deleted.version, deleted.updated_at),
        (Some(9), 2, 9)
    );
    assert_eq!(keys.by_hash(&hash).await.unwrap(), None);
    assert_eq!(store.field(API_KEYS_BY_HASH, &hash.hex()), None);
    assert_eq!(keys.get("k1").await.unwrap(), Some(*deleted));
    assert_eq!(keys.delete("k1", 10).await.unwrap(), KeyChange::WrongState);
    assert_eq!(
        keys.update("k1", 10, |_| {}).await.unwrap(),
        KeyChange::WrongState
    );

    assert!(matches!(
        keys.restore("k1", 11).await.unwrap(),
        KeyChange::Done(_)
    ));
    assert_eq!(keys.by_hash(&hash).await.unwrap().unwrap().version, 3);
    assert_eq!(keys.restore("k1", 12).await.unwrap(), KeyChange::WrongState);
}

#[tokio::test]
async fn nobody_knows_an_unknown_key() {
    let (_, keys, hash) = repository();
    assert_eq!(keys.by_hash(&hash).await.unwrap(), None);
    assert_eq!(keys.get("nope").await.unwrap(), None);
    assert_eq!(keys.update("nope", 1, |_| {}).await.unwrap(), KeyChange::Unknown);
    assert_eq!(keys.delete("nope", 1).await.unwrap(), KeyChange::Unknown);
    assert_eq!(keys.restore("nope", 1).await.unwrap(), KeyChange::Unknown);
}

#[tokio::test]
async fn neither_an_id_nor_a_hash_is_taken_twice() {
    let (store, keys, hash) = repository();
    assert!(keys.create(&key("k1", &hash)).await.unwrap());
    assert!(!keys.create(&key("k2", &hash)).await.unwrap());
    assert_eq!(store.field(API_KEYS, "k2"), None);
    assert!(!keys.create(&key("k1", &KeyHash([7; 32]))).await.unwrap());
    assert_eq!(store.field(API_KEYS_BY_HASH, &KeyHash([7; 32]).hex()), None);

    // Imported again while the first was deleted: the first cannot come back beside it.
    keys.delete("k1", 2).await.unwrap();
    assert!(keys.create(&key("k2", &hash)).await.unwrap());
    assert_eq!(keys.restore("k1", 3).await.unwrap(), KeyChange::Taken);
    assert_eq!(keys.by_hash(&hash).await.unwrap().unwrap().id, "k2");
    assert_eq!(keys.get("k1").await.unwrap().unwrap().deleted_at, Some(2));
}

#[tokio::test]
async fn fields_of_a_newer_version_survive_a_change() {
    let (store, keys, hash) = repository();
    let mut newer = serde_json::to_value(key("k1", &hash)).unwrap();
    newer["futureLimit"] = serde_json::json!({"perDay": 12, "exact": 0.1});
    store.put_field(API_KEYS, "k1", &newer.to_string());
    keys.update("k1", 7, |key| key.name = "renamed".to_owned())
        .await
        .unwrap();
    let stored: serde_json::Value = serde_json::from_str(&store.field(API_KEYS, "k1").unwrap()).unwrap();
    assert_eq!(
        stored["futureLimit"],
        serde_json::json!({"perDay": 12, "exact": 0.1})
    );
    assert_eq!(stored["name"], "renamed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_changes_at_once_none_is_lost() {
    let (_, keys, hash) = repository();
    keys.create(&key("k1", &hash)).await.unwrap();
    let changes = (0..200).map(|n| {
        let keys = keys.clone();
        async move { keys.update("k1", n, |key| key.tags.push(n.to_string())).await }
    });
    for done in futures_util::future::join_all(changes).await {
        assert!(matches!(done.unwrap(), KeyChange::Done(_)));
    }
    let mut tags: Vec<u64> = keys
        .get("k1")
        .await
        .unwrap()
        .unwrap()
        .tags
        .iter()
        .map(|t| t.parse().unwrap())
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..200).collect::<Vec<u64>>());
    assert_eq!(keys.get("k1").await.unwrap().unwrap().version, 201);
}

#[tokio::test]
async fn of_many_deletions_and_restores_at_once_the_index_agrees_with_the_record() {
    let (store, keys, hash) = repository();
    keys.create(&key("k1", &hash)).await.unwrap();
    let steps = (0..60_u64).map(|n| {
        let keys = keys.clone();
        async move {
            if n % 2 == 0 {
                keys.delete("k1", n).await.unwrap()
            } else {
                keys.restore("k1", n).await.unwrap()
            }
        }
    });
    for done in futures_util::future::join_all(steps).await {
        assert!(
            matches!(done, KeyChange::Done(_) | KeyChange::WrongState),
            "{done:?}"
        );
    }
    let record = keys.get("k1").await.unwrap().unwrap();
    let indexed = store.field(API_KEYS_BY_HASH, &hash.hex());
    assert_eq!(indexed.is_some(), record.deleted_at.is_none());
}

#[tokio::test]
async fn a_broken_record_does_not_hide_the_others() {
    let (store, keys, hash) = repository();
    keys.create(&key("k1", &hash)).await.unwrap();
    store.put_field(API_KEYS, "k2", r#"{"id":"k2","secret":"s3cret"#);
    assert_eq!(keys.list().await.unwrap(), vec![key("k1", &hash)]);
    let error = keys.get("k2").await.unwrap_err().to_string();
    assert!(
        error.contains("apikeys[k2]") && !error.contains("s3cret"),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error() {
    let (store, keys, hash) = repository();
    store.away.store(true, Ordering::SeqCst);
    assert!(keys.by_hash(&hash).await.is_err());
    assert!(keys.create(&key("k1", &hash)).await.is_err());
}
