//! The ledger on a real Redis, with many writers at once.

use crs_support::redis_server::RedisServer;
use tokio::task::JoinSet;

use super::*;
use crate::store::tcp::Tcp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_writers_counts_every_batch_once() {
    const BATCHES: u64 = 10;
    const WRITERS: u64 = 200;

    let server = RedisServer::start();
    let store: Arc<dyn Store> = Arc::new(Tcp::new(&server.url(0), None).unwrap());
    let ledger = Ledger::new(store, 0);
    // A real server goes by the time of day, and ends what is past.
    let now = server_time();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let ledger = ledger.clone();
        writers.spawn(async move {
            let batch = writer % BATCHES;
            let events: Vec<LedgerEvent> = (0..20)
                .map(|number| event(now - batch * HOUR, u128::from(batch * 100 + number)))
                .collect();
            ledger
                .append(&format!("batch-{batch}"), &events, now)
                .await
                .unwrap()
        });
    }
    let written = writers.join_all().await;
    assert_eq!(
        written
            .iter()
            .filter(|&&appended| appended == AppendOutcome::Written)
            .count(),
        BATCHES as usize
    );

    let summary = ledger.summary(Range::All, 10, now).await.unwrap();
    assert_eq!(summary.totals, times(BATCHES * 20));
    assert_eq!(
        summary.models,
        [Ranked {
            id: "claude-opus-5-5".to_owned(),
            totals: summary.totals
        }]
    );
    let days: Vec<_> = [now, now - DAY].map(|at| ledger.calendar().day(at)).into();
    for day in days {
        assert_eq!(ledger.verify(day).await.unwrap().differences, []);
    }
    let page = ledger
        .requests(&Filter::default(), None, 1_000, now)
        .await
        .unwrap();
    assert_eq!(page.items.len(), 200);
    assert!(
        page.items
            .is_sorted_by(|a, b| (a.at, &a.request_id) > (b.at, &b.request_id))
    );
    let oldest = page.items.last().unwrap();
    assert_eq!(
        ledger.request(&oldest.request_id, now).await.unwrap().as_ref(),
        Some(oldest)
    );
    // The batch written last tells it.
    let used = ledger.last_used(Kind::Keys, &["key-a"]).await.unwrap();
    assert!(
        used.iter()
            .flatten()
            .any(|at| page.items.iter().any(|event| event.at == *at)),
        "{used:?}"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server it is compared with has no other clock"
)]
fn server_time() -> Millis {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    since.as_millis() as Millis
}
