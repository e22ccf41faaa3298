//! Calls of tools that wait for their results.

use std::borrow::Cow;

use super::content::Returned;

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
