//! Who refreshes an account's token: one call at a time, and only when it makes sense.
//!
//! Calls that wait for a refresh get its result, whatever it is: new credentials, the provider's refusal, or a
//! failure. A refusal is remembered as long as the account has these credentials: the provider is not asked again. A
//! failure concerns the calls that began to wait before it; a later call may try. Elections are numbered, since the
//! clocks of waiting calls differ.
//!
//! A refusal (401) of credentials before their end is a reason to refresh them, but not again and again: a provider
//! may refuse one odd request that way, whatever the token. Credentials that were refreshed within [`RENEWED_MS`] are
//! as good as possible, and their refusal is evidence against the request. Each further refresh for that reason
//! doubles the time, until credentials are refreshed because they ended. A failed refresh for that reason may be
//! repeated at once, and each further consecutive one waits longer, up to [`FAILED_MS`]: trouble at the token
//! endpoint is not the account's fault.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::report::MAX_WHY;
use super::{AccountError, Pool, RefreshResult, Reply, short};
use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Millis};

/// After a refresh a refusal is no reason for another for this long; doubles with each.
const RENEWED_MS: u64 = 600_000;

/// The upper bound of that time.
const LONGEST_MS: u64 = 4 * 3_600_000;

/// The longest pause after failed refreshes.
const FAILED_MS: u64 = 30_000;

/// The pause after the second consecutive one; doubles with each.
const FAILED_TWICE_MS: u64 = 1_000;

/// The refreshes of an account's credentials.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Renewals {
    election: Option<Election>,
    /// Number of elections so far; the current one has this number.
    rounds: u64,
    failure: Option<Failure>,
    /// Until then a refusal is no reason for a refresh.
    settled: Option<Deadline>,
    /// Consecutive refreshes because of a refusal.
    after_refusal: u32,
    /// Consecutive refreshes because of a refusal that failed.
    failures: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Election {
    call: CallId,
    end: Deadline,
    /// The credential version to replace.
    seen: u64,
    /// Whether the reason was a refusal of credentials before their end.
    #[serde(default)]
    refused: bool,
    /// Calls to wake when it is over. Not persisted: a call whose connection broke asks again.
    #[serde(skip)]
    waiting: BTreeSet<CallId>,
}

/// The last round without new credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Failure {
    round: u64,
    seen: u64,
    /// The provider's refusal; `None`: no answer, and the next call may try again.
    refused: Option<String>,
}

/// A call that asks to refresh.
pub(super) struct Applicant {
    pub(super) call: CallId,
    pub(super) seen: u64,
    pub(super) ttl_ms: u64,
    pub(super) waits: bool,
    pub(super) waited_for: Option<u64>,
    pub(super) refused: bool,
}

impl Renewals {
    /// Forgets the running election and failures: the operator's reset, or the host's death. Returns the waiting
    /// calls.
    pub(super) fn reset(&mut self) -> BTreeSet<CallId> {
        self.failure = None;
        self.settled = None;
        self.after_refusal = 0;
        self.failures = 0;
        self.stop()
    }

    /// Ends the running election without a result, as the host's death does. Returns the waiting calls.
    pub(super) fn stop(&mut self) -> BTreeSet<CallId> {
        let election = self.election.take();
        election.map(|election| election.waiting).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.election.is_none() && self.failure.is_none() && self.settled.is_none()
    }

    /// Returns the waiting calls, to be woken because the account changed.
    pub(super) fn wake(&mut self) -> BTreeSet<CallId> {
        let election = self.election.as_mut();
        election
            .map(|election| std::mem::take(&mut election.waiting))
            .unwrap_or_default()
    }

    /// `self` is a later state than `before`. Returns the calls whose reason to wait has ended.
    pub(super) fn follow(&mut self, before: Self, same: bool) -> BTreeSet<CallId> {
        let waiting = before.election.map(|election| (election.call, election.waiting));
        let Some((call, waiting)) = waiting else {
            return BTreeSet::new();
        };
        match &mut self.election {
            Some(election) if same && election.call == call && self.rounds == before.rounds => {
                election.waiting = waiting;
                BTreeSet::new()
            }
            _ => waiting,
        }
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        if let Some(election) = &mut self.election {
            election.end.set_back(now);
        }
        if let Some(settled) = &mut self.settled {
            settled.set_back(now);
        }
    }

    /// The reply if the applicant must not refresh yet.
    fn too_soon(&self, now: Millis, applicant: &Applicant) -> Option<Reply> {
        let settled = self
            .settled
            .filter(|settled| applicant.refused && !settled.passed(now))?;
        // The elected call will bring newer ones.
        let nobody = self.election.as_ref().is_none_or(|held| held.end.passed(now));
        nobody.then(|| Reply::RefreshTooSoon { at: settled.until() })
    }

    /// Records the end of a refresh: `refused`: it began with a refusal; `well`: it succeeded.
    fn settle(&mut self, now: Millis, refused: bool, well: bool) {
        let pause = match (well, refused) {
            (true, true) => {
                let pause = RENEWED_MS.saturating_mul(1 << self.after_refusal.min(16));
                self.after_refusal = self.after_refusal.saturating_add(1);
                pause.min(LONGEST_MS)
            }
            (true, false) => {
                self.after_refusal = 0;
                RENEWED_MS
            }
            (false, true) => {
                self.failures = self.failures.saturating_add(1);
                let Some(doublings) = self.failures.checked_sub(2) else {
                    return;
                };
                (FAILED_TWICE_MS << doublings.min(16)).min(FAILED_MS)
            }
            (false, false) => return,
        };
        if well {
            self.failures = 0;
        }
        self.settled = Some(Deadline::after(now, pause));
    }

    /// The reply if a refresh of these credentials failed and the applicant must know.
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

    /// Elects the applicant unless another call refreshes already.
    fn elect(&mut self, now: Millis, applicant: &Applicant) -> Reply {
        let Applicant {
            call,
            seen,
            ttl_ms,
            refused,
            ..
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
            // There was no election, or the elected call did not come back: its waiting calls go on to wait for this
            // one.
            election => {
                self.rounds = self.rounds.saturating_add(1);
                let mut waiting = election.take().map(|old| old.waiting).unwrap_or_default();
                waiting.remove(&call);
                *election = Some(Election {
                    call,
                    end,
                    seen,
                    refused,
                    waiting,
                });
            }
        }
        Reply::RefreshElected
    }
}

impl Pool {
    pub(super) fn begin_refresh(&mut self, now: Millis, account: &str, applicant: &Applicant) -> Reply {
        let call = applicant.call;
        let Some((number, account)) = super::find(&self.numbers, &mut self.accounts, account) else {
            return Reply::NeedRoster;
        };
        let version = account.policy.credential_version;
        if version > applicant.seen {
            // From here on the call uses these.
            if let Some(hold) = self.leases.get_mut(call).filter(|hold| hold.account == number) {
                hold.credentials = version;
                self.touched.push(Row::Lease(call));
            }
            return Reply::RefreshDone { version };
        }
        if let Some(failed) = account.renewals.failed(applicant) {
            return failed;
        }
        if let Some(too_soon) = account.renewals.too_soon(now, applicant) {
            return too_soon;
        }
        let reply = account.renewals.elect(now, applicant);
        if reply == Reply::RefreshElected {
            self.touched.push(Row::Account(number));
        }
        reply
    }

    /// Only the last elected call may report; it may be late, as long as no other call was elected.
    pub(super) fn end_refresh(&mut self, now: Millis, call: CallId, account: &str, result: RefreshResult) {
        let Some((number, account)) = super::find(&self.numbers, &mut self.accounts, account) else {
            return;
        };
        let elected = |election: &mut Election| election.call == call;
        let Some(Election {
            seen,
            refused,
            waiting,
            ..
        }) = account.renewals.election.take_if(elected)
        else {
            return;
        };
        self.woken.extend(waiting);
        self.touched.push(Row::Account(number));
        let round = account.renewals.rounds;
        let failure = |refused| Some(Failure { round, seen, refused });
        match result {
            RefreshResult::Refreshed { version } => {
                account.renewals.failure = None;
                account.renewals.settle(now, refused, true);
                account.refreshed(now, version);
                if let Some(hold) = self.leases.get_mut(call).filter(|hold| hold.account == number) {
                    hold.credentials = version;
                    self.touched.push(Row::Lease(call));
                }
            }
            // If the credentials were replaced meanwhile, the refusal concerns the old ones.
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
            }
            RefreshResult::Refused { .. } | RefreshResult::Failed => {
                account.renewals.failure = failure(None);
                account.renewals.settle(now, refused, false);
            }
        }
    }
}
