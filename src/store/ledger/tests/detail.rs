//! Who used what, failures and times of a part of the calls; and days that an earlier version wrote.

use super::super::bucket::{Kind, Scope, is_detail};
use super::*;

fn of(number: u128, at: Millis, key: &str, account: &str, cost: u64) -> LedgerEvent {
    LedgerEvent {
        key_id: key.to_owned(),
        account_id: account.to_owned(),
        cost: MicroUsd(cost),
        ..event(at, number)
    }
}

fn ranking(bed: &Bed, kind: Kind<'_>, range: Range) -> Vec<(String, u64)> {
    let ranked = done(bed.ledger.ranking(kind, range, 10, bed.now())).unwrap();
    ranked
        .into_iter()
        .map(|ranked| (ranked.id, ranked.totals.cost.0))
        .collect()
}

fn named(members: &[(&str, u64)]) -> Vec<(String, u64)> {
    members
        .iter()
        .map(|(id, cost)| ((*id).to_owned(), *cost))
        .collect()
}

#[test]
fn who_used_an_account_and_what_served_a_key_are_ranked() {
    let bed = Bed::new();
    bed.append(
        "b",
        &[
            of(1, NOON, "k1", "a1", 5),
            of(2, NOON, "k1", "a2", 7),
            of(3, NOON, "k2", "a1", 9),
            of(4, NOON - 3 * DAY, "k1", "a1", 11),
        ],
    );
    assert_eq!(
        ranking(&bed, Kind::KeysOf("a1"), Range::Today),
        named(&[("k2", 9), ("k1", 5)])
    );
    assert_eq!(
        ranking(&bed, Kind::AccountsOf("k1"), Range::Today),
        named(&[("a2", 7), ("a1", 5)])
    );
    for range in [Range::Days7, Range::Month, Range::All] {
        assert_eq!(
            ranking(&bed, Kind::KeysOf("a1"), range),
            named(&[("k1", 16), ("k2", 9)]),
            "{range:?}"
        );
    }
    assert_eq!(ranking(&bed, Kind::KeysOf("a3"), Range::All), []);
}

#[test]
fn failures_are_counted_for_each_key_account_and_model() {
    let bed = Bed::new();
    let failed = |number, at, key: &str, code: &str| LedgerEvent {
        error: Some(code.to_owned()),
        ..of(number, at, key, "a1", 1)
    };
    bed.append(
        "b",
        &[
            failed(1, NOON, "k1", "overloaded"),
            failed(2, NOON, "k1", "overloaded"),
            failed(3, NOON, "k2", "broken"),
            failed(4, NOON - DAY, "k1", "broken"),
            of(5, NOON, "k1", "a1", 1),
        ],
    );
    let counts = |scope, range| -> Vec<(String, u64)> {
        let failures = done(bed.ledger.failures(scope, range, bed.now())).unwrap();
        failures
            .into_iter()
            .map(|failures| (failures.error, failures.count))
            .collect()
    };
    assert_eq!(
        counts(Scope::Key("k1"), Range::Today),
        named(&[("overloaded", 2)])
    );
    assert_eq!(counts(Scope::Key("k2"), Range::Today), named(&[("broken", 1)]));
    assert_eq!(counts(Scope::Key("k3"), Range::Days7), []);
    for scope in [
        Scope::Total,
        Scope::Account("a1"),
        Scope::Model(&event(NOON, 1).model),
    ] {
        for range in [Range::Days7, Range::Month, Range::All] {
            assert_eq!(
                counts(scope, range),
                named(&[("broken", 2), ("overloaded", 2)]),
                "{scope} {range:?}"
            );
        }
    }
    let days = done(
        bed.ledger
            .failures_by_day(Scope::Key("k1"), Range::Days7, bed.now()),
    )
    .unwrap();
    let days: Vec<(&str, u64)> = days
        .iter()
        .map(|day| {
            (
                day.label.as_str(),
                day.value.iter().map(|failures| failures.count).sum(),
            )
        })
        .collect();
    assert_eq!(days.len(), 7);
    assert_eq!(days[5..], [("2026-01-14", 1), ("2026-01-15", 2)]);
}

#[test]
fn times_of_a_model_are_those_of_its_calls_day_by_day() {
    let bed = Bed::new();
    let took = |number, at, model: &str, ms| LedgerEvent {
        model: model.to_owned(),
        duration_ms: ms,
        ..event(at, number)
    };
    let events = [
        took(1, NOON, "m1", 100),
        took(2, NOON - DAY, "m1", 900),
        took(3, NOON, "m2", 5_000),
    ];
    bed.append("b", &events);
    let mut expected = Times::of(&events[0]);
    expected += Times::of(&events[1]);
    for range in [Range::Days7, Range::Month, Range::All] {
        let times = done(bed.ledger.times(Scope::Model("m1"), range, bed.now())).unwrap();
        assert_eq!(times, expected, "{range:?}");
    }
    let days = done(
        bed.ledger
            .times_by_day(Scope::Model("m1"), Range::Days7, bed.now()),
    )
    .unwrap();
    assert_eq!(
        (days[6].label.as_str(), days[6].value),
        ("2026-01-15", Times::of(&events[0]))
    );
    assert_eq!(days[5].value, Times::of(&events[1]));
    assert_eq!(days[4].value, Times::default());
}

/// Removes from a day what an earlier version did not write.
fn make_old(bed: &Bed, at: Millis) {
    let key = keys::ledger_sums(Bucket::Day(bed.ledger.calendar().day(at)));
    let ask = Command::HGetAll { key: key.clone() };
    let Reply::Entries(entries) = done(bed.store.run(vec![ask])).unwrap().remove(0) else {
        panic!("no hash")
    };
    let new = entries
        .into_iter()
        .map(|(field, _)| field)
        .filter(|field| is_detail(field));
    let gone = new.map(|field| Command::HDel {
        key: key.clone(),
        fields: vec![field],
    });
    let gone: Vec<Command> = gone.collect();
    assert!(!gone.is_empty());
    done(bed.store.run(gone)).unwrap();
}

#[test]
fn a_day_of_an_earlier_version_is_incomplete_and_not_wrong() {
    let bed = Bed::new();
    let (today, yesterday) = (NOON, NOON - DAY);
    bed.append("b", &[of(1, yesterday, "k1", "a1", 5), failed(yesterday, 2, "x")]);
    bed.append("c", &[of(3, today, "k1", "a1", 7)]);
    make_old(&bed, yesterday);
    let complete = |range: Range| done(bed.ledger.is_complete(range, bed.now())).unwrap();
    assert!(complete(Range::Today));
    assert!(!complete(Range::Days7));
    let verify = |at| done(bed.ledger.verify(bed.ledger.calendar().day(at))).unwrap();
    assert_eq!(
        (verify(yesterday).differences, verify(yesterday).complete),
        (vec![], false)
    );
    assert_eq!(
        (verify(today).differences, verify(today).complete),
        (vec![], true)
    );

    // On the day of an upgrade both versions write.
    bed.append("d", &[of(4, yesterday, "k1", "a1", 9)]);
    assert_eq!(
        (verify(yesterday).differences, verify(yesterday).complete),
        (vec![], false)
    );
    // What the earlier version kept is compared as before.
    let key = keys::ledger_sums(Bucket::Day(bed.ledger.calendar().day(yesterday)));
    let field = "cost:key:k1".to_owned();
    done(bed.store.run(vec![Command::HIncrBy { key, field, by: 1 }])).unwrap();
    assert_eq!(verify(yesterday).differences.len(), 1);
}

#[test]
fn the_dearest_are_shown_point_by_point() {
    let bed = Bed::new();
    bed.append(
        "b",
        &[
            of(1, NOON, "k1", "a1", 5),
            of(2, NOON - HOUR, "k2", "a1", 7),
            of(3, NOON - DAY, "k1", "a1", 1),
            of(4, NOON, "k3", "a1", 2),
        ],
    );
    let grouped = |unit, window| done(bed.ledger.grouped(Kind::Keys, 2, unit, window, bed.now())).unwrap();
    for (unit, window, expected) in [
        (Unit::Hour, Window::Last(2), [("k2", [7, 0]), ("k1", [0, 5])]),
        (Unit::Day, Window::Last(2), [("k2", [0, 7]), ("k1", [1, 5])]),
        (Unit::Month, Window::Last(2), [("k2", [0, 7]), ("k1", [0, 6])]),
    ] {
        let grouped = grouped(unit, window);
        assert_eq!(grouped.points.len(), 2);
        let groups: Vec<(&str, Vec<u64>)> = grouped
            .groups
            .iter()
            .map(|group| {
                (
                    group.id.as_str(),
                    group.totals.iter().map(|totals| totals.cost.0).collect(),
                )
            })
            .collect();
        let expected: Vec<(&str, Vec<u64>)> =
            expected.iter().map(|(id, costs)| (*id, costs.to_vec())).collect();
        assert_eq!(groups, expected, "{unit:?}");
    }
    let day = bed.ledger.calendar().day(NOON);
    let hours = grouped(
        Unit::Hour,
        Window::Days {
            first: day,
            last: day,
        },
    );
    assert_eq!(hours.points.len(), 24);
    assert_eq!(
        (hours.points[0].label.as_str(), hours.points[12].totals.cost.0),
        ("2026-01-15:00", 7)
    );
    let days = grouped(
        Unit::Day,
        Window::Days {
            first: day.before(1),
            last: day,
        },
    );
    let labels: Vec<&str> = days.points.iter().map(|point| point.label.as_str()).collect();
    assert_eq!(labels, ["2026-01-14", "2026-01-15"]);
}

#[test]
fn the_time_before_is_as_long_and_ends_where_the_span_begins() {
    let bed = Bed::new();
    bed.append(
        "b",
        &[
            of(1, NOON - DAY, "k1", "a1", 1),
            of(2, NOON - DAY + 2 * HOUR, "k1", "a1", 2),
            of(3, NOON - 7 * DAY, "k1", "a1", 4),
            of(4, NOON - 20 * DAY, "k1", "a1", 8),
        ],
    );
    let previous = |span: Span| done(bed.ledger.previous(span, bed.now())).unwrap();
    let today = previous(Range::Today.into()).unwrap();
    assert_eq!((today.totals.cost.0, today.until_now.unwrap().cost.0), (3, 1));
    let week = previous(Range::Days7.into()).unwrap();
    assert_eq!((week.totals.cost.0, week.until_now), (4, None));
    assert_eq!(
        (week.first.to_string(), week.last.to_string()),
        ("2026-01-02".into(), "2026-01-08".into())
    );
    let month = previous(Range::Month.into()).unwrap();
    assert_eq!(
        (month.totals.cost.0, month.first.to_string()),
        (8, "2025-12-01".into())
    );
    assert_eq!(previous(Range::All.into()), None);
    let day = bed.ledger.calendar().day(NOON);
    let days = |first, last| Span::Days { first, last };
    assert_eq!(previous(days(day, day)).unwrap().totals.cost.0, 3);
    // Of what is not kept nothing is told, rather than too little.
    assert_eq!(previous(days(day.before(99), day)), None);
}
