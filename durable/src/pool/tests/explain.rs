use super::*;

#[test]
fn a_trace_is_told_only_when_asked_for() {
    let mut pool = alike(2);
    let Reply::Picked { trace, .. } = pool.asks(T, ask(1)) else {
        panic!("nobody")
    };
    assert_eq!(trace, None);
    let (given, trace) = pool.explained(T, ask(2));
    assert_eq!(given, "b");
    let ids: Vec<_> = trace.candidates.iter().map(|one| one.account.as_str()).collect();
    assert_eq!(ids, ["b", "a"], "the best first");
    let expected = Candidate {
        account: "a".into(),
        fallback: false,
        backed_off: false,
        others_alone: false,
        priority: 50,
        in_reserve: false,
        load_permille: 100,
        held: 1,
        max_concurrency: 0,
        used_permille: None,
        resets_at: None,
        last_used: Some(T),
    };
    assert_eq!(trace.candidates.last(), Some(&expected));
    assert_eq!(trace.omitted, 0);
}

#[test]
fn a_trace_tells_what_an_account_was_ranked_by() {
    let mut pool = pool([AccountPolicy {
        reserve_percent: 50,
        max_concurrency: 4,
        ..account("a")
    }]);
    let quota = vec![QuotaWindow {
        name: "5h".into(),
        family: None,
        used_permille: 600,
        resets_at: T + HOUR,
        observed_at: T,
    }];
    pool.tells(
        T,
        Report {
            quota,
            ..Report::of(CallId(1), "a".into(), unwell())
        },
    );
    pool.given(T, ask(2));
    let fallback = Pick {
        binding: Some(Binding::Group("x".into())),
        fallback: true,
        ..ask(3)
    };
    let expected = Candidate {
        account: "a".into(),
        fallback: true,
        backed_off: true,
        others_alone: false,
        priority: 50,
        in_reserve: true,
        load_permille: 250,
        held: 1,
        max_concurrency: 4,
        used_permille: Some(600),
        resets_at: Some(T + HOUR),
        last_used: Some(T),
    };
    assert_eq!(pool.explained(T, fallback).1.candidates, [expected]);
}

#[test]
fn every_way_to_an_account_can_be_traced() {
    let mut pool = alike(2);
    assert_eq!(pool.explained(T, with_session(1, 7)).1.candidates.len(), 2);
    assert_eq!(
        pool.explained(T, with_session(1, 7)).1.candidates.len(),
        2,
        "its answer was lost"
    );
    assert_eq!(
        pool.explained(T, with_session(2, 7)).1.candidates.len(),
        2,
        "sticky"
    );
    let test = pool.explained(T, only(3, "b")).1;
    assert_eq!((test.candidates.len(), test.skipped.len()), (1, 0));
    assert_eq!(pool.explained(T, only(3, "b")).1.candidates.len(), 1);
}

#[test]
fn a_trace_is_bounded_and_names_the_nearest() {
    let mut policies: Vec<_> = (0..40)
        .map(|index| AccountPolicy {
            priority: index,
            ..account(&format!("c{index:02}"))
        })
        .collect();
    policies.extend((0..40).map(|index| AccountPolicy {
        shared: index % 2 == 0,
        schedulable: false,
        ..account(&format!("p{index:02}"))
    }));
    let mut pool = pool(policies);
    let (_, trace) = pool.explained(T, ask(1));
    assert_eq!(
        (trace.candidates.len(), trace.skipped.len(), trace.omitted),
        (32, 32, 16)
    );
    assert!(trace.candidates.is_sorted_by_key(|one| one.priority));
    let paused = trace.skipped.iter().filter(|(_, skip)| *skip == Skip::Paused);
    assert_eq!(paused.count(), 20);
    // A bound call is told of the others, too, but last.
    let bound = Pick {
        binding: Some(Binding::Account("c07".into())),
        ..ask(2)
    };
    let (_, trace) = pool.explained(T, bound);
    assert_eq!((trace.candidates.len(), trace.skipped.len()), (1, 32));
    assert!(trace.skipped.iter().all(|(_, skip)| *skip == Skip::NotBound));
}

#[test]
fn a_slot_tells_whose_it_is_and_can_be_freed_by_hand() {
    let mut pool = pool([AccountPolicy {
        max_concurrency: 1,
        ..account("a")
    }]);
    let pick = Pick {
        holder: "key-1".into(),
        session: Some(7),
        ..ask(1)
    };
    pool.given(T, pick);
    let held = pool.shows(T + 5, "a").leases;
    let expected = LeaseSnapshot {
        call: CallId(1),
        since: T,
        until: T + TTL,
        holder: "key-1".into(),
        family: "opus".into(),
        slot: true,
        sticky: false,
    };
    assert_eq!(held, [expected]);
    let release = || Command::Release { call: CallId(1) };
    let step = pool.handle(T + 5, release());
    assert_eq!(
        (step.changes().of_calls, step.rows),
        (true, vec![Row::Lease(CallId(1))])
    );
    assert_eq!(pool.handle(T + 5, release()).changes(), ChangedRows::default());
    assert_eq!(pool.given(T + 5, ask(2)), "a");
    // The freed call lives on: it takes nobody else's.
    pool.say(
        T + 6,
        Command::Renew {
            call: CallId(1),
            ttl_ms: TTL,
        },
    );
    pool.reports(T + 6, 1, "a", Outcome::Finished);
    assert_eq!(pool.holders(T + 6, "a"), [2]);
}
