use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::NativeUpstream;
use super::guard::{Resolve, Resolving};
use crate::model::account::{Proxy, ProxyScheme};
use crate::port::destination::Destinations;
use crate::port::upstream::{Route, Upstream as _, UpstreamError, UpstreamErrorKind};

/// Answers as scripted, each name with the next of its answers, and counts.
#[derive(Default)]
struct Scripted {
    answers: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn says(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.answers
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_default()
            .push_back(addresses);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Scripted {
    fn resolve(&self, name: String) -> Resolving {
        self.asked.lock().unwrap().push(name.clone());
        let answer = self
            .answers
            .lock()
            .unwrap()
            .get_mut(&name)
            .and_then(VecDeque::pop_front);
        Box::pin(async move {
            let addresses = answer.ok_or_else(|| io::Error::other("no such name"))?;
            Ok(addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect())
        })
    }
}

struct Bench {
    names: Arc<Scripted>,
    upstream: NativeUpstream,
    port: u16,
    connections: Arc<Mutex<usize>>,
}

/// A server on this machine that answers 200 and closes, and a client with these rules.
#[allow(
    clippy::disallowed_methods,
    reason = "the server is the test's own, and ends with it"
)]
async fn bench(allow_private: bool, configured: &[&str]) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(Mutex::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            *count.lock().unwrap() += 1;
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                let _ = socket.read(&mut buffer).await;
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let _ = socket.write_all(answer).await;
            });
        }
    });
    let configured: Vec<String> = configured
        .iter()
        .map(|url| url.replace("PORT", &port.to_string()))
        .collect();
    let rules = Destinations::new(allow_private, "ALLOW", configured.iter().map(String::as_str));
    let names = Arc::new(Scripted::default());
    Bench {
        upstream: NativeUpstream::resolving(rules, names.clone()),
        names,
        port,
        connections,
    }
}

impl Bench {
    /// `PORT` stands for the server's port.
    async fn get(&self, url: &str, proxy: Option<Proxy>) -> Result<u16, UpstreamError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url.replace("PORT", &self.port.to_string()).parse().unwrap();
        let route = Route {
            proxy: proxy.map(Arc::new),
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
        };
        let answer = self.upstream.send(request, &route).await?;
        Ok(answer.status().as_u16())
    }

    async fn refused(&self, url: &str) -> String {
        let error = self.get(url, None).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::Forbidden, "{url}: {error}");
        error.detail
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn proxy(scheme: ProxyScheme, host: &str, port: u16) -> Proxy {
    Proxy {
        scheme,
        host: host.to_owned(),
        port,
        username: None,
        password: None,
    }
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_connected_to() {
    let bench = bench(true, &[]).await;
    bench.names.says("models.example", &["127.0.0.1"]);
    // Whoever asked a second time would get this.
    bench.names.says("models.example", &["169.254.169.254"]);
    assert_eq!(bench.get("http://models.example:PORT/", None).await.unwrap(), 200);
    assert_eq!(bench.names.asked(), ["models.example"]);
    let why = bench.refused("http://models.example:PORT/").await;
    assert!(why.contains("models.example (169.254.169.254)"), "{why}");
    assert_eq!(bench.connections(), 1);
}

#[tokio::test]
async fn a_name_is_refused_for_any_of_its_addresses() {
    let bench = bench(true, &[]).await;
    for answer in [
        &["127.0.0.1", "169.254.169.254"][..],
        &["169.254.169.254", "127.0.0.1"],
        &["127.0.0.1", "fe80::1"],
        &["::ffff:169.254.169.254"],
        &["64:ff9b::a9fe:a9fe"],
        &["fd00:ec2::254"],
        &["0.0.0.0"],
    ] {
        bench.names.says("models.example", answer);
        bench.refused("http://models.example:PORT/").await;
    }
    assert_eq!(bench.connections(), 0);
}

#[tokio::test]
async fn private_networks_and_this_machine_want_the_setting() {
    let bench = bench(false, &[]).await;
    bench.names.says("models.example", &["127.0.0.1"]);
    bench.names.says("models.example", &["10.0.0.1"]);
    for _ in 0..2 {
        let why = bench.refused("https://models.example:PORT/").await;
        assert!(why.contains("set ALLOW=true"), "{why}");
    }
    for url in [
        "http://127.0.0.1:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://127.1:PORT/",
        "http://2130706433:PORT/",
        "http://0x7f000001:PORT/",
        "http://localhost:PORT/",
    ] {
        assert!(bench.refused(url).await.contains("ALLOW"), "{url}");
    }
    assert_eq!(bench.connections(), 0);
    assert_eq!(bench.names.asked().len(), 2, "literals are not looked up");
}

#[tokio::test]
async fn plain_http_does_not_go_to_the_internet() {
    let bench = bench(true, &[]).await;
    bench.names.says("models.example", &["1.1.1.1"]);
    let why = bench.refused("http://models.example:PORT/").await;
    assert!(why.contains("https://"), "{why}");
}

#[tokio::test]
async fn configured_hosts_are_reached_without_the_setting() {
    let bench = bench(false, &["http://127.0.0.1:PORT/v1", "http://models.lan:PORT"]).await;
    bench.names.says("models.lan", &["127.0.0.1"]);
    bench.names.says("models.lan", &["169.254.169.254"]);
    for url in ["http://127.0.0.1:PORT/x", "http://models.lan:PORT/"] {
        assert_eq!(bench.get(url, None).await.unwrap(), 200, "{url}");
    }
    bench.refused("http://models.lan:PORT/").await;
    assert_eq!(bench.connections(), 2);
}

#[tokio::test]
async fn a_proxy_is_bound_by_its_own_address_and_by_the_name_behind_it() {
    for scheme in [ProxyScheme::Http, ProxyScheme::Https, ProxyScheme::Socks5] {
        let strict = bench(false, &[]).await;
        let lenient = bench(true, &[]).await;
        for bench in [&strict, &lenient] {
            bench.names.says("proxy.example", &["169.254.169.254"]);
        }
        strict.names.says("proxy.example", &["127.0.0.1"]);
        let cases = [
            (&strict, "127.0.0.1", "https://api.example/"),
            (&strict, "proxy.example", "https://api.example/"),
            (&strict, "proxy.example", "https://api.example/"),
            (&lenient, "proxy.example", "https://api.example/"),
            (&lenient, "127.0.0.1", "https://169.254.169.254/"),
            (&lenient, "127.0.0.1", "https://2852039166/"),
            (&lenient, "127.0.0.1", "https://metadata.google.internal/"),
            (&lenient, "127.0.0.1", "http://api.example/"),
        ];
        for (bench, host, url) in cases {
            let through = proxy(scheme, host, bench.port);
            let error = bench.get(url, Some(through)).await.unwrap_err();
            assert_eq!(
                error.kind,
                UpstreamErrorKind::Forbidden,
                "{scheme:?} {host} {url}: {error}"
            );
        }
        assert_eq!((strict.connections(), lenient.connections()), (0, 0));
    }
}

#[tokio::test]
async fn one_clients_connection_is_not_anothers() {
    let open = bench(true, &[]).await;
    assert_eq!(open.get("http://127.0.0.1:PORT/", None).await.unwrap(), 200);
    let mut strict = bench(false, &[]).await;
    strict.port = open.port;
    strict.refused("http://127.0.0.1:PORT/").await;
}
