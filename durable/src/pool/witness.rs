//! Whose calls met a trouble of an account, and its weight for other keys.
//!
//! The request alone may cause a provider's answer: a body that always makes it fail, a model that the project may
//! not use. So a guess (see `health`) remembers the keys whose calls led to it. Trouble that only one key has met
//! weighs less for the others, whatever that key sends and however often.
//!
//! | met by | for that key | for the others |
//! | --- | --- | --- |
//! | one key: 5xx, overload, no answer, 429 without a reset | `Full` | `Slight` |
//! | one key: a refusal of unknown reason | `Full` | `None` |
//! | several keys (a refusal: with different requests) | `Full` | `Full` |

use serde::{Deserialize, Serialize};

/// Number of remembered requests of one key.
const MAX_REQUESTS: usize = 8;

/// The evidence against giving an account to a call; less is better. It never excludes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    #[default]
    None,
    /// Only calls of one other key failed there. A session stays all the same.
    Slight,
    /// The key's own calls failed there, or calls of several keys.
    Full,
}

/// The keys whose calls led to a guess.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Witnesses {
    One {
        holder: String,
        /// Fingerprints of its refused requests, the oldest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        requests: Vec<u64>,
    },
    /// Several; or unknown, as for guesses that an older version wrote.
    #[default]
    Several,
}

/// The call that reports a trouble.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness<'a> {
    /// `None`: the pool no longer knows the call.
    pub(super) holder: Option<&'a str>,
    /// Fingerprint of a refused request. Another key confirms it only with a different request.
    pub(super) request: Option<u64>,
}

impl Witnesses {
    pub(super) fn of(witness: Witness<'_>) -> Self {
        Self::One {
            holder: witness.holder.unwrap_or_default().to_owned(),
            requests: witness.request.into_iter().collect(),
        }
    }

    pub(super) fn add(&mut self, witness: Witness<'_>) {
        let Some(teller) = witness.holder else { return };
        let confirmed = self.hears(witness);
        let Self::One { holder, requests } = self else {
            return;
        };
        // The first key is unknown: it may have been the same one.
        if holder.is_empty() {
            teller.clone_into(holder);
        } else if confirmed {
            *self = Self::Several;
            return;
        }
        if let Some(request) = witness.request
            && holder == teller
            && !requests.contains(&request)
        {
            requests.push(request);
            let more = requests.len().saturating_sub(MAX_REQUESTS);
            requests.drain(..more);
        }
    }

    /// Whether the call confirms the trouble: another key, with another request.
    pub(super) fn hears(&self, witness: Witness<'_>) -> bool {
        match self {
            Self::Several => true,
            Self::One { holder, requests } => {
                let other = witness.holder.is_some_and(|teller| teller != holder);
                let same = witness.request.is_some_and(|request| requests.contains(&request));
                other && !same
            }
        }
    }

    /// The key, if it is the only one.
    pub(super) fn only(&self) -> Option<&str> {
        match self {
            Self::One { holder, .. } => Some(holder),
            Self::Several => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(holder: &str, request: u64) -> Witness<'_> {
        Witness {
            holder: Some(holder),
            request: Some(request),
        }
    }

    #[test]
    fn one_key_stays_one_whatever_it_sends() {
        let mut met = Witnesses::of(witness("a", 0));
        for request in 0..1_000 {
            met.add(witness("a", request));
        }
        assert_eq!(met.only(), Some("a"));
        let text = serde_json::to_string(&met).unwrap();
        assert!(text.len() < 300, "it is bounded: {text}");
    }

    #[test]
    fn another_key_confirms_with_another_request_only() {
        let mut met = Witnesses::of(witness("a", 1));
        met.add(witness("a", 2));
        met.add(witness("b", 1));
        met.add(witness("b", 2));
        assert_eq!(met.only(), Some("a"), "the same requests, shared");
        met.add(witness("b", 3));
        assert_eq!(met, Witnesses::Several);
    }

    #[test]
    fn a_call_that_is_not_known_confirms_nothing() {
        let unknown = Witness {
            holder: None,
            request: None,
        };
        let mut met = Witnesses::of(unknown);
        met.add(Witness {
            holder: Some("a"),
            ..unknown
        });
        met.add(unknown);
        assert_eq!(met.only(), Some("a"));
        met.add(Witness {
            holder: Some("b"),
            ..unknown
        });
        assert_eq!(met.only(), None);
    }
}
