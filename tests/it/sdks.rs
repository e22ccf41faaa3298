//! The real SDKs of OpenAI and Google through the relay, offline.

use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::sdk;
use serde_json::json;

use super::support::{entries, relay};

#[tokio::test]
async fn openai() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let account = json!({
        "name": "o", "platform": "openai", "credentials": { "type": "apiKey", "apiKey": "sk-openai" },
    });
    relay.add_account(&account).await;
    let key = relay.key("k").create().await;
    for route in [Route::Responses, Route::ChatCompletions] {
        provider.on(route).answer(Script::openai("hello 你好 🌍"));
    }
    let script = r#"
import os
from openai import OpenAI, APIStatusError
client = OpenAI(base_url=os.environ["BASE"] + "/openai/v1", api_key=os.environ["KEY"])
hi = [{"role": "user", "content": "hi"}]
print(client.responses.create(model="gpt-5", input="hi").output_text)
events = client.responses.create(model="gpt-5", input="hi", stream=True)
print("".join(event.delta for event in events if event.type == "response.output_text.delta"))
print(client.chat.completions.create(model="gpt-5", messages=hi).choices[0].message.content)
chunks = client.chat.completions.create(model="gpt-5", messages=hi, stream=True)
print("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
print("gpt-5" in [model.id for model in client.models.list().data])
try:
    OpenAI(base_url=os.environ["BASE"] + "/openai/v1", api_key="cr_wrong").responses.create(model="gpt-5", input="hi")
except APIStatusError as error:
    print(error.status_code, error.code)
"#;
    let said = sdk::run("openai", script, relay.url(), &key.secret).await;
    let hello = "hello 你好 🌍";
    assert_eq!(said, [hello, hello, hello, hello, "True", "401 invalid_api_key"]);
    let seen = entries(&relay, 4).await;
    assert!(seen.iter().all(|entry| entry["status"] == 200), "{seen:?}");
    // Broken off after the first words, an exception and no half answer.
    provider
        .on(Route::Responses)
        .next(Script::openai(hello).reset_after(5));
    let script = r#"
import os
from openai import OpenAI, APIError
client = OpenAI(base_url=os.environ["BASE"] + "/openai/v1", api_key=os.environ["KEY"], max_retries=0)
try:
    for event in client.responses.create(model="gpt-5", input="hi", stream=True):
        pass
except APIError as error:
    print(error.message)
"#;
    let said = sdk::run("openai", script, relay.url(), &key.secret).await;
    assert_eq!(said, ["The provider broke off the answer. Please try again."]);
}

#[tokio::test]
async fn openai_on_other_providers_accounts() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    relay.claude_account("c", "sk-ant-claude").await;
    let account = json!({
        "name": "g", "platform": "gemini", "credentials": { "type": "apiKey", "apiKey": "AIza-a-key" },
    });
    relay.add_account(&account).await;
    let key = relay.key("k").create().await;
    let said = "hello 你好 🌍";
    for (under, model, route, words, call) in [
        (
            "claude",
            "claude-sonnet-4-5",
            Route::Messages,
            Script::message(said),
            Script::tool_use("get_weather", json!({ "city": "Bern" })),
        ),
        (
            "gemini",
            "gemini-2.5-pro",
            Route::Gemini,
            Script::gemini(said),
            Script::parts(&[
                json!({ "functionCall": { "name": "get_weather", "args": { "city": "Bern" } } }),
            ]),
        ),
    ] {
        provider.on(route).answer(Script::decide(move |request| {
            if request.text().contains("get_weather") {
                call.clone()
            } else {
                words.clone()
            }
        }));
        let script = r#"
import os
from openai import OpenAI, APIStatusError
base, model = os.environ["BASE"] + "/openai/UNDER/v1", "MODEL"
client = OpenAI(base_url=base, api_key=os.environ["KEY"], max_retries=0)
hi = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
whole = client.chat.completions.create(model=model, messages=hi)
print(whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens > 0)
chunks = client.chat.completions.create(model=model, messages=hi, stream=True)
print("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
chunks = list(client.chat.completions.create(model=model, messages=hi, stream=True, stream_options={"include_usage": True}))
print(chunks[-1].usage == whole.usage, all(chunk.usage is None for chunk in chunks[:-1]))
tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
with client.chat.completions.stream(model=model, messages=hi, tools=tools) as stream:
    choice = stream.get_final_completion().choices[0]
call = choice.message.tool_calls[0]
print(choice.finish_reason, call.function.name, call.function.arguments)
print(model in [model.id for model in client.models.list().data])
for messages, key in ((hi, "cr_wrong"), ([{"role": "user", "content": [{"type": "smell"}]}], os.environ["KEY"])):
    try:
        OpenAI(base_url=base, api_key=key).chat.completions.create(model=model, messages=messages)
    except APIStatusError as error:
        print(error.status_code, error.code, error.body["message"])
"#;
        let script = script.replace("UNDER", under).replace("MODEL", model);
        let told = sdk::run("openai", &script, relay.url(), &key.secret).await;
        assert_eq!(told[0], format!("{said} stop True"));
        assert_eq!(
            told[1..5],
            [
                said,
                "True True",
                "tool_calls get_weather {\"city\":\"Bern\"}",
                "True"
            ]
        );
        assert!(told[5].starts_with("401 invalid_api_key "), "{}", told[5]);
        assert_eq!(
            told[6],
            "400 invalid_body messages.0.content.0: the content type `smell` cannot be sent to this model"
        );
    }
}

#[tokio::test]
async fn google_genai() {
    let script = r#"
import os
from google import genai
from google.genai import errors
def client(key):
    return genai.Client(api_key=key, http_options={"base_url": os.environ["BASE"] + "/gemini"})
ours = client(os.environ["KEY"])
models = ours.models
print(models.generate_content(model="gemini-2.5-pro", contents="hi").text)
chunks = models.generate_content_stream(model="gemini-2.5-pro", contents="hi")
print("".join(chunk.text for chunk in chunks))
print(models.count_tokens(model="gemini-2.5-pro", contents="hi").total_tokens)
print("models/gemini-2.5-pro" in [model.name for model in models.list()])
print(models.get(model="gemini-2.5-pro").name)
try:
    wrong = client("cr_wrong")
    wrong.models.generate_content(model="gemini-2.5-pro", contents="hi")
except errors.ClientError as error:
    print(error.code, error.status)
"#;
    let login = json!({ "type": "oauth", "accessToken": "ya29.a-login" });
    let key = json!({ "type": "apiKey", "apiKey": "AIza-a-key" });
    for credentials in [login, key] {
        let provider = FakeProvider::start().await;
        let relay = relay(&provider).start().await;
        let account = json!({ "name": "g", "platform": "gemini", "credentials": credentials });
        relay.add_account(&account).await;
        let key = relay.key("k").create().await;
        provider.on(Route::Gemini).answer(Script::gemini("hello 你好 🌍"));
        let said = sdk::run("google-genai", script, relay.url(), &key.secret).await;
        let hello = "hello 你好 🌍";
        let listed = ["True", "models/gemini-2.5-pro"];
        assert_eq!(
            said,
            [hello, hello, "31", listed[0], listed[1], "401 UNAUTHENTICATED"]
        );
    }
}
