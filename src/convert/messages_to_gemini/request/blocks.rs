//! Content blocks that hold content of their own, images and documents among them, as parts of Gemini's.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::gemini::{Blob, File, Part, Said};

use crate::convert::messages::blocks::{Block, Blocks};
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::error::Refused;
use crate::convert::messages_to_gemini::object::Object;
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
        "image" => out.push(image(block)?),
        "document" => document(block, out, budget)?,
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

struct Source<'a> {
    kind: Text<'a>,
    object: Object<'a>,
    path: String,
}

impl<'a> Source<'a> {
    fn of(block: &Block<'a>) -> Result<Self, Refused> {
        let object: Object<'a> = block.must("source")?;
        let path = format!("{}.source", block.path);
        let kind = object.must("type", &path)?;
        Ok(Self { kind, object, path })
    }

    fn text(&self, key: &str) -> Result<Text<'a>, Refused> {
        self.object.must(key, &self.path)
    }

    fn unknown(&self) -> Refused {
        let kind = &*self.kind;
        Refused::at(
            &self.path,
            format_args!("the source type `{kind}` cannot be sent to a Gemini account"),
        )
    }

    fn inline(&self) -> Result<Part<'a>, Refused> {
        Ok(Part {
            inline_data: Some(Box::new(Blob {
                mime_type: self.text("media_type")?.0,
                data: self.text("data")?.0,
            })),
            ..Part::default()
        })
    }

    /// Gemini fetches addresses itself, and says so if it cannot.
    fn link(&self, kind: Option<&'static str>) -> Result<Part<'a>, Refused> {
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

pub(super) fn image<'a>(block: &Block<'a>) -> Result<Part<'a>, Refused> {
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
) -> Result<(), Refused> {
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

/// The type of an image by the end of its address.
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
