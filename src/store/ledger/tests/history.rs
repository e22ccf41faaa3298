//! Random events in random batches, some of which come again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::append::Rollup;
use super::super::bucket::{self, figures};
use super::*;
use crate::model::money::MicroUsd;

fn any_event() -> impl Strategy<Value = LedgerEvent> {
    let who = (
        0..3_u8,
        0..3_u8,
        prop::sample::select(vec!["m1", "m2", "", "a:b", "total"]),
    );
    let when = prop_oneof![NOON - 3 * DAY..NOON, NOON - 3..NOON];
    let tokens = (0..1_000_u64, 0..1_000_u64, 0..10_u64, 0..10_u64, 0..10_u64);
    let how = (
        prop::sample::select(vec![200_u16, 200, 404, 499]),
        any::<bool>(),
        prop::sample::select(vec![Quality::Exact, Quality::Partial, Quality::Estimated]),
        (prop::option::of(0..1_000_000_u64), 0..1_000_000_u64),
        prop::sample::select(vec!["broken", "overloaded_error", "no code at all", ""]),
    );
    (who, when, 0..500_u128, tokens, 0..1_000_000_u64, how).prop_map(
        |(who, at, number, tokens, cost, how)| {
            let (key, account, model) = who;
            let (status, error, quality, (first_byte_ms, duration_ms), code) = how;
            let (input, output, cache_write_5m, cache_write_1h, cache_read) = tokens;
            LedgerEvent {
                key_id: format!("key-{key}"),
                account_id: format!("account-{account}"),
                model: model.to_owned(),
                tokens: Tokens {
                    input,
                    output,
                    cache_write_5m,
                    cache_write_1h,
                    cache_read,
                },
                cost: MicroUsd(cost),
                status,
                error: error.then(|| code.to_owned()),
                quality,
                first_byte_ms,
                duration_ms,
                ..event(at, number)
            }
        },
    )
}

/// Events with ids of their own, cut into batches, some of which come again.
fn any_history() -> impl Strategy<Value = (Vec<LedgerEvent>, Vec<(usize, bool)>)> {
    let events = prop::collection::vec(any_event(), 0..80).prop_map(|mut events| {
        events.sort_by(|a, b| a.request_id.cmp(&b.request_id));
        events.dedup_by(|a, b| a.request_id == b.request_id);
        events
    });
    (
        events.prop_shuffle(),
        prop::collection::vec((1..20_usize, any::<bool>()), 1..8),
    )
}

fn write(bed: &Bed, events: &[LedgerEvent], cuts: &[(usize, bool)]) {
    let mut rest = events;
    let mut written: Vec<(String, &[LedgerEvent])> = Vec::new();
    for (size, again) in cuts.iter().cycle().take(events.len() + 1) {
        let (batch, tail) = rest.split_at((*size).min(rest.len()));
        rest = tail;
        if batch.is_empty() {
            break;
        }
        let id = batch[0].request_id.clone();
        assert_eq!(bed.append(&id, batch), AppendOutcome::Written);
        written.push((id, batch));
        if *again {
            for (id, batch) in &written {
                assert_eq!(bed.append(id, batch), AppendOutcome::Repeated);
            }
        }
    }
}

proptest! {
    // Each case is a history of its own, and takes long where nothing is optimised.
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_the_sums_of_events((events, cuts) in any_history()) {
        let bed = Bed::new();
        write(&bed, &events, &cuts);
        let all: Vec<&LedgerEvent> = events.iter().collect();
        let calendar = bed.ledger.calendar();
        // Each sum, by what it says it is of, added up in the plainest way.
        for ((bucket, scope), found) in &Rollup::of(&all, calendar).sums {
            let mut expected = Totals::default();
            for event in &events {
                let then = match bucket {
                    Bucket::Hour(hour) => calendar.hour(event.at) == *hour,
                    Bucket::Day(day) => calendar.day(event.at) == *day,
                    Bucket::Month(month) => calendar.month(event.at) == *month,
                    Bucket::All => true,
                };
                let unserved = event.tokens == Tokens::default() && event.status >= 400;
                let model = if unserved { "(unserved)" } else { &event.model };
                let whose = match scope {
                    Scope::Total => true,
                    Scope::Key(id) => event.key_id == *id,
                    Scope::Account(id) => event.account_id == *id,
                    Scope::Model(name) => model == *name,
                    Scope::KeyModel(id, name) => event.key_id == *id && model == *name,
                    Scope::KeyAccount(key, account) => event.key_id == *key && event.account_id == *account,
                };
                if then && whose {
                    expected += bucket::of_event(event);
                }
            }
            prop_assert_eq!(found, &expected);
            // And as it is stored.
            let fields = bucket::METRICS.map(|metric| bucket::field(metric, *scope));
            let ask = Command::HMGet { key: keys::ledger_sums(bucket), fields: fields.to_vec() };
            let Reply::Values(values) = done(bed.store.run(vec![ask])).unwrap().remove(0) else { panic!() };
            for (figure, value) in figures(&expected).into_iter().zip(values) {
                let stored = value.map_or(0, |text| std::str::from_utf8(&text).unwrap().parse().unwrap());
                prop_assert_eq!(figure, stored);
            }
        }
        // Each spread is that of its events, and so are the failures.
        for whose in [Scope::Total, Scope::Key("key-1"), Scope::Account("account-2")] {
            for range in [Range::Today, Range::Days7, Range::All] {
                let mut expected = Times::default();
                for event in &events {
                    let today = calendar.day(event.at) == calendar.day(NOON);
                    let is_whose = match whose {
                        Scope::Key(id) => event.key_id == id,
                        Scope::Account(id) => event.account_id == id,
                        _ => true,
                    };
                    if is_whose && (today || range != Range::Today) {
                        expected += Times::of(event);
                    }
                }
                prop_assert_eq!(done(bed.ledger.times(whose, range, bed.now())).unwrap(), expected);
            }
        }
        let failures = done(bed.ledger.failures(Scope::Total, Range::All, bed.now())).unwrap();
        let errors = bed.total(Range::All).errors;
        prop_assert_eq!(failures.iter().map(|failure| failure.count).sum::<u64>(), errors);
        for failure in &failures {
            let expected = events.iter().filter(|event| match failure.error.as_str() {
                "other" => matches!(event.error.as_deref(), Some("no code at all" | "")),
                "status_404" => event.error.is_none() && event.status == 404,
                "status_499" => event.error.is_none() && event.status == 499,
                code => event.error.as_deref() == Some(code),
            });
            prop_assert_eq!(failure.count, expected.count() as u64, "{}", failure.error);
        }
        for back in 0..4 {
            let day = calendar.day(NOON).before(back);
            let verified = done(bed.ledger.verify(day)).unwrap();
            prop_assert_eq!((verified.differences, verified.complete), (vec![], true));
        }
        // Rankings agree with sums.
        for range in [Range::Today, Range::Days7, Range::All] {
            let summary = bed.summary(range);
            for ranking in [summary.keys, summary.accounts, summary.models] {
                prop_assert!(ranking.is_sorted_by(|a, b| a.totals.cost >= b.totals.cost));
                let mut sum = Totals::default();
                for ranked in &ranking {
                    sum += ranked.totals;
                }
                prop_assert_eq!(sum, summary.totals);
            }
        }
    }

    #[test]
    fn pages_hold_every_event_once_newest_first((events, cuts) in any_history(), limit in 1..30_usize) {
        let bed = Bed::new();
        write(&bed, &events, &cuts);
        let mut expected: BTreeMap<(Millis, String), LedgerEvent> =
            events.into_iter().map(|event| ((event.at, event.request_id.clone()), event)).collect();
        let mut after = None;
        loop {
            let page = done(bed.ledger.requests(&Filter::default(), after.as_ref(), limit, bed.now())).unwrap();
            prop_assert!(page.items.len() <= limit);
            for item in page.items {
                prop_assert_eq!(Some(item), expected.pop_last().map(|(_, event)| event));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        prop_assert!(expected.is_empty());
    }
}
