//! Tunnels through an HTTP proxy.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Manner, Shared};
use crate::wire::read_request_head;

pub(super) async fn tunnel(
    shared: &Shared,
    stream: &mut TcpStream,
    login: Option<(String, String)>,
    manner: Manner,
) -> io::Result<Option<TcpStream>> {
    let mut buf = BytesMut::new();
    let Some(head) = read_request_head(stream, &mut buf).await? else {
        return Ok(None);
    };
    let wanted =
        login.map(|(name, password)| format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))));
    if wanted.is_some() && head.headers.get("proxy-authorization") != wanted.as_deref() {
        shared.refuse();
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"fake\"\r\n\
                      content-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await?;
        return Ok(None);
    }
    let refusal = match (manner, head.method.as_str()) {
        (Manner::Refuses, _) => Some("403 Forbidden"),
        (_, "CONNECT") if buf.is_empty() => None,
        // Bytes sent before the tunnel stands would be lost.
        _ => Some("400 Bad Request"),
    };
    if let Some(status) = refusal {
        shared.refuse_target(&head.target);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        return Ok(None);
    }
    let Ok(target) = shared.connect(&head.target).await else {
        let answer = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await?;
        return Ok(None);
    };
    stream
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    Ok(Some(target))
}
