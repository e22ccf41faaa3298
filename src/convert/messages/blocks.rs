//! Content blocks of the Messages API: found, but not yet read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::wire::Refused;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// Any block.
pub(in crate::convert) struct Block<'a> {
    pub kind: Text<'a>,
    object: Object<'a>,
    pub path: String,
}

/// The `content` of a message or block.
pub(in crate::convert) enum Blocks<'a> {
    One(Text<'a>),
    Many(Vec<Block<'a>>),
}

impl<'a> Blocks<'a> {
    /// `path`: of the content; its blocks get their own.
    pub(in crate::convert) fn read(
        content: &'a RawValue,
        path: &str,
        budget: &Budget,
    ) -> Result<Self, Refused> {
        let raw = content.get();
        let wrong = |error| {
            Refused::at(
                path,
                format_args!("a text or a list of blocks is wanted: {error}"),
            )
        };
        if raw.starts_with('"') {
            return serde_json::from_slice(raw.as_bytes())
                .map(Self::One)
                .map_err(wrong);
        }
        let list: List<'a> = serde_json::from_slice(raw.as_bytes()).map_err(wrong)?;
        let blocks = list.into_iter().enumerate();
        let blocks = blocks.map(|(index, raw)| {
            budget.value(raw.get().len())?;
            Block::read(raw, format!("{path}.{index}"))
        });
        Ok(Self::Many(blocks.collect::<Result<_, _>>()?))
    }
}

impl<'a> Block<'a> {
    fn read(raw: &'a RawValue, path: String) -> Result<Self, Refused> {
        let object = Object::read(raw.get(), &path)?;
        let kind = object.must("type", &path)?;
        Ok(Self { kind, object, path })
    }

    pub(in crate::convert) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.object.raw(key)
    }

    pub(in crate::convert) fn want<T: Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, Refused> {
        self.object.want(key, &self.path)
    }

    pub(in crate::convert) fn must<T: Deserialize<'a>>(&self, key: &str) -> Result<T, Refused> {
        self.object.must(key, &self.path)
    }

    /// A text, if it is one.
    pub(in crate::convert) fn get(&self, key: &str) -> Option<Text<'a>> {
        self.object.get(key)
    }

    pub(in crate::convert) fn text(&self, key: &str) -> Result<Text<'a>, Refused> {
        self.must(key)
    }

    /// The refusal of it. `account`: whom it cannot be sent to.
    pub(in crate::convert) fn unknown(&self, account: &str) -> Refused {
        let kind = &*self.kind;
        Refused::at(
            &self.path,
            format_args!("the block type `{kind}` cannot be sent to {account}"),
        )
    }
}
