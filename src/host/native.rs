//! The native host: one process with a listener, one thread per core for connections, and one for everything else.
//!
//! Each connection thread is an event loop of its own, with its own connections to providers: a frame from a
//! provider to its client never changes threads. Accounting and housekeeping run on the main thread.
//!
//! | module | contents |
//! | --- | --- |
//! | [`server`], [`connections`], `descriptors` | event loops, caps on connections, the limit on open files |
//! | [`upstream`] | the port to providers: connections, proxies, checked addresses |
//! | `held` | the machines that this process holds, wherever their rows live |
//! | [`process`] | machines in the memory of this process |
//! | [`shared`] | the machines of several processes on one Redis |
//! | `machines` | the choice between the two |
//! | `ending` | shutdown: signals, notice, the last writes |
//! | `setup`, `backends` | settings of this machine, and the store that they choose |
//! | `background` | tasks that run as long as the process |
//! | `spill_file` | the reserved file for unwritten records |
//! | [`first_run`], [`log`], [`allocator`] | generated secrets, logging, memory thresholds |
//! | `web_socket` | a WebSocket over an upgraded connection, a client's or a provider's |
//! | [`clock`], [`random`], [`signer`], [`tasks`] | the small ports |
//! | `counted`, `uncounted` | the allocator, with or without the benchmark's counter |

pub mod allocator;
mod backends;
mod background;
pub mod backups;
pub mod clock;
pub mod connections;
#[cfg(feature = "count-allocations")]
mod counted;
#[cfg(feature = "redis")]
pub mod crs_redis;
mod descriptors;
pub mod draft;
mod ending;
pub mod first_run;
mod held;
pub mod log;
mod machines;
pub mod process;
pub mod random;
pub mod rekey;
pub mod server;
mod setup;
pub mod shared;
pub mod signer;
mod spill_file;
mod takeover;
pub mod tasks;
#[cfg(not(feature = "count-allocations"))]
mod uncounted;
pub mod upstream;
mod web_socket;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crs_durable::pool::shards::Shards;
use tokio::net::TcpListener;

use self::backends::StoreWithHome;
use self::backups::NativeBackups;
use self::clock::NativeClock;
use self::connections::{Connections, Limits};
#[cfg(feature = "count-allocations")]
use self::counted::units;
use self::ending::{last_words, notice, signals, tell_unwritten};
use self::machines::Machines;
use self::process::ProcessGates;
use self::random::NativeRandom;
use self::server::{Ending, Server, Service};
pub use self::setup::Setup;
use self::shared::SharedGates;
use self::signer::NativeSigner;
use self::spill_file::SpillFile;
use self::tasks::NativeTasks;
#[cfg(not(feature = "count-allocations"))]
use self::uncounted::units;
use self::upstream::NativeUpstream;
use crate::app::{App, HostKind, Ports, assemble, destinations};
use crate::config::{Config, Problems, StoreChoice};
use crate::model::backup::BackupReason;
use crate::model::secret::Secret;
use crate::port::random::Random as _;
use crate::port::store::Store;
use crate::port::tasks::Tasks;
use crate::port::whole::Whole;
use crate::relay::ledger_writer;
use crate::relay::ledger_writer::spill::{self, Tally};
use crate::relay::refusal_writer;
use crate::store::admins::LoginChange;
use crate::store::fingerprint::{check_fingerprint, refuse_crs};
use crate::store::ledger::Ledger;
use crate::store::schema;

/// Interval of attempts to write the leftover events of an earlier run.
const RESTORE_AGAIN: Duration = Duration::from_secs(30);

/// Why the relay does not start, or did not end cleanly.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One line per setting that must be changed.
    #[error("{0}")]
    Settings(#[from] Problems),
    #[error("{0}")]
    Other(String),
    /// The relay has run and ended, but records of calls may be missing from the ledger.
    #[error("{0}")]
    RecordsUnconfirmed(String),
}

/// An app on this machine, with the operations that only the host may run on it.
pub struct Native {
    pub app: App,
    gates: Machines,
    backups: NativeBackups,
    local_token: Secret,
    /// Without the audit log in front.
    store: Arc<dyn Store>,
}

impl Native {
    /// Opens the store (only one process at a time can open an embedded one), checks that its data was sealed with
    /// this ENCRYPTION_KEY, and makes sure that an admin login exists.
    pub async fn open(setup: &Setup) -> Result<Self, StartError> {
        let clock = Arc::new(NativeClock::default());
        let StoreWithHome { store, home } =
            open_with_home(&setup.config.store, &setup.data_dir, clock.clone()).map_err(StartError::Other)?;
        let random = Arc::new(NativeRandom);
        let backups = NativeBackups::new(
            store.clone(),
            clock.clone(),
            random.clone(),
            setup.backup_dir(),
            setup.config.backup.passphrase.as_ref(),
        );
        refuse_crs(&*store)
            .await
            .map_err(|error| StartError::Other(error.to_string()))?;
        up_to_date(&*store, &backups).await.map_err(StartError::Other)?;
        let tasks: Arc<dyn Tasks> = Arc::new(NativeTasks::new());
        let gates = match home.filter(|_| setup.config.relay.shared_limits) {
            Some(home) => {
                let parts = shared::Parts {
                    home,
                    store: store.clone(),
                    ledger: ledger(&setup.config, &store),
                    clock: clock.clone(),
                    tasks: tasks.clone(),
                    lease: setup.config.relay.shared_lease,
                    shards: Shards::new(setup.config.relay.pool_shards),
                };
                Machines::Shared(SharedGates::new(parts, &*random))
            }
            None => {
                let gates = ProcessGates::load(store.clone(), clock.clone()).await;
                Machines::Own(gates.map_err(|error| StartError::Other(error.to_string()))?)
            }
        };
        let ports = Ports {
            store: store.clone(),
            upstream: Arc::new(NativeUpstream::new(destinations(&setup.config))),
            gates: gates.port(),
            clock,
            tasks,
            random,
            signer: Arc::new(NativeSigner),
            billed: units(),
            backups: Some(Arc::new(backups.clone())),
            host: HostKind::Native,
        };
        let local_token = local_token();
        let app = assemble(setup.config.clone(), ports, Some(local_token.clone()));
        gates.end_calls_of(&app);
        check_fingerprint(&*store, &app.keyring)
            .await
            .map_err(|error| StartError::Other(error.to_string()))?;
        app.load()
            .await
            .map_err(|error| StartError::Other(error.to_string()))?;
        ensure_login(&app, &setup.data_dir)
            .await
            .map_err(StartError::Other)?;
        Ok(Self {
            app,
            gates,
            backups,
            local_token,
            store,
        })
    }

    /// Writes everything that must not be lost, within a time limit. For an app that serves no calls.
    pub async fn close(self) {
        let writes = async {
            ledger_writer::flush(&self.app).await;
            self.last_writes().await;
        };
        if tokio::time::timeout(self.app.config.ledger.last_writes, writes)
            .await
            .is_err()
        {
            tell_unwritten(&self.app);
        }
    }

    async fn last_writes(&self) {
        self.app.ports.tasks.drained().await;
        refusal_writer::write_logged(&self.app).await;
        self.gates.save().await;
    }
}

/// Serves until SIGTERM or SIGINT; a second signal cuts running calls.
pub async fn serve(setup: Setup) -> Result<(), StartError> {
    let signals = signals();
    serve_with(setup, signals.count(1), signals.count(2)).await
}

/// Serves until `end` resolves. `server.json` in the data folder contains the address it listens on.
pub async fn serve_until(setup: Setup, end: impl Future<Output = ()>) -> Result<(), StartError> {
    serve_with(setup, end, std::future::pending()).await
}

async fn serve_with(
    setup: Setup,
    end: impl Future<Output = ()>,
    at_once: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let config = &setup.config;
    let listener = listen(&config.server.host, config.server.port)
        .await
        .map_err(StartError::Other)?;
    let native = Native::open(&setup).await?;
    let mut room = reserve(&setup);
    let number = room.as_ref().map_or(1, SpillFile::number);
    if let Some(room) = &room {
        // Limits on money count these records although the store lacks them, even if it refuses them again.
        match spill::gates(room) {
            Ok(kept) => native.gates.resume(kept),
            Err(error) => {
                tracing::error!(%error, "the states of gates that an earlier run kept cannot be read");
            }
        }
    }
    let mut left = restore(&native.app, room.as_mut()).await;
    if let Some(file) = first_run::login_file(&setup.data_dir) {
        tracing::info!("the admin login is in {}", file.display());
    }
    let address = listener
        .local_addr()
        .map_err(|error| StartError::Other(error.to_string()))?;
    let server_file = first_run::announce(&setup.data_dir, number, address, &native.local_token)
        .map_err(StartError::Other)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let service = Service {
        routes: crate::http::direct::Routes::new(native.app.clone()),
        trust_proxy: config.server.trust_proxy,
        write_limit: config.relay.write_limit(),
        connections: Arc::new(Connections::new(Limits::new(
            descriptors::raise(),
            config.server.max_connections,
            config.server.max_connections_per_address,
        ))),
    };
    let server = Server::start(&service, threads).map_err(|error| StartError::Other(error.to_string()))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        store = native.app.ports.store.kind(),
        "crs-edge listens on http://{address}"
    );

    let (mut ledger, others) = background::start(&native);
    {
        let app = &native.app;
        let asked = async {
            end.await;
            app.ending.begin();
            tracing::info!("shutting down: /health answers 503, and running calls may continue for a while");
        };
        let ending = Ending {
            asked,
            at_once: async {
                at_once.await;
                app.ending.hurry();
            },
            notice: notice(config, &native.gates),
            grace: config.server.shutdown_grace,
        };
        let mut end = std::pin::pin!(server.run(listener, ending));
        // Leftover records of an earlier run are retried until the store accepts them.
        while left {
            tokio::select! {
                () = &mut end => break,
                () = tokio::time::sleep(RESTORE_AGAIN) => left = restore(&native.app, room.as_mut()).await,
            }
        }
        if !left {
            end.await;
        }
    }
    tracing::info!("shutting down: running calls are over, the ledger is being written");

    others.abort();
    let _ = std::fs::remove_file(&server_file);
    native.app.outbox.close();
    let writes = async {
        // Ends when everything is written.
        let _ = (&mut ledger).await;
        native.last_writes().await;
    };
    last_words(&native.app, room, writes).await
}

/// Reserves space for records that the store does not accept during shutdown; a memory store has no next start.
fn reserve(setup: &Setup) -> Option<SpillFile> {
    if matches!(setup.config.store, StoreChoice::Memory) {
        return None;
    }
    SpillFile::open(&setup.data_dir)
        .inspect_err(|error| {
            tracing::warn!(%error, "no room is reserved in the data folder for records that the store does not take at the end");
        })
        .ok()
}

/// Writes the leftover records of an earlier run to the ledger. Returns whether some remain.
async fn restore(app: &App, room: Option<&mut SpillFile>) -> bool {
    let Some(room) = room else { return false };
    match spill::restore(app, room).await {
        Ok(Tally { records: 0, .. }) => false,
        Ok(Tally { records, cost }) => {
            tracing::info!(records, %cost, "records of calls that an earlier run could not write are in the ledger");
            false
        }
        Err(spill::RestoreError::Damaged(error)) => {
            tracing::error!(%error, "records of calls that an earlier run kept cannot be read");
            false
        }
        Err(error) => {
            tracing::error!(%error, "records of calls that an earlier run kept cannot be written yet");
            true
        }
    }
}

/// Refuses data of an unknown version, and migrates older data, after a backup.
async fn up_to_date(store: &dyn Whole, backups: &NativeBackups) -> Result<(), String> {
    let version = schema::check(store).await.map_err(|error| error.to_string())?;
    if version == schema::NEWEST {
        return Ok(());
    }
    let made = backups.make(BackupReason::Upgrade).await;
    let file =
        made.map_err(|error| format!("the data is of an older version and was not changed: {error}"))?;
    tracing::info!(
        version,
        file,
        "the data is of an older version; a backup of it was made"
    );
    schema::upgrade(store, version, schema::STEPS)
        .await
        .map_err(|error| {
            format!("the data could not be brought up to date, and is as {file} has it: {error}")
        })
}

async fn listen(host: &str, port: u16) -> Result<TcpListener, String> {
    let host_ = host.trim_start_matches('[').trim_end_matches(']');
    TcpListener::bind((host_, port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("PORT {port} is in use by another program: set PORT to a free one, or end that program"),
        std::io::ErrorKind::PermissionDenied => format!("PORT {port} needs more rights than this user has: set PORT to 1024 or above"),
        _ => format!("HOST {host} cannot be listened on ({error}): set HOST to an address of this machine, or to 0.0.0.0"),
    })
}

fn ledger(config: &Config, store: &Arc<dyn Whole>) -> Ledger {
    Ledger::new(store.clone(), config.site.utc_offset_minutes)
        .with_request_log_days(config.ledger.request_log_days)
}

fn local_token() -> Secret {
    let mut bytes = [0_u8; 32];
    NativeRandom.fill(&mut bytes);
    Secret::new(hex::encode(bytes))
}

/// The first start without variables generates a login and logs where it is stored, but never the login itself.
async fn ensure_login(app: &App, data_dir: &Path) -> Result<(), String> {
    let generated = first_run::login(data_dir, &NativeRandom)?;
    let now = app.ports.clock.now();
    let admin = &app.config.admin;
    let first = app
        .admins
        .get()
        .await
        .map_err(|error| error.to_string())?
        .is_none();
    if first && admin.password.is_none() {
        // The file first: a stored login that is in no file would be unknown to everybody.
        let username = admin.username.as_ref().unwrap_or(&generated.username);
        let at = crate::model::time::iso(now);
        first_run::keep_login(data_dir, username, &generated.password, &at)?;
    }
    let ensured = app.admins.ensure(admin, Some(&generated), now).await;
    if ensured.map_err(|error| error.to_string())? == LoginChange::Adopted {
        tracing::info!(
            "the admin login was changed to that of ADMIN_USERNAME and ADMIN_PASSWORD; all sessions ended"
        );
    }
    Ok(())
}

fn open_store(
    choice: &StoreChoice,
    data_dir: &Path,
    clock: Arc<NativeClock>,
) -> Result<Arc<dyn Whole>, String> {
    open_with_home(choice, data_dir, clock).map(|opened| opened.store)
}

fn open_with_home(
    choice: &StoreChoice,
    data_dir: &Path,
    clock: Arc<NativeClock>,
) -> Result<StoreWithHome, String> {
    let alone = |store| StoreWithHome { store, home: None };
    match choice {
        StoreChoice::Memory => Ok(alone(Arc::new(crate::store::memory::Memory::new(clock)))),
        StoreChoice::Embedded => backends::embedded(data_dir, clock).map(alone),
        StoreChoice::Redis(redis) => backends::redis(redis),
        StoreChoice::Upstash(upstash) => backends::upstash(upstash, clock),
    }
}
