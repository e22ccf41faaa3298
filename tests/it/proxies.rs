//! Accounts behind a proxy: through it, or not at all.

use crs_support::provider::FakeProvider;
use crs_support::proxy::{FakeProxy, Manner};
use serde_json::{Value, json};

use super::support::{ACCOUNT_KEY, relay};

async fn call_through(proxy: &FakeProxy, kind: &str, login: Option<(&str, &str)>) -> (FakeProvider, u16) {
    let provider = FakeProvider::start().await;
    // A short patience, or the proxy that never answers takes as long as a real one may.
    let relay = relay(&provider).env("CONNECT_TIMEOUT", 500).start().await;
    let mut settings = json!({ "type": kind, "host": "127.0.0.1", "port": proxy.port() });
    if let Some((user, password)) = login {
        settings["username"] = Value::from(user);
        settings["password"] = Value::from(password);
    }
    let account = json!({
        "name": "behind a proxy", "platform": "claude", "proxy": settings,
        "credentials": { "type": "apiKey", "apiKey": ACCOUNT_KEY },
    });
    let record = relay.add_account(&account).await;
    assert!(!record.to_string().contains("p@ss:word"), "{record}");
    let key = relay.key("k").create().await;
    let status = relay.client(&key.secret).messages("hi").send().await.status;
    (provider, status)
}

#[tokio::test]
async fn http() {
    applies_here!();
    let proxy = FakeProxy::http().await;
    let (provider, status) = call_through(&proxy, "http", None).await;
    assert_eq!((status, proxy.connections()), (200, 1));
    assert_eq!(proxy.targets(), [provider.address().to_string()]);
}

#[tokio::test]
async fn http_with_a_login() {
    applies_here!();
    let proxy = FakeProxy::http().await.with_login("user", "p@ss:word");
    let (_provider, status) = call_through(&proxy, "http", Some(("user", "p@ss:word"))).await;
    assert_eq!((status, proxy.refused()), (200, 0));
}

#[tokio::test]
async fn socks5() {
    applies_here!();
    let proxy = FakeProxy::socks5().await;
    let (provider, status) = call_through(&proxy, "socks5", None).await;
    assert_eq!(status, 200);
    assert_eq!(proxy.targets(), [provider.address().to_string()]);
}

#[tokio::test]
async fn socks5_with_a_login() {
    applies_here!();
    let proxy = FakeProxy::socks5().await.with_login("user", "p@ss:word");
    let (_provider, status) = call_through(&proxy, "socks5", Some(("user", "p@ss:word"))).await;
    assert_eq!((status, proxy.refused()), (200, 0));
}

#[tokio::test]
async fn a_broken_proxy_is_an_error_and_never_a_direct_call() {
    applies_here!();
    for manner in [Manner::Refuses, Manner::Stalls] {
        for (proxy, kind) in [
            (FakeProxy::http().await, "http"),
            (FakeProxy::socks5().await, "socks5"),
        ] {
            proxy.behaves(manner);
            let (provider, status) = call_through(&proxy, kind, None).await;
            assert!(matches!(status, 502 | 504), "{kind} {manner:?}: {status}");
            assert_eq!(provider.connections(), 0, "{kind} {manner:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_login_and_a_wrong_protocol() {
    applies_here!();
    let strict = FakeProxy::http().await.with_login("user", "right");
    let (provider, status) = call_through(&strict, "http", Some(("user", "wrong"))).await;
    assert_eq!((status, provider.connections()), (502, 0));
    let socks = FakeProxy::socks5().await;
    let (provider, status) = call_through(&socks, "http", None).await;
    assert!(matches!(status, 502 | 504), "{status}");
    assert_eq!(provider.connections(), 0);
    // TLS to a proxy that speaks none.
    let plain = FakeProxy::http().await;
    let (provider, status) = call_through(&plain, "https", None).await;
    assert!(matches!(status, 502 | 504), "{status}");
    assert_eq!(provider.connections(), 0);
}

#[tokio::test]
async fn where_no_proxy_can_be_used_the_account_is_left_alone() {
    applies_here!();
    for (proxy, kind) in [
        (FakeProxy::http().await, "http"),
        (FakeProxy::socks5().await, "socks5"),
    ] {
        let (provider, status) = call_through(&proxy, kind, None).await;
        assert_eq!(
            (status, provider.connections(), proxy.connections()),
            (503, 0, 0),
            "{kind}"
        );
    }
}
