//! What the converters of protocols read and write with: objects whose members are found but not yet read,
//! JSON that keeps its order, the data of event streams, and refusals that name a place.

pub(in crate::provider) mod events;
pub(in crate::provider) mod json;
pub(in crate::provider) mod messages;
pub(in crate::provider) mod object;
pub(in crate::provider) mod text;

/// Why a request cannot be converted: the message of a 400. It begins with the place:
/// `messages.3.content.1: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
}

impl Refused {
    pub(in crate::provider) fn at(path: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self {
            message: format!("{path}: {why}"),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}
