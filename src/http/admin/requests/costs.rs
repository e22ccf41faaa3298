//! The cost of a call's tokens by class. The log has only the sum, so the parts are computed at current prices.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::money::{MicroUsd, Usd};
use crate::model::price::{PriceBook, Terms};
use crate::model::usage::{LedgerEvent, Tokens};

const MILLION: u64 = 1_000_000;

/// The cost of a call's tokens at current prices.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallCosts)]
pub(super) struct CostsView {
    /// The classes with tokens.
    parts: Vec<CostPartView>,
    /// `true`: together with `charges` they equal the call's cost. `false`: prices have changed since, or the
    /// terms of the price are unknown.
    as_charged: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallCostPart)]
struct CostPartView {
    class: TokenClass,
    tokens: u64,
    /// USD, for this call, including surcharges for long context, tier, fast mode and region.
    price_per_million: f64,
    cost: Usd,
}

/// A class of tokens, named as in `tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
enum TokenClass {
    #[serde(rename = "input")]
    Input,
    #[serde(rename = "cacheRead")]
    CacheRead,
    #[serde(rename = "cacheWrite5m")]
    CacheWrite5m,
    #[serde(rename = "cacheWrite1h")]
    CacheWrite1h,
    #[serde(rename = "output")]
    Output,
}

impl TokenClass {
    const ALL: [Self; 5] = [
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::Output,
    ];

    fn place(self, tokens: &mut Tokens) -> &mut u64 {
        match self {
            Self::Input => &mut tokens.input,
            Self::CacheRead => &mut tokens.cache_read,
            Self::CacheWrite5m => &mut tokens.cache_write_5m,
            Self::CacheWrite1h => &mut tokens.cache_write_1h,
            Self::Output => &mut tokens.output,
        }
    }

    fn only(self, count: u64) -> Tokens {
        let mut tokens = Tokens::default();
        *self.place(&mut tokens) = count;
        tokens
    }
}

impl CostsView {
    pub(super) fn of(event: &LedgerEvent, prices: &PriceBook) -> Self {
        let priced = prices.price(&event.model, event.platform);
        let mut tokens = event.tokens;
        let terms = Terms {
            longest_prompt: Some(tokens.prompt()),
            ..terms(&event.price_version)
        };
        let mut sum = event.charges.iter().map(|charge| charge.cost.0).sum::<u64>();
        let mut parts = Vec::new();
        for class in TokenClass::ALL {
            let count = *class.place(&mut tokens);
            if count == 0 {
                continue;
            }
            let MicroUsd(cost) = priced.cost(&class.only(count), &terms);
            sum = sum.saturating_add(cost);
            parts.push(CostPartView {
                class,
                tokens: count,
                price_per_million: priced.cost(&class.only(MILLION), &terms).0 as f64 / 1e6,
                cost: MicroUsd(cost).into(),
            });
        }
        Self {
            // The parts are rounded separately, the call's cost only once.
            as_charged: priced.version(&terms) == event.price_version
                && sum.abs_diff(event.cost.0) <= parts.len() as u64,
            parts,
        }
    }
}

/// The terms of a price, parsed from the name of its version.
fn terms(version: &str) -> Terms {
    let mut terms = Terms::default();
    for mark in version.split('+').skip(1) {
        match mark {
            "override" | "dearest" => {}
            "fast" => terms.fast = true,
            "us" => terms.us_only = true,
            "regional" => terms.regional = true,
            tier => terms.tier = Some(tier.to_owned()),
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::account::Platform;
    use crate::model::usage::Quality;

    fn call(book: &PriceBook, model: &str, tokens: Tokens, terms: &Terms) -> LedgerEvent {
        let bill = book.bill(model, Platform::Claude, &tokens, terms, Quality::Exact);
        LedgerEvent {
            request_id: "req_1".to_owned(),
            at: 0,
            key_id: String::new(),
            key_name: String::new(),
            account_id: String::new(),
            account_name: String::new(),
            platform: Platform::Claude,
            endpoint: "messages".to_owned(),
            model: model.to_owned(),
            stream: true,
            status: 200,
            error: None,
            detail: None,
            tokens,
            cost: bill.cost,
            charges: bill.charges,
            price_version: bill.price_version,
            quality: bill.quality,
            first_byte_ms: None,
            duration_ms: 0,
            attempts: 1,
            client: String::new(),
            session: None,
            trace: None,
        }
    }

    fn book() -> PriceBook {
        PriceBook::default()
    }

    #[test]
    fn parts_add_up_to_what_was_charged() {
        let tokens = Tokens {
            input: 333_333,
            output: 777,
            cache_write_5m: 1_001,
            cache_write_1h: 3,
            cache_read: 99_999,
        };
        for model in ["claude-sonnet-4-5", "claude-opus-4-5", "nobody-knows"] {
            for fast in [false, true] {
                let terms = Terms {
                    fast,
                    ..Terms::default()
                };
                let costs = CostsView::of(&call(&book(), model, tokens, &terms), &book());
                assert!(costs.as_charged, "{model} {fast}");
                assert_eq!(costs.parts.len(), 5);
            }
        }
        let short = Tokens {
            input: 1_000,
            output: 500,
            ..Tokens::default()
        };
        let costs = CostsView::of(
            &call(&book(), "claude-sonnet-4-5", short, &Terms::default()),
            &book(),
        );
        let shown: Vec<_> = costs
            .parts
            .iter()
            .map(|part| (part.class, part.tokens, part.price_per_million))
            .collect();
        assert_eq!(
            shown,
            [(TokenClass::Input, 1_000, 3.0), (TokenClass::Output, 500, 15.0)]
        );
    }

    #[test]
    fn a_price_that_changed_since_is_said_to_have() {
        let tokens = Tokens {
            input: 1_000,
            ..Tokens::default()
        };
        let mut event = call(&book(), "claude-sonnet-4-5", tokens, &Terms::default());
        event.cost = MicroUsd(9_999);
        assert!(!CostsView::of(&event, &book()).as_charged);
        event.cost = MicroUsd(3_000);
        assert!(CostsView::of(&event, &book()).as_charged);
        event.price_version = "2020-01-01".to_owned();
        assert!(!CostsView::of(&event, &book()).as_charged);
    }
}
