//! A machine with the calls that wait at it, wherever its rows live.
//!
//! | home | who | a step |
//! | --- | --- | --- |
//! | [`Memory`] | one native process | no I/O before the reply; the rows are written behind |
//! | [`crate::shared::Shared`] | several processes | rows at a server, by compare-and-set; commands are gathered |
//! | `object::SqlRows` | a Durable Object | the rows are written before the reply leaves |
//!
//! A reply may make its call wait: for a slot, or for a renewal that another call makes. The holder keeps what wakes
//! the call. A woken call sends its command again; nothing is lost if a wake-up comes too early.

mod machine;
mod memory;

use std::collections::HashMap;
use std::time::Duration;

use futures_channel::oneshot;

pub use self::machine::HeldMachine;
pub use self::memory::{Memory, Unsaved};
use crate::{CallId, Machine, Millis, Step};

/// Where a machine's rows live.
pub trait Home {
    type Machine: HeldMachine<Command: Clone>;
}

/// A home that answers at once.
pub trait ImmediateHome: Home {
    type Failure;

    /// Whether the home runs the machine at the time at which it wants to be woken. Otherwise waiting calls do.
    const WAKES: bool;

    /// Runs one command. After an error it has not happened.
    fn run(
        &mut self,
        now: Millis,
        command: CommandOf<Self>,
    ) -> Result<Step<<Self::Machine as Machine>::Reply>, Self::Failure>;
}

type CommandOf<H> = <<H as Home>::Machine as Machine>::Command;
type ReplyOf<H> = <<H as Home>::Machine as Machine>::Reply;

/// See the module.
pub struct Holder<H: Home> {
    pub home: H,
    waiting: HashMap<CallId, WaitingCall>,
}

struct WaitingCall {
    /// Dropped when the call must ask again.
    _wake: oneshot::Sender<()>,
    /// When it asks by itself.
    asks_at: Millis,
}

/// A call that waits, and then sends a command.
pub struct Wait<C> {
    pub call: CallId,
    /// Ready when there is news for the call.
    pub woken: oneshot::Receiver<()>,
    pub at_most: Duration,
    pub again: C,
}

/// The result of a step.
pub struct Stepped<R, C> {
    pub reply: R,
    /// The reply makes the call wait.
    pub wait: Option<Wait<C>>,
    /// See [`Step::wake_at`].
    pub wake_at: Option<Millis>,
}

impl<H: Home> Holder<H> {
    pub fn new(home: H) -> Self {
        Self {
            home,
            waiting: HashMap::new(),
        }
    }

    /// Number of waiting calls.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The call asks again, or leaves: it no longer waits because of an earlier reply.
    pub fn stop_waiting(&mut self, command: &CommandOf<H>) {
        if let Some(call) = H::Machine::caller(command) {
            self.waiting.remove(&call);
        }
    }

    /// Lets the call ask again. Returns whether it was waiting.
    pub fn wake(&mut self, call: CallId) -> bool {
        self.waiting.remove(&call).is_some()
    }

    pub fn wake_all(&mut self) {
        self.waiting.clear();
    }

    /// Lets the call of this command wait if the reply says so. It asks by itself after `at_most_ms`.
    pub fn wait(
        &mut self,
        now: Millis,
        mut command: CommandOf<H>,
        reply: &ReplyOf<H>,
        at_most_ms: u64,
    ) -> Option<Wait<CommandOf<H>>> {
        let (call, until) = H::Machine::waiting_call(&command, reply)?;
        H::Machine::prepare_retry(&mut command, reply);
        let at_most = until.saturating_sub(now).min(at_most_ms).max(1);
        let (wake, woken) = oneshot::channel();
        let waiting = WaitingCall {
            _wake: wake,
            asks_at: now.saturating_add(at_most),
        };
        self.waiting.insert(call, waiting);
        Some(Wait {
            call,
            woken,
            at_most: Duration::from_millis(at_most),
            again: command,
        })
    }
}

impl<H: ImmediateHome> Holder<H> {
    pub fn step(
        &mut self,
        now: Millis,
        command: CommandOf<H>,
    ) -> Result<Stepped<ReplyOf<H>, CommandOf<H>>, H::Failure> {
        self.stop_waiting(&command);
        let again = H::Machine::caller(&command).map(|_| command.clone());
        let step = self.home.run(now, command)?;
        for call in step.wake {
            self.waiting.remove(&call);
        }
        let wake_at = step.wake_at.filter(|_| !H::WAKES);
        // Something may come free merely because time passes.
        let next = wake_at.map_or(u64::MAX, |at| at.saturating_sub(now));
        let wait = again.and_then(|again| self.wait(now, again, &step.reply, next));
        if let (Some(at), None) = (wake_at, &wait) {
            self.ensure_asked_at(at.max(now.saturating_add(1)));
        }
        Ok(Stepped {
            reply: step.reply,
            wait,
            wake_at: step.wake_at,
        })
    }

    /// The timers of waiting calls are the machine's only clock. If none of them fires by then (the call whose timer
    /// did has left, or there was news since), one call asks at once and gets a new timer.
    fn ensure_asked_at(&mut self, at: Millis) {
        if self.waiting.values().all(|waiting| waiting.asks_at > at) {
            let any = self.waiting.keys().next().copied();
            any.and_then(|call| self.waiting.remove(&call));
        }
    }
}

#[cfg(test)]
mod tests;
