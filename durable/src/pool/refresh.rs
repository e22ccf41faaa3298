//! Who refreshes an account's token: one call at a time, and only while it is the right thing to do.

use serde::{Deserialize, Serialize};

use super::{Pool, RefreshResult, Reply};
use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Changes, Millis};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Election {
    pub(super) call: CallId,
    pub(super) end: Deadline,
    /// The credential version to be replaced.
    seen: u64,
}

impl Pool {
    pub(super) fn begin_refresh(
        &mut self,
        now: Millis,
        call: CallId,
        account: &str,
        seen: u64,
        ttl_ms: u64,
        changes: &mut Changes,
    ) -> Reply {
        let Some((number, account)) = super::find(&self.numbers, &mut self.accounts, account) else {
            return Reply::NeedRoster;
        };
        let version = account.policy.credential_version;
        if version > seen {
            // From here on the call uses these.
            if let Some(hold) = self.leases.get_mut(call).filter(|hold| hold.account == number) {
                hold.credentials = version;
                changes.leases = true;
                self.touched.push(Row::Lease(call));
            }
            return Reply::RefreshDone { version };
        }
        let end = Deadline::after(now, ttl_ms);
        match &mut account.election {
            Some(held) if held.call == call && held.seen == seen => _ = held.end.extend(end),
            Some(held) if held.call != call && !held.end.passed(now) => {
                return Reply::RefreshBusy {
                    until: held.end.until(),
                };
            }
            election => *election = Some(Election { call, end, seen }),
        }
        changes.leases = true;
        self.touched.push(Row::Account(number));
        Reply::RefreshElected
    }

    /// Only the last elected call is listened to; it may be late, as long as nobody took its place.
    pub(super) fn end_refresh(
        &mut self,
        now: Millis,
        call: CallId,
        account: &str,
        result: RefreshResult,
        changes: &mut Changes,
    ) {
        let Some((number, account)) = super::find(&self.numbers, &mut self.accounts, account) else {
            return;
        };
        let Some(election) = account.election.take_if(|election| election.call == call) else {
            return;
        };
        changes.leases = true;
        self.touched.push(Row::Account(number));
        match result {
            RefreshResult::Refreshed { version } => {
                account.refreshed(now, version);
                if let Some(hold) = self.leases.get_mut(call).filter(|hold| hold.account == number) {
                    hold.credentials = version;
                    self.touched.push(Row::Lease(call));
                }
                changes.lasting = true;
            }
            // If the credentials were replaced meanwhile, the refusal is about the old ones.
            RefreshResult::Refused { why } if account.policy.credential_version <= election.seen => {
                changes.lasting |= account.health.deny(now, why, None);
            }
            RefreshResult::Refused { .. } | RefreshResult::Failed => {}
        }
    }
}
