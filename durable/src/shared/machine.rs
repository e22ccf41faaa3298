//! Facts about the commands and replies of a machine whose rows several processes share: which commands are replayed
//! when the home has lost them, and which leases are whose.

use crate::gate::CallEnd;
use crate::holder::HeldMachine;
use crate::{CallId, Millis, gate, pool};

/// A machine whose rows several processes may share.
pub trait SharedMachine: HeldMachine {
    /// The command to replay at a machine that has lost this command and its reply; `None`: it had no effect. A grant
    /// stays granted.
    fn replay(command: Self::Command, reply: &Self::Reply) -> Option<Self::Command>;

    /// Whether only the home can answer it. While the home is unavailable such a command gets no reply.
    fn needs_home(command: &Self::Command) -> bool;

    /// Limits the TTL of the lease that a command asks for or renews; returns the original TTL.
    fn limit_ttl(command: &mut Self::Command, most_ms: u64) -> Option<u64>;

    /// The call that has a lease by this reply.
    fn new_lease(command: &Self::Command, reply: &Self::Reply) -> Option<CallId>;

    /// The call that renews its lease.
    fn renewed_lease(command: &Self::Command) -> Option<CallId>;

    /// The call that frees its lease, or no longer has one.
    fn freed_lease(command: &Self::Command, reply: &Self::Reply) -> Option<CallId>;

    /// A command that extends the call's lease to this time from now.
    fn renewal(call: CallId, ttl_ms: u64) -> Self::Command;

    /// Whether it may be news for calls that wait at other processes and are unknown here.
    fn is_news(command: &Self::Command) -> bool;

    /// Converts times in the command to the machine's clock, which is ahead of the host's by this much.
    fn to_machine_time(command: &mut Self::Command, ahead_ms: i64);

    /// Why the operator ends a running call, or `None`.
    fn call_end(&self, call: CallId) -> Option<CallEnd>;

    /// The end that the reply to a renewal reports.
    fn reported_end(command: &Self::Command, reply: &Self::Reply) -> Option<(CallId, CallEnd)>;
}

/// Converts a time of the host's clock to the machine's; 0 and 1 are not times.
fn ahead(moment: &mut Millis, ahead_ms: i64) {
    if *moment > 1 {
        *moment = moment.saturating_add_signed(ahead_ms);
    }
}

impl SharedMachine for gate::Gate {
    fn replay(command: gate::Command, reply: &gate::Reply) -> Option<gate::Command> {
        match (command, reply) {
            (gate::Command::Admit(mut admit), gate::Reply::Granted { .. }) => {
                admit.granted = !admit.before_body;
                Some(gate::Command::Admit(admit))
            }
            (command @ gate::Command::Admit(_), gate::Reply::Queued { .. }) => Some(command),
            // A host that took a batch reports the result; a command without an effect leaves nothing.
            (gate::Command::Admit(_) | gate::Command::TakeBatch | gate::Command::Snapshot, _) => None,
            (command, _) => Some(command),
        }
    }

    /// A copy that is cut off takes the calls of other processes for lost when their leases end, since it does not
    /// see them renewed. Their events must not leave.
    fn needs_home(command: &gate::Command) -> bool {
        matches!(command, gate::Command::TakeBatch)
    }

    fn limit_ttl(command: &mut gate::Command, most_ms: u64) -> Option<u64> {
        match command {
            gate::Command::Admit(gate::Admit { ttl_ms, .. }) | gate::Command::Renew { ttl_ms, .. } => {
                let asked = *ttl_ms;
                *ttl_ms = asked.min(most_ms);
                Some(asked)
            }
            _ => None,
        }
    }

    fn new_lease(command: &gate::Command, reply: &gate::Reply) -> Option<CallId> {
        match (command, reply) {
            (gate::Command::Admit(admit), gate::Reply::Granted { .. }) => Some(admit.call),
            _ => None,
        }
    }

    fn renewed_lease(command: &gate::Command) -> Option<CallId> {
        match command {
            gate::Command::Renew { call, .. } => Some(*call),
            _ => None,
        }
    }

    fn freed_lease(command: &gate::Command, reply: &gate::Reply) -> Option<CallId> {
        match (command, reply) {
            (gate::Command::Settle { call, .. } | gate::Command::Cancel { call }, _)
            | (gate::Command::Renew { call, .. }, gate::Reply::Ended(_)) => Some(*call),
            _ => None,
        }
    }

    fn renewal(call: CallId, ttl_ms: u64) -> gate::Command {
        gate::Command::Renew {
            call,
            ttl_ms,
            note: None,
        }
    }

    /// Calls that wait at a gate are rows of it, so they are woken by their names; running ones may have to end.
    fn is_news(command: &gate::Command) -> bool {
        match command {
            gate::Command::Learn { policy } => policy.as_ref().is_none_or(|policy| !policy.active),
            gate::Command::Release { .. } => true,
            _ => false,
        }
    }

    fn call_end(&self, call: CallId) -> Option<CallEnd> {
        self.call_end(call)
    }

    fn reported_end(command: &gate::Command, reply: &gate::Reply) -> Option<(CallId, CallEnd)> {
        match (command, reply) {
            (gate::Command::Renew { call, .. }, gate::Reply::Ended(why)) => Some((*call, *why)),
            _ => None,
        }
    }

    fn to_machine_time(command: &mut gate::Command, ahead_ms: i64) {
        if let gate::Command::Admit(admit) = command {
            ahead(&mut admit.learned_since, ahead_ms);
        }
    }
}

impl SharedMachine for pool::Pool {
    fn replay(command: pool::Command, reply: &pool::Reply) -> Option<pool::Command> {
        match (command, reply) {
            (pool::Command::Pick(mut pick), pool::Reply::Picked { account, .. }) => {
                pick.only = Some(account.clone());
                pick.granted = true;
                pick.trace = false;
                Some(pool::Command::Pick(pick))
            }
            (pool::Command::Pick(_) | pool::Command::MadeBy { .. } | pool::Command::Snapshot, _) => None,
            (pool::Command::BeginRefresh { .. }, reply) if *reply != pool::Reply::RefreshElected => None,
            (command, _) => Some(command),
        }
    }

    fn needs_home(_: &pool::Command) -> bool {
        false
    }

    fn limit_ttl(command: &mut pool::Command, most_ms: u64) -> Option<u64> {
        match command {
            pool::Command::Pick(pool::Pick { ttl_ms, .. }) | pool::Command::Renew { ttl_ms, .. } => {
                let asked = *ttl_ms;
                *ttl_ms = asked.min(most_ms);
                Some(asked)
            }
            _ => None,
        }
    }

    fn new_lease(command: &pool::Command, reply: &pool::Reply) -> Option<CallId> {
        match (command, reply) {
            (pool::Command::Pick(pick), pool::Reply::Picked { .. }) => Some(pick.call),
            _ => None,
        }
    }

    fn renewed_lease(command: &pool::Command) -> Option<CallId> {
        match command {
            pool::Command::Renew { call, .. } => Some(*call),
            _ => None,
        }
    }

    fn freed_lease(command: &pool::Command, _: &pool::Reply) -> Option<CallId> {
        match command {
            pool::Command::Report(report) if report.outcome != pool::Outcome::Serving => Some(report.call),
            pool::Command::Release { call } => Some(*call),
            _ => None,
        }
    }

    fn renewal(call: CallId, ttl_ms: u64) -> pool::Command {
        pool::Command::Renew { call, ttl_ms }
    }

    fn is_news(command: &pool::Command) -> bool {
        matches!(
            command,
            pool::Command::EndRefresh { .. } | pool::Command::Reset { .. } | pool::Command::Learn { .. }
        )
    }

    fn call_end(&self, _: CallId) -> Option<CallEnd> {
        None
    }

    fn reported_end(_: &pool::Command, _: &pool::Reply) -> Option<(CallId, CallEnd)> {
        None
    }

    fn to_machine_time(command: &mut pool::Command, ahead_ms: i64) {
        if let pool::Command::Pick(pick) = command {
            ahead(&mut pick.learned_since, ahead_ms);
        }
    }
}
