//! Converts content blocks with content of their own, such as images and documents, into Gemini's parts.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::gemini::{Blob, File, FunctionResult, Part};

use crate::convert::messages::blocks::{Block, Blocks};
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::error::FieldRefusal;
use crate::convert::messages_to_gemini::object::Object;
use crate::convert::messages_to_gemini::text::Text;

/// The recipient named in refusals.
pub(super) const ACCOUNT: &str = "a Gemini account";

/// Converts a block that means the same in a message, a tool result and a document; `false` for other blocks.
pub(super) fn plain<'a>(
    block: &Block<'a>,
    out: &mut Vec<Part<'a>>,
    budget: &Budget,
) -> Result<bool, FieldRefusal> {
    match &*block.kind {
        "text" => push(block.text("text")?, out),
        "image" => out.push(image(block)?),
        "document" => document(block, out, budget)?,
        // A result of the client's own search tool is plain text.
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
) -> Result<(), FieldRefusal> {
    match Blocks::read(content, path, budget)? {
        Blocks::One(text) => push(text, out),
        Blocks::Many(blocks) => {
            for block in blocks {
                // Documents may not nest, so this recurses one level only.
                if !matches!(&*block.kind, "text" | "image") || !plain(&block, out, budget)? {
                    return Err(block.unknown(ACCOUNT));
                }
            }
        }
    }
    Ok(())
}

/// The result of a tool.
pub(super) struct ToolResult<'a> {
    pub said: FunctionResult<'a>,
    pub media: Vec<Part<'a>>,
    /// Tools that it loaded.
    pub loaded: Vec<Text<'a>>,
}

pub(super) fn tool_result<'a>(block: &Block<'a>, budget: &Budget) -> Result<ToolResult<'a>, FieldRefusal> {
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
    Ok(ToolResult {
        said: if failed.unwrap_or_default() {
            FunctionResult::Error(said)
        } else {
            FunctionResult::Output(said)
        },
        media,
        loaded,
    })
}

struct Source<'a> {
    kind: Text<'a>,
    object: Object<'a>,
    path: String,
}

impl<'a> Source<'a> {
    fn of(block: &Block<'a>) -> Result<Self, FieldRefusal> {
        let object: Object<'a> = block.must("source")?;
        let path = format!("{}.source", block.path);
        let kind = object.must("type", &path)?;
        Ok(Self { kind, object, path })
    }

    fn text(&self, key: &str) -> Result<Text<'a>, FieldRefusal> {
        self.object.must(key, &self.path)
    }

    fn unknown(&self) -> FieldRefusal {
        let kind = &*self.kind;
        FieldRefusal::at(
            &self.path,
            format_args!("the source type `{kind}` cannot be sent to a Gemini account"),
        )
    }

    fn inline(&self) -> Result<Part<'a>, FieldRefusal> {
        Ok(Part {
            inline_data: Some(Box::new(Blob {
                mime_type: self.text("media_type")?.0,
                data: self.text("data")?.0,
            })),
            ..Part::default()
        })
    }

    /// Gemini fetches the address itself and reports failures.
    fn link(&self, kind: Option<&'static str>) -> Result<Part<'a>, FieldRefusal> {
        let url = self.text("url")?;
        Ok(Part {
            file_data: Some(Box::new(File {
                mime_type: kind.or_else(|| guess(&url)),
                file_uri: url.0,
            })),
            ..Part::default()
        })
    }
}

pub(super) fn image<'a>(block: &Block<'a>) -> Result<Part<'a>, FieldRefusal> {
    let source = Source::of(block)?;
    match &*source.kind {
        "base64" => source.inline(),
        "url" => source.link(None),
        _ => Err(source.unknown()),
    }
}

pub(super) fn document<'a>(
    block: &Block<'a>,
    out: &mut Vec<Part<'a>>,
    budget: &Budget,
) -> Result<(), FieldRefusal> {
    for about in ["title", "context"] {
        let about: Option<Text<'a>> = block.want(about)?;
        push(about.unwrap_or_default(), out);
    }
    let source = Source::of(block)?;
    match &*source.kind {
        "base64" => out.push(source.inline()?),
        "url" => out.push(source.link(Some("application/pdf"))?),
        "text" => push(source.text("data")?, out),
        "content" => {
            let content = source.object.must("content", &source.path)?;
            nested(content, out, &format!("{}.content", source.path), budget)?;
        }
        _ => return Err(source.unknown()),
    }
    Ok(())
}

/// The type of an image by the extension in its address.
fn guess(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit_once('.')?;
    let known = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
    ];
    let mut known = known.into_iter();
    known.find_map(|(end, kind)| extension.eq_ignore_ascii_case(end).then_some(kind))
}
