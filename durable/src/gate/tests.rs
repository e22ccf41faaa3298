mod activation;
mod before_body;
mod inherit;
mod limits;
mod news;
mod older;
mod periods;
mod queue;
mod record;
mod restrictions;
mod settle;

use super::admit::{CLAIM_MS, RETRY_MS, RETRY_QUEUE_MS};
use super::*;
use crate::rows::ChangedRows;

const TTL: u64 = 60_000;
const T: Millis = 1_000_000;

fn policy(version: u64) -> KeyPolicy {
    KeyPolicy {
        id: "k".into(),
        name: "key".into(),
        version,
        active: true,
        concurrency_limit: 2,
        ..KeyPolicy::default()
    }
}

fn gate(policy: KeyPolicy) -> Gate {
    let mut gate = Gate::default();
    gate.learns(T, Some(policy));
    gate
}

fn ask(call: u128) -> Admit {
    Admit {
        call: CallId(call),
        service: Service::Claude,
        model: None,
        opus: false,
        client: None,
        slot: true,
        estimate: None,
        canonical: None,
        ttl_ms: TTL,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        or_services: Vec::new(),
        by_routes: false,
        granted: false,
    }
}

/// A call that may cost so much.
fn ask_for(call: u128, cost: u64) -> Admit {
    Admit {
        estimate: Some(Estimate { tokens: cost, cost }),
        ..ask(call)
    }
}

fn settle(call: u128) -> Command {
    Command::Settle {
        call: CallId(call),
        event: None,
        usage: None,
    }
}

/// The call cost so much.
fn settle_at(call: u128, cost: u64) -> Command {
    Command::Settle {
        call: CallId(call),
        event: None,
        usage: Some(Usage {
            tokens: cost,
            cost,
            opus: false,
        }),
    }
}

fn cancel(call: u128) -> Command {
    Command::Cancel { call: CallId(call) }
}

fn no_limits() -> KeyPolicy {
    KeyPolicy {
        concurrency_limit: 0,
        ..policy(1)
    }
}

/// A gate whose key has these limits and no other; nothing was ever spent.
fn limited(limits: Limits) -> Gate {
    let mut gate = gate(KeyPolicy {
        limits,
        ..no_limits()
    });
    gate.say(T, Command::SeedSpend(SeedSpend::default()));
    gate
}

impl Gate {
    fn say(&mut self, now: Millis, command: Command) -> Reply {
        self.handle(now, command).reply
    }

    fn learns(&mut self, now: Millis, policy: Option<KeyPolicy>) {
        assert_eq!(
            self.say(
                now,
                Command::Learn {
                    policy: policy.map(Arc::new)
                }
            ),
            Reply::Done
        );
    }

    fn asks(&mut self, now: Millis, admit: Admit) -> Reply {
        self.say(now, Command::Admit(admit))
    }

    fn refusal(&mut self, now: Millis, admit: Admit) -> Refusal {
        match self.asks(now, admit) {
            Reply::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The version of the record that granted the call.
    fn granted(&mut self, now: Millis, admit: Admit) -> u64 {
        match self.asks(now, admit) {
            Reply::Granted { policy, .. } => policy.version,
            other => panic!("not granted: {other:?}"),
        }
    }

    fn leases(&mut self, now: Millis) -> Vec<(u128, Millis, Millis)> {
        let leases = self.shown(now).leases.into_iter();
        leases
            .map(|lease| (lease.call.0, lease.since, lease.until))
            .collect()
    }

    fn shown(&mut self, now: Millis) -> Snapshot {
        match self.say(now, Command::Snapshot) {
            Reply::Snapshot(snapshot) => *snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    /// The limit that refuses the call.
    fn reached(&mut self, now: Millis, admit: Admit) -> LimitReached {
        match self.refusal(now, admit) {
            Refusal::LimitReached(reached) => reached,
            other => panic!("no limit: {other:?}"),
        }
    }

    /// The day's, the week's, the week's Opus, and all money.
    fn spent(&mut self, now: Millis) -> [u64; 4] {
        let shown = self.shown(now);
        FOUR.map(|limit| shown.spent[limit].spent)
    }

    fn reserved_now(&mut self, now: Millis) -> [u64; 4] {
        let shown = self.shown(now);
        FOUR.map(|limit| shown.spent[limit].reserved)
    }
}

const FOUR: [MoneyLimit; 4] = [
    MoneyLimit::Day,
    MoneyLimit::Week,
    MoneyLimit::WeekOpus,
    MoneyLimit::Total,
];

/// What the ledger says was spent of these four.
fn seeded(spent: [u64; 4], as_of: Millis) -> SeedSpend {
    SeedSpend {
        spent: PerLimit::these(FOUR.into_iter().zip(spent)),
        as_of,
    }
}

fn full(reply: &Refusal) -> bool {
    matches!(reply, Refusal::ConcurrencyFull { .. })
}

#[test]
fn the_first_reason_in_order_is_given() {
    let mut worst = KeyPolicy {
        active: false,
        expires_at: Some(T),
        permissions: vec![Service::Gemini],
        allowed_clients: Some(vec![]),
        model_restriction: true,
        restricted_models: vec!["opus".into()],
        concurrency_limit: 1,
        limits: Limits {
            rate_limit_window_minutes: 1,
            rate_limit_requests: 1,
            money: PerLimit::these([(MoneyLimit::Total, 1)]),
            ..Limits::default()
        },
        ..policy(1)
    };
    let mut version = 1;
    let mut refusal = |worst: &KeyPolicy| {
        version += 1;
        let mut gate = gate(policy(1));
        gate.granted(T, ask(1));
        gate.say(T, Command::SeedSpend(seeded([0, 0, 0, 1], 0)));
        gate.learns(
            T,
            Some(KeyPolicy {
                version,
                ..worst.clone()
            }),
        );
        match gate.asks(
            T,
            Admit {
                model: Some("opus".into()),
                ..ask(2)
            },
        ) {
            Reply::Refused(refusal) => Some(refusal),
            _ => None,
        }
    };
    assert_eq!(refusal(&worst), Some(Refusal::Disabled));
    worst.active = true;
    assert_eq!(refusal(&worst), Some(Refusal::Expired { at: T }));
    worst.expires_at = Some(T + 1);
    assert_eq!(
        refusal(&worst),
        Some(Refusal::NotPermitted {
            service: Service::Claude
        })
    );
    worst.permissions.push(Service::Claude);
    assert_eq!(
        refusal(&worst),
        Some(Refusal::ClientNotAllowed {
            client: None,
            allowed: vec![]
        })
    );
    worst.allowed_clients = None;
    assert_eq!(
        refusal(&worst),
        Some(Refusal::ModelRestricted { model: "opus".into() })
    );
    worst.model_restriction = false;
    assert!(refusal(&worst).is_some_and(|refusal| full(&refusal)));
    worst.concurrency_limit = 2;
    assert!(matches!(refusal(&worst), Some(Refusal::LimitReached(_))));
    worst.limits.money[MoneyLimit::Total] = 0;
    assert_eq!(refusal(&worst), None);
}

#[test]
fn a_crowd_gets_exactly_the_limit() {
    for limit in [1_u32, 7, 199, 200, 300, 0] {
        let mut gate = gate(KeyPolicy {
            concurrency_limit: limit,
            ..policy(1)
        });
        let granted = (0..200)
            .filter(|call| matches!(gate.asks(T, ask(*call)), Reply::Granted { .. }))
            .count();
        let expected = if limit == 0 { 200 } else { 200.min(limit) };
        assert_eq!(granted, expected as usize);
        assert_eq!(gate.leases(T).len(), granted);
    }
}

#[test]
fn the_same_call_holds_one_slot_however_often_it_asks() {
    let mut gate = gate(policy(1));
    for at in 0..5 {
        gate.granted(T + at, ask(1));
    }
    assert_eq!(gate.leases(T + 5), [(1, T, T + 4 + TTL)]);
    gate.granted(T + 5, ask(2));
    gate.granted(T + 6, ask(1));
    assert!(full(&gate.refusal(T + 7, ask(3))));
    // Not even when the limit was lowered in between.
    gate.learns(
        T + 8,
        Some(KeyPolicy {
            concurrency_limit: 1,
            ..policy(2)
        }),
    );
    gate.granted(T + 9, ask(1));
    assert_eq!(gate.leases(T + 9).len(), 2);
}

#[test]
fn settling_frees_once_and_may_be_repeated() {
    let mut gate = gate(KeyPolicy {
        concurrency_limit: 1,
        ..policy(1)
    });
    gate.granted(T, ask(1));
    let step = gate.handle(T, settle(1));
    assert!(step.changes().of_calls);
    assert_eq!(step.wake_at, None);
    gate.granted(T, ask(2));
    let step = gate.handle(T, settle(1));
    assert_eq!(step.changes(), ChangedRows::default());
    assert_eq!(gate.leases(T).len(), 1, "nobody else's slot is freed");
}

#[test]
fn a_refused_call_that_was_granted_before_holds_nothing() {
    let mut gate = gate(policy(1));
    gate.granted(T, ask(1));
    gate.learns(
        T + 1,
        Some(KeyPolicy {
            active: false,
            ..policy(2)
        }),
    );
    assert!(gate.handle(T + 1, Command::Admit(ask(1))).changes().of_calls);
    assert_eq!(gate.leases(T + 1), []);
}

#[test]
fn calls_without_a_slot_pass_a_full_gate() {
    let mut gate = gate(KeyPolicy {
        concurrency_limit: 1,
        ..policy(1)
    });
    gate.granted(T, ask(1));
    let step = gate.handle(
        T,
        Command::Admit(Admit {
            slot: false,
            ..ask(2)
        }),
    );
    assert!(matches!(step.reply, Reply::Granted { .. }));
    assert!(!step.changes().of_calls);
    assert_eq!(gate.leases(T).len(), 1);
}

#[test]
fn a_lease_ends_with_its_ttl_unless_renewed() {
    let mut gate = gate(KeyPolicy {
        concurrency_limit: 1,
        ..policy(1)
    });
    gate.granted(T, ask(1));
    assert_eq!(
        gate.handle(
            T + 1_000,
            Command::Renew {
                call: CallId(1),
                ttl_ms: TTL,
                note: None,
            }
        )
        .wake_at,
        Some(T + TTL)
    );
    assert!(full(&gate.refusal(T + 999 + TTL, ask(2))));
    assert_eq!(gate.granted(T + 1_000 + TTL, ask(2)), 1);
    // What has ended stays so: its slot may be another's.
    gate.say(
        T + 1_000 + TTL,
        Command::Renew {
            call: CallId(1),
            ttl_ms: TTL,
            note: None,
        },
    );
    assert_eq!(
        gate.leases(T + 1_000 + TTL),
        [(2, T + 1_000 + TTL, T + 1_000 + 2 * TTL)]
    );
}

#[test]
fn the_wait_for_a_slot_is_short_and_spread() {
    let mut gate = gate(KeyPolicy {
        concurrency_limit: 1,
        ..policy(1)
    });
    gate.granted(T, ask(1));
    let mut wait = |now, call| match gate.refusal(now, ask(call)) {
        Refusal::ConcurrencyFull {
            limit: 1,
            retry_after_ms,
        } => retry_after_ms,
        other => panic!("{other:?}"),
    };
    let waits: Vec<_> = (100..200).map(|call| wait(T, call * 7_919)).collect();
    assert!(waits.iter().all(|wait| RETRY_MS.contains(wait)));
    assert!(waits.iter().collect::<std::collections::BTreeSet<_>>().len() > 50);
    assert_eq!(wait(T + TTL - 1_500, 4_000), 1_500, "no longer than the lease");
    assert_eq!(wait(T + TTL - 1, 4_000), 1_000);
}

#[test]
fn a_clock_set_back_does_not_lengthen_a_lease() {
    let mut gate = gate(policy(1));
    gate.granted(T, ask(1));
    let step = gate.handle(T - 500_000, Command::Snapshot);
    assert_eq!(
        step.changes(),
        ChangedRows {
            of_calls: true,
            lasting: true
        }
    );
    assert_eq!(step.wake_at, Some(T - 500_000 + TTL));
    assert_eq!(gate.leases(T - 500_000 + TTL), []);
}

#[test]
fn readings_out_of_order_do_no_harm() {
    let mut gate = gate(policy(1));
    gate.granted(T + 900, ask(1));
    gate.granted(T, ask(2));
    assert_eq!(
        gate.leases(T),
        [(1, T + 900, T + 900 + TTL), (2, T + 900, T + 900 + TTL)]
    );
}

#[test]
fn what_is_kept_comes_back_the_same() {
    let mut gate = gate(policy(1));
    gate.granted(T, ask(u128::MAX - 3));
    gate.say(T + 1, Command::Invalidate);
    let kept = serde_json::to_string(&gate).unwrap();
    let mut back: Gate = serde_json::from_str(&kept).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), kept);
    assert_eq!(back.asks(T + 1, ask(1)), Reply::NeedPolicy);
    assert_eq!(back.leases(T + 1), gate.leases(T + 1));
    // What an older version kept has not every field.
    assert!(serde_json::from_str::<Gate>("{}").is_ok());
}

#[test]
fn after_the_death_of_the_host_no_call_is_left() {
    let mut gate = gate(policy(1));
    gate.granted(T, ask(1));
    let mut gate = gate.resumed();
    assert_eq!(gate.leases(T), []);
    assert_eq!(
        gate.asks(T, ask(2)),
        Reply::NeedPolicy,
        "it may have been changed meanwhile"
    );
    assert_eq!(
        gate.granted(
            T,
            Admit {
                learned_since: 0,
                ..ask(2)
            }
        ),
        1
    );
}
