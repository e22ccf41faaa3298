//! Commands as the REST interface takes them, and answers as it gives them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value as Json, json};

use super::resp::Value;

/// What makes no sense over HTTP, where a connection is nobody's.
const NOT_AVAILABLE: [&str; 10] = [
    "AUTH",
    "BLPOP",
    "BRPOP",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "SUBSCRIBE",
    "WATCH",
];

/// A command with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command(pub(super) Vec<Vec<u8>>);

impl Command {
    /// `["SET", "key", 1]`; or why it is none.
    pub(super) fn of_json(json: &Json) -> Result<Self, String> {
        let items = json
            .as_array()
            .ok_or("ERR failed to parse command: an array is expected")?;
        let args = items.iter().map(|item| match item {
            Json::String(text) => Ok(text.clone().into_bytes()),
            Json::Number(number) => Ok(number.to_string().into_bytes()),
            Json::Bool(is) => Ok(is.to_string().into_bytes()),
            _ => Err("ERR failed to parse command: arguments are strings and numbers".to_owned()),
        });
        Self::of_args(args.collect::<Result<_, _>>()?)
    }

    /// `/set/key/value?EX=100`, and a body, which is one argument more.
    pub(super) fn of_path(path: &str, query: &str, body: &[u8]) -> Result<Self, String> {
        let mut args: Vec<Vec<u8>> = path.trim_matches('/').split('/').map(decoded).collect();
        if !body.is_empty() {
            args.push(body.to_vec());
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name == "_token" {
                continue;
            }
            args.push(decoded(name));
            if !value.is_empty() {
                args.push(decoded(value));
            }
        }
        Self::of_args(args)
    }

    fn of_args(args: Vec<Vec<u8>>) -> Result<Self, String> {
        if args.first().is_none_or(Vec::is_empty) {
            return Err("ERR empty command".to_owned());
        }
        let command = Self(args);
        let name = command.name();
        if NOT_AVAILABLE.contains(&name.as_str()) {
            return Err(format!("ERR Command is not available: '{name}'"));
        }
        Ok(command)
    }

    /// In upper case.
    pub(super) fn name(&self) -> String {
        let name = self.0.first().map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(name).to_ascii_uppercase()
    }
}

/// `{"result": ...}` or `{"error": ...}`.
pub(super) fn item(value: &Value, base64: bool) -> Json {
    match value {
        Value::Error(text) => json!({ "error": text }),
        value => json!({ "result": result(value, base64) }),
    }
}

fn result(value: &Value, base64: bool) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Int(number) => json!(number),
        // The one text that is never encoded: the official client takes it as it is.
        Value::Status(text) if text == "OK" => json!(text),
        Value::Status(text) | Value::Error(text) => json!(said(text.as_bytes(), base64)),
        Value::Bulk(bytes) => json!(said(bytes, base64)),
        Value::List(items) => items.iter().map(|item| result(item, base64)).collect(),
    }
}

fn said(bytes: &[u8], base64: bool) -> String {
    if base64 {
        BASE64_STANDARD.encode(bytes)
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// With `%41` undone.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%')
            .then(|| {
                let mut ahead = bytes.clone();
                let digits = [ahead.next()?, ahead.next()?];
                let value = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
                bytes = ahead;
                Some(value)
            })
            .flatten();
        out.push(escaped.unwrap_or(byte));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_command() {
        let command = Command::of_path("/set/a%20b/%C3%BC%", "EX=100&_token=t&NX", b"").unwrap();
        let args: Vec<_> = command
            .0
            .iter()
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect();
        assert_eq!(args, ["set", "a b", "ü%", "EX", "100", "NX"]);
        assert_eq!(command.name(), "SET");
        assert_eq!(Command::of_path("/set/k", "", b"body").unwrap().0[2], b"body");
        assert!(Command::of_path("/", "", b"").is_err());
        assert!(Command::of_path("/subscribe/c", "", b"").is_err());
    }
}
