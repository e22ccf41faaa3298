use std::time::Duration;

use crs_support::client::{Ask, Raw};
use crs_support::provider::FakeProvider;
use crs_support::proxy::{FakeProxy, Manner};
use crs_support::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(5);

/// Speaks SOCKS5 and returns the tunnel, or the bytes of the refusal.
async fn socks(
    proxy: &FakeProxy,
    login: Option<(&str, &str)>,
    host: &str,
    port: u16,
) -> Result<TcpStream, Vec<u8>> {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream
        .write_all(&[5, 1, if login.is_some() { 2 } else { 0 }])
        .await
        .unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    if answer[1] == 0xff {
        return Err(answer.to_vec());
    }
    if let Some((name, password)) = login {
        let mut bytes = vec![1, name.len() as u8];
        bytes.extend(name.bytes());
        bytes.push(password.len() as u8);
        bytes.extend(password.bytes());
        stream.write_all(&bytes).await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        if answer[1] != 0 {
            return Err(answer.to_vec());
        }
    }
    let mut bytes = vec![5, 1, 0, 3, host.len() as u8];
    bytes.extend(host.bytes());
    bytes.extend(port.to_be_bytes());
    stream.write_all(&bytes).await.unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    if answer[1] == 0 {
        Ok(stream)
    } else {
        Err(answer.to_vec())
    }
}

async fn speak(stream: &mut TcpStream) -> String {
    let ask = Ask::post("/v1/messages", "{}")
        .header("connection", "close")
        .to_bytes();
    stream.write_all(&ask).await.unwrap();
    let mut answer = String::new();
    within(PATIENCE, "an answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

#[tokio::test]
async fn a_tunnel_by_connect_needs_the_login() {
    let provider = FakeProvider::start().await;
    let proxy = FakeProxy::http()
        .await
        .with_login("me", "pw")
        .knows("api.example:80", provider.address());
    assert!(proxy.url().starts_with("http://me:pw@127.0.0.1:"));

    let mut raw = Raw::connect(&proxy.url().replace("me:pw@", "")).await;
    raw.send("CONNECT api.example:80 HTTP/1.1\r\nhost: api.example:80\r\n\r\n")
        .await;
    assert_eq!(raw.head().await.status, 407);
    assert_eq!((proxy.connections(), proxy.refused()), (1, 1));
    assert!(proxy.targets().is_empty());

    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let ask = "CONNECT api.example:80 HTTP/1.1\r\nhost: x\r\nproxy-authorization: Basic bWU6cHc=\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = [0; 39];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[..12], b"HTTP/1.1 200");
    assert!(speak(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(proxy.targets(), ["api.example:80"]);
    assert_eq!(provider.calls(), 1);

    // What is no tunnel is not served: it would show the proxy what goes through it.
    let mut raw = Raw::connect(&proxy.address().to_string()).await;
    let plain = Ask::get("http://api.example/").header("proxy-authorization", "Basic bWU6cHc=");
    assert_eq!(raw.head_of(&plain).await.status, 400);
}

#[tokio::test]
async fn a_socks_tunnel_resolves_names_at_the_proxy() {
    let provider = FakeProvider::start().await;
    let proxy = FakeProxy::socks5()
        .await
        .knows("api.example:443", provider.address());
    let mut tunnel = socks(&proxy, None, "api.example", 443).await.unwrap();
    assert!(speak(&mut tunnel).await.starts_with("HTTP/1.1 200"));
    assert_eq!(socks(&proxy, None, "other.example", 443).await.unwrap_err()[1], 4);
    assert_eq!(proxy.targets(), ["api.example:443", "other.example:443"]);

    let locked = FakeProxy::socks5()
        .await
        .with_login("me", "pw")
        .knows("api.example:443", provider.address());
    socks(&locked, None, "api.example", 443).await.unwrap_err();
    socks(&locked, Some(("me", "no")), "api.example", 443)
        .await
        .unwrap_err();
    assert_eq!(locked.refused(), 2);
    socks(&locked, Some(("me", "pw")), "api.example", 443)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_proxy_may_refuse_or_go_silent() {
    let proxy = FakeProxy::socks5().await;
    proxy.behaves(Manner::Refuses);
    assert_eq!(socks(&proxy, None, "api.example", 443).await.unwrap_err()[1], 2);
    proxy.behaves(Manner::Stalls);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(&[5, 1, 0]).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(silence.is_err());
    drop(stream);
    proxy.idle().await;
}

#[tokio::test]
async fn a_client_that_leaves_the_tunnel_is_felt_behind_it() {
    let provider = FakeProvider::start().await;
    provider.answer(crs_support::provider::Script::message("x").stall_before_head());
    let proxy = FakeProxy::socks5()
        .await
        .knows("api.example:443", provider.address());
    let mut tunnel = socks(&proxy, None, "api.example", 443).await.unwrap();
    tunnel
        .write_all(&Ask::post("/v1/messages", "{}").to_bytes())
        .await
        .unwrap();
    let request = provider.wait_for(1).await.remove(0);
    drop(tunnel);
    assert!(request.closed_within(Duration::from_secs(1)).await.by_peer);
}
