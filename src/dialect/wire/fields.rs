//! The treatment of each top-level field of a request that is converted.
//!
//! A field that no table names is refused: it may change the answer, or what it costs, and nobody here knows. Both
//! Anthropic's API ("Extra inputs are not permitted") and OpenAI's ("Unrecognized request argument supplied") refuse
//! unknown fields with a 400 as well, so their clients are made for it: Claude Code leaves out the fields of its
//! betas, and asks again.

use super::Refused;
use super::object::Object;

/// The treatment of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is sent with its value, perhaps by another name.
    Carried,
    /// Something is made of it, or it is refused for its value.
    Converted,
    /// It does not change what the client may expect of the answer: it accounts for the call, saves work, tunes how
    /// the provider serves it, or shifts chances.
    LeftOut,
    /// For this reason.
    Refused(&'static str),
}

/// The fields of a protocol.
#[derive(Debug)]
pub(crate) struct Fields {
    pub known: &'static [(&'static str, Fate)],
    /// Why a field that is not among them is refused.
    pub unknown: &'static str,
}

impl Fields {
    /// Refuses the first field that cannot be converted. `null` counts as absent.
    pub(crate) fn check(&self, body: &Object<'_>) -> Result<(), Refused> {
        for name in body.names() {
            let known = self.known.iter().find(|(known, _)| *known == name);
            match known.map(|(_, fate)| fate) {
                Some(Fate::Refused(why)) => return Err(Refused::at(name, why)),
                None => return Err(Refused::at(name, self.unknown)),
                Some(Fate::Carried | Fate::Converted | Fate::LeftOut) => {}
            }
        }
        Ok(())
    }
}
