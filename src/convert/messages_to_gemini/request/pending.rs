//! Tool calls without a result.

use std::borrow::Cow;

use super::blocks::ToolResult;

use crate::convert::messages_to_gemini::error::FieldRefusal;
use crate::convert::messages_to_gemini::text::Text;

/// A tool call that waits for its result.
pub(super) struct PendingCall<'a> {
    /// The client's id.
    pub id: Text<'a>,
    /// Gemini's id.
    pub gemini_id: Option<Cow<'a, str>>,
    pub name: Cow<'a, str>,
    pub path: String,
    pub result: Option<ToolResult<'a>>,
}

impl PendingCall<'_> {
    pub(super) fn twice(&self) -> FieldRefusal {
        FieldRefusal::at(
            &self.path,
            format_args!("`tool_use` ids must be unique: {}", &*self.id),
        )
    }
}
