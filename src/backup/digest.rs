//! A digest of all records of a store, independent of their order.
//!
//! Each record (a text, a field of a hash, a member of a set) is hashed with SHA-256 together with its key, the
//! key's type and expiry. The sum of these hashes modulo 2^256 is the digest. It shows that two stores are equal,
//! but does not protect against chosen records; the proofs in a file do.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::port::clock::Millis;
use crate::port::whole::{Content, Part};

/// Period over which expiring keys are summed together, milliseconds.
const SPAN: Millis = 60_000;

/// A sum of hashes, and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub records: u64,
    /// Little-endian digits.
    of: [u64; 4],
}

/// A digest being computed.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    lasting: Sum,
    /// Sums of expiring keys by minute, because some may have expired in the other store.
    ending: BTreeMap<u64, Sum>,
    pub keys: u64,
    pub bytes: u64,
}

impl Digest {
    pub fn add(&mut self, part: &Part) {
        self.keys += u64::from(part.begins);
        self.bytes += part.content.bytes() as u64;
        let sum = match part.end {
            None => &mut self.lasting,
            Some(end) => self.ending.entry(end / SPAN).or_default(),
        };
        let hash = Record::of(part);
        match &part.content {
            Content::Text(text) => sum.add(hash.with("", text)),
            Content::Hash(entries) => {
                for (name, value) in entries {
                    sum.add(hash.with(name, value));
                }
            }
            Content::Set(members) => {
                for member in members {
                    sum.add(hash.with(member, b""));
                }
            }
            Content::Sorted(entries) => {
                for (score, member) in entries {
                    // Negative zero becomes zero.
                    sum.add(hash.with(member, &(score + 0.0).to_bits().to_be_bytes()));
                }
            }
        }
    }

    /// The sum of all records.
    pub fn whole(&self) -> Sum {
        self.after(0)
    }

    /// The sum of the records that have not expired by `moment`.
    pub fn after(&self, moment: Millis) -> Sum {
        let mut sum = self.lasting;
        for (_, part) in self.ending.range(moment.div_ceil(SPAN)..) {
            sum.join(part);
        }
        sum
    }
}

/// The hash state shared by all records of a part.
struct Record(Sha256);

impl Record {
    fn of(part: &Part) -> Self {
        let mut hash = Sha256::new();
        hash.update(match part.content {
            Content::Text(_) => b"t",
            Content::Hash(_) => b"h",
            Content::Set(_) => b"s",
            Content::Sorted(_) => b"z",
        });
        hash.update(part.end.unwrap_or(0).to_be_bytes());
        hash.update((part.key.len() as u64).to_be_bytes());
        hash.update(part.key.as_bytes());
        Self(hash)
    }

    fn with(&self, name: &str, value: &[u8]) -> [u8; 32] {
        let mut hash = self.0.clone();
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update(value);
        hash.finalize().into()
    }
}

impl Sum {
    fn add(&mut self, hash: [u8; 32]) {
        let mut of = [0; 4];
        for (number, bytes) in of.iter_mut().zip(hash.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        self.join(&Self { records: 1, of });
    }

    fn join(&mut self, other: &Self) {
        self.records += other.records;
        let mut carry = false;
        for (to, from) in self.of.iter_mut().zip(other.of) {
            let (sum, first) = to.overflowing_add(from);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *to = sum;
            carry = first || second;
        }
    }
}

/// Hex, 64 digits.
impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.of
            .iter()
            .rev()
            .try_for_each(|number| write!(f, "{number:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(key: &str, end: Option<Millis>, content: Content) -> Part {
        Part {
            key: key.to_owned(),
            end,
            begins: true,
            content,
        }
    }

    fn sum(parts: &[Part]) -> Sum {
        let mut digest = Digest::default();
        for part in parts {
            digest.add(part);
        }
        digest.whole()
    }

    #[test]
    fn neither_order_nor_parts_matter_and_everything_else_does() {
        let entries = [("a".to_owned(), "1".into()), ("b".to_owned(), "2".into())];
        let whole = part("k", None, Content::Hash(entries.to_vec()));
        let [first, second] = entries.map(|entry| part("k", None, Content::Hash(vec![entry])));
        assert_eq!(
            sum(&[second.clone(), first.clone()]),
            sum(std::slice::from_ref(&whole))
        );
        let others = [
            part("l", None, whole.content.clone()),
            part("k", Some(1), whole.content.clone()),
            part(
                "k",
                None,
                Content::Hash(vec![("a".into(), "2".into()), ("b".into(), "1".into())]),
            ),
            part("k", None, Content::Set(vec!["a".into(), "b".into()])),
            first,
        ];
        for other in others {
            assert_ne!(
                sum(std::slice::from_ref(&other)),
                sum(std::slice::from_ref(&whole)),
                "{other:?}"
            );
        }
        // Names and values do not run into each other.
        let hash = |name: &str, value: &'static str| {
            part("k", None, Content::Hash(vec![(name.into(), value.into())]))
        };
        assert_ne!(sum(&[hash("ab", "c")]), sum(&[hash("a", "bc")]));
    }

    #[test]
    fn sums_carry() {
        let mut sum = Sum {
            records: 1,
            of: [u64::MAX, u64::MAX, 0, u64::MAX],
        };
        sum.join(&Sum {
            records: 1,
            of: [1, 0, 0, 1],
        });
        assert_eq!(sum.of, [0, 0, 1, 0]);
        assert_eq!(sum.to_string().len(), 64);
    }

    #[test]
    fn what_has_ended_can_be_left_out() {
        let lasting = part("a", None, Content::Text("x".into()));
        let ending = part("b", Some(SPAN * 3 + 5), Content::Text("y".into()));
        let mut digest = Digest::default();
        digest.add(&lasting);
        digest.add(&ending);
        assert_eq!(digest.after(SPAN * 3), digest.whole());
        assert_eq!(digest.after(SPAN * 3 + 1), sum(&[lasting]));
    }
}
