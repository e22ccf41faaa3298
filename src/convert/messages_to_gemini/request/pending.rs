//! Calls of tools that wait for their results.

use std::borrow::Cow;

use super::blocks::Returned;

use crate::convert::messages_to_gemini::error::Refused;
use crate::convert::messages_to_gemini::text::Text;

/// A call that waits for its result.
pub(super) struct Pending<'a> {
    /// As the client knows it.
    pub id: Text<'a>,
    /// As Gemini does.
    pub gemini_id: Option<Cow<'a, str>>,
    pub name: Cow<'a, str>,
    pub path: String,
    pub result: Option<Returned<'a>>,
}

impl Pending<'_> {
    pub(super) fn twice(&self) -> Refused {
        Refused::at(
            &self.path,
            format_args!("`tool_use` ids must be unique: {}", &*self.id),
        )
    }
}
