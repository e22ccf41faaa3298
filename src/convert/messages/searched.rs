//! What a provider's servers looked up for the assistant in an earlier answer, as text for another model: pages are
//! sealed for who made them, but their titles and addresses are not.

use std::fmt::Write as _;

use super::blocks::Block;
use crate::dialect::wire::Refused;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// What the model is told in place of a block.
pub(in crate::convert) enum Told<'a> {
    /// Nothing: it knows.
    Nothing,
    Text(String),
    /// These tools can be used now.
    Loaded(Vec<Text<'a>>),
}

/// A `server_tool_use` block. `knows`: whether the model itself made the search of this id; `account`: see
/// [`Block::unknown`].
pub(in crate::convert) fn asked<'a>(
    block: &Block<'a>,
    knows: fn(&str) -> bool,
    account: &str,
) -> Result<Told<'a>, Refused> {
    let id = block.text("id")?;
    let name = block.text("name")?;
    if knows(&id) || name.starts_with("tool_search_tool_") {
        return Ok(Told::Nothing);
    }
    if &*name != "web_search" {
        return Err(block.unknown(account));
    }
    let input: Option<Object<'a>> = block.want("input")?;
    let query: Option<Text<'a>> = input.and_then(|input| input.get("query"));
    let query = query.unwrap_or_default();
    Ok(Told::Text(format!("I searched the web for “{}”.", &*query)))
}

/// A `web_search_tool_result` block.
pub(in crate::convert) fn found<'a>(
    block: &Block<'a>,
    knows: fn(&str) -> bool,
    budget: &Budget,
) -> Result<Told<'a>, Refused> {
    let id = block.text("tool_use_id")?;
    if knows(&id) {
        return Ok(Told::Nothing);
    }
    let Some(content) = block.raw("content") else {
        return Ok(Told::Nothing);
    };
    let path = format!("{}.content", block.path);
    if content.get().starts_with('{') {
        let error = Object::read(content.get(), &path)?;
        let code: Text<'a> = error.must("error_code", &path)?;
        return Ok(Told::Text(format!("The search failed: {}.", &*code)));
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
    Ok(Told::Text(said))
}

/// A `tool_search_tool_result` block.
pub(in crate::convert) fn tools<'a>(block: &Block<'a>, budget: &Budget) -> Result<Told<'a>, Refused> {
    let content: Object<'a> = block.must("content")?;
    let references: List<'a> = content.get("tool_references").unwrap_or_default();
    let mut loaded = Vec::new();
    for reference in references {
        budget.value(0)?;
        let reference = Object::of(reference.get());
        loaded.extend(reference.and_then(|reference| reference.get::<Text<'a>>("tool_name")));
    }
    Ok(Told::Loaded(loaded))
}
