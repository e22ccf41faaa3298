use proptest::prelude::*;

use super::*;
use crate::model::charge::Item;

fn book() -> PriceBook {
    PriceBook::default()
}

fn tokens(input: u64, output: u64, write: u64, long: u64, read: u64) -> Tokens {
    Tokens {
        input,
        output,
        cache_write_5m: write,
        cache_write_1h: long,
        cache_read: read,
    }
}

impl Priced<'_> {
    fn micro(&self, tokens: &Tokens, terms: &Terms) -> u64 {
        self.cost(tokens, terms).0
    }
}

fn cost(model: &str, tokens: &Tokens) -> u64 {
    book()
        .price(model, Platform::Claude)
        .cost(tokens, &Terms::default())
        .0
}

const M: u64 = 1_000_000;

#[test]
fn a_known_model_costs_what_its_provider_publishes() {
    // Opus 4.5: 5 / 25 USD per million, cache 6.25 / 10 / 0.5.
    assert_eq!(
        cost("claude-opus-4-5-20251101", &tokens(M, M, M, M, M)),
        46_750_000
    );
    assert_eq!(
        cost("claude-sonnet-4-5", &tokens(1_000, 500, 0, 0, 20_000)),
        3_000 + 7_500 + 6_000
    );
    assert_eq!(
        book().price("claude-opus-4-5", Platform::Claude).source,
        Source::Table
    );
}

#[test]
fn half_a_micro_is_rounded_up_once() {
    // Haiku 5.5 reads cached tokens at 0.01 USD per million: a hundredth of a micro each.
    assert_eq!(cost("claude-haiku-5-5", &tokens(0, 0, 0, 0, 49)), 0);
    assert_eq!(cost("claude-haiku-5-5", &tokens(0, 0, 0, 0, 50)), 1);
    // 0.49 + 0.5 micro: the sum is rounded, not its parts.
    assert_eq!(cost("claude-haiku-5-5", &tokens(0, 1, 0, 0, 49)), 1);
    assert_eq!(cost("claude-haiku-5-5", &tokens(0, 1, 0, 0, 99)), 1);
    assert_eq!(cost("claude-haiku-5-5", &tokens(0, 1, 0, 0, 100)), 2);
}

#[test]
fn a_long_prompt_raises_the_whole_call() {
    // Haiku 5.5: five times the price above 100,000 tokens of prompt, cached ones included.
    assert_eq!(
        cost("claude-haiku-5-5", &tokens(50_000, 1_000, 0, 0, 50_000)),
        5_000 + 500 + 500
    );
    assert_eq!(
        cost("claude-haiku-5-5", &tokens(50_000, 1_000, 0, 1, 50_000)),
        25_000 + 2_500 + 1 + 2_500
    );
    // Output does not make a prompt long.
    assert_eq!(cost("claude-haiku-5-5", &tokens(1, 200_000, 0, 0, 0)), 100_000);
    // Two passes of 60,000 are no prompt of 120,000.
    let passes = Terms {
        longest_prompt: Some(60_000),
        ..Terms::default()
    };
    let priced = book();
    let priced = priced.price("claude-haiku-5-5", Platform::Claude);
    assert_eq!(priced.micro(&tokens(120_000, 0, 0, 0, 0), &passes), 12_000);
    assert_eq!(
        priced.micro(&tokens(120_000, 0, 0, 0, 0), &Terms::default()),
        60_000
    );
}

#[test]
fn terms_change_the_price() {
    let book = book();
    let opus = book.price("claude-opus-5-5", Platform::Claude);
    let plain = Terms::default();
    let one = tokens(M, 0, 0, 0, 0);
    assert_eq!(opus.micro(&one, &plain), 4_000_000);
    assert_eq!(
        opus.micro(
            &one,
            &Terms {
                fast: true,
                ..plain.clone()
            }
        ),
        8_000_000
    );
    assert_eq!(
        opus.micro(
            &one,
            &Terms {
                us_only: true,
                ..plain.clone()
            }
        ),
        4_400_000
    );
    assert_eq!(
        opus.micro(
            &one,
            &Terms {
                fast: true,
                us_only: true,
                ..plain.clone()
            }
        ),
        8_800_000
    );
    // In one region of a cloud, and not twice.
    for (fast, us_only, expected) in [
        (false, false, 4_400_000),
        (false, true, 4_400_000),
        (true, false, 8_800_000),
    ] {
        let terms = Terms {
            fast,
            us_only,
            regional: true,
            ..plain.clone()
        };
        assert_eq!(opus.micro(&one, &terms), expected);
    }
    // A search costs a cent, whatever the mode.
    assert_eq!(
        opus.micro(
            &one,
            &Terms {
                extras: Extras::default().with(Item::WebSearch, 3),
                us_only: true,
                ..plain.clone()
            }
        ),
        4_430_000
    );
    // Claude's priority tier is bought in advance, not by the token.
    assert_eq!(
        opus.micro(
            &one,
            &Terms {
                tier: Some("priority".into()),
                ..plain.clone()
            }
        ),
        4_000_000
    );
    let gpt = book.price("gpt-5.6-sol", Platform::OpenAi);
    assert_eq!(gpt.micro(&one, &plain), 8_000_000, "a prompt over 272,000 tokens");
    let short = tokens(100_000, 0, 0, 0, 0);
    for (tier, micro) in [
        ("default", 400_000),
        ("flex", 200_000),
        ("priority", 800_000),
        ("fast", 800_000),
    ] {
        assert_eq!(
            gpt.micro(
                &short,
                &Terms {
                    tier: Some(tier.into()),
                    ..plain.clone()
                }
            ),
            micro,
            "{tier}"
        );
    }
}

#[test]
fn the_version_tells_what_made_the_price() {
    let book = book();
    let version = |model, terms: &Terms| {
        let priced = book.price(model, Platform::Claude);
        priced.version(terms).strip_prefix(version()).unwrap().to_owned()
    };
    let all = Terms {
        tier: Some("priority".to_owned()),
        fast: true,
        us_only: true,
        regional: true,
        extras: Extras::default().with(Item::WebSearch, 2),
        undivided_output: false,
        image_model: None,
        longest_prompt: None,
    };
    assert_eq!(version("claude-opus-5-5", &Terms::default()), "");
    assert_eq!(version("claude-opus-5-5", &all), "+fast+us");
    assert_eq!(version("claude-sonnet-4-5", &all), "+regional");
    assert_eq!(version("gpt-5.6-sol", &all), "+priority");
    assert!(version("claude-next", &all).starts_with("+dearest"));
}

#[test]
fn names_lose_only_their_dressing() {
    let book = book();
    let at = |name: &str| {
        book.price(name, Platform::Claude)
            .micro(&tokens(M, M, 0, 0, 0), &Terms::default())
    };
    let sonnet = at("claude-sonnet-4-5");
    for name in [
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5[1m]",
        "claude-sonnet-4-5-20250929[1m]",
        "ccr,claude-sonnet-4-5",
        "anthropic/claude-sonnet-4-5",
        "claude-sonnet-4-5-latest",
        "claude-sonnet-4-5@20250929",
    ] {
        assert_eq!(at(name), sonnet, "{name}");
        assert!(book.price(name, Platform::Claude).known(), "{name}");
    }
    // Likeness is no identity: CRS priced these as their neighbours.
    for name in [
        "claude-sonnet-4-5-max",
        "claude-sonnet",
        "gpt-5.9",
        "gpt",
        "claude-sonnet-4-55",
        "",
    ] {
        assert_eq!(
            book.price(name, Platform::Claude).source,
            Source::Dearest,
            "{name}"
        );
    }
}

#[test]
fn an_unknown_model_is_the_dearest_of_its_family_and_an_estimate() {
    let book = book();
    let rates = |model, platform| *book.price(model, platform).rates(1, &Terms::default());
    let claude = rates("claude-next-9", Platform::Claude);
    assert_eq!((claude.input, claude.output), (10_000_000, 50_000_000));
    assert_eq!(rates("who-knows", Platform::Claude), claude);
    // The name decides before the account's platform does.
    assert_eq!(rates("claude-next-9", Platform::Antigravity), claude);
    assert_eq!(rates("gpt-9", Platform::Claude), rates("?", Platform::OpenAi));
    assert_eq!(
        rates("gemini-9-ultra", Platform::OpenAi),
        rates("?", Platform::Gemini)
    );
    let both = rates("?", Platform::Antigravity);
    assert!(both.output >= claude.output && both.output >= rates("?", Platform::Gemini).output);

    let bill = |model, quality| {
        book.bill(
            model,
            Platform::Claude,
            &tokens(1, 1, 0, 0, 0),
            &Terms::default(),
            quality,
        )
    };
    assert_eq!(bill("claude-next-9", Quality::Exact).quality, Quality::Estimated);
    assert!(
        bill("claude-next-9", Quality::Partial)
            .price_version
            .ends_with("+dearest")
    );
    assert_eq!(bill("claude-next-9", Quality::Partial).quality, Quality::Partial);
    assert_eq!(bill("claude-opus-4-5", Quality::Exact).quality, Quality::Exact);
    assert!(
        !bill("claude-opus-4-5", Quality::Exact)
            .price_version
            .contains('+')
    );
}

#[test]
fn the_operators_price_comes_first() {
    let overrides: PriceOverrides = serde_json::from_str(
        r#"{"claude-opus-4-5": {"input": 1, "output": 2}, "glm-9": {"input": 0.5, "output": 0.5, "cacheRead": 0.1}}"#,
    )
    .unwrap();
    let book = PriceBook::new(&overrides).unwrap();
    let bill = |model, tokens: &Tokens| {
        book.bill(model, Platform::Claude, tokens, &Terms::default(), Quality::Exact)
    };
    let opus = bill("claude-opus-4-5-20251101", &tokens(M, M, M, M, M));
    assert_eq!(
        opus.cost.0,
        1_000_000 + 2_000_000 + 1_250_000 + 2_000_000 + 100_000
    );
    assert!(
        opus.price_version.ends_with("+override"),
        "{}",
        opus.price_version
    );
    let glm = bill("glm-9", &tokens(M, 0, 0, 0, M));
    assert_eq!((glm.cost.0, glm.quality), (600_000, Quality::Exact));
    assert!(
        !bill("claude-opus-4-6", &tokens(1, 0, 0, 0, 0))
            .price_version
            .contains('+')
    );
}

fn any_tokens(most: u64) -> impl Strategy<Value = Tokens> {
    (0..=most, 0..=most, 0..=most, 0..=most, 0..=most).prop_map(|(a, b, c, d, e)| tokens(a, b, c, d, e))
}

fn any_model() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "claude-haiku-5-5",
        "claude-opus-5-5",
        "gpt-5.4",
        "gpt-6.1-sol",
        "gemini-2.5-pro",
        "gemini-3.5-flash",
        "unknown",
        "claude-next",
    ])
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let tier = prop::option::of(prop::sample::select(vec![
        "priority",
        "flex",
        "ultrafast",
        "default",
    ]));
    (tier, any::<[bool; 3]>(), 0..5_u64).prop_map(|(tier, [fast, us_only, regional], searches)| Terms {
        tier: tier.map(str::to_owned),
        fast,
        us_only,
        regional,
        extras: Extras::default().with(Item::WebSearch, searches),
        ..Terms::default()
    })
}

fn add(a: &Tokens, b: &Tokens) -> Tokens {
    tokens(
        a.input + b.input,
        a.output + b.output,
        a.cache_write_5m + b.cache_write_5m,
        a.cache_write_1h + b.cache_write_1h,
        a.cache_read + b.cache_read,
    )
}

proptest! {
    #[test]
    fn more_tokens_never_cost_less(model in any_model(), terms in any_terms(), a in any_tokens(400_000), b in any_tokens(400_000)) {
        let book = book();
        let priced = book.price(model, Platform::Claude);
        prop_assert!(priced.micro(&add(&a, &b), &terms) >= priced.micro(&a, &terms));
        for class in [
            tokens(b.input, 0, 0, 0, 0),
            tokens(0, b.output, 0, 0, 0),
            tokens(0, 0, b.cache_write_5m, 0, 0),
            tokens(0, 0, 0, b.cache_write_1h, 0),
            tokens(0, 0, 0, 0, b.cache_read),
        ] {
            prop_assert!(priced.micro(&add(&a, &class), &terms) >= priced.micro(&a, &terms));
        }
    }

    #[test]
    fn two_halves_cost_the_whole_within_a_micro(model in any_model(), a in any_tokens(5_000_000), b in any_tokens(5_000_000), long in any::<bool>()) {
        let book = book();
        let priced = book.price(model, Platform::Claude);
        let terms = Terms { longest_prompt: Some(if long { 1_000_000 } else { 10 }), ..Terms::default() };
        let whole = priced.micro(&add(&a, &b), &terms);
        prop_assert!(whole.abs_diff(priced.micro(&a, &terms) + priced.micro(&b, &terms)) <= 1);
    }

    #[test]
    fn absurd_counts_do_not_overflow(model in any_model(), terms in any_terms(), a in any_tokens(u64::MAX), searches in any::<u64>()) {
        let book = book();
        let priced = book.price(model, Platform::Claude);
        let terms = Terms { extras: terms.extras.with(Item::WebSearch, searches), ..terms };
        let most = priced.micro(&tokens(u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX), &terms);
        prop_assert!(priced.micro(&a, &terms) <= most);
    }

    #[test]
    fn any_name_has_a_price(model in ".{0,40}") {
        let book = book();
        for platform in [Platform::Claude, Platform::OpenAi, Platform::Gemini, Platform::Antigravity] {
            prop_assert!(book.price(&model, platform).micro(&tokens(M, 0, 0, 0, 0), &Terms::default()) > 0);
        }
    }
}
