//! Who refreshes an account's token: one call at a time, and only while it is the right thing to do.
//!
//! Whoever waits for the refresher hears how it ended, whatever the end: new credentials, the provider's
//! refusal, or a failure. A refusal is remembered for as long as these credentials are the account's: the
//! provider is not asked again. A failure is for those who began to wait before it; whoever comes later may
//! try. Elections are numbered, since the clocks of those who wait differ.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::report::MAX_WHY;
use super::{AccountError, Pool, RefreshResult, Reply, short};
use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Changes, Millis};

/// The renewals of an account's credentials.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Renewals {
    election: Option<Election>,
    /// Elections so far; the running one has this number.
    rounds: u64,
    failure: Option<Failure>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Election {
    call: CallId,
    end: Deadline,
    /// The credential version to be replaced.
    seen: u64,
    /// Calls to be woken when it is over. Not persisted: whoever lost its connection asks again.
    #[serde(skip)]
    waiting: BTreeSet<CallId>,
}

/// The last round that brought no new credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Failure {
    round: u64,
    seen: u64,
    /// The provider's refusal; `None`: there was no answer, and the next call may try again.
    refused: Option<String>,
}

/// Who asks to refresh.
pub(super) struct Applicant {
    pub(super) call: CallId,
    pub(super) seen: u64,
    pub(super) ttl_ms: u64,
    pub(super) waits: bool,
    pub(super) waited_for: Option<u64>,
}

impl Renewals {
    /// Forgets what is running and what failed: the operator's word, or the host's death. Returns the calls
    /// that wait.
    pub(super) fn reset(&mut self) -> BTreeSet<CallId> {
        self.failure = None;
        self.stop()
    }

    /// Ends the running election without a result, as the host's death does.
    pub(super) fn stop(&mut self) -> BTreeSet<CallId> {
        let election = self.election.take();
        election.map(|election| election.waiting).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.election.is_none() && self.failure.is_none()
    }

    /// The calls that wait, to be woken since the account is not what it was.
    pub(super) fn wake(&mut self) -> BTreeSet<CallId> {
        let election = self.election.as_mut();
        election
            .map(|election| std::mem::take(&mut election.waiting))
            .unwrap_or_default()
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        if let Some(election) = &mut self.election {
            election.end.set_back(now);
        }
    }

    /// How the renewal of these credentials failed, if the applicant is to hear of it.
    fn failed(&self, applicant: &Applicant) -> Option<Reply> {
        let failure = self.failure.as_ref()?;
        match &failure.refused {
            Some(why) if failure.seen == applicant.seen => Some(Reply::RefreshRefused { why: why.clone() }),
            None if applicant.waited_for.is_some_and(|round| round <= failure.round) => {
                Some(Reply::RefreshFailed)
            }
            _ => None,
        }
    }

    /// Elects the applicant unless somebody else is at it.
    fn elect(&mut self, now: Millis, applicant: &Applicant) -> Reply {
        let Applicant {
            call, seen, ttl_ms, ..
        } = *applicant;
        let end = Deadline::after(now, ttl_ms);
        match &mut self.election {
            Some(held) if held.call == call && held.seen == seen => _ = held.end.extend(end),
            Some(held) if held.call != call && !held.end.passed(now) => {
                if applicant.waits {
                    held.waiting.insert(call);
                }
                return Reply::RefreshBusy {
                    until: held.end.until(),
                    round: self.rounds,
                };
            }
            // Nobody was at it, or whoever was did not come back: those who waited for that one go on to
            // wait for this one.
            election => {
                self.rounds = self.rounds.saturating_add(1);
                let mut waiting = election.take().map(|old| old.waiting).unwrap_or_default();
                waiting.remove(&call);
                *election = Some(Election {
                    call,
                    end,
                    seen,
                    waiting,
                });
            }
        }
        Reply::RefreshElected
    }
}

impl Pool {
    pub(super) fn begin_refresh(
        &mut self,
        now: Millis,
        account: &str,
        applicant: &Applicant,
        changes: &mut Changes,
    ) -> Reply {
        let call = applicant.call;
        let Some((number, account)) = super::find(&self.numbers, &mut self.accounts, account) else {
            return Reply::NeedRoster;
        };
        let version = account.policy.credential_version;
        if version > applicant.seen {
            // From here on the call uses these.
            if let Some(hold) = self.leases.get_mut(call).filter(|hold| hold.account == number) {
                hold.credentials = version;
                changes.leases = true;
                self.touched.push(Row::Lease(call));
            }
            return Reply::RefreshDone { version };
        }
        if let Some(failed) = account.renewals.failed(applicant) {
            return failed;
        }
        let reply = account.renewals.elect(now, applicant);
        if reply == Reply::RefreshElected {
            changes.leases = true;
            self.touched.push(Row::Account(number));
        }
        reply
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
        let elected = |election: &mut Election| election.call == call;
        let Some(Election { seen, waiting, .. }) = account.renewals.election.take_if(elected) else {
            return;
        };
        self.woken.extend(waiting);
        changes.leases = true;
        self.touched.push(Row::Account(number));
        let round = account.renewals.rounds;
        let failure = |refused| Some(Failure { round, seen, refused });
        match result {
            RefreshResult::Refreshed { version } => {
                account.renewals.failure = None;
                account.refreshed(now, version);
                if let Some(hold) = self.leases.get_mut(call).filter(|hold| hold.account == number) {
                    hold.credentials = version;
                    self.touched.push(Row::Lease(call));
                }
                changes.lasting = true;
            }
            // If the credentials were replaced meanwhile, the refusal is about the old ones.
            RefreshResult::Refused { why } if account.policy.credential_version <= seen => {
                let why = short(why, MAX_WHY);
                account.renewals.failure = failure(Some(why.clone()));
                account.health.deny(now, why.clone(), None);
                let error = AccountError {
                    at: now,
                    call,
                    status: None,
                    why,
                };
                if self.errors.entry(number).or_default().add(error) {
                    self.touched.push(Row::Errors(number));
                }
                changes.lasting = true;
            }
            RefreshResult::Refused { .. } | RefreshResult::Failed => {
                account.renewals.failure = failure(None);
            }
        }
    }
}
