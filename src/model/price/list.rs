//! Lists the prices of models for the operator: models of the table, models with an operator's price, and called
//! models.

use super::table::Table;
use super::{Family, PriceBook, Rates, Source};
use crate::model::account::Platform;
use crate::model::name::spellings;

/// The effective price of a model.
#[derive(Clone, Copy, Debug)]
pub struct ListedPrice<'a> {
    /// `None`: unknown from both the table and the name.
    pub family: Option<Family>,
    pub source: Source,
    /// For a short prompt in the standard tier. `None`: it depends on the serving account's platform.
    pub rates: Option<&'a Rates>,
    /// The table's own entry for the model.
    pub table: Option<&'a Rates>,
    /// The model whose price the operator set, as written there.
    pub overridden_by: Option<&'a str>,
    /// Long prompts, other tiers, fast mode or a region have other prices.
    pub varies: bool,
}

impl PriceBook {
    /// Names of the models with a price of their own, without retired ones; unordered.
    pub fn priced_models(&self) -> impl Iterator<Item = &str> {
        let sold = Table::embedded().entries().filter(|(_, entry)| !entry.retired);
        let own = self.overrides.values().map(|own| own.model.as_str());
        sold.map(|(name, _)| name).chain(own)
    }

    /// The listed model by whose price a call of `model` was charged; `model` itself if there is none.
    pub fn listed_as<'a>(&'a self, model: &'a str) -> &'a str {
        let names = spellings(model);
        let own = names.iter().find_map(|name| self.overrides.get(name));
        if let Some(own) = own.filter(|own| own.model.eq_ignore_ascii_case(model)) {
            return &own.model;
        }
        let table = Table::embedded();
        let listed = names.iter().find_map(|name| table.name(name));
        listed.or(own.map(|own| own.model.as_str())).unwrap_or(model)
    }

    /// The price of a model.
    pub fn listed(&self, model: &str) -> ListedPrice<'_> {
        let table = Table::embedded();
        let names = spellings(model);
        let entry = names
            .iter()
            .find_map(|name| table.get(name).or_else(|| table.drawing(name)));
        let own = names.iter().find_map(|name| self.overrides.get(name));
        let family = entry
            .and_then(|entry| entry.family)
            .or_else(|| Family::of_name(model));
        let platform = match family {
            Some(Family::OpenAi) => Platform::OpenAi,
            Some(Family::Gemini) => Platform::Gemini,
            Some(Family::Claude) | None => Platform::Claude,
        };
        let priced = self.price(model, platform);
        let known = family.is_some() || priced.known();
        ListedPrice {
            family,
            source: priced.source,
            rates: known.then(|| priced.entry.rates(0, None)),
            table: entry.map(|entry| entry.rates(0, None)),
            overridden_by: own.map(|own| own.model.as_str()),
            varies: known && priced.entry.varies(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::price::{PriceOverrides, Terms};

    fn book(json: &str) -> PriceBook {
        let overrides: PriceOverrides = serde_json::from_str(json).unwrap();
        PriceBook::new(&overrides).unwrap()
    }

    #[test]
    fn each_source_is_told_with_the_price_that_is_charged() {
        let book = book(r#"{"claude-opus-4-8": {"input": 7, "output": 30}}"#);
        let own = book.listed("claude-opus-4-8");
        assert_eq!((own.source, own.family), (Source::Override, Some(Family::Claude)));
        assert_eq!(own.overridden_by, Some("claude-opus-4-8"));
        assert_eq!(own.rates.unwrap().input, 7_000_000);
        assert!(own.table.unwrap().input != 7_000_000 && !own.varies);

        let listed = book.listed("claude-haiku-4-5");
        assert_eq!((listed.source, listed.overridden_by), (Source::Table, None));
        assert_eq!(listed.rates, listed.table);

        for (model, platform) in [("claude-next-9", Platform::Claude), ("gpt-99", Platform::OpenAi)] {
            let guess = book.listed(model);
            assert_eq!((guess.source, guess.table), (Source::Dearest, None), "{model}");
            let charged = book.price(model, platform);
            assert_eq!(
                guess.rates.unwrap(),
                charged.rates(0, &Terms::default()),
                "{model}"
            );
        }
        // Whose it is only the account tells.
        let nobody = book.listed("my-own-model");
        assert_eq!((nobody.source, nobody.family), (Source::Dearest, None));
        assert!(nobody.rates.is_none() && !nobody.varies);
    }

    #[test]
    fn a_call_is_counted_with_the_model_whose_price_it_had() {
        let book = book(
            r#"{"claude-opus-4-8": {"input": 7, "output": 30}, "my-own-model": {"input": 1, "output": 1},
                "claude-opus-4-7-20260101": {"input": 2, "output": 2}}"#,
        );
        for (called, row) in [
            ("claude-opus-4-8-20260301", "claude-opus-4-8"),
            ("anthropic/claude-haiku-4-5", "claude-haiku-4-5"),
            ("claude-opus-4-7-20260101", "claude-opus-4-7-20260101"),
            ("My-Own-Model", "my-own-model"),
            ("claude-next-9", "claude-next-9"),
        ] {
            assert_eq!(book.listed_as(called), row, "{called}");
        }
        let names: Vec<_> = book.priced_models().collect();
        assert!(names.contains(&"my-own-model") && names.contains(&"claude-opus-4-8"));
        // Shut down, and still priced.
        assert!(!names.contains(&"gpt-4"));
    }

    #[test]
    fn no_model_of_the_table_is_listed_as_a_guess() {
        let book = PriceBook::default();
        for name in book.priced_models() {
            let listed = book.listed(name);
            assert_eq!(listed.source, Source::Table, "{name}");
            assert!(listed.family.is_some() && listed.rates.is_some(), "{name}");
            assert_eq!(book.listed_as(name), name);
        }
    }
}
