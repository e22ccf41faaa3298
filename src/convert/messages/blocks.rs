//! Content blocks of the Messages API, located but not parsed.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::wire::FieldRefusal;
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
    /// `path`: the place of the content in the request; each block gets its own place.
    pub(in crate::convert) fn read(
        content: &'a RawValue,
        path: &str,
        budget: &Budget,
    ) -> Result<Self, FieldRefusal> {
        let raw = content.get();
        let wrong =
            |error| FieldRefusal::at(path, format_args!("must be a text or a list of blocks: {error}"));
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
    fn read(raw: &'a RawValue, path: String) -> Result<Self, FieldRefusal> {
        let object = Object::read(raw.get(), &path)?;
        let kind = object.must("type", &path)?;
        Ok(Self { kind, object, path })
    }

    pub(in crate::convert) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.object.raw(key)
    }

    pub(in crate::convert) fn want<T: Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, FieldRefusal> {
        self.object.want(key, &self.path)
    }

    pub(in crate::convert) fn must<T: Deserialize<'a>>(&self, key: &str) -> Result<T, FieldRefusal> {
        self.object.must(key, &self.path)
    }

    /// The member as text, or `None` if it is missing or not text.
    pub(in crate::convert) fn get(&self, key: &str) -> Option<Text<'a>> {
        self.object.get(key)
    }

    pub(in crate::convert) fn text(&self, key: &str) -> Result<Text<'a>, FieldRefusal> {
        self.must(key)
    }

    /// The refusal of this block. `account`: the kind of account that cannot receive it.
    pub(in crate::convert) fn unknown(&self, account: &str) -> FieldRefusal {
        let kind = &*self.kind;
        FieldRefusal::at(
            &self.path,
            format_args!("the block type `{kind}` cannot be sent to {account}"),
        )
    }
}
