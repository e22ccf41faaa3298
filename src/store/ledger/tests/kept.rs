//! How long records of single calls are kept, and that the books notice when one is lost.

use super::*;

#[test]
fn records_older_than_they_are_kept_for_go() {
    let bed = Bed::new();
    let long = Ledger::new(bed.store.clone(), 0).with_request_log_days(90);
    let days = [0, 3, 4, 5, 60];
    let events: Vec<_> = days
        .iter()
        .map(|ago| event(NOON - ago * DAY, 100 + u128::from(*ago)))
        .collect();
    done(long.append_new("all", &events, true, bed.now())).unwrap();
    let short = Ledger::new(bed.store.clone(), 0).with_request_log_days(3);
    done(short.forget(bed.now())).unwrap();
    let left = days.map(|ago| {
        let at = NOON - ago * DAY;
        let read = Command::Exists {
            key: keys::ledger_requests(bed.ledger.calendar().day(at)),
        };
        done(bed.store.run(vec![read])).unwrap() == [Reply::Int(1)]
    });
    assert_eq!(left, [true, true, false, false, false]);
    assert_eq!(bed.total(Range::All), times(5), "sums stay");
}

#[test]
fn older_records_are_not_shown_even_before_they_go() {
    let bed = Bed::new();
    let long = Ledger::new(bed.store.clone(), 0).with_request_log_days(90);
    let events = [0, 3, 4, 60].map(|ago: u64| event(NOON - ago * DAY, u128::from(ago)));
    done(long.append_new("all", &events, true, bed.now())).unwrap();
    let short = Ledger::new(bed.store.clone(), 0).with_request_log_days(3);
    let shown = |ledger: &Ledger, filter: &Filter| {
        let page = done(ledger.requests(filter, None, 100, bed.now())).unwrap();
        let single = events.iter().filter(|event| {
            done(ledger.request(&event.request_id, bed.now()))
                .unwrap()
                .is_some()
        });
        (page.items.len(), single.count())
    };
    let since_ever = Filter {
        from: Some(0),
        ..Filter::default()
    };
    for filter in [Filter::default(), since_ever] {
        assert_eq!(shown(&short, &filter), (2, 2));
        assert_eq!(shown(&long, &filter), (4, 4));
    }
}

#[test]
fn a_day_of_many_calls_is_compared_whole() {
    let bed = Bed::new();
    // Many of one moment, and chunks that end within them.
    let events: Vec<LedgerEvent> = (0..2_500)
        .map(|number: u64| event(NOON + number / 450, u128::from(number)))
        .collect();
    bed.append("b", &events);
    let day = bed.ledger.calendar().day(NOON);
    let verified = done(bed.ledger.verify(day)).unwrap();
    assert_eq!((verified.events, verified.differences), (2_500, Vec::new()));
    // A record that is lost is missing from every sum it was in.
    let lost = Command::HDel {
        key: keys::ledger_requests(day),
        fields: vec![events[7].request_id.clone()],
    };
    done(bed.store.run(vec![lost])).unwrap();
    let verified = done(bed.ledger.verify(day)).unwrap();
    assert_eq!(verified.events, 2_499);
    let cost = verified
        .differences
        .iter()
        .find(|difference| difference.field == "cost:total");
    assert_eq!(
        cost,
        Some(&Difference {
            field: "cost:total".to_owned(),
            stored: 2_500_000,
            events: 2_499_000
        })
    );
    assert!(
        verified
            .differences
            .iter()
            .any(|difference| difference.field == "duration<60:key:key-a")
    );
}
