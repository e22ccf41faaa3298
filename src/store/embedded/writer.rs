//! The writer thread: takes waiting calls, commits them together, answers each.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redb::ReadableTable;
use tokio::sync::oneshot;

use super::group::Group;
use super::layout::{ENDS, TRASH, numbered};
use super::open::{self, Open};
use super::{Fault, Shared, away};
use crate::port::clock::Millis;
use crate::port::store::{Applied, Command, Guard, Reply, StoreError};

/// Maximum weight of a group (see [`weight`]): a transaction must fit into memory, and its first caller must not
/// wait long.
const GROUP_WEIGHT: usize = 32_768;

/// Interval between sweeps for expired keys, and the shorter one if a sweep left some.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEEP_ON: Duration = Duration::from_millis(20);

/// Maximum number of keys and rows removed per sweep: a few milliseconds of the writer's time.
const SWEPT_KEYS: usize = 500;
const SWEPT_ROWS: usize = 2_000;

pub(super) enum Job {
    Call(Call),
    #[cfg(test)]
    Sweep(Answer<()>),
    /// Blocks the writer until the sender is done.
    #[cfg(test)]
    Hold(Receiver<()>),
}

pub(super) enum Call {
    Run {
        batch: Vec<Command>,
        answer: Answer<Vec<Reply>>,
    },
    Atomically {
        guards: Vec<Guard>,
        batch: Vec<Command>,
        answer: Answer<Applied>,
    },
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// The result of a call, sent after it is durable.
enum Outcome {
    Replies(Vec<Reply>),
    Applied(Applied),
    Failed(StoreError),
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    open: Open,
    /// Number for the next new collection.
    next: u64,
    /// Ticks of the last sweep.
    swept: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, open: Open, next: u64) -> Writer {
        let swept = shared.clock.ticks();
        Writer {
            shared,
            open,
            next,
            swept,
        }
    }

    /// Runs until all senders are gone.
    pub(super) fn work(mut self, jobs: &Receiver<Job>) {
        let mut pause = SWEEP_EVERY;
        loop {
            match jobs.recv_timeout(pause) {
                Ok(first) => self.group(first, jobs),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Jobs may arrive without a pause for hours.
            let ticks = self.shared.clock.ticks();
            if ticks.abs_diff(self.swept) < micros(pause) && pause == SWEEP_EVERY {
                continue;
            }
            self.swept = ticks;
            pause = match self.sweep() {
                Ok(true) => SWEEP_ON,
                Ok(false) => SWEEP_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "expired keys could not be removed from the data file");
                    SWEEP_EVERY
                }
            };
        }
    }

    /// Runs the job together with all that wait behind it.
    fn group(&mut self, first: Job, jobs: &Receiver<Job>) {
        let mut group = Vec::new();
        let mut weight = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Call(call) => {
                    weight += call.weight();
                    group.push(call);
                }
                #[cfg(test)]
                Job::Sweep(answer) => {
                    let mut swept = self.sweep();
                    while let Ok(true) = swept {
                        swept = self.sweep();
                    }
                    let _ = answer.send(swept.map(drop));
                }
                #[cfg(test)]
                Job::Hold(until) => drop(until.recv()),
            }
            next = if weight < GROUP_WEIGHT {
                jobs.try_recv().ok()
            } else {
                None
            };
        }
        if group.is_empty() {
            return;
        }
        match self.commit(&group) {
            Ok(outcomes) => {
                for (call, outcome) in group.into_iter().zip(outcomes) {
                    call.answer(outcome);
                }
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(%error, calls = group.len(), "the data file could not be written");
                for call in group {
                    call.answer(Outcome::Failed(away(reason.clone())));
                }
            }
        }
    }

    fn commit(&mut self, group: &[Call]) -> Result<Vec<Outcome>, StoreError> {
        let mut failed = HashMap::new();
        loop {
            let outcomes = self.transact(|commands| {
                let mut outcomes = Vec::with_capacity(group.len());
                for (index, call) in group.iter().enumerate() {
                    let runs = !failed.contains_key(&index);
                    outcomes.push(if runs {
                        Some(call.run(index, commands)?)
                    } else {
                        None
                    });
                }
                Ok(outcomes)
            });
            match outcomes {
                Ok(outcomes) => {
                    let resolve = |(index, outcome): (usize, Option<Outcome>)| match outcome {
                        Some(outcome) => outcome,
                        None => {
                            Outcome::Failed(failed.remove(&index).unwrap_or_else(|| away("it was not run")))
                        }
                    };
                    return Ok(outcomes.into_iter().enumerate().map(resolve).collect());
                }
                Err(Fault::Spoiled { call, error }) => drop(failed.insert(call, error)),
                Err(fault) => return Err(self.recover(fault)),
            }
        }
    }

    /// Runs `work` in its own transaction and makes it durable if it changed anything.
    fn transact<'a, T>(
        &mut self,
        work: impl FnOnce(&mut Group<'a, '_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let shared = self.shared.clone();
        let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.as_ref().ok_or_else(Fault::closed)?.begin_write()?;
        let mut group = Group::begin(&transaction, shared.clock.now(), self.next)?;
        // Without the commit, the transaction is rolled back on drop.
        let result = work(&mut group)?;
        let (changed, next) = group.end()?;
        if changed {
            transaction.commit()?;
            self.next = next;
            shared.commits.fetch_add(1, Ordering::Relaxed);
        } else {
            transaction.abort()?;
        }
        Ok(result)
    }

    /// After a disk failure redb requires the file to be opened again. The next transaction then sees the last
    /// successful one.
    fn recover(&mut self, fault: Fault) -> StoreError {
        let closed = self.database().is_none();
        if closed || matches!(fault, Fault::Storage(_)) {
            // Closing may take a while, which must not block readers.
            let broken = self.database().take();
            drop(broken);
            match open::ready(&self.open) {
                Ok((database, next)) => {
                    self.next = next;
                    *self.database() = Some(database);
                }
                Err(error) => tracing::error!(%error, "the data file could not be opened again"),
            }
        }
        fault.error()
    }

    fn database(&self) -> std::sync::RwLockWriteGuard<'_, Option<redb::Database>> {
        self.shared
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes some expired keys and deleted collections. Returns whether there may be more.
    fn sweep(&mut self) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        match self.due(now).and_then(|due| self.remove(&due)) {
            Ok(more) => Ok(more),
            Err(fault) => Err(self.recover(fault)),
        }
    }

    /// The expired keys, and whether there is trash. Only reads, so that an idle sweep is cheap.
    fn due(&self, now: Millis) -> Result<Due, Fault> {
        let snapshot = self.shared.snapshot()?;
        let ends = snapshot.open_table(ENDS)?;
        let past = now.saturating_add(1).to_be_bytes();
        let mut keys = Vec::new();
        for row in ends.range::<&[u8]>(..past.as_slice())?.take(SWEPT_KEYS) {
            let row = row?.0.value().to_vec();
            let (_, key) = numbered(&row).ok_or_else(|| Fault::damaged("a row has no expiry"))?;
            let key = std::str::from_utf8(key)
                .map_err(|_| Fault::damaged("a key is not UTF-8"))?
                .to_owned();
            keys.push((row, key));
        }
        let trash = snapshot.open_table(TRASH)?.first()?.is_some();
        Ok(Due { keys, trash })
    }

    fn remove(&mut self, due: &Due) -> Result<bool, Fault> {
        if due.keys.is_empty() && !due.trash {
            return Ok(false);
        }
        self.transact(|group| {
            for (row, key) in &due.keys {
                group.touch(key)?;
                group.forget_end(row)?;
            }
            let rest = group.empty_trash(SWEPT_ROWS)?;
            // A large collection among the keys has become trash.
            Ok(rest || !due.keys.is_empty())
        })
    }
}

struct Due {
    /// Rows of `ends` and the keys they name.
    keys: Vec<(Vec<u8>, String)>,
    trash: bool,
}

impl Call {
    fn weight(&self) -> usize {
        match self {
            Call::Run { batch, .. } | Call::Atomically { batch, .. } => batch.iter().map(weight).sum(),
        }
    }

    fn run<'a>(&'a self, index: usize, commands: &mut Group<'a, '_>) -> Result<Outcome, Fault> {
        match self {
            Call::Run { batch, .. } => run(batch, commands),
            Call::Atomically { guards, batch, .. } => atomically(index, guards, batch, commands),
        }
    }

    /// Sends the result, unless the caller has left.
    fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Call::Run { answer, .. }, Outcome::Replies(replies)) => drop(answer.send(Ok(replies))),
            (Call::Run { answer, .. }, Outcome::Failed(error)) => drop(answer.send(Err(error))),
            (Call::Atomically { answer, .. }, Outcome::Applied(applied)) => drop(answer.send(Ok(applied))),
            (Call::Atomically { answer, .. }, Outcome::Failed(error)) => drop(answer.send(Err(error))),
            // Impossible: each kind of call has its own kind of outcome.
            (Call::Run { .. }, Outcome::Applied(_)) | (Call::Atomically { .. }, Outcome::Replies(_)) => {}
        }
    }
}

/// A command's weight by its bytes, in units of a small command.
fn weight(command: &Command) -> usize {
    let bytes = match command {
        Command::Set { value, .. } => value.len(),
        Command::HSet { entries, .. } => entries
            .iter()
            .map(|(field, value)| field.len() + value.len())
            .sum(),
        Command::SAdd { members, .. } => members.iter().map(String::len).sum(),
        Command::ZAdd { entries, .. } => entries.iter().map(|(_, member)| member.len()).sum(),
        _ => 0,
    };
    1 + bytes / 256
}

/// As in a Redis pipeline, a failed command does not stop the later ones.
fn run<'a>(batch: &'a [Command], commands: &mut Group<'a, '_>) -> Result<Outcome, Fault> {
    let mut replies = Vec::with_capacity(batch.len());
    let mut failed = None;
    for command in batch {
        match commands.apply(command) {
            Ok(reply) => replies.push(reply),
            Err(Fault::Command(error)) => drop(failed.get_or_insert(error)),
            Err(fault) => return Err(fault),
        }
    }
    Ok(failed.map_or(Outcome::Replies(replies), Outcome::Failed))
}

fn atomically<'a>(
    call: usize,
    guards: &'a [Guard],
    batch: &'a [Command],
    commands: &mut Group<'a, '_>,
) -> Result<Outcome, Fault> {
    for (index, guard) in guards.iter().enumerate() {
        match commands.holds(guard) {
            Ok(true) => {}
            Ok(false) => return Ok(Outcome::Applied(Applied::No { guard: index })),
            Err(Fault::Command(error)) => return Ok(Outcome::Failed(error)),
            Err(fault) => return Err(fault),
        }
    }
    let mut begun = false;
    for command in batch {
        match commands.apply(command) {
            Ok(_) => begun |= command.writes(),
            Err(Fault::Command(error)) if begun => return Err(Fault::Spoiled { call, error }),
            Err(Fault::Command(error)) => return Ok(Outcome::Failed(error)),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Outcome::Applied(Applied::Yes))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
