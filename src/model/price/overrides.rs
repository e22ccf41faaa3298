//! The operator's prices, in USD per million tokens, as providers publish them.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::table::{Entry, Family, Rates};
use crate::model::name::canonical;
use crate::model::text::is_hidden;

/// By model name. An entry applies to all names of the model (dated versions, aliases, vendor prefixes).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct PriceOverrides(pub BTreeMap<String, PriceOverride>);

/// USD per million tokens, at most six decimals. Applies to every prompt length and tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceOverride {
    pub input: f64,
    pub output: f64,
    /// Default: 1.25 times `input` for Claude models, otherwise `input`.
    #[serde(default, rename = "cacheWrite5m", skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<f64>,
    /// Default: twice `input` for Claude models, otherwise the 5 minute price.
    #[serde(default, rename = "cacheWrite1h", skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<f64>,
    /// Default: a tenth of `input` for Claude models, otherwise `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
}

/// An invalid price and the reason, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{model}: {field} {reason}")]
pub struct PriceOverrideError {
    pub model: String,
    /// The JSON field.
    pub field: &'static str,
    pub reason: &'static str,
}

/// An operator's price under one of the names it applies to.
#[derive(Clone, Debug)]
pub(super) struct OwnPrice {
    /// The model's name as the operator wrote it.
    pub(super) model: String,
    pub(super) entry: Entry,
}

const MOST: f64 = 1_000_000.0;
const NAME_BYTES: usize = 200;

impl PriceOverrides {
    pub(super) fn entries(&self) -> Result<HashMap<String, OwnPrice>, PriceOverrideError> {
        let mut entries = HashMap::with_capacity(self.0.len());
        for (model, price) in &self.0 {
            if model.is_empty() || model.len() > NAME_BYTES || model.chars().any(is_hidden) {
                return Err(PriceOverrideError {
                    model: model.clone(),
                    field: "the name",
                    reason: "must be a model's name of 1 to 200 bytes",
                });
            }
            let own = OwnPrice {
                model: model.clone(),
                entry: Entry::flat(price.rates(model)?),
            };
            entries.insert(model.to_ascii_lowercase(), own);
        }
        // An entry also applies to the model's other names, unless they have their own.
        for model in self.0.keys() {
            if let Some(entry) = entries.get(&model.to_ascii_lowercase()).cloned() {
                entries.entry(canonical(model)).or_insert(entry);
            }
        }
        Ok(entries)
    }
}

impl PriceOverride {
    fn rates(&self, model: &str) -> Result<Rates, PriceOverrideError> {
        let pico = |field, usd| {
            micro(usd).map_err(|reason| PriceOverrideError {
                model: model.to_owned(),
                field,
                reason,
            })
        };
        let maybe = |field, usd: Option<f64>| usd.map(|usd| pico(field, usd)).transpose();
        Ok(Rates::complete(
            Family::of_name(model),
            pico("input", self.input)?,
            pico("output", self.output)?,
            maybe("cacheWrite5m", self.cache_write_5m)?,
            maybe("cacheWrite1h", self.cache_write_1h)?,
            maybe("cacheRead", self.cache_read)?,
        ))
    }
}

/// Micro-USD per million tokens, exact.
fn micro(usd: f64) -> Result<u64, &'static str> {
    if !usd.is_finite() || usd < 0.0 {
        return Err("must be 0 or more");
    }
    if usd > MOST {
        return Err("must be at most 1000000 USD per million tokens");
    }
    let micro = (usd * 1e6).round();
    // A double is far closer to its six-decimal number than this.
    if (usd * 1e6 - micro).abs() > 1e-3 {
        return Err("must have at most six decimals");
    }
    Ok(micro as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(json: &str) -> Result<Rates, String> {
        let overrides: PriceOverrides =
            serde_json::from_str(&format!(r#"{{"claude-x": {json}}}"#)).map_err(|error| error.to_string())?;
        overrides.entries().map_err(|error| error.to_string())?;
        overrides.0["claude-x"]
            .rates("claude-x")
            .map_err(|error| error.to_string())
    }

    #[test]
    fn dollars_become_exact_integers() {
        let rates = price(r#"{"input": 0.1, "output": 0.000001, "cacheRead": 0}"#).unwrap();
        assert_eq!((rates.input, rates.output, rates.cache_read), (100_000, 1, 0));
        assert_eq!((rates.cache_write, rates.cache_write_long), (125_000, 200_000));
        assert_eq!(
            price(r#"{"input": 1000000, "output": 999999.999999}"#)
                .unwrap()
                .output,
            999_999_999_999
        );
    }

    #[test]
    fn what_cannot_be_a_price_is_named() {
        for (json, says) in [
            (
                r#"{"input": -1, "output": 1}"#,
                "claude-x: input must be 0 or more",
            ),
            (
                r#"{"input": 1, "output": 1e300}"#,
                "claude-x: output must be at most",
            ),
            (
                r#"{"input": 1, "output": 1, "cacheWrite1h": 0.0000001}"#,
                "cacheWrite1h must have at most six",
            ),
            (r#"{"input": 1}"#, "missing field `output`"),
            (
                r#"{"input": 1, "output": 1, "outptu": 2}"#,
                "unknown field `outptu`",
            ),
        ] {
            let error = price(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
        let nameless = PriceOverrides(
            [(
                String::new(),
                serde_json::from_str("{\"input\":1,\"output\":1}").unwrap(),
            )]
            .into(),
        );
        assert!(nameless.entries().is_err());
    }
}
