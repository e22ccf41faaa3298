use super::*;
use crate::model::calendar::{Day, Month};

fn day() -> Bucket {
    Bucket::Day(Day::parse("2026-01-31").unwrap())
}

fn month() -> Bucket {
    Bucket::Month(Month::parse("2026-01").unwrap())
}

fn row(bucket: Bucket, model: Option<&str>, requests: u64, cost: Option<u64>) -> UsageRow {
    UsageRow {
        bucket,
        model: model.map(str::to_owned),
        counts: (requests > 0).then(|| Counts {
            requests,
            tokens: Tokens {
                input: 1_000 * requests,
                output: 100 * requests,
                ..Tokens::default()
            },
        }),
        cost: cost.map(MicroUsd),
    }
}

fn of(sums: &[Sum], bucket: Bucket, of: &Of) -> Totals {
    let found: Vec<_> = sums
        .iter()
        .filter(|sum| sum.bucket == bucket && sum.of == *of)
        .collect();
    assert_eq!(found.len(), 1, "{bucket:?} {of:?}");
    found[0].totals
}

#[test]
fn a_keys_models_add_up_to_what_it_spent() {
    let rows = [
        row(day(), None, 5, None),
        row(day(), None, 0, Some(1_000_001)),
        row(day(), Some("claude-sonnet-4-5"), 2, None),
        row(day(), Some("claude-opus-4"), 2, None),
        row(day(), Some("a:b"), 1, None),
    ];
    let mut all = Everything::default();
    let sums = of_key("k", &rows, &PriceBook::default(), &mut all);
    let key = of(&sums, day(), &Of::Key("k".to_owned()));
    assert_eq!(
        (key.requests, key.cost, key.estimated),
        (5, MicroUsd(1_000_001), 0)
    );
    let models = ["claude-sonnet-4-5", "claude-opus-4", "a:b"];
    let costs = models.map(|model| {
        of(&sums, day(), &Of::KeyModel("k".to_owned(), model.to_owned()))
            .cost
            .0
    });
    assert_eq!(costs.iter().sum::<u64>(), 1_000_001, "{costs:?}");
    assert!(costs[1] > costs[0], "the dearer model cost more: {costs:?}");
    let everything: Vec<Sum> = all.sums().collect();
    assert_eq!(of(&everything, day(), &Of::Total), key);
    assert_eq!(of(&everything, day(), &Of::Model("a:b".to_owned())).requests, 1);
}

#[test]
fn costs_that_were_kept_are_taken_as_they_are() {
    let rows = [
        row(day(), None, 3, Some(50)),
        row(day(), Some("m"), 3, Some(49)),
        row(Bucket::All, Some("m"), 9, Some(200)),
        row(month(), Some("m"), 3, Some(49)),
    ];
    let sums = of_key("k", &rows, &PriceBook::default(), &mut Everything::default());
    let model = |bucket| of(&sums, bucket, &Of::KeyModel("k".to_owned(), "m".to_owned()));
    assert_eq!((model(day()).cost, model(day()).estimated), (MicroUsd(49), 0));
    assert_eq!(
        model(Bucket::All).cost,
        MicroUsd(200),
        "not the sum of the months that are left"
    );
}

#[test]
fn months_without_a_cost_are_estimates_and_make_up_all_time() {
    let rows = [
        row(month(), None, 2, None),
        row(month(), Some("claude-sonnet-4-5"), 2, None),
        row(Bucket::All, None, 2, None),
        row(Bucket::All, None, 0, Some(5)),
    ];
    let sums = of_key("k", &rows, &PriceBook::default(), &mut Everything::default());
    let of_month = of(&sums, month(), &Of::Key("k".to_owned()));
    assert!(of_month.cost.0 > 0 && of_month.estimated == 2);
    // More than was spent since ever cannot be.
    let all = of(
        &sums,
        Bucket::All,
        &Of::KeyModel("k".to_owned(), "claude-sonnet-4-5".to_owned()),
    );
    assert_eq!((all.requests, all.cost), (2, MicroUsd(5)));
    assert_eq!(of(&sums, Bucket::All, &Of::Key("k".to_owned())).cost, MicroUsd(5));
}

#[test]
fn an_account_is_counted_with_and_without_the_mark_of_its_kind() {
    let usage = RawUsage {
        id: "a".to_owned(),
        usage: vec![
            row(day(), None, 2, None),
            row(day(), None, 1, None),
            row(day(), Some("gpt-5"), 2, None),
            row(day(), Some("gpt-5"), 1, None),
        ],
    };
    let sums = of_account(&usage, &PriceBook::default());
    let totals = of(&sums, day(), &Of::Account("a".to_owned()));
    assert_eq!(
        (totals.requests, totals.tokens.input, totals.estimated),
        (3, 3_000, 3)
    );
    assert!(totals.cost.0 > 0);
}

#[test]
fn a_sum_is_priced_as_many_short_calls() {
    let many = Tokens {
        input: 1_000_000_000,
        ..Tokens::default()
    };
    let one = Tokens {
        input: 1_000,
        ..Tokens::default()
    };
    let book = PriceBook::default();
    let (many, one) = (
        price(&book, "claude-sonnet-4-5", &many),
        price(&book, "claude-sonnet-4-5", &one),
    );
    assert_eq!(many.0, one.0 * 1_000_000);
}

#[test]
fn records_become_calls_that_are_the_same_at_each_run() {
    let names = [("acc".to_owned(), (Platform::OpenAi, "team".to_owned()))].into();
    let text = r#"{"timestamp":"2026-01-31T12:00:00.000Z","model":"gpt-5","accountId":"responses:acc",
        "inputTokens":10,"outputTokens":5,"cacheCreateTokens":7,"ephemeral1hTokens":3,"cost":0.000123,"stream":true,"durationMs":null}"#;
    let event = call(text, "k", "name", &names).unwrap();
    assert_eq!(
        (
            event.account_id.as_str(),
            event.account_name.as_str(),
            event.platform
        ),
        ("acc", "team", Platform::OpenAi)
    );
    assert_eq!(
        (
            event.cost,
            event.tokens.cache_write_5m,
            event.tokens.cache_write_1h
        ),
        (MicroUsd(123), 4, 3)
    );
    assert_eq!(
        event.request_id,
        call(text, "k", "name", &names).unwrap().request_id
    );
    assert_ne!(
        event.request_id,
        call(text, "other", "name", &names).unwrap().request_id
    );
    assert_eq!(call("{}", "k", "name", &names), None);
    assert_eq!(call("no json", "k", "name", &names), None);
}
