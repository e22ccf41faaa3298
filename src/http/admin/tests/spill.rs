//! Records that the store does not take before the process ends, and the start after it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::bench::{Bench, NOW};
use super::usage::{account, event, key};
use crate::port::gates::KeyHash;
use crate::relay::ledger_writer::spill::{Room, Tally, put, restore};
use crate::state::outbox::SettledEvent;

const KEY: KeyHash = KeyHash([7; 32]);

/// Room of so many bytes.
struct Reserved(usize, Option<Vec<u8>>);

impl Room for Reserved {
    fn size(&self) -> usize {
        self.0
    }

    fn put(&mut self, text: &[u8]) -> std::io::Result<()> {
        assert!(text.len() <= self.0);
        self.1 = Some(text.to_vec());
        Ok(())
    }

    fn text(&self) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.1.clone())
    }

    fn clear(&mut self) -> std::io::Result<()> {
        self.1 = None;
        Ok(())
    }
}

async fn listed(bench: &Bench) -> Vec<String> {
    let listed = bench.get("/admin/requests").await.is(200).json;
    let items = listed["items"].as_array().unwrap().iter();
    items
        .map(|item| item["requestId"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_a_full_store_refuses_is_written_once_by_the_next_start() {
    let bench = Bench::new().await;
    let (key, account) = (key(&bench, "k").await, account(&bench, "a").await);
    let push = |number| bench.app.outbox.push(KEY, event(NOW, number, &key, &account));
    let mut room = Reserved(1 << 20, None);
    bench.store.full.store(true, Ordering::SeqCst);
    (1..=3).for_each(push);
    // Those under way are unwritten as well.
    let mut writing = Box::pin(crate::relay::ledger_writer::flush(&bench.app));
    assert!(futures_util::poll!(&mut writing).is_pending());
    (4..=5).for_each(push);
    let unwritten = bench.app.outbox.unwritten();
    assert_eq!(unwritten.len(), 5);
    assert_eq!(put(&mut room, unwritten, Vec::new()).unwrap(), Tally::default());
    drop(writing);

    // A start that still finds the disk full loses nothing, and nor does another end.
    assert!(restore(&bench.app, &mut room).await.is_err());
    push(6);
    let again = bench.app.outbox.unwritten();
    assert_eq!(put(&mut room, again, Vec::new()).unwrap(), Tally::default());
    bench.store.full.store(false, Ordering::SeqCst);
    // Three of them were written after all.
    let some: Vec<_> = (1..=3).map(|number| event(NOW, number, &key, &account)).collect();
    bench
        .app
        .ledger
        .append(&some[0].request_id, &some, NOW)
        .await
        .unwrap();
    let kept = room.1.clone();
    let restored = restore(&bench.app, &mut room).await.unwrap();
    assert_eq!(restored.records, 6);
    assert_eq!(room.1, None);
    let ids = listed(&bench).await;
    assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (6, 6));

    // Killed before it forgot them: they are written once all the same.
    room.1 = kept;
    restore(&bench.app, &mut room).await.unwrap();
    assert_eq!(listed(&bench).await.len(), 6);
}

#[tokio::test]
async fn what_has_no_room_is_counted_with_its_cost() {
    let bench = Bench::new().await;
    let (key, account) = (key(&bench, "k").await, account(&bench, "a").await);
    for number in 0..200 {
        bench.app.outbox.push(KEY, event(NOW, number, &key, &account));
    }
    let unwritten = bench.app.outbox.unwritten();
    let all = Tally::of(unwritten.iter().map(SettledEvent::event));
    let mut room = Reserved(600, None);
    let lost = put(&mut room, unwritten, Vec::new()).unwrap();
    assert!(lost.records > 0 && lost.records < 200, "{lost:?}");
    let kept = restore(&bench.app, &mut room).await.unwrap();
    assert_eq!(kept.records + lost.records, all.records);
    assert_eq!(kept.cost.saturating_add(lost.cost), all.cost);
}
