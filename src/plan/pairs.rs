//! Generates the table of pairs and features in README.md, README.zh-CN.md and ARCHITECTURE.md. Each feature is tried
//! for each pair of a client's protocol and an account kind. The test fails if a document differs; `UPDATE_PAIRS=1`
//! updates the documents.
//!
//! A request with the feature is built for the account. It is refused, or its body contains the feature (`kept`), or
//! the feature is lost. Only requests are tested here; the converters' own tests cover answers.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::dialect::body::scan;
use crate::model::account::Account;
use crate::model::account::live::{AccessKeys, ServiceAccount};
use crate::model::name::ModelName;
use crate::model::secret::Secret;

/// The table's place in the documents.
const BEGIN: &str = "<!-- pairs: made by plan::pairs, UPDATE_PAIRS=1 -->\n";
const END: &str = "<!-- end of pairs -->\n";

#[derive(Clone, Copy, Debug)]
enum Language {
    English,
    Chinese,
}

#[derive(Clone, Copy, Debug)]
enum Support {
    Works,
    Loss,
    Refused,
}

impl Support {
    fn word(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Works, Language::English) => "yes",
            (Self::Loss, Language::English) => "loss",
            (Self::Refused, Language::English) => "no",
            (Self::Works, Language::Chinese) => "是",
            (Self::Loss, Language::Chinese) => "有损",
            (Self::Refused, Language::Chinese) => "否",
        }
    }
}

/// An account kind and a model for it.
struct AccountCase {
    name: &'static str,
    platform: Platform,
    chat_only: bool,
    credentials: Credentials,
    model: &'static str,
}

fn accounts() -> Vec<AccountCase> {
    let key = |base: Option<&str>| Credentials::ApiKey {
        api_key: Secret::new("k"),
        base_url: base.map(str::to_owned),
    };
    let login = || Credentials::OAuth {
        access_token: Secret::new("t"),
        refresh_token: None,
        expires_at: None,
        tenant: Some("tenant".to_owned()),
    };
    let amazon = Credentials::AccessKeys(AccessKeys {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: Secret::new("s"),
        session_token: None,
        region: "us-east-1".to_owned(),
        base_url: None,
    });
    let google = Credentials::ServiceAccount(ServiceAccount {
        client_email: "relay@my-project.iam.gserviceaccount.com".to_owned(),
        private_key: Secret::new("s"),
        private_key_id: None,
        project: "my-project".to_owned(),
        region: "global".to_owned(),
        base_url: None,
        access_token: Some(Secret::new("t")),
        expires_at: None,
    });
    let of = |name, platform, credentials, model| AccountCase {
        name,
        platform,
        chat_only: false,
        credentials,
        model,
    };
    vec![
        of("Claude", Platform::Claude, key(None), "claude-sonnet-4-5"),
        of("Bedrock", Platform::Claude, amazon, "claude-sonnet-4-5"),
        of("Vertex", Platform::Claude, google, "claude-sonnet-4-5"),
        of("OpenAI", Platform::OpenAi, key(None), "gpt-5.4"),
        of("ChatGPT", Platform::OpenAi, login(), "gpt-5.4"),
        AccountCase {
            chat_only: true,
            ..of("chat hosts", Platform::OpenAi, key(Some("https://h/v1")), "qwen3")
        },
        of("Gemini", Platform::Gemini, key(None), "gemini-2.5-pro"),
        of(
            "Antigravity",
            Platform::Antigravity,
            login(),
            "gemini-3-pro-preview",
        ),
    ]
}

impl AccountCase {
    fn live(&self) -> LiveAccount {
        let stored = match &self.credentials {
            Credentials::ApiKey { base_url, .. } => {
                json!({ "type": "apiKey", "apiKey": "", "baseUrl": base_url })
            }
            Credentials::AccessKeys(keys) => json!({
                "type": "accessKeys", "accessKeyId": keys.access_key_id, "secretAccessKey": "", "region": keys.region,
            }),
            Credentials::ServiceAccount(account) => json!({
                "type": "serviceAccount", "clientEmail": account.client_email, "privateKey": "",
                "project": account.project, "region": account.region,
            }),
            Credentials::EntraApp(app) => json!({
                "type": "entraApp", "tenantId": app.tenant_id, "clientId": app.client_id, "clientSecret": "",
                "baseUrl": app.base_url,
            }),
            Credentials::OAuth { .. } => json!({ "type": "oauth", "accessToken": "" }),
        };
        let account: Account = serde_json::from_value(json!({
            "id": "a", "name": "a", "platform": self.platform.name(), "credentials": stored, "chatOnly": self.chat_only,
            "credentialVersion": 1, "priority": 50, "maxConcurrency": 0, "isActive": true, "schedulable": true,
            "createdAt": 0, "updatedAt": 0,
        }))
        .unwrap();
        LiveAccount {
            account,
            credentials: self.credentials.clone(),
            proxy: None,
            replaced: None,
        }
    }
}

/// A feature of requests.
struct Feature {
    name: &'static str,
    chinese: &'static str,
    /// Whether a sent body contains the feature.
    kept: fn(&str) -> bool,
    /// The fields of a request with the feature; `None` if the protocol does not have it.
    messages: Option<Value>,
    responses: Option<Value>,
    chat: Option<Value>,
}

const DATA: &str = "TUFSSw==";
const ADDRESS: &str = "https://x.example/MARK.png";

#[allow(clippy::too_many_lines, reason = "a table")]
fn features() -> Vec<Feature> {
    let schema = || json!({ "type": "object", "properties": { "MARK": { "type": "string" } }, "required": ["MARK"], "additionalProperties": false });
    let messages = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
    let input =
        |content: Value| json!({ "input": [{ "type": "message", "role": "user", "content": content }] });
    let base64 = |kind: &str| json!({ "type": "base64", "media_type": kind, "data": DATA });
    let image = || json!({ "type": "image", "source": base64("image/png") });
    let data = |kind: &str| format!("data:{kind};base64,{DATA}");
    let tool = |name: &str| json!({ "name": name, "input_schema": { "type": "object", "properties": {} } });
    let function = |name: &str| json!({ "type": "function", "name": name, "parameters": { "type": "object", "properties": {} } });
    let nested = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object", "properties": {} } } });
    let returned = |result: Value| {
        json!({ "messages": [
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "call_1", "name": "A", "input": {} },
                { "type": "tool_use", "id": "call_2", "name": "A", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": result },
                { "type": "tool_result", "tool_use_id": "call_2", "content": "two" },
            ] },
        ], "tools": [tool("A")] })
    };
    let output = |result: Value| {
        json!({ "input": [
            { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "go" }] },
            { "type": "function_call", "call_id": "call_1", "name": "A", "arguments": "{}" },
            { "type": "function_call", "call_id": "call_2", "name": "A", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "call_1", "output": result },
            { "type": "function_call_output", "call_id": "call_2", "output": "two" },
        ], "tools": [function("A")] })
    };
    let mark = |sent: &str| sent.contains("MARK");
    let shown = |sent: &str| sent.contains(DATA);
    vec![
        Feature {
            name: "system prompt",
            chinese: "系统提示",
            kept: mark,
            messages: Some(json!({ "system": "MARK" })),
            responses: Some(json!({ "instructions": "MARK" })),
            chat: Some(
                json!({ "messages": [{ "role": "system", "content": "MARK" }, { "role": "user", "content": "hi" }] }),
            ),
        },
        Feature {
            name: "image, inline",
            chinese: "图片（内嵌）",
            kept: shown,
            messages: Some(messages(json!([image()]))),
            responses: Some(input(
                json!([{ "type": "input_image", "image_url": data("image/png") }]),
            )),
            chat: Some(messages(
                json!([{ "type": "image_url", "image_url": { "url": data("image/png") } }]),
            )),
        },
        Feature {
            name: "image, by address",
            chinese: "图片（网址）",
            kept: mark,
            messages: Some(messages(
                json!([{ "type": "image", "source": { "type": "url", "url": ADDRESS } }]),
            )),
            responses: Some(input(json!([{ "type": "input_image", "image_url": ADDRESS }]))),
            chat: Some(messages(
                json!([{ "type": "image_url", "image_url": { "url": ADDRESS } }]),
            )),
        },
        Feature {
            name: "PDF",
            chinese: "PDF",
            kept: shown,
            messages: Some(messages(
                json!([{ "type": "document", "source": base64("application/pdf") }]),
            )),
            responses: Some(input(
                json!([{ "type": "input_file", "filename": "a.pdf", "file_data": data("application/pdf") }]),
            )),
            chat: Some(messages(
                json!([{ "type": "file", "file": { "filename": "a.pdf", "file_data": data("application/pdf") } }]),
            )),
        },
        Feature {
            name: "functions",
            chinese: "函数工具",
            kept: mark,
            messages: Some(json!({ "tools": [tool("MARK")] })),
            responses: Some(json!({ "tools": [function("MARK")] })),
            chat: Some(json!({ "tools": [nested("MARK")] })),
        },
        Feature {
            name: "custom tools (free text)",
            chinese: "自定义工具（自由文本）",
            kept: mark,
            messages: None,
            responses: Some(json!({ "tools": [{ "type": "custom", "name": "MARK", "description": "x" }] })),
            chat: Some(json!({ "tools": [{ "type": "custom", "custom": { "name": "MARK" } }] })),
        },
        Feature {
            name: "parallel calls, results",
            chinese: "并行调用及结果",
            kept: |sent| sent.contains("MARK") && sent.contains("two"),
            messages: Some(returned(json!("MARK"))),
            responses: Some(output(json!("MARK"))),
            chat: Some(json!({ "messages": [
                { "role": "user", "content": "go" },
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "call_1", "type": "function", "function": { "name": "A", "arguments": "{}" } },
                    { "id": "call_2", "type": "function", "function": { "name": "A", "arguments": "{}" } },
                ] },
                { "role": "tool", "tool_call_id": "call_1", "content": "MARK" },
                { "role": "tool", "tool_call_id": "call_2", "content": "two" },
            ], "tools": [nested("A")] })),
        },
        Feature {
            name: "image in a result",
            chinese: "工具结果中的图片",
            kept: shown,
            messages: Some(returned(json!([image()]))),
            responses: Some(output(
                json!([{ "type": "input_image", "image_url": data("image/png") }]),
            )),
            chat: None,
        },
        Feature {
            name: "a forced tool",
            chinese: "指定工具",
            kept: |sent| sent.matches("Forced").count() > 1,
            messages: Some(
                json!({ "tools": [tool("Forced"), tool("B")], "tool_choice": { "type": "tool", "name": "Forced" } }),
            ),
            responses: Some(
                json!({ "tools": [function("Forced"), function("B")], "tool_choice": { "type": "function", "name": "Forced" } }),
            ),
            chat: Some(
                json!({ "tools": [nested("Forced"), nested("B")], "tool_choice": { "type": "function", "function": { "name": "Forced" } } }),
            ),
        },
        Feature {
            name: "one call at a time",
            chinese: "一次只调用一个工具",
            kept: |sent| {
                sent.contains("\"disable_parallel_tool_use\":true")
                    || sent.contains("\"parallel_tool_calls\":false")
            },
            messages: Some(
                json!({ "tools": [tool("A")], "tool_choice": { "type": "auto", "disable_parallel_tool_use": true } }),
            ),
            responses: Some(json!({ "tools": [function("A")], "parallel_tool_calls": false })),
            chat: Some(json!({ "tools": [nested("A")], "parallel_tool_calls": false })),
        },
        Feature {
            name: "thinking with a budget",
            chinese: "带预算的思考",
            kept: |sent| sent.contains("2049"),
            messages: Some(
                json!({ "max_tokens": 9000, "thinking": { "type": "enabled", "budget_tokens": 2049 } }),
            ),
            responses: None,
            chat: None,
        },
        Feature {
            name: "effort",
            chinese: "思考强度（effort）",
            kept: |sent| sent.to_ascii_lowercase().contains("\"high\"") || sent.contains("budget"),
            messages: Some(
                json!({ "max_tokens": 64_000, "output_config": { "effort": "high" }, "thinking": { "type": "adaptive" } }),
            ),
            responses: Some(json!({ "max_output_tokens": 64_000, "reasoning": { "effort": "high" } })),
            chat: Some(json!({ "max_completion_tokens": 64_000, "reasoning_effort": "high" })),
        },
        Feature {
            name: "answer by schema",
            chinese: "按 schema 回答",
            kept: mark,
            messages: Some(
                json!({ "output_config": { "format": { "type": "json_schema", "schema": schema() } } }),
            ),
            responses: Some(
                json!({ "text": { "format": { "type": "json_schema", "name": "a", "schema": schema(), "strict": true } } }),
            ),
            chat: Some(
                json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": schema(), "strict": true } } }),
            ),
        },
        Feature {
            name: "stop sequences",
            chinese: "停止序列",
            kept: mark,
            messages: Some(json!({ "stop_sequences": ["MARK"] })),
            responses: None,
            chat: Some(json!({ "stop": ["MARK"] })),
        },
        Feature {
            name: "temperature",
            chinese: "temperature",
            kept: |sent| sent.contains("0.25"),
            messages: Some(json!({ "temperature": 0.25 })),
            responses: Some(json!({ "temperature": 0.25 })),
            chat: Some(json!({ "temperature": 0.25 })),
        },
        Feature {
            name: "web search by the provider",
            chinese: "提供商的网页搜索",
            kept: |sent| sent.contains("web_search") || sent.contains("googleSearch"),
            messages: Some(json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] })),
            responses: Some(json!({ "tools": [{ "type": "web_search" }] })),
            chat: Some(json!({ "web_search_options": {} })),
        },
        Feature {
            name: "stored response to continue",
            chinese: "接着已存储的响应",
            kept: mark,
            messages: None,
            responses: Some(json!({ "previous_response_id": "resp_MARK" })),
            chat: None,
        },
    ]
}

fn support(client: Client, case: &AccountCase, feature: &Feature, config: &Config) -> Option<Support> {
    let (endpoint, asked) = match client {
        Client::Messages => (Endpoint::Messages, &feature.messages),
        Client::Responses => (Endpoint::Responses, &feature.responses),
        Client::Chat => (Endpoint::ChatCompletions, &feature.chat),
    };
    let asked = asked.as_ref()?;
    let mut body = match client {
        Client::Messages => {
            json!({ "model": case.model, "max_tokens": 1000, "messages": [{ "role": "user", "content": "hi" }] })
        }
        Client::Responses => json!({ "model": case.model, "store": false, "input": "hi" }),
        Client::Chat => json!({ "model": case.model, "messages": [{ "role": "user", "content": "hi" }] }),
    };
    for (name, value) in asked.as_object().unwrap() {
        body[name] = value.clone();
    }
    let account = case.live();
    let kind = account.account.kind();
    let plan = of_pair(client, case.platform).on(kind, endpoint);
    if !plan.serves(kind, endpoint) {
        return Some(Support::Refused);
    }
    let mut call = crate::dialect::call::tests::call(endpoint);
    call.body = body.to_string().into();
    call.fields = scan(&call.body).unwrap();
    call.model = ModelName::parse(case.model).unwrap();
    Some(match plan.request(&call, &account, config, 1_764_000_000_000) {
        Err(Unsendable::Call(_)) => Support::Refused,
        Err(Unsendable::Account(why)) => panic!("{} {}: {why}", case.name, feature.name),
        Ok(request) if (feature.kept)(&String::from_utf8_lossy(request.body())) => Support::Works,
        Ok(_) => Support::Loss,
    })
}

fn table(language: Language) -> String {
    let vars = ["JWT_SECRET", "ENCRYPTION_KEY"]
        .map(|name| (name.to_owned(), "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua".to_owned()));
    let config = Config::read(&HashMap::from(vars)).unwrap();
    let (cases, features) = (accounts(), features());
    let mut out = String::new();
    for client in Client::ALL {
        let client_name = match client {
            Client::Messages => "Messages (Claude Code)",
            Client::Responses => "Responses (Codex)",
            Client::Chat => "Chat Completions",
        };
        let columns: Vec<&str> = cases.iter().map(|case| case.name).collect();
        let title = match language {
            Language::English => format!("{client_name} on"),
            Language::Chinese => format!("{client_name}，账户："),
        };
        let columns = columns.join(" | ");
        let columns = match language {
            Language::English => columns,
            Language::Chinese => columns.replace("chat hosts", "仅 Chat Completions 的主机"),
        };
        let _ = writeln!(out, "| {title} | {columns} |");
        let _ = writeln!(out, "| --- |{}", " --- |".repeat(cases.len()));
        for feature in &features {
            let cells: Option<Vec<&str>> = cases
                .iter()
                .map(|case| Some(support(client, case, feature, &config)?.word(language)))
                .collect();
            let name = match language {
                Language::English => feature.name,
                Language::Chinese => feature.chinese,
            };
            if let Some(cells) = cells {
                let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
            }
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_table_of_pairs_is_true() {
    for (name, language) in [
        ("README.md", Language::English),
        ("README.zh-CN.md", Language::Chinese),
        ("ARCHITECTURE.md", Language::English),
    ] {
        let table = table(language);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text
            .split_once(BEGIN)
            .unwrap_or_else(|| panic!("{name} has no table of pairs"));
        let (present, after) = rest
            .split_once(END)
            .unwrap_or_else(|| panic!("{name}: the table has no end"));
        if std::env::var_os("UPDATE_PAIRS").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}\n{table}{END}{after}")).unwrap();
        } else {
            assert_eq!(
                present.trim(),
                table.trim(),
                "{name}: update it with UPDATE_PAIRS=1"
            );
        }
    }
}
