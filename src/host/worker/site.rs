//! The state of an isolate: settings, app and router, created at its first request and shared by all.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use crs_durable::pool::shards::Shards;
use http::Request;
use tower::ServiceExt as _;
use worker::{AbortSignal, Env, HttpRequest};

use super::billed::Billed;
use super::bindings::Bindings;
use super::body::EdgeBody;
use super::clock::EdgeClock;
use super::gates::EdgeGates;
use super::leaving::unless_left;
use super::log;
use super::random::EdgeRandom;
use super::refusal::Refusal;
use super::signer::EdgeSigner;
use super::tasks::{EdgeTasks, after_response};
use super::upstream::EdgeUpstream;
use crate::app::{App, HostKind, Ports, assemble, destinations};
use crate::config::{Config, StoreChoice};
use crate::http::extract::ClientAddress;
use crate::port::clock::{Clock, Millis, within};
use crate::port::store::Store;
use crate::store::fingerprint::{FingerprintError, check_fingerprint};
use crate::store::schema::{self, SchemaError};
use crate::store::upstash::{Limits, Upstash};

/// How long a request waits for the check of the store's data.
const PATIENCE: Duration = Duration::from_secs(2);

/// Cloudflare's header with the client's address; clients cannot set it.
const ADDRESS: &str = "cf-connecting-ip";

thread_local! {
    static SITE: OnceCell<Rc<Result<Site, Refusal>>> = const { OnceCell::new() };
}

pub(super) struct Site {
    app: App,
    router: Router,
    billed: Arc<Billed>,
    /// Whether the data is known to belong to this ENCRYPTION_KEY.
    checked: Cell<bool>,
    /// Why this Worker must not serve, if so.
    wrong: RefCell<Option<Refusal>>,
    /// When the cached settings were read.
    loaded: Cell<Millis>,
    /// Whether the admin login's variables were adopted.
    login: Cell<bool>,
}

/// The isolate's site after all checks.
pub(super) struct Serving(Rc<Result<Site, Refusal>>);

impl Site {
    /// The site, or what must be fixed before this Worker can serve.
    pub(super) async fn of(env: &Env) -> Result<Serving, Refusal> {
        let site = SITE.with(|site| site.get_or_init(|| Rc::new(Self::make(env))).clone());
        match &*site {
            Err(refusal) => return Err(refusal.clone()),
            Ok(made) => made.ready().await?,
        }
        Ok(Serving(site))
    }

    fn make(env: &Env) -> Result<Self, Refusal> {
        let config = Config::read(&Bindings(env));
        let mut problems = config
            .as_ref()
            .err()
            .map(|problems| problems.0.clone())
            .unwrap_or_default();
        // A Worker cannot generate a password, because it has no file for it.
        if config
            .as_ref()
            .is_ok_and(|config| config.admin.password.is_none())
        {
            problems.push("ADMIN_PASSWORD is missing: set it to 8 characters or more".to_owned());
        }
        let objects = |name: &str| {
            env.durable_object(name).map_err(|_| {
                format!("{name} is not a binding of a Durable Object: deploy with wrangler.toml")
            })
        };
        let (gates, pools) = (objects("GATES"), objects("POOLS"));
        problems.extend(
            [&gates, &pools]
                .into_iter()
                .filter_map(|bound| bound.as_ref().err().cloned()),
        );
        let (Ok(config), Ok(gates), Ok(pools), true) = (config, gates, pools, problems.is_empty()) else {
            return Err(Refusal(problems));
        };
        log::start(&config.log);
        let billed = Arc::new(Billed::default());
        let store = upstash(&config).map_err(|problem| Refusal(vec![problem]))?;
        billed.count_commands_of(store.commands());
        let ports = Ports {
            store: Arc::new(store),
            upstream: Arc::new(EdgeUpstream::new(destinations(&config))),
            gates: Arc::new(EdgeGates {
                gates,
                pools,
                shards: Shards::new(config.relay.pool_shards),
                billed: billed.clone(),
                clock: EdgeClock::default(),
            }),
            clock: Arc::new(EdgeClock::default()),
            tasks: Arc::new(EdgeTasks),
            random: Arc::new(EdgeRandom),
            signer: Arc::new(EdgeSigner),
            billed: Some(billed.clone()),
            backups: None,
            host: HostKind::Worker,
        };
        let app = assemble(config, ports, None);
        Ok(Self {
            router: crate::http::router(app.clone()),
            app,
            billed,
            checked: Cell::new(false),
            wrong: RefCell::new(None),
            loaded: Cell::new(0),
            login: Cell::new(false),
        })
    }

    /// Refuses data written with another key. While the store is unavailable, cached data is served, and the next
    /// request checks again.
    async fn ready(&self) -> Result<(), Refusal> {
        if let Some(wrong) = self.wrong.borrow().as_ref() {
            return Err(wrong.clone());
        }
        if self.checked.get() {
            self.look_again();
            return Ok(());
        }
        let clock = &*self.app.ports.clock;
        let store = &*self.app.ports.store;
        match within(clock, PATIENCE, check_fingerprint(store, &self.app.keyring)).await {
            Some(Ok(())) => self.known(store).await,
            Some(Err(error @ (FingerprintError::Other { .. } | FingerprintError::Crs))) => {
                let refusal = Refusal(vec![error.to_string()]);
                *self.wrong.borrow_mut() = Some(refusal.clone());
                Err(refusal)
            }
            Some(Err(FingerprintError::Store(error))) => {
                tracing::warn!(%error, "the fingerprint of the store's data could not be read");
                Ok(())
            }
            None => {
                tracing::warn!("the fingerprint of the store's data was not read in time");
                Ok(())
            }
        }
    }

    /// Refuses data of an unknown schema version.
    async fn known(&self, store: &dyn Store) -> Result<(), Refusal> {
        match within(&*self.app.ports.clock, PATIENCE, schema::check(store)).await {
            Some(Ok(_)) => {
                self.checked.set(true);
                self.look_again();
            }
            Some(Err(error @ SchemaError::Newer { .. })) => {
                let refusal = Refusal(vec![error.to_string()]);
                *self.wrong.borrow_mut() = Some(refusal.clone());
                return Err(refusal);
            }
            // A rebuild is running: the next request checks again.
            Some(Err(
                error @ (SchemaError::Restoring | SchemaError::Rekeying | SchemaError::Unknown { .. }),
            )) => {
                return Err(Refusal(vec![error.to_string()]));
            }
            Some(Err(SchemaError::Store(error))) => {
                tracing::warn!(%error, "the schema version of the store's data could not be read");
            }
            None => tracing::warn!("the schema version of the store's data was not read in time"),
        }
        Ok(())
    }

    /// Refreshes cached settings from time to time, after the response.
    fn look_again(&self) {
        let now = self.app.ports.clock.now();
        let age = self.app.config.relay.record_age.as_millis() as Millis;
        if now.abs_diff(self.loaded.get()) < age {
            return;
        }
        self.loaded.set(now);
        let app = self.app.clone();
        after_response(async move {
            if let Err(error) = app.load().await {
                tracing::warn!(%error, "the prices of the operator cannot be read");
            }
        });
    }

    /// Adopts the login's variables before the first login; hashing takes too much CPU to do it in every isolate.
    async fn adopt_login(&self) {
        if self.login.get() {
            return;
        }
        let now = self.app.ports.clock.now();
        match self.app.admins.ensure(&self.app.config.admin, None, now).await {
            Ok(_) => self.login.set(true),
            Err(error) => tracing::error!(%error, "the admin login cannot be made ready"),
        }
    }
}

impl Serving {
    fn site(&self) -> Option<&Site> {
        self.0.as_ref().as_ref().ok()
    }

    pub(super) async fn serve(&self, request: HttpRequest) -> http::Response<EdgeBody> {
        let Some(site) = self.site() else {
            return gone();
        };
        site.billed.request();
        let (mut head, body) = request.into_parts();
        let signal = head.extensions.remove::<AbortSignal>();
        let address = head
            .headers
            .get(ADDRESS)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        head.extensions.insert(ClientAddress(address));
        let mut request = Request::from_parts(head, axum::body::Body::new(body));
        crate::http::collapse_slashes(&mut request);
        if request.uri().path().starts_with("/web/auth/") {
            site.adopt_login().await;
        }
        let router = site.router.clone();
        let answered = async move {
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        let patience = site.app.config.relay.write_limit();
        unless_left(signal, patience, answered).await.unwrap_or_else(gone)
    }

    /// The daily clean-up.
    pub(super) async fn tidy(&self) {
        let Some(site) = self.site() else { return };
        if let Err(error) = site.app.ledger.forget(site.app.ports.clock.now()).await {
            tracing::warn!(%error, "old call records could not be deleted");
        }
    }
}

/// The answer to a client that has left.
fn gone() -> http::Response<EdgeBody> {
    let mut response = http::Response::new(EdgeBody(Box::pin(axum::body::Body::empty())));
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// The only supported store on the edge.
pub(super) fn upstash(config: &Config) -> Result<Upstash, String> {
    let StoreChoice::Upstash(upstash) = &config.store else {
        return Err("STORE must be upstash on this host: leave it out".to_owned());
    };
    let clock: Arc<dyn Clock> = Arc::new(EdgeClock::default());
    Upstash::new(&upstash.url, &upstash.token, clock, Limits::default())
        .map_err(|error| format!("upstash at {}: {error}", upstash.shown))
}
