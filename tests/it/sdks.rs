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
