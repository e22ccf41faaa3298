//! What calls that wait hear of their key.

use super::queue::{TIMEOUT, busy};
use super::*;

/// The record is changed, and calls 2, 3 and 4 wait: who is woken by the change.
fn woken_by(change: impl Fn(&mut KeyPolicy)) -> (Gate, Vec<u128>) {
    let mut gate = busy(9);
    for call in 2..5 {
        let model = Some("opus".to_owned());
        gate.queued(T, Admit { model, ..ask(call) });
    }
    let mut next = KeyPolicy {
        version: 2,
        ..(*gate.shown(T).policy.unwrap()).clone()
    };
    change(&mut next);
    let policy = Some(Arc::new(next));
    let woken = gate.wakes(T + 1, Command::Learn { policy });
    (gate, woken)
}

type Change = fn(&mut KeyPolicy);

#[test]
fn whoever_waits_hears_at_once_of_a_change_that_decides_it() {
    let of_model = || Admit {
        model: Some("opus".to_owned()),
        ..ask(3)
    };
    let refusals: [(Change, Refusal); 5] = [
        (|key| key.active = false, Refusal::Disabled),
        (|key| key.expires_at = Some(T), Refusal::Expired { at: T }),
        (
            |key| key.permissions = vec![Service::Gemini],
            Refusal::NotPermitted {
                service: Service::Claude,
            },
        ),
        (
            |key| key.allowed_clients = Some(vec![]),
            Refusal::ClientNotAllowed {
                client: None,
                allowed: vec![],
            },
        ),
        (
            |key| {
                key.model_restriction = true;
                key.restricted_models = vec!["opus".into()];
            },
            Refusal::ModelRestricted { model: "opus".into() },
        ),
    ];
    for (change, refusal) in refusals {
        let (mut gate, woken) = woken_by(change);
        assert_eq!(woken, [2, 3, 4], "{refusal:?}");
        assert_eq!(gate.refusal(T + 2, of_model()), refusal);
    }
    let (mut gate, _) = woken_by(|_| {});
    assert_eq!(gate.wakes(T + 2, Command::Learn { policy: None }), [2, 3, 4]);
    assert_eq!(gate.refusal(T + 2, ask(2)), Refusal::UnknownKey);
}

#[test]
fn a_change_that_leaves_the_answer_keeps_the_place() {
    let (_, woken) = woken_by(|key| key.name = "another".into());
    assert_eq!(woken, [0; 0], "no call is decided by a name");
    let (mut gate, woken) = woken_by(|key| key.permissions = vec![Service::Claude]);
    assert_eq!(woken, [2, 3, 4]);
    for (place, call) in (1..).zip(2..5) {
        assert_eq!(gate.queued(T + 2, ask(call)), (place, T + TIMEOUT));
    }
}

#[test]
fn whoever_waits_hears_when_its_key_expires() {
    let (mut gate, _) = woken_by(|key| key.expires_at = Some(T + 5_000));
    let step = gate.handle(T + 4_999, Command::Snapshot);
    assert_eq!((step.wake_at, step.wake), (Some(T + 5_000), vec![]));
    assert_eq!(gate.wakes(T + 5_000, Command::Snapshot), [2, 3, 4]);
    assert_eq!(
        gate.refusal(T + 5_000, ask(2)),
        Refusal::Expired { at: T + 5_000 }
    );
}

#[test]
fn one_of_those_who_wait_reads_the_record_for_all() {
    let (mut gate, _) = woken_by(|_| {});
    let learn = |version, active| Command::Learn {
        policy: Some(Arc::new(KeyPolicy {
            active,
            concurrency_limit: 1,
            ..policy(version)
        })),
    };
    assert_eq!(gate.wakes(T + 10, Command::Invalidate), [2]);
    assert_eq!(gate.asks(T + 10, ask(2)), Reply::NeedPolicy);
    assert_eq!(
        gate.asks(T + 10, ask(2)),
        Reply::NeedPolicy,
        "its answer was lost"
    );
    for call in [3, 4] {
        gate.queued(T + 11, ask(call));
    }
    // The client of the one that reads leaves: the next one reads.
    assert_eq!(gate.wakes(T + 12, cancel(2)), [3]);
    assert_eq!(gate.asks(T + 12, ask(3)), Reply::NeedPolicy);
    // Nothing is heard of that one either.
    let due = gate.handle(T + 13, Command::Snapshot).wake_at;
    assert_eq!(due, Some(T + 12 + 5_000));
    assert_eq!(gate.wakes(T + 12 + 5_000, Command::Snapshot), [4]);
    assert_eq!(gate.asks(T + 5_100, ask(4)), Reply::NeedPolicy);
    assert_eq!(gate.wakes(T + 5_101, learn(3, false)), [3, 4]);
    assert_eq!(gate.refusal(T + 5_102, ask(3)), Refusal::Disabled);
}

#[test]
fn what_was_read_too_soon_after_the_news_is_read_once_more() {
    let (mut gate, _) = woken_by(|_| {});
    let same = Command::Learn {
        policy: gate.shown(T + 1).policy,
    };
    assert_eq!(gate.wakes(T + 10, Command::Invalidate), [2]);
    assert_eq!(gate.wakes(T + 11, same), [0; 0], "nothing changed");
    let step = gate.handle(T + 12, Command::Admit(ask(3)));
    assert!(matches!(step.reply, Reply::Queued { .. }));
    assert_eq!(step.wake_at, Some(T + 5_010));
    assert_eq!(gate.wakes(T + 5_010, Command::Snapshot), [2]);
    assert_eq!(gate.asks(T + 5_010, ask(2)), Reply::NeedPolicy);
}
