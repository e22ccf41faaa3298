use super::*;

pub(super) const TIMEOUT: u64 = 20_000;

/// One slot, which call 1 holds; so many may wait.
pub(super) fn busy(size: u32) -> Gate {
    let mut gate = gate(KeyPolicy {
        concurrency_limit: 1,
        queue: QueuePolicy {
            size,
            timeout_ms: TIMEOUT,
        },
        ..policy(1)
    });
    gate.granted(T, ask(1));
    gate
}

fn again(call: u128, queued_until: Millis) -> Admit {
    Admit {
        queued_until: Some(queued_until),
        ..ask(call)
    }
}

impl Gate {
    /// The call's place and until when it waits.
    pub(super) fn queued(&mut self, now: Millis, admit: Admit) -> (u32, Millis) {
        match self.asks(now, admit) {
            Reply::Queued {
                position,
                until,
                wait_ms,
            } => {
                assert_eq!(now + wait_ms, until);
                (position, until)
            }
            other => panic!("not queued: {other:?}"),
        }
    }

    pub(super) fn waiting(&mut self, now: Millis) -> Vec<u128> {
        let waiters = self.shown(now).waiters.into_iter();
        waiters.map(|waiter| waiter.call.0).collect()
    }

    pub(super) fn wakes(&mut self, now: Millis, command: Command) -> Vec<u128> {
        let woken = self.handle(now, command).wake;
        woken.into_iter().map(|call| call.0).collect()
    }

    pub(super) fn waited(&mut self, now: Millis, admit: Admit) -> u64 {
        match self.asks(now, admit) {
            Reply::Granted { waited_ms, .. } => waited_ms,
            other => panic!("not granted: {other:?}"),
        }
    }
}

#[test]
fn slots_are_given_in_the_order_of_coming() {
    let mut gate = busy(9);
    for (place, call) in (1..).zip([7, 3, 5]) {
        assert_eq!(gate.queued(T + u64::from(place), ask(call)).0, place);
    }
    assert_eq!(
        gate.queued(T + 8, ask(3)),
        (2, T + 2 + TIMEOUT),
        "asking again changes nothing"
    );
    assert_eq!(gate.wakes(T + 100, settle(1)), [7]);
    assert_eq!(gate.waiting(T + 100), [3, 5]);
    // The slot is held for it: nobody else gets in.
    assert_eq!(gate.queued(T + 101, ask(8)).0, 3);
    assert_eq!(gate.waited(T + 102, ask(7)), 99);
    assert_eq!(gate.waited(T + 103, ask(7)), 99, "its answer was lost");
    assert_eq!(gate.leases(T + 103), [(7, T + 102, T + 103 + TTL)]);
    assert_eq!(gate.wakes(T + 200, settle(7)), [3]);
}

#[test]
fn a_full_queue_sends_away() {
    let mut gate = busy(2);
    gate.queued(T, ask(2));
    gate.queued(T, ask(3));
    let Refusal::QueueFull {
        limit: 1,
        size: 2,
        retry_after_ms,
    } = gate.refusal(T, ask(4))
    else {
        panic!("the queue is full")
    };
    assert!(RETRY_MS.contains(&retry_after_ms));
    gate.say(T, cancel(2));
    assert_eq!(gate.queued(T, ask(4)).0, 2);
}

#[test]
fn without_a_queue_nobody_waits() {
    for (size, timeout_ms) in [(0, TIMEOUT), (9, 0)] {
        let mut gate = gate(KeyPolicy {
            concurrency_limit: 1,
            queue: QueuePolicy { size, timeout_ms },
            ..policy(1)
        });
        gate.granted(T, ask(1));
        assert!(full(&gate.refusal(T, ask(2))));
        assert_eq!(gate.waiting(T), [0; 0]);
    }
}

#[test]
fn whoever_leaves_gives_up_its_place() {
    let mut gate = busy(9);
    for call in 2..6 {
        gate.queued(T, ask(call));
    }
    assert_eq!(gate.wakes(T, cancel(3)), [0; 0]);
    assert_eq!(gate.waiting(T), [2, 4, 5]);
    gate.say(T, settle(4));
    assert_eq!(gate.waiting(T), [2, 5], "whichever way it says so");
    // A slot offered to a client that has left goes to the next at once.
    assert_eq!(gate.wakes(T, settle(1)), [2]);
    assert_eq!(gate.wakes(T + 1, cancel(2)), [5]);
    assert_eq!(gate.waited(T + 2, ask(5)), 1);
}

#[test]
fn a_grant_whose_answer_never_arrived_can_be_cancelled() {
    let mut gate = busy(9);
    gate.queued(T, ask(2));
    assert_eq!(gate.wakes(T, cancel(1)), [2]);
    gate.say(T, cancel(1));
    gate.say(T, cancel(99));
    assert_eq!(gate.leases(T), [(2, T, T + CLAIM_MS)]);
}

#[test]
fn a_slot_nobody_comes_for_goes_to_the_next() {
    let mut gate = busy(9);
    let (_, until) = gate.queued(T, ask(2));
    gate.queued(T, ask(3));
    let step = gate.handle(T + 10, settle(1));
    assert_eq!(step.wake_at, Some(T + 10 + CLAIM_MS));
    let late = T + 10 + CLAIM_MS;
    assert_eq!(gate.wakes(late, Command::Snapshot), [3]);
    // It was only slow: it waits again, behind the others, and no longer than it was told.
    gate.queued(late, ask(4));
    assert_eq!(gate.queued(late, again(2, until)), (2, until));
    assert_eq!(
        gate.shown(late).events,
        0,
        "such a call is not lost, it never ran"
    );
}

#[test]
fn a_newcomer_does_not_take_a_slot_that_just_came_free() {
    let mut gate = busy(9);
    gate.queued(T + TTL - 1, ask(2));
    // The lease of call 1 is over, and nobody has told the gate but this call.
    let step = gate.handle(T + TTL, Command::Admit(ask(3)));
    assert!(matches!(step.reply, Reply::Queued { position: 1, .. }));
    assert_eq!(step.wake, [CallId(2)]);
}

#[test]
fn what_is_only_offered_is_not_renewed() {
    let mut gate = busy(9);
    gate.queued(T, ask(2));
    gate.say(T, settle(1));
    let renew = Command::Renew {
        call: CallId(2),
        ttl_ms: TTL,
        note: None,
    };
    let step = gate.handle(T + 1, renew);
    assert_eq!((step.rows, step.wake_at), (vec![], Some(T + CLAIM_MS)));
}

#[test]
fn nobody_waits_longer_than_it_may() {
    let mut gate = busy(9);
    let (_, until) = gate.queued(T, ask(2));
    gate.queued(T + 1_000, ask(3));
    let step = gate.handle(T + 2_000, Command::Snapshot);
    assert_eq!(step.wake_at, Some(until));
    assert_eq!(gate.wakes(until, Command::Snapshot), [2]);
    assert_eq!(
        gate.refusal(until, again(2, until)),
        Refusal::QueueTimeout {
            limit: 1,
            retry_after_ms: TIMEOUT / 2
        }
    );
    assert!(RETRY_QUEUE_MS.contains(&(TIMEOUT / 2)));
    assert_eq!(gate.waiting(until), [3]);
    gate.say(until, settle(1));
    gate.say(until, cancel(3));
    gate.granted(until, again(2, until));
}

#[test]
fn a_change_of_the_key_lets_in_whom_it_can() {
    let mut gate = busy(9);
    for call in 2..7 {
        gate.queued(T, ask(call));
    }
    let of = |version, concurrency_limit, active| Command::Learn {
        policy: Some(Arc::new(KeyPolicy {
            active,
            concurrency_limit,
            ..policy(version)
        })),
    };
    assert_eq!(gate.wakes(T, of(2, 3, true)), [2, 3]);
    assert_eq!(gate.wakes(T, of(3, 1, true)), [0; 0]);
    assert_eq!(
        gate.waiting(T),
        [4, 5, 6],
        "that there is no queue any more sends nobody away"
    );
    assert_eq!(gate.wakes(T, settle(1)), [0; 0], "there are still two");
    // Nobody need wait to hear that the key is disabled.
    assert_eq!(gate.wakes(T, of(4, 1, false)), [4, 5, 6]);
    assert_eq!(gate.refusal(T, ask(4)), Refusal::Disabled);
    assert_eq!(gate.wakes(T, of(5, 0, true)), [0; 0]);
}

#[test]
fn a_key_without_a_limit_lets_all_in() {
    let mut gate = busy(9);
    for call in 2..5 {
        gate.queued(T, ask(call));
    }
    gate.learns(
        T,
        Some(KeyPolicy {
            version: 2,
            ..no_limits()
        }),
    );
    for call in 2..5 {
        gate.granted(T, ask(call));
    }
    assert_eq!(gate.leases(T).len(), 4);
}

#[test]
fn everything_is_asked_again_when_a_call_comes_for_its_slot() {
    let limits = Limits {
        money: PerLimit::these([(MoneyLimit::Day, 100)]),
        ..Limits::default()
    };
    let mut gate = busy(9);
    gate.queued(T, ask(2));
    gate.queued(T, ask(3));
    gate.say(T, Command::SeedSpend(SeedSpend::default()));
    let two = KeyPolicy {
        limits,
        concurrency_limit: 1,
        queue: QueuePolicy {
            size: 9,
            timeout_ms: TIMEOUT,
        },
        ..policy(2)
    };
    gate.learns(T, Some(two));
    assert_eq!(gate.wakes(T, settle_at(1, 100)), [2]);
    let step = gate.handle(T, Command::Admit(ask(2)));
    assert!(matches!(step.reply, Reply::Refused(Refusal::LimitReached(_))));
    assert_eq!(step.wake, [CallId(3)], "its slot is the next one's");
    assert_eq!(
        gate.reached(T, ask(4)).which,
        Limit::Money(MoneyLimit::Day),
        "nobody waits in vain"
    );
}

#[test]
fn waiters_and_offers_survive_a_restart() {
    use crate::rows::RowMachine;
    let mut gate = busy(9);
    for call in 2..5 {
        gate.queued(T, ask(call));
    }
    gate.say(T, settle(1));
    let rows = [Row::Head, Row::Lease(CallId(2)), Row::Waiter(1), Row::Waiter(2)];
    let mut back = Gate::from_rows(rows.map(|row| (row, gate.row(row).unwrap())));
    assert_eq!(back.shown(T), gate.shown(T));
    assert_eq!(back.waited(T + 5, ask(2)), 0);
    assert_eq!(back.wakes(T + 6, settle(2)), [3]);
    // The death of their host is another matter.
    let mut gate = gate.resumed();
    assert_eq!((gate.waiting(T), gate.leases(T)), (vec![], vec![]));
}

#[test]
fn a_clock_set_back_makes_nobody_wait_longer() {
    let mut gate = busy(9);
    gate.queued(T, ask(2));
    let back = T - 500_000;
    assert_eq!(gate.queued(back, ask(2)), (1, back + TIMEOUT));
    gate.say(back + 5, settle(1));
    assert_eq!(gate.waited(back + 5, ask(2)), 5);
}
