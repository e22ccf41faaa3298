//! Proxies on ports of their own: one speaks HTTP (`CONNECT`), one SOCKS5. They let through, refuse or go
//! silent, and count, so that a test can tell that a call went through them and no other way.
//!
//! Host names are looked up by the proxy alone, among those it was told ([`FakeProxy::knows`]): a client
//! that resolves names itself never gets there.

mod connect;
mod socks;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::{PATIENCE, within};

/// What the proxy does to those who ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    #[default]
    Serves,
    /// Says no, in its protocol.
    Refuses,
    /// Accepts the connection and never answers.
    Stalls,
}

#[derive(Default)]
struct State {
    manner: Manner,
    login: Option<(String, String)>,
    names: HashMap<String, SocketAddr>,
    targets: Vec<String>,
}

struct Shared {
    state: Mutex<State>,
    accepted: AtomicUsize,
    refused: AtomicUsize,
    open: watch::Sender<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_target(&self, target: &str) {
        self.state().targets.push(target.to_owned());
        self.refuse();
    }

    fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes the target asked for, and connects to it if it is known or an address.
    async fn connect(&self, target: &str) -> std::io::Result<TcpStream> {
        let address = {
            let mut state = self.state();
            state.targets.push(target.to_owned());
            state.names.get(target).copied().or_else(|| target.parse().ok())
        };
        match address {
            Some(address) => TcpStream::connect(address).await,
            None => Err(std::io::Error::other("the proxy knows no such host")),
        }
    }
}

/// A running proxy; ends when dropped.
pub struct FakeProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    scheme: &'static str,
    task: AbortHandle,
}

impl FakeProxy {
    /// A proxy that speaks HTTP and only lets through tunnels (`CONNECT`).
    pub async fn http() -> Self {
        Self::start("http").await
    }

    /// A SOCKS5 proxy.
    pub async fn socks5() -> Self {
        Self::start("socks5").await
    }

    async fn start(scheme: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            open: watch::channel(0).0,
        });
        let served = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Dropped with this task, and so are the tunnels.
            let mut tunnels = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                served.accepted.fetch_add(1, Ordering::SeqCst);
                served.open.send_modify(|n| *n += 1);
                let shared = Arc::clone(&served);
                tunnels.spawn(async move {
                    serve(&shared, scheme, stream).await;
                    shared.open.send_modify(|n| *n -= 1);
                });
                while tunnels.try_join_next().is_some() {}
            }
        });
        Self {
            shared,
            address,
            scheme,
            task: task.abort_handle(),
        }
    }

    /// Only lets through those who show this name and password.
    pub fn with_login(self, name: &str, password: &str) -> Self {
        self.shared.state().login = Some((name.into(), password.into()));
        self
    }

    /// Stands for `host:port` while really being `address`.
    pub fn knows(self, host_and_port: &str, address: SocketAddr) -> Self {
        self.shared.state().names.insert(host_and_port.into(), address);
        self
    }

    /// From now on.
    pub fn behaves(&self, manner: Manner) {
        self.shared.state().manner = manner;
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:1234` or `socks5://...`, with the login if one is asked for.
    pub fn url(&self) -> String {
        let login = self.shared.state().login.clone();
        let login = login
            .map(|(name, password)| format!("{name}:{password}@"))
            .unwrap_or_default();
        format!("{}://{login}{}", self.scheme, self.address)
    }

    /// Connections ever accepted.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Calls turned away, for a wrong login or because it [`Manner::Refuses`].
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// `host:port` of each tunnel asked for, refused ones too, as the client named it.
    pub fn targets(&self) -> Vec<String> {
        self.shared.state().targets.clone()
    }

    /// Waits until no connection is open.
    pub async fn idle(&self) {
        let mut open = self.shared.open.subscribe();
        within(PATIENCE, "the proxy's connections to end", async {
            let _ = open.wait_for(|n| *n == 0).await;
        })
        .await;
    }
}

impl Drop for FakeProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(shared: &Shared, scheme: &str, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (manner, login) = {
        let state = shared.state();
        (state.manner, state.login.clone())
    };
    if manner == Manner::Stalls {
        // Until the client gives up.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        return;
    }
    let tunnel = match scheme {
        "http" => connect::tunnel(shared, &mut stream, login, manner).await,
        _ => socks::tunnel(shared, &mut stream, login, manner).await,
    };
    if let Ok(Some(mut target)) = tunnel {
        let _ = target.set_nodelay(true);
        let _ = copy_bidirectional(&mut stream, &mut target).await;
    }
}
