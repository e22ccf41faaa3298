//! Images and documents.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::blocks::{Block, must, nested};
use super::gemini::{Blob, File, Part};

use crate::provider::antigravity::convert::error::{self, Refused};
use crate::provider::antigravity::convert::text::Text;

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    media_type: Option<Text<'a>>,
    #[serde(default, borrow)]
    data: Option<Text<'a>>,
    #[serde(default, borrow)]
    url: Option<Text<'a>>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
}

impl<'a> Source<'a> {
    fn read(raw: &'a RawValue, path: &str) -> Result<Self, Refused> {
        error::object(raw.get(), path)
    }

    fn unknown(&self, path: &str) -> Refused {
        let kind = &*self.kind;
        Refused::at(
            path,
            format_args!("the source type `{kind}` cannot be sent to a Gemini account"),
        )
    }

    fn inline(self, path: &str) -> Result<Part<'a>, Refused> {
        Ok(Part {
            inline_data: Some(Blob {
                mime_type: must(self.media_type, "media_type", &path)?.0,
                data: must(self.data, "data", &path)?.0,
            }),
            ..Part::default()
        })
    }

    /// Gemini fetches addresses itself, and says so if it cannot.
    fn link(self, kind: Option<&'static str>, path: &str) -> Result<Part<'a>, Refused> {
        let url = must(self.url, "url", &path)?;
        Ok(Part {
            file_data: Some(File {
                mime_type: kind.or_else(|| guess(&url)),
                file_uri: url.0,
            }),
            ..Part::default()
        })
    }
}

pub(super) fn image<'a>(source: &'a RawValue, path: &dyn std::fmt::Display) -> Result<Part<'a>, Refused> {
    let path = format!("{path}.source");
    let source = Source::read(source, &path)?;
    match &*source.kind {
        "base64" => source.inline(&path),
        "url" => source.link(None, &path),
        _ => Err(source.unknown(&path)),
    }
}

pub(super) fn document<'a>(
    block: &Block<'a>,
    out: &mut Vec<Part<'a>>,
    path: &dyn std::fmt::Display,
) -> Result<(), Refused> {
    for about in [&block.title, &block.context].into_iter().flatten() {
        if !about.is_empty() {
            out.push(Part::text(about.0.clone()));
        }
    }
    let raw = must(block.source, "source", path)?;
    let path = format!("{path}.source");
    let source = Source::read(raw, &path)?;
    match &*source.kind {
        "base64" => out.push(source.inline(&path)?),
        "url" => out.push(source.link(Some("application/pdf"), &path)?),
        "text" => {
            let text = must(source.data, "data", &path)?;
            if !text.is_empty() {
                out.push(Part::text(text.0));
            }
        }
        "content" => nested(source.content, out, &path)?,
        _ => return Err(source.unknown(&path)),
    }
    Ok(())
}

/// The type of an image by the end of its address.
fn guess(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        _ => return None,
    })
}
