//! Which calls wait at a machine and ask again, and what its holder may drop.

use serde::de::DeserializeOwned;

use crate::rows::RowMachine;
use crate::{CallId, Millis, gate, pool};

/// A machine at which calls may have to wait. Its serialised form as one text is only read: earlier versions wrote it.
pub trait HeldMachine: RowMachine + DeserializeOwned {
    /// The call that asks by this command, or leaves: it no longer waits because of an earlier reply.
    fn caller(command: &Self::Command) -> Option<CallId>;

    /// Whether the reply makes the call wait, and until when at most.
    fn waiting_call(command: &Self::Command, reply: &Self::Reply) -> Option<(CallId, Millis)>;

    /// Changes the command into the one that a waiting call sends next.
    fn prepare_retry(command: &mut Self::Command, reply: &Self::Reply);

    /// The state to start from after a host's death, which ended all its calls.
    #[must_use]
    fn resumed(self) -> Self;

    /// Whether no call holds anything, so that a process that has written the rows can drop its copy.
    fn is_quiet(&self) -> bool;

    /// Whether its rows can be lost without harm.
    fn is_over(&self) -> bool;
}

impl HeldMachine for gate::Gate {
    fn caller(command: &gate::Command) -> Option<CallId> {
        match command {
            gate::Command::Admit(admit) => Some(admit.call),
            gate::Command::Cancel { call } => Some(*call),
            _ => None,
        }
    }

    fn waiting_call(command: &gate::Command, reply: &gate::Reply) -> Option<(CallId, Millis)> {
        match (command, reply) {
            (gate::Command::Admit(admit), gate::Reply::Queued { until, .. }) => Some((admit.call, *until)),
            _ => None,
        }
    }

    fn prepare_retry(command: &mut gate::Command, reply: &gate::Reply) {
        if let (gate::Command::Admit(admit), gate::Reply::Queued { until, .. }) = (command, reply) {
            admit.queued_until = Some(*until);
        }
    }

    fn resumed(self) -> Self {
        self.resumed()
    }

    fn is_quiet(&self) -> bool {
        self.is_quiet()
    }

    fn is_over(&self) -> bool {
        self.is_over()
    }
}

impl HeldMachine for pool::Pool {
    fn caller(command: &pool::Command) -> Option<CallId> {
        match command {
            pool::Command::BeginRefresh {
                call, waits: true, ..
            } => Some(*call),
            _ => None,
        }
    }

    fn waiting_call(command: &pool::Command, reply: &pool::Reply) -> Option<(CallId, Millis)> {
        match (command, reply) {
            (
                pool::Command::BeginRefresh {
                    call, waits: true, ..
                },
                pool::Reply::RefreshBusy { until, .. },
            ) => Some((*call, *until)),
            _ => None,
        }
    }

    fn prepare_retry(command: &mut pool::Command, reply: &pool::Reply) {
        if let (pool::Command::BeginRefresh { waited_for, .. }, pool::Reply::RefreshBusy { round, .. }) =
            (command, reply)
        {
            *waited_for = Some(*round);
        }
    }

    fn resumed(self) -> Self {
        self.resumed()
    }

    /// A process keeps its pools.
    fn is_quiet(&self) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        false
    }
}
