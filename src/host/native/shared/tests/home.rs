//! A home in memory, that can be away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use crs_durable::rows::Row;
use crs_durable::shared::{Answer, Request, Version};
use futures_channel::mpsc;
use futures_util::stream::{BoxStream, StreamExt as _};

use crate::port::clock::Clock as _;
use crate::port::clock::movable::Movable;
use crate::port::home::{Home, Message, Step};
use crate::port::store::StoreError;

pub(super) struct MemoryHome {
    clock: Movable,
    pub(super) ahead: AtomicU64,
    pub(super) away: AtomicBool,
    /// Whether messages arrive.
    pub(super) has_messages: AtomicBool,
    steps: AtomicUsize,
    machines: Mutex<BTreeMap<String, Machine>>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<Message>>>,
}

#[derive(Default)]
struct Machine {
    version: Version,
    rows: BTreeMap<Row, String>,
    log: Vec<(Version, Vec<Row>)>,
}

impl MemoryHome {
    pub(super) fn new(clock: Movable) -> Self {
        Self {
            clock,
            ahead: AtomicU64::new(0),
            away: AtomicBool::new(false),
            has_messages: AtomicBool::new(true),
            steps: AtomicUsize::new(0),
            machines: Mutex::default(),
            listeners: Mutex::default(),
        }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    fn send(&self, message: &Message) {
        if self.has_messages.load(Ordering::Relaxed) {
            let mut listeners = self.listeners.lock().unwrap();
            listeners.retain(|listener| listener.unbounded_send(message.clone()).is_ok());
        }
    }
}

#[async_trait]
impl Home for MemoryHome {
    async fn step(&self, machine: &str, request: &Request) -> Result<Step, StoreError> {
        // A round trip: others have their turn.
        tokio::task::yield_now().await;
        if self.away.load(Ordering::Relaxed) {
            return Err(StoreError::Away {
                kind: "memory",
                reason: "as told".into(),
            });
        }
        self.steps.fetch_add(1, Ordering::Relaxed);
        let answer = {
            let mut machines = self.machines.lock().unwrap();
            machines.entry(machine.to_owned()).or_default().step(request)
        };
        if answer == Answer::Yes && (request.news || !request.wake.is_empty()) {
            self.send(&Message {
                machine: machine.to_owned(),
                wake: request.wake.clone(),
                news: request.news,
            });
        }
        tokio::task::yield_now().await;
        let now = self.clock.now() + self.ahead.load(Ordering::Relaxed);
        Ok(Step { answer, now })
    }

    async fn messages(&self) -> Result<Option<BoxStream<'static, Message>>, StoreError> {
        let (listener, told) = mpsc::unbounded();
        self.listeners.lock().unwrap().push(listener);
        Ok(Some(told.boxed()))
    }

    fn kind(&self) -> &'static str {
        "redis"
    }
}

impl Machine {
    fn step(&mut self, request: &Request) -> Answer {
        if request.base == self.version {
            if let Some(next) = request.next {
                self.version = next;
                let names = request.rows.iter().map(|(row, _)| *row).collect();
                self.log.push((next, names));
                for (row, text) in request.rows.clone() {
                    match text {
                        Some(text) => _ = self.rows.insert(row, text),
                        None => _ = self.rows.remove(&row),
                    }
                }
            }
            return Answer::Yes;
        }
        let version = self.version;
        let versions = |log: &[(Version, Vec<Row>)]| log.iter().map(|(version, _)| *version).collect();
        match self.log.iter().position(|(version, _)| *version == request.base) {
            Some(at) => {
                let since = &self.log[at + 1..];
                let names: BTreeSet<Row> = since.iter().flat_map(|(_, rows)| rows).copied().collect();
                let row = |row: Row| (row, self.rows.get(&row).cloned());
                Answer::Changed {
                    version,
                    rows: names.into_iter().map(row).collect(),
                    log: versions(since),
                }
            }
            None => Answer::Whole {
                version,
                rows: self.rows.clone().into_iter().collect(),
                log: versions(&self.log),
                before: Vec::new(),
            },
        }
    }
}
