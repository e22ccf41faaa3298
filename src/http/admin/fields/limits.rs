//! The values of limits: amounts, and the names of clients.

use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};

use crate::relay::client;

/// A whole number up to `MAX`; `null` is 0, which means unlimited.
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

/// Names of known clients; `null` means none.
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

/// The value of a field that can only be cleared: `null`.
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
