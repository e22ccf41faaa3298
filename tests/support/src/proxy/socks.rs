//! Tunnels through a SOCKS5 proxy (RFC 1928, name and password by RFC 1929).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Manner, Shared};

const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

pub(super) async fn tunnel(
    shared: &Shared,
    stream: &mut TcpStream,
    login: Option<(String, String)>,
    manner: Manner,
) -> io::Result<Option<TcpStream>> {
    let mut greeting = [0; 2];
    stream.read_exact(&mut greeting).await?;
    let mut methods = vec![0; usize::from(greeting[1])];
    stream.read_exact(&mut methods).await?;
    let method = if login.is_some() { PASSWORD } else { NO_LOGIN };
    if greeting[0] != 5 || !methods.contains(&method) {
        shared.refuse();
        stream.write_all(&[5, NONE_ACCEPTABLE]).await?;
        return Ok(None);
    }
    stream.write_all(&[5, method]).await?;
    if let Some((name, password)) = login {
        stream.read_u8().await?;
        let shown = (short(stream).await?, short(stream).await?);
        let good = shown == (name.into_bytes(), password.into_bytes());
        stream.write_all(&[1, u8::from(!good)]).await?;
        if !good {
            shared.refuse();
            return Ok(None);
        }
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let target = match request[3] {
        1 => {
            let address = Ipv4Addr::from(stream.read_u32().await?);
            SocketAddr::from((address, stream.read_u16().await?)).to_string()
        }
        4 => {
            let address = Ipv6Addr::from(stream.read_u128().await?);
            SocketAddr::from((address, stream.read_u16().await?)).to_string()
        }
        _ => {
            let name = String::from_utf8_lossy(&short(stream).await?).into_owned();
            format!("{name}:{}", stream.read_u16().await?)
        }
    };
    let (code, target) = match manner {
        // "Connection not allowed by ruleset".
        Manner::Refuses => {
            shared.refuse_target(&target);
            (2, None)
        }
        _ if request[1] != 1 => (7, None),
        _ => match shared.connect(&target).await {
            Ok(target) => (0, Some(target)),
            // "Host unreachable".
            Err(_) => (4, None),
        },
    };
    stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(target)
}

/// A byte of length and so many bytes.
async fn short(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
