//! The log of calls is appended to the file and fills its pages.

use redb::{ReadableDatabase as _, ReadableTableMetadata as _};

use super::*;
use crate::model::calendar::Calendar;
use crate::store::embedded::layout::FIELDS;
use crate::store::keys;

fn id(number: usize) -> String {
    format!("req_{number:032x}")
}

fn hset(key: &str, field: &str, value: &str) -> Command {
    Command::HSet {
        key: key.into(),
        entries: vec![(field.to_owned(), value.to_owned().into())],
    }
}

fn hget(key: &str, field: &str) -> Command {
    Command::HGet {
        key: key.into(),
        field: field.to_owned(),
    }
}

#[tokio::test]
async fn pages_of_the_log_are_full() {
    let place = Place::new();
    let store = place.open();
    let day = Calendar::new(0).day(START);
    let (log, index) = (keys::ledger_requests(day), keys::ledger_requests_index(day));
    let record = "r".repeat(300);
    for batch in 0..40 {
        // A batch's records come in any order, and the collections of sums are newer than the log.
        let ids: Vec<String> = (0..50).map(|number| id(batch * 50 + (number * 7) % 50)).collect();
        let commands = vec![
            Command::HSet {
                key: log.clone(),
                entries: ids.iter().map(|id| (id.clone(), record.clone().into())).collect(),
            },
            Command::ZAdd {
                key: index.clone(),
                entries: ids.iter().map(|id| (batch as f64, id.clone())).collect(),
            },
            Command::HIncrBy {
                key: format!("ledger:sums:{batch}"),
                field: "requests".to_owned(),
                by: 50,
            },
        ];
        store.atomically(Vec::new(), commands).await.unwrap();
    }
    let read = store
        .run(vec![hget(&log, &id(1_999)), hget(&log, &id(2_000))])
        .await;
    assert_eq!(read.unwrap(), [some(&record), Reply::Value(None)]);
    let database = store.shared.database.read().unwrap();
    let snapshot = database.as_ref().unwrap().begin_read().unwrap();
    let stats = snapshot.open_table(FIELDS).unwrap().stats().unwrap();
    let (used, free) = (stats.stored_bytes(), stats.fragmented_bytes());
    assert!(free * 4 < used, "{free} bytes are free beside {used}");
}

#[tokio::test]
async fn numbers_stay_unique_when_the_file_is_opened_again() {
    let place = Place::new();
    let day = Calendar::new(0).day(START);
    let (log, next_log) = (keys::ledger_requests(day), keys::ledger_requests(day.after(1)));
    let keys = ["a", log.as_str(), "b", next_log.as_str(), "c"];
    for key in keys {
        let store = place.open();
        store.run(vec![hset(key, "f", key)]).await.unwrap();
    }
    let store = place.open();
    for key in keys {
        let read = store
            .run(vec![hget(key, "f"), Command::HLen { key: key.into() }])
            .await;
        assert_eq!(read.unwrap(), [some(key), Reply::Int(1)], "{key}");
    }
}
