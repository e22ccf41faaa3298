use super::queue::RESEND_MS;
use super::*;

const T: Millis = 1_000_000;
const WAIT: u64 = 10_000;

fn event(call: u128) -> Entry {
    Entry {
        call: CallId(call),
        text: format!("event of {call}"),
        doubtful: false,
        lost: None,
    }
}

fn lost(call: u128) -> Entry {
    Entry {
        doubtful: true,
        lost: Some(LostKey {
            key_id: "k".into(),
            key_name: "key".into(),
        }),
        ..event(call)
    }
}

impl Outbox {
    fn takes(&mut self, now: Millis, entry: Entry) {
        self.push(now, entry, WAIT, &mut Vec::new());
    }

    fn gives(&mut self, now: Millis) -> Option<(u64, Vec<u128>)> {
        let batch = self.take(now, &mut Vec::new())?;
        let calls = batch.entries.iter().map(|entry| entry.call.0).collect();
        Some((batch.last, calls))
    }

    fn hears(&mut self, now: Millis, last: u64, sent: SendResult) -> Vec<u128> {
        let given_up = self.sent(now, last, sent, &mut Vec::new());
        given_up.into_iter().map(|entry| entry.call.0).collect()
    }
}

#[test]
fn events_wait_for_others_and_leave_together() {
    let mut outbox = Outbox::default();
    outbox.takes(T, event(1));
    outbox.takes(T + 9_000, event(2));
    assert_eq!(outbox.due(), Some(T + WAIT));
    assert_eq!(outbox.gives(T + WAIT - 1), None);
    assert_eq!(outbox.gives(T + WAIT), Some((1, vec![1, 2])));
    assert_eq!(outbox.hears(T + WAIT, 1, SendResult::Written), [] as [u128; 0]);
    assert_eq!((outbox.len(), outbox.due()), (0, None));
}

#[test]
fn plenty_do_not_wait() {
    let mut outbox = Outbox::default();
    for call in 0..PLENTY as u128 {
        outbox.takes(T, event(call));
    }
    assert_eq!(outbox.due(), Some(T));
}

#[test]
fn a_batch_stays_the_same_until_it_is_written() {
    let mut outbox = Outbox::default();
    outbox.takes(T, event(1));
    assert_eq!(outbox.gives(T + WAIT), Some((0, vec![1])));
    outbox.takes(T + WAIT, event(2));
    // Nobody tells of its end: it is sent again, without the newcomer.
    assert_eq!(outbox.gives(T + WAIT + 1), None);
    assert_eq!(outbox.gives(T + WAIT + RESEND_MS), Some((0, vec![1])));
    let now = T + WAIT + RESEND_MS;
    outbox.hears(now, 0, SendResult::Written);
    assert_eq!(outbox.gives(now), Some((1, vec![2])));
    // A late word about the first batch is about nothing.
    outbox.hears(now, 0, SendResult::Refused);
    outbox.hears(now, 1, SendResult::Written);
    assert_eq!((outbox.len(), outbox.given_up()), (0, 0));
}

#[test]
fn pauses_grow_while_the_store_is_away() {
    let mut outbox = Outbox::default();
    outbox.takes(T, event(1));
    let mut now = T + WAIT;
    for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        assert_eq!(outbox.gives(now), Some((0, vec![1])));
        outbox.hears(now, 0, SendResult::Away);
        assert_eq!(outbox.due(), Some(now + pause));
        now += pause;
    }
    assert_eq!(outbox.gives(now), Some((0, vec![1])));
    outbox.hears(now, 0, SendResult::Written);
    outbox.takes(now, event(2));
    assert_eq!(outbox.due(), Some(now + WAIT), "and are over when it is back");
}

#[test]
fn what_is_refused_for_good_is_found_and_holds_up_nobody() {
    let mut outbox = Outbox::default();
    for call in 1..=3 {
        outbox.takes(T, event(call));
    }
    let mut now = T + WAIT;
    let mut given_up = Vec::new();
    let mut written = Vec::new();
    while let Some(due) = outbox.due() {
        now = now.max(due);
        let (last, calls) = outbox.gives(now).unwrap();
        let sent = if calls.contains(&2) {
            SendResult::Refused
        } else {
            SendResult::Written
        };
        if sent == SendResult::Written {
            written.extend(calls);
        }
        given_up.extend(outbox.hears(now, last, sent));
    }
    assert_eq!((given_up, written), (vec![2], vec![1, 3]));
    assert_eq!((outbox.len(), outbox.given_up()), (0, 1));
    // Afterwards events leave together again.
    outbox.takes(now, event(4));
    outbox.takes(now, event(5));
    assert_eq!(outbox.gives(now + WAIT).unwrap().1, [4, 5]);
}

#[test]
fn what_is_lost_makes_nothing_else_wait() {
    const LOST_WAIT: u64 = 60_000;
    let thought_lost = |call| {
        let mut outbox = Outbox::default();
        outbox.push(T, lost(call), LOST_WAIT, &mut Vec::new());
        assert_eq!(outbox.due(), Some(T + LOST_WAIT));
        outbox
    };
    // Another call ends; or the same one tells after all.
    for call in [2, 1] {
        let mut outbox = thought_lost(1);
        let mut rows = Vec::new();
        let told = Entry {
            doubtful: call == 1,
            ..event(call)
        };
        outbox.push(T + 5, told, WAIT, &mut rows);
        assert_eq!(outbox.due(), Some(T + 5 + WAIT), "{call}");
        assert!(rows.contains(&Row::Head), "{call}");
    }
    // But nobody hurries a store that is away.
    let mut outbox = thought_lost(1);
    let (last, _) = outbox.gives(T + LOST_WAIT).expect("a batch");
    outbox.hears(T + LOST_WAIT, last, SendResult::Away);
    let pause = outbox.due();
    outbox.push(T + LOST_WAIT, event(2), 0, &mut Vec::new());
    assert_eq!(outbox.due(), pause);
}

#[test]
fn a_settlement_takes_the_place_of_what_was_thought_lost() {
    let mut outbox = Outbox::default();
    outbox.takes(T, lost(1));
    outbox.takes(
        T,
        Entry {
            doubtful: true,
            ..event(1)
        },
    );
    assert_eq!(outbox.len(), 1);
    let batch = outbox.take(T + WAIT, &mut Vec::new()).unwrap();
    assert_eq!(
        (batch.entries[0].lost.as_ref(), batch.entries[0].doubtful),
        (None, true)
    );
    // On its way it stays what it is: a batch does not change.
    outbox.takes(T + WAIT, lost(1));
    outbox.takes(
        T + WAIT,
        Entry {
            doubtful: true,
            ..event(1)
        },
    );
    assert_eq!(outbox.take(T + WAIT + RESEND_MS, &mut Vec::new()), Some(batch));
}

#[test]
fn a_full_outbox_gives_up_its_oldest_but_what_is_on_its_way() {
    let mut outbox = Outbox::default();
    outbox.takes(T, event(0));
    assert_eq!(outbox.gives(T + WAIT), Some((0, vec![0])));
    for call in 1..=CAPACITY as u128 {
        outbox.takes(T + WAIT, event(call));
    }
    assert_eq!((outbox.len(), outbox.given_up()), (CAPACITY, 1));
    assert!(outbox.entry(0).is_some() && outbox.entry(1).is_none());
}

#[test]
fn a_batch_is_bounded_in_bytes() {
    let mut outbox = Outbox::default();
    for call in 0..4 {
        let text = "x".repeat(Entry::BOUNDS.batch_bytes / 2);
        outbox.takes(T, Entry { text, ..event(call) });
    }
    assert_eq!(outbox.gives(T + WAIT), Some((1, vec![0, 1])));
    outbox.hears(T + WAIT, 1, SendResult::Written);
    // One that is too large alone goes alone.
    let text = "x".repeat(2 * Entry::BOUNDS.batch_bytes);
    let mut outbox = Outbox::default();
    outbox.takes(T, Entry { text, ..event(9) });
    outbox.takes(T, event(10));
    assert_eq!(outbox.gives(T + WAIT), Some((0, vec![9])));
}
