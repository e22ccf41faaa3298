//! What an older version kept is read on, and a limit that it did not know begins with what the ledger says.

use serde_json::{Value, json};

use super::*;

/// The state of a version with four limits, each of whose sums had a place of its own. A call runs that reserved 2.
fn old() -> Value {
    let mut gate = limited(Limits {
        money: PerLimit::these([(MoneyLimit::Day, 100)]),
        ..Limits::default()
    });
    for (call, cost) in [(1, 7), (2, 3)] {
        gate.granted(T, ask_for(call, 0));
        gate.say(T, settle_at(call, cost));
    }
    gate.granted(T, ask_for(3, 2));
    let mut state = serde_json::to_value(&gate).unwrap();
    let spend = state["spend"].as_object_mut().unwrap();
    spend.remove("known");
    spend.remove("sums");
    spend.remove("month");
    spend.insert("seeded".to_owned(), json!(true));
    spend.insert("week_opus".to_owned(), json!(4));
    spend.insert("total".to_owned(), json!(50));
    spend["day"]["spent"] = json!(10);
    spend["week"]["spent"] = json!(20);
    let held = &mut state["leases"]["held"];
    let lease = held.as_object_mut().unwrap().values_mut().next().unwrap();
    lease["what"]["rounds"].as_object_mut().unwrap().remove("month");
    state
}

fn read(state: Value) -> Gate {
    serde_json::from_value(state).unwrap()
}

#[test]
fn the_sums_of_an_older_version_count_on() {
    let mut gate = read(old());
    assert_eq!(gate.spent(T), [10, 20, 4, 50]);
    // It knew what went before of its four limits, and asks for nothing.
    gate.granted(T, ask_for(4, 5));
    gate.say(T, settle_at(4, 5));
    assert_eq!(gate.spent(T), [15, 25, 4, 55]);
}

#[test]
fn a_limit_that_an_older_version_did_not_know_is_asked_of_the_ledger() {
    let mut gate = read(old());
    let month = |gate: &mut Gate| gate.shown(T).spent[MoneyLimit::Month].clone();
    assert!(!month(&mut gate).known);
    gate.learns(
        T,
        Some(KeyPolicy {
            version: 9,
            limits: Limits {
                money: PerLimit::these([(MoneyLimit::Month, 1_000)]),
                ..Limits::default()
            },
            ..no_limits()
        }),
    );
    let forgive = Command::ResetSpend {
        which: ResetScope::Money(MoneyLimit::Month),
    };
    assert_eq!(gate.say(T, forgive), Reply::NeedSpend);
    assert_eq!(gate.asks(T, ask_for(4, 5)), Reply::NeedSpend);
    // Of the others it knows better than the ledger.
    let spent = PerLimit::of(|limit| if limit == MoneyLimit::Month { 300 } else { 9_999 });
    gate.say(T, Command::SeedSpend(SeedSpend { spent, as_of: T }));
    assert_eq!(gate.spent(T), [10, 20, 4, 50]);
    assert_eq!((month(&mut gate).spent, month(&mut gate).known), (300, true));
    // The call that runs since then counts for the month too.
    assert_eq!(month(&mut gate).reserved, 2);
    gate.say(T, settle_at(3, 6));
    assert_eq!((month(&mut gate).spent, month(&mut gate).reserved), (306, 0));
}
