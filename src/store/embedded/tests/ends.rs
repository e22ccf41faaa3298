//! What has ended goes from the file, not only from sight.

use redb::ReadableTableMetadata;

use super::*;
use crate::store::embedded::layout::{ENDS, FIELDS, KEYS, RANKS, TRASH};

/// Rows in `keys`, `fields`, `ranks`, `ends`, `trash`.
fn rows(store: &Embedded) -> [u64; 5] {
    let Ok(snapshot) = store.shared.snapshot() else {
        panic!("no snapshot")
    };
    [KEYS, FIELDS, RANKS, ENDS, TRASH].map(|table| snapshot.open_table(table).unwrap().len().unwrap())
}

fn hash(key: &str, fields: usize) -> Command {
    let entries = (0..fields).map(|n| (format!("f{n}"), "v".into())).collect();
    Command::HSet {
        key: key.into(),
        entries,
    }
}

fn sorted(key: &str, members: usize) -> Command {
    let entries = (0..members).map(|n| (n as f64, format!("m{n}"))).collect();
    Command::ZAdd {
        key: key.into(),
        entries,
    }
}

fn end(key: &str) -> Command {
    Command::PExpireAt {
        key: key.into(),
        at: START + 1,
    }
}

#[tokio::test]
async fn a_sweep_removes_what_nobody_asks_for() {
    let place = Place::new();
    let store = place.open();
    store.run(of_every_type()).await.unwrap();
    let before = rows(&store);
    let small = (0..700).flat_map(|n| {
        let (hashed, text) = (format!("h{n}"), format!("k{n}"));
        [hash(&hashed, 2), end(&hashed), set(&text, "v"), end(&text)]
    });
    store.run(small.collect()).await.unwrap();
    store
        .run(vec![sorted("large", 5_000), end("large")])
        .await
        .unwrap();
    assert_eq!(
        rows(&store),
        [
            before[0] + 1_401,
            before[1] + 6_400,
            before[2] + 5_000,
            before[3] + 1_401,
            0
        ]
    );
    store.sweep().await.unwrap();
    assert_eq!(rows(&store)[0], before[0] + 1_401, "their time has not come");
    place.clock.jump(START + 1);
    store.sweep().await.unwrap();
    assert_eq!(rows(&store), before);
}

#[tokio::test]
async fn an_end_that_was_moved_or_dropped_is_forgotten() {
    let place = Place::new();
    let store = place.open();
    let later = |key: &str| Command::PExpireAt {
        key: key.into(),
        at: START + 100,
    };
    let batch = vec![
        hash("moved", 1),
        end("moved"),
        later("moved"),
        set("dropped", "v"),
        end("dropped"),
        set("dropped", "w"),
    ];
    store.run(batch).await.unwrap();
    assert_eq!(rows(&store)[3], 1);
    place.clock.jump(START + 1);
    store.sweep().await.unwrap();
    assert_eq!(rows(&store)[0], 2);
    place.clock.jump(START + 100);
    store.sweep().await.unwrap();
    assert_eq!(store.run(vec![get("dropped")]).await.unwrap(), [some("w")]);
    assert_eq!(rows(&store), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn who_writes_to_an_ended_key_finds_it_empty_and_leaves_no_rows_of_it() {
    let place = Place::new();
    let store = place.open();
    store
        .run(vec![hash("h", 3), end("h"), sorted("z", 3), end("z")])
        .await
        .unwrap();
    place.clock.jump(START + 1);
    assert_eq!(
        store.run(vec![hash("h", 1), set("z", "v")]).await.unwrap(),
        [Reply::Int(1), Reply::Ok]
    );
    assert_eq!(rows(&store), [2, 1, 0, 0, 0]);
}

#[tokio::test]
async fn collections_that_go_leave_no_rows() {
    let place = Place::new();
    let store = place.open();
    for size in [1, 1_000, 1_001, 7_000] {
        store.run(vec![hash("h", size), sorted("z", size)]).await.unwrap();
        // Deleted, and replaced by another type; in one group with what went before, and alone.
        store
            .run(vec![
                Command::Del { key: "h".into() },
                hash("h", 2),
                set("z", "v"),
            ])
            .await
            .unwrap();
        let large = if size > 1_000 { 2 } else { 0 };
        assert_eq!(rows(&store)[4], large, "large ones go bit by bit");
        store.sweep().await.unwrap();
        assert_eq!(rows(&store), [2, 2, 0, 0, 0]);
        let fields = (0..2).map(|n| format!("f{n}")).collect();
        store
            .run(vec![
                Command::HDel {
                    key: "h".into(),
                    fields,
                },
                Command::Del { key: "z".into() },
            ])
            .await
            .unwrap();
        assert_eq!(rows(&store), [0; 5]);
    }
    store
        .run(vec![
            hash("h", 5),
            sorted("z", 5),
            Command::Del { key: "h".into() },
            Command::Del { key: "z".into() },
        ])
        .await
        .unwrap();
    assert_eq!(rows(&store), [0; 5]);
}

#[tokio::test]
async fn trash_that_was_left_is_removed_after_a_restart() {
    let place = Place::new();
    let store = place.open();
    store
        .run(vec![hash("h", 6_000), Command::Del { key: "other".into() }])
        .await
        .unwrap();
    store.run(vec![Command::Del { key: "h".into() }]).await.unwrap();
    drop(store);
    let store = place.open();
    // What is new does not get the number of what is still to be removed.
    store.run(vec![hash("h", 3)]).await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(rows(&store), [1, 3, 0, 0, 0]);
    assert_eq!(
        store.run(vec![Command::HLen { key: "h".into() }]).await.unwrap(),
        [Reply::Int(3)]
    );
}

#[tokio::test]
async fn the_file_does_not_grow_with_what_comes_and_goes() {
    let place = Place::new();
    let store = place.open();
    let mut sizes = Vec::new();
    for round in 0..20_u64 {
        let now = START + round * 1_000;
        place.clock.jump(now);
        let batch = (0..60).flat_map(|n| {
            let key = format!("r{round}:{n}");
            [hash(&key, 5), Command::PExpireAt { key, at: now + 1_500 }]
        });
        store.run(batch.collect()).await.unwrap();
        store.sweep().await.unwrap();
        sizes.push(std::fs::metadata(place.path()).unwrap().len());
    }
    assert_eq!(sizes[10], sizes[19], "{sizes:?}");
}
