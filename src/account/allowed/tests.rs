use proptest::prelude::*;

use super::*;
use crate::account::{claude, gemini, openai};

const DIALECTS: [(&str, &Allowed); 3] = [
    ("claude", &claude::headers::ALLOWED),
    ("openai", &openai::request::ALLOWED),
    ("gemini", &gemini::request::ALLOWED),
];

/// Parameters that are credentials, accounts, or another request than the one that was checked.
const HOSTILE_PARAMETERS: [&str; 19] = [
    "key",
    "access_token",
    "oauth_token",
    "api_key",
    "api-key",
    "apikey",
    "token",
    "auth",
    "bearer_token",
    "$key",
    "quotaUser",
    "userProject",
    "user_project",
    "callback",
    "$callback",
    "fields",
    "$fields",
    "upload_protocol",
    "$httpMethod",
];

const HOSTILE_HEADERS: [&str; 33] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-goog-user-project",
    "x-goog-request-params",
    "x-goog-authenticated-user-email",
    "x-goog-iam-authorization-token",
    "x-goog-quota-user",
    "x-goog-fieldmask",
    "x-http-method-override",
    "x-method-override",
    "x-http-method",
    "anthropic-organization",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "openai-organization",
    "openai-project",
    "chatgpt-account-id",
    "cookie",
    "forwarded",
    "via",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-original-url",
    "x-rewrite-url",
    "host",
    "connection",
    "content-encoding",
    "content-length",
    "transfer-encoding",
];

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
    headers
}

/// Every byte percent-encoded.
fn escaped(text: &str) -> String {
    let hex = hex::encode(text);
    hex.as_bytes().chunks(2).fold(String::new(), |out, digits| {
        out + "%" + &String::from_utf8_lossy(digits)
    })
}

#[test]
fn no_dialect_lists_a_credential_or_a_destination() {
    for (name, allowed) in DIALECTS {
        for hostile in HOSTILE_HEADERS {
            let header = HeaderName::from_static(hostile);
            assert!(!listed(allowed, &header), "{name}: {hostile}");
        }
        for hostile in HOSTILE_PARAMETERS {
            let listed = allowed
                .query
                .iter()
                .any(|parameter| parameter.name.eq_ignore_ascii_case(hostile));
            assert!(!listed, "{name}: {hostile}");
        }
    }
}

#[test]
fn no_spelling_brings_a_credential_into_the_query() {
    for (name, allowed) in DIALECTS {
        for hostile in HOSTILE_PARAMETERS {
            let escaped = escaped(hostile);
            let half = hostile.replacen('e', "%65", 1).replacen('o', "%6F", 1);
            for spelling in [
                hostile,
                &escaped,
                &half,
                &hostile.to_ascii_uppercase(),
                &escaped.replace('%', "%25"),
                &format!("+{hostile}"),
                &format!("{hostile}+"),
                &format!("{hostile}%00"),
                &format!("%EF%BB%BF{hostile}"),
            ] {
                for query in [
                    format!("{spelling}=x"),
                    format!("&{spelling}=x&"),
                    spelling.to_owned(),
                    format!("{spelling}[]=x"),
                    format!("{spelling}%5B%5D=x"),
                ] {
                    assert_eq!(allowed_query(allowed, &query), None, "{name}: {query}");
                }
            }
        }
    }
}

#[test]
fn values_cannot_hold_another_parameter() {
    let claude = |query| allowed_query(&claude::headers::ALLOWED, query);
    assert_eq!(claude("beta=true").as_deref(), Some("beta=true"));
    assert_eq!(claude("b%65ta=tr%75e").as_deref(), Some("beta=true"));
    for query in [
        "beta=true;key=x",
        "beta=true%26key=x",
        "beta=true%3Bkey%3Dx",
        "beta=a+b",
        "beta=%23",
    ] {
        let kept = claude(query).unwrap_or_default();
        assert!(
            !kept.contains([';', '+', '#', ' ']) && kept.matches(['&', '=']).count() <= 1,
            "{query}: {kept}"
        );
    }
    let openai = |query| allowed_query(&openai::request::ALLOWED, query);
    assert_eq!(
        openai("api-version=2025-04-01-preview&api-version=x&api-key=y").as_deref(),
        Some("api-version=2025-04-01-preview"),
        "the first of two"
    );
    assert_eq!(openai(&format!("api-version={}", "1".repeat(300))), None);
    let gemini = |query| allowed_query(&gemini::request::ALLOWED, query);
    assert_eq!(gemini("alt=sse").as_deref(), Some("alt=sse"));
    assert_eq!(gemini("%61lt=sse&alt=json").as_deref(), Some("alt=sse"));
    assert_eq!(
        gemini("%24alt=json;enum-encoding=int").as_deref(),
        Some("$alt=json%3Benum-encoding%3Dint")
    );
    // The relay could not read such an answer.
    for query in ["alt=proto", "alt=media", "alt=sse%00", "alt=SSE", "alt"] {
        assert_eq!(gemini(query), None, "{query}");
    }
}

#[test]
fn clients_keep_their_identity() {
    for (allowed, sent) in [
        (
            &claude::headers::ALLOWED,
            &[
                ("user-agent", "claude-cli/2.1.330 (external, cli)"),
                ("accept", "application/json"),
                ("anthropic-version", "2023-06-01"),
                ("anthropic-beta", "one-2025"),
                ("anthropic-beta", "two-2026"),
                ("anthropic-dangerous-direct-browser-access", "true"),
                ("x-app", "cli"),
                ("x-claude-code-session-id", "0190"),
                ("x-stainless-runtime-version", "v26"),
            ][..],
        ),
        (
            &openai::request::ALLOWED,
            &[
                ("user-agent", "codex_exec/0.169.0"),
                ("accept", "text/event-stream"),
                ("originator", "codex_exec"),
                ("session-id", "0190"),
                ("thread-id", "0190"),
                ("session_id", "0190"),
                ("conversation_id", "0190"),
                ("x-client-request-id", "0190"),
                ("x-codex-window-id", "w"),
                ("x-codex-turn-metadata", "{}"),
                ("x-openai-internal-codex-responses-lite", "true"),
                ("openai-beta", "responses=experimental"),
                ("version", "0.169.0"),
                ("x-stainless-lang", "python"),
            ][..],
        ),
        (
            &gemini::request::ALLOWED,
            &[
                ("user-agent", "GeminiCLI-tui/0.61.0/gemini-2.5-pro"),
                ("accept", "*/*"),
                ("x-goog-api-client", "gl-node/24"),
                ("x-gemini-api-privileged-user-id", "u"),
                ("x-server-timeout", "600"),
            ][..],
        ),
    ] {
        let mut expected = headers(sent);
        expected.insert("content-type", HeaderValue::from_static("application/json"));
        assert_eq!(allowed_headers(allowed, &headers(sent)), expected);
    }
}

#[test]
fn a_body_is_never_called_a_form() {
    for (_, allowed) in DIALECTS {
        for (sent, expected) in [
            (
                &["application/json; charset=utf-8"][..],
                "application/json; charset=utf-8",
            ),
            (&["Application/JSON"], "Application/JSON"),
            (&["application/x-www-form-urlencoded"], "application/json"),
            (
                &["multipart/form-data; boundary=application/json"],
                "application/json",
            ),
            (
                &["application/json, application/x-www-form-urlencoded"],
                "application/json",
            ),
            (
                &["application/json", "application/x-www-form-urlencoded"],
                "application/json",
            ),
            (&["application/x-protobuf"], "application/json"),
            (&[], "application/json"),
        ] {
            let sent: Vec<_> = sent.iter().map(|kind| ("content-type", *kind)).collect();
            let kept = allowed_headers(allowed, &headers(&sent));
            let kept: Vec<_> = kept.get_all("content-type").iter().collect();
            assert_eq!(kept, [expected]);
        }
    }
}

#[test]
fn only_answers_that_are_read_are_accepted() {
    for (accept, passes) in [
        ("application/json, text/event-stream", true),
        ("application/json;q=0.9, */*", true),
        ("TEXT/EVENT-STREAM", true),
        ("application/x-protobuf", false),
        ("application/json, application/x-protobuf", false),
        ("text/html", false),
    ] {
        let kept = allowed_headers(&gemini::request::ALLOWED, &headers(&[("accept", accept)]));
        assert_eq!(kept.contains_key("accept"), passes, "{accept}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_only_listed_names_are_sent(query in "[a-z%$&=;+0-9A-F\\[\\]-]{0,80}") {
        for (_, allowed) in DIALECTS {
            let Some(kept) = allowed_query(allowed, &query) else { continue };
            for pair in kept.split('&') {
                let (name, value) = pair.split_once('=').unwrap();
                prop_assert!(allowed.query.iter().any(|parameter| parameter.name == name));
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            }
        }
    }
}
