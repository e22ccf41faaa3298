//! The control plane in a test: the real router over the memory store, the real machines, a clock that
//! stands still.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use crs_durable::gate::{self, Gate};
use crs_durable::pool::{self, Pool};
use crs_durable::{CallId, Machine as _};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::backups::ScriptedFolder;
use crate::app::{App, HostKind, Ports, assemble};
use crate::config::Config;
use crate::http::extract::{ClientAddress, FromThisMachine};
use crate::http::router;
use crate::model::account::Platform;
use crate::model::secret::Secret;
use crate::port::backups::Backups;
use crate::port::clock::Clock as _;
use crate::port::clock::movable::Movable;
use crate::port::gates::{Gates, GatesError, KeyHash};
use crate::port::store::Store;
use crate::port::tasks::Tasks;
use crate::port::upstream::{Body as UpstreamBody, Route, Upstream, UpstreamError, UpstreamErrorKind};
use crate::secrets::tests::Counting;
use crate::store::fake::FakeStore;

pub(super) const NOW: u64 = 1_764_000_000_000;
pub(super) const PASSWORD: &str = "correct horse battery";
pub(super) const LOCAL: &str = "the-local-token-of-this-host";

#[derive(Clone)]
pub(super) struct Bench {
    pub(super) app: App,
    pub(super) store: Arc<FakeStore>,
    pub(super) clock: Movable,
    pub(super) gates: Arc<Machines>,
    pub(super) provider: Arc<Scripted>,
    pub(super) router: Router,
    /// Every answer so far, to look for what must not be in one.
    answers: Arc<Mutex<Vec<String>>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HashMap<String, String>,
    pub(super) json: Value,
}

impl Answer {
    /// The answer, which must have this status.
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.json);
        self
    }

    /// The answer, which must be this error about this field.
    pub(super) fn refuses(self, status: u16, code: &str, field: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.json["error"], code, "{:?}", answer.json);
        assert_eq!(answer.json["field"], field, "{:?}", answer.json);
        answer
    }

    pub(super) fn text(&self, field: &str) -> String {
        self.json[field]
            .as_str()
            .unwrap_or_else(|| panic!("no text {field} in {:?}", self.json))
            .to_owned()
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Of a host whose process does not outlive its calls.
    pub(super) async fn on_the_edge() -> Self {
        Self::on(HostKind::Worker, &[]).await
    }

    /// With these variables, too.
    pub(super) async fn with(more: &[(&str, &str)]) -> Self {
        Self::on(HostKind::Native, more).await
    }

    async fn on(host: HostKind, more: &[(&str, &str)]) -> Self {
        let clock = Movable::at(NOW);
        let store = Arc::new(FakeStore::new(Arc::new(clock.clone())));
        let gates = Arc::new(Machines::new(clock.clone()));
        let provider = Arc::new(Scripted::default());
        let vars: HashMap<String, String> = [
            ("JWT_SECRET", "a-session-secret-of-32-characters"),
            ("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef"),
            ("ADMIN_USERNAME", "root"),
            ("ADMIN_PASSWORD", PASSWORD),
            ("WEB_TITLE", "Our relay"),
            ("STORE", "memory"),
            ("ALLOW_PRIVATE_UPSTREAMS", "true"),
        ]
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let config = Config::read(&vars).unwrap();
        let ports = Ports {
            store: store.clone(),
            upstream: provider.clone(),
            gates: gates.clone(),
            clock: Arc::new(clock.clone()),
            tasks: Arc::new(Tokio),
            random: Arc::new(Counting::new()),
            signer: Arc::new(crate::port::signer::tests::Plain),
            billed: None,
            backups: Some(Arc::new(ScriptedFolder::default())),
            host,
        };
        let app = assemble(config, ports, Some(Secret::new(LOCAL)));
        app.admins.ensure(&app.config.admin, None, NOW).await.unwrap();
        Self {
            router: router(app.clone()),
            app,
            store,
            clock,
            gates,
            provider,
            answers: Arc::default(),
        }
    }

    /// The same over another store.
    pub(super) async fn over(self, store: Arc<dyn Store>) -> Self {
        let ports = Ports {
            store,
            ..self.app.ports.clone()
        };
        self.assembled(ports).await
    }

    /// The same with other backups, or on a host that makes none.
    pub(super) async fn with_backups(self, backups: Option<Arc<ScriptedFolder>>) -> Self {
        let ports = Ports {
            backups: backups.map(|backups| backups as Arc<dyn Backups>),
            ..self.app.ports.clone()
        };
        self.assembled(ports).await
    }

    async fn assembled(mut self, ports: Ports) -> Self {
        self.app = assemble(self.app.config.clone(), ports, Some(Secret::new(LOCAL)));
        self.app
            .admins
            .ensure(&self.app.config.admin, None, NOW)
            .await
            .unwrap();
        self.router = router(self.app.clone());
        self
    }

    /// Sends a request as from this machine, unless it says from which address it comes.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Answer {
        if request.extensions().get::<ClientAddress>().is_none() {
            request.extensions_mut().insert(FromThisMachine::in_process());
        }
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.answers
            .lock()
            .unwrap()
            .push(format!("{:?} {text}", head.headers));
        let json = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
        };
        if let Err(wrong) = super::schema::check(&method, &path, head.status.as_u16(), &json) {
            panic!("{method} {path} answers otherwise than described: {wrong}");
        }
        Answer {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            json,
        }
    }

    /// A request with a token and a body as text.
    pub(super) async fn raw(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// A request of the admin.
    pub(super) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.raw(method, path, Some(LOCAL), body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &Value::Null).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &body).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, &body).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &Value::Null).await
    }

    pub(super) async fn login(&self, username: &str, password: &str, from: Option<IpAddr>) -> Answer {
        let body = serde_json::json!({ "username": username, "password": password });
        let request = Request::post("/web/auth/login")
            .extension(ClientAddress(from))
            .body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    pub(super) async fn token(&self) -> String {
        self.login("root", PASSWORD, None).await.is(200).text("token")
    }

    pub(super) fn answers(&self) -> Vec<String> {
        self.answers.lock().unwrap().clone()
    }

    /// What the gate says to a call with this key: it learns the key from the store if it must.
    pub(super) async fn admit(&self, key: &str, call: u128) -> gate::Reply {
        let hash = self.app.keyring.recognise(key).unwrap();
        let admit = gate::Command::Admit(gate::Admit {
            call: CallId(call),
            service: gate::Service::Claude,
            model: Some("claude-sonnet-4-5".to_owned()),
            canonical: None,
            slot: true,
            ttl_ms: 60_000,
            learned_since: 1,
            note: None,
            opus: false,
            client: None,
            estimate: None,
            queued_until: None,
            before_body: false,
            or_services: Vec::new(),
            by_routes: false,
            granted: false,
        });
        let reply = self.gates.gate(&hash, admit.clone()).await.unwrap();
        if reply != gate::Reply::NeedPolicy {
            return reply;
        }
        let policy = self
            .app
            .keys
            .by_hash(&hash)
            .await
            .unwrap()
            .map(|key| Arc::new(key.policy(480)));
        self.gates
            .gate(&hash, gate::Command::Learn { policy })
            .await
            .unwrap();
        self.gates.gate(&hash, admit).await.unwrap()
    }

    /// Teaches the pool its accounts, as the relay does before it picks one.
    pub(super) async fn learn_roster(&self) {
        let roster = self.app.accounts.roster(Platform::Claude, 0, None).await.unwrap();
        self.gates
            .pool(Platform::Claude, pool::Command::Learn { roster })
            .await
            .unwrap();
    }
}

pub(super) fn ok(status: u16) -> bool {
    StatusCode::from_u16(status).unwrap().is_success()
}

/// The machines, in this process.
pub(super) struct Machines {
    clock: Movable,
    gates: Mutex<HashMap<KeyHash, Gate>>,
    pools: Mutex<HashMap<Platform, Pool>>,
    pub(super) away: std::sync::atomic::AtomicBool,
    /// Commands that gates were sent.
    pub(super) to_gates: std::sync::atomic::AtomicUsize,
}

impl Machines {
    fn new(clock: Movable) -> Self {
        Self {
            clock,
            gates: Mutex::default(),
            pools: Mutex::default(),
            away: std::sync::atomic::AtomicBool::new(false),
            to_gates: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    fn reached(&self, machine: &'static str) -> Result<(), GatesError> {
        if self.away.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(GatesError {
                machine,
                reason: "told so".to_owned(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Gates for Machines {
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError> {
        self.reached("gate")?;
        self.to_gates.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut gates = self.gates.lock().unwrap();
        Ok(gates
            .entry(key.clone())
            .or_default()
            .handle(self.clock.now(), command)
            .reply)
    }

    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError> {
        self.reached("pool")?;
        let mut pools = self.pools.lock().unwrap();
        Ok(pools
            .entry(platform)
            .or_default()
            .handle(self.clock.now(), command)
            .reply)
    }
}

struct Tokio;

impl Tasks for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        #[expect(clippy::disallowed_methods, reason = "this is the test's host")]
        drop(tokio::spawn(task));
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::task::spawn_blocking(job).await.unwrap();
        })
    }

    fn drained(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

type Said = Result<http::Response<UpstreamBody>, UpstreamError>;

/// A provider that gives the answers it was told to, and cannot be reached after those.
#[derive(Default)]
pub(super) struct Scripted {
    to_say: Mutex<VecDeque<BoxFuture<'static, Said>>>,
    /// What it was asked, and through which proxy.
    pub(super) asked: Mutex<Vec<(http::Request<Bytes>, Option<String>)>>,
    /// This host has no proxies.
    pub(super) direct_only: std::sync::atomic::AtomicBool,
}

impl Scripted {
    pub(super) fn answers(&self, status: u16, headers: &[(&str, &str)], body: &Value) {
        let mut answer = http::Response::builder()
            .status(status)
            .header("content-type", "application/json");
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let body = http_body_util::Full::new(Bytes::from(body.to_string()));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let answer = answer.body(body).unwrap();
        self.will(async { Ok(answer) });
    }

    /// The next answer comes when this future ends.
    pub(super) fn will(&self, answer: impl Future<Output = Said> + Send + 'static) {
        self.to_say.lock().unwrap().push_back(Box::pin(answer));
    }
}

#[async_trait]
impl Upstream for Scripted {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        route: &Route,
    ) -> Result<http::Response<UpstreamBody>, UpstreamError> {
        let proxy = route.proxy.as_ref().map(|proxy| proxy.shown());
        self.asked.lock().unwrap().push((request, proxy));
        // Others run in between, as with a real one.
        tokio::task::yield_now().await;
        let answer = self.to_say.lock().unwrap().pop_front();
        let answer = answer.ok_or_else(|| UpstreamError {
            kind: UpstreamErrorKind::Unsendable,
            detail: "nobody calls a provider here".to_owned(),
            source: None,
        })?;
        answer.await
    }

    fn no_proxies(&self) -> Option<&'static str> {
        let direct_only = self.direct_only.load(std::sync::atomic::Ordering::SeqCst);
        direct_only.then_some("this host has none")
    }
}
