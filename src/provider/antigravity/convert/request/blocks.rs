//! Content blocks of the Messages API: reading them, and those that hold content of their own.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::gemini::{Part, Said};
use super::source;

use crate::provider::antigravity::convert::error::{self, Refused};
use crate::provider::antigravity::convert::text::Text;

/// Any block: the members of all types that are converted.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    #[serde(default, borrow)]
    pub text: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub thinking: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub signature: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub data: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub id: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub name: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub tool_use_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub content: Option<&'a RawValue>,
    #[serde(default)]
    pub is_error: Option<bool>,
    #[serde(default, borrow)]
    pub source: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub title: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub context: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub tool_name: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub tool: Option<ToolChange<'a>>,
}

/// The tool of a `tool_addition` or `tool_removal`.
#[derive(Deserialize)]
pub(super) struct ToolChange<'a> {
    #[serde(default, borrow)]
    pub name: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub definition: Option<&'a RawValue>,
}

/// The `content` of a message or block.
pub(super) enum Blocks<'a> {
    One(Text<'a>),
    Many(Vec<&'a RawValue>),
}

impl<'a> Blocks<'a> {
    pub(super) fn read(content: &'a RawValue, path: &dyn std::fmt::Display) -> Result<Self, Refused> {
        let raw = content.get();
        let read = if raw.starts_with('"') {
            serde_json::from_str(raw).map(Self::One)
        } else {
            serde_json::from_str(raw).map(Self::Many)
        };
        read.map_err(|error| {
            Refused::at(
                path,
                format_args!("a text or a list of blocks is wanted: {error}"),
            )
        })
    }
}

impl<'a> Block<'a> {
    pub(super) fn read(raw: &'a RawValue, path: &dyn std::fmt::Display) -> Result<Self, Refused> {
        error::object(raw.get(), path)
    }
}

/// A member that must be there.
pub(super) fn must<T>(member: Option<T>, name: &str, path: &dyn std::fmt::Display) -> Result<T, Refused> {
    member.ok_or_else(|| Refused::at(format_args!("{path}.{name}"), "Field required"))
}

pub(super) fn unknown(kind: &str, path: &dyn std::fmt::Display) -> Refused {
    Refused::at(
        path,
        format_args!("the block type `{kind}` cannot be sent to a Gemini account"),
    )
}

/// Blocks that mean the same in a message, in a tool result and in a document; `false` for others.
pub(super) fn plain<'a>(
    block: &Block<'a>,
    out: &mut Vec<Part<'a>>,
    path: &dyn std::fmt::Display,
) -> Result<bool, Refused> {
    match &*block.kind {
        "text" => {
            let text = must(block.text.clone(), "text", path)?;
            // Gemini refuses a part without content.
            if !text.is_empty() {
                out.push(Part::text(text.0));
            }
        }
        "image" => out.push(source::image(must(block.source, "source", path)?, path)?),
        "document" => source::document(block, out, path)?,
        "search_result" => search_result(block, out, path)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// What a search by the client's own tools found, as the text it is.
fn search_result<'a>(
    block: &Block<'a>,
    out: &mut Vec<Part<'a>>,
    path: &dyn std::fmt::Display,
) -> Result<(), Refused> {
    let from = must(block.source, "source", path)?;
    let from: Text<'_> = serde_json::from_str(from.get())
        .map_err(|error| Refused::at(format_args!("{path}.source"), error))?;
    let title = block.title.as_deref().unwrap_or_default();
    out.push(Part::text(format!("{title}\n{}", &*from)));
    nested(block.content, out, path)
}

/// The text and media inside a document or a search result.
pub(super) fn nested<'a>(
    content: Option<&'a RawValue>,
    out: &mut Vec<Part<'a>>,
    path: &dyn std::fmt::Display,
) -> Result<(), Refused> {
    let path = format!("{path}.content");
    match Blocks::read(must(content, "content", &path)?, &path)? {
        Blocks::One(text) => {
            if !text.is_empty() {
                out.push(Part::text(text.0));
            }
        }
        Blocks::Many(list) => {
            for (index, raw) in list.into_iter().enumerate() {
                let path = format!("{path}.{index}");
                let block = Block::read(raw, &path)?;
                match &*block.kind {
                    "text" | "image" => plain(&block, out, &path)?,
                    other => return Err(unknown(other, &path)),
                };
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

pub(super) fn tool_result<'a>(
    block: &Block<'a>,
    path: &dyn std::fmt::Display,
) -> Result<Returned<'a>, Refused> {
    let mut parts = Vec::new();
    let mut loaded = Vec::new();
    if let Some(content) = block.content {
        let path = format!("{path}.content");
        match Blocks::read(content, &path)? {
            Blocks::One(text) => parts.push(Part::text(text.0)),
            Blocks::Many(list) => {
                for (index, raw) in list.into_iter().enumerate() {
                    let path = format!("{path}.{index}");
                    let inner = Block::read(raw, &path)?;
                    if &*inner.kind == "tool_reference" {
                        let name = must(inner.tool_name, "tool_name", &path)?;
                        parts.push(Part::text(format!("The tool {} is available now.", &*name)));
                        loaded.push(name);
                    } else if !plain(&inner, &mut parts, &path)? {
                        return Err(unknown(&inner.kind, &path));
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
    Ok(Returned {
        said: if block.is_error.unwrap_or_default() {
            Said::Error(said)
        } else {
            Said::Output(said)
        },
        media,
        loaded,
    })
}
