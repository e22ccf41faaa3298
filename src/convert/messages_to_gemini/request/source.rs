//! Images and documents.

use super::blocks::{nested, push};
use super::gemini::{Blob, File, Part};

use crate::convert::messages::blocks::Block;
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::error::Refused;
use crate::convert::messages_to_gemini::object::Object;
use crate::convert::messages_to_gemini::text::Text;

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
