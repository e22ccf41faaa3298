//! What Anthropic's servers, or Gemini's in an earlier answer, looked up for the assistant.
//!
//! A search by Gemini is not given back to it: its own protocol has only the text of such an answer in the history.
//! One by Anthropic, of a conversation begun there, becomes text: its pages are sealed, but their titles and
//! addresses are not.

use std::fmt::Write as _;

use super::blocks::Block;

use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::carry;
use crate::convert::messages_to_gemini::error::Refused;
use crate::convert::messages_to_gemini::object::{List, Object};
use crate::convert::messages_to_gemini::text::Text;

/// What the model is told in place of a block.
pub(super) enum Told<'a> {
    /// Nothing: it knows.
    Nothing,
    Text(String),
    /// These tools can be used now.
    Loaded(Vec<Text<'a>>),
}

/// A `server_tool_use` block.
pub(super) fn asked<'a>(block: &Block<'a>) -> Result<Told<'a>, Refused> {
    let id = block.text("id")?;
    let name = block.text("name")?;
    if carry::is_search_id(&id) || name.starts_with("tool_search_tool_") {
        return Ok(Told::Nothing);
    }
    if &*name != "web_search" {
        return Err(block.unknown());
    }
    let input: Option<Object<'a>> = block.want("input")?;
    let query: Option<Text<'a>> = input.and_then(|input| input.get("query"));
    let query = query.unwrap_or_default();
    Ok(Told::Text(format!("I searched the web for “{}”.", &*query)))
}

/// A `web_search_tool_result` block.
pub(super) fn found<'a>(block: &Block<'a>, budget: &Budget) -> Result<Told<'a>, Refused> {
    let id = block.text("tool_use_id")?;
    if carry::is_search_id(&id) {
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
pub(super) fn tools<'a>(block: &Block<'a>, budget: &Budget) -> Result<Told<'a>, Refused> {
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
