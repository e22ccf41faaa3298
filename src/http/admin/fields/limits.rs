//! The values of limits: amounts, money, and the names of clients.

use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};

use crate::relay::client;

/// A whole number up to `MAX`; `null` is 0, which is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Amount<const MAX: u64>(pub(in super::super) u64);

impl<'de, const MAX: u64> Deserialize<'de> for Amount<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range<const MAX: u64>;
        impl<const MAX: u64> Visitor<'_> for Range<MAX> {
            type Value = u64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a whole number from 0 to {MAX}, or null")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<u64, E> {
                Ok(0)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
                Some(number)
                    .filter(|number| *number <= MAX)
                    .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_any(Range::<MAX>).map(Self)
    }
}

/// USD as a number, kept as micro-USD; `null` is 0, which is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Usd(pub(in super::super) u64);

const MICRO: f64 = 1e6;

/// The largest amount: with it a number still tells each micro-USD apart.
const MOST: f64 = 1e9;

impl Usd {
    /// Micro-USD as the API shows them.
    pub(in super::super) fn shown(micro: u64) -> f64 {
        micro as f64 / MICRO
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Money;
        impl Visitor<'_> for Money {
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
                // A number with at most six decimals is the one nearest to its count of millionths.
                if (0.0..=MOST).contains(&number) && (micro / MICRO).to_bits() == number.to_bits() {
                    Ok(micro as u64)
                } else {
                    Err(E::invalid_value(Unexpected::Float(number), &self))
                }
            }
        }
        deserializer.deserialize_any(Money).map(Self)
    }
}

/// Names of clients the relay knows; `null` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Clients(pub(in super::super) Vec<String>);

impl<'de> Deserialize<'de> for Clients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        let is = |name: &str, known: &str| name.trim().eq_ignore_ascii_case(known);
        let known = |name: &String| client::NAMES.iter().any(|known| is(name, known));
        if !sent.iter().all(known) {
            return Err(D::Error::custom(format!(
                "names a client that is not known; there are {}",
                client::NAMES.join(", ")
            )));
        }
        let named = client::NAMES.iter().copied();
        let named = named.filter(|known| sent.iter().any(|name| is(name, known)));
        Ok(Self(named.map(str::to_owned).collect()))
    }
}

/// What can only be cleared: `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Cleared;

impl<'de> Deserialize<'de> for Cleared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<serde::de::IgnoredAny>::deserialize(deserializer)? {
            None => Ok(Self),
            Some(_) => Err(D::Error::custom(
                "can only be cleared: with null it begins anew with the key's next call",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_kept_to_the_millionth() {
        let micro = |text: &str| serde_json::from_str::<Usd>(text).map(|usd| usd.0).ok();
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
        for micro_usd in [1, 7, 100_003, 123_456_789_012_345] {
            let shown = serde_json::to_string(&Usd::shown(micro_usd)).unwrap();
            assert_eq!(micro(&shown), Some(micro_usd), "{shown}");
        }
    }

    #[test]
    fn clients_are_those_there_are() {
        let clients = |text: &str| serde_json::from_str::<Clients>(text).map(|clients| clients.0);
        assert_eq!(
            clients(r#"["codex_cli", "Claude_Code", "codex_cli"]"#).unwrap(),
            ["claude_code", "codex_cli"]
        );
        assert!(clients("null").unwrap().is_empty());
        let said = clients(r#"["cursor"]"#).unwrap_err().to_string();
        assert!(
            said.contains("claude_code, gemini_cli, codex_cli, droid_cli"),
            "{said}"
        );
        assert!(!said.contains("cursor"), "{said}");
    }
}
