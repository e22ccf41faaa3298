//! The state available to every request: the ports and the services built on them.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use crs_durable::pool::AccountPolicy;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{ALLOW_PRIVATE_UPSTREAMS, Config};
use crate::metrics::Metrics;
use crate::model::account::Platform;
use crate::model::price::PriceBook;
use crate::model::route::Route;
use crate::model::secret::Secret;
use crate::port::backups::Backups;
use crate::port::billed::Billed;
use crate::port::clock::Clock;
use crate::port::destination::Destinations;
use crate::port::gates::{Gates, KeyHash};
use crate::port::random::Random;
use crate::port::signer::Signer;
use crate::port::store::Store;
use crate::port::tasks::Tasks;
use crate::port::upstream::Upstream;
use crate::secrets::{Keyring, OldKeys};
use crate::state::body_memory::BodyMemory;
use crate::state::ending::Ending;
use crate::state::no_sockets::NoSockets;
use crate::state::outbox::Outbox;
use crate::state::refusal_tally::RefusalTally;
use crate::state::running::Running;
use crate::state::store_rest::StoreRest;
use crate::state::turns::Turns;
use crate::store::accounts::Accounts;
use crate::store::admins::Admins;
use crate::store::api_keys::ApiKeys;
use crate::store::audit::{AuditLog, AuditingStore};
use crate::store::brake::Brake;
use crate::store::fresh::Fresh;
use crate::store::groups::Groups;
use crate::store::guesses::Guesses;
use crate::store::ledger::Ledger;
use crate::store::old_keys::OldKeyStore;
use crate::store::refusals::RefusalLog;
use crate::store::settings::Settings;
use crate::store::sign_ins::SignIns;

/// Cheap to clone; one per process or isolate.
pub type App = Arc<Parts>;

/// The kind of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostKind {
    Native,
    #[allow(dead_code, reason = "the Worker's")]
    Worker,
}

impl HostKind {
    /// Whether the process outlives its calls: it keeps their events until the ledger has them, has tasks of its own,
    /// and one call can wake another's task. On the edge gates keep the events, and tasks belong to a request.
    pub fn outlives_calls(self) -> bool {
        self == Self::Native
    }
}

/// The ports that a host supplies.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub upstream: Arc<dyn Upstream>,
    pub gates: Arc<dyn Gates>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Arc<dyn Tasks>,
    pub random: Arc<dyn Random>,
    pub signer: Arc<dyn Signer>,
    /// `None` if this host's platform does not bill by the unit.
    pub billed: Option<Arc<dyn Billed>>,
    /// `None` if this host has no file system.
    pub backups: Option<Arc<dyn Backups>>,
    pub host: HostKind,
}

/// Lifetime of the cached health check of the store, microseconds.
const HEALTH_LIFETIME: u64 = 1_000_000;

/// Lifetime of the cached site name and icon, microseconds. A change by this process takes effect at once. With several
/// processes, a change by another process takes effect within a second.
const SITE_LIFETIME: u64 = 10_000_000;
const SITE_LIFETIME_OF_SEVERAL: u64 = 500_000;

/// The result of a ping of the store.
#[derive(Clone, Copy, Debug)]
pub struct StoreProbe {
    pub up: bool,
    /// Microseconds.
    pub latency: u64,
}

pub struct Parts {
    pub config: Config,
    pub ports: Ports,
    pub keyring: Arc<Keyring>,
    pub keys: ApiKeys,
    pub accounts: Accounts,
    /// Unfinished sign-ins at providers.
    pub sign_ins: SignIns,
    pub groups: Groups,
    pub settings: Settings,
    pub admins: Admins,
    /// The audit log.
    pub audit: AuditLog,
    /// The rate limiter for guesses of the admin's password.
    pub guesses: Guesses,
    /// The rate limiter for public statistics.
    pub stats_brake: Brake,
    /// Whether the process received the signal to stop.
    pub ending: Ending,
    /// Cached health check of the store, for `/health`.
    pub store_health: Fresh<StoreProbe>,
    /// The cached response with the site's name and icon, for strangers.
    pub site: Fresh<Bytes>,
    pub ledger: Ledger,
    /// Settled calls that are not in the ledger yet.
    pub outbox: Outbox,
    /// Counts of calls that reached no provider.
    pub refusals: RefusalLog,
    /// Counts of such calls that are not in the store yet.
    pub refusal_tally: RefusalTally,
    pub metrics: Metrics,
    /// Running streams, so that the operator can end them.
    pub running: Running,
    /// Memory accounting for request bodies.
    pub body_memory: Arc<BodyMemory>,
    /// Accounts whose hosts took no WebSocket a moment ago.
    pub no_sockets: NoSockets,
    /// The provider's latest cache figures of each conversation.
    pub turns: Turns,
    /// Whether the store failed a moment ago, see `relay::admit`.
    pub store_rest: StoreRest,
    /// The price table with the operator's prices, and their version; replaced as a whole.
    prices: RwLock<(u64, Arc<PriceBook>)>,
    /// The model routes for all keys, and their version; replaced as a whole.
    routes: RwLock<(u64, Arc<Vec<Route>>)>,
    /// Stored data about imported client keys.
    old_key_store: OldKeyStore,
    /// The imported client keys known to this process, and their version.
    old_keys: RwLock<(u64, Arc<OldKeys>)>,
    /// The rules on destinations of provider calls. The host's HTTP client applies the same rules.
    pub destinations: Destinations,
    /// Authenticates the local command line, which can read the host's files, as an admin.
    pub local_token: Option<Secret>,
}

/// The rules on destinations of provider calls for these settings.
pub fn destinations(config: &Config) -> Destinations {
    Destinations::new(
        config.relay.allow_private_upstreams,
        ALLOW_PRIVATE_UPSTREAMS,
        config.provider_urls(),
    )
}

/// Builds the services on the ports. Does no I/O; the host checks the fingerprint and ensures the admin login
/// itself at start.
pub fn assemble(config: Config, mut ports: Ports, local_token: Option<Secret>) -> App {
    let keyring = Arc::new(Keyring::new(&config.secrets, &config.keys.prefix));
    let audit = AuditLog::new(
        ports.store.clone(),
        ports.clock.clone(),
        ports.random.clone(),
        config.audit.days,
    );
    // From here on the store is only accessible through the audit log.
    ports.store = Arc::new(AuditingStore::new(audit.clone()));
    let store = &ports.store;
    Arc::new(Parts {
        audit,
        keys: ApiKeys::new(store.clone()),
        accounts: Accounts::new(
            store.clone(),
            keyring.clone(),
            ports.clock.clone(),
            ports.random.clone(),
        ),
        sign_ins: SignIns::new(
            store.clone(),
            keyring.clone(),
            ports.clock.clone(),
            ports.random.clone(),
        ),
        groups: Groups::new(store.clone()),
        settings: Settings::new(store.clone(), &config.site.title),
        admins: Admins::new(store.clone(), keyring.clone(), ports.random.clone()),
        guesses: Guesses::new(store.clone(), keyring.clone()),
        stats_brake: Brake::default(),
        ending: Ending::default(),
        store_health: Fresh::new(HEALTH_LIFETIME),
        site: Fresh::new(if ports.store.shared() && ports.store.kind() == "redis" {
            SITE_LIFETIME_OF_SEVERAL
        } else {
            SITE_LIFETIME
        }),
        ledger: Ledger::new(store.clone(), config.site.utc_offset_minutes)
            .with_request_log_days(config.ledger.request_log_days),
        outbox: Outbox::default(),
        refusals: RefusalLog::new(store.clone(), config.site.utc_offset_minutes),
        refusal_tally: RefusalTally::default(),
        metrics: Metrics::default(),
        // Gates keep events on hosts where requests cannot wake each other.
        running: Running::new(ports.host.outlives_calls()),
        body_memory: Arc::new(BodyMemory::new(config.relay.body_memory)),
        no_sockets: NoSockets::default(),
        turns: Turns::default(),
        store_rest: StoreRest::default(),
        prices: RwLock::default(),
        routes: RwLock::default(),
        old_key_store: OldKeyStore::new(store.clone(), keyring.clone(), ports.random.clone()),
        old_keys: RwLock::default(),
        destinations: destinations(&config),
        local_token,
        keyring,
        config,
        ports,
    })
}

impl Parts {
    /// The current prices.
    pub fn prices(&self) -> Arc<PriceBook> {
        let prices = self.prices.read().unwrap_or_else(PoisonError::into_inner);
        prices.1.clone()
    }

    fn prices_version(&self) -> u64 {
        self.prices.read().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Sets the prices for calls settled from now on, unless a newer version is set already.
    pub fn set_prices(&self, version: u64, book: PriceBook) {
        let mut prices = self.prices.write().unwrap_or_else(PoisonError::into_inner);
        if version >= prices.0 {
            *prices = (version, Arc::new(book));
        }
    }

    /// The current model routes for all keys.
    pub fn routes(&self) -> Arc<Vec<Route>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.1.clone()
    }

    /// Sets the routes for new calls, unless a newer version is set already.
    pub fn set_routes(&self, version: u64, new: Vec<Route>) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if version >= routes.0 {
            *routes = (version, Arc::new(new));
        }
    }

    /// The roster of a platform's pool: the accounts that this host can use.
    pub async fn roster(
        &self,
        platform: Platform,
    ) -> Result<Vec<AccountPolicy>, crate::port::store::StoreError> {
        let offset = self.config.site.utc_offset_minutes;
        let no_proxies = self.ports.upstream.no_proxies();
        self.accounts.roster(platform, offset, no_proxies).await
    }

    /// The hash of an issued or imported client key of this relay; `None` for everything else. No I/O.
    pub fn recognise(&self, presented: &str) -> Option<KeyHash> {
        self.keyring.recognise(presented).or_else(|| {
            let old = self
                .old_keys
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .1
                .clone();
            old.recognise(presented)
        })
    }

    /// Loads cached settings at start. Where other processes write the same store, the host repeats this from
    /// time to time.
    pub async fn load(&self) -> Result<(), crate::port::store::StoreError> {
        let stored = self.settings.prices().await?;
        // An unchanged version needs no new price book. Version 0 means that the operator set none.
        if stored.version != self.prices_version() {
            match PriceBook::new(&stored.overrides) {
                Ok(book) => self.set_prices(stored.version, book),
                // The public prices apply then, which every event's price version shows.
                Err(error) => tracing::error!(%error, "a price set by the operator cannot be used"),
            }
        }
        let stored = self.settings.routes().await?;
        self.set_routes(stored.version, stored.routes);
        let seen = self.old_keys.read().unwrap_or_else(PoisonError::into_inner).0;
        if let Some((version, keys)) = self.old_key_store.newer_than(seen).await? {
            let mut known = self.old_keys.write().unwrap_or_else(PoisonError::into_inner);
            *known = (version, Arc::new(keys));
        }
        Ok(())
    }
}
