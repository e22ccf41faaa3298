//! Tools of the converters: objects whose members are found but not yet read,
//! JSON that keeps its order, the lines and the data of event streams, and refusals that name a place.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`object`], [`json`], [`text`] | JSON: members found but not read; order kept; strings |
//! | [`fields`] | the treatment of each top-level field |
//! | [`lines`], [`events`] | the lines and the data of event streams |
//! | [`budget`] | the bounds of one conversion |
//! | [`marks`] | marks that a conversion leaves in a conversation |
//! | [`words`] | messages of errors that follow no protocol |

pub(crate) mod budget;
pub(crate) mod events;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod marks;
pub(crate) mod object;
pub(crate) mod text;
pub(crate) mod words;

pub use self::budget::{Spent, allowance};

/// A member that a conversion from another protocol adds to a Messages request: what its client takes in an answer,
/// a list of `text` and `image`; empty: images are taken if the model makes some. The Messages API has no images in
/// answers, so without it none are asked for.
pub(crate) const MODALITIES: &str = "relay_output_modalities";

/// The longest message of a refusal, bytes: it may quote what the client sent.
const LONGEST: usize = 2_000;

/// Why a request cannot be converted: the message of a 400. It begins with the place:
/// `messages.3.content.1: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
}

impl Refused {
    pub(crate) fn at(path: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        let mut message = format!("{path}: {why}");
        message.truncate(message.floor_char_boundary(LONGEST));
        Self { message }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}
