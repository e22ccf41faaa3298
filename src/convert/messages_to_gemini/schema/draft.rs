//! Builds a schema keyword by keyword.

use super::Members;
use super::ordered_map::OrderedMap;
use crate::convert::messages_to_gemini::json::{Json, get};
use crate::convert::messages_to_gemini::text::Text;

/// A schema that is being built.
#[derive(Default)]
pub(super) struct Draft<'a> {
    pub(super) members: Members<'a>,
    pub(super) properties: OrderedMap<'a, Json<'a>>,
    pub(super) required: OrderedMap<'a, ()>,
}

impl<'a> Draft<'a> {
    /// Reserves the position of this keyword; its value is built separately.
    pub(super) fn has(&mut self, keyword: &'static str) {
        if get(&self.members, keyword).is_none() {
            self.members.push((keyword.into(), Json::Null));
        }
    }

    /// Merges a schema that must hold as well: joins properties and required names; other keywords keep their
    /// first value.
    pub(super) fn merge(&mut self, other: Members<'a>) {
        for (key, value) in other {
            match (&*key, value) {
                ("properties", Json::Map(theirs)) => {
                    self.has("properties");
                    for (name, schema) in theirs {
                        self.properties.join(name, schema);
                    }
                }
                ("required", Json::List(theirs)) => {
                    self.has("required");
                    for name in theirs {
                        if let Json::Text(name) = name {
                            self.required.join(name, ());
                        }
                    }
                }
                (_, value) => {
                    if get(&self.members, &key).is_none() {
                        self.members.push((key, value));
                    }
                }
            }
        }
    }

    /// Removes names from `required` that have no property; an empty list is dropped.
    pub(super) fn finish(self) -> Members<'a> {
        let Self {
            mut members,
            properties,
            required,
        } = self;
        let names = required.into_iter().map(|(name, ())| name);
        let names: Vec<Json<'a>> = names
            .filter(|name| properties.has(name))
            .map(Json::Text)
            .collect();
        if names.is_empty() {
            take(&mut members, "required");
        } else {
            put(&mut members, "required", Json::List(names));
        }
        if get(&members, "properties").is_some() {
            put(
                &mut members,
                "properties",
                Json::Map(properties.into_iter().collect()),
            );
        }
        members
    }
}

pub(super) fn put<'a>(out: &mut Members<'a>, key: &str, value: Json<'a>) {
    match out.iter_mut().find(|(name, _)| &**name == key) {
        Some((_, old)) => *old = value,
        None => out.push((Text::from(key.to_owned()), value)),
    }
}

pub(super) fn take<'a>(out: &mut Members<'a>, key: &str) -> Option<Json<'a>> {
    let at = out.iter().position(|(name, _)| &**name == key)?;
    Some(out.remove(at).1)
}
