//! Codex and the OpenAI SDKs on OpenAI's accounts: keys, compatible hosts, and logins of ChatGPT.

mod bound;
mod faults;
mod images;
mod provider_socket;
mod socket;
mod stored;

use std::io::Write as _;

use crs_support::client::{Call, Client};
use crs_support::provider::{FakeProvider, OpenAiAnswer, Route, Script, Tokens};
use crs_support::relay::{Relay, Setup};
use serde_json::{Value, json};

use super::support::{Key, entries, micro_usd, relay};

const ACCOUNT_KEY: &str = "sk-openai-first-account";
const CHATGPT_ACCOUNT: &str = "11111111-2222-4333-8444-555555555555";

struct OpenAi {
    provider: FakeProvider,
    relay: Relay,
    key: Key,
    /// Shows the key, under `/openai`.
    client: Client,
}

/// A relay without accounts so far.
async fn empty(settings: impl FnOnce(Setup) -> Setup) -> OpenAi {
    let provider = FakeProvider::start().await;
    let relay = settings(relay(&provider)).start().await;
    let key = relay.key("k").create().await;
    let client = Client::new(&format!("{}/openai", relay.url())).with_bearer(&key.secret);
    OpenAi {
        provider,
        relay,
        key,
        client,
    }
}

async fn with_a_key() -> OpenAi {
    let o = empty(|setup| setup).await;
    o.api_key("first", ACCOUNT_KEY, 50).await;
    o
}

async fn with_chatgpt() -> (OpenAi, Tokens) {
    let o = empty(|setup| setup.env("OPENAI_OAUTH_CLIENT_ID", "client-of-the-operator")).await;
    let tokens = o.provider.oauth().issue();
    o.chatgpt(&tokens, 4_000_000_000_000).await;
    (o, tokens)
}

impl OpenAi {
    async fn api_key(&self, name: &str, key: &str, priority: u32) -> Value {
        let account = json!({
            "name": name, "platform": "openai", "priority": priority,
            "credentials": { "type": "apiKey", "apiKey": key },
        });
        self.relay.add_account(&account).await
    }

    async fn chatgpt(&self, tokens: &Tokens, expires_at: u64) -> Value {
        let account = json!({
            "name": "chatgpt", "platform": "openai",
            "credentials": {
                "type": "oauth", "accessToken": tokens.access, "refreshToken": tokens.refresh,
                "expiresAt": expires_at, "tenant": CHATGPT_ACCOUNT,
            },
        });
        self.relay.add_account(&account).await
    }

    fn responses(&self) -> Call {
        self.client.call("POST", "/responses").json(&json!({
            "model": "gpt-5", "input": [{ "role": "user", "content": "hi" }], "store": false,
        }))
    }

    fn chat(&self) -> Call {
        self.client.call("POST", "/v1/chat/completions").json(&json!({
            "model": "gpt-5", "messages": [{ "role": "user", "content": "hi" }],
        }))
    }

    fn asked(&self, route: Route) -> crs_support::provider::Request {
        self.provider
            .requests_to(route)
            .pop()
            .expect("a call of the provider")
    }

    async fn entry(&self) -> Value {
        entries(&self.relay, 1).await.remove(0)
    }
}

/// As Codex writes it to ChatGPT, with fields and items that the relay does not know.
const CODEX_BODY: &str = "{\"model\":\"gpt-6.1-sol\",\"input\":[{\"type\":\"additional_tools\",\"role\":\"developer\",\"tools\":[{\"type\":\"namespace\",\"x\":1.50}]},{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"\\u4f60\\u597d 世界 🌍\"}]}], \"tool_choice\":\"auto\",\"parallel_tool_calls\":false,\"reasoning\":{\"effort\":\"medium\"},\"store\":false,\"stream\":true,\"include\":[\"reasoning.encrypted_content\"],\"prompt_cache_key\":\"0190f1a2-0000-4000-8000-000000000000\",\"client_metadata\":{}}";

fn as_codex(call: Call) -> Call {
    call.body(CODEX_BODY)
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .header("originator", "codex_exec")
        .header(
            "user-agent",
            "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb (codex_exec; 0.169.0)",
        )
        .header("session-id", "0190f1a2-0000-4000-8000-000000000000")
        .header("thread-id", "0190f1a2-0000-4000-8000-000000000000")
        .header("x-codex-turn-metadata", "{\"turn_id\":\"1\"}")
        .header("x-openai-internal-codex-responses-lite", "true")
        .header("x-codex-beta-features", "remote_compaction_v2")
        .header("cookie", "session=secret")
        .header("openai-organization", "org-of-the-client")
        .header("chatgpt-account-id", "account-of-the-client")
}

#[tokio::test]
async fn codex_reaches_chatgpt_with_its_own_words_and_the_accounts_token() {
    let (o, tokens) = with_chatgpt().await;
    let answer = as_codex(o.client.call("POST", "/responses")).send().await.good();
    assert_eq!(
        answer.events().last().expect("an event").name,
        "response.completed"
    );
    let seen = o.asked(Route::Responses);
    assert_eq!(
        (seen.target.as_str(), seen.text().as_str()),
        ("/responses", CODEX_BODY)
    );
    for (name, value) in [
        ("authorization", format!("Bearer {}", tokens.access).as_str()),
        ("chatgpt-account-id", CHATGPT_ACCOUNT),
        ("originator", "codex_exec"),
        ("session-id", "0190f1a2-0000-4000-8000-000000000000"),
        ("thread-id", "0190f1a2-0000-4000-8000-000000000000"),
        ("x-codex-turn-metadata", "{\"turn_id\":\"1\"}"),
        ("x-openai-internal-codex-responses-lite", "true"),
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert!(
        seen.header("user-agent")
            .is_some_and(|agent| agent.starts_with("codex_exec/0.169.0"))
    );
    for name in ["cookie", "openai-organization", "x-api-key"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert!(!format!("{:?}", seen.headers).contains(&o.key.secret));
    // Codex shows the plan's windows; whose account it is stays here.
    assert_eq!(answer.header("x-codex-primary-used-percent"), Some("42"));
    for name in ["openai-organization", "set-cookie", "server", "content-encoding"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| id.starts_with("req_"))
    );
}

#[tokio::test]
async fn a_call_is_charged_to_the_token_with_the_cache_and_the_reasoning_apart() {
    let o = with_a_key().await;
    let usage = json!({ "input": 400, "output": 70, "cacheWrite5m": 0, "cacheWrite1h": 0, "cacheRead": 600 });
    let calls = [
        (o.responses(), "responses"),
        (o.responses().stream(), "responses"),
        (
            o.client
                .call("POST", "/v1/responses/compact")
                .body(o.responses().ask.body),
            "responses_compact",
        ),
        (o.chat(), "chat_completions"),
        (
            o.chat()
                .stream()
                .edit(|body| body["stream_options"] = json!({ "include_usage": true })),
            "chat_completions",
        ),
    ];
    for (at, (call, endpoint)) in calls.into_iter().enumerate() {
        call.send().await.good();
        let entry = entries(&o.relay, at + 1).await.remove(0);
        assert_eq!(
            (&entry["endpoint"], &entry["platform"], &entry["quality"]),
            (&json!(endpoint), &json!("openai"), &json!("exact")),
            "{entry}"
        );
        assert_eq!(entry["tokens"], usage, "{endpoint}");
        // USD per million: input 1.25, output 10, cached 0.125.
        assert_eq!(micro_usd(&entry["cost"]), 500 + 700 + 75, "{entry}");
    }
}

#[tokio::test]
async fn a_chat_that_asked_for_no_usage_is_estimated() {
    let o = with_a_key().await;
    let answer = o.chat().stream().send().await.good();
    assert!(answer.raw_text().ends_with("data: [DONE]\n\n"));
    let entry = o.entry().await;
    assert_eq!(entry["quality"], "estimated");
    let sent = o.asked(Route::ChatCompletions).body.len() as u64;
    assert_eq!(entry["tokens"]["input"], sent / 4, "{entry}");
}

#[tokio::test]
async fn every_address_of_both_clients_is_there() {
    let o = with_a_key().await;
    let api = Client::new(&o.relay.api()).with_key(&o.key.secret);
    let body = o.responses().ask.body;
    for (client, path, target) in [
        (&o.client, "/responses", "/v1/responses"),
        (&o.client, "/v1/responses", "/v1/responses"),
        (&o.client, "/responses/compact", "/v1/responses/compact"),
        (&o.client, "/v1/responses/compact", "/v1/responses/compact"),
        (&o.client, "/v1/chat/completions", "/v1/chat/completions"),
        (&api, "/v1/chat/completions", "/v1/chat/completions"),
    ] {
        client.call("POST", path).body(body.clone()).send().await.good();
        let seen = o.provider.requests().pop().expect("a request");
        assert_eq!(
            (seen.target.as_str(), seen.bearer()),
            (target, Some(ACCOUNT_KEY)),
            "{path}"
        );
    }
    for path in ["/models", "/v1/models"] {
        let models = o.client.get(path).await.good().json();
        let ids: Vec<_> = models["data"]
            .as_array()
            .expect("data")
            .iter()
            .filter_map(|model| model["id"].as_str())
            .collect();
        assert!(
            ids.contains(&"gpt-5") && ids.iter().all(|id| !id.starts_with("claude")),
            "{ids:?}"
        );
    }
    let usage = o.client.get("/usage").await.good().json();
    assert!(usage["usage"]["total"]["requests"].is_u64(), "{usage}");
    assert_eq!(
        o.client.get("/key-info").await.good().json()["keyInfo"]["name"],
        "k"
    );
    let missing = o.client.get("/nothing").await.expect(404).json();
    assert!(
        missing["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("/openai")),
        "{missing}"
    );
}

#[tokio::test]
async fn a_compatible_host_is_called_below_its_own_path() {
    let o = empty(|setup| setup).await;
    let account = json!({
        "name": "compatible", "platform": "openai",
        "credentials": { "type": "apiKey", "apiKey": ACCOUNT_KEY, "baseUrl": format!("{}/api/v3", o.provider.url()) },
    });
    o.relay.add_account(&account).await;
    o.chat().send().await.good();
    assert_eq!(o.asked(Route::ChatCompletions).target, "/api/v3/chat/completions");
}

#[tokio::test]
async fn a_mapped_model_changes_that_one_value() {
    let o = empty(|setup| setup).await;
    let mut account = o.api_key("first", ACCOUNT_KEY, 50).await;
    let path = format!(
        "/admin/accounts/{}",
        account["id"].take().as_str().expect("an id")
    );
    let mapping = json!({ "modelMapping": { "gpt-6.1-sol": "vendor/sol" } });
    o.relay.admin().patch(&path, &mapping).await.good();
    as_codex(o.client.call("POST", "/responses")).send().await.good();
    assert_eq!(
        o.asked(Route::Responses).text(),
        CODEX_BODY.replace("\"gpt-6.1-sol\"", "\"vendor/sol\"")
    );
    // A compressed body cannot be changed: it is sent opened then.
    let call = as_codex(o.client.call("POST", "/responses")).body(gzip(CODEX_BODY.as_bytes()));
    call.header("content-encoding", "gzip").send().await.good();
    let seen = o.asked(Route::Responses);
    assert_eq!(seen.header("content-encoding"), None);
    assert_eq!(seen.json()["model"], "vendor/sol");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("into memory");
    encoder.finish().expect("into memory")
}

/// One frame of one uncompressed block (RFC 8878): enough to be zstd.
fn zstd(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(&((text.len() as u32) << 3 | 1).to_le_bytes()[..3]);
    out.extend_from_slice(text);
    out
}

#[tokio::test]
async fn a_compressed_body_is_read_and_passed_on_as_it_came() {
    let (o, _) = with_chatgpt().await;
    for (coding, body) in [
        ("gzip", gzip(CODEX_BODY.as_bytes())),
        ("zstd", zstd(CODEX_BODY.as_bytes())),
    ] {
        let call = as_codex(o.client.call("POST", "/responses")).body(body.clone());
        call.header("content-encoding", coding).send().await.good();
        let seen = o.asked(Route::Responses);
        assert_eq!(
            (seen.header("content-encoding"), &seen.body[..]),
            (Some(coding), &body[..])
        );
        assert_eq!(o.entry().await["quality"], "exact");
    }
    let before = o.provider.requests().len();
    let bomb = gzip(&vec![b' '; 110 << 20]);
    let call = o
        .client
        .call("POST", "/responses")
        .body(bomb)
        .header("content-encoding", "gzip");
    let refused = call.send().await.expect(413).json();
    assert_eq!(refused["error"]["code"], "body_too_large");
    let call = o
        .client
        .call("POST", "/responses")
        .body("{}")
        .header("content-encoding", "br");
    call.send().await.expect(400);
    assert_eq!(o.provider.requests().len(), before);
}

#[tokio::test]
async fn no_answer_is_compressed_for_who_did_not_ask() {
    let o = with_a_key().await;
    o.provider
        .on(Route::Responses)
        .answer(Script::openai("plain").gzip_if_accepted());
    for accepts in [None, Some("gzip, br, zstd")] {
        let call = o.responses().stream();
        let call = match accepts {
            Some(accepts) => call.header("accept-encoding", accepts),
            None => call,
        };
        let answer = call.send().await.good();
        assert_eq!(answer.header("content-encoding"), None);
        assert!(answer.raw_text().contains("response.completed"));
    }
}

#[tokio::test]
async fn an_answer_is_not_touched_whatever_its_chunks() {
    let o = with_a_key().await;
    let odd = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{ \"id\":\"resp_1\",\"usage\":null}}\n\n: a comment\n\nevent: response.something_new\ndata: {\"type\":\"response.something_new\", \"x\":1.50}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"model\":\"gpt-5\",\"usage\":{\"input_tokens\":7,\"output_tokens\":9},\"output\":[{\"text\":\"你好，世界 🌍\"}]}}\n\n";
    o.provider
        .on(Route::Responses)
        .next(Script::raw_stream(odd).byte_by_byte());
    assert_eq!(o.responses().stream().send().await.good().body, odd);
    let entry = o.entry().await;
    assert_eq!(
        (&entry["tokens"]["input"], &entry["tokens"]["output"]),
        (&json!(7), &json!(9))
    );
}

#[tokio::test]
async fn chat_goes_to_an_account_that_serves_it() {
    let (o, _) = with_chatgpt().await;
    // ChatGPT has no such thing; it is not even asked.
    let refused = o.chat().send().await.expect(400).json();
    assert_eq!(refused["error"]["code"], "no_account");
    assert!(o.provider.requests().is_empty());
    o.api_key("key", ACCOUNT_KEY, 90).await;
    o.chat().send().await.good();
    assert_eq!(o.asked(Route::ChatCompletions).bearer(), Some(ACCOUNT_KEY));
    assert_eq!(o.entry().await["attempts"], 1);
    // And the login is as well as it was.
    o.responses().stream().send().await.good();
    assert_ne!(o.asked(Route::Responses).bearer(), Some(ACCOUNT_KEY));
}

#[tokio::test]
async fn an_ended_token_is_renewed_as_openai_has_it() {
    let o = empty(|setup| setup.env("OPENAI_OAUTH_CLIENT_ID", "client of the operator")).await;
    let tokens = o.provider.oauth().issue_expired();
    o.chatgpt(&tokens, 1_600_000_000_000).await;
    o.responses().stream().send().await.good();
    let asked = o.asked(Route::Token);
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    let form = asked.text();
    for part in [
        "grant_type=refresh_token",
        "client_id=client%20of%20the%20operator",
        "scope=openid%20profile%20email",
    ] {
        assert!(form.split('&').any(|pair| pair == part), "{form}");
    }
    assert_ne!(o.asked(Route::Responses).bearer(), Some(tokens.access.as_str()));
    assert_eq!(
        o.asked(Route::Responses).header("chatgpt-account-id"),
        Some(CHATGPT_ACCOUNT)
    );
}

#[tokio::test]
async fn a_session_stays_on_its_account() {
    let o = with_a_key().await;
    for number in 0..4 {
        o.api_key(&format!("more-{number}"), &format!("sk-more-{number}"), 50)
            .await;
    }
    let credential = |o: &OpenAi| o.asked(Route::Responses).bearer().expect("a key").to_owned();
    o.responses().header("session-id", "s-1").send().await.good();
    let first = credential(&o);
    for _ in 0..3 {
        o.responses().send().await.good();
        o.responses().header("session-id", "s-1").send().await.good();
        assert_eq!(credential(&o), first);
    }
    let by_cache_key = || o.responses().edit(|body| body["prompt_cache_key"] = "c-1".into());
    by_cache_key().send().await.good();
    let first = credential(&o);
    o.responses().send().await.good();
    by_cache_key().send().await.good();
    assert_eq!(credential(&o), first);
}

#[tokio::test]
async fn both_kinds_of_account_can_be_tested() {
    let (o, _) = with_chatgpt().await;
    o.api_key("key", ACCOUNT_KEY, 50).await;
    o.provider
        .on(Route::Responses)
        .answer(Script::of_openai(OpenAiAnswer::text("Hello")));
    let accounts = o.relay.admin().get("/admin/accounts").await.good().json();
    for account in accounts["items"].as_array().expect("items") {
        let path = format!("/admin/accounts/{}/test", account["id"].as_str().expect("an id"));
        let told = o.relay.admin().post(&path, &json!({})).await.good();
        let told = told.events();
        let last = &told.last().expect("an event").data;
        assert_eq!(
            (&last["type"], &last["success"]),
            (&json!("test_complete"), &json!(true)),
            "{last}"
        );
        assert_eq!(told[1].data["text"], "Hello");
        let asked = o.asked(Route::Responses);
        assert!(
            asked
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with("crs-edge/"))
        );
        // ChatGPT serves streams only, and refuses a bound.
        let login = account["credentials"]["type"] == "oauth";
        assert_eq!(
            (
                &asked.json()["stream"],
                asked.json()["max_output_tokens"].is_null()
            ),
            (&json!(true), login)
        );
    }
}
