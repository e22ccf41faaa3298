//! The task that takes a machine's steps to the home.

use std::sync::Arc;

use crs_durable::Millis;
use crs_durable::holder::Holder;
use crs_durable::shared::{NextAction, Outcome, Request, Shared};
use futures_util::future::join;

use super::{Cell, Inner, POLL_MS};
use crate::host::native::held::{Machine, lock};
use crate::host::native::process::rows::{self, StoredMachine};
use crate::port::store::{Command, StoreError};

/// A waiting call asks by itself after this time: the message that wakes it may be lost.
const ASK_AGAIN_MS: u64 = 2_000;

/// The one task that takes a machine's steps to the home, as long as there are any.
pub(in super::super) struct Driver<M: Machine> {
    pub(in super::super) inner: Arc<Inner>,
    pub(in super::super) cell: Arc<Cell<M>>,
    pub(super) is_done: bool,
}

impl<M: Machine> Driver<M> {
    pub(super) async fn run(mut self) {
        while let Some(request) = self.next() {
            let asked = self.inner.clock.ticks();
            self.inner.figures.step();
            let step = self.inner.home.step(&self.cell.name, &request);
            let (answer, ()) = join(step, self.list(&request)).await;
            let is_away = match answer {
                Ok(step) => {
                    self.inner.set_time(asked, step.now);
                    self.update(|copy, now| copy.answered(now, step.answer));
                    self.read_own().await
                }
                Err(error) => {
                    self.update(Shared::unanswered);
                    Some(error)
                }
            };
            match is_away {
                Some(error) => self.inner.figures.is_away(self.inner.clock.now(), &error),
                None => self.inner.figures.is_back(),
            }
        }
        self.is_done = true;
    }

    /// The next request; `None` if there is none, and the task ends.
    fn next(&self) -> Option<Request> {
        let mut state = lock(&self.cell.state);
        loop {
            if std::mem::take(&mut state.look)
                && let Some(request) = state.holder.home.probe()
            {
                return Some(request);
            }
            let now = self.inner.now();
            let name = self.inner.name();
            let action = self
                .inner
                .with_kept_count(&mut state, |state| state.holder.home.begin(now, name));
            match action {
                NextAction::Send(request) => return Some(request),
                NextAction::Decided(outcome) => state.deliver(&self.inner, now, POLL_MS, outcome),
                NextAction::Nothing => {
                    state.has_driver = false;
                    state.ends = false;
                    state.early.clear();
                    return None;
                }
            }
        }
    }

    fn update(&self, change: impl FnOnce(&mut Shared<M>, Millis) -> Outcome<M>) {
        let now = self.inner.now();
        let again = self.ask_again_ms();
        let mut state = lock(&self.cell.state);
        self.inner.with_kept_count(&mut state, |state| {
            let outcome = change(&mut state.holder.home, now);
            state.deliver(&self.inner, now, again, outcome);
        });
    }

    fn ask_again_ms(&self) -> u64 {
        if self.inner.home.kind() == "redis" {
            ASK_AGAIN_MS
        } else {
            POLL_MS
        }
    }

    /// If the home has no version of the machine, reads the state that a single process kept of it. If that cannot be
    /// read, this fails and does not start an empty machine: that would forget its windows.
    async fn read_own(&self) -> Option<StoreError> {
        let is_new = {
            let mut state = lock(&self.cell.state);
            let is_new = state.holder.home.is_new();
            if !is_new && std::mem::take(&mut state.is_own_there) {
                self.forget_own();
            }
            is_new && !state.is_own_read
        };
        if !is_new {
            return None;
        }
        let read = rows::read::<M>(&*self.inner.store, &self.cell.name).await;
        let mut state = lock(&self.cell.state);
        match read {
            Ok(StoredMachine::Rows(machine)) => state.holder.home.adopt(machine.resumed()),
            Ok(StoredMachine::Text(machine)) => {
                state.is_own_there = true;
                state.holder.home.adopt(machine.resumed());
            }
            // Another process was faster; the next step finds its rows.
            Ok(StoredMachine::SharedRows(_) | StoredMachine::Nothing) => {}
            Err(error) => {
                let failed = self
                    .inner
                    .with_kept_count(&mut state, |state| state.holder.home.forget());
                for ticket in failed {
                    state.callers.remove(&ticket);
                }
                return Some(error);
            }
        }
        state.is_own_read = true;
        None
    }

    /// Deletes the text of an earlier version, which the home has as rows now.
    fn forget_own(&self) {
        let (inner, key) = (self.inner.clone(), self.cell.name.clone());
        self.inner.tasks.spawn(Box::pin(async move {
            if let Err(error) = inner.store.run(vec![Command::Del { key }]).await {
                tracing::debug!(%error, "an earlier state of a machine is still there");
            }
        }));
    }
}

impl<M: Machine> Drop for Driver<M> {
    /// After a panic the machine is read again; its callers get no reply.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = lock(&self.cell.state);
        self.inner
            .with_kept_count(&mut state, |state| state.holder = Holder::new(Shared::default()));
        state.callers.clear();
        state.has_driver = false;
    }
}
