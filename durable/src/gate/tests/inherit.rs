//! A key's new secret has a new gate, which goes on with what the old one counted.

use super::*;

const WINDOW_MS: u64 = 60 * 60_000;

fn windowed() -> KeyPolicy {
    KeyPolicy {
        limits: Limits {
            money: PerLimit::these([(MoneyLimit::Day, 100), (MoneyLimit::Total, 1_000)]),
            rate_limit_window_minutes: 60,
            rate_limit_requests: 3,
            ..Limits::default()
        },
        ..no_limits()
    }
}

/// A gate that has spent 60 in two calls, one of which still runs with 20 of it reserved.
fn old() -> Gate {
    let mut gate = gate(windowed());
    gate.say(T, Command::SeedSpend(SeedSpend::default()));
    gate.granted(T, ask_for(1, 40));
    gate.say(T, settle_at(1, 40));
    gate.granted(T, ask_for(2, 20));
    gate
}

fn counted(gate: &mut Gate, now: Millis) -> Box<Snapshot> {
    match gate.say(now, Command::Snapshot) {
        Reply::Snapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_spent_and_reserved_counts_with_the_new_secret() {
    let from = counted(&mut old(), T + 1);
    let mut new = gate(windowed());
    assert_eq!(new.say(T + 1, Command::Inherit(from)), Reply::Done);
    assert_eq!(new.spent(T + 1), [60, 60, 0, 60]);
    // Two calls of three are in the window, which ends when the old one would have ended.
    new.granted(T + 2, ask_for(3, 1));
    let reached = new.reached(T + 3, ask(4));
    assert_eq!(
        (reached.which, reached.resets_at),
        (Limit::WindowRequests, Some(T + WINDOW_MS))
    );
}

#[test]
fn a_gate_that_has_counted_by_itself_takes_nothing_over() {
    let from = counted(&mut old(), T + 1);
    let mut new = gate(windowed());
    new.say(T + 1, Command::SeedSpend(SeedSpend::default()));
    new.granted(T + 1, ask_for(3, 5));
    new.say(T + 1, settle_at(3, 5));
    new.say(T + 2, Command::Inherit(from));
    assert_eq!(new.spent(T + 2), [5, 5, 0, 5]);
    // The same again: told twice, taken over once.
    let from = counted(&mut old(), T + 1);
    let mut twice = gate(windowed());
    twice.say(T + 1, Command::Inherit(from.clone()));
    twice.say(T + 1, Command::Inherit(from));
    assert_eq!(twice.spent(T + 1), [60, 60, 0, 60]);
}

#[test]
fn a_period_that_is_over_is_left_behind() {
    let from = counted(&mut old(), T + 1);
    let day = from.spent[MoneyLimit::Day].resets_at.expect("a day has an end");
    let now = day + 1;
    let mut new = gate(windowed());
    new.say(now, Command::Inherit(from));
    let [day, _, _, total] = new.spent(now);
    assert_eq!((day, total), (0, 60));
    // The window is over too: all three of its calls are there.
    for call in 3..6 {
        new.granted(now, ask_for(call, 0));
    }
}
