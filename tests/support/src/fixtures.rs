//! Answers in the providers' own shapes, from `tests/fixtures`. Its README says where each shape is from.
//!
//! The scripted provider plays them as they are ([`Script::captured`](crate::provider::Script::captured)), and fills the
//! answers that tests describe into them: what a test does not name is as the provider sends it.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;

/// The bytes of one file, such as `anthropic/text.sse`.
///
/// # Panics
/// If it is not there.
pub fn bytes(file: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(file);
    let read = std::fs::read(&path);
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

/// The JSON of one file.
///
/// # Panics
/// If it is not there, or is not JSON.
pub fn json(file: &str) -> Value {
    serde_json::from_slice(&bytes(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The JSON of each event of one stream. Data that is not JSON (`[DONE]`) is left out.
///
/// # Panics
/// If it is not there.
pub fn events(file: &str) -> Vec<Value> {
    let bytes = bytes(file);
    let text = std::str::from_utf8(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect()
}

/// The first event of this type.
///
/// # Panics
/// If there is none.
pub fn event(file: &str, kind: &str) -> Value {
    let found = events(file).into_iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("{file} has no {kind}"))
}
