//! The pool against a plain model of it.

mod model;

use crs_durable::pool::{AccountPolicy, Command, Outcome, Pick, Pool, RefreshResult, Reply, Skip, Snapshot};
use crs_durable::{CallId, Machine, Millis, Step};
use proptest::prelude::*;

use self::model::Model;
use crate::world::{JITTER_MS, MAX_TTL, Move, Table, moves};

const ACCOUNTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What somebody does, with the time that goes before.
#[derive(Clone, Debug)]
struct Event {
    clock: Move,
    act: Act,
    /// The reply was lost: the command is sent again.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Act {
    /// The roster's accounts; their credential versions grow by what is given here.
    Learn(Vec<AccountPolicy>),
    Pick(Pick),
    /// The call tells of the account it holds, or of the one given.
    Report(CallId, usize, bool, Told),
    Say(Command),
    /// Asks for the refresh of the account's credentials, which it knows or (`true`) has from before.
    Begin(CallId, usize, bool, u64),
    /// With the next version of the credentials, if there is one.
    End(CallId, usize, Ended),
    Restart,
    Death,
}

/// An outcome whose times are ahead of now by so much.
#[derive(Clone, Debug)]
enum Told {
    Plain(Outcome),
    Throttled(u64, Option<String>),
    Denied(u64),
}

#[derive(Clone, Copy, Debug)]
enum Ended {
    Refreshed,
    Refused,
    Failed,
}

fn rosters() -> impl Strategy<Value = Vec<AccountPolicy>> {
    let account = |index: usize| {
        let usable = prop_oneof![9 => Just(None), 1 => Just(Some("no proxy".to_owned()))];
        (
            0..3_u32,
            0..3_u32,
            prop::bool::weighted(0.9),
            prop::bool::weighted(0.9),
            0..8_u64,
            usable,
        )
            .prop_map(
                move |(priority, max_concurrency, active, schedulable, grows, unusable)| AccountPolicy {
                    id: ACCOUNTS[index].to_owned(),
                    priority,
                    max_concurrency,
                    active,
                    schedulable,
                    credential_version: u64::from(grows == 0),
                    revision: 1,
                    unusable,
                },
            )
    };
    let all = (account(0), account(1), account(2), account(3), account(4));
    (all, prop::collection::vec(prop::bool::weighted(0.8), 5)).prop_map(|((a, b, c, d, e), there)| {
        let all = [e, b, a, d, c].into_iter().zip(there);
        all.filter(|(_, there)| *there)
            .map(|(account, _)| account)
            .collect()
    })
}

fn calls() -> impl Strategy<Value = CallId> {
    (0..9_u128).prop_map(CallId)
}

fn ttls() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 1..2_000_u64, 6 => 2_000..=MAX_TTL]
}

fn families() -> impl Strategy<Value = String> {
    prop_oneof![Just("opus".to_owned()), Just("haiku".to_owned())]
}

fn picks() -> impl Strategy<Value = Pick> {
    let session = prop::option::weighted(0.6, 0..4_u64);
    let tried = prop::collection::vec((0..5_usize).prop_map(|index| ACCOUNTS[index].to_owned()), 0..3);
    let tried = prop_oneof![2 => Just(vec![]), 1 => tried];
    let only = prop::option::weighted(0.08, (0..5_usize).prop_map(|index| ACCOUNTS[index].to_owned()));
    let since = prop_oneof![9 => Just(0), 1 => Just(1)];
    (calls(), session, families(), tried, only, ttls(), since).prop_map(
        |(call, session, family, tried, only, ttl_ms, learned_since)| Pick {
            slot: true,
            call,
            session,
            family,
            tried,
            only,
            ttl_ms,
            learned_since,
        },
    )
}

fn tellings() -> impl Strategy<Value = Told> {
    let ahead = || prop_oneof![3 => 0..200_000_u64, 1 => 0..2_000_000_000_u64];
    prop_oneof![
        4 => Just(Told::Plain(Outcome::Serving)),
        3 => Just(Told::Plain(Outcome::Finished)),
        1 => Just(Told::Plain(Outcome::Neutral)),
        3 => Just(Told::Plain(Outcome::Unwell { why: "529".into() })),
        1 => Just(Told::Plain(Outcome::Throttled { until: None, family: None })),
        1 => Just(Told::Plain(Outcome::Denied { why: "401".into(), until: None })),
        2 => (ahead(), prop::option::of(families())).prop_map(|(by, family)| Told::Throttled(by, family)),
        2 => ahead().prop_map(Told::Denied),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let id = || (0..5_usize).prop_map(|index| ACCOUNTS[index].to_owned());
    let ended = prop_oneof![Just(Ended::Refreshed), Just(Ended::Refused), Just(Ended::Failed)];
    let act = prop_oneof![
        40 => picks().prop_map(Act::Pick),
        20 => (calls(), 0..5_usize, prop::bool::weighted(0.8), tellings())
            .prop_map(|(call, index, own, told)| Act::Report(call, index, own, told)),
        6 => rosters().prop_map(Act::Learn),
        6 => (calls(), ttls()).prop_map(|(call, ttl_ms)| Act::Say(Command::Renew { call, ttl_ms })),
        5 => (calls(), 0..5_usize, prop::bool::weighted(0.2), ttls())
            .prop_map(|(call, index, old, ttl_ms)| Act::Begin(call, index, old, ttl_ms)),
        4 => (calls(), 0..5_usize, ended).prop_map(|(call, index, ended)| Act::End(call, index, ended)),
        2 => id().prop_map(|account| Act::Say(Command::Reset { account })),
        1 => prop::option::of(id()).prop_map(|account| Act::Say(Command::Flush { account })),
        1 => Just(Act::Say(Command::Invalidate)),
        1 => Just(Act::Say(Command::Snapshot)),
        3 => Just(Act::Restart),
        1 => Just(Act::Death),
    ];
    (moves(), act, prop::bool::weighted(0.2)).prop_map(|(clock, act, lost)| Event { clock, act, lost })
}

/// Without touching it.
fn snapshot(pool: &Pool, at: Millis) -> Snapshot {
    match pool.clone().handle(at, Command::Snapshot).reply {
        Reply::Snapshot(snapshot) => *snapshot,
        other => panic!("{other:?}"),
    }
}

/// What a restart must not forget, of what is shown.
fn lasting(snapshot: &Snapshot) -> Snapshot {
    let mut lasting = snapshot.clone();
    for account in &mut lasting.accounts {
        account.leases.clear();
        account.last_used = None;
    }
    lasting
}

/// One command, and everything that must hold after any command.
fn step(pool: &mut Pool, model: &mut Model, command: Command) -> Step<Reply> {
    let at = model.clock.reading;
    let before = snapshot(pool, at);
    let now = model.begin();
    let step = pool.handle(at, command.clone());
    model.check(now, &before, &command, &step.reply);
    let after = snapshot(pool, at);
    model.compare(now, &after);
    let leases = |snapshot: &Snapshot| -> Vec<_> {
        snapshot
            .accounts
            .iter()
            .flat_map(|account| account.leases.clone())
            .collect()
    };
    assert!(
        step.changes.leases || leases(&before) == leases(&after),
        "untold: {command:?}"
    );
    assert!(
        step.changes.lasting || lasting(&before) == lasting(&after),
        "untold: {command:?}"
    );
    let first = model.leases.0.iter().map(|lease| lease.end.until).min();
    assert!(
        first.is_none_or(|first| step.wake_at.is_some_and(|at| at <= first)),
        "woken too late"
    );
    model.leases.none_outlives_its_ttl(&model.clock);
    model.table.write(pool, &step.rows);
    assert_eq!(snapshot(&model.table.read(pool), at), after);
    step
}

fn command(model: &Model, act: Act) -> Option<Command> {
    let now = model.clock.reading;
    let version = |id: &str| {
        model
            .account(id)
            .map_or(0, |account| account.policy.credential_version)
    };
    Some(match act {
        Act::Learn(mut roster) => {
            for policy in &mut roster {
                policy.credential_version += version(&policy.id);
            }
            Command::Learn { roster }
        }
        Act::Pick(pick) => Command::Pick(pick),
        Act::Report(call, index, own, told) => {
            let held = model
                .leases
                .get(call)
                .filter(|_| own)
                .map(|lease| lease.what.account.clone());
            let account = held.unwrap_or_else(|| ACCOUNTS[index].to_owned());
            let outcome = match told {
                Told::Plain(outcome) => outcome,
                Told::Throttled(by, family) => Outcome::Throttled {
                    until: Some(now + by),
                    family,
                },
                Told::Denied(by) => Outcome::Denied {
                    why: "403".into(),
                    until: Some(now + by),
                },
            };
            Command::Report {
                call,
                account,
                outcome,
            }
        }
        Act::Say(command) => command,
        Act::Begin(call, index, old, ttl_ms) => {
            let account = ACCOUNTS[index].to_owned();
            let seen = version(&account).saturating_sub(u64::from(old));
            Command::BeginRefresh {
                call,
                account,
                seen,
                ttl_ms,
            }
        }
        Act::End(call, index, ended) => {
            let account = ACCOUNTS[index].to_owned();
            let result = match ended {
                Ended::Refreshed => RefreshResult::Refreshed {
                    version: version(&account) + 1,
                },
                Ended::Refused => RefreshResult::Refused {
                    why: "invalid_grant".into(),
                },
                Ended::Failed => RefreshResult::Failed,
            };
            Command::EndRefresh {
                call,
                account,
                result,
            }
        }
        Act::Restart | Act::Death => return None,
    })
}

fn run(first: Vec<AccountPolicy>, events: Vec<Event>, last: Move) {
    let mut pool = Pool::default();
    let mut model = Model::default();
    step(&mut pool, &mut model, Command::Learn { roster: first });
    for Event { clock, act, lost } in events {
        model.clock.moves(clock);
        let death = matches!(act, Act::Death);
        let Some(command) = command(&model, act) else {
            if death {
                pool = pool.resumed();
                model.table = Table::of(&pool, &model.table);
                model.death();
            }
            let kept = serde_json::to_string(&pool).unwrap();
            pool = serde_json::from_str(&kept).unwrap();
            assert_eq!(serde_json::to_string(&pool).unwrap(), kept);
            pool = model.table.read(&pool);
            continue;
        };
        let first = step(&mut pool, &mut model, command.clone());
        if lost {
            let shown = snapshot(&pool, model.clock.reading);
            let second = step(&mut pool, &mut model, command.clone());
            // The end of an ended refresh, and what was passed over the first time, are told only once.
            if !matches!(
                (&first.reply, &second.reply),
                (Reply::Picked { .. }, Reply::Picked { .. })
            ) {
                assert_eq!(first.reply, second.reply, "{command:?}");
            }
            assert_eq!(shown, snapshot(&pool, model.clock.reading), "{command:?}");
        }
    }
    // All clients are gone. Whatever the clock does now, one TTL later nothing is held.
    model.clock.moves(last);
    step(&mut pool, &mut model, Command::Snapshot);
    model.clock.moves(Move::Pass(MAX_TTL + JITTER_MS));
    step(&mut pool, &mut model, Command::Snapshot);
    assert!(
        snapshot(&pool, model.clock.reading)
            .accounts
            .iter()
            .all(|account| account.leases.is_empty())
    );
}

proptest! {
    #[test]
    fn a_pool_is_what_it_promises(
        first in rosters(),
        events in prop::collection::vec(events(), 1..120),
        last in moves(),
    ) {
        run(first, events, last);
    }

    #[test]
    fn a_crowd_gets_exactly_the_slots_there_are(limits in prop::collection::vec(1..60_u32, 1..6), gone in 0..200_u128) {
        let mut pool = Pool::default();
        let account = |(index, max_concurrency): (usize, &u32)| AccountPolicy {
            id: ACCOUNTS[index].to_owned(),
            priority: 50,
            max_concurrency: *max_concurrency,
            active: true,
            schedulable: true,
            credential_version: 1,
            revision: 1,
            unusable: None,
        };
        pool.handle(9, Command::Learn { roster: limits.iter().enumerate().map(account).collect() });
        let pick = |call, tried| Pick {
            slot: true,
            call: CallId(call),
            session: None,
            family: "opus".into(),
            tried,
            only: None,
            ttl_ms: 100,
            learned_since: 1,
        };
        let slots = limits.iter().map(|limit| *limit as usize).sum::<usize>();
        let mut held = Vec::new();
        for call in 0..200 {
            match pool.handle(10, Command::Pick(pick(call, vec![]))).reply {
                Reply::Picked { account, .. } => held.push((call, account)),
                Reply::NobodyLeft { busy, skipped, .. } => {
                    let full = skipped.iter().all(|(_, skip)| matches!(skip, Skip::Full { .. }));
                    prop_assert!(busy && full);
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(held.len(), slots.min(200));
        // Some end, some fail over, the others vanish.
        for (call, account) in held {
            if call < gone {
                let outcome = if call % 2 == 0 { Outcome::Finished } else { Outcome::Unwell { why: String::new() } };
                pool.handle(20, Command::Report { call: CallId(call), account: account.clone(), outcome });
                if call % 2 == 1 {
                    pool.handle(20, Command::Pick(pick(call, vec![account])));
                }
            }
            for (account, limit) in snapshot(&pool, 20).accounts.iter().zip(&limits) {
                prop_assert!(account.leases.len() <= *limit as usize);
            }
        }
        prop_assert!(snapshot(&pool, 120).accounts.iter().all(|account| account.leases.is_empty()));
    }
}
