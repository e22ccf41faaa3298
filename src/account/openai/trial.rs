//! The smallest real call: a few tokens of a stream, which ChatGPT insists on.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use crate::account::Trial;
use crate::dialect::call::Endpoint;
use crate::dialect::wire::events::Lines;
use crate::model::account::{Account, StoredCredentials};

/// The cheapest model of API keys.
const OF_KEYS: &str = "gpt-5-nano";

/// Codex's default model.
const OF_CHATGPT: &str = "gpt-6.1-sol";

pub(super) fn trial(account: &Account, model: Option<String>) -> Trial {
    let usual = match account.credentials {
        StoredCredentials::ApiKey { .. } => OF_KEYS,
        StoredCredentials::OAuth { .. } => OF_CHATGPT,
    };
    let model = model.unwrap_or_else(|| usual.to_owned());
    let mut body = json!({
        "model": model,
        "input": [{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "Hi" }] }],
        "store": false, "stream": true,
    });
    if let (StoredCredentials::ApiKey { .. }, Some(fields)) = (&account.credentials, body.as_object_mut()) {
        // The least there is; ChatGPT knows no such bound.
        fields.insert("max_output_tokens".to_owned(), 16.into());
    }
    Trial {
        endpoint: Endpoint::Responses,
        model,
        body,
        stream: true,
    }
}

/// The text of the deltas; `None`: no stream of Responses, or one without an end.
pub(super) fn words(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Event<'a> {
        r#type: &'a str,
        delta: Option<Cow<'a, str>>,
    }
    let mut words = String::new();
    let mut ended = false;
    let mut read = |data: &[u8]| {
        let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
            return;
        };
        match event.r#type {
            "response.output_text.delta" => words.push_str(event.delta.as_deref().unwrap_or_default()),
            // With so few tokens it is mostly incomplete.
            "response.completed" | "response.incomplete" => ended = true,
            _ => {}
        }
    };
    let mut lines = Lines::default();
    lines.feed(answer, &mut read).ok()?;
    lines.finish(&mut read);
    ended.then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_stream_with_an_end() {
        let delta =
            "event: x\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"H\\u0069\"}\r\n\r\n";
        let end = "data: {\"type\":\"response.incomplete\",\"response\":{}}\n\n";
        assert_eq!(
            words(format!("{delta}{delta}{end}").as_bytes()).as_deref(),
            Some("HiHi")
        );
        assert_eq!(words(delta.as_bytes()), None);
        assert_eq!(words(b"{}"), None);
    }
}
