//! Everything a request may touch: a plain struct of ports and what is built on them.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use crs_durable::pool::AccountPolicy;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{ALLOW_PRIVATE_UPSTREAMS, Config};
use crate::metrics::Metrics;
use crate::model::account::Platform;
use crate::model::price::PriceBook;
use crate::model::secret::Secret;
use crate::port::backups::Backups;
use crate::port::billed::Billed;
use crate::port::clock::Clock;
use crate::port::destination::Destinations;
use crate::port::gates::{Gates, KeyHash};
use crate::port::random::Random;
use crate::port::store::Store;
use crate::port::tasks::Tasks;
use crate::port::upstream::Upstream;
use crate::secrets::{Keyring, OldKeys};
use crate::state::body_memory::BodyMemory;
use crate::state::outbox::Outbox;
use crate::state::refusal_tally::RefusalTally;
use crate::state::running::Running;
use crate::state::store_rest::StoreRest;
use crate::state::turns::Turns;
use crate::store::accounts::Accounts;
use crate::store::admins::Admins;
use crate::store::api_keys::ApiKeys;
use crate::store::audit::{AuditLog, Audited};
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

/// Which of the two hosts this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostKind {
    Native,
    #[allow(dead_code, reason = "the Worker's")]
    Worker,
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
    /// `None`: this host's platform bills nothing by the unit.
    pub billed: Option<Arc<dyn Billed>>,
    /// `None`: this host has no files.
    pub backups: Option<Arc<dyn Backups>>,
    pub host: HostKind,
}

/// How long the answer to whether the store is well is used again, microseconds.
const HEALTH_LIFETIME: u64 = 1_000_000;

/// How long the site's name and icon are used as they were read, microseconds; a change made in this process shows at
/// once.
const SITE_LIFETIME: u64 = 10_000_000;

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
    /// Sign-ins at providers that were begun.
    pub sign_ins: SignIns,
    pub groups: Groups,
    pub settings: Settings,
    pub admins: Admins,
    /// Who changed what.
    pub audit: AuditLog,
    /// The brake on guessing the admin's password.
    pub guesses: Guesses,
    /// How often strangers may ask for statistics.
    pub stats_brake: Brake,
    /// Whether the store answers, for `/health`.
    pub store_health: Fresh<StoreProbe>,
    /// The site's name and icon as they are sent, for strangers.
    pub site: Fresh<Bytes>,
    pub ledger: Ledger,
    /// Settled calls on their way to the ledger.
    pub outbox: Outbox,
    /// Calls that reached no provider, counted.
    pub refusals: RefusalLog,
    /// Those that the store does not have yet.
    pub refusal_tally: RefusalTally,
    pub metrics: Metrics,
    /// Streams under way, so that the operator can end them.
    pub running: Running,
    /// The request bodies that are held.
    pub body_memory: Arc<BodyMemory>,
    /// The provider's last cache figures of each conversation.
    pub turns: Turns,
    /// Whether the store was slow or away a moment ago, see `relay::admit`.
    pub store_rest: StoreRest,
    /// The price table with the operator's prices, and the version of those; replaced as a whole.
    prices: RwLock<(u64, Arc<PriceBook>)>,
    /// Client keys of an import.
    old_key_store: OldKeyStore,
    /// Those of them that this process knows, and their version.
    old_keys: RwLock<(u64, Arc<OldKeys>)>,
    /// Where provider calls may go. The host's outbound client holds the same rules.
    pub destinations: Destinations,
    /// Proof of being an admin for who can read the host's files: the command line next to the server.
    pub local_token: Option<Secret>,
}

/// Where provider calls may go, by these settings.
pub fn destinations(config: &Config) -> Destinations {
    Destinations::new(
        config.relay.allow_private_upstreams,
        ALLOW_PRIVATE_UPSTREAMS,
        config.provider_urls(),
    )
}

/// Builds what stands on the ports. Does no I/O; a host checks the fingerprint and ensures the admin login
/// itself, at start.
pub fn assemble(config: Config, mut ports: Ports, local_token: Option<Secret>) -> App {
    let keyring = Arc::new(Keyring::new(&config.secrets, &config.keys.prefix));
    let audit = AuditLog::new(
        ports.store.clone(),
        ports.clock.clone(),
        ports.random.clone(),
        config.audit.days,
    );
    // From here on nobody has the bare store: no change of a record goes by the log.
    ports.store = Arc::new(Audited::new(audit.clone()));
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
        store_health: Fresh::new(HEALTH_LIFETIME),
        site: Fresh::new(SITE_LIFETIME),
        ledger: Ledger::new(store.clone(), config.site.utc_offset_minutes)
            .with_request_log_days(config.ledger.request_log_days),
        outbox: Outbox::default(),
        refusals: RefusalLog::new(store.clone(), config.site.utc_offset_minutes),
        refusal_tally: RefusalTally::default(),
        metrics: Metrics::default(),
        // Gates keep events where requests share nothing that waits.
        running: Running::new(ports.gates.keeps_events().is_none()),
        body_memory: Arc::new(BodyMemory::new(config.relay.body_memory)),
        turns: Turns::default(),
        store_rest: StoreRest::default(),
        prices: RwLock::default(),
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
    /// The prices that hold now.
    pub fn prices(&self) -> Arc<PriceBook> {
        let prices = self.prices.read().unwrap_or_else(PoisonError::into_inner);
        prices.1.clone()
    }

    /// Calls settled from now on are charged by these prices, unless a newer version holds already.
    pub fn set_prices(&self, version: u64, book: PriceBook) {
        let mut prices = self.prices.write().unwrap_or_else(PoisonError::into_inner);
        if version >= prices.0 {
            *prices = (version, Arc::new(book));
        }
    }

    /// The roster of a platform's pool: its accounts, as far as this host can use them.
    pub async fn roster(
        &self,
        platform: Platform,
    ) -> Result<Vec<AccountPolicy>, crate::port::store::StoreError> {
        let offset = self.config.site.utc_offset_minutes;
        let no_proxies = self.ports.upstream.no_proxies();
        self.accounts.roster(platform, offset, no_proxies).await
    }

    /// The hash of a client key of this relay, one that it issued or one that was imported; `None` for everything
    /// else. No I/O.
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

    /// Reads what the process keeps in memory from the start. Where others write the same store, a host
    /// calls it again from time to time.
    pub async fn load(&self) -> Result<(), crate::port::store::StoreError> {
        let stored = self.settings.prices().await?;
        match PriceBook::new(&stored.overrides) {
            Ok(book) => self.set_prices(stored.version, book),
            // Public prices hold then, and every event's price version says so.
            Err(error) => tracing::error!(%error, "a price set by the operator cannot be used"),
        }
        let seen = self.old_keys.read().unwrap_or_else(PoisonError::into_inner).0;
        if let Some((version, keys)) = self.old_key_store.newer_than(seen).await? {
            let mut known = self.old_keys.write().unwrap_or_else(PoisonError::into_inner);
            *known = (version, Arc::new(keys));
        }
        Ok(())
    }
}
