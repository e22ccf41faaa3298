use std::sync::Arc;

use super::*;
use crate::model::account::{Proxy, ProxyScheme, StoredCredentials};
use crate::model::secret::Secret;

const TOKEN: &str = "sk-ant-api03/AB+cd==\"x";
const OLD: &str = "the-token-before";
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
        replaced: Some(Box::new(Credentials::ApiKey {
            api_key: Secret::new(OLD.to_owned()),
            base_url: None,
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
        OLD,
        "proxy-password",
        &hex::encode(REFRESH),
        "sk-ant-api03%2FAB%2Bcd%3D%3D%22x",
        "sk-ant-api03%2fAB%2bcd%3d%3d%22x",
        "sk%2Dant%2Dapi03%2FAB%2Bcd%3D%3D%22x",
        "sk%2dant%2dapi03%2fAB%2bcd%3d%3d%22x",
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
    let mut mask = StreamMask::new(account(), events);
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&mask.pass(Bytes::from((*chunk).to_owned())));
    }
    out.extend_from_slice(&mask.rest());
    String::from_utf8(out).unwrap()
}

#[test]
fn streams_are_hidden_across_every_cut_whatever_form_the_error_has() {
    let content = "event: content_block_delta\ndata: {\"text\":\"an error 1//refresh\"}\n\n";
    for error in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"key KEY\"}}\n\n",
        "id: 7\nevent: error\ndata: {\"message\":\"key KEY\"}\n\n",
        ": hi\nretry: 7\ndata: {\"message\":\"key KEY\"}\n\n",
        "\u{feff}data: {\"error\":{\"message\":\"key KEY\"}}\r\n\r\n",
        "data: {\"error\":\"KEY\"}\r\r",
        "data: {\"object\":\"chat.completion.chunk\",\"error\":{\"message\":\"KEY\"},\"choices\":[]}\n\n",
        "data: {\"response\":{\"error\":{\"message\":\"KEY\"}},\"type\":\"response.failed\"}\n\n",
        "data: {\"fine\": \"KEY",
        "KEYKEY",
    ] {
        let error = error.replace("KEY", REFRESH);
        let stream = format!("{content}{error}{content}");
        let told = stream.replace(REFRESH, &stars(REFRESH));
        for events in [true, false] {
            assert_eq!(streamed(&[&stream], events), told);
            for at in 1..stream.len() {
                let Some((first, second)) = stream.split_at_checked(at) else {
                    continue;
                };
                assert_eq!(streamed(&[first, second], events), told, "cut at {at}");
            }
            let letters: Vec<String> = stream.chars().map(|c| c.to_string()).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(streamed(&letters, events), told);
        }
    }
}

#[test]
fn a_secret_behind_much_padding_is_hidden() {
    let padding = "x".repeat(70 << 10);
    let begin = format!("event: error\ndata: {{\"a\":\"{padding}");
    let end = format!("{REFRESH}\"}}\n\n");
    assert_eq!(
        streamed(&[&begin, &end], true),
        format!("{begin}{}", end.replace(REFRESH, &stars(REFRESH)))
    );
}

#[test]
fn an_error_event_may_write_it_in_escapes() {
    let escapes: Vec<String> = REFRESH
        .chars()
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect();
    let escaped = escapes.concat();
    let event = format!("event: error\ndata: {{\"error\":\"{escaped}\"}}\n\n");
    let told = format!("event: error\ndata: {{\"error\":\"{}\"}}\n\n", stars(REFRESH));
    assert_eq!(streamed(&[&event], true), told);
}

#[test]
fn what_holds_no_secret_passes_uncopied() {
    let mut mask = StreamMask::new(account(), true);
    for chunk in [
        "event: a\ndata: {}\n\n",
        "event: error\ndata: {\"a\"",
        ":\"\\u0041\"}\n\n",
    ] {
        let chunk = Bytes::from_static(chunk.as_bytes());
        assert_eq!(mask.pass(chunk.clone()).as_ptr(), chunk.as_ptr());
    }
}

#[test]
fn what_is_held_back_is_shorter_than_a_secret() {
    let mut mask = StreamMask::new(account(), true);
    let sent = "1//refresh-token-valu".repeat(100);
    let passed = mask.pass(Bytes::from(sent.clone())).len();
    assert!(sent.len() - passed < REFRESH.len());
    assert_eq!(passed + mask.rest().len(), sent.len());
}
