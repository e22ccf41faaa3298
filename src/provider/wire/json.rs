//! JSON whose objects keep the order of their members.
//!
//! The order of a schema's properties is what the model reads first and last, so it is not sorted away.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Number;
use serde_json::value::RawValue;

use super::text::Text;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::provider) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text<'a>),
    List(Vec<Json<'a>>),
    Map(Vec<(Text<'a>, Json<'a>)>),
    /// Never looked into, and written as it came.
    Raw(Raw<'a>),
}

/// JSON as it is written.
#[derive(Clone, Debug)]
pub(in crate::provider) struct Raw<'a>(pub Cow<'a, RawValue>);

impl PartialEq for Raw<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl<'a> Json<'a> {
    pub(in crate::provider) fn text(text: &'a str) -> Self {
        Self::Text(text.into())
    }

    pub(in crate::provider) fn raw(json: &'a RawValue) -> Self {
        Self::Raw(Raw(Cow::Borrowed(json)))
    }

    /// An object of these members.
    pub(in crate::provider) fn map<const N: usize>(members: [(&'a str, Json<'a>); N]) -> Self {
        Self::Map(
            members
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// Appends a member to an object.
    pub(in crate::provider) fn put(&mut self, name: &'a str, value: Json<'a>) {
        if let Self::Map(members) = self {
            members.push((name.into(), value));
        }
    }

    /// As it is sent: names and values always serialise.
    pub(in crate::provider) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(in crate::provider) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(in crate::provider) fn as_list(&self) -> Option<&[Json<'a>]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    pub(in crate::provider) fn as_map(&self) -> Option<&[(Text<'a>, Json<'a>)]> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(in crate::provider) fn get(&self, key: &str) -> Option<&Json<'a>> {
        get(self.as_map()?, key)
    }
}

/// The member of this name.
pub(in crate::provider) fn get<'m, 'a>(map: &'m [(Text<'a>, Json<'a>)], key: &str) -> Option<&'m Json<'a>> {
    map.iter()
        .find_map(|(name, value)| (&**name == key).then_some(value))
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

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(bool))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        // JSON has no infinities to begin with.
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::text(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Json::Map(map))
    }
}
