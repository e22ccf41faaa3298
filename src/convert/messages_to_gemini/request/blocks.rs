//! Content blocks that hold content of their own, as parts of Gemini's.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::gemini::{Part, Said};
use super::source;

use crate::convert::messages::blocks::{Block, Blocks};
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::error::Refused;
use crate::convert::messages_to_gemini::text::Text;

/// Whom a block cannot be sent to.
pub(super) const ACCOUNT: &str = "a Gemini account";

/// Blocks that mean the same in a message, in a tool result and in a document; `false` for others.
pub(super) fn plain<'a>(
    block: &Block<'a>,
    out: &mut Vec<Part<'a>>,
    budget: &Budget,
) -> Result<bool, Refused> {
    match &*block.kind {
        "text" => push(block.text("text")?, out),
        "image" => out.push(source::image(block)?),
        "document" => source::document(block, out, budget)?,
        // What a search by the client's own tools found, as the text it is.
        "search_result" => {
            let title: Option<Text<'a>> = block.want("title")?;
            let title = title.unwrap_or_default();
            let from = block.text("source")?;
            out.push(Part::text(format!("{}\n{}", &*title, &*from)));
            nested(
                block.must("content")?,
                out,
                &format!("{}.content", block.path),
                budget,
            )?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Gemini refuses a part without content.
pub(super) fn push<'a>(text: Text<'a>, out: &mut Vec<Part<'a>>) {
    if !text.is_empty() {
        out.push(Part::text(text.0));
    }
}

/// The text and media inside a document or a search result.
pub(super) fn nested<'a>(
    content: &'a RawValue,
    out: &mut Vec<Part<'a>>,
    path: &str,
    budget: &Budget,
) -> Result<(), Refused> {
    match Blocks::read(content, path, budget)? {
        Blocks::One(text) => push(text, out),
        Blocks::Many(blocks) => {
            for block in blocks {
                // No documents, so this goes one level deep.
                if !matches!(&*block.kind, "text" | "image") || !plain(&block, out, budget)? {
                    return Err(block.unknown(ACCOUNT));
                }
            }
        }
    }
    Ok(())
}

/// What a tool returned.
pub(super) struct Returned<'a> {
    pub said: Said<'a>,
    pub media: Vec<Part<'a>>,
    /// Tools that it loaded.
    pub loaded: Vec<Text<'a>>,
}

pub(super) fn tool_result<'a>(block: &Block<'a>, budget: &Budget) -> Result<Returned<'a>, Refused> {
    let mut parts = Vec::new();
    let mut loaded = Vec::new();
    if let Some(content) = block.raw("content") {
        match Blocks::read(content, &format!("{}.content", block.path), budget)? {
            Blocks::One(text) => parts.push(Part::text(text.0)),
            Blocks::Many(blocks) => {
                for inner in blocks {
                    if &*inner.kind == "tool_reference" {
                        let name = inner.text("tool_name")?;
                        parts.push(Part::text(format!("The tool {} is available now.", &*name)));
                        loaded.push(name);
                    } else if !plain(&inner, &mut parts, budget)? {
                        return Err(inner.unknown(ACCOUNT));
                    }
                }
            }
        }
    }
    let (media, texts): (Vec<_>, Vec<_>) = parts.into_iter().partition(Part::is_media);
    let mut texts = texts.into_iter().filter_map(|part| part.text);
    let mut said = texts.next().unwrap_or(Cow::Borrowed(""));
    for more in texts {
        let said = said.to_mut();
        said.push('\n');
        said.push_str(&more);
    }
    let failed: Option<bool> = block.want("is_error")?;
    Ok(Returned {
        said: if failed.unwrap_or_default() {
            Said::Error(said)
        } else {
            Said::Output(said)
        },
        media,
        loaded,
    })
}
