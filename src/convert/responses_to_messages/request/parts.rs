//! Converts text, images and files of messages and tool outputs into blocks.

use serde_json::value::RawValue;

use super::ACCOUNT;

use crate::convert::claude::turns::{is_blank, text};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// The content of a message or of an output: a text, or a list of parts.
pub(super) fn content<'a>(
    raw: &'a RawValue,
    path: &str,
    budget: &Budget,
) -> Result<Vec<Part<'a>>, FieldRefusal> {
    let wrong = |error| FieldRefusal::at(path, format_args!("must be a text or a list of parts: {error}"));
    let json = raw.get().as_bytes();
    if json.starts_with(b"\"") {
        let text: Text<'a> = serde_json::from_slice(json).map_err(wrong)?;
        return Ok(vec![Part::Text(text)]);
    }
    let list: List<'a> = serde_json::from_slice(json).map_err(wrong)?;
    let parts = list.into_iter().enumerate();
    let parts = parts.map(|(index, raw)| {
        budget.value(raw.get().len())?;
        Part::read(raw, &format!("{path}.{index}"), budget)
    });
    parts.collect()
}

#[derive(Debug)]
pub(super) enum Part<'a> {
    Text(Text<'a>),
    /// A block and its place in the request.
    Media(Json<'a>, String),
}

impl<'a> Part<'a> {
    fn read(raw: &'a RawValue, path: &str, budget: &Budget) -> Result<Self, FieldRefusal> {
        let part = Object::read(raw.get(), path)?;
        let kind: Text<'a> = part.must("type", path)?;
        match &*kind {
            "input_text" | "output_text" | "text" | "summary_text" => {
                Ok(Self::Text(part.must("text", path)?))
            }
            "refusal" => Ok(Self::Text(part.must("refusal", path)?)),
            "input_image" => Ok(Self::Media(image(&part, path, budget)?, path.to_owned())),
            "input_file" => Ok(Self::Media(file(&part, path, budget)?, path.to_owned())),
            other => Err(FieldRefusal::at(
                path,
                format_args!("the content type `{other}` cannot be sent to {ACCOUNT}"),
            )),
        }
    }

    /// `None` if it is empty.
    pub(super) fn block(self) -> Option<Json<'a>> {
        match self {
            Self::Text(said) if is_blank(&said) => None,
            Self::Text(said) => Some(text(said)),
            Self::Media(block, _) => Some(block),
        }
    }
}

fn image<'a>(part: &Object<'a>, path: &str, budget: &Budget) -> Result<Json<'a>, FieldRefusal> {
    let Some(url) = part.want::<Text<'a>>("image_url", path)? else {
        return Err(FieldRefusal::at(
            path,
            format_args!("an image must have an `image_url` for {ACCOUNT}"),
        ));
    };
    block("image", &url, None, path, budget)
}

fn file<'a>(part: &Object<'a>, path: &str, budget: &Budget) -> Result<Json<'a>, FieldRefusal> {
    let name: Option<Text<'a>> = part.want("filename", path)?;
    let data: Option<Text<'a>> = part.want("file_data", path)?;
    let url = match data {
        Some(data) => Some(data),
        None => part.want("file_url", path)?,
    };
    let Some(url) = url else {
        return Err(FieldRefusal::at(
            path,
            format_args!("a file must have `file_data` or a `file_url` for {ACCOUNT}"),
        ));
    };
    block("document", &url, name, path, budget)
}

/// A block with this address or data URL as its source.
fn block<'a>(
    kind: &'static str,
    url: &str,
    title: Option<Text<'a>>,
    path: &str,
    budget: &Budget,
) -> Result<Json<'a>, FieldRefusal> {
    budget.value(url.len())?;
    let owned = |text: &str| Json::Text(text.to_owned().into());
    let source = match url.strip_prefix("data:") {
        Some(inline) => {
            let Some((media, data)) = inline.split_once(";base64,") else {
                return Err(FieldRefusal::at(path, "a data URL must be in base64"));
            };
            if kind == "document" && media != "application/pdf" {
                return Err(FieldRefusal::at(
                    path,
                    format_args!("a file of the type `{media}` cannot be sent to {ACCOUNT}"),
                ));
            }
            Json::map([
                ("type", Json::text("base64")),
                ("media_type", owned(media)),
                ("data", owned(data)),
            ])
        }
        None if url.starts_with("https://") || url.starts_with("http://") => {
            Json::map([("type", Json::text("url")), ("url", owned(url))])
        }
        None => return Err(FieldRefusal::at(path, "neither an address nor a data URL")),
    };
    let mut block = Json::map([("type", Json::text(kind)), ("source", source)]);
    if let Some(title) = title.filter(|title| !is_blank(title)) {
        block.put("title", title.into());
    }
    Ok(block)
}
