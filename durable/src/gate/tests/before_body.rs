use super::*;

/// The call's body is still to be read.
fn early(call: u128) -> Admit {
    Admit {
        before_body: true,
        ..ask(call)
    }
}

fn one_slot() -> Gate {
    gate(KeyPolicy {
        concurrency_limit: 1,
        ..policy(1)
    })
}

#[test]
fn a_slot_is_held_while_the_body_is_read_and_is_the_calls_own_then() {
    let mut gate = one_slot();
    gate.granted(T, early(1));
    for late in [early(2), ask(2)] {
        assert!(matches!(
            gate.refusal(T, late),
            Refusal::ConcurrencyFull { limit: 1, .. }
        ));
    }
    gate.granted(T + 10, ask(1));
    assert_eq!(gate.leases(T + 10), [(1, T + 10, T + 10 + TTL)]);
    gate.say(T + 20, settle(1));
    gate.granted(T + 20, ask(2));
}

#[test]
fn a_body_that_is_not_read_gives_its_slot_back() {
    let mut gate = one_slot();
    gate.granted(T, early(1));
    gate.say(T, cancel(1));
    gate.granted(T, early(2));
    // Nobody says so: the lease ends by itself.
    gate.granted(T + TTL, early(3));
}

#[test]
fn before_the_body_nothing_is_counted_and_limits_are_asked_twice() {
    let mut gate = limited(Limits {
        rate_limit_window_minutes: 1,
        rate_limit_requests: 1,
        money: PerLimit::these([(MoneyLimit::Total, 100)]),
        ..Limits::default()
    });
    gate.granted(T, early(1));
    gate.granted(T, early(2));
    let shown = gate.shown(T);
    assert_eq!((shown.window, shown.spent[MoneyLimit::Total].reserved), (None, 0));
    gate.granted(T, ask_for(1, 40));
    assert!(matches!(
        gate.refusal(T, ask_for(2, 40)),
        Refusal::LimitReached(_)
    ));
    // It is known now, before the next body is read.
    assert!(matches!(gate.refusal(T, early(3)), Refusal::LimitReached(_)));
    assert_eq!(gate.leases(T).len(), 1);
}

#[test]
fn a_free_call_is_asked_about_and_holds_nothing() {
    let mut gate = one_slot();
    let free = |call| Admit {
        slot: false,
        ..early(call)
    };
    gate.granted(T, free(1));
    assert!(gate.leases(T).is_empty());
    gate.learns(T, None);
    assert_eq!(gate.refusal(T, free(2)), Refusal::UnknownKey);
}
