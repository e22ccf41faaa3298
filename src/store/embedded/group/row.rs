//! The content of collection rows: values, memberships, scores.

use bytes::Bytes;

use crate::store::embedded::Fault;
use crate::store::embedded::layout::rank_of;
use crate::store::vocabulary::whole_number;

/// The content of a collection's row about a field or member.
pub(super) trait Row: Clone + PartialEq {
    const RANKED: bool = false;

    fn read(row: &[u8]) -> Result<Self, Fault>;
    fn row(&self) -> Bytes;
    /// The position in a sorted set.
    fn rank(&self) -> u64 {
        0
    }
}

/// A text or a field's value. Numbers are held in binary form, so that increments need no parsing or formatting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Bytes(Bytes),
}

impl Value {
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Bytes(_) => None,
        }
    }

    pub(super) fn bytes(&self) -> Bytes {
        match self {
            Value::Number(number) => Bytes::from(number.to_string()),
            Value::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        // A number has exactly one text form, so nothing is lost.
        match whole_number(&bytes) {
            Some(number) => Value::Number(number),
            None => Value::Bytes(bytes),
        }
    }
}

impl Row for Value {
    fn read(row: &[u8]) -> Result<Self, Fault> {
        Ok(match whole_number(row) {
            Some(number) => Value::Number(number),
            None => Value::Bytes(Bytes::copy_from_slice(row)),
        })
    }

    fn row(&self) -> Bytes {
        self.bytes()
    }
}

impl Row for () {
    fn read(_: &[u8]) -> Result<Self, Fault> {
        Ok(())
    }

    fn row(&self) -> Bytes {
        Bytes::new()
    }
}

/// A score, as its rank.
impl Row for u64 {
    const RANKED: bool = true;

    fn read(row: &[u8]) -> Result<Self, Fault> {
        rank_of(row)
    }

    fn row(&self) -> Bytes {
        Bytes::copy_from_slice(&self.to_be_bytes())
    }

    fn rank(&self) -> u64 {
        *self
    }
}
