use crs_durable::CallId;

use super::*;
use crate::model::calendar::Calendar;

const NOW: Millis = 1_764_000_000_000;

fn key(number: u32) -> KeyHash {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    KeyHash(bytes)
}

fn refuse(state: &mut State, key: Option<&KeyHash>, failure: &Failure) {
    let day = Calendar::default().day(NOW);
    state.count(day, key, CallId(1), failure, NOW);
}

#[test]
fn a_crowd_of_keys_takes_bounded_memory_and_none_is_lost() {
    let mut state = State::default();
    let failure = Failure::new(Code::CostLimited, "x".repeat(10_000)).retry_after(60);
    for number in 0..5_000 {
        refuse(&mut state, Some(&key(number)), &failure);
        refuse(&mut state, Some(&key(0)), &failure);
    }
    assert_eq!(state.counts.len(), MOST_ROWS + 1);
    assert_eq!(
        state.counts.values().map(|counted| counted.count).sum::<u64>(),
        10_000
    );
    let of = |key: Option<KeyHash>| {
        let row = state.counts.iter().find(|(row, _)| row.key == key);
        row.map(|(_, counted)| counted).unwrap()
    };
    assert_eq!(of(Some(key(0))).count, 5_001);
    assert_eq!(of(None).count, 4_000);
    assert_eq!(of(None).message.len(), MESSAGE_BYTES);
    assert_eq!(of(None).retry_at, Some(NOW + 60_000));
}

#[test]
fn strangers_make_one_row_a_code() {
    let mut state = State::default();
    for code in [Code::UnknownKey, Code::MissingKey, Code::UnknownKey] {
        refuse(&mut state, None, &Failure::new(code, "no"));
    }
    assert_eq!(state.counts.len(), 2);
}

#[test]
fn a_task_that_never_came_back_holds_up_nobody_for_long() {
    assert!(is_under_way(Some(NOW), NOW + TASK_LOST_MS - 1));
    assert!(!is_under_way(Some(NOW), NOW + TASK_LOST_MS));
    assert!(!is_under_way(Some(NOW), NOW - 1), "the clock jumped back");
    assert!(!is_under_way(None, NOW));
}
