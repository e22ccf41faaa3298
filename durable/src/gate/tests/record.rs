use super::*;
use crate::freshness::SLOW_READER_MS;

#[test]
fn a_gate_asks_for_what_it_does_not_know() {
    let mut gate = Gate::default();
    assert_eq!(gate.asks(T, ask(1)), Reply::NeedPolicy);
    assert_eq!(
        gate.asks(
            T,
            Admit {
                learned_since: 0,
                ..ask(1)
            }
        ),
        Reply::NeedPolicy
    );
    gate.learns(T, Some(policy(1)));
    assert_eq!(gate.granted(T, ask(1)), 1);
    assert_eq!(
        gate.asks(
            T + 9,
            Admit {
                learned_since: T + 1,
                ..ask(2)
            }
        ),
        Reply::NeedPolicy
    );
    assert_eq!(
        gate.granted(
            T + 9,
            Admit {
                learned_since: 0,
                ..ask(2)
            }
        ),
        1
    );
    assert_eq!(gate.leases(T + 9).len(), 2);
}

#[test]
fn an_unknown_key_is_refused_until_it_is_learned() {
    let mut gate = Gate::default();
    gate.learns(T, None);
    assert_eq!(gate.refusal(T, ask(1)), Refusal::UnknownKey);
    assert_eq!(
        gate.asks(
            T + 9,
            Admit {
                learned_since: T + 1,
                ..ask(1)
            }
        ),
        Reply::NeedPolicy
    );
    assert_eq!(
        gate.refusal(
            T + 9,
            Admit {
                learned_since: 0,
                ..ask(1)
            }
        ),
        Refusal::UnknownKey
    );
    gate.learns(T + 9, Some(policy(1)));
    assert_eq!(gate.granted(T + 9, ask(1)), 1);
}

#[test]
fn after_news_of_a_change_the_record_is_asked_for() {
    let mut gate = gate(policy(1));
    let step = gate.handle(T + 1, Command::Invalidate);
    assert!(step.changes().lasting, "a restart must not forget it");
    assert_eq!(gate.asks(T + 1, ask(1)), Reply::NeedPolicy);
    assert_eq!(
        gate.granted(
            T + 1,
            Admit {
                learned_since: 0,
                ..ask(1)
            }
        ),
        1,
        "the store is away"
    );
    assert_eq!(gate.asks(T + 1, ask(2)), Reply::NeedPolicy);
    gate.learns(
        T + 2,
        Some(KeyPolicy {
            active: false,
            ..policy(2)
        }),
    );
    assert_eq!(gate.refusal(T + 2, ask(2)), Refusal::Disabled);
}

#[test]
fn a_slow_reader_cannot_undo_an_admins_write() {
    // The writer brings the new record itself.
    let mut gate = gate(policy(1));
    gate.learns(
        T + 1,
        Some(KeyPolicy {
            active: false,
            ..policy(2)
        }),
    );
    gate.learns(T + 2, Some(policy(1)));
    assert_eq!(gate.refusal(T + 3, ask(1)), Refusal::Disabled);
    // Nor does it make the record fresh.
    gate.say(T + 4, Command::Invalidate);
    gate.learns(T + 5, Some(policy(1)));
    assert_eq!(gate.asks(T + 5, ask(1)), Reply::NeedPolicy);
}

#[test]
fn a_slow_reader_cannot_bring_a_deleted_key_back() {
    let mut gate = gate(policy(1));
    gate.learns(T + 1, None);
    gate.learns(T + 2, Some(policy(1)));
    assert_eq!(gate.refusal(T + 3, ask(1)), Refusal::UnknownKey);
    // The operator restores it: that is a new version.
    gate.learns(T + 4, Some(policy(3)));
    assert_eq!(gate.granted(T + 4, ask(1)), 3);
}

#[test]
fn a_slow_reader_from_before_a_keys_creation_is_found_out() {
    let mut gate = gate(policy(1));
    gate.learns(T + 1, None);
    assert_eq!(gate.refusal(T + 1, ask(1)), Refusal::UnknownKey);
    assert_eq!(gate.asks(T + 1 + SLOW_READER_MS, ask(1)), Reply::NeedPolicy);
    gate.learns(T + 1 + SLOW_READER_MS, Some(policy(1)));
    assert_eq!(gate.granted(T + 2 + SLOW_READER_MS, ask(1)), 1);
}

#[test]
fn news_of_a_deleted_keys_return_opens_the_gate_at_once() {
    let mut gate = gate(policy(1));
    gate.learns(T + 1, None);
    gate.say(T + 2, Command::Invalidate);
    gate.learns(T + 3, Some(policy(1)));
    assert_eq!(gate.granted(T + 3, ask(1)), 1);
}

#[test]
fn what_was_read_before_news_arrived_is_asked_for_again() {
    let mut gate = gate(policy(1));
    gate.say(T + 100, Command::Invalidate);
    gate.learns(T + 200, Some(policy(1)));
    assert_eq!(gate.granted(T + 300, ask(1)), 1);
    assert_eq!(gate.asks(T + 100 + SLOW_READER_MS, ask(2)), Reply::NeedPolicy);
    gate.learns(T + 200 + SLOW_READER_MS, Some(policy(2)));
    assert_eq!(gate.granted(T + 900_000, ask(2)), 2);
}

#[test]
fn a_store_restored_from_a_backup_is_believed_in_the_end() {
    let mut gate = gate(policy(7));
    gate.learns(T + OLDER_REFUSED_MS - 1, Some(policy(3)));
    assert_eq!(gate.granted(T + OLDER_REFUSED_MS - 1, ask(1)), 7);
    gate.learns(T + OLDER_REFUSED_MS, Some(policy(3)));
    assert_eq!(gate.granted(T + OLDER_REFUSED_MS, ask(1)), 3);
}

#[test]
fn learning_the_same_again_writes_the_head_only() {
    let mut gate = Gate::default();
    let learn = |policy| Command::Learn { policy };
    for policy in [None, Some(Arc::new(policy(1)))] {
        for _ in 0..2 {
            let mut rows = gate.handle(T, learn(policy.clone())).rows;
            rows.dedup();
            assert_eq!(rows, [Row::Head]);
        }
    }
}
