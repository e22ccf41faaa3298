//! Answers to clients with a wrong base URL, and to people who open the address in a browser.

use crs_support::client::{Ask, Client, Raw};
use crs_support::provider::{FakeProvider, Route, Script};
use serde_json::{Value, json};

use super::support::{ready, relay};

#[tokio::test]
async fn calls_without_a_prefix_are_served_where_the_protocol_is_beyond_doubt() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    for platform in ["claude", "openai", "gemini"] {
        let account = json!({
            "name": platform, "platform": platform,
            "credentials": { "type": "apiKey", "apiKey": format!("sk-of-{platform}") },
        });
        relay.add_account(&account).await;
    }
    let key = relay.key("k").create().await;
    provider
        .on(Route::Messages)
        .answer(Script::message("from claude"));
    provider
        .on(Route::ChatCompletions)
        .answer(Script::openai("from openai"));
    provider
        .on(Route::Responses)
        .answer(Script::openai("from openai"));
    provider.on(Route::Gemini).answer(Script::gemini("from gemini"));
    let said = json!([{ "role": "user", "content": "hi" }]);
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
    let client = Client::new(relay.url()).with_key(&key.secret);
    for (path, body, from) in [
        (
            "/v1/messages",
            json!({ "model": "claude-sonnet-4-5", "max_tokens": 5, "messages": said }),
            "from claude",
        ),
        (
            "/v1/chat/completions",
            json!({ "model": "gpt-5", "messages": said }),
            "from openai",
        ),
        (
            "/v1/responses",
            json!({ "model": "gpt-5", "input": "hi" }),
            "from openai",
        ),
        (
            "/v1beta/models/gemini-2.5-pro:generateContent",
            contents.clone(),
            "from gemini",
        ),
        (
            "/v1/models/gemini-2.5-pro:generateContent",
            contents,
            "from gemini",
        ),
    ] {
        let answer = client.post(path, &body).await.good().raw_text();
        assert!(answer.contains(from), "{path}: {answer}");
    }
    let models = async |name: &str, value: &str| {
        Client::new(relay.url())
            .call("GET", "/v1/models")
            .header("authorization", &format!("Bearer {}", key.secret))
            .header(name, value)
            .send()
            .await
            .good()
            .json()
    };
    let first = |list: &Value| {
        list["data"][0]["id"]
            .as_str()
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let claude = models("anthropic-version", "2023-06-01").await;
    assert!(first(&claude).contains("claude"), "{claude}");
    let openai = models("accept", "application/json").await;
    assert_eq!(openai["data"][0]["owned_by"], "openai", "{openai}");
    let google = models("x-goog-api-key", &key.secret).await;
    assert!(google["models"][0]["name"].as_str().is_some(), "{google}");
}

/// A path that there is not, and where its protocol's error has its words.
const NOTHING: &[(&str, &str, &str, &str)] = &[
    ("POST", "/v1/complete", "/error/message", "/api"),
    ("POST", "/v2/messages", "/error/message", "/api"),
    ("POST", "/api/v1/v1/messages", "/error/message", "/api/"),
    ("GET", "/api/nothing", "/error/message", "/api/"),
    ("POST", "/v1/embeddings", "/error/message", "/openai"),
    ("POST", "/openai/v1/v1/responses", "/error/message", "/openai"),
    ("POST", "/v1beta/nothing", "/error/message", "/gemini"),
    (
        "POST",
        "/gemini/v1beta/v1beta/models/m:generateContent",
        "/error/message",
        "/gemini",
    ),
    (
        "POST",
        "/gemini/v1beta/models/m:nothing",
        "/error/message",
        "/gemini",
    ),
    ("POST", "/v1internal:nothing", "/error/message", "/gemini"),
    ("GET", "/nowhere", "/message", "/api"),
    ("PUT", "/nowhere/at/all", "/message", "/openapi.json"),
    ("GET", "/admin", "/message", "/openapi.json"),
    ("GET", "/admin/nothing", "/message", "/openapi.json"),
    ("GET", "/web/auth", "/message", "/health"),
    ("GET", "/health/", "/message", "/health"),
    ("GET", "/favicon.ico", "/message", "/health"),
];

/// A path that has other methods.
const OTHER_METHOD: &[(&str, &str, &str)] = &[
    ("GET", "/v1/messages", "/error/message"),
    ("GET", "/api/v1/messages", "/error/message"),
    ("GET", "/v1/chat/completions", "/error/message"),
    ("DELETE", "/openai/v1/responses", "/error/message"),
    ("PUT", "/gemini/v1beta/models/m:generateContent", "/error/message"),
    ("DELETE", "/v1/models", "/error/message"),
    ("POST", "/api/", "/message"),
    ("POST", "/api/api/hello", "/message"),
    ("GET", "/api/api/event_logging/batch", "/message"),
    ("POST", "/", "/message"),
    ("POST", "/health", "/message"),
    ("POST", "/metrics", "/message"),
    ("GET", "/web/auth/login", "/message"),
    ("PATCH", "/admin/api-keys", "/message"),
];

#[tokio::test]
async fn what_there_is_not_is_said_in_words_and_names_what_there_is() {
    let r = ready().await;
    let plain = Client::new(r.relay.url());
    for (method, path, words, names) in NOTHING {
        let answer = plain.call(method, path).send().await.expect(404);
        let body = answer.json();
        let told = body.pointer(words).and_then(Value::as_str).unwrap_or_default();
        assert!(told.contains(names), "{method} {path}: {body}");
        assert!(answer.header("x-request-id").is_some(), "{method} {path}");
    }
    for (method, path, words) in OTHER_METHOD {
        let answer = plain.call(method, path).send().await.expect(405);
        let body = answer.json();
        let told = body.pointer(words).and_then(Value::as_str).unwrap_or_default();
        assert!(told.contains("method"), "{method} {path}: {body}");
        let allow = answer.header("allow").unwrap_or_default();
        assert!(
            !allow.is_empty() && !allow.contains(method),
            "{method} {path}: {allow}"
        );
    }
    // HEAD is answered like GET, without the body.
    for (path, status) in [
        ("/", 200),
        ("/api", 200),
        ("/nowhere", 404),
        ("/v1/messages", 405),
    ] {
        let mut raw = Raw::connect(r.relay.url()).await;
        let head = raw.head_of(&Ask::new("HEAD", path)).await;
        assert_eq!(head.status, status, "{path}");
    }
    assert_eq!(r.provider.calls(), 0);
}

#[tokio::test]
async fn the_address_itself_answers_a_person_and_a_program() {
    let r = ready().await;
    let plain = Client::new(r.relay.url());
    let told = plain.get("/").await.good().json();
    let page = plain
        .call("GET", "/")
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .send()
        .await;
    if told["console"] == "/admin-next/" {
        let page = page.expect(302);
        assert_eq!(page.header("location"), Some("/admin-next/"));
        assert_eq!(page.header("vary"), Some("accept"));
    } else {
        let page = page.good();
        assert!(
            page.header("content-type")
                .is_some_and(|kind| kind.starts_with("text/html"))
        );
        for says in ["crs-edge", "/health", "/admin-next/", "/openai/v1"] {
            assert!(page.raw_text().contains(says), "{says}");
        }
    }
    assert_eq!(
        (&told["service"], &told["health"]),
        (&json!("crs-edge"), &json!("/health"))
    );
    for base in told["baseUrls"].as_object().expect("base URLs").values() {
        let base = base.as_str().expect("a path");
        assert_ne!(plain.get(&format!("{base}/v1/models")).await.status, 200);
    }
}
