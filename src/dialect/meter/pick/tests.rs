use super::*;
use crate::dialect::meter::table::Rule;

fn ignore(_: &mut AnswerFacts, _: &Value) {}

static READING: Reading = Reading::new(
    &[
        Rule::value(&["usage"], ignore),
        Rule::value(&["model"], ignore),
        Rule::value(&["response", "usage"], ignore),
        Rule::value(&["response", "output", "type"], ignore),
        Rule::content(&["delta"]),
    ],
    false,
);

/// Which rules a key of this length may belong to, at this step.
fn candidates(step: usize, key: &str) -> Vec<u32> {
    let bits = READING.by_length[step].get(key.len()).copied().unwrap_or(0);
    (0..64).filter(|bit| bits & (1 << bit) != 0).collect()
}

#[test]
fn a_key_is_compared_with_rules_of_its_length_alone() {
    assert_eq!(candidates(0, "usage"), [0, 1, 4]);
    assert_eq!(candidates(1, "usage"), [2]);
    assert_eq!(candidates(0, "response"), [2, 3]);
    assert_eq!(candidates(2, "type"), [3]);
    assert_eq!(candidates(0, "sequence_number"), [] as [u32; 0]);
    assert_eq!(candidates(0, &"k".repeat(KEY_BYTES)), [] as [u32; 0]);
}

#[test]
fn more_than_half_of_the_rules_may_be_used() {
    const MANY: [Rule; 64] = [const { Rule::value(&["a"], ignore) }; 64];
    static FULL: Reading = Reading::new(&MANY, false);
    assert_eq!(FULL.among(u64::MAX).count(), 64);
    assert_eq!(FULL.among(1 << 63).count(), 1);
    assert_eq!(READING.among(u64::MAX).count(), 5);
    assert_eq!(READING.among(0).count(), 0);
}
