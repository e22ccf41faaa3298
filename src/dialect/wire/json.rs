//! JSON whose objects keep the order of their members.
//!
//! The order of a schema's properties matters to the model, so it is preserved.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Number;
use serde_json::value::RawValue;

use super::budget::{Budget, BudgetExceeded};
use super::text::Text;
use super::text::equal::equal;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text<'a>),
    List(Vec<Json<'a>>),
    Map(Vec<(Text<'a>, Json<'a>)>),
    /// Not parsed, and written unchanged.
    Raw(Raw<'a>),
}

/// Raw JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Raw<'a>(pub Cow<'a, RawValue>);

impl PartialEq for Raw<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl<'a> Json<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn raw(json: &'a RawValue) -> Self {
        Self::Raw(Raw(Cow::Borrowed(json)))
    }

    /// An object with these members.
    pub(crate) fn map<const N: usize>(members: [(&'a str, Json<'a>); N]) -> Self {
        Self::Map(
            members
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// Appends a member to an object.
    pub(crate) fn put(&mut self, name: &'a str, value: Json<'a>) {
        if let Self::Map(members) = self {
            members.push((name.into(), value));
        }
    }

    /// Serialises it, which cannot fail.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Json<'a>]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&[(Text<'a>, Json<'a>)]> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        get(self.as_map()?, key)
    }
}

/// The member of this name.
pub(crate) fn get<'m, 'a>(map: &'m [(Text<'a>, Json<'a>)], key: &str) -> Option<&'m Json<'a>> {
    map.iter()
        .find_map(|(name, value)| equal(name, key).then_some(value))
}

impl<'a> From<Text<'a>> for Json<'a> {
    fn from(text: Text<'a>) -> Self {
        Self::Text(text)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(bool) => to.serialize_bool(*bool),
            Self::Number(number) => number.serialize(to),
            Self::Text(text) => to.serialize_str(text),
            Self::List(list) => to.collect_seq(list),
            Self::Raw(raw) => raw.0.serialize(to),
            Self::Map(members) => {
                let mut map = to.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'a> Json<'a> {
    /// Parses any value within the budget.
    pub(crate) fn read(json: &'a RawValue, budget: &Budget) -> Result<Self, serde_json::Error> {
        let mut from = serde_json::Deserializer::from_slice(json.get().as_bytes());
        let value = Any(budget).deserialize(&mut from)?;
        from.end()?;
        Ok(value)
    }

    /// Takes the cost of a copy from the budget: the bytes of its texts, and its number of values.
    pub(crate) fn take_copy(&self, budget: &Budget) -> Result<(), BudgetExceeded> {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => budget.value(0),
            Self::Text(text) => budget.value(text.len()),
            Self::Raw(raw) => budget.value(raw.0.get().len()),
            Self::List(list) => {
                budget.value(0)?;
                list.iter().try_for_each(|item| item.take_copy(budget))
            }
            Self::Map(members) => {
                budget.value(0)?;
                members.iter().try_for_each(|(name, value)| {
                    budget.text(name.len())?;
                    value.take_copy(budget)
                })
            }
        }
    }

    /// A copy, taken from the budget.
    pub(crate) fn copied(&self, budget: &Budget) -> Result<Self, BudgetExceeded> {
        self.take_copy(budget)?;
        Ok(self.clone())
    }
}

/// Parses any value within a budget.
struct Any<'b>(&'b Budget);

impl Any<'_> {
    fn took<T, E: Error>(&self, bytes: usize, value: T) -> Result<T, E> {
        match self.0.value(bytes) {
            Ok(()) => Ok(value),
            Err(overdrawn) => Err(E::custom(overdrawn)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Json<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.took(0, Json::Null)
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Self::Value, E> {
        self.took(0, Json::Bool(bool))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.took(0, Json::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.took(0, Json::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // JSON has no infinities.
        self.took(0, Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.took(text.len(), Json::text(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.took(text.len(), ())?;
        Ok(Json::Text(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        self.took(0, ())?;
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(Any(self.0))? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        self.took(0, ())?;
        let mut map = Vec::new();
        while let Some(name) = members.next_key::<Text<'de>>()? {
            if let Err(overdrawn) = self.0.text(name.len()) {
                return Err(A::Error::custom(overdrawn));
            }
            map.push((name, members.next_value_seed(Any(self.0))?));
        }
        Ok(Json::Map(map))
    }
}
