//! Gemini CLI and Google's SDKs on Google's accounts: keys of the Gemini API, and logins for Code Assist.

mod faults;
mod forms;

use crs_support::client::{Call, Client};
use crs_support::provider::{At, FakeProvider, How, PROJECT, Request, Route, Script, Tokens};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::support::{Key, entries, micro_usd, relay};

const ACCOUNT_KEY: &str = "AIza-first-account";

struct Google {
    provider: FakeProvider,
    relay: Relay,
    key: Key,
    /// Shows the key, under `/gemini`.
    client: Client,
}

async fn empty() -> Google {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider)
        .env("GEMINI_OAUTH_CLIENT_ID", "client-of-the-operator")
        .env("GEMINI_OAUTH_CLIENT_SECRET", "secret-of-the-operator")
        .start()
        .await;
    let key = relay.key("k").create().await;
    let client = Client::new(&format!("{}/gemini", relay.url())).with_header("x-goog-api-key", &key.secret);
    Google {
        provider,
        relay,
        key,
        client,
    }
}

async fn with_a_key() -> Google {
    let g = empty().await;
    g.api_key(50).await;
    g
}

async fn with_a_login() -> (Google, Tokens) {
    let g = empty().await;
    let tokens = g.provider.oauth().issue();
    g.login(&tokens, 4_000_000_000_000).await;
    (g, tokens)
}

impl Google {
    async fn api_key(&self, priority: u32) -> Value {
        let account = json!({
            "name": "key", "platform": "gemini", "priority": priority,
            "credentials": { "type": "apiKey", "apiKey": ACCOUNT_KEY },
        });
        self.relay.add_account(&account).await
    }

    async fn login(&self, tokens: &Tokens, expires_at: u64) -> Value {
        let account = json!({
            "name": "login", "platform": "gemini",
            "credentials": {
                "type": "oauth", "accessToken": tokens.access, "refreshToken": tokens.refresh, "expiresAt": expires_at,
            },
        });
        self.relay.add_account(&account).await
    }

    /// A call of the Gemini API, as google-genai makes it.
    fn api(&self, method: &str) -> Call {
        let path = format!("/v1beta/models/gemini-2.5-pro:{method}");
        self.client
            .call("POST", &path)
            .body(CONTENTS)
            .header("content-type", "application/json")
    }

    /// A call of Code Assist, as Gemini CLI makes it.
    fn assist(&self, method: &str) -> Call {
        let path = format!("/v1internal:{method}");
        self.client
            .call("POST", &path)
            .body(ENVELOPE)
            .header("content-type", "application/json")
    }

    fn asked(&self, route: Route) -> Request {
        self.provider
            .requests_to(route)
            .pop()
            .expect("a call of the provider")
    }

    async fn newest(&self, count: usize) -> Value {
        entries(&self.relay, count).await.remove(0)
    }
}

const CONTENTS: &str = "{ \"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"\\u4f60\\u597d 世界 🌍\"}]}],\n \"x_unknown\": [1.50, 12345678901234567890123] }";
const ENVELOPE: &str = "{\"model\":\"gemini-2.5-pro\", \"project\":\"of-the-client\",\"user_prompt_id\":\"u-1\",\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"\\u4f60\\u597d\"}]}],\"generationConfig\":{\"x\":1.50},\"session_id\":\"s-1\"}}";

/// The text of a whole answer or of a stream, out of its envelope if it has one.
fn text(answer: &crs_support::client::Answer) -> String {
    let pieces: Vec<Value> = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(Value::Array(pieces)) => pieces,
        Ok(whole) => vec![whole],
        Err(_) => {
            let text = answer.raw_text();
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            data.map(|data| serde_json::from_str(data).expect("data is JSON"))
                .collect()
        }
    };
    pieces
        .iter()
        .filter_map(|piece| {
            let inner = piece.get("response").unwrap_or(piece);
            inner.pointer("/candidates/0/content/parts/0/text")?.as_str()
        })
        .collect()
}

#[tokio::test]
async fn the_api_passes_unchanged_to_a_key() {
    let g = with_a_key().await;
    g.provider.on(Route::Gemini).answer(Script::gemini("hello 你好"));
    for (version, method, query) in [
        ("v1beta", "generateContent", ""),
        ("v1", "generateContent", ""),
        ("v1beta", "streamGenerateContent", "?alt=sse"),
        ("v1beta", "streamGenerateContent", ""),
    ] {
        let path = format!("/{version}/models/gemini-2.5-pro:{method}{query}");
        let call = g
            .client
            .call("POST", &path)
            .body(CONTENTS)
            .header("content-type", "application/json")
            .header(
                "user-agent",
                "GeminiCLI-tui/0.61.0/gemini-2.5-pro (linux; x64; terminal)",
            )
            .header("x-goog-api-client", "gl-node/24")
            .header("x-goog-user-project", "project-of-the-client")
            .header("cookie", "session=secret");
        let answer = call.send().await.good();
        assert_eq!(text(&answer), "hello 你好", "{path}");
        let seen = g.asked(Route::Gemini);
        assert_eq!(
            (seen.target.as_str(), seen.text().as_str()),
            (path.as_str(), CONTENTS)
        );
        assert_eq!(seen.header("x-goog-api-key"), Some(ACCOUNT_KEY));
        assert_eq!(seen.header("x-goog-api-client"), Some("gl-node/24"));
        assert!(
            seen.header("user-agent")
                .is_some_and(|agent| agent.starts_with("GeminiCLI-tui/"))
        );
        for name in ["authorization", "cookie", "x-goog-user-project"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
        for name in ["server", "server-timing"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
}

/// Antigravity's command line (`agy`) with `modelProvider` "gemini", `GEMINI_API_KEY` and `GOOGLE_GEMINI_BASE_URL`:
/// then it asks the Gemini API, by models' names with an effort behind them
/// (tailscale/aperture-cli#32, router-for-me/EasyCLIProxyAPI#150; a Go program, so with the headers of that SDK).
#[tokio::test]
async fn antigravitys_command_line_is_served() {
    let g = with_a_key().await;
    g.client.get("/v1beta/models").await.good();
    let model = "gemini-3.7-flash-high";
    for (method, query) in [
        ("streamGenerateContent", "?alt=sse"),
        ("generateContent", ""),
        ("countTokens", ""),
    ] {
        let path = format!("/v1beta/models/{model}:{method}{query}");
        let agent = "google-genai-sdk/1.30.0 gl-go/go1.25.1";
        let call = g.client.call("POST", &path).body(CONTENTS);
        let call = call
            .header("content-type", "application/json")
            .header("user-agent", agent)
            .header("x-goog-api-client", agent);
        call.send().await.good();
        let seen = g.provider.requests().pop().expect("a request");
        assert_eq!(
            (seen.target.as_str(), seen.text().as_str()),
            (path.as_str(), CONTENTS)
        );
        assert_eq!(seen.header("x-goog-api-key"), Some(ACCOUNT_KEY));
        assert_eq!(seen.header("user-agent"), Some(agent));
    }
}

#[tokio::test]
async fn code_assist_passes_to_a_login_with_the_accounts_project() {
    let (g, tokens) = with_a_login().await;
    g.provider.on(Route::Gemini).answer(Script::gemini("hello 你好"));
    for (method, query) in [("generateContent", ""), ("streamGenerateContent", "?alt=sse")] {
        let path = format!("{method}{query}");
        let answer = g.assist(&path).send().await.good();
        assert_eq!(text(&answer), "hello 你好");
        assert!(
            answer.raw_text().contains("\"traceId\""),
            "as the provider sent it"
        );
        let seen = g.asked(Route::Gemini);
        assert_eq!(seen.target, format!("/v1internal:{path}"));
        assert_eq!(seen.text(), ENVELOPE.replace("of-the-client", PROJECT));
        assert_eq!(seen.bearer(), Some(tokens.access.as_str()));
    }
    // The project was asked for once, in the relay's own name, and is kept.
    let asked = g.provider.requests_to(Route::Assist);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/v1internal:loadCodeAssist");
    assert!(
        asked[0]
            .header("user-agent")
            .is_some_and(|agent| agent.starts_with("crs-edge/"))
    );
    let list = g.relay.admin().get("/admin/accounts").await.good().json();
    assert_eq!(list["items"][0]["credentials"]["tenant"], PROJECT);
}

#[tokio::test]
async fn the_way_gemini_cli_starts_works() {
    let (g, _) = with_a_login().await;
    // A base URL with a slash at its end makes two.
    let doubled = Client::new(&format!("{}/gemini/", g.relay.url())).with_bearer(&g.key.secret);
    let load = json!({ "metadata": { "ideType": "IDE_UNSPECIFIED", "pluginType": "GEMINI" } });
    let loaded = doubled
        .call("POST", "//v1internal:loadCodeAssist")
        .json(&load)
        .send()
        .await
        .good();
    assert_eq!(loaded.json()["cloudaicompanionProject"], PROJECT);
    assert_eq!(g.asked(Route::Assist).json(), load);
    for method in [
        "onboardUser",
        "retrieveUserQuota",
        "listExperiments",
        "fetchAvailableModels",
    ] {
        let body = json!({ "project": "of-another-account", "x": 1 });
        g.client
            .call("POST", &format!("/v1internal:{method}"))
            .json(&body)
            .send()
            .await
            .good();
        let seen = g.asked(Route::Assist);
        assert_eq!(seen.target, format!("/v1internal:{method}"));
        let expected = if method == "onboardUser" {
            "of-another-account"
        } else {
            PROJECT
        };
        assert_eq!(seen.json()["project"], expected, "{method}");
    }
    let count = json!({ "request": { "model": "models/gemini-2.5-pro", "contents": [] } });
    let counted = g
        .client
        .call("POST", "/v1internal:countTokens")
        .json(&count)
        .send()
        .await
        .good();
    assert_eq!(counted.json()["totalTokens"], 31);
    // None of it costs anything, or takes a slot.
    let names: Vec<Value> = entries(&g.relay, 6)
        .await
        .iter()
        .map(|entry| entry["endpoint"].clone())
        .collect();
    for name in [
        "load_code_assist",
        "onboard_user",
        "retrieve_user_quota",
        "list_experiments",
        "count_tokens",
    ] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
    assert!(
        entries(&g.relay, 6)
            .await
            .iter()
            .all(|entry| micro_usd(&entry["cost"]) == 0)
    );
}

#[tokio::test]
async fn the_api_is_served_by_a_login_too() {
    let (g, tokens) = with_a_login().await;
    g.provider.on(Route::Gemini).answer(Script::gemini("hello 你好"));
    for path in [
        "generateContent",
        "streamGenerateContent?alt=sse",
        "streamGenerateContent",
    ] {
        let answer = g.api(path).send().await.good();
        assert_eq!(text(&answer), "hello 你好", "{path}");
        assert!(
            !answer.raw_text().contains("\"response\""),
            "{}",
            answer.raw_text()
        );
        let seen = g.asked(Route::Gemini);
        assert_eq!(seen.target, format!("/v1internal:{path}"));
        assert_eq!(seen.bearer(), Some(tokens.access.as_str()));
        assert_eq!(
            seen.text(),
            format!("{{\"model\":\"gemini-2.5-pro\",\"project\":\"{PROJECT}\",\"request\":{CONTENTS}}}")
        );
    }
    assert_eq!(g.api("countTokens").send().await.good().json()["totalTokens"], 31);
    assert_eq!(
        g.asked(Route::Assist).json()["request"]["model"],
        "models/gemini-2.5-pro"
    );
}

#[tokio::test]
async fn code_assist_is_served_by_a_key_where_the_api_has_it() {
    let g = with_a_key().await;
    g.provider.on(Route::Gemini).answer(Script::gemini("hello 你好"));
    for path in [
        "generateContent",
        "streamGenerateContent?alt=sse",
        "streamGenerateContent",
    ] {
        let answer = g.assist(path).send().await.good();
        assert_eq!(text(&answer), "hello 你好", "{path}");
        assert!(
            answer.raw_text().contains("{\"response\":{"),
            "{}",
            answer.raw_text()
        );
        let seen = g.asked(Route::Gemini);
        assert_eq!(seen.target, format!("/v1beta/models/gemini-2.5-pro:{path}"));
        // The API refuses fields it does not know.
        assert_eq!(
            seen.text(),
            "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"\\u4f60\\u597d\"}]}],\"generationConfig\":{\"x\":1.50}}"
        );
    }
    let refused = g
        .client
        .post("/v1internal:loadCodeAssist", &json!({}))
        .await
        .expect(503)
        .json();
    assert_eq!(refused["error"]["status"], "UNAVAILABLE");
    assert!(
        refused["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("operator")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_call_is_charged_to_the_token_with_the_cache_and_the_thoughts_apart() {
    let g = with_a_key().await;
    let calls = [
        g.api("generateContent"),
        g.api("streamGenerateContent?alt=sse"),
        g.api("streamGenerateContent"),
        g.assist("streamGenerateContent?alt=sse"),
    ];
    for (at, call) in calls.into_iter().enumerate() {
        call.send().await.good();
        let entry = g.newest(at + 1).await;
        assert_eq!(
            (&entry["endpoint"], &entry["platform"], &entry["quality"]),
            (&json!("generate_content"), &json!("gemini"), &json!("exact")),
            "{entry}"
        );
        assert_eq!(
            entry["tokens"],
            json!({ "input": 400, "output": 70, "cacheWrite5m": 0, "cacheWrite1h": 0, "cacheRead": 600 })
        );
        // USD per million: input 1.25, output 10, cached 0.125.
        assert_eq!(
            (micro_usd(&entry["cost"]), &entry["model"]),
            (500 + 700 + 75, &json!("gemini-2.5-pro"))
        );
    }
}

#[tokio::test]
async fn a_mapped_model_changes_where_the_protocol_has_it() {
    let g = empty().await;
    let account = g.api_key(50).await;
    let path = format!("/admin/accounts/{}", account["id"].as_str().expect("an id"));
    let mapping = json!({ "modelMapping": { "gemini-2.5-pro": "gemini-2.5-flash" } });
    g.relay.admin().patch(&path, &mapping).await.good();
    g.api("generateContent").send().await.good();
    let seen = g.asked(Route::Gemini);
    assert_eq!(
        (seen.target.as_str(), seen.text().as_str()),
        ("/v1beta/models/gemini-2.5-flash:generateContent", CONTENTS)
    );
}

#[tokio::test]
async fn unknown_models_pass_and_known_ones_are_listed() {
    let g = with_a_key().await;
    let path = "/v1/models/gemini-99-experimental:generateContent";
    g.client.call("POST", path).body(CONTENTS).send().await.good();
    assert_eq!(g.asked(Route::Gemini).target, path);
    assert_eq!(g.newest(1).await["quality"], "estimated", "its price is a guess");
    for version in ["v1", "v1beta"] {
        let list = g.client.get(&format!("/{version}/models")).await.good().json();
        let names: Vec<_> = list["models"]
            .as_array()
            .expect("models")
            .iter()
            .filter_map(|model| model["name"].as_str())
            .collect();
        assert!(names.contains(&"models/gemini-2.5-pro"), "{names:?}");
        let one = g
            .client
            .get(&format!("/{version}/models/gemini-2.5-pro"))
            .await
            .good()
            .json();
        assert_eq!(one["name"], "models/gemini-2.5-pro");
        g.client.get(&format!("/{version}/models/none")).await.expect(404);
    }
    let missing = g
        .client
        .call("POST", "/v1beta/models/gemini-2.5-pro:embedContent")
        .body("{}")
        .send()
        .await
        .expect(404);
    assert_eq!(missing.json()["error"]["status"], "NOT_FOUND");
}

#[tokio::test]
async fn an_ended_token_is_renewed_with_client_and_secret() {
    let g = empty().await;
    let tokens = g.provider.oauth().issue_expired();
    g.login(&tokens, 1_600_000_000_000).await;
    g.api("generateContent").send().await.good();
    let form = g.asked(Route::Token).text();
    for part in [
        "grant_type=refresh_token",
        "client_id=client-of-the-operator",
        "client_secret=secret-of-the-operator",
    ] {
        assert!(form.split('&').any(|pair| pair == part), "{form}");
    }
    assert_ne!(g.asked(Route::Gemini).bearer(), Some(tokens.access.as_str()));
}

#[tokio::test]
async fn a_session_stays_on_its_account() {
    let g = with_a_key().await;
    for number in 0..4 {
        let account = json!({
            "name": format!("more-{number}"), "platform": "gemini",
            "credentials": { "type": "apiKey", "apiKey": format!("AIza-more-{number}") },
        });
        g.relay.add_account(&account).await;
    }
    let credential = |g: &Google| g.asked(Route::Gemini).credential().expect("a key").to_owned();
    g.assist("generateContent").send().await.good();
    let first = credential(&g);
    for _ in 0..3 {
        g.api("generateContent").send().await.good();
        g.assist("generateContent").send().await.good();
        assert_eq!(credential(&g), first);
    }
}

#[tokio::test]
async fn a_key_without_the_right_is_told_in_googles_words() {
    let g = with_a_key().await;
    let key = g
        .relay
        .key("claude only")
        .set("permissions", json!(["claude"]))
        .create()
        .await;
    let client = Client::new(&format!("{}/gemini", g.relay.url())).with_bearer(&key.secret);
    let refused = client
        .call("POST", "/v1internal:generateContent")
        .body(ENVELOPE)
        .send()
        .await
        .expect(403);
    assert_eq!(refused.json()["error"]["status"], "PERMISSION_DENIED");
    let garbage =
        Client::new(&format!("{}/gemini", g.relay.url())).with_header("x-goog-api-key", "cr_garbage");
    let refused = garbage.get("/v1beta/models").await.expect(401);
    assert_eq!(refused.json()["error"]["status"], "UNAUTHENTICATED");
}

#[tokio::test]
async fn both_kinds_of_account_can_be_tested() {
    let (g, _) = with_a_login().await;
    g.api_key(50).await;
    g.provider.on(Route::Gemini).answer(Script::gemini("Hello"));
    let accounts = g.relay.admin().get("/admin/accounts").await.good().json();
    for account in accounts["items"].as_array().expect("items") {
        let path = format!("/admin/accounts/{}/test", account["id"].as_str().expect("an id"));
        let told = g.relay.admin().post(&path, &json!({})).await.good().events();
        assert_eq!(told[1].data["text"], "Hello", "{told:?}");
        assert_eq!(told.last().expect("an event").data["success"], true);
    }
}

#[tokio::test]
async fn a_cut_list_is_cut_for_the_client_too() {
    applies_here!();
    let (g, _) = with_a_login().await;
    g.provider
        .on(Route::Gemini)
        .next(Script::gemini("words that break off").fails(At::AfterBytes(300), How::Reset));
    let answer = g.api("streamGenerateContent").send().await;
    assert!(answer.broke_off.is_some(), "half a list must not look whole");
}
