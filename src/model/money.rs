//! Money: integer micro-USD internally, dollars in the admin API.

use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// An amount of money in millionths of a US dollar, the only unit for computing and storing. Records contain it
/// as an integer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    pub const ZERO: Self = Self(0);

    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// An amount of money in US dollars, exact to the millionth: at most six decimals, from 0 to 1000000000.
///
/// The admin API uses this unit for all money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = f64, example = 0.25)]
pub struct Usd(pub MicroUsd);

const MICRO: f64 = 1e6;

/// The largest accepted amount; up to it, each micro-USD has a distinct `f64`.
const MOST: f64 = 1e9;

impl From<MicroUsd> for Usd {
    fn from(micro: MicroUsd) -> Self {
        Self(micro)
    }
}

impl From<u64> for Usd {
    /// `micro`: micro-USD.
    fn from(micro: u64) -> Self {
        Self(MicroUsd(micro))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.0 as f64 / MICRO)
    }
}

/// `null` is 0, which means unlimited.
impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dollars;
        impl Visitor<'_> for Dollars {
            type Value = u64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("USD as a number from 0 to 1000000000 with at most 6 decimals, or null")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<u64, E> {
                Ok(0)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
                self.visit_f64(number as f64)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
                let micro = (number * MICRO).round();
                // A number with at most six decimals is the `f64` nearest to its count of millionths.
                if (0.0..=MOST).contains(&number) && (micro / MICRO).to_bits() == number.to_bits() {
                    Ok(micro as u64)
                } else {
                    Err(E::invalid_value(Unexpected::Float(number), &self))
                }
            }
        }
        deserializer.deserialize_any(Dollars).map(Self::from)
    }
}

/// For `#[serde(serialize_with)]`: an amount as the admin API shows it.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub fn in_usd<S: Serializer>(amount: &MicroUsd, serializer: S) -> Result<S::Ok, S::Error> {
    Usd(*amount).serialize(serializer)
}

/// Formats dollars: `$0.25`.
impl std::fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${:.2}", self.0 as f64 / MICRO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_kept_to_the_millionth() {
        let micro = |text: &str| serde_json::from_str::<Usd>(text).map(|usd| usd.0.0).ok();
        for (text, kept) in [
            ("0", Some(0)),
            ("null", Some(0)),
            ("10", Some(10_000_000)),
            ("0.1", Some(100_000)),
            ("0.000001", Some(1)),
            ("19.999999", Some(19_999_999)),
            ("999999999.999999", Some(999_999_999_999_999)),
            ("1e9", Some(1_000_000_000_000_000)),
            ("0.0000001", None),
            ("0.1000001", None),
            ("-0.5", None),
            ("-1", None),
            ("1e10", None),
            ("\"1\"", None),
            ("true", None),
        ] {
            assert_eq!(micro(text), kept, "{text}");
        }
        for micro_usd in [0, 1, 7, 100_003, 123_456_789_012_345] {
            let shown = serde_json::to_string(&Usd::from(micro_usd)).unwrap();
            assert_eq!(micro(&shown), Some(micro_usd), "{shown}");
        }
    }

    #[test]
    fn records_hold_an_integer_and_people_read_dollars() {
        assert_eq!(serde_json::to_string(&MicroUsd(250_000)).unwrap(), "250000");
        assert_eq!(serde_json::from_str::<MicroUsd>("7").unwrap(), MicroUsd(7));
        assert_eq!(MicroUsd(2_500_000).to_string(), "$2.50");
    }
}
