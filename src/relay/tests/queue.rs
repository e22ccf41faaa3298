//! Slots and queues of a key.

use std::sync::atomic::Ordering;

use super::rig::{MS, Received, Reply, Rig, Setup};

fn rig(concurrency: u32, queue: (u32, u64)) -> Rig {
    let rig = Rig::with(&Setup {
        concurrency,
        queue,
        ..Setup::default()
    });
    rig.account("a", 1);
    // One call takes 20 ms to its head and 400 ms of frames.
    rig.provider.script("a", [Reply::stream()]);
    rig
}

const TAKES: u64 = 420;

#[test]
fn without_a_queue_who_comes_second_is_told_at_once() {
    let rig = rig(1, (0, 0));
    let first = rig.call(true);
    rig.pass(MS(10));
    let second = rig.call(true);
    rig.run();
    let received = second.received();
    assert_eq!((received.status, received.head_ms), (Some(429), 0));
    assert!(received.headers.contains_key("retry-after"));
    rig.finish(&[&first]);
    assert_eq!(rig.served(true).status, Some(200), "the slot is free again");
    assert_eq!(rig.settled().len(), 2);
}

#[test]
fn a_queue_is_served_in_its_order_and_each_is_told_how_long_it_waited() {
    let rig = rig(1, (5, 60_000));
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let call = rig.call(true);
            rig.pass(MS(1));
            call
        })
        .collect();
    let full = rig.served(true);
    assert_eq!(full.status, Some(429), "six are in, a seventh has no place");
    rig.finish(&calls.iter().collect::<Vec<_>>());
    for (place, call) in calls.iter().enumerate() {
        let Received {
            status,
            headers,
            end_ms,
            ..
        } = call.received();
        let place = place as u64;
        assert_eq!(status, Some(200));
        assert_eq!(end_ms, TAKES * (place + 1) - place, "the {place}th in line");
        let waited = headers
            .get("x-queue-wait-ms")
            .map(|ms| ms.parse::<u64>().unwrap());
        assert_eq!(waited, (place > 0).then(|| (TAKES - 1) * place));
    }
    assert_eq!(rig.settled().len(), 6);
}

#[test]
fn who_waits_in_vain_is_told_when_its_time_is_over() {
    for timeout in [50, 300, 419] {
        let rig = rig(1, (5, timeout));
        let first = rig.call(true);
        rig.run();
        let second = rig.call(true);
        rig.finish(&[&first, &second]);
        let received = second.received();
        assert_eq!((received.status, received.head_ms), (Some(429), timeout));
        assert_eq!(rig.settled().len(), 1);
    }
}

#[test]
fn a_place_in_the_queue_is_free_when_its_client_leaves() {
    let rig = rig(1, (1, 60_000));
    let first = rig.call(true);
    rig.run();
    let second = rig.call(true);
    rig.pass(MS(100));
    second.leaves();
    rig.run();
    let third = rig.call(true);
    rig.finish(&[&first, &third]);
    assert_eq!(third.received().status, Some(200));
    assert_eq!(third.received().end_ms, TAKES - 100 + TAKES);
    assert_eq!(rig.settled().len(), 2);
}

#[test]
fn two_hundred_at_once_are_all_served_five_at_a_time() {
    let rig = rig(5, (200, 600_000));
    let calls: Vec<_> = (0..200).map(|_| rig.call(true)).collect();
    let mut most = 0;
    while !calls.iter().all(super::rig::Client::is_over) {
        rig.pass(MS(10));
        most = most.max(rig.provider.open());
    }
    assert_eq!(most, 5);
    assert!(calls.iter().all(|call| call.received().status == Some(200)));
    // Forty rounds, and no time lost between them.
    let last = calls.iter().map(|call| call.received().end_ms).max();
    assert_eq!(last, Some(40 * TAKES));
    assert_eq!(rig.settled().len(), 200);
}

#[test]
fn exactly_as_many_as_the_window_allows_get_through() {
    let rig = Rig::with(&Setup {
        window_requests: 7,
        ..Setup::default()
    });
    rig.account("a", 1);
    rig.provider.script("a", [Reply::message()]);
    let calls: Vec<_> = (0..200).map(|_| rig.call(false)).collect();
    rig.finish(&calls.iter().collect::<Vec<_>>());
    let served = calls.iter().filter(|call| call.received().status == Some(200));
    assert_eq!(served.count(), 7);
    assert_eq!(rig.provider.called().len(), 7);
    rig.pass(MS(3_600_000));
    assert_eq!(rig.served(false).status, Some(200), "the next window");
    assert_eq!(rig.settled().len(), 8);
}

#[test]
fn the_pool_and_the_gate_stay_whole_while_the_store_is_away() {
    let rig = rig(1, (0, 0));
    assert_eq!(rig.served(true).status, Some(200));
    rig.store.away.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(rig.served(true).status, Some(200), "what is known goes on");
    }
    rig.store.away.store(false, Ordering::SeqCst);
    assert_eq!(rig.settled().len(), 4);
}
