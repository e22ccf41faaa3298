//! The ledger over HTTP: the largest batch there is goes through in one exchange, and counts once.

use crs_support::redis_server::RedisServer;
use crs_support::upstash::UpstashFront;

use super::*;
use crate::host::native::clock::NativeClock;
use crate::model::secret::Secret;
use crate::store::upstash::{Limits, Upstash};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_batch_is_one_command() {
    const EVENTS: u64 = 2_000;

    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let clock = Arc::new(NativeClock::default());
    let now = crate::port::clock::Clock::now(&*clock);
    let store = Upstash::new(
        &front.url(),
        &Secret::new(front.token()),
        clock,
        Limits::default(),
    )
    .unwrap();
    let ledger = Ledger::new(Arc::new(store), 0);
    let events: Vec<LedgerEvent> = (0..EVENTS)
        .map(|number| event(now - number, u128::from(number)))
        .collect();
    assert_eq!(
        ledger.append("batch", &events, now).await.unwrap(),
        AppendOutcome::Written
    );
    assert_eq!((front.exchanges(), front.commands()), (1, 1));
    println!("{EVENTS} events: {} bytes", front.received());
    assert_eq!(
        ledger.append("batch", &events, now).await.unwrap(),
        AppendOutcome::Repeated
    );
    let summary = ledger.summary(Range::All, 10, now).await.unwrap();
    assert_eq!(summary.totals, times(EVENTS));
}
