//! Tools that are loaded or defined by the messages of a request.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::text::Text;

/// Tools that the messages load or define.
#[derive(Debug, Default)]
pub(in crate::convert) struct LoadedTools<'a> {
    /// Names of deferred tools that were loaded or called.
    pub loaded: HashSet<Text<'a>>,
    pub removed: HashSet<Text<'a>>,
    /// Definitions inside messages, each with its place.
    pub added: Vec<(&'a RawValue, String)>,
}

/// The longest name of a tool, bytes. Anthropic's own bound is 128.
const LONGEST_NAME: usize = 512;

/// Checks the length: a tool's name is repeated in each of its calls, in requests and answers.
pub(in crate::convert) fn fits(name: &str, path: &str) -> Result<(), FieldRefusal> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(FieldRefusal::at(
        format_args!("{path}.name"),
        format_args!("a tool's name may have at most {LONGEST_NAME} bytes"),
    ))
}
