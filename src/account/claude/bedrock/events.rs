//! Reads the stream of InvokeModel: frames of Amazon's become Anthropic's server-sent events.
//!
//! | frame (`:message-type`, its kind) | becomes |
//! | --- | --- |
//! | `event`, `chunk`: `{"bytes":"<base64 of an event's JSON>","p":"<padding>"}` | the event, byte for byte |
//! | `event`, any other | nothing |
//! | `exception`, such as `throttlingException`: `{"message":..}` | an event `error`, the last one |
//! | `error`, with `:error-code` and `:error-message` | the same |
//!
//! The member `amazon-bedrock-invocationMetrics` of the last event is removed: it is not Anthropic's, and clients must
//! not learn which account serves them.
//!
//! Frames may be cut anywhere. A frame is held until it is whole; a wrong checksum, or an end within a frame, is an
//! error of the stream.
//!
//! Sources: AWS documentation, "InvokeModelWithResponseStream" and "ResponseStream"; Smithy's specification, "Amazon Event
//! Stream Specification". The padding against length analysis is what Amazon's SDKs skip as an unknown member.

use std::borrow::Cow;

use aws_smithy_eventstream::frame::read_message_from;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::exception;
use crate::dialect::answer::BodyReader;
use crate::dialect::wire::events;

/// The media type of such streams.
pub(in super::super) const MEDIA: &str = "application/vnd.amazon.eventstream";

/// Maximum size of a frame, bytes. The format allows 24 MiB, but a frame is held about four times while it is read, an
/// isolate has 128 MB, and Claude's events have a few hundred bytes.
const MOST: usize = 8 << 20;

/// Minimum size of a frame: lengths and checksums.
const LEAST: usize = 16;

/// Capacity kept for the next frame.
const KEPT: usize = 64 << 10;

/// Not Anthropic's member.
const METRICS: &str = "amazon-bedrock-invocationMetrics";

#[derive(Default)]
pub(in super::super) struct Events {
    /// The beginning of a frame.
    held: BytesMut,
    /// There was an error, the last event.
    failed: bool,
}

impl BodyReader for Events {
    fn media(&self) -> &'static str {
        "text/event-stream"
    }

    fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if self.failed {
            return Ok(());
        }
        self.held.extend_from_slice(chunk);
        while let Some(length) = self.length()? {
            if self.held.len() < length {
                break;
            }
            self.failed = read(self.held.split_to(length).freeze(), out)?;
            if self.failed {
                self.held.clear();
            }
        }
        if self.held.is_empty() && self.held.capacity() > KEPT {
            self.held = BytesMut::new();
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), String> {
        if self.held.is_empty() {
            Ok(())
        } else {
            Err("the event stream ended within a frame".to_owned())
        }
    }
}

impl Events {
    /// The length of the next frame, if it is known yet.
    fn length(&self) -> Result<Option<usize>, String> {
        let Some(length) = self.held.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if (LEAST..=MOST).contains(&length) {
            Ok(Some(length))
        } else {
            Err(format!("the event stream has a frame of {length} bytes"))
        }
    }
}

/// Reads a whole frame, and returns whether it is the last one because it is an error.
fn read(frame: Bytes, out: &mut Vec<u8>) -> Result<bool, String> {
    let message =
        read_message_from(frame).map_err(|error| format!("the event stream is damaged: {error}"))?;
    let header = |name: &str| {
        let mut headers = message.headers().iter();
        let header = headers.find(|header| header.name().as_str() == name)?;
        let text = header.value().as_string().ok()?;
        Some(text.as_str())
    };
    let payload = message.payload();
    match header(":message-type") {
        Some("event") if header(":event-type") == Some("chunk") => {
            chunk(payload, out)?;
            Ok(false)
        }
        Some("event") => Ok(false),
        Some("exception") => {
            let name = header(":exception-type").unwrap_or_default();
            error(name, said(payload).as_deref(), out);
            Ok(true)
        }
        Some("error") => {
            let name = header(":error-code").unwrap_or_default();
            error(name, header(":error-message"), out);
            Ok(true)
        }
        _ => Err("the event stream has a frame of an unknown type".to_owned()),
    }
}

/// Writes the event of a chunk.
fn chunk(payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
    }
    let no_event = || "the event stream has a chunk without an event".to_owned();
    let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|_| no_event())?;
    let mut data = STANDARD.decode(chunk.bytes.as_bytes()).map_err(|_| no_event())?;
    let event: Event<'_> = serde_json::from_slice(&data).map_err(|_| no_event())?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let name = event.r#type.into_owned();
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(no_event());
    }
    if memchr::memmem::find(&data, METRICS.as_bytes()).is_some() {
        data = without_metrics(data);
    }
    // Between the parts of JSON only; its strings have none.
    for byte in &mut data {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    events::named(out, &name, &data);
    Ok(())
}

fn without_metrics(data: Vec<u8>) -> Vec<u8> {
    let event = serde_json::from_slice::<Map<String, Value>>(&data);
    let mut event = event.unwrap_or_default();
    match event.remove(METRICS) {
        Some(_) => Value::from(event).to_string().into(),
        // A text that mentions it.
        None => data,
    }
}

/// The message of an exception. A model's error has its own beside it.
fn said(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Exception {
        #[serde(alias = "Message")]
        message: Option<String>,
        original_message: Option<String>,
    }
    let exception: Exception = serde_json::from_slice(payload).ok()?;
    exception.original_message.or(exception.message)
}

/// Writes an error in Anthropic's form.
fn error(name: &str, message: Option<&str>, out: &mut Vec<u8>) {
    let kind = exception::error_type(name).unwrap_or("api_error");
    let message = message.filter(|message| !message.is_empty());
    let message = message.unwrap_or("The provider broke off the answer.");
    let error = serde_json::json!({ "type": "error", "error": { "type": kind, "message": message } });
    events::named(out, "error", error.to_string().as_bytes());
}

#[cfg(test)]
mod tests;
