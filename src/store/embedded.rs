//! The store in one file beside the relay. Acknowledged writes are on disk.
//!
//! One thread writes. It takes all waiting calls, runs them in one transaction, makes it durable with one `fsync`
//! and then answers them, so concurrent callers share the cost of the disk. Reads bypass the thread: they see the
//! last durable state, which contains every acknowledged write. If the process is killed at any moment, the file
//! can be opened again and contains them all.
//!
//! Only one process can open the file at a time.

mod group;
mod layout;
mod open;
mod view;
mod whole;
mod writer;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::port::clock::Clock;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use open::Open;
pub use open::OpenError;
use view::{Budget, View};
use writer::{Answer, Call, Job, Writer};

const KIND: &str = "embedded";

/// Reads of up to this many rows run in place: the rows are on few pages, mostly in memory, and take
/// microseconds, less than a thread switch. Longer reads run on another thread, so that they block no stream.
const READ_HERE: u32 = 64;

pub struct Embedded {
    shared: Arc<Shared>,
    /// Both are `None` only during drop.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    /// `None` after a disk failure, until the file can be opened again.
    database: RwLock<Option<Database>>,
    commits: AtomicU64,
}

/// Why a command or a transaction failed.
enum Fault {
    /// Concerns this command only.
    Command(StoreError),
    /// The read exceeds the limit for reads in place.
    Long,
    /// An atomic batch failed after some of its changes; the transaction must be discarded.
    Spoiled {
        call: usize,
        error: StoreError,
    },
    Storage(Box<redb::Error>),
}

impl Embedded {
    /// Opens the file or creates it, readable by its owner only. The directory must exist. Blocks: a file that
    /// was not closed properly is checked first.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Embedded, OpenError> {
        Embedded::with(clock, open::file(path)?)
    }

    fn with(clock: Arc<dyn Clock>, open: Open) -> Result<Embedded, OpenError> {
        let (database, next) = open::ready(&open)?;
        let database = RwLock::new(Some(database));
        let shared = Arc::new(Shared {
            clock,
            database,
            commits: AtomicU64::new(0),
        });
        let (jobs, waiting) = mpsc::channel();
        let writer = Writer::new(shared.clone(), open, next);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.work(&waiting))
            .map_err(OpenError::Io)?;
        Ok(Embedded {
            shared,
            jobs: Some(jobs),
            writer: Some(writer),
        })
    }

    /// Number of durable transactions since the file was opened; lower than the number of calls if callers share
    /// transactions.
    #[cfg(test)]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Removes expired keys. The writer also does so from time to time.
    #[cfg(test)]
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.write(Job::Sweep).await
    }

    /// Queues the job at the first poll, and waits until it is durable. Dropping the future does not cancel the
    /// job.
    async fn write<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        // If the writer is gone, the job and `answer` are dropped.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job(answer)));
        answered
            .await
            .unwrap_or_else(|_| Err(away("its writer has stopped")))
    }

    async fn read(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        match (self.shared.read(&batch, Some(READ_HERE)), Handle::try_current()) {
            (Err(Fault::Long), Ok(runtime)) => {
                let shared = self.shared.clone();
                let reading = runtime.spawn_blocking(move || shared.read(&batch, None));
                reading.await.map_err(|error| away(error.to_string()))?
            }
            (Err(Fault::Long), Err(_)) => self.shared.read(&batch, None),
            (outcome, _) => outcome,
        }
        .map_err(Fault::error)
    }
}

impl Drop for Embedded {
    /// Waits until the writer has finished its jobs, and closes the file.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A panic was already reported.
            let _ = writer.join();
        }
        self.shared
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl Shared {
    /// All commands see the same state.
    fn read(&self, batch: &[Command], rows: Option<u32>) -> Result<Vec<Reply>, Fault> {
        let now = self.clock.now();
        let view = View::of(&self.snapshot()?)?;
        let mut budget = Budget(rows);
        let mut replies = Vec::with_capacity(batch.len());
        for command in batch {
            replies.push(view.read(now, command, &mut budget)?);
        }
        Ok(replies)
    }

    fn snapshot(&self) -> Result<ReadTransaction, Fault> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => Ok(database.begin_read()?),
            None => Err(Fault::closed()),
        }
    }
}

#[async_trait]
impl Store for Embedded {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        if batch.iter().any(Command::writes) {
            self.write(|answer| Job::Call(Call::Run { batch, answer })).await
        } else {
            self.read(batch).await
        }
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError> {
        batch.iter().try_for_each(Command::check)?;
        self.write(|answer| {
            Job::Call(Call::Atomically {
                guards,
                batch,
                answer,
            })
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.shared.snapshot().map(drop).map_err(Fault::error)
    }

    fn kind(&self) -> &'static str {
        KIND
    }

    fn shared(&self) -> bool {
        false
    }
}

impl Fault {
    fn damaged(what: &str) -> Fault {
        let reason = format!("the data file is damaged: {what}");
        Fault::Command(StoreError::Failed { kind: KIND, reason })
    }

    fn closed() -> Fault {
        Fault::Command(away("the data file could not be opened again after a failure"))
    }

    fn error(self) -> StoreError {
        match self {
            Fault::Command(error) | Fault::Spoiled { error, .. } => error,
            Fault::Long => away("a read took too long"),
            Fault::Storage(error) => away(error.to_string()),
        }
    }
}

/// A disk failure. The write may have happened all the same, and the next call may succeed.
fn away(reason: impl Into<String>) -> StoreError {
    StoreError::Away {
        kind: KIND,
        reason: reason.into(),
    }
}

macro_rules! storage_faults {
    ($($error:ty),+) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Fault {
                Fault::Storage(Box::new(error.into()))
            }
        }
    )+};
}
storage_faults!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError
);

#[cfg(test)]
mod tests;
