//! Rules shared by every backend: command names, keys, required types, refused values, number format.

use crate::port::store::{Command, Guard, StoreError};

/// The type of the value at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Hash,
    Set,
    Sorted,
}

impl Command {
    /// Redis's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "GET",
            Self::Set { .. } => "SET",
            Self::Del { .. } => "DEL",
            Self::Exists { .. } => "EXISTS",
            Self::IncrBy { .. } => "INCRBY",
            Self::PExpireAt { .. } => "PEXPIREAT",
            Self::HGet { .. } => "HGET",
            Self::HMGet { .. } => "HMGET",
            Self::HGetAll { .. } => "HGETALL",
            Self::HSet { .. } => "HSET",
            Self::HDel { .. } => "HDEL",
            Self::HIncrBy { .. } => "HINCRBY",
            Self::HLen { .. } => "HLEN",
            Self::SAdd { .. } => "SADD",
            Self::SRem { .. } => "SREM",
            Self::SMembers { .. } => "SMEMBERS",
            Self::ZAdd { .. } => "ZADD",
            Self::ZIncrBy { .. } => "ZINCRBY",
            Self::ZRem { .. } => "ZREM",
            Self::ZScore { .. } => "ZSCORE",
            Self::ZCard { .. } => "ZCARD",
            Self::ZRangeByScore { .. } => "ZRANGEBYSCORE",
            Self::ZRemRangeByScore { .. } => "ZREMRANGEBYSCORE",
        }
    }

    pub fn key(&self) -> &str {
        match self {
            Self::Get { key }
            | Self::Set { key, .. }
            | Self::Del { key }
            | Self::Exists { key }
            | Self::IncrBy { key, .. }
            | Self::PExpireAt { key, .. }
            | Self::HGet { key, .. }
            | Self::HMGet { key, .. }
            | Self::HGetAll { key }
            | Self::HSet { key, .. }
            | Self::HDel { key, .. }
            | Self::HIncrBy { key, .. }
            | Self::HLen { key }
            | Self::SAdd { key, .. }
            | Self::SRem { key, .. }
            | Self::SMembers { key }
            | Self::ZAdd { key, .. }
            | Self::ZIncrBy { key, .. }
            | Self::ZRem { key, .. }
            | Self::ZScore { key, .. }
            | Self::ZCard { key }
            | Self::ZRangeByScore { key, .. }
            | Self::ZRemRangeByScore { key, .. } => key,
        }
    }

    /// Whether it may change the data. Commands that do not can be repeated.
    pub fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Get { .. }
                | Self::Exists { .. }
                | Self::HGet { .. }
                | Self::HMGet { .. }
                | Self::HGetAll { .. }
                | Self::HLen { .. }
                | Self::SMembers { .. }
                | Self::ZScore { .. }
                | Self::ZCard { .. }
                | Self::ZRangeByScore { .. }
        )
    }

    /// The required type of an existing key; `None`: any.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Set { .. } | Self::Del { .. } | Self::Exists { .. } | Self::PExpireAt { .. } => None,
            Self::Get { .. } | Self::IncrBy { .. } => Some(Kind::Text),
            Self::HGet { .. }
            | Self::HMGet { .. }
            | Self::HGetAll { .. }
            | Self::HSet { .. }
            | Self::HDel { .. }
            | Self::HIncrBy { .. }
            | Self::HLen { .. } => Some(Kind::Hash),
            Self::SAdd { .. } | Self::SRem { .. } | Self::SMembers { .. } => Some(Kind::Set),
            Self::ZAdd { .. }
            | Self::ZIncrBy { .. }
            | Self::ZRem { .. }
            | Self::ZScore { .. }
            | Self::ZCard { .. }
            | Self::ZRangeByScore { .. }
            | Self::ZRemRangeByScore { .. } => Some(Kind::Sorted),
        }
    }

    /// Whether it has no fields or members, so that it changes nothing and its count is 0. (Redis reports a wrong
    /// number of arguments.)
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::HMGet { fields, .. } | Self::HDel { fields, .. } => fields.is_empty(),
            Self::HSet { entries, .. } => entries.is_empty(),
            Self::SAdd { members, .. } | Self::SRem { members, .. } | Self::ZRem { members, .. } => {
                members.is_empty()
            }
            Self::ZAdd { entries, .. } => entries.is_empty(),
            _ => false,
        }
    }

    /// Refuses invalid scores. Infinite increments are refused as well, because they could turn an infinite score
    /// into NaN.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let reason = match self {
            Self::ZAdd { entries, .. } if entries.iter().any(|(score, _)| score.is_nan()) => {
                "a score must be a number"
            }
            Self::ZIncrBy { by, .. } if !by.is_finite() => "an increment must be finite",
            Self::ZRangeByScore { min, max, .. } | Self::ZRemRangeByScore { min, max, .. }
                if min.is_nan() || max.is_nan() =>
            {
                "a bound must be a number"
            }
            _ => return Ok(()),
        };
        Err(unreadable(self.key(), reason))
    }

    pub(crate) fn wrong_type(&self) -> StoreError {
        StoreError::WrongType {
            key: self.key().to_owned(),
            command: self.name(),
        }
    }
}

impl Guard {
    pub fn key(&self) -> &str {
        match self {
            Self::Value { key, .. } | Self::Field { key, .. } => key,
        }
    }

    pub(crate) fn wrong_type(&self) -> StoreError {
        let command = match self {
            Self::Value { .. } => "GET",
            Self::Field { .. } => "HGET",
        };
        StoreError::WrongType {
            key: self.key().to_owned(),
            command,
        }
    }
}

pub(crate) fn unreadable(key: &str, reason: impl Into<String>) -> StoreError {
    StoreError::Unreadable {
        key: key.to_owned(),
        reason: reason.into(),
    }
}

/// A whole number in Redis's format: 64 bits, no plus sign, no leading zeros, no spaces. Redis does not increment
/// other formats, so neither do we.
pub(crate) fn whole_number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [] => return None,
        [b'0', ..] if text.len() > 1 => return None,
        _ => {}
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The result of an increment, or why it fails. `held`: the present number, or 0.
pub(crate) fn add(key: &str, held: Option<i64>, by: i64) -> Result<i64, StoreError> {
    held.ok_or_else(|| unreadable(key, "an increment needs a whole number"))?
        .checked_add(by)
        .ok_or_else(|| unreadable(key, "the increment leaves the range of whole numbers"))
}

/// Maps scores to integers of the same order; the lowest score has the lowest rank. Both zeros are equal.
pub(crate) fn rank(score: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let bits = (score + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The inverse of [`rank`].
pub(crate) fn score(rank: u64) -> f64 {
    const SIGN: u64 = 1 << 63;
    f64::from_bits(if rank & SIGN == 0 { !rank } else { rank & !SIGN })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_numbers_that_redis_would_write_are_numbers() {
        for (text, number) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("-01", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
            ("1e3", None),
            ("ten", None),
        ] {
            assert_eq!(whole_number(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn ranks_order_as_scores_do() {
        let scores = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -1.0,
            -f64::MIN_POSITIVE,
            0.0,
            1e-300,
            1.0,
            f64::MAX,
            f64::INFINITY,
        ];
        assert!(scores.map(rank).is_sorted_by(|a, b| a < b));
        assert_eq!(rank(-0.0), rank(0.0));
    }

    proptest! {
        #[test]
        fn a_rank_gives_its_score_back(held in proptest::num::f64::NORMAL | proptest::num::f64::INFINITE) {
            prop_assert_eq!(score(rank(held)).to_bits(), held.to_bits());
        }

        #[test]
        fn every_whole_number_is_read_back(number: i64) {
            prop_assert_eq!(whole_number(number.to_string().as_bytes()), Some(number));
        }
    }
}
