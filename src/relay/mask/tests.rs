use std::sync::Arc;

use super::*;
use crate::config::Secret;
use crate::model::account::{Proxy, ProxyScheme, StoredCredentials};

const TOKEN: &str = "sk-ant-api03/AB+cd==\"x";
const REFRESH: &str = "1//refresh-token-value";

fn account() -> Arc<LiveAccount> {
    let stored = serde_json::json!({
        "id": "acc", "name": "a", "platform": "claude", "credentialVersion": 1, "priority": 1,
        "maxConcurrency": 0, "isActive": true, "schedulable": true, "createdAt": 0, "updatedAt": 0,
        "credentials": StoredCredentials::ApiKey { api_key: "sealed".into(), base_url: None },
    });
    Arc::new(LiveAccount {
        account: serde_json::from_value(stored).unwrap(),
        credentials: Credentials::OAuth {
            access_token: Secret::new(TOKEN.to_owned()),
            refresh_token: Some(Secret::new(REFRESH.to_owned())),
            expires_at: None,
            tenant: None,
        },
        proxy: Some(Arc::new(Proxy {
            scheme: ProxyScheme::Http,
            host: "proxy".into(),
            port: 1,
            username: Some("short".into()),
            password: Some("proxy-password".into()),
        })),
    })
}

fn hidden(body: &str) -> String {
    let mask = SecretMask::of(&account());
    String::from_utf8(mask.body(Bytes::from(body.to_owned())).to_vec()).unwrap()
}

fn stars(secret: &str) -> String {
    "*".repeat(secret.len())
}

#[test]
fn every_form_of_every_secret_is_hidden() {
    for form in [
        TOKEN,
        REFRESH,
        "proxy-password",
        "sk-ant-api03%2FAB%2Bcd%3D%3D%22x",
        "sk-ant-api03%2fAB%2bcd%3d%3d%22x",
        "sk-ant-api03/AB+cd==\\\"x",
        "sk-ant-api03\\/AB+cd==\\\"x",
        &STANDARD.encode("short:proxy-password"),
    ] {
        let body = format!("bad key {form}, and again {form}!");
        assert_eq!(hidden(&body), format!("bad key {0}, and again {0}!", stars(form)));
    }
}

#[test]
fn json_may_write_it_in_escapes() {
    let escapes: Vec<String> = REFRESH
        .chars()
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect();
    let escaped = escapes.concat();
    let body = hidden(&format!(r#"{{"error":{{"message":"no {escaped}"}}}}"#));
    let json: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["error"]["message"], format!("no {}", stars(REFRESH)));
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    let body = Bytes::from_static(b"{\"error\":{\"message\":\"short \\u0041 proxy\"}}");
    let mask = SecretMask::of(&account());
    assert_eq!(mask.body(body.clone()).as_ptr(), body.as_ptr(), "not even copied");
    assert!(matches!(mask.text("short words"), Cow::Borrowed(_)));
}

#[test]
fn a_cut_text_may_end_within_one() {
    let (beginning, _) = TOKEN.split_at(12);
    let cut = format!("the key {beginning}");
    assert_eq!(hidden(&cut), format!("the key {}", stars(beginning)));
    assert_eq!(hidden("sk-"), "sk-");
}

#[test]
fn headers_that_repeat_it_are_dropped() {
    let mut headers = HeaderMap::new();
    headers.insert("request-id", "req_1".parse().unwrap());
    headers.insert("x-debug", format!("token={REFRESH}").parse().unwrap());
    hide_headers(&account(), &mut headers);
    assert_eq!(headers.len(), 1);
}

fn streamed(chunks: &[&str], events: bool) -> String {
    let mut mask = EventMask::new(account(), events);
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&mask.pass(Bytes::from((*chunk).to_owned())));
    }
    out.extend_from_slice(&mask.rest());
    String::from_utf8(out).unwrap()
}

#[test]
fn error_events_are_hidden_across_every_cut_and_content_never() {
    let content = format!("event: content_block_delta\ndata: {{\"text\":\"an error {REFRESH}\"}}\n\n");
    for error in [
        format!("event: error\ndata: {{\"type\":\"error\",\"error\":{{\"message\":\"key {REFRESH}\"}}}}\n\n"),
        format!("data: {{\"error\":{{\"message\":\"key {REFRESH}\"}}}}\r\n\r\n"),
        format!("event: response.failed\ndata: {{\"type\":\"response.failed\",\"k\":\"{REFRESH}\"}}\n\n"),
    ] {
        let stream = format!("{content}{content}{error}{content}");
        let told = format!(
            "{content}{content}{}{content}",
            error.replace(REFRESH, &stars(REFRESH))
        );
        assert_eq!(streamed(&[&stream], true), told);
        for at in 1..stream.len() {
            let (first, second) = stream.split_at(at);
            assert_eq!(streamed(&[first, second], true), told, "cut at {at}");
        }
        let bytes: Vec<String> = stream.chars().map(|c| c.to_string()).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(streamed(&bytes, true), told);
    }
    let list = format!("[{{\"candidates\":[]}},{{\"error\":{{\"message\":\"{REFRESH}\"}}}}]");
    assert_eq!(streamed(&[&list], false), list.replace(REFRESH, &stars(REFRESH)));
}

#[test]
fn whole_events_pass_uncopied() {
    let mut mask = EventMask::new(account(), true);
    let chunk = Bytes::from_static(b"event: a\ndata: {}\n\n");
    assert_eq!(mask.pass(chunk.clone()).as_ptr(), chunk.as_ptr());
    let half = Bytes::from_static(b"event: a\ndata: {\"a\"");
    assert_eq!(
        mask.pass(half.clone()),
        half,
        "what is no error waits for nothing"
    );
}

#[test]
fn an_endless_error_event_is_not_held_for_ever() {
    let mut mask = EventMask::new(account(), true);
    let mut passed = mask.pass(Bytes::from_static(b"event: error\ndata: ")).len();
    for _ in 0..100 {
        passed += mask.pass(Bytes::from(vec![b'x'; 4 << 10])).len();
    }
    assert!(passed > 300 << 10);
}
