//! The content of messages: text, images, files.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::convert::claude::turns::{is_blank, text};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// The `content` of a message.
pub(super) enum Content<'a> {
    None,
    One(Text<'a>),
    Many(Vec<Part<'a>>),
}

pub(super) struct Part<'a> {
    pub kind: Text<'a>,
    object: Object<'a>,
    pub path: String,
}

impl<'a> Content<'a> {
    /// Of the message at this place.
    pub(super) fn of(message: &Object<'a>, path: &str, budget: &Budget) -> Result<Self, FieldRefusal> {
        let Some(raw) = message.raw("content") else {
            return Ok(Self::None);
        };
        let path = format!("{path}.content");
        let wrong =
            |error| FieldRefusal::at(&path, format_args!("must be a text or a list of parts: {error}"));
        let json = raw.get().as_bytes();
        if json.starts_with(b"\"") {
            return serde_json::from_slice(json).map(Self::One).map_err(wrong);
        }
        let list: List<'a> = serde_json::from_slice(json).map_err(wrong)?;
        Part::list(list, &path, budget).map(Self::Many)
    }
}

impl<'a> Part<'a> {
    /// The parts in a list at this place.
    pub(super) fn list(list: List<'a>, path: &str, budget: &Budget) -> Result<Vec<Self>, FieldRefusal> {
        let parts = list.into_iter().enumerate();
        let parts = parts.map(|(index, raw)| {
            budget.value(0)?;
            Self::read(raw, format!("{path}.{index}"))
        });
        parts.collect()
    }

    fn read(raw: &'a RawValue, path: String) -> Result<Self, FieldRefusal> {
        let object = Object::read(raw.get(), &path)?;
        let kind = object.must("type", &path)?;
        Ok(Self { kind, object, path })
    }

    pub(super) fn text(&self, key: &str) -> Result<Text<'a>, FieldRefusal> {
        self.object.must(key, &self.path)
    }

    /// The cache mark, which some clients send.
    pub(super) fn mark(&self) -> Option<Json<'a>> {
        let raw = self.object.raw("cache_control")?;
        raw.get().starts_with('{').then(|| Json::raw(raw))
    }

    pub(super) fn unknown(&self) -> FieldRefusal {
        let kind = &*self.kind;
        FieldRefusal::at(
            &self.path,
            format_args!("the content type `{kind}` cannot be sent to this model"),
        )
    }

    /// The block, the same in a user's turn and in a tool result; `None` if it is empty.
    pub(super) fn block(&self) -> Result<Option<Json<'a>>, FieldRefusal> {
        Ok(match &*self.kind {
            "text" => {
                let said = self.text("text")?;
                (!is_blank(&said)).then(|| text(said))
            }
            "image_url" => Some(self.image()?),
            "file" => Some(self.file()?),
            _ => return Err(self.unknown()),
        })
    }

    fn image(&self) -> Result<Json<'a>, FieldRefusal> {
        let path = format!("{}.image_url", self.path);
        let raw: &RawValue = self.object.must("image_url", &self.path)?;
        // Some clients send the URL itself instead of the object.
        let url: Text<'a> = if raw.get().starts_with('"') {
            self.text("image_url")?
        } else {
            Object::read(raw.get(), &path)?.must("url", &path)?
        };
        if let Some(data) = Data::of(&url) {
            let data = data.ok_or_else(|| FieldRefusal::at(&path, "the data URL has no base64"))?;
            return match &*data.kind {
                "application/pdf" => Ok(block("document", data.source())),
                kind if kind.starts_with("image/") => Ok(block("image", data.source())),
                kind => Err(FieldRefusal::at(&path, format_args!("`{kind}` is not an image"))),
            };
        }
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(FieldRefusal::at(
                &path,
                "must be a data URL or the address of an image",
            ));
        }
        let source = Json::map([("type", Json::text("url")), ("url", url.into())]);
        Ok(block("image", source))
    }

    fn file(&self) -> Result<Json<'a>, FieldRefusal> {
        let path = format!("{}.file", self.path);
        let file: Object<'a> = self.object.must("file", &self.path)?;
        if file.raw("file_id").is_some() {
            return Err(FieldRefusal::at(
                format_args!("{path}.file_id"),
                "files kept at OpenAI cannot be read here: send `file_data`",
            ));
        }
        let name: Option<Text<'a>> = file.want("filename", &path)?;
        let given: Text<'a> = file.must("file_data", &path)?;
        let data = match Data::of(&given) {
            Some(Some(data)) => data,
            Some(None) => return Err(FieldRefusal::at(&path, "the data URL has no base64")),
            // Bare base64; the file name gives the type.
            None => Data {
                kind: match name.as_ref().and_then(|name| name.rsplit_once('.')) {
                    Some((_, "pdf")) | None => Cow::Borrowed("application/pdf"),
                    Some(_) => Cow::Borrowed("text/plain"),
                },
                data: given,
            },
        };
        let mut document = match &*data.kind {
            "application/pdf" => block("document", data.source()),
            kind if kind.starts_with("image/") => return Ok(block("image", data.source())),
            kind if kind.starts_with("text/") || kind == "application/json" => {
                let text = STANDARD.decode(data.data.as_bytes()).ok();
                let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
                let text = text.ok_or_else(|| FieldRefusal::at(&path, "the file is not text"))?;
                let source = Json::map([
                    ("type", Json::text("text")),
                    ("media_type", Json::text("text/plain")),
                    ("data", Text::from(text).into()),
                ]);
                block("document", source)
            }
            kind => {
                return Err(FieldRefusal::at(
                    &path,
                    format_args!("files of the type `{kind}` cannot be sent to this model"),
                ));
            }
        };
        if let Some(name) = name.filter(|name| !is_blank(name)) {
            document.put("title", name.into());
        }
        Ok(document)
    }
}

/// The content of a data URL.
struct Data<'a> {
    kind: Cow<'a, str>,
    data: Text<'a>,
}

impl<'a> Data<'a> {
    /// Outer `None`: not a data URL; inner `None`: a data URL without base64.
    #[expect(clippy::option_option, reason = "two answers to two questions")]
    fn of(url: &Text<'a>) -> Option<Option<Self>> {
        let scheme = url.get(..5)?;
        if !scheme.eq_ignore_ascii_case("data:") {
            return None;
        }
        let Some(comma) = url.find(',') else {
            return Some(None);
        };
        let head = url.get(5..comma).unwrap_or_default();
        let Some((kind, _)) = head.split_once(';').filter(|_| head.ends_with(";base64")) else {
            return Some(None);
        };
        let kind = match kind.to_ascii_lowercase() {
            // Not a registered type, but often sent.
            kind if kind == "image/jpg" => Cow::Borrowed("image/jpeg"),
            kind => Cow::Owned(kind),
        };
        let data = match &url.0 {
            Cow::Borrowed(url) => Text::from(url.get(comma + 1..).unwrap_or_default()),
            Cow::Owned(url) => Text::from(url.get(comma + 1..).unwrap_or_default().to_owned()),
        };
        Some(Some(Self { kind, data }))
    }

    fn source(self) -> Json<'a> {
        Json::map([
            ("type", Json::text("base64")),
            ("media_type", Text(self.kind).into()),
            ("data", self.data.into()),
        ])
    }
}

fn block<'a>(kind: &'a str, source: Json<'a>) -> Json<'a> {
    Json::map([("type", Json::text(kind)), ("source", source)])
}
