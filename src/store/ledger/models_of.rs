//! The models used by several keys, summed over the keys.

use std::collections::HashMap;

use super::Ledger;
use super::bucket::{Kind, Scope};
use super::read::{RANKED, Ranked, dearest_of, figures_of, members, read};
use super::span::Span;
use crate::model::usage::Totals;
use crate::port::clock::Millis;
use crate::port::store::{Command, StoreError};
use crate::store::keys;

impl Ledger {
    /// The `top` most expensive models that these keys used, each with its sum over the keys. Read by day, so
    /// [`Range::All`](super::Range::All) covers the kept days.
    ///
    /// Two round trips: the rankings of each key and day, then the sums of the pairs of key and model found
    /// there.
    pub async fn models_of(
        &self,
        key_ids: &[&str],
        span: impl Into<Span>,
        top: usize,
        now: Millis,
    ) -> Result<Vec<Ranked>, StoreError> {
        if key_ids.is_empty() {
            return Ok(Vec::new());
        }
        let days = self.by_day(span, now);
        let asks = days.iter().flat_map(|day| {
            key_ids.iter().map(move |id| Command::ZRangeByScore {
                key: keys::ledger_rank(day, Kind::ModelsOf(id)),
                min: f64::NEG_INFINITY,
                max: f64::INFINITY,
                rev: true,
                offset: 0,
                limit: RANKED,
            })
        });
        let replies = self.store.run(asks.collect()).await?;
        let rankings: Vec<Vec<(String, f64)>> = replies.into_iter().map(members).collect();
        let models = dearest_of(&rankings, top);

        let places: HashMap<&str, usize> = models.iter().copied().zip(0..).collect();
        let mut asks = Vec::new();
        let mut asked: Vec<usize> = Vec::new();
        for (day, of_keys) in days.iter().zip(rankings.chunks(key_ids.len())) {
            let pairs = key_ids
                .iter()
                .zip(of_keys)
                .flat_map(|(id, ranking)| ranking.iter().map(move |(model, _)| (*id, model.as_str())));
            let mut scopes = Vec::new();
            for (id, model) in pairs {
                if let Some(place) = places.get(model) {
                    scopes.push(Scope::KeyModel(id, model));
                    asked.push(*place);
                }
            }
            if !scopes.is_empty() {
                asks.push(figures_of(*day, &scopes));
            }
        }
        let mut sums = vec![Totals::default(); models.len()];
        if !asks.is_empty() {
            let parts = self.store.run(asks).await?.into_iter().flat_map(read);
            for (part, place) in parts.zip(asked) {
                if let Some(sum) = sums.get_mut(place) {
                    *sum += part;
                }
            }
        }
        let ranked = models.into_iter().map(str::to_owned).zip(sums);
        Ok(ranked.map(|(id, totals)| Ranked { id, totals }).collect())
    }
}
