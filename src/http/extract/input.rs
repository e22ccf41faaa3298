//! Parses a JSON body into a type. Errors name the field and never repeat the input.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::super::api_error::ApiError;
use super::super::body;
use crate::app::App;
use crate::error::Code;
use crate::port::gates::KeyHash;
use crate::state::body_memory::Reservation;

/// Size limit for small bodies, bytes: a login, and everything from strangers.
pub const SMALL: usize = 8 << 10;

/// Size limit for most admin requests, bytes: a record with its lists of models.
const USUAL: usize = 256 << 10;

/// Largest size limit, bytes: an icon of 350 KB in base64, or a table of prices or models.
pub const LARGE: usize = 1 << 20;

/// The key under which the control plane's bodies share one part of the body memory.
const CONTROL_PLANE: KeyHash = KeyHash([0; 32]);

/// The body, of at most `LIMIT` bytes, with any content type. An empty body is `{}`.
#[derive(Debug)]
pub struct Input<T, const LIMIT: usize = USUAL>(pub T);

impl<T: DeserializeOwned, const LIMIT: usize> FromRequest<App> for Input<T, LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let mut memory = Reservation::new(&app.body_memory, &CONTROL_PLANE);
        let read = body::read(request.into_body(), LIMIT, &mut memory, &*app.ports.clock).await;
        let body = read.map_err(|failure| match failure.code {
            Code::BodyTooLarge => ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                failure.code.name(),
                format!("The request's body is larger than {} KiB.", LIMIT >> 10),
            ),
            code => ApiError::new(failure.status, code.name(), failure.message),
        })?;
        parse(&body).map(Self)
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let mut json = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner();
        if inner.is_data() {
            at_fault(&path, &inner.to_string())
        } else {
            // Reports only the position, because the parser's own message says less.
            invalid_json(&format!(
                "The request's body is not valid JSON: see line {}, column {}.",
                inner.line(),
                inner.column()
            ))
        }
    })?;
    json.end()
        .map_err(|_| invalid_json("The request's body goes on after its JSON."))?;
    Ok(value)
}

fn invalid_json(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", message)
}

/// Prefix of an error about a field that was flattened into a body: its name and a backquote follow. Flattened
/// types have no path of their own.
pub(crate) const IN_FIELD: &str = "in field `";

/// Rewrites serde's messages. serde repeats values (`invalid type: string "sk-..."`), so only its expectation is
/// kept; our own checks never repeat a value.
pub(super) fn at_fault(path: &str, said: &str) -> ApiError {
    let said = said.rsplit_once(" at line ").map_or(said, |(words, _)| words);
    let path = if path == "." { "" } else { path };
    if let Some((field, said)) = said
        .strip_prefix(IN_FIELD)
        .and_then(|rest| rest.split_once("`: "))
    {
        let path = if path.is_empty() {
            field.to_owned()
        } else {
            format!("{path}.{field}")
        };
        return at_fault(&path, said);
    }
    let below = |name: &str| {
        if path.is_empty() || path == name || path.ends_with(&format!(".{name}")) {
            if path.is_empty() {
                name.to_owned()
            } else {
                path.to_owned()
            }
        } else {
            format!("{path}.{name}")
        }
    };
    let quoted = |start: &str| {
        said.strip_prefix(start)
            .and_then(|rest| rest.split_once('`'))
            .map(|(name, _)| below(&name.chars().take(100).collect::<String>()))
    };
    if let Some(field) = quoted("unknown field `") {
        let message = format!("`{field}` is not a field of this request");
        return ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_field", message).at(field);
    }
    if let Some(field) = quoted("missing field `") {
        return ApiError::missing(field);
    }
    if let Some(field) = quoted("duplicate field `") {
        let message = format!("`{field}` is given twice");
        return ApiError::invalid(field, message);
    }
    let field = if path.is_empty() { "body" } else { path };
    let says_value = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant ",
    ];
    let words = if says_value.iter().any(|start| said.starts_with(start)) {
        match said
            .rsplit_once(", expected ")
            .or_else(|| said.rsplit_once(", there are no "))
        {
            Some((_, expected)) => format!("must be {}", plainly(expected)),
            None => "is not valid".to_owned(),
        }
    } else {
        said.to_owned()
    };
    ApiError::invalid(field, format!("`{field}` {words}"))
}

/// Replaces Rust's names of types.
fn plainly(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a map" => "an object".to_owned(),
        "a sequence" => "a list".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => other.to_owned(),
    }
}

/// A `T` written as an object. By default a struct could also be parsed from a list of its fields.
#[derive(Clone, Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer
            .deserialize_map(OnlyMap(std::marker::PhantomData))
            .map(Self)
    }
}

/// A field that may be missing. In a `PATCH`, a missing field stays unchanged; `InputField<Option<T>>` is a field that
/// `null` clears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InputField<T> {
    #[default]
    No,
    Yes(T),
}

impl<T> InputField<T> {
    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Self::No => None,
            Self::Yes(value) => Some(value),
        }
    }

    /// Stores the value if there is one.
    pub fn put(&self, place: &mut T)
    where
        T: Clone,
    {
        if let Self::Yes(value) = self {
            place.clone_from(value);
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InputField<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Yes)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
    struct Thing {
        name: InputField<String>,
        note: InputField<Option<String>>,
        #[serde(deserialize_with = "inner")]
        inner: Option<Inner>,
        tags: Vec<String>,
    }

    fn inner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Inner>, D::Error> {
        Ok(Some(Object::deserialize(deserializer)?.0))
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner {
        port: u16,
        #[serde(default)]
        mode: Mode,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        On,
        Off,
    }

    fn refused(body: &str) -> (u16, &'static str, Option<String>, String) {
        let error = parse::<Thing>(body.as_bytes()).unwrap_err();
        (error.status.as_u16(), error.code, error.field, error.message)
    }

    #[test]
    fn distinguishes_missing_null_and_value() {
        let thing: Thing = parse(br#"{"note": null}"#).unwrap();
        assert_eq!((thing.name, thing.note), (InputField::No, InputField::Yes(None)));
        let thing: Thing = parse(br#"{"note": "x", "name": "y"}"#).unwrap();
        assert_eq!(
            (thing.name, thing.note),
            (
                InputField::Yes("y".to_owned()),
                InputField::Yes(Some("x".to_owned()))
            )
        );
        assert_eq!(parse::<Thing>(b" ").unwrap(), Thing::default());
        assert_eq!(refused(r#"{"name": null}"#).2.as_deref(), Some("name"));
    }

    #[test]
    fn names_the_field() {
        for (body, code, field) in [
            (r#"{"nmae": 1}"#, "unknown_field", "nmae"),
            (
                r#"{"inner": {"port": 1, "hots": 1}}"#,
                "unknown_field",
                "inner.hots",
            ),
            (r#"{"inner": {}}"#, "missing_field", "inner.port"),
            (r#"{"inner": {"port": 70000}}"#, "invalid_field", "inner.port"),
            (
                r#"{"inner": {"port": 1, "mode": "x"}}"#,
                "invalid_field",
                "inner.mode",
            ),
            (r#"{"tags": ["a", 2]}"#, "invalid_field", "tags[1]"),
            (r#"{"name": "a", "name": "b"}"#, "invalid_field", "name"),
            (r"[1, 2]", "invalid_field", "body"),
            (r#""text""#, "invalid_field", "body"),
            (r#"["name"]"#, "invalid_field", "body"),
            (r#"{"inner": [1]}"#, "invalid_field", "inner"),
            (r#"{"inner": "x"}"#, "invalid_field", "inner"),
        ] {
            let (status, got, at, message) = refused(body);
            assert_eq!(
                (status, got, at.as_deref()),
                (422, code, Some(field)),
                "{body}: {message}"
            );
        }
    }

    #[test]
    fn broken_json_is_another_thing() {
        for body in [
            "{",
            r#"{"name": }"#,
            "{} x",
            r#"{"name": "\ud800"}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(refused(body).0, 400, "{body}");
        }
        assert_eq!(parse::<Thing>(b"{\"name\": \"\xff\"}").unwrap_err().status, 400);
    }

    #[test]
    fn repeats_nothing_that_was_sent() {
        for body in [
            r#"{"inner": "sk-ant-s3cret"}"#,
            r#"{"tags": "s3cret, expected s3cret"}"#,
            r#"{"inner": {"port": "s3cret"}}"#,
            r#"{"inner": {"port": 1, "mode": "s3cret"}}"#,
            r#"{"name": ["s3cret"]}"#,
            r#"{"name": s3cret}"#,
        ] {
            let (_, _, _, message) = refused(body);
            assert!(!message.contains("s3cret"), "{body}: {message}");
        }
    }
}
