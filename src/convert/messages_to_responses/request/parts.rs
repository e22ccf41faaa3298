//! Text, images and documents, as the parts of a message or of a tool's output.

use serde_json::value::RawValue;

use super::ACCOUNT;

use crate::convert::messages::blocks::{Block, Blocks};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// The name of a file without one; OpenAI derives the type from the extension.
const PDF: &str = "document.pdf";

/// A part; texts are kept as such.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Text(Text<'a>),
    Media(Json<'a>),
}

impl<'a> Part<'a> {
    /// The part for a user's message.
    pub(super) fn input(self) -> Json<'a> {
        match self {
            Self::Text(text) => input_text(text),
            Self::Media(media) => media,
        }
    }
}

pub(super) fn input_text(text: Text<'_>) -> Json<'_> {
    Json::map([("type", Json::text("input_text")), ("text", text.into())])
}

pub(super) fn output_text(text: Text<'_>) -> Json<'_> {
    Json::map([("type", Json::text("output_text")), ("text", text.into())])
}

/// Converts a block that means the same in a message, a tool result and a document; `false` for other blocks.
pub(super) fn plain<'a>(
    block: &Block<'a>,
    out: &mut Vec<Part<'a>>,
    budget: &Budget,
) -> Result<bool, FieldRefusal> {
    match &*block.kind {
        "text" => push(block.text("text")?, out),
        "image" => out.push(Part::Media(image(block, budget)?)),
        "document" => document(block, out, budget)?,
        // A result of the client's own search tool is plain text.
        "search_result" => {
            let title: Option<Text<'a>> = block.want("title")?;
            let title = title.unwrap_or_default();
            let from = block.text("source")?;
            let about = format!("{}\n{}", &*title, &*from);
            budget.value(about.len())?;
            out.push(Part::Text(about.into()));
            let path = format!("{}.content", block.path);
            nested(block.must("content")?, out, &path, budget)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Adds the text unless it is empty.
pub(super) fn push<'a>(text: Text<'a>, out: &mut Vec<Part<'a>>) {
    if !text.is_empty() {
        out.push(Part::Text(text));
    }
}

/// The text and images inside a document or a search result.
fn nested<'a>(
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
            format_args!("the source type `{kind}` cannot be sent to {ACCOUNT}"),
        )
    }

    /// The source as a data URL.
    fn inline(&self, budget: &Budget) -> Result<Json<'a>, FieldRefusal> {
        let (kind, data) = (self.text("media_type")?, self.text("data")?);
        budget.value(kind.len() + data.len() + 16)?;
        Ok(Json::Text(format!("data:{};base64,{}", &*kind, &*data).into()))
    }
}

fn image<'a>(block: &Block<'a>, budget: &Budget) -> Result<Json<'a>, FieldRefusal> {
    let source = Source::of(block)?;
    let url = match &*source.kind {
        "base64" => source.inline(budget)?,
        "url" => source.text("url")?.into(),
        _ => return Err(source.unknown()),
    };
    Ok(Json::map([
        ("type", Json::text("input_image")),
        ("detail", Json::text("auto")),
        ("image_url", url),
    ]))
}

fn document<'a>(block: &Block<'a>, out: &mut Vec<Part<'a>>, budget: &Budget) -> Result<(), FieldRefusal> {
    let citations: Option<Object<'a>> = block.want("citations")?;
    if citations.is_some_and(|citations| citations.get("enabled").unwrap_or_default()) {
        return Err(FieldRefusal::at(
            format_args!("{}.citations", block.path),
            format_args!("{ACCOUNT} does not support citations of documents"),
        ));
    }
    for about in ["title", "context"] {
        let about: Option<Text<'a>> = block.want(about)?;
        push(about.unwrap_or_default(), out);
    }
    let source = Source::of(block)?;
    match &*source.kind {
        "base64" => out.push(Part::Media(Json::map([
            ("type", Json::text("input_file")),
            ("filename", Json::text(PDF)),
            ("file_data", source.inline(budget)?),
        ]))),
        "url" => out.push(Part::Media(Json::map([
            ("type", Json::text("input_file")),
            ("file_url", source.text("url")?.into()),
        ]))),
        "text" => push(source.text("data")?, out),
        "content" => {
            let content = source.object.must("content", &source.path)?;
            nested(content, out, &format!("{}.content", source.path), budget)?;
        }
        _ => return Err(source.unknown()),
    }
    Ok(())
}

/// Converts the result of a tool, and returns the tools that it loaded.
pub(super) fn tool_result<'a>(
    block: &Block<'a>,
    budget: &Budget,
) -> Result<(Json<'a>, Vec<Text<'a>>), FieldRefusal> {
    let mut parts = Vec::new();
    let mut loaded = Vec::new();
    if let Some(content) = block.raw("content") {
        match Blocks::read(content, &format!("{}.content", block.path), budget)? {
            Blocks::One(text) => push(text, &mut parts),
            Blocks::Many(blocks) => {
                for inner in blocks {
                    if &*inner.kind == "tool_reference" {
                        let name = inner.text("tool_name")?;
                        let notice = format!("The tool {} is available now.", &*name);
                        parts.push(Part::Text(notice.into()));
                        loaded.push(name);
                    } else if !plain(&inner, &mut parts, budget)? {
                        return Err(inner.unknown(ACCOUNT));
                    }
                }
            }
        }
    }
    let failed: Option<bool> = block.want("is_error")?;
    if failed.unwrap_or_default() {
        match parts.first_mut() {
            Some(Part::Text(text)) => {
                let failed = format!("Error: {}", &**text);
                budget.value(failed.len())?;
                *text = failed.into();
            }
            _ => parts.insert(0, Part::Text("Error".into())),
        }
    }
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        return Ok((joined(parts), loaded));
    }
    let parts = parts.into_iter().map(Part::input);
    Ok((Json::List(parts.collect()), loaded))
}

fn joined(parts: Vec<Part<'_>>) -> Json<'_> {
    let mut texts = parts.into_iter().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Media(_) => None,
    });
    let mut said = texts.next().unwrap_or_default();
    for more in texts {
        let said = said.0.to_mut();
        said.push('\n');
        said.push_str(&more);
    }
    said.into()
}
