//! InvokeModel and CountTokens of Amazon Bedrock's runtime: paths, the frames of its streams, its errors, and what it
//! refuses.
//!
//! Sources: AWS documentation, "InvokeModel", "InvokeModelWithResponseStream", "ResponseStream", "CountTokens"; the frames
//! are written by AWS' own crate.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::request::Request;
use super::script::{Body, Script};

/// The media type of its streams.
pub const STREAM: &str = "application/vnd.amazon.eventstream";

/// A beta that every model of the fake knows, and one that none does.
const KNOWN_BETAS: [&str; 4] = [
    "interleaved-thinking-2025-05-14",
    "context-1m-2025-08-07",
    "effort-2025-11-24",
    "tool-search-tool-2025-10-19",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Invoke,
    Stream,
    Count,
}

/// The model and the method that a path names.
pub(super) fn call_of(request: &Request) -> Option<(String, Method)> {
    let (_, rest) = request.path().rsplit_once("/model/")?;
    let (model, method) = rest.split_once('/')?;
    let method = match method {
        "invoke" => Method::Invoke,
        "invoke-with-response-stream" => Method::Stream,
        "count-tokens" => Method::Count,
        _ => return None,
    };
    Some((decoded(model), method))
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits of an escape"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("a name in UTF-8")
}

pub(super) fn streams(request: &Request) -> bool {
    matches!(call_of(request), Some((_, Method::Stream)))
}

/// The model's name in an answer: that of the Claude API.
pub(super) fn model_of(request: &Request) -> Option<String> {
    let (model, _) = call_of(request)?;
    let (_, name) = model.rsplit_once("anthropic.")?;
    let name = name.split_once("-v").map_or(name, |(name, _)| name);
    Some(name.to_owned())
}

fn frame(kind: &str, name: (&'static str, &str), payload: Value) -> Bytes {
    let text = |value: &str| HeaderValue::String(value.to_owned().into());
    let message = Message::new(Bytes::from(payload.to_string()))
        .add_header(Header::new(name.0, text(name.1)))
        .add_header(Header::new(":content-type", text("application/json")))
        .add_header(Header::new(":message-type", text(kind)));
    let mut frame = Vec::new();
    write_message_to(&message, &mut frame).expect("a frame");
    frame.into()
}

/// A frame with one event of Anthropic's.
pub fn chunk(event: &str) -> Bytes {
    let payload = json!({ "bytes": STANDARD.encode(event), "p": "abcdefghijklmnop" });
    frame("event", (":event-type", "chunk"), payload)
}

/// A frame with an exception, such as `throttlingException`.
pub fn exception(name: &str, message: &str) -> Bytes {
    frame(
        "exception",
        (":exception-type", name),
        json!({ "message": message }),
    )
}

/// The frame of a server-sent event.
pub(super) fn of_event(event: &Bytes) -> Bytes {
    let text = std::str::from_utf8(event).expect("an event in UTF-8");
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    let data = data.expect("an event with data");
    if !data.contains("\"message_stop\"") {
        return chunk(data);
    }
    let metrics = json!({
        "inputTokenCount": 12, "outputTokenCount": 34, "invocationLatency": 1500, "firstByteLatency": 400,
    });
    let event = json!({ "type": "message_stop", "amazon-bedrock-invocationMetrics": metrics });
    chunk(&event.to_string())
}

/// An error in Amazon's form.
pub fn error(status: u16, exception: &str, message: &str) -> Script {
    Script::json(json!({ "message": message }))
        .status(status)
        .with_header(
            "x-amzn-errortype",
            &format!("{exception}:http://internal.amazon.com/coral/com.amazon.bedrock/"),
        )
}

/// The script for this request: errors have Amazon's form here.
pub(super) fn in_its_form(script: Script, request: &Request) -> Script {
    let Body::Error { message, .. } = &script.body else {
        return script;
    };
    if call_of(request).is_none() {
        return script;
    }
    let name = match script.status {
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        500 => "InternalServerException",
        503 => "ServiceUnavailableException",
        _ => "ValidationException",
    };
    let error = error(script.status, name, message);
    Script {
        body: error.body,
        headers: [script.headers, error.headers].concat(),
        ..script
    }
}

/// The answer to a request that the runtime would not serve.
pub(super) fn objection(request: &Request) -> Option<Script> {
    let (model, method) = call_of(request)?;
    let invalid = |why: &str| Some(error(400, "ValidationException", why));
    if request.header("authorization").is_none() {
        return Some(error(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    }
    if !model.contains("anthropic.") && !model.starts_with("arn:aws:bedrock:") {
        return invalid("The provided model identifier is invalid.");
    }
    let Some(mut body) = request.try_json() else {
        return invalid("Malformed input request, please reformat your input and try again.");
    };
    if method == Method::Count {
        if !model.starts_with("anthropic.") {
            return invalid("The provided model doesn't support counting tokens.");
        }
        let counted = body["input"]["invokeModel"]["body"].as_str();
        let counted = counted.and_then(|counted| STANDARD.decode(counted).ok());
        let Some(counted) = counted.and_then(|counted| serde_json::from_slice(&counted).ok()) else {
            return invalid("Input is invalid.");
        };
        body = counted;
    }
    if body["anthropic_version"] != "bedrock-2023-05-31" {
        return invalid("anthropic_version: Field required");
    }
    for extra in ["model", "stream"] {
        if body.get(extra).is_some() {
            return invalid(&format!("{extra}: Extra inputs are not permitted"));
        }
    }
    if !body["max_tokens"].is_u64() {
        return invalid("max_tokens: Field required");
    }
    let betas = body["anthropic_beta"].as_array().into_iter().flatten();
    let is_known = |beta: &Value| beta.as_str().is_some_and(|beta| KNOWN_BETAS.contains(&beta));
    if !betas.into_iter().all(is_known) {
        return invalid("The model returned the following errors: invalid beta flag");
    }
    None
}

/// The count of tokens in the fake's way.
pub(super) fn count(request: &Request) -> Script {
    Script::json(json!({ "inputTokens": request.body.len() / 4 }))
}
