//! The pool against a plain model of it.

mod acts;
mod fair;
mod model;

use crs_durable::pool::{
    AccountPolicy, Command, Outcome, Pick, Pool, QuotaWindow, RefreshResult, Reply, Report, Skip, Snapshot,
};
use crs_durable::{CallId, Machine, Millis, Step};
use proptest::prelude::*;

use self::acts::{ACCOUNTS, Act, Ended, Event, Told, events, rosters};
use self::model::Model;
use crate::world::{JITTER_MS, MAX_TTL, Move, Table, moves};

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
        for cooldown in &mut account.cooldowns {
            cooldown.probe = None;
        }
    }
    lasting
}

/// One command, and everything that must hold after any command.
fn step(pool: &mut Pool, model: &mut Model, command: Command) -> Step<Reply> {
    let at = model.clock.reading;
    let before = snapshot(pool, at);
    let now = model.begin();
    let waiting = model.waiting();
    let step = pool.handle(at, command.clone());
    model.check(now, &before, &command, &step.reply);
    model.woken(&waiting, &step.wake);
    let after = snapshot(pool, at);
    model.compare(now, &after);
    let first = model.leases.0.iter().map(|lease| lease.end.until).min();
    assert!(
        first.is_none_or(|first| step.wake_at.is_some_and(|at| at <= first)),
        "woken too late"
    );
    model.leases.none_outlives_its_ttl(&model.clock);
    model.table.write(pool, &step.rows);
    assert_eq!(snapshot(&model.table.read(pool), at), after);
    let resumed = snapshot(&model.table.resumed(pool), at);
    assert_eq!(lasting(&resumed), lasting(&after), "forgotten: {command:?}");
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
                policy.expires_at = policy.expires_at.map(|ahead| now + ahead);
            }
            Command::Learn { roster }
        }
        Act::Pick(pick) => Command::Pick(pick),
        Act::Report {
            call,
            index,
            own,
            told,
            status,
            quota,
            spent,
            served,
            made,
        } => {
            let held = model
                .leases
                .get(call)
                .filter(|_| own)
                .map(|lease| lease.what.account.clone());
            let outcome = match told {
                Told::Plain(outcome) => outcome,
                Told::Throttled(by, family) => Outcome::Throttled {
                    until: Some(now + by),
                    family,
                    why: "limited".into(),
                },
                Told::Denied(by) => Outcome::Denied {
                    why: "403".into(),
                    until: Some(now + by),
                },
            };
            // Some are from before, and end before now; some are from a clock that is ahead.
            let window = |window: QuotaWindow| QuotaWindow {
                resets_at: now - 1_000 + window.resets_at,
                observed_at: now - 100_000 + window.observed_at,
                ..window
            };
            Command::Report(Report {
                call,
                account: held.unwrap_or_else(|| ACCOUNTS[index].to_owned()),
                outcome,
                status,
                quota: quota.into_iter().map(window).collect(),
                spent,
                served,
                made,
            })
        }
        Act::Say(command) => command,
        Act::Begin {
            call,
            index,
            old,
            ttl_ms,
            waits,
            waited,
        } => {
            let account = ACCOUNTS[index].to_owned();
            let seen = version(&account).saturating_sub(u64::from(old));
            Command::BeginRefresh {
                call,
                account,
                seen,
                ttl_ms,
                waits,
                waited_for: waited,
                // What follows a refusal is `fair`'s to check.
                refused: false,
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
            // Whoever waited lost its connection, and asks again.
            model.restarted();
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
            max_concurrency: *max_concurrency,
            ..AccountPolicy::default()
        };
        pool.handle(9, Command::Learn { roster: limits.iter().enumerate().map(account).collect() });
        let pick = |call, tried| Pick {
            tried,
            learned_since: 1,
            ..Pick::of(CallId(call), 100)
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
                let outcome = if call % 2 == 0 { Outcome::Finished } else { Outcome::Unwell { why: String::new(), until: None } };
                pool.handle(20, Command::Report(Report::of(CallId(call), account.clone(), outcome)));
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
