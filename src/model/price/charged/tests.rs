use proptest::prelude::*;

use super::super::{Bill, PriceBook, PriceOverrides};
use super::*;
use crate::model::account::Platform;
use crate::model::charge::Extras;
use crate::model::usage::Quality;

fn tokens(input: u64, output: u64, cache_read: u64) -> Tokens {
    Tokens {
        input,
        output,
        cache_read,
        ..Tokens::default()
    }
}

fn terms(used: &[(Item, u64)]) -> Terms {
    let mut extras = Extras::default();
    for (item, count) in used {
        extras.set(*item, *count);
    }
    Terms {
        extras,
        ..Terms::default()
    }
}

fn bill(model: &str, tokens: &Tokens, terms: &Terms) -> Bill {
    PriceBook::default().bill(model, Platform::OpenAi, tokens, terms, Quality::Exact)
}

/// What the extras alone cost, and the quality.
fn extra(model: &str, used: &[(Item, u64)]) -> (u64, Quality) {
    let bill = bill(model, &Tokens::default(), &terms(used));
    assert_eq!(
        bill.charges.iter().map(|charge| charge.cost.0).sum::<u64>(),
        bill.cost.0
    );
    (bill.cost.0, bill.quality)
}

#[test]
fn searches_cost_what_each_provider_publishes() {
    use Quality::{Estimated, Exact};
    for (model, item, count, cost, quality) in [
        ("gpt-5.4", Item::WebSearch, 10, 100_000, Exact),
        ("gpt-4.1", Item::WebSearch, 1, 10_000, Exact),
        // The earlier tool: 10 USD per 1,000 for reasoning models, 25 for others.
        ("gpt-5.4", Item::WebSearchPreview, 1, 10_000, Exact),
        ("gpt-4.1", Item::WebSearchPreview, 1, 25_000, Exact),
        ("gpt-4o-search-preview", Item::WebSearch, 1, 25_000, Exact),
        ("gpt-5.4", Item::FileSearch, 4, 10_000, Exact),
        ("gpt-5.4", Item::CodeSession, 2, 60_000, Estimated),
        ("claude-opus-5-5", Item::WebSearch, 3, 30_000, Exact),
        // The source has no price of searches for this one, Anthropic has one for all.
        ("claude-haiku-4-5", Item::WebSearch, 3, 30_000, Exact),
        ("claude-opus-5-5", Item::CodeSession, 1, 4_167, Estimated),
        // Each query; of older models the prompt, once.
        ("gemini-3.5-flash", Item::WebSearch, 3, 42_000, Exact),
        ("gemini-2.5-flash", Item::WebSearch, 3, 35_000, Exact),
        ("gemini-3.5-flash", Item::MapsSearch, 1, 14_000, Exact),
        ("gemini-2.5-flash", Item::MapsSearch, 1, 25_000, Exact),
    ] {
        assert_eq!(
            extra(model, &[(item, count)]),
            (cost, quality),
            "{model} {item:?}"
        );
    }
}

#[test]
fn what_has_no_known_price_is_never_free_and_never_exact() {
    for (model, item) in [
        ("gpt-5.4", Item::OutputAudio),
        ("gpt-5.4", Item::InputAudio),
        ("gpt-5.4", Item::OutputImage),
        ("gemini-2.5-pro", Item::OutputImage),
        ("gemini-2.5-pro", Item::OutputAudio),
        ("claude-opus-5-5", Item::FileSearch),
        ("gpt-9-unknown", Item::WebSearch),
        ("gpt-5.4", Item::ToolImage),
        ("gpt-5.4", Item::ToolImageOutput),
    ] {
        let bill = bill(model, &tokens(1_000, 1_000, 0), &terms(&[(item, 1_000)]));
        assert_eq!(bill.quality, Quality::Estimated, "{model} {item:?}");
        let [charge] = bill.charges.as_slice() else {
            panic!("{model} {item:?}: {:?}", bill.charges)
        };
        assert!(charge.cost.0 > 0, "{model} {item:?}");
    }
}

#[test]
fn tokens_that_are_no_text_have_their_own_price_and_count_once() {
    // 2.5 Flash: text 0.3, audio 1, cached 0.03, cached audio 0.1 USD per million.
    let used = [
        (Item::InputAudio, 400_000),
        (Item::InputImage, 100_000),
        (Item::CachedAudio, 1_000),
    ];
    let flash = bill("gemini-2.5-flash", &tokens(1_000_000, 0, 10_000), &terms(&used));
    assert_eq!(flash.cost.0, 400_000 + 30_000 + 150_000 + 100 + 270);
    assert_eq!(flash.quality, Quality::Exact);
    assert_eq!(flash.charges[0].cost.0, 400_000);
    // 3 Pro Image: text 12, images 120 USD per million.
    let drawn = bill(
        "gemini-3-pro-image",
        &tokens(0, 1_500, 0),
        &terms(&[(Item::OutputImage, 1_120)]),
    );
    assert_eq!((drawn.cost.0, drawn.quality), (134_400 + 4_560, Quality::Exact));
    // More of a kind than tokens of the class: the rest is nobody's.
    let odd = bill(
        "gemini-2.5-flash",
        &tokens(10, 0, 0),
        &terms(&[(Item::InputAudio, 50)]),
    );
    assert_eq!((odd.cost.0, odd.charges[0].count), (10, 10));
    let spoken = bill(
        "gpt-audio",
        &tokens(1_000, 1_000, 0),
        &terms(&[(Item::InputAudio, 600), (Item::OutputAudio, 900)]),
    );
    assert_eq!(
        (spoken.cost.0, spoken.quality),
        (1_000 + 19_200 + 1_000 + 57_600, Quality::Exact)
    );
}

#[test]
fn drawings_are_charged_by_the_model_that_drew_them() {
    let mut used = terms(&[(Item::ToolText, 50), (Item::ToolImageOutput, 7_024)]);
    let unnamed = bill("gpt-5.4", &Tokens::default(), &used);
    assert_eq!(
        (unnamed.cost.0, unnamed.quality),
        (250 + 280_960, Quality::Estimated)
    );
    used.image_model = Some("gpt-image-2".to_owned());
    let named = bill("gpt-5.4", &Tokens::default(), &used);
    assert_eq!((named.cost.0, named.quality), (250 + 210_720, Quality::Exact));
}

#[test]
fn multipliers_hold_for_tokens_alone() {
    let terms = Terms {
        fast: true,
        us_only: true,
        ..terms(&[(Item::WebSearch, 3)])
    };
    let bill = PriceBook::default().bill(
        "claude-opus-5-5",
        Platform::Claude,
        &tokens(1_000_000, 0, 0),
        &terms,
        Quality::Exact,
    );
    assert_eq!(bill.cost.0, 8_800_000 + 30_000);
}

#[test]
fn the_operators_price_of_tokens_leaves_tools_their_price() {
    let overrides: PriceOverrides = serde_json::from_str(
        r#"{"gemini-2.5-flash": {"input": 2, "output": 3}, "my-model": {"input": 1, "output": 1}}"#,
    )
    .unwrap();
    let book = PriceBook::new(&overrides).unwrap();
    let used = terms(&[(Item::WebSearch, 3), (Item::InputAudio, 500_000)]);
    let bill = book.bill(
        "gemini-2.5-flash",
        Platform::Gemini,
        &tokens(1_000_000, 0, 0),
        &used,
        Quality::Exact,
    );
    assert_eq!((bill.cost.0, bill.quality), (2_000_000 + 35_000, Quality::Exact));
    let bill = book.bill(
        "my-model",
        Platform::OpenAi,
        &Tokens::default(),
        &terms(&[(Item::WebSearch, 1)]),
        Quality::Exact,
    );
    assert_eq!((bill.cost.0, bill.quality), (10_000, Quality::Exact));
}

#[test]
fn an_override_holds_for_every_name_of_its_model() {
    let overrides: PriceOverrides =
        serde_json::from_str(r#"{"Claude-Sonnet-4-5-20250929": {"input": 7, "output": 7}}"#).unwrap();
    let book = PriceBook::new(&overrides).unwrap();
    for name in [
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5",
        "anthropic/claude-sonnet-4.5",
    ] {
        let bill = book.bill(
            name,
            Platform::Claude,
            &tokens(1_000_000, 0, 0),
            &Terms::default(),
            Quality::Exact,
        );
        assert_eq!(bill.cost.0, 7_000_000, "{name}");
    }
}

proptest! {
    #[test]
    fn an_item_more_never_costs_less(model in prop::sample::select(vec!["gpt-5.4", "claude-opus-5-5", "gemini-2.5-flash", "gemini-3-pro-image", "unknown"]), counts in prop::collection::vec(0..100_000_u64, Item::ALL.len()), at in 0..Item::ALL.len(), more in 0..100_000_u64) {
        let used: Vec<_> = Item::ALL.into_iter().zip(counts).collect();
        // Audio may cost less than text tokens only where it replaces them, so those are added too.
        let class = tokens(2_000_000, 2_000_000, 2_000_000);
        let before = bill(model, &class, &terms(&used));
        let mut after = used.clone();
        after[at].1 += more;
        let after = bill(model, &class, &terms(&after));
        prop_assert!(after.cost >= before.cost || Item::ALL[at].class().is_some());
        prop_assert!(before.cost.0 > 0);
    }

    #[test]
    fn absurd_counts_do_not_overflow(at in 0..Item::ALL.len()) {
        let bill = bill("gpt-5.4", &tokens(u64::MAX, u64::MAX, u64::MAX), &terms(&[(Item::ALL[at], u64::MAX)]));
        prop_assert!(bill.cost.0 > 0);
    }
}

#[test]
fn an_output_of_unnamed_kinds_is_charged_as_images_where_the_model_makes_them() {
    let undivided = Terms {
        undivided_output: true,
        ..Terms::default()
    };
    let told = bill("gemini-2.5-flash-image", &tokens(0, 1_000, 0), &undivided);
    assert_eq!((told.cost.0, told.quality), (30_000, Quality::Estimated));
    assert_eq!(
        (told.charges[0].item, told.charges[0].count),
        (Item::OutputImage, 1_000)
    );
    // A model that makes text alone has one price.
    let told = bill("gemini-2.5-flash", &tokens(0, 1_000, 0), &undivided);
    assert_eq!((told.cost.0, told.quality), (2_500, Quality::Exact));
    assert!(told.charges.is_empty());
}

#[test]
fn a_speed_without_a_known_price_is_an_estimate() {
    let fast = Terms {
        fast: true,
        ..Terms::default()
    };
    for (model, cost, quality) in [
        ("claude-opus-5", 10_000, Quality::Exact),
        ("claude-haiku-4-5", 1_000, Quality::Estimated),
    ] {
        let told = bill(model, &tokens(1_000, 0, 0), &fast);
        assert_eq!((told.cost.0, told.quality), (cost, quality), "{model}");
    }
}
