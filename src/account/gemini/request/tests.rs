use std::collections::HashMap;
use std::sync::Arc;

use crs_durable::CallId;
use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::dialect::body::tools::HostedTools;
use crate::model::account::Account;
use crate::model::name::ModelName;
use crate::model::secret::Secret;
use crate::port::gates::KeyHash;

fn config() -> Config {
    let vars: HashMap<String, String> = [
        ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
        ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
        ("GEMINI_API_URL", "http://api"),
        ("CODE_ASSIST_URL", "http://assist"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    Config::read(&vars).unwrap()
}

fn account(credentials: Credentials, mapping: &[(&str, &str)]) -> LiveAccount {
    let account: Account = serde_json::from_value(json!({
        "id": "a", "name": "a", "platform": "gemini", "credentials": {"type": "apiKey", "apiKey": ""},
        "credentialVersion": 1, "priority": 50, "maxConcurrency": 0, "isActive": true, "schedulable": true,
        "modelMapping": mapping.iter().copied().collect::<HashMap<_, _>>(), "createdAt": 0, "updatedAt": 0,
    }))
    .unwrap();
    LiveAccount {
        account,
        credentials,
        proxy: None::<Arc<_>>,
        replaced: None,
    }
}

fn key() -> Credentials {
    Credentials::ApiKey {
        api_key: Secret::new("AIza-1"),
        base_url: None,
    }
}

fn google(project: Option<&str>) -> Credentials {
    Credentials::OAuth {
        access_token: Secret::new("ya29.1"),
        refresh_token: None,
        expires_at: None,
        tenant: project.map(str::to_owned),
    }
}

fn call(endpoint: Endpoint, stream: bool, model: &str, body: &'static str) -> Call {
    Call {
        id: CallId(1),
        at: 0,
        started: 0,
        key: KeyHash([0; 32]),
        endpoint,
        headers: HeaderMap::new(),
        query: stream.then(|| "alt=sse".to_owned()),
        body: Bytes::from_static(body.as_bytes()),
        packed: None,
        fields: scan(body.as_bytes()).unwrap(),
        model: ModelName::parse(model).unwrap_or_default(),
        stream,
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

/// Where it goes, and what.
fn sent(call: &Call, account: &LiveAccount) -> (String, String) {
    let request = build(call, account, &config()).unwrap();
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    (request.uri().to_string(), body)
}

const CONTENTS: &str = r#"{ "contents":[{"parts":[{"text":"你好"}]}], "x_unknown": 1.50 }"#;
const ENVELOPED: &str = r#"{"model":"gemini-2.5-pro", "project":"of-the-client","user_prompt_id":"u","request":{"contents":[], "session_id":"s"}}"#;

#[test]
fn the_same_protocol_passes_unchanged() {
    let api = call(Endpoint::Generate(Surface::V1), true, "gemini-2.5-pro", CONTENTS);
    assert_eq!(
        sent(&api, &account(key(), &[])),
        (
            "http://api/v1/models/gemini-2.5-pro:streamGenerateContent?alt=sse".to_owned(),
            CONTENTS.to_owned()
        )
    );
    let assist = call(
        Endpoint::Generate(Surface::Internal),
        false,
        "gemini-2.5-pro",
        ENVELOPED,
    );
    assert_eq!(
        sent(&assist, &account(google(Some("proj-1")), &[])),
        (
            "http://assist/v1internal:generateContent".to_owned(),
            ENVELOPED.replace("of-the-client", "proj-1")
        )
    );
}

#[test]
fn a_mapping_of_an_older_record_cannot_leave_its_place_in_the_path() {
    for to in ["../../v1beta/files", "a b", "x%2F..%2Fy", "", "a//b", "?key=x"] {
        let api = call(
            Endpoint::Generate(Surface::V1Beta),
            false,
            "gemini-2.5-pro",
            CONTENTS,
        );
        let (url, _) = sent(&api, &account(key(), &[("gemini-2.5-pro", to)]));
        assert_eq!(
            url, "http://api/v1beta/models/gemini-2.5-pro:generateContent",
            "{to}"
        );
    }
}

#[test]
fn a_mapping_holds_for_every_name_of_its_model() {
    for named in [
        "gemini-2.5-pro",
        "Gemini-2.5-Pro",
        "gemini-2.5-pro-001",
        "google/gemini-2.5-pro",
    ] {
        let api = call(Endpoint::Generate(Surface::V1Beta), false, named, CONTENTS);
        let (url, _) = sent(&api, &account(key(), &[("gemini-2.5-pro", "gemini-3-pro")]));
        assert_eq!(
            url, "http://api/v1beta/models/gemini-3-pro:generateContent",
            "{named}"
        );
    }
    // An exact name goes first.
    let api = call(
        Endpoint::Generate(Surface::V1Beta),
        false,
        "gemini-2.5-pro-001",
        CONTENTS,
    );
    let mapping = [
        ("gemini-2.5-pro", "gemini-3-pro"),
        ("gemini-2.5-pro-001", "gemini-4"),
    ];
    let (url, _) = sent(&api, &account(key(), &mapping));
    assert!(url.ends_with("/gemini-4:generateContent"), "{url}");
}

#[test]
fn a_mapped_model_changes_where_the_protocol_has_it() {
    let mapping = [("gemini-2.5-pro", "gemini-3-pro")];
    let api = call(
        Endpoint::Generate(Surface::V1Beta),
        false,
        "gemini-2.5-pro",
        CONTENTS,
    );
    let (url, body) = sent(&api, &account(key(), &mapping));
    assert_eq!(
        (url.as_str(), body.as_str()),
        ("http://api/v1beta/models/gemini-3-pro:generateContent", CONTENTS)
    );
    let assist = call(
        Endpoint::Generate(Surface::Internal),
        false,
        "gemini-2.5-pro",
        ENVELOPED,
    );
    let (_, body) = sent(&assist, &account(google(None), &mapping));
    assert_eq!(body, ENVELOPED.replace("gemini-2.5-pro", "gemini-3-pro"));
    let count = r#"{"request":{"model":"models/gemini-2.5-pro","contents":[]}}"#;
    let count = call(
        Endpoint::CountContent(Surface::Internal),
        false,
        "gemini-2.5-pro",
        count,
    );
    let (url, body) = sent(&count, &account(google(Some("p")), &mapping));
    assert_eq!(url, "http://assist/v1internal:countTokens");
    assert_eq!(
        body,
        r#"{"request":{"model":"models/gemini-3-pro","contents":[]}}"#
    );
}

#[test]
fn a_call_of_the_api_is_put_into_the_envelope() {
    let api = call(
        Endpoint::Generate(Surface::V1Beta),
        true,
        "gemini-2.5-pro",
        CONTENTS,
    );
    let (url, body) = sent(&api, &account(google(Some("proj-1")), &[]));
    assert_eq!(url, "http://assist/v1internal:streamGenerateContent?alt=sse");
    assert_eq!(
        body,
        format!(r#"{{"model":"gemini-2.5-pro","project":"proj-1","request":{CONTENTS}}}"#)
    );
    let count = call(
        Endpoint::CountContent(Surface::V1),
        false,
        "gemini-2.5-pro",
        CONTENTS,
    );
    let (_, body) = sent(&count, &account(google(Some("proj-1")), &[]));
    assert_eq!(
        body,
        format!(
            r#"{{"request":{{"model":"models/gemini-2.5-pro",{}}}"#,
            CONTENTS.strip_prefix('{').unwrap()
        )
    );
}

#[test]
fn a_call_of_code_assist_is_taken_out_of_the_envelope() {
    for (body, inner) in [
        (ENVELOPED, r#"{"contents":[]}"#),
        (
            r#"{"model":"gemini-2.5-pro","request":{"session_id":"s","contents":[],"model":"models/x"}}"#,
            r#"{"contents":[]}"#,
        ),
        (
            r#"{"model":"gemini-2.5-pro","request":{"model":"m", "session_id":"s"}}"#,
            "{}",
        ),
        (
            r#"{"model":"gemini-2.5-pro","request":{ "contents" : [1] }}"#,
            r#"{ "contents" : [1] }"#,
        ),
    ] {
        let assist = call(
            Endpoint::Generate(Surface::Internal),
            false,
            "gemini-2.5-pro",
            body,
        );
        let (url, sent) = sent(&assist, &account(key(), &[]));
        assert_eq!(url, "http://api/v1beta/models/gemini-2.5-pro:generateContent");
        assert_eq!(sent, inner);
    }
    let none = call(
        Endpoint::Generate(Surface::Internal),
        false,
        "m",
        r#"{"model":"m"}"#,
    );
    assert!(matches!(
        build(&none, &account(key(), &[]), &config()),
        Err(Unsendable::Call(_))
    ));
}

#[test]
fn the_project_is_put_in_where_the_client_has_none() {
    let body = r#"{"model":"m","request":{}}"#;
    let assist = call(Endpoint::Generate(Surface::Internal), false, "m", body);
    let (_, sent_) = sent(&assist, &account(google(Some("proj-1")), &[]));
    assert_eq!(sent_, r#"{"project":"proj-1","model":"m","request":{}}"#);
    let quota = call(Endpoint::Assist(Assist::RetrieveUserQuota), false, "", "{}");
    assert_eq!(sent(&quota, &account(google(Some("proj-1")), &[])).1, "{}");
    let quota = call(
        Endpoint::Assist(Assist::RetrieveUserQuota),
        false,
        "",
        r#"{"project":"x"}"#,
    );
    assert_eq!(
        sent(&quota, &account(google(Some("proj-1")), &[])),
        (
            "http://assist/v1internal:retrieveUserQuota".to_owned(),
            r#"{"project":"proj-1"}"#.to_owned()
        )
    );
}

#[test]
fn what_is_of_google_accounts_is_not_asked_of_keys() {
    let load = call(Endpoint::Assist(Assist::LoadCodeAssist), false, "", "{}");
    assert!(matches!(
        build(&load, &account(key(), &[]), &config()),
        Err(Unsendable::Call(_))
    ));
}

#[test]
fn bases_are_taken_as_people_paste_them() {
    for base in [
        "https://h/x",
        "https://h/x/",
        "https://h/x/v1beta",
        "https://h/x/v1/models",
    ] {
        assert_eq!(plain_base(base), "https://h/x");
    }
}

#[test]
fn each_kind_shows_its_own_credential() {
    let api = call(Endpoint::Generate(Surface::V1), false, "m", "{}");
    let request = build(&api, &account(key(), &[]), &config()).unwrap();
    assert_eq!(request.headers()["x-goog-api-key"], "AIza-1");
    assert!(!request.headers().contains_key("authorization"));
    let request = build(&api, &account(google(Some("p")), &[]), &config()).unwrap();
    assert_eq!(request.headers()["authorization"], "Bearer ya29.1");
    assert!(!request.headers().contains_key("x-goog-api-key"));
}

#[test]
fn a_clients_own_project_stays_here_when_it_starts() {
    let body = r#"{"cloudaicompanionProject":"mine","cloudaicompanion_project":"mine","metadata":{"ideType":"X","duetProject":"mine"}}"#;
    for assist in [Assist::LoadCodeAssist, Assist::OnboardUser] {
        let start = call(Endpoint::Assist(assist), false, "", body);
        let (_, sent_body) = sent(&start, &account(google(Some("proj-1")), &[]));
        assert!(
            !sent_body.contains("mine") && sent_body.matches("proj-1").count() == 3,
            "{sent_body}"
        );
        let (_, sent_body) = sent(&start, &account(google(None), &[]));
        assert_eq!(sent_body, r#"{"metadata":{"ideType":"X"}}"#);
    }
    let plain = r#"{ "metadata":{"ideType":"X"}, "x":1.50 }"#;
    let start = call(Endpoint::Assist(Assist::LoadCodeAssist), false, "", plain);
    assert_eq!(sent(&start, &account(google(Some("proj-1")), &[])).1, plain);
}

#[test]
fn the_query_and_the_headers_hold_no_credential_of_the_clients() {
    let mut asked = call(
        Endpoint::Generate(Surface::V1Beta),
        true,
        "gemini-2.5-pro",
        CONTENTS,
    );
    asked.query = Some("%6bey=x&access_token=y&alt=sse;key=z&%61lt=sse&$fields=a&quotaUser=u".to_owned());
    for name in [
        "x-goog-user-project",
        "x-goog-request-params",
        "x-http-method-override",
        "authorization",
    ] {
        asked.headers.insert(name, "of-the-client".parse().unwrap());
    }
    for account in [account(key(), &[]), account(google(Some("p")), &[])] {
        let request = build(&asked, &account, &config()).unwrap();
        assert_eq!(request.uri().query(), Some("alt=sse"));
        assert!(!request.headers().values().any(|value| value == "of-the-client"));
    }
}
