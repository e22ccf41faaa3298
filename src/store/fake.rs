//! A store for tests: the memory backend with switches for failures.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;

use super::memory::Memory;
use crate::port::clock::Clock;
use crate::port::clock::movable::Movable;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};

pub(crate) struct FakeStore {
    memory: Memory,
    /// Every call fails without any effect.
    pub(crate) away: AtomicBool,
    /// Writes fail, reads succeed, as with a full disk.
    pub(crate) full: AtomicBool,
    /// The next atomic batch is executed, but its answer is lost.
    pub(crate) lose_answer: AtomicBool,
    /// Number of reads that fail after the next atomic batch.
    pub(crate) fail_reads_after: AtomicUsize,
    failing_reads: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    /// All writes as text, to check that some data was never written.
    done: Mutex<String>,
}

impl Default for FakeStore {
    fn default() -> Self {
        Self::new(Arc::new(Movable::default()))
    }
}

impl FakeStore {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            memory: Memory::new(clock),
            away: AtomicBool::new(false),
            full: AtomicBool::new(false),
            lose_answer: AtomicBool::new(false),
            fail_reads_after: AtomicUsize::new(0),
            failing_reads: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            done: Mutex::default(),
        }
    }

    pub(crate) fn put(&self, key: &str, text: &str) {
        self.at_once(Command::Set {
            key: key.to_owned(),
            value: Bytes::from(text.to_owned()),
            expire_at: None,
        });
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(self.at_once(Command::Get { key: key.to_owned() }))
    }

    pub(crate) fn put_field(&self, key: &str, field: &str, text: &str) {
        self.at_once(Command::HSet {
            key: key.to_owned(),
            entries: vec![(field.to_owned(), Bytes::from(text.to_owned()))],
        });
    }

    pub(crate) fn field(&self, key: &str, field: &str) -> Option<String> {
        text(self.at_once(Command::HGet {
            key: key.to_owned(),
            field: field.to_owned(),
        }))
    }

    pub(crate) fn ever_done(&self) -> String {
        self.done.lock().unwrap().clone()
    }

    fn at_once(&self, command: Command) -> Reply {
        let replies = self.memory.run(vec![command]).now_or_never().unwrap();
        replies.unwrap().remove(0)
    }

    fn note(&self, batch: &[Command]) {
        let mut done = self.done.lock().unwrap();
        for command in batch.iter().filter(|command| is_write(command)) {
            done.extend(format!("{command:?}\n").chars());
        }
    }

    /// Yields to other tasks, as a real store does.
    async fn enter(&self) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(away());
        }
        Ok(())
    }
}

fn is_write(command: &Command) -> bool {
    !matches!(
        command,
        Command::Get { .. } | Command::HGet { .. } | Command::HGetAll { .. } | Command::Exists { .. }
    )
}

fn text(reply: Reply) -> Option<String> {
    match reply {
        Reply::Value(value) => value.map(|text| String::from_utf8(text.to_vec()).unwrap()),
        other => panic!("no value: {other:?}"),
    }
}

fn away() -> StoreError {
    StoreError::Away {
        kind: "fake",
        reason: "told so".to_owned(),
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        self.enter().await?;
        if self.full.load(Ordering::SeqCst) && batch.iter().any(is_write) {
            return Err(away());
        }
        let is_read = !batch.iter().any(is_write);
        let one_less = |reads: usize| reads.checked_sub(1);
        let fails = is_read
            && self
                .failing_reads
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok();
        if fails {
            return Err(away());
        }
        self.note(&batch);
        self.memory.run(batch).await
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError> {
        self.enter().await?;
        if self.full.load(Ordering::SeqCst) {
            return Err(away());
        }
        let noted = batch.clone();
        let applied = self.memory.atomically(guards, batch).await?;
        if applied == Applied::Yes {
            self.note(&noted);
            let reads = self.fail_reads_after.swap(0, Ordering::SeqCst);
            self.failing_reads.fetch_add(reads, Ordering::SeqCst);
            if self.lose_answer.swap(false, Ordering::SeqCst) {
                return Err(away());
            }
        }
        Ok(applied)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.enter().await
    }

    fn kind(&self) -> &'static str {
        "fake"
    }

    fn shared(&self) -> bool {
        false
    }
}
