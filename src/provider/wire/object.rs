//! An object of a body: its members found, but not yet read.
//!
//! One reader serves all objects of both protocols. A type derived for each would read a little faster
//! and be half of the converter's code, which every isolate on the edge has to load.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Refused;
use super::text::Text;

#[derive(Debug)]
pub(in crate::provider) struct Object<'a> {
    members: Vec<(Text<'a>, &'a RawValue)>,
}

/// A list, its items still unread.
pub(in crate::provider) type List<'a> = Vec<&'a RawValue>;

impl<'a> Object<'a> {
    /// Reads an object of the request's at this place.
    pub(in crate::provider) fn read(json: &'a str, path: &str) -> Result<Self, Refused> {
        serde_json::from_slice(json.as_bytes()).map_err(|error| Refused::at(path, error))
    }

    /// Reads a whole body.
    pub(in crate::provider) fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// What is no object has no members.
    pub(in crate::provider) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_slice(json.as_bytes()).ok()
    }

    /// The member of this name; `null` is none.
    pub(in crate::provider) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let mut named = self.members.iter().filter(|(name, _)| &**name == key);
        // The last of several, as most readers have it.
        let (_, value) = named.next_back()?;
        (value.get() != "null").then_some(*value)
    }

    /// The member of this name, if it is of this type: for what a provider sends.
    pub(in crate::provider) fn get<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(self.raw(key)?.get().as_bytes()).ok()
    }

    /// The member of this name, which must be of this type: for what a client sends.
    pub(in crate::provider) fn want<T: Deserialize<'a>>(
        &self,
        key: &str,
        path: &str,
    ) -> Result<Option<T>, Refused> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        match serde_json::from_slice(raw.get().as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Refused::at(place(path, key), error)),
        }
    }

    /// The same, and it must be there.
    pub(in crate::provider) fn must<T: Deserialize<'a>>(&self, key: &str, path: &str) -> Result<T, Refused> {
        match self.want(key, path)? {
            Some(value) => Ok(value),
            None => Err(Refused::at(place(path, key), "Field required")),
        }
    }

    /// A number, as it is written.
    pub(in crate::provider) fn number(&self, key: &str, path: &str) -> Result<Option<&'a RawValue>, Refused> {
        let raw = self.raw(key);
        let digits = |raw: &&RawValue| raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        match raw {
            Some(raw) if !digits(&raw) => Err(Refused::at(place(path, key), "a number is wanted")),
            _ => Ok(raw),
        }
    }
}

/// The path of a member.
pub(in crate::provider) fn place(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = from.next_entry()? {
            members.push(member);
        }
        Ok(Object { members })
    }
}
