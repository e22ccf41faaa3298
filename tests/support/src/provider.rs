//! A fake provider: speaks the Anthropic API on a port of its own, does as its scripts say, and keeps a
//! record of every byte it received.
//!
//! ```no_run
//! # async fn example() {
//! use crs_support::provider::{FakeProvider, Script};
//!
//! let provider = FakeProvider::start().await;
//! provider.answer(Script::message("你好"));
//! provider.fails_once(429).with_header("retry-after", "30");
//! provider.for_credential("sk-ant-second").next(Script::message("hi").reset_after(3));
//! // ... calls to provider.url() ...
//! let request = provider.wait_for(1).await.remove(0);
//! assert_eq!(request.header("x-api-key"), Some("sk-ant-first"));
//! # }
//! ```
//!
//! It lives on a thread of its own, so a test that blocks does not stop it, and ends when dropped.
//! For a request, the first of these answers: the next script queued for its credential, the standing
//! answer for its credential, the next script queued for anyone, the standing answer for anyone.

mod amazon;
pub mod azure;
pub mod bedrock;
mod claude;
mod consent;
mod control;
mod entra;
mod gemini;
pub mod google;
mod headers;
mod oauth;
mod openai;
mod parts;
mod play;
mod request;
mod responses;
mod route;
mod script;
mod serve;
mod socket;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpSocket;
use tokio::sync::{oneshot, watch};

pub use claude::{Block, Message, Usage, error_body, error_type, frame, models};
pub use consent::{Allowed, CHATGPT_ACCOUNT, EMAIL};
pub use control::steered;
pub use gemini::{GeminiAnswer, PROJECT};
pub use headers::{epoch, rfc3339};
pub use oauth::Tokens;
pub use openai::OpenAiAnswer;
pub use request::{Closed, Outcome, Request};
pub use responses::{called, reasoning, said};
pub use route::Route;
pub use script::{At, Chunks, How, Script};

use crate::{PATIENCE, within};
use amazon::AmazonState;
use azure::AzureResource;
use entra::EntraState;
use google::GoogleState;
use oauth::OauthState;

/// The answer of a provider without a script.
pub const GREETING: &str = "你好，世界！ 🌍 This is the fake provider — ça va?";

type LaneKey = (Route, Option<String>);

#[derive(Default)]
struct State {
    queues: HashMap<LaneKey, VecDeque<(u64, Script)>>,
    standing: HashMap<LaneKey, Script>,
    requests: Vec<Request>,
    oauth: OauthState,
    amazon: AmazonState,
    azure: Option<AzureResource>,
    entra: EntraState,
    google: GoogleState,
    /// Upgrades are accepted; otherwise they get 405, as at a host that has none.
    takes_sockets: bool,
    violations: Vec<String>,
    received: usize,
    queued: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    open: AtomicUsize,
    connections: AtomicUsize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Numbers and keeps a request, and finds what answers it.
    fn receive(&self, mut request: Request) -> (Request, Script) {
        let mut state = self.state();
        state.received += 1;
        request.number = state.received;
        state.requests.push(request.clone());
        let script = state.script(&request);
        drop(state);
        self.bump();
        (request, script)
    }
}

impl State {
    fn script(&mut self, request: &Request) -> Script {
        let route = Route::of(request);
        if route != Route::Token
            && let Some(refusal) = self.oauth.objection(request)
        {
            return refusal;
        }
        if let Some(refusal) = self.amazon.objection(request) {
            return refusal;
        }
        if let Some(refusal) = bedrock::objection(request) {
            return refusal;
        }
        let azure = self.azure.as_ref();
        if let Some(refusal) = azure.and_then(|azure| azure.objection(request, &self.entra)) {
            return refusal;
        }
        if let Some(refusal) = self.google.objection(request) {
            return refusal;
        }
        let own = (route, request.credential().map(str::to_owned));
        for lane in [own, (route, None)] {
            if let Some((_, script)) = self.queues.get_mut(&lane).and_then(VecDeque::pop_front) {
                return script;
            }
            if let Some(script) = self.standing.get(&lane) {
                return script.clone();
            }
        }
        match (route, request.method.as_str()) {
            (Route::Messages, "POST") => Script::message(GREETING),
            (Route::CountTokens, "POST") if bedrock::call_of(request).is_some() => bedrock::count(request),
            (Route::CountTokens, "POST") => Script::json(json!({"input_tokens": request.body.len() / 4})),
            (Route::Models, "GET") => Script::json(models()),
            (Route::Responses | Route::ChatCompletions, "POST") => Script::openai(GREETING),
            (Route::Images, "POST") => Script::images(request),
            (Route::StoredResponse, _) => Script::stored_response(request),
            (Route::CountInput, "POST") => {
                let tokens = request.body.len() / 4;
                Script::json(json!({"object": "response.input_tokens", "input_tokens": tokens}))
            }
            (Route::Gemini, "POST") => Script::gemini(GREETING),
            (Route::Assist, "POST") => {
                let method = request.path().rsplit(':').next().unwrap_or_default();
                gemini::assist(method).map_or_else(|| Script::error(404), Script::json)
            }
            (Route::Upgrade, _) if self.takes_sockets => Script::upgrade(),
            (Route::Token, "POST") => {
                let granted = self.google.grant(request).or_else(|| self.entra.grant(request));
                granted.unwrap_or_else(|| self.oauth.grant(request))
            }
            (Route::Other, _) => Script::error(404),
            _ => Script::error(405),
        }
    }
}

/// The provider. See the module.
pub struct FakeProvider {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeProvider {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// [`FakeProvider::start`], with send buffers of about so many bytes, so that a slow reader is felt soon.
    pub async fn start_with_send_buffer(bytes: u32) -> Self {
        Self::start_with(Some(bytes)).await
    }

    #[expect(clippy::unused_async, reason = "callers need not know how it starts")]
    async fn start_with(send_buffer: Option<u32>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::channel(0).0,
            open: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let socket = TcpSocket::new_v4().expect("a socket");
                if let Some(bytes) = send_buffer {
                    socket
                        .set_send_buffer_size(bytes)
                        .expect("a send buffer of that size");
                }
                socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
                let listener = socket.listen(1024).expect("a listening socket");
                tell.send(listener.local_addr().expect("an address"))
                    .expect("someone waits");
                let accept = async {
                    loop {
                        let Ok((stream, _)) = listener.accept().await else {
                            continue;
                        };
                        let number = served.connections.fetch_add(1, Ordering::SeqCst) + 1;
                        served.open.fetch_add(1, Ordering::SeqCst);
                        served.bump();
                        tokio::spawn(serve::connection(Arc::clone(&served), stream, number));
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv_timeout(PATIENCE).expect("the provider's address");
        Self {
            shared,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of the token endpoint.
    pub fn oauth_url(&self) -> String {
        format!("{}/v1/oauth/token", self.url())
    }

    /// Accepts WebSockets for Responses from now on. Each turn on one is a request to [`Route::Responses`] with the
    /// message as its body; see [`Request::over_a_socket`].
    pub fn takes_sockets(&self) {
        self.shared.state().takes_sockets = true;
    }

    /// Scripts for requests to `route`.
    pub fn on(&self, route: Route) -> Lane<'_> {
        Lane {
            shared: &self.shared,
            key: (route, None),
        }
    }

    /// Scripts for calls of `/v1/messages` with this key or token.
    pub fn for_credential(&self, credential: &str) -> Lane<'_> {
        self.on(Route::Messages).for_credential(credential)
    }

    /// Answers every call of `/v1/messages` like this from now on, when nothing is queued.
    pub fn answer(&self, script: Script) {
        self.on(Route::Messages).answer(script);
    }

    /// Answers the next unanswered call of `/v1/messages` like this.
    pub fn next(&self, script: Script) -> Queued<'_> {
        self.on(Route::Messages).next(script)
    }

    /// The next call of `/v1/messages` fails with this status.
    pub fn fails_once(&self, status: u16) -> Queued<'_> {
        self.next(Script::error(status))
    }

    /// Every call of `/v1/messages` fails with this status, when nothing is queued.
    pub fn fails(&self, status: u16) {
        self.answer(Script::error(status));
    }

    /// The token endpoint and its tokens.
    pub fn oauth(&self) -> Oauth<'_> {
        Oauth { shared: &self.shared }
    }

    /// Every request so far, in the order their bodies were read.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The calls of one route so far.
    pub fn requests_to(&self, route: Route) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| Route::of(request) == route)
            .collect()
    }

    /// How many calls of `/v1/messages` there were.
    pub fn calls(&self) -> usize {
        self.requests_to(Route::Messages).len()
    }

    /// The last call of `/v1/messages`.
    ///
    /// # Panics
    /// If there was none.
    pub fn last_call(&self) -> Request {
        self.requests_to(Route::Messages)
            .pop()
            .expect("no call reached the provider")
    }

    /// Waits for the `n`th call of `/v1/messages` and returns the first `n`.
    pub async fn wait_for(&self, n: usize) -> Vec<Request> {
        self.wait_until(&format!("call {n} of the provider"), |provider| {
            let calls = provider.requests_to(Route::Messages);
            (calls.len() >= n).then(|| calls[..n].to_vec())
        })
        .await
    }

    /// Forgets the requests so far. Their numbers go on.
    pub fn forget(&self) {
        self.shared.state().requests.clear();
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Connections ever accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until exactly so many connections are open.
    pub async fn wait_for_open(&self, n: usize) {
        self.wait_until(&format!("{n} open connections"), |p| {
            (p.open_connections() == n).then_some(())
        })
        .await;
    }

    /// Requests that were not HTTP, by what was wrong with them.
    pub fn violations(&self) -> Vec<String> {
        self.shared.state().violations.clone()
    }

    async fn wait_until<T>(&self, what: &str, check: impl Fn(&Self) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        within(PATIENCE, what, async {
            loop {
                changed.borrow_and_update();
                if let Some(value) = check(self) {
                    return value;
                }
                let _ = changed.changed().await;
            }
        })
        .await
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Scripts for one kind of request.
pub struct Lane<'a> {
    shared: &'a Shared,
    key: LaneKey,
}

impl<'a> Lane<'a> {
    /// Only those with this key or token.
    pub fn for_credential(mut self, credential: &str) -> Self {
        self.key.1 = Some(credential.into());
        self
    }

    /// The standing answer.
    pub fn answer(&self, script: Script) {
        self.shared.state().standing.insert(self.key.clone(), script);
    }

    /// Queues one answer.
    pub fn next(&self, script: Script) -> Queued<'a> {
        let mut state = self.shared.state();
        state.queued += 1;
        let id = state.queued;
        state
            .queues
            .entry(self.key.clone())
            .or_default()
            .push_back((id, script));
        Queued {
            shared: self.shared,
            key: self.key.clone(),
            id,
        }
    }

    pub fn fails_once(&self, status: u16) -> Queued<'a> {
        self.next(Script::error(status))
    }

    /// The standing answer is this error.
    pub fn fails(&self, status: u16) {
        self.answer(Script::error(status));
    }

    /// Answers still queued.
    pub fn left(&self) -> usize {
        self.shared.state().queues.get(&self.key).map_or(0, VecDeque::len)
    }
}

/// A queued answer; may be changed until it is used.
pub struct Queued<'a> {
    shared: &'a Shared,
    key: LaneKey,
    id: u64,
}

impl Queued<'_> {
    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.change(|script| script.with_header(name, value))
    }

    /// Waits before the head.
    pub fn after(self, delay: Duration) -> Self {
        self.change(|script| script.delay_head(delay))
    }

    fn change(self, change: impl FnOnce(Script) -> Script) -> Self {
        let mut state = self.shared.state();
        let queue = state.queues.entry(self.key.clone()).or_default();
        let queued = queue.iter_mut().find(|(id, _)| *id == self.id);
        let (_, script) = queued.expect("the answer was already used when it was changed");
        *script = change(script.clone());
        drop(state);
        self
    }
}

/// The token endpoint. It mints tokens and knows which are good; the rest of the API refuses minted tokens
/// that are not, and minted tokens without the `oauth-...` beta flag, as the real one does. Tokens minted
/// elsewhere are not looked at.
pub struct Oauth<'a> {
    shared: &'a Shared,
}

impl Oauth<'_> {
    /// A fresh pair of good tokens.
    pub fn issue(&self) -> Tokens {
        self.shared.state().oauth.mint()
    }

    /// A pair whose access token has expired; the refresh token is good.
    pub fn issue_expired(&self) -> Tokens {
        let tokens = self.issue();
        self.expire(&tokens.access);
        tokens
    }

    /// A person opens this address, signs in and says yes. Nothing is fetched for that.
    pub fn allow(&self, address: &str) -> Allowed {
        self.shared.state().oauth.consents.allow(address)
    }

    /// From now on this access token is refused.
    pub fn expire(&self, access: &str) {
        self.shared.state().oauth.access.remove(access);
    }

    /// From now on this refresh token gets `invalid_grant`.
    pub fn revoke(&self, refresh: &str) {
        self.shared.state().oauth.refresh.remove(refresh);
    }

    /// The grant changes when the call arrives; the answer comes this much later.
    pub fn delay(&self, delay: Duration) {
        self.shared.state().oauth.delay = delay;
    }

    /// Life of access tokens as told to the client, in seconds.
    pub fn expires_in(&self, seconds: u64) {
        self.shared.state().oauth.expires_in = seconds;
    }

    /// A refresh token stays good when used. Otherwise each use replaces it, and using the old one again
    /// gets `invalid_grant`.
    pub fn without_rotation(&self) {
        self.shared.state().oauth.rotate = false;
    }

    /// How many refreshes succeeded.
    pub fn refreshes(&self) -> usize {
        self.shared.state().oauth.refreshes
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.shared.state().oauth.refused
    }
}
