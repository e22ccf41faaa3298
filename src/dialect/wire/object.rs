//! An object of a body: its members found, but not yet read.
//!
//! One reader serves all objects of both protocols. A type derived for each would read a little faster
//! and be half of the converter's code, which every isolate on the edge has to load.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Refused;
use super::budget::Budget;
use super::json::Json;
use super::text::Text;

#[derive(Debug)]
pub(crate) struct Object<'a> {
    members: Vec<(Text<'a>, &'a RawValue)>,
}

/// Members that an object may have: each takes memory, however short it is. Those of the protocols have some
/// thirty; what has more is not looked into this way.
const MOST_MEMBERS: usize = 1_000;

/// Items that a list may have. Anthropic's own bound on messages.
const MOST_ITEMS: usize = 100_000;

/// A list, its items still unread.
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
    /// Reads an object of the request's at this place.
    pub(crate) fn read(json: &'a str, path: &str) -> Result<Self, Refused> {
        serde_json::from_slice(json.as_bytes()).map_err(|error| Refused::at(path, error))
    }

    /// Reads a whole body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// A value that is not an object has no members.
    pub(crate) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_slice(json.as_bytes()).ok()
    }

    /// Names of the members that have a value; `null` is none.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let valued = self.members.iter().filter(|(_, value)| value.get() != "null");
        valued.map(|(name, _)| &**name)
    }

    /// The member of this name; `null` is none.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let mut named = self.members.iter().filter(|(name, _)| &**name == key);
        // The last of several, as most readers have it.
        let (_, value) = named.next_back()?;
        (value.get() != "null").then_some(*value)
    }

    /// The member of this name, if it is of this type: for what a provider sends.
    pub(crate) fn get<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(self.raw(key)?.get().as_bytes()).ok()
    }

    /// The member of this name, which must be of this type: for what a client sends.
    pub(crate) fn want<T: Deserialize<'a>>(&self, key: &str, path: &str) -> Result<Option<T>, Refused> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        match serde_json::from_slice(raw.get().as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Refused::at(place(path, key), error)),
        }
    }

    /// The same, and it must be there.
    pub(crate) fn must<T: Deserialize<'a>>(&self, key: &str, path: &str) -> Result<T, Refused> {
        match self.want(key, path)? {
            Some(value) => Ok(value),
            None => Err(Refused::at(place(path, key), "Field required")),
        }
    }

    /// The member of this name, read in full.
    pub(crate) fn json(&self, key: &str, path: &str, budget: &Budget) -> Result<Option<Json<'a>>, Refused> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        match (Json::read(raw, budget), budget.overdrawn()) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(_), Some(overdrawn)) => Err(Refused::at(place(path, key), overdrawn)),
            (Err(error), None) => Err(Refused::at(place(path, key), error)),
        }
    }

    /// A list of texts, of at most so many.
    pub(crate) fn texts(&self, key: &str, path: &str, most: usize) -> Result<Option<Vec<Text<'a>>>, Refused> {
        let list: Option<List<'a>> = self.want(key, path)?;
        let Some(list) = list else {
            return Ok(None);
        };
        if list.len() > most {
            return Err(Refused::at(
                place(path, key),
                format_args!("at most {most} can be sent to this model"),
            ));
        }
        let read = |raw: &'a RawValue| {
            serde_json::from_slice(raw.get().as_bytes()).map_err(|error| Refused::at(place(path, key), error))
        };
        list.into_iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// A number, as it is written.
    pub(crate) fn number(&self, key: &str, path: &str) -> Result<Option<&'a RawValue>, Refused> {
        let raw = self.raw(key);
        let digits = |raw: &&RawValue| raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        match raw {
            Some(raw) if !digits(&raw) => Err(Refused::at(place(path, key), "a number is wanted")),
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
