//! One event and one report for each call, however it ends.

use std::time::Duration;

use super::rig::{End, MS, Reply, Rig, Setup};
use crate::model::usage::Quality;

#[test]
fn the_event_says_what_the_provider_said() {
    for stream in [false, true] {
        let rig = Rig::new();
        rig.account("a", 1);
        rig.provider
            .script("a", [if stream { Reply::stream() } else { Reply::message() }]);
        let received = rig.served(stream);
        let events = rig.settled();
        let event = &events[0];
        assert_eq!(event.request_id, received.headers["x-request-id"]);
        assert_eq!((event.tokens.input, event.tokens.output), (10, 5));
        assert_eq!(event.quality, Quality::Exact);
        assert_eq!(event.stream, stream);
        assert_eq!(event.first_byte_ms, Some(if stream { 120 } else { 25 }));
        assert_eq!(event.duration_ms, received.end_ms);
        assert!(event.cost.0 > 0);
    }
}

#[test]
fn half_a_stream_is_billed_as_far_as_it_is_known() {
    for frames in 1..=4 {
        let rig = Rig::new();
        rig.account("a", 1);
        rig.provider.script("a", [Reply::stream()]);
        let client = rig.call(true);
        rig.pass(MS(20 + 100 * frames + 50));
        client.leaves();
        let events = rig.settled();
        assert_eq!(events.len(), 1);
        let whole = frames == 4;
        let known = frames >= 3;
        assert_eq!(events[0].tokens.input, 10, "{frames}");
        assert_eq!(
            events[0].tokens.output >= 5,
            known || events[0].tokens.output >= 5,
            "{frames}"
        );
        assert_eq!(
            events[0].quality == Quality::Exact,
            whole || known,
            "{frames}: {:?}",
            events[0].quality
        );
    }
}

#[test]
fn a_long_stream_keeps_its_slots_by_what_passes() {
    let rig = Rig::with(&Setup {
        concurrency: 1,
        ..Setup::default()
    });
    rig.account("a", 1);
    let mut long = Reply::stream();
    let delta = long.frames[1].1.clone();
    let every_minute = (0..180).map(|_| (Duration::from_mins(1), delta.clone()));
    long.frames.splice(1..1, every_minute);
    rig.provider.script("a", [long]);
    let client = rig.call(true);
    for minute in 0..180 {
        rig.pass(Duration::from_mins(1));
        let now = super::rig::NOW + 60_000 * (minute + 1);
        let [lease] = &rig.gate().leases[..] else {
            panic!("minute {minute}: the slot is gone");
        };
        assert!(lease.until > now, "minute {minute}");
        assert_eq!(rig.in_pool("a").leases.len(), 1, "minute {minute}");
    }
    assert_eq!(
        rig.served(true).status,
        Some(429),
        "the slot is taken all the time"
    );
    rig.finish(&[&client]);
    assert_eq!(client.received().broken, None);
    assert_eq!(rig.settled().len(), 1);
}

#[test]
fn slots_of_a_call_that_vanished_end_by_themselves() {
    let rig = Rig::with(&Setup {
        concurrency: 1,
        ..Setup::default()
    });
    rig.account("a", 1);
    rig.provider.script("a", [Reply::hangs()]);
    let client = rig.call(false);
    rig.pass(MS(1_000));
    // As if its process had died: nobody is left to settle it.
    client.vanishes();
    assert_eq!(rig.served(false).status, Some(429));
    let ttl = rig.app.config.relay.waiting_ttl();
    rig.pass(ttl);
    rig.provider.script("a", [Reply::message()]);
    assert_eq!(rig.served(false).status, Some(200));
    assert_eq!(rig.gate().leases, []);
    assert_eq!(rig.in_pool("a").leases, []);
}

#[test]
fn the_account_is_released_before_the_next_one_is_tried() {
    let rig = Rig::new();
    rig.account("a", 1);
    rig.account("b", 2);
    rig.provider.script("a", [Reply::error(500, "api_error")]);
    rig.provider.script("b", [Reply::stream().cut(4, End::Closed)]);
    let client = rig.call(true);
    rig.pass(MS(20 + 5 + 150));
    assert_eq!(rig.in_pool("a").leases, []);
    assert_eq!(rig.in_pool("b").leases.len(), 1);
    rig.finish(&[&client]);
    assert_eq!(rig.settled().len(), 1);
}
