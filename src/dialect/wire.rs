//! Tools for converters: lazily parsed objects, ordered JSON, lines and data of event streams, and refusals that
//! name a field.
//!
//! | module | content |
//! | --- | --- |
//! | [`object`], [`json`], [`text`] | JSON: lazily parsed members; preserved order; strings |
//! | [`fields`] | the treatment of each top-level field |
//! | [`lines`], [`events`] | lines and data of event streams |
//! | [`budget`] | the limits of one conversion |
//! | [`marks`] | marks that conversions leave in a conversation |
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

pub use self::budget::{BudgetUse, allowance};

/// A member that converters add to a Messages request: the output kinds that the client accepts, a list of `text`
/// and `image`. If it is empty, images are accepted if the model makes them. The Messages API has no images in
/// answers, so without this member none are requested.
pub(crate) const MODALITIES: &str = "relay_output_modalities";

/// Maximum length of a refusal's message, bytes; it may quote the client.
const LONGEST: usize = 2_000;

/// Why a request cannot be converted: the message of a 400. It begins with the field's path:
/// `messages.3.content.1: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRefusal {
    pub message: String,
}

impl FieldRefusal {
    pub(crate) fn at(path: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        let mut message = format!("{path}: {why}");
        message.truncate(message.floor_char_boundary(LONGEST));
        Self { message }
    }
}

impl std::fmt::Display for FieldRefusal {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&self.message)
    }
}

impl std::error::Error for FieldRefusal {}
