//! The treatment of each top-level field in converted requests.
//!
//! Unlisted fields are refused, because they may change the answer or its cost. Anthropic's API ("Extra inputs
//! are not permitted") and OpenAI's ("Unrecognized request argument supplied") refuse unknown fields with a 400
//! as well, so their clients can handle it: Claude Code drops the fields of its betas and retries.

use super::FieldRefusal;
use super::object::Object;

/// The treatment of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Sent with its value, perhaps under another name.
    Carried,
    /// Converted, or refused because of its value.
    Converted,
    /// Dropped, because it does not change what the client may expect of the answer: metadata, optimisations,
    /// service tiers, or token probabilities.
    LeftOut,
    /// Refused for this reason.
    Refused(&'static str),
}

/// The fields of a protocol.
#[derive(Debug)]
pub(crate) struct Fields {
    pub known: &'static [(&'static str, Fate)],
    /// Why unlisted fields are refused.
    pub unknown: &'static str,
}

impl Fields {
    /// Refuses the first field that cannot be converted. `null` counts as absent.
    pub(crate) fn check(&self, body: &Object<'_>) -> Result<(), FieldRefusal> {
        for name in body.names() {
            let known = self.known.iter().find(|(known, _)| *known == name);
            match known.map(|(_, fate)| fate) {
                Some(Fate::Refused(why)) => return Err(FieldRefusal::at(name, why)),
                None => return Err(FieldRefusal::at(name, self.unknown)),
                Some(Fate::Carried | Fate::Converted | Fate::LeftOut) => {}
            }
        }
        Ok(())
    }
}
