//! What the messages of a request say of tools.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::dialect::wire::Refused;
use crate::dialect::wire::text::Text;

/// What the messages say of tools.
#[derive(Debug, Default)]
pub(in crate::convert) struct Loading<'a> {
    /// Deferred tools that were loaded, or called.
    pub loaded: HashSet<Text<'a>>,
    pub removed: HashSet<Text<'a>>,
    /// Tools defined on the way.
    pub added: Vec<(&'a RawValue, String)>,
}

/// The longest name of a tool, bytes. Anthropic's own bound is 128.
const LONGEST_NAME: usize = 512;

/// A name is repeated for each call of its tool, in requests and in answers.
pub(in crate::convert) fn fits(name: &str, path: &str) -> Result<(), Refused> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(Refused::at(
        format_args!("{path}.name"),
        format_args!("a tool's name may have at most {LONGEST_NAME} bytes"),
    ))
}
