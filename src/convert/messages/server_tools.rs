//! Blocks of Anthropic's server tools from earlier answers, as text for another model. The pages are encrypted
//! for their author, but titles and addresses are readable.

use std::fmt::Write as _;

use super::blocks::Block;
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// The replacement for a server tool's block.
pub(in crate::convert) enum BlockReplacement<'a> {
    /// The block is dropped: the model already has its content.
    Nothing,
    Text(String),
    /// The block loaded these tools.
    Loaded(Vec<Text<'a>>),
}

/// Converts a `server_tool_use` block. `knows`: whether the model itself made the search with this id; `account`:
/// see [`Block::unknown`].
pub(in crate::convert) fn server_tool_use<'a>(
    block: &Block<'a>,
    knows: fn(&str) -> bool,
    account: &str,
) -> Result<BlockReplacement<'a>, FieldRefusal> {
    let id = block.text("id")?;
    let name = block.text("name")?;
    if knows(&id) || name.starts_with("tool_search_tool_") {
        return Ok(BlockReplacement::Nothing);
    }
    if &*name != "web_search" {
        return Err(block.unknown(account));
    }
    let input: Option<Object<'a>> = block.want("input")?;
    let query: Option<Text<'a>> = input.and_then(|input| input.get("query"));
    let query = query.unwrap_or_default();
    Ok(BlockReplacement::Text(format!(
        "I searched the web for “{}”.",
        &*query
    )))
}

/// Converts a `web_search_tool_result` block.
pub(in crate::convert) fn web_search_result<'a>(
    block: &Block<'a>,
    knows: fn(&str) -> bool,
    budget: &Budget,
) -> Result<BlockReplacement<'a>, FieldRefusal> {
    let id = block.text("tool_use_id")?;
    if knows(&id) {
        return Ok(BlockReplacement::Nothing);
    }
    let Some(content) = block.raw("content") else {
        return Ok(BlockReplacement::Nothing);
    };
    let path = format!("{}.content", block.path);
    if content.get().starts_with('{') {
        let error = Object::read(content.get(), &path)?;
        let code: Text<'a> = error.must("error_code", &path)?;
        return Ok(BlockReplacement::Text(format!("The search failed: {}.", &*code)));
    }
    let results: List<'a> = block.must("content")?;
    let mut said = String::from("It found:");
    for (index, result) in results.into_iter().enumerate() {
        let result = Object::read(result.get(), &format!("{path}.{index}"))?;
        let text = |key| result.get::<Text<'a>>(key).unwrap_or_default();
        // Writing to a string does not fail.
        let before = said.len();
        let _ = write!(said, "\n- {}: {}", &*text("title"), &*text("url"));
        budget.value(said.len() - before)?;
    }
    Ok(BlockReplacement::Text(said))
}

/// Converts a `tool_search_tool_result` block.
pub(in crate::convert) fn tool_search_result<'a>(
    block: &Block<'a>,
    budget: &Budget,
) -> Result<BlockReplacement<'a>, FieldRefusal> {
    let content: Object<'a> = block.must("content")?;
    let references: List<'a> = content.get("tool_references").unwrap_or_default();
    let mut loaded = Vec::new();
    for reference in references {
        budget.value(0)?;
        let reference = Object::of(reference.get());
        loaded.extend(reference.and_then(|reference| reference.get::<Text<'a>>("tool_name")));
    }
    Ok(BlockReplacement::Loaded(loaded))
}
