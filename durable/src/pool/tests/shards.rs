//! A split pool gives the same results as a single one, where that is promised.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::shards::{Next, Shards};
use super::*;
use crate::Machine;

struct Split {
    shards: Shards,
    pools: Vec<Pool>,
    /// Number of steps.
    steps: usize,
}

impl Split {
    fn new(count: usize, roster: impl IntoIterator<Item = AccountPolicy>) -> Self {
        let mut split = Self {
            shards: Shards::new(count),
            pools: vec![Pool::default(); count],
            steps: 0,
        };
        split.say(
            T,
            Command::Learn {
                roster: roster.into_iter().collect(),
            },
        );
        split
    }

    fn say(&mut self, now: Millis, command: Command) -> Reply {
        let (mut route, mut asks) = self.shards.route(command);
        loop {
            let mut replies = Vec::new();
            for (shard, command) in asks {
                self.steps += 1;
                replies.push(self.pools[shard].handle(now, command).reply);
            }
            match route.advance(replies) {
                Next::Ask(next) => asks = next,
                Next::Reply(reply) => return reply,
            }
        }
    }

    fn given(&mut self, now: Millis, pick: Pick) -> Option<AccountId> {
        match self.say(now, Command::Pick(pick)) {
            Reply::Picked { account, .. } => Some(account),
            Reply::NobodyLeft { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    fn ends(&mut self, now: Millis, call: u128, account: &str, outcome: Outcome) {
        let mut report = Report::of(CallId(call), account.into(), outcome);
        report.served = report.outcome == Outcome::Finished;
        self.say(now, Command::Report(report));
    }
}

fn many(count: usize, slots: u32) -> Vec<AccountPolicy> {
    let one = |number| AccountPolicy {
        max_concurrency: slots,
        ..account(&format!("account-{number}"))
    };
    (0..count).map(one).collect()
}

fn throttled(until: Millis) -> Outcome {
    Outcome::Throttled {
        until: Some(until),
        family: None,
        why: "a test".into(),
    }
}

#[test]
fn every_account_has_one_shard_and_the_snapshot_has_all() {
    let mut split = Split::new(4, many(40, 1));
    assert!(split.pools.iter().all(|pool| pool.accounts.len() >= 4));
    let Reply::Snapshot(shown) = split.say(T, Command::Snapshot) else {
        panic!("a snapshot");
    };
    assert_eq!(shown.accounts.len(), 40);
    let names: BTreeSet<_> = shown
        .accounts
        .iter()
        .map(|account| account.policy.id.clone())
        .collect();
    assert_eq!(names.len(), 40);
}

#[test]
fn a_call_takes_one_step_and_spills_when_its_shard_has_no_account() {
    let mut split = Split::new(4, many(40, 1));
    let before = split.steps;
    for call in 0..8 {
        assert!(split.given(T, ask(call * 1_000)).is_some());
    }
    assert_eq!(split.steps, before + 8);
    let given: BTreeSet<_> = (100..132)
        .map(|call| split.given(T, ask(call)).expect("an account"))
        .collect();
    assert_eq!(given.len(), 32, "no account twice");
    let Reply::NobodyLeft { skipped, busy, .. } = split.say(T, Command::Pick(ask(999))) else {
        panic!("no account is left");
    };
    assert_eq!((skipped.len(), busy), (40, true));
}

#[test]
fn a_session_stays_where_it_was_served_in_any_shard() {
    let mut split = Split::new(4, many(8, 4));
    for session in 0..40_u64 {
        let call = u128::from(session) * 10;
        // Its first account rests.
        let first = split.given(T, with_session(call, session)).expect("an account");
        split.ends(T, call, &first, throttled(T + HOUR));
        let next = split.given(
            T,
            Pick {
                tried: vec![first.clone()],
                ..with_session(call, session)
            },
        );
        let Some(next) = next else { continue };
        split.ends(T, call, &next, Outcome::Finished);
        split.say(T, Command::Reset { account: first });
        for again in 1..4 {
            let stays = split.given(T, with_session(call + again, session));
            assert_eq!(stays.as_ref(), Some(&next), "session {session}");
            split.ends(T, call + again, &next, Outcome::Finished);
        }
    }
}

#[test]
fn an_object_is_found_in_any_shard() {
    let mut split = Split::new(4, many(16, 0));
    for number in 0..32_u64 {
        let call = u128::from(number);
        let account = split.given(T, ask(call)).expect("an account");
        let made = Origin {
            id: 7_000 + number,
            loose: false,
        };
        let mut report = Report::of(CallId(call), account.clone(), Outcome::Finished);
        (report.served, report.made) = (true, vec![made]);
        split.say(T, Command::Report(report));
        let refers = |call| Pick {
            origins: vec![made],
            ..ask(call)
        };
        assert_eq!(split.given(T, refers(1_000 + call)), Some(account.clone()));
        split.ends(T, 1_000 + call, &account, throttled(T + HOUR));
        let reply = split.say(T, Command::Pick(refers(2_000 + call)));
        assert!(
            matches!(reply, Reply::NobodyLeft { origin: Some(_), .. }),
            "{reply:?}"
        );
        let Reply::MadeBy { made } = split.say(
            T,
            Command::MadeBy {
                account: account.clone(),
                origins: vec![made.id, 1],
            },
        ) else {
            panic!("an answer");
        };
        assert_eq!(made, [Some(true), None]);
        split.say(T, Command::Reset { account });
        for (claimant, known) in [(1, Some(true)), (2, None), (1, Some(true))] {
            let claim = Command::Claim {
                call: CallId(claimant),
                origin: 7_000 + number,
            };
            assert_eq!(split.say(T, claim), Reply::MadeBy { made: vec![known] });
        }
    }
}

#[test]
fn all_shards_are_asked_for_a_group_before_a_call_falls_back() {
    let mut roster = many(12, 1);
    for account in roster.iter_mut().take(3) {
        account.groups.insert("ours".into());
    }
    let group: BTreeSet<_> = roster.iter().take(3).map(|account| account.id.clone()).collect();
    let mut split = Split::new(5, roster);
    let bound = |call, fallback| Pick {
        binding: Some(Binding::Group("ours".into())),
        fallback,
        ..ask(call)
    };
    let first: BTreeSet<_> = (0..3)
        .map(|call| split.given(T, bound(call, true)).expect("a member"))
        .collect();
    assert_eq!(first, group);
    let reply = split.say(T, Command::Pick(bound(3, false)));
    assert!(
        matches!(
            reply,
            Reply::NobodyLeft {
                bound: Some(BindingFailure::Unable),
                ..
            }
        ),
        "{reply:?}"
    );
    assert!(!group.contains(&split.given(T, bound(4, true)).expect("another")));
}

#[test]
fn a_moved_session_does_not_return_when_its_first_account_recovers() {
    let mut split = Split::new(4, many(8, 4));
    for session in 0..40_u64 {
        let call = u128::from(session) * 10;
        let first = split.given(T, with_session(call, session)).expect("an account");
        split.ends(T, call, &first, Outcome::Finished);
        split.given(T, with_session(call + 1, session));
        split.ends(T, call + 1, &first, throttled(T + 1_000));
        let second = split.given(T, with_session(call + 2, session)).expect("another");
        split.ends(T, call + 2, &second, Outcome::Finished);
        let shards = split.shards;
        split.say(
            T,
            Command::Reset {
                account: first.clone(),
            },
        );
        if shards.of_account(&first) != shards.of_account(&second) {
            assert_eq!(
                split.given(T, with_session(call + 3, session)).as_ref(),
                Some(&second)
            );
            split.ends(T, call + 3, &second, Outcome::Finished);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Begin(u64),
    End(usize),
    Rest(usize),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..12_u64).prop_map(Act::Begin),
        5 => any::<usize>().prop_map(Act::End),
        1 => any::<usize>().prop_map(Act::Rest),
        1 => (1..40_000_u64).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..120)
}

/// A running call.
struct Running {
    call: u128,
    session: u64,
    account: AccountId,
    binds: bool,
    /// Another call of the session ran at the same time.
    overlapped: bool,
}

proptest! {
    /// Slots are exact, no call is refused while an account can serve it, and a session goes back to the account that
    /// served it last, while that can serve it.
    #[test]
    fn slots_and_sessions_are_exact(count in 1..6_usize, accounts in 1..8_usize, acts in acts()) {
        const SLOTS: usize = 2;
        let mut split = Split::new(count, many(accounts, SLOTS as u32));
        let mut now = T;
        let mut calls: Vec<Running> = Vec::new();
        let mut resting: BTreeMap<AccountId, Millis> = BTreeMap::new();
        // The accounts that a session may be bound to: several after calls that overlapped.
        let mut bound: BTreeMap<u64, BTreeSet<AccountId>> = BTreeMap::new();
        let mut next = 1;
        for act in acts {
            let rest = |id: &AccountId, now: Millis| resting.get(id).is_some_and(|until| now < *until);
            match act {
                Act::Begin(session) => {
                    next += 1;
                    let held = |id: &AccountId| calls.iter().filter(|call| call.account == *id).count();
                    let able = |id: &AccountId| !rest(id, now) && held(id) < SLOTS;
                    let full = |id: &AccountId| !rest(id, now) && held(id) >= SLOTS;
                    let own = bound.get(&session).cloned().unwrap_or_default();
                    let Some(given) = split.given(now, with_session(next, session)) else {
                        for number in 0..accounts {
                            prop_assert!(!able(&format!("account-{number}")), "account-{number} can serve");
                        }
                        continue;
                    };
                    prop_assert!(able(&given), "{given} cannot serve");
                    // An account that rested and has not served since is no better than others.
                    if let Some(only) = own.first().filter(|_| own.len() == 1)
                        && able(only)
                        && !resting.contains_key(only)
                        && calls.iter().all(|call| call.session != session)
                    {
                        prop_assert_eq!(&given, only);
                    }
                    let overlapped = calls.iter().any(|call| call.session == session);
                    // While its account is full a session is bound to no other. Of several, one may be the account; and
                    // the shard of an overlapping call may not know the account.
                    let may_be_full = own.iter().any(full);
                    let binds = !may_be_full;
                    for other in calls.iter_mut().filter(|call| call.session == session) {
                        other.overlapped = true;
                    }
                    if may_be_full && (own.len() > 1 || overlapped) {
                        bound.entry(session).or_default().insert(given.clone());
                    }
                    calls.push(Running { call: next, session, account: given, binds, overlapped });
                }
                Act::End(which) if !calls.is_empty() => {
                    let Running { call, session, account, binds, overlapped } = calls.remove(which % calls.len());
                    split.ends(now, call, &account, Outcome::Finished);
                    if !rest(&account, now) {
                        resting.remove(&account);
                    }
                    if binds {
                        let bound = bound.entry(session).or_default();
                        if !overlapped {
                            bound.clear();
                        }
                        bound.insert(account);
                    }
                }
                Act::Rest(which) if !calls.is_empty() => {
                    let Running { call, account, .. } = calls.remove(which % calls.len());
                    split.ends(now, call, &account, throttled(now + 30_000));
                    resting.insert(account, now + 30_000);
                }
                Act::Pass(ms) => now += ms,
                Act::End(_) | Act::Rest(_) => {}
            }
            // Leases of running calls are renewed.
            for running in &calls {
                split.say(now, Command::Renew { call: CallId(running.call), ttl_ms: TTL });
            }
        }
    }
}
