use super::ended::KEEP_MS;
use super::*;

#[test]
fn a_call_is_counted_once_however_often_it_settles() {
    let mut gate = gate(no_limits());
    gate.granted(T, ask_for(1, 10));
    assert!(gate.handle(T, settle_at(1, 7)).changes().lasting);
    let again = gate.handle(T, settle_at(1, 7));
    assert_eq!(again.changes(), ChangedRows::default());
    assert_eq!(again.rows, []);
    gate.say(T, settle_at(1, 9));
    assert_eq!(gate.spent(T), [7, 7, 0, 7]);
}

#[test]
fn a_call_whose_lease_ended_is_counted_once_all_the_same() {
    let mut gate = gate(no_limits());
    gate.granted(T, ask_for(1, 10));
    assert_eq!(gate.reserved_now(T + TTL), [0; 4], "a lost call reserves nothing");
    assert_eq!(gate.spent(T + TTL), [0; 4], "and nothing is invented");
    for _ in 0..3 {
        gate.say(T + TTL + 1, settle_at(1, 7));
    }
    assert_eq!(gate.spent(T + TTL + 1)[3], 7);
}

#[test]
fn it_is_remembered_for_an_hour_and_not_for_ever() {
    for (after, counted) in [(KEEP_MS - 1, 7), (KEEP_MS, 0)] {
        let mut gate = gate(no_limits());
        gate.granted(T, ask_for(1, 10));
        let step = gate.handle(T + TTL, Command::Snapshot);
        assert_eq!(step.rows, [Row::Lease(CallId(1)), Row::Ended(CallId(1))]);
        assert_eq!(step.wake_at, None, "nobody is woken for that");
        gate.say(T + TTL + after, settle_at(1, 7));
        assert_eq!(gate.spent(T + TTL + after)[3], counted);
    }
}

#[test]
fn only_so_many_are_remembered() {
    let mut gate = gate(no_limits());
    for call in 0..1_500_u128 {
        gate.granted(T + call as u64, ask_for(call, 1));
    }
    let end = T + 1_500 + TTL;
    for call in 0..1_500 {
        gate.say(end, settle_at(call, 1));
    }
    assert_eq!(gate.spent(end)[3], 1_000);
}

#[test]
fn a_call_that_was_never_admitted_is_not_counted() {
    let mut gate = gate(KeyPolicy {
        concurrency_limit: 1,
        queue: QueuePolicy {
            size: 1,
            timeout_ms: 9_000,
        },
        ..policy(1)
    });
    let free = Admit {
        slot: false,
        ..ask(5)
    };
    gate.granted(T, free);
    gate.say(T, settle_at(5, 7));
    gate.granted(T, ask(1));
    gate.asks(T, ask(2));
    gate.say(T, settle(1));
    assert!(gate.shown(T).leases[0].offered);
    gate.say(T, settle_at(2, 7));
    assert_eq!(gate.spent(T), [0; 4]);
    assert_eq!(gate.leases(T), []);
}

#[test]
fn a_running_call_that_a_late_copy_had_refused_is_counted() {
    let mut gate = gate(policy(1));
    gate.granted(T, ask_for(1, 10));
    gate.learns(
        T,
        Some(KeyPolicy {
            active: false,
            ..policy(2)
        }),
    );
    assert_eq!(gate.refusal(T, ask_for(1, 10)), Refusal::Disabled);
    assert_eq!(gate.reserved_now(T), [0; 4]);
    gate.say(T, settle_at(1, 7));
    gate.say(T, settle_at(1, 7));
    assert_eq!(gate.spent(T)[3], 7);
}

#[test]
fn a_repeated_admission_reserves_once() {
    let mut gate = gate(no_limits());
    for cost in [10, 10, 99] {
        gate.granted(T, ask_for(1, cost));
    }
    assert_eq!(gate.reserved_now(T), [10, 10, 0, 10]);
}

#[test]
fn a_call_costs_the_store_no_more_rows_than_it_must() {
    let rows = |step: Step<Reply>| {
        let mut rows = step.rows;
        rows.sort_unstable();
        rows.dedup();
        rows.len()
    };
    let mut gate = gate(no_limits());
    assert_eq!(rows(gate.handle(T, Command::Admit(ask_for(1, 10)))), 1);
    assert_eq!(rows(gate.handle(T, settle(1))), 1, "it used nothing");
    gate.asks(T, ask_for(2, 10));
    assert_eq!(rows(gate.handle(T, settle_at(2, 10))), 2);
}

#[test]
fn sums_do_not_overflow() {
    let mut gate = limited(Limits {
        money: PerLimit::these([(MoneyLimit::Total, u64::MAX)]),
        ..Limits::default()
    });
    gate.granted(T, ask_for(1, u64::MAX));
    gate.say(T, settle_at(1, u64::MAX - 1));
    gate.granted(T, ask_for(2, u64::MAX));
    gate.say(T, settle_at(2, u64::MAX));
    assert_eq!(gate.spent(T)[3], u64::MAX);
    gate.reached(T, ask(3));
}

#[test]
fn a_slot_freed_by_hand_is_free_and_its_call_still_counts_once() {
    let mut gate = gate(KeyPolicy {
        concurrency_limit: 1,
        limits: Limits {
            money: PerLimit::these([(MoneyLimit::Total, 100)]),
            ..Limits::default()
        },
        ..policy(1)
    });
    gate.say(T, Command::SeedSpend(SeedSpend::default()));
    gate.granted(T, ask_for(1, 40));
    let release = || Command::Release { call: CallId(1) };
    gate.say(T, release());
    gate.say(T, release());
    assert_eq!(gate.reserved_now(T), [0; 4]);
    gate.granted(T, ask_for(2, 40));
    for _ in 0..2 {
        gate.say(T, settle_at(1, 30));
    }
    assert_eq!(gate.spent(T)[3], 30);
    // Of what waits or never came there is nothing to free.
    gate.say(T, Command::Release { call: CallId(9) });
    assert!(matches!(
        gate.say(T, Command::Admit(ask(3))),
        Reply::Refused(Refusal::ConcurrencyFull { .. })
    ));
}

#[test]
fn a_slot_freed_by_hand_leaves_the_note_of_its_call() {
    let mut gate = gate(policy(1));
    gate.granted(
        T,
        Admit {
            note: Some("note".into()),
            ..ask(1)
        },
    );
    gate.say(T, Command::Release { call: CallId(1) });
    let Reply::Batch(Some(batch)) = gate.say(T + 3_600_000, Command::TakeBatch) else {
        panic!("nothing to write");
    };
    assert_eq!(batch.entries.len(), 1);
}

fn renew(call: u128) -> Command {
    Command::Renew {
        call: CallId(call),
        ttl_ms: TTL,
        note: None,
    }
}

#[test]
fn a_call_that_the_operator_ends_hears_of_it_when_it_renews() {
    let mut gate = gate(no_limits());
    gate.granted(T, ask_for(1, 10));
    gate.granted(T, ask_for(2, 10));
    assert_eq!(gate.say(T, renew(1)), Reply::Done);
    gate.say(T, Command::Release { call: CallId(1) });
    // On the edge the gate may be put together anew in between.
    let kept = serde_json::to_string(&gate).unwrap();
    let mut gate: Gate = serde_json::from_str(&kept).unwrap();
    assert_eq!(gate.handle(T, renew(1)).reply, Reply::Ended(CallEnd::Released));
    assert_eq!(gate.handle(T, renew(2)).reply, Reply::Done);
    // What ended by itself, or was never known, need not end.
    assert_eq!(gate.handle(T, renew(3)).reply, Reply::Done);
    assert_eq!(gate.handle(T + 2 * TTL, renew(2)).reply, Reply::Done);
    gate.granted(T + 2 * TTL, ask_for(4, 10));
    gate.handle(T + 2 * TTL, Command::Learn { policy: None });
    assert_eq!(
        gate.handle(T + 2 * TTL, renew(4)).reply,
        Reply::Ended(CallEnd::KeyGone)
    );
}

const HOUR: u64 = 3_600_000;

fn keep() -> Command {
    Command::Keep {
        call: CallId(1),
        kept: CallId(70),
        ttl_ms: HOUR,
    }
}

#[test]
fn work_that_goes_on_stays_reserved_until_its_usage_is_known() {
    let mut gate = gate(no_limits());
    gate.granted(T, ask_for(1, 10));
    // A repeated command changes nothing.
    for _ in 0..2 {
        assert_eq!(gate.say(T, keep()), Reply::Done);
    }
    gate.say(T, settle_at(1, 0));
    assert_eq!(gate.reserved_now(T + HOUR - 1), [10, 10, 0, 10]);
    assert_eq!(gate.leases(T), [], "it is no running call");
    gate.say(T + HOUR - 1, settle_at(70, 30));
    assert_eq!(gate.reserved_now(T + HOUR - 1), [0; 4]);
    assert_eq!(gate.spent(T + HOUR - 1)[3], 30);
}

#[test]
fn work_that_goes_on_outlives_the_host_but_not_its_time() {
    let mut gate = gate(no_limits());
    gate.granted(T, ask_for(1, 10));
    gate.say(T, keep());
    let mut gate = gate.resumed();
    gate.learns(T, Some(no_limits()));
    assert_eq!(gate.reserved_now(T)[3], 10);
    assert_eq!(gate.reserved_now(T + HOUR)[3], 0);
    // Its usage still counts, once.
    gate.granted(T + HOUR, ask_for(70, 0));
    for _ in 0..2 {
        gate.say(T + HOUR, settle_at(70, 30));
    }
    assert_eq!(gate.spent(T + HOUR)[3], 30);
}

#[test]
fn only_a_running_call_leaves_work_behind_and_it_counts_no_request() {
    let mut gate = limited(Limits {
        rate_limit_window_minutes: 60,
        rate_limit_requests: 5,
        ..Limits::default()
    });
    gate.say(T, keep());
    assert_eq!(gate.leases(T), []);
    gate.granted(T, ask_for(1, 10));
    gate.say(T, keep());
    gate.say(T, settle_at(1, 0));
    let granted = Admit {
        granted: true,
        ..ask_for(70, 0)
    };
    gate.say(T, Command::Admit(granted));
    gate.say(T, settle_at(70, 7));
    let window = gate.shown(T).window.unwrap();
    assert_eq!(
        (window.requests, window.reserved.cost, window.used.cost),
        (1, 0, 7)
    );
}
