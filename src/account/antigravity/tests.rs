use std::collections::HashMap;

use crs_durable::CallId;
use serde_json::{Value, json};

use super::*;
use crate::dialect::body::tools::HostedTools;
use crate::dialect::body::{Fields, scan};
use crate::dialect::call::Surface;
use crate::dialect::messages::SESSION;
use crate::dialect::session::Session;
use crate::model::account::Account;
use crate::model::name::ModelName;
use crate::port::gates::KeyHash;

fn config(agent: Option<&str>) -> Config {
    let mut vars: HashMap<String, String> = [
        ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
        ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
        ("ANTIGRAVITY_API_URL", "http://antigravity"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Some(agent) = agent {
        vars.insert("ANTIGRAVITY_USER_AGENT".to_owned(), agent.to_owned());
    }
    Config::read(&vars).unwrap()
}

fn account(project: Option<&str>, mapping: &Value) -> LiveAccount {
    let account: Account = serde_json::from_value(json!({
        "id": "a", "name": "a", "platform": "antigravity", "credentials": {"type": "oauth", "accessToken": ""},
        "credentialVersion": 1, "priority": 50, "maxConcurrency": 0, "isActive": true, "schedulable": true,
        "modelMapping": mapping, "createdAt": 0, "updatedAt": 0,
    }))
    .unwrap();
    LiveAccount {
        account,
        credentials: Credentials::OAuth {
            access_token: Secret::new("ya29.1"),
            refresh_token: None,
            expires_at: None,
            tenant: project.map(str::to_owned),
        },
        proxy: None,
        replaced: None,
    }
}

fn call(endpoint: Endpoint, body: &'static str) -> Call {
    Call {
        id: CallId(1),
        at: 0,
        started: 0,
        key: KeyHash([0; 32]),
        endpoint,
        headers: HeaderMap::new(),
        query: None,
        body: Bytes::from_static(body.as_bytes()),
        packed: None,
        fields: Fields::default(),
        model: ModelName::parse("gemini-3-pro").unwrap(),
        stream: true,
        session: None,
        refers_to: Vec::new(),
        stored: false,
        background: false,
        object: None,
        max_output: None,
        hosted: HostedTools::default(),
        only: None,
    }
}

const GENERATE: Endpoint = Endpoint::Generate(Surface::V1Beta);

fn sent(call: &Call, account: &LiveAccount, agent: Option<&str>) -> (String, Value, HeaderMap) {
    let request = Antigravity.request(call, account, &config(agent), 0).unwrap();
    let body = serde_json::from_slice(request.body()).unwrap();
    (request.uri().to_string(), body, request.headers().clone())
}

#[test]
fn a_call_is_in_an_envelope_of_the_relays_own() {
    let asked = call(GENERATE, r#"{"contents":[],"x":1.50}"#);
    let account = account(Some("p-1"), &json!({"gemini-3-pro": "gemini-3-pro-high"}));
    let (address, body, headers) = sent(&asked, &account, None);
    assert_eq!(
        address,
        "http://antigravity/v1internal:streamGenerateContent?alt=sse"
    );
    assert_eq!(
        body,
        json!({
            "project": "p-1", "requestId": request_id(CallId(1)), "model": "gemini-3-pro-high",
            "userAgent": "crs-edge", "request": {"contents": [], "x": 1.50},
        })
    );
    assert!(headers["user-agent"].to_str().unwrap().starts_with("crs-edge/"));
    assert!(headers["authorization"].is_sensitive());
    let (_, body, headers) = sent(&asked, &account, Some("bench/2 x"));
    assert_eq!(
        (&body["userAgent"], headers["user-agent"].to_str().unwrap()),
        (&json!("bench"), "bench/2 x")
    );
}

#[test]
fn a_session_has_a_name_that_is_the_relays() {
    let mut headers = HeaderMap::new();
    headers.insert("x-claude-code-session-id", "of-the-client".parse().unwrap());
    for (body, other) in [("{\"contents\":[]}", Some("contents")), ("{ }", None)] {
        let mut asked = call(GENERATE, body);
        asked.session = Session::of(&SESSION, &headers, &scan(b"{}").unwrap(), b"{}");
        let (_, body, _) = sent(&asked, &account(None, &json!({})), None);
        let inner = body["request"].as_object().unwrap();
        let name = inner["sessionId"].as_str().unwrap();
        assert!(name.len() == 16 && !name.contains("client"));
        assert_eq!(inner.len(), 1 + usize::from(other.is_some()));
        assert_eq!(body.get("project"), None);
    }
}

#[test]
fn the_project_is_asked_for_before_it_is_needed() {
    let (known, unknown) = (account(Some("p"), &json!({})), account(None, &json!({})));
    let lookup = |endpoint, account: &LiveAccount| {
        let asked = call(endpoint, "{}");
        let request = Antigravity.lookup(&asked, account, &config(None))?;
        Some(request.unwrap().uri().to_string())
    };
    assert_eq!(
        lookup(GENERATE, &unknown).as_deref(),
        Some("http://antigravity/v1internal:loadCodeAssist")
    );
    assert_eq!(lookup(GENERATE, &known), None);
    for free in [
        Endpoint::CountContent(Surface::Internal),
        Endpoint::Assist(Assist::FetchAvailableModels),
    ] {
        assert_eq!(lookup(free, &unknown), None);
    }
    assert!(Antigravity.looked_up(b"{}").unwrap_err().contains("Antigravity"));
}

#[test]
fn other_calls_go_to_their_methods() {
    let known = account(Some("p-1"), &json!({}));
    let (address, body, _) = sent(
        &call(Endpoint::CountContent(Surface::Internal), r#"{"request":{}}"#),
        &known,
        None,
    );
    assert_eq!(
        (address.as_str(), body),
        (
            "http://antigravity/v1internal:countTokens",
            json!({"request": {}})
        )
    );
    let models = call(Endpoint::Assist(Assist::FetchAvailableModels), "{}");
    let (address, body, _) = sent(&models, &known, None);
    assert_eq!(
        (address.as_str(), body),
        (
            "http://antigravity/v1internal:fetchAvailableModels",
            json!({"project": "p-1"})
        )
    );
    let unknown = Antigravity.request(&call(Endpoint::Responses, "{}"), &known, &config(None), 0);
    assert!(matches!(unknown, Err(Unsendable::Call(_))));
}
