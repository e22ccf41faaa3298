//! An object of a body with lazily parsed members.
//!
//! One parser serves all objects of both protocols. Derived types would be slightly faster but make up half of
//! the converters' code, which every isolate on the edge must load.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::FieldRefusal;
use super::budget::Budget;
use super::json::Json;
use super::text::Text;

#[derive(Debug)]
pub(crate) struct Object<'a> {
    members: Vec<(Text<'a>, &'a RawValue)>,
}

/// Maximum number of members of an object; each takes memory, however short it is. The protocols' objects have
/// about thirty.
const MOST_MEMBERS: usize = 1_000;

/// Maximum number of items of a list; Anthropic's own limit for messages.
const MOST_ITEMS: usize = 100_000;

/// A list of unparsed items.
#[derive(Debug, Default)]
pub(crate) struct List<'a>(Vec<&'a RawValue>);

impl<'a> List<'a> {
    pub(crate) fn first(&self) -> Option<&'a RawValue> {
        self.0.first().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for List<'a> {
    type Item = &'a RawValue;
    type IntoIter = std::vec::IntoIter<&'a RawValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Items)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = List<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            if items.len() == MOST_ITEMS {
                let why =
                    format!("a list of more than {MOST_ITEMS} items cannot be converted for this model");
                return Err(A::Error::custom(why));
            }
            items.push(item);
        }
        Ok(List(items))
    }
}

impl<'a> Object<'a> {
    /// Parses an object of the request at this path.
    pub(crate) fn read(json: &'a str, path: &str) -> Result<Self, FieldRefusal> {
        serde_json::from_slice(json.as_bytes()).map_err(|error| FieldRefusal::at(path, error))
    }

    /// Parses a whole body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// `None` if the value is not an object.
    pub(crate) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_slice(json.as_bytes()).ok()
    }

    /// Names of the members with a value other than `null`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let valued = self.members.iter().filter(|(_, value)| value.get() != "null");
        valued.map(|(name, _)| &**name)
    }

    /// All members as they are written.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(name, value)| (&**name, *value))
    }

    /// The raw member of this name; `null` counts as missing.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let mut named = self.members.iter().filter(|(name, _)| &**name == key);
        // The last duplicate counts, as in most parsers.
        let (_, value) = named.next_back()?;
        (value.get() != "null").then_some(*value)
    }

    /// The member of this name if it has this type; for providers' data.
    pub(crate) fn get<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(self.raw(key)?.get().as_bytes()).ok()
    }

    /// The member of this name, which must have this type; for clients' data.
    pub(crate) fn want<T: Deserialize<'a>>(&self, key: &str, path: &str) -> Result<Option<T>, FieldRefusal> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        match serde_json::from_slice(raw.get().as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(FieldRefusal::at(place(path, key), error)),
        }
    }

    /// Like [`Self::want`], but the member is required.
    pub(crate) fn must<T: Deserialize<'a>>(&self, key: &str, path: &str) -> Result<T, FieldRefusal> {
        match self.want(key, path)? {
            Some(value) => Ok(value),
            None => Err(FieldRefusal::at(place(path, key), "Field required")),
        }
    }

    /// The fully parsed member of this name.
    pub(crate) fn json(
        &self,
        key: &str,
        path: &str,
        budget: &Budget,
    ) -> Result<Option<Json<'a>>, FieldRefusal> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        match (Json::read(raw, budget), budget.overdrawn()) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(_), Some(overdrawn)) => Err(FieldRefusal::at(place(path, key), overdrawn)),
            (Err(error), None) => Err(FieldRefusal::at(place(path, key), error)),
        }
    }

    /// A list of at most this many texts.
    pub(crate) fn texts(
        &self,
        key: &str,
        path: &str,
        most: usize,
    ) -> Result<Option<Vec<Text<'a>>>, FieldRefusal> {
        let list: Option<List<'a>> = self.want(key, path)?;
        let Some(list) = list else {
            return Ok(None);
        };
        if list.len() > most {
            return Err(FieldRefusal::at(
                place(path, key),
                format_args!("at most {most} can be sent to this model"),
            ));
        }
        let read = |raw: &'a RawValue| {
            serde_json::from_slice(raw.get().as_bytes())
                .map_err(|error| FieldRefusal::at(place(path, key), error))
        };
        list.into_iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// A number as raw JSON.
    pub(crate) fn number(&self, key: &str, path: &str) -> Result<Option<&'a RawValue>, FieldRefusal> {
        let raw = self.raw(key);
        let digits = |raw: &&RawValue| raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        match raw {
            Some(raw) if !digits(&raw) => Err(FieldRefusal::at(place(path, key), "must be a number")),
            _ => Ok(raw),
        }
    }
}

/// The path of a member.
pub(crate) fn place(path: &str, key: &str) -> String {
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
            if members.len() == MOST_MEMBERS {
                let why = format!(
                    "an object of more than {MOST_MEMBERS} members cannot be converted for this model"
                );
                return Err(A::Error::custom(why));
            }
            members.push(member);
        }
        Ok(Object { members })
    }
}
