mod detail;
mod history;
mod kept;
mod of_gate;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis"))]
mod redis;
#[cfg(all(not(target_arch = "wasm32"), feature = "upstash"))]
mod upstash;

use std::time::Duration;

use futures_util::FutureExt as _;

use super::append::AppendOutcome;
use super::durations::Times;
use super::read::Summary;
use super::requests::{EXAMINED, Page};
use super::*;
use crate::model::account::Platform;
use crate::model::calendar::{DAY, HOUR};
use crate::model::money::MicroUsd;
use crate::model::usage::{LedgerEvent, Quality, Tokens, Totals};
use crate::port::clock::Millis;
use crate::port::clock::movable::Movable;
use crate::port::store::{Command, Reply};
use crate::store::keys;
use crate::store::memory::Memory;

/// 2026-01-15 12:00 UTC.
const NOON: Millis = 1_768_478_400_000;

struct Bed {
    clock: Movable,
    store: Arc<dyn Store>,
    ledger: Ledger,
}

impl Bed {
    fn new() -> Self {
        let clock = Movable::at(NOON);
        let store: Arc<dyn Store> = Arc::new(Memory::new(Arc::new(clock.clone())));
        Self {
            clock,
            ledger: Ledger::new(store.clone(), 0),
            store,
        }
    }

    fn now(&self) -> Millis {
        crate::port::clock::Clock::now(&self.clock)
    }

    fn append(&self, batch: &str, events: &[LedgerEvent]) -> AppendOutcome {
        done(self.ledger.append(batch, events, self.now())).unwrap()
    }

    fn summary(&self, range: Range) -> Summary {
        done(self.ledger.summary(range, 10, self.now())).unwrap()
    }

    fn total(&self, range: Range) -> Totals {
        self.summary(range).totals
    }

    fn keys(&self, filter: &Filter) -> Vec<String> {
        let page = done(self.ledger.requests(filter, None, 1_000, self.now())).unwrap();
        page.items.into_iter().map(|event| event.request_id).collect()
    }
}

/// The memory store never waits.
fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn id(at: Millis, number: u128) -> String {
    format!("req_{:032x}", (u128::from(at) << 80) | number)
}

fn event(at: Millis, number: u128) -> LedgerEvent {
    LedgerEvent {
        request_id: id(at, number),
        at,
        key_id: "key-a".to_owned(),
        key_name: "A".to_owned(),
        account_id: "account-a".to_owned(),
        account_name: "a".to_owned(),
        platform: Platform::Claude,
        endpoint: "messages".to_owned(),
        model: "claude-opus-5-5".to_owned(),
        stream: true,
        status: 200,
        error: None,
        detail: None,
        tokens: Tokens {
            input: 10,
            output: 20,
            cache_write_5m: 0,
            cache_write_1h: 0,
            cache_read: 5,
        },
        cost: MicroUsd(1_000),
        charges: Vec::new(),
        price_version: "v".to_owned(),
        quality: Quality::Exact,
        first_byte_ms: Some(5),
        duration_ms: 50,
        attempts: 1,
        client: "test".to_owned(),
        session: None,
        trace: None,
    }
}

fn failed(at: Millis, number: u128, model: &str) -> LedgerEvent {
    LedgerEvent {
        status: 404,
        error: Some("not_found".to_owned()),
        tokens: Tokens::default(),
        cost: MicroUsd(0),
        model: model.to_owned(),
        ..event(at, number)
    }
}

fn times(count: u64) -> Totals {
    let Tokens {
        input,
        output,
        cache_read,
        ..
    } = event(0, 0).tokens;
    Totals {
        requests: count,
        tokens: Tokens {
            input: input * count,
            output: output * count,
            cache_read: cache_read * count,
            ..Tokens::default()
        },
        cost: MicroUsd(1_000 * count),
        ..Totals::default()
    }
}

#[test]
fn a_batch_is_counted_once_however_often_it_comes() {
    let bed = Bed::new();
    let events = [event(NOON, 1), event(NOON + 1, 2), event(NOON, 1)];
    assert_eq!(bed.append("b", &events), AppendOutcome::Written);
    assert_eq!(bed.append("b", &events), AppendOutcome::Repeated);
    for range in [
        Range::Today,
        Range::Days7,
        Range::Days30,
        Range::Month,
        Range::All,
    ] {
        let summary = bed.summary(range);
        assert_eq!(summary.totals, times(2));
        let named = |id: &str| {
            vec![Ranked {
                id: id.to_owned(),
                totals: times(2),
            }]
        };
        assert_eq!(summary.keys, named("key-a"));
        assert_eq!(summary.accounts, named("account-a"));
        assert_eq!(summary.models, named("claude-opus-5-5"));
    }
    assert_eq!(bed.keys(&Filter::default()), [id(NOON + 1, 2), id(NOON, 1)]);
    assert_eq!(bed.append("c", &[]), AppendOutcome::Repeated);
}

#[test]
fn a_batch_sent_again_after_its_marker_ended_is_still_counted_once() {
    let bed = Bed::new();
    let events = [event(NOON, 1), event(NOON, 2)];
    bed.append("b", &events);
    bed.clock.advance(Duration::from_millis(3 * DAY));
    assert_eq!(bed.append("b", &events), AppendOutcome::Repeated);
    // What of it was never written, is.
    let events = [events[0].clone(), event(NOON, 3), events[1].clone()];
    assert_eq!(bed.append("other", &events), AppendOutcome::Written);
    assert_eq!(bed.total(Range::All), times(3));
    assert_eq!(bed.keys(&Filter::default()).len(), 3);
}

#[test]
fn a_day_is_the_operators() {
    let bed = Bed::new();
    let ledger = Ledger::new(bed.store.clone(), 13 * 60);
    // 01:00 of the 16th there.
    done(ledger.append("b", &[event(NOON, 1)], NOON)).unwrap();
    let at = |ledger: &Ledger, now| done(ledger.summary(Range::Today, 1, now)).unwrap().totals;
    assert_eq!(at(&ledger, NOON), times(1));
    assert_eq!(at(&ledger, NOON + 22 * HOUR), times(1));
    assert_eq!(at(&ledger, NOON + 23 * HOUR), Totals::default());
    assert_eq!(bed.total(Range::Today), Totals::default());
    // Who changes the time zone still finds what was logged before.
    assert_eq!(
        done(bed.ledger.request(&id(NOON, 1), bed.now())).unwrap(),
        Some(event(NOON, 1))
    );
    assert_eq!(bed.keys(&Filter::default()).len(), 1);
}

#[test]
fn ranges_look_back_as_far_as_they_say() {
    let bed = Bed::new();
    for (number, days) in [0, 1, 6, 7, 14, 15, 29, 30].into_iter().enumerate() {
        bed.append(&format!("b{days}"), &[event(NOON - days * DAY, number as u128)]);
    }
    for (range, count) in [
        (Range::Today, 1),
        (Range::Days7, 3),
        (Range::Month, 5),
        (Range::Days30, 7),
        (Range::All, 8),
    ] {
        assert_eq!(bed.total(range).requests, count, "{range:?}");
    }
    let count = |unit, count| {
        let points = done(
            bed.ledger
                .series(Scope::Key("key-a"), unit, Window::Last(count), bed.now()),
        )
        .unwrap();
        let label = points.first().unwrap().label.clone();
        (
            label,
            points
                .iter()
                .map(|point| point.totals.requests)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        count(Unit::Day, 8),
        ("2026-01-08".to_owned(), vec![1, 1, 0, 0, 0, 0, 1, 1])
    );
    assert_eq!(count(Unit::Month, 2), ("2025-12".to_owned(), vec![3, 5]));
    assert_eq!(count(Unit::Hour, 25).0, "2026-01-14:12");
    assert_eq!(count(Unit::Hour, 25).1.iter().sum::<u64>(), 2);
    let models = |range| done(bed.ledger.ranking(Kind::ModelsOf("key-a"), range, 5, bed.now())).unwrap();
    for range in [Range::Today, Range::Days7, Range::Month, Range::All] {
        assert_eq!(
            models(range),
            [Ranked {
                id: "claude-opus-5-5".to_owned(),
                totals: bed.total(range)
            }],
            "{range:?}"
        );
    }
    assert_eq!(models(Range::Month).len(), 1);
}

#[test]
fn the_dearest_come_first_and_the_free_are_listed() {
    let bed = Bed::new();
    let of = |number, key: &str, cost| LedgerEvent {
        key_id: key.to_owned(),
        cost: MicroUsd(cost),
        ..event(NOON, number)
    };
    bed.append(
        "b",
        &[
            of(1, "cheap", 5),
            of(2, "dear", 9),
            of(3, "cheap", 3),
            of(4, "free", 0),
            of(5, "b", 8),
        ],
    );
    let keys = |range, top| -> Vec<String> {
        let summary = done(bed.ledger.summary(range, top, bed.now())).unwrap();
        summary.keys.into_iter().map(|ranked| ranked.id).collect()
    };
    for range in [Range::Today, Range::Days30, Range::All] {
        assert_eq!(keys(range, 10)[..1], ["dear".to_owned()]);
        assert_eq!(keys(range, 10).len(), 4);
        assert_eq!(keys(range, 10).last().unwrap(), "free");
        assert_eq!(keys(range, 2).len(), 2);
        assert_eq!(keys(range, 0), Vec::<String>::new());
    }
}

#[test]
fn names_that_no_provider_served_make_no_sums() {
    let bed = Bed::new();
    let mut events: Vec<LedgerEvent> = (0..200)
        .map(|number| failed(NOON, number, &format!("invented-{number}")))
        .collect();
    events.push(LedgerEvent {
        model: "é".repeat(200),
        ..event(NOON, 1_000)
    });
    bed.append("b", &events);
    let models = bed.summary(Range::All).models;
    assert_eq!(models.len(), 2);
    assert_eq!(models[0].id, "é".repeat(100));
    assert_eq!((models[1].totals.requests, models[1].totals.errors), (200, 200));
    let mut total = models[0].totals;
    total += models[1].totals;
    assert_eq!(bed.total(Range::All), total);
}

#[test]
fn sums_and_events_end_when_they_are_old() {
    let calendar = Calendar::new(0);
    let day = calendar.day(NOON);
    let by_day = Bucket::Day(day);
    let by_month = Bucket::Month(day.month());
    // (key, days it is there at least, days after which it is gone)
    for (key, kept, gone) in [
        (keys::ledger_requests(day), 30, 31),
        (keys::ledger_requests_index(day), 30, 31),
        (keys::ledger_sums(Bucket::Hour(calendar.hour(NOON))), 8, 9),
        (keys::ledger_sums(by_day), 100, 101),
        (keys::ledger_rank(by_day, Kind::Keys), 100, 101),
        (keys::ledger_rank(by_day, Kind::ModelsOf("key-a")), 100, 101),
        (keys::ledger_sums(by_month), 3 * 365, 3 * 365 + 60),
        (keys::ledger_rank(by_month, Kind::Models), 3 * 365, 3 * 365 + 60),
    ] {
        let bed = Bed::new();
        bed.append("b", &[event(NOON, 1)]);
        let there = |days: u64| {
            bed.clock.jump(NOON + days * DAY);
            done(bed.store.run(vec![Command::Exists { key: key.clone() }])).unwrap() == [Reply::Int(1)]
        };
        assert!(there(kept), "{key} is kept");
        assert!(!there(gone), "{key} ends");
        assert_eq!(bed.total(Range::All), times(1));
    }
}

#[test]
fn calls_are_found_by_their_id() {
    let bed = Bed::new();
    // Arrived just before midnight, logged just after.
    let midnight = NOON + 12 * HOUR;
    let late = LedgerEvent {
        at: midnight + 5,
        ..event(midnight - 5, 7)
    };
    bed.append("b", &[late.clone(), event(NOON, 1)]);
    let find = |id: &str| done(bed.ledger.request(id, bed.now())).unwrap();
    assert_eq!(find(&late.request_id), Some(late.clone()));
    assert_eq!(find(&id(NOON, 1)), Some(event(NOON, 1)));
    for unknown in [
        &id(NOON, 2),
        "req_",
        "",
        "req_+2345678901234567890123456789012",
        "x",
    ] {
        assert_eq!(find(unknown), None, "{unknown}");
    }
}

#[test]
fn the_log_is_filtered() {
    let bed = Bed::new();
    let other = LedgerEvent {
        key_id: "key-b".to_owned(),
        account_id: "account-b".to_owned(),
        model: "m".to_owned(),
        ..event(NOON - DAY, 1)
    };
    let broken = LedgerEvent {
        error: Some("stream_broken".to_owned()),
        ..event(NOON - 2, 2)
    };
    let events = [event(NOON, 3), broken, failed(NOON - 2 * DAY, 4, "x"), other];
    bed.append("b", &events);
    let numbers = |filter: Filter| -> Vec<usize> {
        let place = |id: &String| events.iter().position(|event| event.request_id == *id).unwrap();
        bed.keys(&filter).iter().map(place).collect()
    };
    let all = Filter::default();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(numbers(all.clone()), [0, 1, 3, 2]);
    assert_eq!(
        numbers(Filter {
            key_id: some("key-b"),
            ..all.clone()
        }),
        [3]
    );
    assert_eq!(
        numbers(Filter {
            account_id: some("account-a"),
            ..all.clone()
        }),
        [0, 1, 2]
    );
    assert_eq!(
        numbers(Filter {
            model: some("m"),
            ..all.clone()
        }),
        [3]
    );
    assert_eq!(
        numbers(Filter {
            status: Some(404),
            ..all.clone()
        }),
        [2]
    );
    assert_eq!(
        numbers(Filter {
            errors_only: true,
            ..all.clone()
        }),
        [1, 2]
    );
    assert_eq!(
        numbers(Filter {
            from: Some(NOON - 2),
            ..all.clone()
        }),
        [0, 1]
    );
    assert_eq!(
        numbers(Filter {
            to: Some(NOON),
            ..all.clone()
        }),
        [1, 3, 2]
    );
    assert_eq!(
        numbers(Filter {
            from: Some(NOON - DAY),
            to: Some(NOON - 2),
            ..all.clone()
        }),
        [3]
    );
    assert_eq!(
        numbers(Filter {
            to: Some(0),
            ..all.clone()
        }),
        [0_usize; 0]
    );
    assert_eq!(
        numbers(Filter {
            from: Some(u64::MAX),
            ..all
        }),
        [0_usize; 0]
    );
}

#[test]
fn a_filter_that_finds_little_is_answered_in_bounded_steps() {
    let bed = Bed::new();
    let count = EXAMINED as u64 + 10;
    let events: Vec<LedgerEvent> = (0..count)
        .map(|number| event(NOON - number * 7, number.into()))
        .collect();
    for (number, batch) in events.chunks(1_000).enumerate() {
        bed.append(&number.to_string(), batch);
    }
    let filter = Filter {
        model: Some("none".to_owned()),
        ..Filter::default()
    };
    let page = |after: Option<&Cursor>| done(bed.ledger.requests(&filter, after, 10, bed.now())).unwrap();
    let first = page(None);
    assert_eq!(first.items, []);
    let next = first.next.unwrap();
    assert_eq!(Cursor::parse(&next.to_string()), Some(next.clone()));
    assert_eq!(
        page(Some(&next)),
        Page {
            items: Vec::new(),
            next: None
        }
    );
}

#[test]
fn the_last_use_is_known() {
    let bed = Bed::new();
    bed.append("b", &[event(NOON, 1), event(NOON - 5, 2)]);
    let used = |kind, ids: &[&str]| done(bed.ledger.last_used(kind, ids)).unwrap();
    assert_eq!(used(Kind::Keys, &["key-a", "key-b"]), [Some(NOON), None]);
    assert_eq!(used(Kind::Accounts, &["account-a"]), [Some(NOON)]);
    assert_eq!(used(Kind::Models, &[]), []);
}

#[test]
fn a_lost_count_is_noticed() {
    let bed = Bed::new();
    bed.append("b", &[event(NOON, 1), failed(NOON, 2, "x")]);
    let day = bed.ledger.calendar().day(NOON);
    assert_eq!(done(bed.ledger.verify(day)).unwrap().differences, []);
    let key = keys::ledger_sums(Bucket::Day(day));
    let field = "cost:key:key-a".to_owned();
    done(bed.store.run(vec![Command::HIncrBy {
        key,
        field: field.clone(),
        by: -1,
    }]))
    .unwrap();
    let differences = done(bed.ledger.verify(day)).unwrap().differences;
    assert_eq!(
        differences,
        [Difference {
            field,
            stored: 999,
            events: 1_000
        }]
    );
}

/// Counts what a batch sends to the store.
fn commands(events: &[LedgerEvent]) -> usize {
    let bed = Bed::new();
    let events: Vec<&LedgerEvent> = events.iter().collect();
    bed.ledger.commands("b", &events, NOON).unwrap().len()
}

#[test]
fn many_events_of_few_make_few_commands() {
    let alone = commands(&[event(NOON, 1)]);
    let many: Vec<LedgerEvent> = (0..500).map(|number| event(NOON, number)).collect();
    assert_eq!(commands(&many), alone);
    assert!(alone < 150, "{alone}");
}

#[test]
fn more_events_of_one_moment_than_are_read_at_once_are_all_found() {
    let bed = Bed::new();
    let events: Vec<LedgerEvent> = (0..700).map(|number| event(NOON, number)).collect();
    bed.append("b", &events);
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = done(
            bed.ledger
                .requests(&Filter::default(), after.as_ref(), 150, bed.now()),
        )
        .unwrap();
        found.extend(page.items.into_iter().map(|event| event.request_id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<String> = events.into_iter().map(|event| event.request_id).collect();
    expected.reverse();
    assert_eq!(found, expected);
}

#[test]
fn an_event_that_is_there_is_not_written_again_when_it_is_looked_for() {
    let bed = Bed::new();
    bed.append("first", &[event(NOON, 1)]);
    let events = [event(NOON, 1), event(NOON, 2)];
    let append = |batch, look| done(bed.ledger.append_new(batch, &events, look, bed.now())).unwrap();
    assert_eq!(append("second", true), AppendOutcome::Written);
    assert_eq!(bed.total(Range::All).requests, 2);
    assert_eq!(append("third", true), AppendOutcome::Repeated);
    assert_eq!(bed.total(Range::All), times(2));
}
