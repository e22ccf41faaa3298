//! One relay in virtual time, with one key and the accounts that a test gives it.

mod crew;
mod provider;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use crs_durable::gate::{self, MoneyLimit};
use crs_durable::pool;
use futures_util::FutureExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::app::{App, HostKind, Ports, assemble};
use crate::config::Config;
use crate::host::native::process::ProcessGates;
use crate::http::model_calls;
use crate::model::account::live::{Credentials, EntraApp, ServiceAccount};
use crate::model::account::{Account, Platform, StoredCredentials};
use crate::model::key::Key;
use crate::model::money::MicroUsd;
use crate::model::secret::Secret;
use crate::model::usage::LedgerEvent;
use crate::port::clock::Clock as _;
use crate::port::clock::movable::Movable;
use crate::port::gates::KeyHash;
use crate::secrets::tests::Counting;
use crate::store::fake::FakeStore;

use self::crew::{Crew, Task};
pub(super) use self::provider::{End, MS, Provider, Reply, TOKENS};

pub(super) const NOW: u64 = 1_764_000_000_000;

pub(super) struct Rig {
    pub(super) app: App,
    pub(super) clock: Movable,
    pub(super) store: Arc<FakeStore>,
    pub(super) provider: Arc<Provider>,
    crew: Crew,
    router: Router,
    key: Secret,
    hash: KeyHash,
    calls: Mutex<Vec<Arc<Task>>>,
}

/// The bytes that a call's client has received so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    pub(super) status: Option<u16>,
    pub(super) headers: HashMap<String, String>,
    pub(super) text: String,
    /// The body has ended, well or not.
    pub(super) is_over: bool,
    pub(super) broken: Option<String>,
    /// Milliseconds from the request to the head, and to the end of the body.
    pub(super) head_ms: u64,
    pub(super) end_ms: u64,
}

impl Received {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The type and the message of an error in Anthropic's shape.
    pub(super) fn error(&self) -> (String, String) {
        let error = &self.json()["error"];
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        (text("type"), text("message"))
    }
}

/// A call under way, as its client sees it.
#[derive(Clone)]
pub(super) struct Client {
    task: Arc<Task>,
    received: Arc<Mutex<Received>>,
}

impl Client {
    pub(super) fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }

    /// The client closes its connection.
    pub(super) fn leaves(&self) {
        self.task.leave();
    }

    /// The relay's process dies with the call in it: nothing of it is dropped.
    pub(super) fn vanishes(&self) {
        self.task.vanish();
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_over()
    }

    pub(super) fn polls(&self) -> usize {
        self.task.polls()
    }
}

/// How a test's relay is set up.
#[derive(Clone, Default)]
pub(super) struct Setup {
    pub(super) vars: Vec<(&'static str, &'static str)>,
    pub(super) concurrency: u32,
    pub(super) queue: (u32, u64),
    /// Requests of a window of an hour.
    pub(super) window_requests: u64,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(&Setup::default())
    }

    pub(super) fn with(setup: &Setup) -> Self {
        let clock = Movable::at(NOW);
        let store = Arc::new(FakeStore::new(Arc::new(clock.clone())));
        let provider = Arc::new(Provider::new(clock.clone()));
        let crew = Crew::default();
        let gates = ProcessGates::load(store.clone(), Arc::new(clock.clone()));
        let gates = Arc::new(at_once(gates).unwrap());
        let vars: HashMap<String, String> = [
            ("JWT_SECRET", "a-session-secret-of-32-characters"),
            ("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef"),
            ("ADMIN_USERNAME", "root"),
            ("ADMIN_PASSWORD", "correct horse battery"),
            ("STORE", "memory"),
            ("ALLOW_PRIVATE_UPSTREAMS", "true"),
            ("CLAUDE_OAUTH_CLIENT_ID", "a-client-id"),
        ]
        .into_iter()
        .chain(setup.vars.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let ports = Ports {
            store: store.clone(),
            upstream: provider.clone(),
            gates,
            clock: Arc::new(clock.clone()),
            tasks: Arc::new(crew.clone()),
            random: Arc::new(Counting::new()),
            signer: Arc::new(crate::port::signer::tests::Plain),
            billed: None,
            backups: None,
            host: HostKind::Native,
        };
        let app = assemble(Config::read(&vars).unwrap(), ports, None);
        let issued = app.keyring.issue_key(&*app.ports.random);
        let key = Key {
            id: "key-1".to_owned(),
            name: "a key".to_owned(),
            hash: issued.hash.hex(),
            version: 1,
            is_active: true,
            concurrency_limit: setup.concurrency,
            concurrency_queue_size: setup.queue.0,
            concurrency_queue_timeout: setup.queue.1,
            rate_limit_window: 60,
            rate_limit_requests: setup.window_requests,
            created_at: NOW,
            updated_at: NOW,
            ..Key::default()
        };
        assert!(at_once(app.keys.create(&key)).unwrap());
        Self {
            router: model_calls().with_state(app.clone()),
            app,
            clock,
            store,
            provider,
            crew,
            key: issued.plain,
            hash: issued.hash,
            calls: Mutex::default(),
        }
    }

    /// An account with an API key. Those with a lower number are preferred.
    pub(super) fn account(&self, name: &str, priority: u32) {
        let credentials = Credentials::ApiKey {
            api_key: Secret::new(name),
            base_url: None,
        };
        self.add(name, priority, Platform::Claude, &credentials);
    }

    /// An account with a login whose access token, `<name>-1`, ends at `expires_at`.
    pub(super) fn login(&self, name: &str, priority: u32, expires_at: u64) {
        let credentials = Credentials::OAuth {
            access_token: Secret::new(format!("{name}-1")),
            refresh_token: Some(Secret::new(format!("{name}-refresh-1"))),
            expires_at: Some(expires_at),
            tenant: None,
        };
        self.add(name, priority, Platform::Claude, &credentials);
    }

    /// A service account without an access token. Its key is the bytes `30 6b 65 79`.
    pub(super) fn service_account(&self, name: &str, priority: u32) {
        let key = "-----BEGIN PRIVATE KEY-----\nMGtleQ==\n-----END PRIVATE KEY-----\n";
        let credentials = Credentials::ServiceAccount(ServiceAccount {
            client_email: format!("{name}@my-project.iam.gserviceaccount.com"),
            private_key: Secret::new(key),
            private_key_id: None,
            project: "my-project".to_owned(),
            region: "global".to_owned(),
            base_url: None,
            access_token: None,
            expires_at: None,
        });
        self.add(name, priority, Platform::Claude, &credentials);
    }

    /// An Entra application without an access token, for OpenAI's platform.
    pub(super) fn entra_app(&self, name: &str, priority: u32) {
        let credentials = Credentials::EntraApp(EntraApp {
            tenant_id: "contoso.example".to_owned(),
            client_id: "00001111-aaaa-2222-bbbb-3333cccc4444".to_owned(),
            client_secret: Secret::new(format!("{name}-secret")),
            base_url: "https://r.openai.azure.com".to_owned(),
            access_token: None,
            expires_at: None,
        });
        self.add(name, priority, Platform::OpenAi, &credentials);
    }

    /// The operator gives a service account another key, and so ends its token.
    pub(super) fn replace_key(&self, name: &str) {
        let edit = |account: &mut Account| {
            if let StoredCredentials::ServiceAccount {
                access_token,
                private_key_id,
                ..
            } = &mut account.credentials
            {
                *access_token = None;
                *private_key_id = Some("another".to_owned());
            }
            Ok::<(), ()>(())
        };
        at_once(self.app.accounts.try_update(name, NOW, edit)).unwrap();
    }

    fn add(&self, name: &str, priority: u32, platform: Platform, credentials: &Credentials) {
        let account = Account {
            id: name.to_owned(),
            name: name.to_owned(),
            description: String::new(),
            platform,
            credentials: self.app.accounts.seal_credentials(name, credentials),
            credential_version: 1,
            priority,
            max_concurrency: 0,
            is_active: true,
            schedulable: true,
            proxy: None,
            proxy_shown: None,
            model_mapping: BTreeMap::new(),
            groups: BTreeSet::new(),
            shared: true,
            supported_models: None,
            subscription_expires_at: None,
            daily_quota: MicroUsd::ZERO,
            reserve_percent: 0,
            key_header: None,
            user_agent: None,
            chat_only: false,
            api_version: None,
            created_at: NOW,
            updated_at: NOW,
            extra: serde_json::Map::new(),
        };
        assert!(at_once(self.app.accounts.create(&account)).unwrap());
    }

    /// A call of the Messages API.
    pub(super) fn call(&self, stream: bool) -> Client {
        self.call_until(stream, usize::MAX)
    }

    /// The same; its client leaves after this many polls.
    pub(super) fn call_until(&self, stream: bool, most_polls: usize) -> Client {
        let body = json!({
            "model": "claude-sonnet-4-5", "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}],
        });
        self.send("/api/v1/messages", &body, most_polls)
    }

    /// A call of Chat Completions on OpenAI's accounts.
    pub(super) fn openai_call(&self) -> Client {
        let body = json!({ "model": "gpt-5", "messages": [{"role": "user", "content": "hi"}] });
        self.send("/openai/v1/chat/completions", &body, usize::MAX)
    }

    /// A call of Chat Completions on Claude's accounts: its stream is converted.
    pub(super) fn chat_until(&self, stream: bool, most_polls: usize) -> Client {
        let body = json!({
            "model": "claude-sonnet-4-5", "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}],
        });
        self.send("/openai/claude/v1/chat/completions", &body, most_polls)
    }

    fn send(&self, path: &str, body: &Value, most_polls: usize) -> Client {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.key.reveal()))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let received: Arc<Mutex<Received>> = Arc::default();
        let (router, clock, seen) = (self.router.clone(), self.clock.clone(), received.clone());
        let began = clock.ticks();
        let future = async move {
            let response = router.oneshot(request).await.unwrap();
            let (head, mut body) = response.into_parts();
            {
                let mut seen = seen.lock().unwrap();
                seen.status = Some(head.status.as_u16());
                seen.head_ms = (clock.ticks() - began) / 1000;
                let headers = head.headers.iter();
                seen.headers = headers
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect();
            }
            while let Some(frame) = body.frame().await {
                let mut seen = seen.lock().unwrap();
                match frame {
                    Ok(frame) => {
                        let data = frame.into_data().unwrap_or_default();
                        seen.text.push_str(std::str::from_utf8(&data).unwrap());
                    }
                    Err(broken) => {
                        seen.broken = Some(broken.to_string());
                        break;
                    }
                }
            }
            let mut seen = seen.lock().unwrap();
            seen.is_over = true;
            seen.end_ms = (clock.ticks() - began) / 1000;
        };
        let task = self.crew.begin(Box::pin(future), most_polls);
        self.calls.lock().unwrap().push(task.clone());
        Client { task, received }
    }

    /// Runs what can run now; time stands still.
    pub(super) fn run(&self) {
        self.crew.run();
    }

    /// Time passes, and everybody wakes at their own moment.
    pub(super) fn pass(&self, time: Duration) {
        let end = self.clock.ticks() + time.as_micros() as u64;
        self.run();
        loop {
            let left = Duration::from_micros(end - self.clock.ticks());
            match self.clock.until_first_wakes() {
                Some(step) if step <= left => self.clock.advance(step),
                _ => {
                    self.clock.advance(left);
                    self.run();
                    return;
                }
            }
            self.run();
        }
    }

    /// Lets time pass until each of these calls has ended.
    pub(super) fn finish(&self, clients: &[&Client]) {
        self.run();
        while !clients.iter().all(|client| client.is_over()) {
            let step = self.clock.until_first_wakes();
            self.clock
                .advance(step.expect("a call waits for what never comes"));
            self.run();
        }
    }

    /// One call to its end.
    pub(super) fn served(&self, stream: bool) -> Received {
        let client = self.call(stream);
        self.finish(&[&client]);
        client.received()
    }

    /// Lets time pass until no task is left: renewals end, pauses pass.
    fn rest(&self) {
        self.run();
        for _ in 0..1_000 {
            if self.crew.under_way() == 0 {
                return;
            }
            let step = self.clock.until_first_wakes();
            self.clock
                .advance(step.expect("a task waits for what never comes"));
            self.run();
        }
        panic!("tasks never end");
    }

    pub(super) fn gate(&self) -> gate::Snapshot {
        let asked = self.app.ports.gates.gate(&self.hash, gate::Command::Snapshot);
        match at_once(asked).unwrap() {
            gate::Reply::Snapshot(snapshot) => *snapshot,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn pool_of(&self, platform: Platform) -> pool::Snapshot {
        let asked = self.app.ports.gates.pool(platform, pool::Command::Snapshot);
        match at_once(asked).unwrap() {
            pool::Reply::Snapshot(snapshot) => *snapshot,
            other => panic!("{other:?}"),
        }
    }

    /// The account in the pool.
    pub(super) fn in_pool(&self, name: &str) -> pool::AccountSnapshot {
        let pools = Platform::ALL.map(|platform| self.pool_of(platform).accounts);
        let found = pools
            .into_iter()
            .flatten()
            .find(|account| account.policy.id == name);
        found.unwrap_or_else(|| panic!("the pool has no {name}"))
    }

    pub(super) fn events(&self) -> Vec<LedgerEvent> {
        let settled = self.app.outbox.unwritten().into_iter();
        settled.map(|settled| settled.event().clone()).collect()
    }

    /// All calls have ended: nothing is held, each call that reached the provider has exactly one event, and the gate
    /// has counted what the events say. The events.
    pub(super) fn settled(&self) -> Vec<LedgerEvent> {
        for call in &*self.calls.lock().unwrap() {
            assert!(call.is_over(), "a call has not ended");
        }
        self.rest();
        let gate = self.gate();
        assert_eq!(gate.leases, [], "the key's slots are free");
        assert_eq!(gate.waiters, [], "nobody waits for a slot");
        for platform in Platform::ALL {
            for account in self.pool_of(platform).accounts {
                assert_eq!(account.leases, [], "slots of {} are free", account.policy.id);
            }
        }
        assert_eq!(self.provider.open(), 0, "connections to the provider are closed");
        assert_eq!(self.app.body_memory.figures().used, 0, "no body is held");
        let events = self.events();
        let ids: BTreeSet<&str> = events.iter().map(|event| event.request_id.as_str()).collect();
        assert_eq!(ids.len(), events.len(), "one event for each call: {events:#?}");
        assert_eq!(gate.spent[MoneyLimit::Total].reserved, 0, "nothing is reserved");
        let cost: u64 = events.iter().map(|event| event.cost.0).sum();
        assert_eq!(
            gate.spent[MoneyLimit::Total].spent,
            cost,
            "the gate has counted each event once"
        );
        events
    }
}

/// The result of what waits for nobody but the store.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    (0..100)
        .find_map(|_| future.as_mut().now_or_never())
        .expect("nothing to wait for")
}
