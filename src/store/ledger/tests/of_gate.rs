//! Batches of gates.

use crs_durable::CallId;
use crs_durable::outbox::{Batch, Entry, LostKey, SendResult};

use super::*;

fn lost(call: u128) -> Entry {
    Entry {
        call: CallId(call),
        text: serde_json::to_string(&event(NOON, call)).unwrap(),
        doubtful: false,
        lost: Some(LostKey {
            key_id: "k".into(),
            key_name: "name".into(),
        }),
    }
}

#[test]
fn a_lost_call_counts_once_however_copies_number_it() {
    let bed = Bed::new();
    let append = |first: u64, calls: &[u128]| {
        let batch = Batch {
            first,
            last: first + calls.len() as u64 - 1,
            entries: calls.iter().map(|call| lost(*call)).collect(),
        };
        let sent = done(bed.ledger.append_of_gate(&*bed.store, batch, bed.now()));
        assert_eq!(sent, SendResult::Written);
        bed.total(Range::All).requests
    };
    assert_eq!(append(5, &[1]), 1);
    assert_eq!(append(8, &[1]), 1, "under another number");
    assert_eq!(
        append(5, &[1, 2]),
        2,
        "the same first call and number, and one more"
    );
    assert_eq!(append(5, &[1, 2]), 2, "sent again");
    assert_eq!(append(6, &[2, 3]), 3);
}
