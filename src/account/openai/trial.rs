//! The test call: a few streamed tokens; ChatGPT requires a stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use crate::account::Trial;
use crate::dialect::call::Endpoint;
use crate::dialect::wire::events::Lines;
use crate::model::account::{Account, AccountKind, StoredCredentials};

/// The cheapest model for API keys.
const OF_KEYS: &str = "gpt-5-nano";

/// Codex's default model.
const OF_CHATGPT: &str = "gpt-6.1-sol";

pub(super) fn trial(account: &Account, model: Option<String>) -> Trial {
    if account.kind() == AccountKind::ChatHost {
        return chat_trial(account, model);
    }
    let usual = match account.credentials {
        StoredCredentials::OAuth { .. } => OF_CHATGPT,
        _ => OF_KEYS,
    };
    // At Azure only the account's deployments are known.
    let is_azure =
        account.api_version.is_some() || matches!(account.credentials, StoredCredentials::EntraApp { .. });
    let named = is_azure.then(|| named(account)).flatten();
    let model = model.or(named).unwrap_or_else(|| usual.to_owned());
    let mut body = json!({
        "model": model,
        "input": [{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "Hi" }] }],
        "store": false, "stream": true,
    });
    let is_login = matches!(account.credentials, StoredCredentials::OAuth { .. });
    if let (false, Some(fields)) = (is_login, body.as_object_mut()) {
        // The smallest allowed value; ChatGPT refuses the parameter.
        fields.insert("max_output_tokens".to_owned(), 16.into());
    }
    Trial {
        endpoint: Endpoint::Responses,
        model,
        body,
        stream: true,
    }
}

/// A model that the account names.
fn named(account: &Account) -> Option<String> {
    let supported = account.supported_models.iter().flatten().next();
    supported.or_else(|| account.model_mapping.keys().next()).cloned()
}

/// The test call for a host that supports only Chat Completions. Its models are known only from the account.
fn chat_trial(account: &Account, model: Option<String>) -> Trial {
    let model = model
        .or_else(|| named(account))
        .unwrap_or_else(|| OF_KEYS.to_owned());
    Trial {
        endpoint: Endpoint::ChatCompletions,
        body: json!({
            "model": model, "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 16, "stream": true,
        }),
        model,
        stream: true,
    }
}

/// The text of the deltas; `None` if it is not a stream of OpenAI's or has no end.
pub(super) fn words(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(default)]
        r#type: &'a str,
        #[serde(default, borrow)]
        delta: Option<Cow<'a, str>>,
        #[serde(default, borrow)]
        choices: Vec<Choice<'a>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(default, borrow)]
        delta: Option<Delta<'a>>,
        finish_reason: Option<&'a str>,
    }
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(default, borrow)]
        content: Option<Cow<'a, str>>,
    }
    let mut words = String::new();
    let mut ended = false;
    let mut read = |data: &[u8]| {
        let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
            return;
        };
        match event.r#type {
            "response.output_text.delta" => words.push_str(event.delta.as_deref().unwrap_or_default()),
            // With so few tokens it is usually incomplete.
            "response.completed" | "response.incomplete" => ended = true,
            _ => {}
        }
        for choice in event.choices {
            words.push_str(
                choice
                    .delta
                    .and_then(|delta| delta.content)
                    .as_deref()
                    .unwrap_or_default(),
            );
            ended |= choice.finish_reason.is_some();
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
        let chat = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
        let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
        assert_eq!(words(format!("{chat}{end}").as_bytes()).as_deref(), Some("Hi"));
        assert_eq!(words(chat.as_bytes()), None);
        assert_eq!(words(b"{}"), None);
    }
}
