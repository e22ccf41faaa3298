//! The native host: one process, a listener, one thread per core for connections, one for everything else.
//!
//! Each connection thread is an event loop of its own, with its own connections to providers: a frame from
//! a provider to its client never changes threads. Accounting and housekeeping run on the main thread.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`server`], [`connections`], `descriptors` | event loops, caps on connections, the limit on open files |
//! | [`upstream`] | the port to providers: connections, proxies, checked addresses |
//! | [`gates`] | the machines, each under a lock |
//! | `backends` | the store that the settings choose |
//! | `spill_file` | the reserved file for unwritten records |
//! | [`first_run`], [`log`], [`allocator`] | generated secrets, logging, memory thresholds |
//! | [`clock`], [`random`], [`tasks`] | the small ports |

pub mod allocator;
mod backends;
pub mod backups;
pub mod clock;
pub mod connections;
#[cfg(feature = "redis")]
pub mod crs_redis;
mod descriptors;
pub mod draft;
pub mod first_run;
pub mod gates;
pub mod log;
pub mod random;
pub mod rekey;
pub mod server;
mod spill_file;
mod takeover;
pub mod tasks;
pub mod upstream;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::backups::NativeBackups;
use self::clock::NativeClock;
use self::connections::{Connections, Limits};
use self::first_run::Layered;
use self::gates::NativeGates;
use self::random::NativeRandom;
use self::server::{Server, Service};
use self::spill_file::SpillFile;
use self::tasks::NativeTasks;
use self::upstream::NativeUpstream;
use crate::app::{App, HostKind, Ports, assemble, destinations};
use crate::config::{self, Config, Problems, StoreChoice, Vars};
use crate::model::backup::BackupReason;
use crate::model::secret::Secret;
use crate::port::random::Random as _;
use crate::port::store::Store;
use crate::port::whole::Whole;
use crate::relay::ledger_writer;
use crate::relay::ledger_writer::spill::{self, Tally};
use crate::relay::refusal_writer;
use crate::state::outbox;
use crate::store::admins::LoginChange;
use crate::store::fingerprint::{check_fingerprint, refuse_crs};
use crate::store::schema;

/// How often changed pools are saved.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How often prices are read again from a store that others write too.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How often old records are removed.
const DAY: Duration = Duration::from_hours(24);

/// After this long without success they are kept elsewhere as well.
const SOON: Duration = Duration::from_secs(1);

/// Why the relay does not start, or has not ended well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One line per setting that must be changed.
    #[error("{0}")]
    Settings(#[from] Problems),
    #[error("{0}")]
    Other(String),
    /// It has run and ends, but records of calls may be missing from the ledger.
    #[error("{0}")]
    RecordsUnconfirmed(String),
}

/// The settings of this machine: the environment, and what an earlier run generated.
pub struct Setup {
    pub config: Config,
    pub data_dir: PathBuf,
}

impl Setup {
    /// Makes the data folder and generates what is missing.
    pub fn prepare(environment: &dyn Vars) -> Result<Self, StartError> {
        let data_dir = PathBuf::from(config::data_dir(environment));
        first_run::create_data_dir(&data_dir).map_err(StartError::Other)?;
        let mut vars = Layered::read(environment, &data_dir).map_err(StartError::Other)?;
        // A value that is there but bad must not lead to files being made.
        let problems = Config::read(&vars)
            .err()
            .map(|problems| problems.0)
            .unwrap_or_default();
        let missing = vars.missing();
        let bad: Vec<String> = problems
            .into_iter()
            .filter(|line| {
                !missing
                    .iter()
                    .any(|name| line.starts_with(&format!("{name} is missing")))
            })
            .collect();
        if !bad.is_empty() {
            return Err(Problems(bad).into());
        }
        vars.generate(&data_dir, &NativeRandom)
            .map_err(StartError::Other)?;
        Ok(Self {
            config: Config::read(&vars)?,
            data_dir,
        })
    }

    /// The settings for a data folder to be, whose data is sealed already: nothing else can stand in for its key.
    pub fn for_sealed_data(environment: &dyn Vars) -> Result<Self, StartError> {
        let data_dir = PathBuf::from(config::data_dir(environment));
        let vars = Layered::read(environment, &data_dir).map_err(StartError::Other)?;
        if vars.missing().contains(&config::ENCRYPTION_KEY) {
            let line = format!(
                "{} is missing: set it to the one that the data was sealed with, or copy secrets.json of the old data folder into {}",
                config::ENCRYPTION_KEY,
                data_dir.display()
            );
            return Err(Problems(vec![line]).into());
        }
        Self::prepare(environment)
    }

    /// Another store than that of the settings, see [`config::store_at`].
    pub fn store_at(&self, environment: &dyn Vars, to: &str) -> Result<StoreChoice, Problems> {
        let vars = Layered::read(environment, &self.data_dir).map_err(|line| Problems(vec![line]))?;
        config::store_at(&vars, to)
    }

    /// `BACKUP_DIR`, or a folder in the data folder.
    fn backup_dir(&self) -> PathBuf {
        let own = self.config.backup.dir.as_ref().map(PathBuf::from);
        own.unwrap_or_else(|| self.data_dir.join("backups"))
    }
}

/// An app on this machine, with what only the host may do to it.
pub struct Native {
    pub app: App,
    gates: Arc<NativeGates>,
    backups: NativeBackups,
    local_token: Secret,
    /// Without the audit log before it.
    store: Arc<dyn Store>,
}

impl Native {
    /// Opens the store (an embedded one is open in one process at a time), checks that ENCRYPTION_KEY is
    /// the one its data was sealed with, and makes sure that there is an admin login.
    pub async fn open(setup: &Setup) -> Result<Self, StartError> {
        let clock = Arc::new(NativeClock::default());
        let store =
            open_store(&setup.config.store, &setup.data_dir, clock.clone()).map_err(StartError::Other)?;
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
        let gates = NativeGates::load(store.clone(), clock.clone())
            .await
            .map_err(StartError::Other)?;
        let gates = Arc::new(gates);
        let ports = Ports {
            store: store.clone(),
            upstream: Arc::new(NativeUpstream::new(destinations(&setup.config))),
            gates: gates.clone(),
            clock,
            tasks: Arc::new(NativeTasks::new()),
            random,
            billed: None,
            backups: Some(Arc::new(backups.clone())),
            host: HostKind::Native,
        };
        let local_token = local_token();
        let app = assemble(setup.config.clone(), ports, Some(local_token.clone()));
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

    /// Writes what must not be lost, within a bound. For an app that serves nobody.
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

/// Serves until SIGTERM or SIGINT.
pub async fn serve(setup: Setup) -> Result<(), StartError> {
    serve_until(setup, asked_to_end()).await
}

/// Serves until `end` resolves. Where it listens is told by `server.json` in the data folder.
pub async fn serve_until(setup: Setup, end: impl Future<Output = ()>) -> Result<(), StartError> {
    let config = &setup.config;
    let listener = listen(&config.server.host, config.server.port)
        .await
        .map_err(StartError::Other)?;
    let native = Native::open(&setup).await?;
    let mut room = reserve(&setup);
    if let Some(room) = &room {
        // Limits on money count what the store does not know of yet, also if it refuses again.
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
    let server_file =
        first_run::announce(&setup.data_dir, address, &native.local_token).map_err(StartError::Other)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let service = Service {
        router: crate::http::router(native.app.clone()),
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

    let (mut ledger, others) = housekeeping(&native);
    {
        let mut end = std::pin::pin!(server.run(listener, end));
        // What an earlier run left is tried again until the store takes it.
        while left {
            tokio::select! {
                () = &mut end => break,
                () = tokio::time::sleep(LOOK_AGAIN) => left = restore(&native.app, room.as_mut()).await,
            }
        }
        if !left {
            end.await;
        }
    }
    tracing::info!("ending: running calls are over, the ledger is being written");

    others.abort();
    let _ = std::fs::remove_file(&server_file);
    native.app.outbox.close();
    let writes = async {
        // It ends when everything is written.
        let _ = (&mut ledger).await;
        native.last_writes().await;
    };
    last_words(&native.app, room, writes).await
}

/// Waits for the last writes, within a bound. Records that the store does not take at once are kept in the room
/// reserved for them, before whoever ends the process loses patience.
async fn last_words(
    app: &App,
    mut room: Option<SpillFile>,
    writes: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let mut writes = std::pin::pin!(writes);
    let limit = app.config.ledger.last_writes;
    let soon = SOON.min(limit / 2);
    if tokio::time::timeout(soon, &mut writes).await.is_ok() {
        return Ok(());
    }
    keep(app, room.as_mut());
    if tokio::time::timeout(limit.saturating_sub(soon), &mut writes)
        .await
        .is_ok()
    {
        // The ledger has these records by now, so this only forgets them. What an earlier run left may be there, too.
        restore(app, room.as_mut()).await;
        return Ok(());
    }
    let unwritten = app.outbox.unwritten();
    let waited = Tally::of(unwritten.iter().map(outbox::SettledEvent::event));
    if waited.records == 0 {
        tracing::error!("the store did not take the last state of limits and accounts in time");
        return Ok(());
    }
    // A call's end may have come since.
    let unkept = keep(app, room.as_mut());
    if unkept.records == 0 {
        tracing::error!(
            records = waited.records,
            cost = %waited.cost,
            "the store did not take the last records of calls; they are kept in the data folder for the next start"
        );
        return Ok(());
    }
    // A write that was sent may still arrive: a store that hangs reads it once it goes on.
    tracing::error!(
        records = unkept.records,
        cost = %unkept.cost,
        "records of calls may be missing from the ledger: the store did not confirm them in time, and they could not be kept in the data folder"
    );
    Err(StartError::RecordsUnconfirmed(format!(
        "{} records of calls, {} in all, may be missing from the ledger: the store did not confirm them in time, and the data folder has no room reserved for them. Writes that the store was sent may still arrive there",
        unkept.records, unkept.cost
    )))
}

/// Keeps what is unwritten. Returns what of it could not be kept.
fn keep(app: &App, room: Option<&mut SpillFile>) -> Tally {
    let unwritten = app.outbox.unwritten();
    let all = Tally::of(unwritten.iter().map(outbox::SettledEvent::event));
    let keys: std::collections::HashSet<_> =
        unwritten.iter().map(outbox::SettledEvent::key).cloned().collect();
    let gates = keys.iter().filter_map(|key| app.ports.gates.kept(key)).collect();
    let Some(room) = room else {
        return all;
    };
    spill::put(room, unwritten, gates).unwrap_or_else(|error| {
        tracing::error!(%error, "records of calls cannot be kept in the data folder");
        all
    })
}

/// Reserves room for records that the store does not take at the end; a store in memory has no next start.
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

/// Writes what an earlier run left to the ledger. Says whether some of it is left still.
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

fn tell_unwritten(app: &App) {
    let events = app.outbox.waiting().events;
    tracing::error!(events, "the store did not take the last writes in time");
}

/// What runs as long as the process: the ledger's writer, which ends when the outbox is closed, and the
/// others, which do not end.
#[expect(
    clippy::disallowed_methods,
    reason = "their ends are waited for by name, not with the tasks of calls"
)]
fn housekeeping(native: &Native) -> (JoinHandle<()>, JoinHandle<()>) {
    let ledger = tokio::task::spawn(ledger_writer::run(native.app.clone()));
    let (gates, app, backups) = (native.gates.clone(), native.app.clone(), native.backups.clone());
    let others = tokio::task::spawn(async move {
        tokio::join!(
            save_pools(gates),
            write_refusals(app.clone()),
            look_again(app.clone()),
            tidy(app),
            backups.keep_schedule()
        );
    });
    (ledger, others)
}

async fn save_pools(gates: Arc<NativeGates>) {
    loop {
        tokio::time::sleep(SAVE_EVERY).await;
        gates.save().await;
    }
}

async fn write_refusals(app: App) {
    loop {
        tokio::time::sleep(refusal_writer::WRITE_EVERY).await;
        refusal_writer::write_logged(&app).await;
    }
}

/// Refuses data of a version that this program does not know, and changes older data, after a backup.
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

/// What is older than it is kept for goes, once a day.
async fn tidy(app: App) {
    loop {
        if let Err(error) = app.ledger.forget(app.ports.clock.now()).await {
            tracing::warn!(%error, "old records of calls are still there");
        }
        tokio::time::sleep(DAY).await;
    }
}

/// Another process on the same store may have changed what this one keeps in memory.
async fn look_again(app: App) {
    while app.ports.store.shared() {
        tokio::time::sleep(LOOK_AGAIN).await;
        if let Err(error) = app.load().await {
            tracing::warn!(%error, "the prices of the operator cannot be read again");
        }
    }
}

async fn listen(host: &str, port: u16) -> Result<TcpListener, String> {
    let host_ = host.trim_start_matches('[').trim_end_matches(']');
    TcpListener::bind((host_, port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("PORT {port} is in use by another program: set PORT to a free one, or end that program"),
        std::io::ErrorKind::PermissionDenied => format!("PORT {port} needs more rights than this user has: set PORT to 1024 or above"),
        _ => format!("HOST {host} cannot be listened on ({error}): set HOST to an address of this machine, or to 0.0.0.0"),
    })
}

async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

fn local_token() -> Secret {
    let mut bytes = [0_u8; 32];
    NativeRandom.fill(&mut bytes);
    Secret::new(hex::encode(bytes))
}

/// The first start without variables makes up a login and says where it is; never what it is.
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
        // The file first: a login that is stored and told to nobody would be lost.
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
    match choice {
        StoreChoice::Memory => Ok(Arc::new(crate::store::memory::Memory::new(clock))),
        StoreChoice::Embedded => backends::embedded(data_dir, clock),
        StoreChoice::Redis(redis) => backends::redis(redis),
        StoreChoice::Upstash(upstash) => backends::upstash(upstash, clock),
    }
}
