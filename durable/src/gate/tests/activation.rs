use super::*;

const DAYS: u64 = 30 * 86_400_000;

fn from_first_use(version: u64) -> KeyPolicy {
    KeyPolicy {
        valid_for_ms: DAYS,
        concurrency_limit: 1,
        ..policy(version)
    }
}

impl Gate {
    /// The activation that a grant tells the host to store.
    fn activation(&mut self, now: Millis, admit: Admit) -> Option<Millis> {
        match self.asks(now, admit) {
            Reply::Granted { activated_at, .. } => activated_at,
            other => panic!("not granted: {other:?}"),
        }
    }
}

#[test]
fn the_first_call_begins_a_keys_validity() {
    let mut gate = gate(from_first_use(1));
    assert_eq!(gate.shown(T + 10).activated_at, None);
    assert_eq!(gate.activation(T + 20, ask(1)), Some(T + 20));
    gate.say(T + 30, settle(1));
    assert_eq!(
        gate.activation(T + 40, ask(2)),
        Some(T + 20),
        "the store does not know yet"
    );
    gate.say(T + 50, settle(2));
    let end = T + 20 + DAYS;
    gate.granted(end - 1, ask(3));
    assert_eq!(gate.refusal(end, ask(4)), Refusal::Expired { at: end });
}

#[test]
fn neither_refused_nor_free_calls_begin_it() {
    let mut gate = gate(KeyPolicy {
        permissions: vec![Service::Gemini],
        ..from_first_use(1)
    });
    gate.refusal(T, ask(1));
    let free = Admit {
        slot: false,
        ..ask(1)
    };
    gate.learns(T, Some(from_first_use(2)));
    assert_eq!(gate.activation(T, free), None);
    assert_eq!(gate.shown(T).activated_at, None);
}

#[test]
fn the_record_has_the_last_word_on_when_it_began() {
    let mut gate = gate(from_first_use(1));
    assert_eq!(gate.activation(T, ask(1)), Some(T));
    // The host stored it.
    let stored = KeyPolicy {
        activated_at: Some(T),
        ..from_first_use(2)
    };
    gate.learns(T + 1, Some(stored.clone()));
    assert_eq!(gate.activation(T + 1, ask(1)), None);
    // The operator makes the key valid for longer.
    let longer = KeyPolicy {
        version: 3,
        valid_for_ms: 2 * DAYS,
        ..stored
    };
    gate.learns(T + 2, Some(longer));
    gate.say(T + 2, settle(1));
    gate.granted(T + DAYS, ask(2));
    // And then lets it begin anew.
    gate.learns(T + 3 * DAYS, Some(from_first_use(4)));
    assert_eq!(gate.activation(T + 3 * DAYS, ask(3)), Some(T + 3 * DAYS));
}

#[test]
fn a_change_of_the_key_before_the_store_knows_does_not_forget_it() {
    let mut gate = gate(from_first_use(1));
    gate.granted(T, ask(1));
    gate.say(T, settle(1));
    gate.learns(T + 1, Some(from_first_use(2)));
    assert_eq!(gate.activation(T + 2, ask(2)), Some(T));
    // Unless the change is that the key is valid for good.
    gate.learns(T + 3, Some(policy(3)));
    gate.learns(T + 4, Some(from_first_use(4)));
    assert_eq!(gate.shown(T + 4).activated_at, None);
}

#[test]
fn the_earlier_of_two_ends_counts() {
    let mut gate = gate(KeyPolicy {
        expires_at: Some(T + 500),
        ..from_first_use(1)
    });
    gate.granted(T, ask(1));
    assert_eq!(gate.refusal(T + 500, ask(1)), Refusal::Expired { at: T + 500 });
}

#[test]
fn a_call_that_waits_begins_it_when_it_comes_for_its_slot() {
    let mut gate = gate(KeyPolicy {
        queue: QueuePolicy {
            size: 9,
            timeout_ms: 9_000,
        },
        ..no_limits()
    });
    gate.granted(T, ask(1));
    let one = KeyPolicy {
        queue: QueuePolicy {
            size: 9,
            timeout_ms: 9_000,
        },
        ..from_first_use(2)
    };
    gate.learns(T, Some(one));
    assert!(matches!(gate.asks(T + 1, ask(2)), Reply::Queued { .. }));
    gate.say(T + 2, settle(1));
    assert_eq!(gate.shown(T + 2).activated_at, None);
    assert_eq!(gate.activation(T + 3, ask(2)), Some(T + 3));
}

#[test]
fn a_clock_set_back_does_not_put_the_beginning_ahead() {
    let mut gate = gate(from_first_use(1));
    gate.granted(T + DAYS, ask(1));
    assert_eq!(gate.shown(T + DAYS).activated_at, Some(T + DAYS));
    assert_eq!(gate.shown(T).activated_at, Some(T));
}
