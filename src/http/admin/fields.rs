//! Types for fields of requests. Values are checked while they are parsed, so a handler only sees valid ones, and
//! an error names its field.

mod hosts;
mod limits;

use std::collections::BTreeMap;

use crs_durable::gate::Service;
use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};

use crate::config;
use crate::model::account::azure;
use crate::model::name;
use crate::model::secret::Secret;
use crate::model::text::{is_hidden, is_shown};
use crate::model::time;
use crate::port::clock::Millis;

pub(super) use hosts::Host;
pub(super) use limits::{Amount, Cleared, Clients};

/// Requirement for displayed text, in words.
const VISIBLE: &str = "without control characters and without characters that hide or reorder text";

/// One line of text of `MIN` to `MAX` characters, trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<const MIN: usize, const MAX: usize>(pub(super) String);

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Line<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        let length = text.chars().count();
        if length < MIN || length > MAX {
            return Err(D::Error::custom(format!("must have {MIN} to {MAX} characters")));
        }
        if text.chars().any(is_hidden) {
            return Err(D::Error::custom(format!("must be one line, {VISIBLE}")));
        }
        if !text.is_empty() && !is_shown(text) {
            return Err(D::Error::custom("must have a character that people can see"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Text of at most `MAX` characters, line breaks allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<const MAX: usize>(pub(super) String);

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        if text.chars().count() > MAX {
            return Err(D::Error::custom(format!("must have at most {MAX} characters")));
        }
        if text
            .chars()
            .any(|c| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t'))
        {
            return Err(D::Error::custom(format!("must be {VISIBLE}")));
        }
        Ok(Self(text))
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range<const MIN: u32, const MAX: u32>;
        impl<const MIN: u32, const MAX: u32> Visitor<'_> for Range<MIN, MAX> {
            type Value = u32;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u32, E> {
                u32::try_from(number)
                    .ok()
                    .filter(|number| (MIN..=MAX).contains(number))
                    .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_u64(Range::<MIN, MAX>).map(Self)
    }
}

/// A time in ISO 8601, or in milliseconds since 1970 as in the command-line clients' credential files. `null` and
/// an empty text mean none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Option<Millis>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum MomentInput {
            Number(u64),
            Text(String),
            Other(serde::de::IgnoredAny),
        }
        let at = match Option::<MomentInput>::deserialize(deserializer)? {
            None => return Ok(Self(None)),
            Some(MomentInput::Number(at)) => Self::at(at).and_then(|moment| moment.0),
            Some(MomentInput::Text(text)) if text.is_empty() => return Ok(Self(None)),
            Some(MomentInput::Text(text)) => time::parse_iso(&text),
            Some(MomentInput::Other(_)) => None,
        };
        match at {
            Some(at) => Ok(Self(Some(at))),
            None => Err(D::Error::custom(
                "must be a moment like 2026-01-31T09:30:00Z, a date like 2026-01-31, milliseconds since 1970, or null",
            )),
        }
    }
}

impl Moment {
    /// In milliseconds since 1970; `None` if implausible.
    pub(super) fn at(at: Millis) -> Option<Self> {
        TIMES.contains(&at).then_some(Self(Some(at)))
    }
}

/// From September 2001, since smaller numbers are probably seconds, to the year 10000, the end of ISO 8601.
const TIMES: std::ops::Range<Millis> = 1_000_000_000_000..253_402_300_800_000;

/// Short labels: trimmed, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tags(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Option::<Vec<Line<1, 50>>>::deserialize(deserializer)?.unwrap_or_default();
        distinct(sent, 50).map(Self).map_err(D::Error::custom)
    }
}

/// Names of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Models(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Option::<Vec<Line<1, 200>>>::deserialize(deserializer)?.unwrap_or_default();
        for Line(name) in &sent {
            name::check_listed(name).map_err(|why| D::Error::custom(format!("has a name that {why}")))?;
        }
        distinct(sent, 200).map(Self).map_err(D::Error::custom)
    }
}

/// Ids of stored records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Option::<Vec<Line<1, 100>>>::deserialize(deserializer)?.unwrap_or_default();
        distinct(sent, 100).map(Self).map_err(D::Error::custom)
    }
}

fn distinct<const MAX: usize>(sent: Vec<Line<1, MAX>>, most: usize) -> Result<Vec<String>, String> {
    let mut kept: Vec<String> = Vec::with_capacity(sent.len());
    for Line(text) in sent {
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    if kept.len() > most {
        return Err(format!("must have at most {most} entries"));
    }
    Ok(kept)
}

/// Maps models named by clients to models requested from the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelMapping(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for ModelMapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Option::<BTreeMap<String, Line<1, 200>>>::deserialize(deserializer)?.unwrap_or_default();
        if sent.len() > 200 {
            return Err(D::Error::custom("must have at most 200 entries"));
        }
        let mut mapping = BTreeMap::new();
        for (from, Line(to)) in sent {
            let from = from.trim();
            for name in [from, &to] {
                name::check(name).map_err(|why| D::Error::custom(format!("has a model whose name {why}")))?;
            }
            mapping.insert(from.to_owned(), to);
        }
        Ok(Self(mapping))
    }
}

/// The services a key may use: `"all"`, one name, or a list; an empty list means all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permissions(pub(super) Vec<Service>);

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Vec<Service>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"all\", or a list of \"claude\", \"gemini\", \"openai\"")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
                match name.trim() {
                    "all" | "" => Ok(Vec::new()),
                    name => service(name)
                        .map(|service| vec![service])
                        .ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self)),
                }
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut services = Vec::new();
                let mut all = false;
                while let Some(name) = names.next_element::<String>()? {
                    match service(name.trim()) {
                        Some(service) if !services.contains(&service) => services.push(service),
                        Some(_) => {}
                        None if name.trim() == "all" => all = true,
                        None => return Err(A::Error::invalid_value(Unexpected::Str(&name), &self)),
                    }
                }
                services.sort_unstable();
                Ok(if all { Vec::new() } else { services })
            }
        }
        deserializer.deserialize_any(Names).map(Self)
    }
}

fn service(name: &str) -> Option<Service> {
    match name {
        "claude" => Some(Service::Claude),
        "gemini" => Some(Service::Gemini),
        "openai" => Some(Service::OpenAi),
        _ => None,
    }
}

/// A secret for use in a header: visible ASCII without spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credential(pub(super) Secret);

impl Credential {
    /// Parses the text; the error states the requirement.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() || text.len() > 8192 {
            return Err("must have 1 to 8192 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must have no blanks and no letters beyond ASCII");
        }
        Ok(Self(Secret::new(text)))
    }
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The base URL of a provider: an absolute http(s) address. `null` and an empty text mean none. The second part is the
/// `api-version` that follows the address on Azure's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl(pub(super) Option<String>, pub(super) Option<String>);

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<String>::deserialize(deserializer)?
            .as_deref()
            .map(str::trim)
        {
            None | Some("") => Ok(Self(None, None)),
            Some(text) => {
                let (address, version) = match azure::without_version(text) {
                    Some((address, version)) => (address, Some(version.to_owned())),
                    None => (text, None),
                };
                match config::base_url(address).filter(|_| text.len() <= 500) {
                    // As people copy it from a provider's page.
                    Some(base) => {
                        let base = base.strip_suffix("/v1/messages").unwrap_or(&base).to_owned();
                        Ok(Self(Some(base), version))
                    }
                    None => Err(D::Error::custom(
                        "must be an absolute http or https address, without user, password and query",
                    )),
                }
            }
        }
    }
}

/// A schema with some fields made required.
pub(super) fn requiring(
    schema: utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>,
    fields: &[&str],
) -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::Schema;
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object
                .required
                .extend(fields.iter().map(|field| (*field).to_owned()));
            RefOr::T(Schema::Object(object))
        }
        // Flattened types come first, the type's own fields last.
        RefOr::T(Schema::AllOf(mut all)) => {
            let own = all.items.pop().map(|own| requiring(own, fields));
            all.items.extend(own);
            RefOr::T(Schema::AllOf(all))
        }
        other => other,
    }
}
